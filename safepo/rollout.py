"""Collects epochs of experience; one collector for all on-policy algorithms."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from safepo.advantages import gae
from safepo.envs import Step, VectorEnv
from safepo.networks import ActorCritic
from safepo.normalize import ObsNormalizer

WINDOW = 50
"""Episodes over which returns and costs are smoothed, as in SafePO."""


@dataclass(frozen=True)
class Batch:
    """One epoch of N samples, time-major flattened, on the training device."""

    obs: Tensor
    """(N, o) normalised"""
    action: Tensor
    """(N, u) as sampled, not clipped"""
    logp: Tensor
    """(N,) under the behaviour policy"""
    reward_advantage: Tensor
    """(N,) standardised"""
    cost_advantage: Tensor
    """(N,) centred, not divided by its spread: it keeps its physical scale against the reward's"""
    targets: Tensor
    """(2, N) lambda-returns of reward and cost"""
    episode_cost: float
    """Jc: mean undiscounted episode cost; NaN until an episode has finished"""
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


class Collector:
    """Steps the environments with the current policy. Episodes continue across epochs."""

    def __init__(self, env: VectorEnv, normalizer: ObsNormalizer, noise: torch.Generator) -> None:
        self.env, self.normalizer, self.noise = env, normalizer, noise
        self.stats = EpisodeStats(("ep/return", "ep/cost", "ep/length", *_source_names(env.cost_names)))
        self.sums = np.zeros((env.num_envs, len(self.stats.names)))
        self.obs = np.zeros((env.num_envs, env.nobs), dtype=np.float32)

    def reset(self, seed: int) -> None:
        """Start fresh episodes."""
        self.sums[:] = 0
        self.obs = self._observe(self.env.reset(seed))

    def collect(
        self, net: ActorCritic, horizon: int, report: Callable[[int], None] | None = None
    ) -> dict[str, np.ndarray]:
        """Take `horizon` steps in each of n environments; arrays are (t, n, ...), signals (reward, cost) last.

        `report` hears t every 50 steps.
        """
        n, env = self.env.num_envs, self.env
        data: dict[str, np.ndarray] = {
            "obs": np.empty((horizon, n, env.nobs), np.float32),
            "action": np.empty((horizon, n, env.nact), np.float32),
            "logp": np.empty((horizon, n), np.float32),
            "rewards": np.empty((horizon, n, 2)),
            "values": np.empty((horizon, n, 2)),
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
            data["rewards"][t, :, 0], data["rewards"][t, :, 1] = step.reward, step.cost
            if step.final_obs is not None:
                data["ends"][t] = step.terminated | step.truncated
                terminated[t] = step.terminated
                cut = np.flatnonzero(step.truncated & ~step.terminated)
                truncated += [(t, int(i)) for i in cut]
                final_obs += list(self.normalizer(step.final_obs[cut]))
            self._count(step)
            self.obs = self._observe(step.obs)
        data["next_values"] = self._next_values(net, data["values"], terminated, truncated, final_obs)
        data["ends"][-1] = True
        return data

    def _act(self, net: ActorCritic) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Actions, log-probs and values as numpy; the noise is drawn on the CPU so that devices agree."""
        noise = torch.randn(self.env.num_envs, self.env.nact, generator=self.noise).to(net.device)
        obs = torch.from_numpy(self.obs).to(net.device)
        action, logp, values = net.act(obs, noise)
        return action.cpu().numpy(), logp.cpu().numpy(), values.cpu().numpy()

    def _observe(self, obs: np.ndarray) -> np.ndarray:
        self.normalizer.update(obs)
        return self.normalizer(obs)

    def _count(self, step: Step) -> None:
        """Add to the running episode sums; hand over and clear those of finished episodes."""
        self.sums[:, 0] += step.reward
        self.sums[:, 1] += step.cost
        self.sums[:, 2] += 1
        if step.costs.size:
            self.sums[:, 3:] += step.costs
        for i in np.flatnonzero(step.terminated | step.truncated):
            self.stats.add(self.sums[i].tolist())
            self.sums[i] = 0

    def _next_values(
        self, net: ActorCritic, values: np.ndarray, terminated: np.ndarray, truncated: list, final_obs: list
    ) -> np.ndarray:
        """Values (t, n, 2) after each step: 0 if terminated, of the final observation if truncated (also at the
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
            "sums": self.sums.copy(),
            "obs": self.obs.copy(),
            "env": self.env.get_state(),
        }

    def load_state_dict(self, state: dict, fallback_seed: int) -> bool:
        """Restore; returns False when the environment's state was not saved and fresh episodes were started."""
        self.normalizer.load_state_dict(state["normalizer"])
        self.noise.set_state(torch.as_tensor(state["noise"]))
        self.stats.load_state_dict(state["stats"])
        if state["env"] is None:
            self.reset(fallback_seed)
            return False
        self.env.reset(seed=fallback_seed)
        self.env.set_state(state["env"])
        self.sums, self.obs = np.array(state["sums"]), np.array(state["obs"])
        return True


def make_batch(
    data: dict[str, np.ndarray], settings: Any, episode_cost: float, progress: float, device: torch.device
) -> tuple[Batch, dict[str, float]]:
    """Estimate advantages; return the flattened batch and the advantages' means before centring."""
    lam = np.array([settings.gae_lambda, settings.cost_gae_lambda])
    advantages, targets = gae(data["rewards"], data["values"], data["next_values"], data["ends"], settings.gamma, lam)
    advantages, targets = advantages.reshape(-1, 2), targets.reshape(-1, 2)
    mean = advantages.mean(axis=0)
    centred = advantages - mean
    spread = centred[:, 0].std(ddof=1) if len(centred) > 1 else 0.0

    def tensor(x: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(x, dtype=np.float32)).to(device)

    batch = Batch(
        obs=tensor(data["obs"].reshape(len(centred), -1)),
        action=tensor(data["action"].reshape(len(centred), -1)),
        logp=tensor(data["logp"].reshape(-1)),
        reward_advantage=tensor(centred[:, 0] / (spread + 1e-8)),
        cost_advantage=tensor(centred[:, 1]),
        targets=tensor(targets.T),
        episode_cost=episode_cost,
        progress=progress,
    )
    return batch, {"value/reward_adv": float(mean[0]), "value/cost_adv": float(mean[1])}


def _values(net: ActorCritic, obs: np.ndarray) -> np.ndarray:
    return net.values(torch.from_numpy(obs).to(net.device)).cpu().numpy()


def _source_names(cost_names: tuple[str, ...]) -> list[str]:
    """`cost_hazards` is logged as `cost/hazards`."""
    return [f"cost/{name.removeprefix('cost_')}" for name in cost_names]
