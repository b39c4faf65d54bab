"""Collects epochs of experience; one collector for all on-policy algorithms."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safepo.advantages import gae
from safepo.distributions import Distribution
from safepo.envs import Step, VectorEnv
from safepo.errors import UserError
from safepo.normalize import ObsNormalizer
from safepo.parallel import ALONE, Group

WINDOW = 50
"""Episodes over which returns and costs are smoothed, as in SafePO."""


@dataclass(frozen=True)
class Batch:
    """One epoch of N samples, time-major flattened, on the training device."""

    obs: Tensor
    """(N, w) rows as `ObsMap` has them: numbers, normalised, or bytes where there are images"""
    action: Tensor
    """(N, u) as sampled, not clipped"""
    logp: Tensor
    """(N,) under the behaviour policy"""
    reward_advantage: Tensor
    """(N,) standardised"""
    cost_advantage: Tensor
    """(k, N) of each limited cost; centred, not divided by its spread: it keeps its physical scale against the
    reward's"""
    targets: Tensor
    """(1 + k, N) lambda-returns of reward and costs"""
    episode_cost: NDArray[np.float64]
    """(k,) Jc: mean undiscounted episode costs; NaN until an episode has finished"""
    episode_length: float
    """Mean length of episodes; NaN until one has finished"""
    progress: float
    """Share of training done before this epoch, in [0, 1)"""


class EpisodeStats:
    """Returns, costs and lengths of finished episodes.

    Each time an episode ends the mean over the last 50 episodes is recorded; an epoch reports the mean of what it
    recorded (SafePO's smoothing, which its multiplier sees). An epoch without an end reports the last values.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self.window: deque[list[float]] = deque(maxlen=WINDOW)
        self.recorded: list[np.ndarray] = []
        self.last = np.full(len(names), np.nan)
        self.nepisode = 0

    def add(self, episode: list[float]) -> None:
        """Record a finished episode; `episode` follows `names`."""
        self.window.append(episode)
        self.recorded.append(np.mean(self.window, axis=0))
        self.nepisode += 1

    def close_epoch(self) -> dict[str, float]:
        """Return the epoch's means by name and start the next epoch."""
        if self.recorded:
            self.last = np.mean(self.recorded, axis=0)
            self.recorded = []
        return dict(zip(self.names, self.last.tolist(), strict=True))

    def state_dict(self) -> dict:
        return {"window": [list(e) for e in self.window], "last": self.last.tolist(), "nepisode": self.nepisode}

    def load_state_dict(self, state: dict) -> None:
        self.window = deque(state["window"], maxlen=WINDOW)
        self.last, self.nepisode, self.recorded = np.array(state["last"]), state["nepisode"], []


class EpisodeSums:
    """What the running episodes of n environments have summed up, as `EpisodeStats` names it: return, cost, length,
    the cost of each source, then `extra` of the collector's own."""

    def __init__(self, num_envs: int, cost_names: tuple[str, ...], extra: tuple[str, ...] = ()) -> None:
        self.names = ("ep/return", "ep/cost", "ep/length", *source_names((*cost_names, *extra)))
        self.values = np.zeros((num_envs, len(self.names)))

    def add(self, step: Step, extra: NDArray[np.float64] | None = None) -> list[tuple[int, list[float]]]:
        """Take in a step; return environment and sums of each episode that it ended, which begin anew."""
        sums, nsource = self.values, step.costs.shape[1]
        sums[:, 0] += step.reward
        sums[:, 1] += step.cost
        sums[:, 2] += 1
        if nsource:
            sums[:, 3 : 3 + nsource] += step.costs
        if extra is not None:
            sums[:, 3 + nsource :] += extra
        ids = np.flatnonzero(step.terminated | step.truncated)
        ended = [(int(i), sums[i].tolist()) for i in ids]
        sums[ids] = 0
        return ended


class SafetyRecord:
    """How unsafe training has been since it started; by definition nothing is forgotten.

    An episode violates where any limited cost exceeds its limit.
    """

    def __init__(self, limits: NDArray[np.float64], num_envs: int) -> None:
        self.limits = limits
        self.cost = self.regret = 0.0
        self.nstep = self.nepisode = self.nviolating = self.longest = 0
        self.streak = np.zeros(num_envs, np.int64)

    def add(self, costs: NDArray[np.float64], over: NDArray[np.bool_]) -> None:
        """Take in the limited costs `(t, n, k)` of an epoch's steps and where an episode ended `(t, n)`."""
        for t, ended in enumerate(over):
            unsafe = (costs[t] > 0).any(axis=1)
            self.streak = np.where(unsafe, self.streak + 1, 0)
            self.longest = max(self.longest, int(self.streak.max()))
            self.streak[ended] = 0
        self.cost += float(costs.sum())
        self.nstep += over.size

    def add_episode(self, costs: NDArray[np.float64]) -> None:
        """Take in the limited costs `(k,)` of an episode."""
        excess = np.maximum(costs - self.limits, 0.0)
        self.regret += float(excess.sum())
        self.nepisode += 1
        self.nviolating += bool(excess.any())

    def metrics(self) -> dict[str, float]:
        """Cost per step, share of violating episodes, longest run of steps with a cost, summed excess of episodes."""
        return {
            "safety/cost_rate": self.cost / max(self.nstep, 1),
            "safety/violating_episodes": self.nviolating / max(self.nepisode, 1),
            "safety/longest_violation": self.longest,
            "safety/cost_regret": self.regret,
        }

    def state_dict(self) -> dict:
        names = ("cost", "regret", "nstep", "nepisode", "nviolating", "longest", "streak")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict) -> None:
        for name, value in state.items():
            setattr(self, name, np.array(value) if name == "streak" else value)


class Net(Protocol):
    """What acts: the networks of one agent or of a team."""

    dist: Distribution

    @property
    def device(self) -> torch.device: ...
    def act(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...
    def values(self, obs: Tensor) -> Tensor: ...


class Collector:
    """Steps the environments with the current policy. Episodes continue across epochs.

    `limits` are the cost limits by name; see `CostSignals` for the names.
    """

    def __init__(
        self,
        env: VectorEnv,
        normalizer: ObsNormalizer,
        noise: torch.Generator,
        limits: dict[str, float],
        group: Group = ALONE,
    ) -> None:
        self.env, self.normalizer, self.noise, self.group = env, normalizer, noise, group
        self.num_envs, self.nagent = env.num_envs * group.size, env.nagent
        self.signals = CostSignals(tuple(limits), env.cost_names)
        self.safety = SafetyRecord(np.array(list(limits.values())), self.num_envs)
        self._ended: list[tuple[int, int, list[float]]] = []
        self.sums = EpisodeSums(env.num_envs, env.cost_names, tuple(self.signals.groups))
        self.stats = EpisodeStats(self.sums.names)
        self.obs = env.obs.empty(env.num_envs)

    def reset(self, seed: int) -> None:
        """Start fresh episodes; environment i of all processes is seeded with `seed + i`."""
        self.sums.values[:] = 0
        self.safety.streak[:] = 0
        self.obs = self._observe(self.env.reset(seed + self.group.rank * self.env.num_envs))

    def collect(self, net: Net, horizon: int, report: Callable[[int], None] | None = None) -> dict[str, np.ndarray]:
        """Take `horizon` steps in each of n environments; arrays are (t, n, ...), signals (reward, costs) last.

        With several processes n counts the environments of all. `report` hears t every 50 steps. Of a team there is a
        reward, and with it a cost and a log-probability, of each agent: signals are all rewards, then all costs, and
        `logp` is (t, n, agents).
        """
        n, env, nagent = self.env.num_envs, self.env, self.nagent
        nsignal = nagent + len(self.signals.names)
        data: dict[str, np.ndarray] = {
            "obs": env.obs.empty(horizon, n),
            "action": np.empty((horizon, n, env.nact), np.float32),
            "logp": np.empty((horizon, n) if nagent == 1 else (horizon, n, nagent), np.float32),
            "rewards": np.empty((horizon, n, nsignal)),
            "values": np.empty((horizon, n, nsignal)),
            "ends": np.zeros((horizon, n), bool),
        }
        truncated, final_obs = [], []
        terminated = np.zeros((horizon, n), bool)
        for t in range(horizon):
            if report is not None and t % 50 == 0:
                report(t)
            action, logp, values = self._act(net)
            step = env.step(action)
            data["obs"][t], data["action"][t], data["logp"][t] = self.obs, action, logp
            data["values"][t] = values
            costs = self.signals(step.cost, step.costs)
            data["rewards"][t, :, :nagent], data["rewards"][t, :, nagent:] = step.rewards, costs
            if step.final_obs is not None:
                data["ends"][t] = step.terminated | step.truncated
                terminated[t] = step.terminated
                cut = np.flatnonzero(step.truncated & ~step.terminated)
                truncated += [(t, int(i)) for i in cut]
                final_obs += list(self._normalized(step.final_obs[cut]))
            self._count(t, step, costs)
            self.obs = self._observe(step.obs)
        data["next_values"] = self._next_values(net, data["values"], terminated, truncated, final_obs)
        data = {name: self.group.gather(values, axis=1) for name, values in data.items()}
        self._close_episodes(data)
        data["ends"][-1] = True
        return data

    def _close_episodes(self, data: dict[str, np.ndarray]) -> None:
        """Hand over the episodes that ended, in the order of steps and environments."""
        self.safety.add(data["rewards"][:, :, self.nagent :], data["ends"])
        for _, _, sums in sorted(itertools.chain(*self.group.gather_objects(self._ended))):
            self.stats.add(sums)
            self.safety.add_episode(self.signals.of_episode(np.array(sums)))
        self._ended = []

    def _act(self, net: Net) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Actions, log-probs and values as numpy; the noise is drawn on the CPU so that devices agree."""
        noise = net.dist.noise(self.num_envs, self.noise)[self.group.share(self.num_envs)].to(net.device)
        obs = torch.from_numpy(self.obs).to(net.device)
        action, logp, values = net.act(obs, noise)
        return action.cpu().numpy(), logp.cpu().numpy(), values.cpu().numpy()

    def _observe(self, obs: np.ndarray) -> np.ndarray:
        self.normalizer.update(self.group.gather(self.env.obs.vectors(obs)))
        return self._normalized(obs)

    def _normalized(self, obs: np.ndarray) -> np.ndarray:
        return self.env.obs.with_vectors(obs, self.normalizer(self.env.obs.vectors(obs)))

    def _count(self, t: int, step: Step, limited: NDArray[np.float64]) -> None:
        """Add to the running episodes; put aside those that ended."""
        extra = limited[:, self.signals.group_columns] if self.signals.groups else None
        before = self.group.rank * self.env.num_envs
        self._ended += [(t, before + i, sums) for i, sums in self.sums.add(step, extra)]

    def episode_costs(self, episode: dict[str, float]) -> NDArray[np.float64]:
        """Return the smoothed episode cost of each limit, (k,), from what `EpisodeStats.close_epoch` returned."""
        return self.signals.of_episode(np.array([episode[name] for name in self.stats.names]))

    def _next_values(
        self, net: Net, values: np.ndarray, terminated: np.ndarray, truncated: list, final_obs: list
    ) -> np.ndarray:
        """Values (t, n, 1 + k) after each step: 0 if terminated, of the final observation if truncated (also at the
        epoch's last step), of the current observation where the epoch cuts a running episode."""
        after = np.empty_like(values)
        after[:-1] = values[1:]
        after[-1] = _values(net, self.obs)
        after[terminated] = 0.0
        if truncated:
            rows, cols = zip(*truncated, strict=True)
            after[list(rows), list(cols)] = _values(net, np.stack(final_obs))
        return after

    def state_dict(self) -> dict:
        return {
            "normalizer": self.normalizer.state_dict(),
            "noise": self.noise.get_state(),
            "stats": self.stats.state_dict(),
            "safety": self.safety.state_dict(),
            "parts": self.group.gather_objects(
                {"sums": self.sums.values.copy(), "obs": self.obs.copy(), "env": self.env.get_state()}
            ),
        }

    def load_state_dict(self, state: dict, fallback_seed: int) -> bool:
        """Restore; returns False when the environment's state was not saved and fresh episodes were started."""
        self.normalizer.load_state_dict(state["normalizer"])
        self.noise.set_state(torch.as_tensor(state["noise"]))
        self.stats.load_state_dict(state["stats"])
        self.safety.load_state_dict(state["safety"])
        if len(state["parts"]) != self.group.size or state["parts"][0]["env"] is None:
            self.reset(fallback_seed)
            return False
        part = state["parts"][self.group.rank]
        self.env.reset(seed=fallback_seed)
        self.env.set_state(part["env"])
        self.sums.values, self.obs = np.array(part["sums"]), np.array(part["obs"])
        return True


class CostSignals:
    """The limited costs of a step.

    `cost` is `info["cost"]`; the name of an entry of `info` is that entry, 0 where it is absent; a prefix such as
    `cost_vases` is 1 where the entries `cost_vases_*` sum to more than 0.
    """

    def __init__(self, names: tuple[str, ...], cost_names: tuple[str, ...]) -> None:
        self.names = names
        self._columns: list[list[int]] = []
        self.groups: list[str] = []
        for name in names:
            members = [i for i, other in enumerate(cost_names) if other == name or other.startswith(f"{name}_")]
            if name != "cost" and not members:
                known = ", ".join(("cost", *cost_names))
                raise UserError(f"cost_limit: unknown cost {name!r}; this environment has {known} and their prefixes")
            grouped = name != "cost" and name not in cost_names
            self._columns.append([] if name == "cost" else [cost_names.index(name)] if not grouped else members)
            self.groups += [name] if grouped else []
        self.group_columns = [names.index(name) for name in self.groups]
        first = 3 + len(cost_names)
        self._places = [
            1 if name == "cost" else first + self.groups.index(name) if name in self.groups else 3 + columns[0]
            for name, columns in zip(names, self._columns, strict=True)
        ]

    def __call__(self, cost: NDArray[np.float64], costs: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the limited costs `(n, k)` from the step costs `(n,)` and the entries `(n, m)`."""
        out = np.empty((len(cost), len(self.names)))
        for j, columns in enumerate(self._columns):
            if not columns:
                out[:, j] = cost
            elif self.names[j] in self.groups:
                out[:, j] = costs[:, columns].sum(axis=1) > 0
            else:
                out[:, j] = costs[:, columns[0]]
        return out

    def of_episode(self, sums: NDArray[np.float64]) -> NDArray[np.float64]:
        """Pick the limited costs `(k,)` from an episode's sums."""
        return sums[self._places]


def make_batch(
    data: dict[str, np.ndarray],
    settings: Any,
    episode_cost: NDArray[np.float64],
    episode_length: float,
    progress: float,
    device: torch.device,
) -> tuple[Batch, dict[str, float]]:
    """Estimate advantages; return the flattened batch and the advantages' means before centring."""
    nsignal = data["rewards"].shape[2]
    lam = np.array([settings.gae_lambda, *[settings.cost_gae_lambda] * (nsignal - 1)])
    advantages, targets = gae(data["rewards"], data["values"], data["next_values"], data["ends"], settings.gamma, lam)
    advantages, targets = advantages.reshape(-1, nsignal), targets.reshape(-1, nsignal)
    mean = advantages.mean(axis=0)
    centred = advantages - mean
    spread = centred[:, 0].std(ddof=1) if len(centred) > 1 else 0.0

    def tensor(x: np.ndarray) -> Tensor:
        kept = np.uint8 if x.dtype == np.uint8 else np.float32
        return torch.from_numpy(np.ascontiguousarray(x, dtype=kept)).to(device)

    batch = Batch(
        obs=tensor(data["obs"].reshape(len(centred), -1)),
        action=tensor(data["action"].reshape(len(centred), -1)),
        logp=tensor(data["logp"].reshape(-1)),
        reward_advantage=tensor(centred[:, 0] / (spread + 1e-8)),
        cost_advantage=tensor(centred[:, 1:].T),
        targets=tensor(targets.T),
        episode_cost=episode_cost,
        episode_length=episode_length,
        progress=progress,
    )
    return batch, {"value/reward_adv": float(mean[0]), "value/cost_adv": float(mean[1:].mean())}


def _values(net: Net, obs: np.ndarray) -> np.ndarray:
    return net.values(torch.from_numpy(obs).to(net.device)).cpu().numpy()


def source_names(cost_names: tuple[str, ...]) -> list[str]:
    """`cost_hazards` is logged as `cost/hazards`."""
    return [f"cost/{name.removeprefix('cost_')}" for name in cost_names]
