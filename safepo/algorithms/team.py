"""Algorithms for several agents: one single-agent method per agent, with critics that see the state of the whole.

Each agent has a policy on what it senses, and critics of its own reward and cost on the team's state (centralised
critics, decentralised execution). An epoch updates the agents one after the other in random order. Sequential methods
weigh the advantages of an agent by the probability ratio of those updated before it (Kuba et al. 2021,
arXiv:2109.11251, lemma 4; Gu et al. 2021, arXiv:2110.02793): with `M = prod rho_j`, agent i climbs `M rho_i A`, which
bounds what the joint policy gains.

Values are normalised per critic by PopArt (van Hasselt et al. 2016): targets have mean 0 and variance 1 over training,
and the output layer is rescaled so that a change of the statistics changes no value.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safepo.algorithms.base import Algorithm, Problem
from safepo.distributions import Distribution, Params
from safepo.errors import UserError
from safepo.networks import ActorCritic, make_network
from safepo.observations import ObsMap, Part
from safepo.rollout import Batch, make_batch

DECAY = 0.99999
"""Of the moving averages of value targets, per epoch."""
SMALLEST_VARIANCE = 1e-2
POLICY_INPUTS = ("own", "state", "safepo")


@dataclass(frozen=True)
class TeamSettings:
    """Settings of all multi-agent algorithms; put before those of the method that each agent uses."""

    hidden: tuple[int, ...] = (128, 128)
    """Widths of the hidden tanh layers of actors and critics."""
    policy_input: Literal["own", "state", "safepo"] = "own"
    """What policies see: own (what each agent senses), state (that of the whole team) or safepo (SafePO's input: the
    state and a one-hot code of the agent, standardised by the vector's own mean and spread, as is the critics' state;
    no running statistics)."""
    share_parameters: bool = False
    """One policy and one set of critics for all agents, who are told apart by a one-hot code in the observation."""

    @property
    def running_statistics(self) -> bool:
        """Whether running statistics normalise the observations."""
        return self.policy_input != "safepo"

    def check(self) -> None:
        """Refuse values that cannot work, also those of the settings that this is put before."""
        super().check()  # type: ignore[misc]
        if self.policy_input not in POLICY_INPUTS:
            raise UserError(f"policy_input must be {', '.join(POLICY_INPUTS)}, got {self.policy_input!r}")


@dataclass(frozen=True)
class TeamSpec:
    """Who is in a team: names, what each observes, and their distributions."""

    agents: tuple[str, ...]
    dists: tuple[Distribution, ...]


@dataclass(frozen=True)
class TeamProblem(Problem):
    """The constrained problem of a team; `obs` is the joint observation, `dist` the joint distribution and
    `cost_limits` names the limit of each agent's own cost."""

    team: TeamSpec = TeamSpec((), ())


class Views:
    """What each agent's networks see of a row of joint observations, as columns of the row.

    The actor's part comes first, then the state. Two further columns, 0 and 1, make the one-hot code.
    """

    def __init__(self, obs: ObsMap, settings: TeamSettings) -> None:
        self.joint = obs
        *parts, state = obs.parts
        starts = np.cumsum([0, *(part.size for part in obs.parts)])
        at_state, whole = int(starts[-2]), settings.policy_input != "own"
        self.standardized = settings.policy_input == "safepo"
        coded = settings.share_parameters or self.standardized
        if whole:
            parts = [Part("", state.shape) for _ in parts]
        code = (Part("code", (len(parts),)),) if coded else ()
        self.own = [ObsMap((Part("", part.shape, part.image), *code), obs.frames) for part in parts]
        self.nstate = state.size
        last = (obs.frames - 1) * obs.frame_size
        self.columns: list[Tensor] = []
        self._on: dict[torch.device, list[Tensor]] = {}
        for i, part in enumerate(parts):
            first = at_state if whole else int(starts[i])
            onehot = [obs.size + int(j == i) for j in range(len(parts))] if coded else []
            own = [
                column
                for frame in range(obs.frames)
                for column in (
                    *range(frame * obs.frame_size + first, frame * obs.frame_size + first + part.size),
                    *onehot,
                )
            ]
            seen = range(last + at_state, last + at_state + self.nstate)
            self.columns.append(torch.tensor([*own, *seen]))

    def of(self, i: int, rows: Tensor) -> Tensor:
        """Return what agent i's networks see of joint observations `(b, o)`."""
        rows = self.joint.decode(rows)
        constants = rows.new_tensor([0.0, 1.0]).expand(len(rows), 2)
        if rows.device not in self._on:
            self._on[rows.device] = [columns.to(rows.device) for columns in self.columns]
        seen = torch.cat([rows, constants], dim=1)[:, self._on[rows.device][i]]
        if not self.standardized:
            return seen
        own, state = seen.split([self.own[i].size, self.nstate], dim=1)
        frames = own.reshape(len(rows), self.own[i].frames, self.own[i].frame_size)
        return torch.cat([standardize(frames).flatten(1), standardize(state)], dim=1)


def standardize(vectors: Tensor) -> Tensor:
    """Each vector `(..., o)` minus its mean, divided by its spread."""
    spread, mean = torch.std_mean(vectors, dim=-1, keepdim=True, correction=0)
    return (vectors - mean) / (spread + 1e-8)


class ValueNormalizer:
    """Moving mean and variance of one agent's value targets `(1 + k,)`, with bias correction."""

    def __init__(self, nsignal: int) -> None:
        self.mean_sum, self.square_sum, self.weight = np.zeros(nsignal), np.zeros(nsignal), 0.0

    @property
    def mean(self) -> NDArray[np.float64]:
        return self.mean_sum / self.weight if self.weight else np.zeros_like(self.mean_sum)

    @property
    def std(self) -> NDArray[np.float64]:
        if not self.weight:
            return np.ones_like(self.mean_sum)
        variance = self.square_sum / self.weight - self.mean**2
        return np.sqrt(np.maximum(variance, SMALLEST_VARIANCE))

    def update(self, targets: NDArray[np.float64], net: ActorCritic) -> None:
        """Take in targets `(1 + k, N)`; rescale the critics' output layers so that their values stay what they are."""
        mean, std = self.mean, self.std
        self.mean_sum = DECAY * self.mean_sum + (1 - DECAY) * targets.mean(axis=1)
        self.square_sum = DECAY * self.square_sum + (1 - DECAY) * (targets**2).mean(axis=1)
        self.weight = DECAY * self.weight + (1 - DECAY)
        net.rescale_values(mean, std, self.mean, self.std)

    def state_dict(self) -> dict[str, Any]:
        return {"mean_sum": self.mean_sum, "square_sum": self.square_sum, "weight": self.weight}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.mean_sum, self.square_sum = np.array(state["mean_sum"]), np.array(state["square_sum"])
        self.weight = float(state["weight"])


class TeamNet:
    """The networks of a team with the face of an `ActorCritic`: joint rows in, joint actions out.

    Values are those of all rewards, then of all costs, in their own units; log-probabilities are per agent.
    """

    def __init__(
        self, nets: list[ActorCritic], views: Views, dist: Distribution, dists: tuple[Distribution, ...]
    ) -> None:
        self.nets, self.views, self.dist, self.dists = nets, views, dist, dists
        self.normalizers = [ValueNormalizer(1 + net.ncost) for net in nets]

    @property
    def device(self) -> torch.device:
        return self.nets[0].device

    def act(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Actions `(b, u)`, log-probabilities `(b, a)` and values `(b, a (1 + k))`."""
        parts = noise.split([dist.nout for dist in self.dists], dim=1)
        found = [
            net.act(self.views.of(i, obs), part) for i, (net, part) in enumerate(zip(self.nets, parts, strict=True))
        ]
        actions, logps, values = zip(*found, strict=True)
        return torch.cat(actions, dim=1), torch.stack(logps, dim=1), self._in_units(values)

    def values(self, obs: Tensor) -> Tensor:
        """Values `(b, a (1 + k))`."""
        return self._in_units([net.values(self.views.of(i, obs)) for i, net in enumerate(self.nets)])

    def _in_units(self, values: Any) -> Tensor:
        scaled = [
            value * torch.tensor(n.std, dtype=value.dtype, device=value.device)
            + torch.tensor(n.mean, dtype=value.dtype, device=value.device)
            for value, n in zip(values, self.normalizers, strict=True)
        ]
        return torch.stack(scaled, dim=2).flatten(1)  # (b, 1 + k, a): all rewards come before all costs

    def policy(self, obs: Tensor) -> Params:
        """The joint distribution."""
        params = [net.policy(self.views.of(i, obs)) for i, net in enumerate(self.nets)]
        return Params(torch.cat([p.out for p in params], dim=1), torch.cat([p.free for p in params]))

    def state_dict(self) -> dict[str, Any]:
        return {
            "nets": [net.state_dict() for net in self.nets],
            "values": [normalizer.state_dict() for normalizer in self.normalizers],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for net, part in zip(self.nets, state["nets"], strict=True):
            net.load_state_dict(part)
        for normalizer, part in zip(self.normalizers, state["values"], strict=True):
            normalizer.load_state_dict(part)

    @classmethod
    def build(
        cls, obs: ObsMap, dists: tuple[Distribution, ...], dist: Distribution, settings: Any, device: str
    ) -> TeamNet:
        """Networks without their training, for a policy."""
        views = Views(obs, settings)
        nets = [
            make_network(own, each, settings, device, torch.Generator(), nstate=views.nstate)
            for own, each in zip(views.own, dists, strict=True)
        ]
        return cls(nets, views, dist, dists)


S = TypeVar("S", bound=TeamSettings)


class Team(Generic[S]):
    """One `member` algorithm per agent; the trainer treats a team as it does a single algorithm."""

    member: ClassVar[type[Algorithm[Any]]]
    sequential: ClassVar[bool] = True
    """Whether each agent takes account of those updated before it."""

    def __init__(self, settings: S, problem: TeamProblem, init_seed: int, shuffle_seed: int) -> None:
        self.settings, self.agents = settings, problem.team.agents
        dists = problem.team.dists
        views = Views(problem.obs, settings)
        if settings.share_parameters:
            self._check_sharing(views, dists)
        limits = list(problem.cost_limits.values())
        seeds = np.random.SeedSequence([init_seed, shuffle_seed]).generate_state(2 * len(dists) + 1) >> 1
        self.members: list[Algorithm[Any]] = []
        for i, dist in enumerate(dists):
            if i and settings.share_parameters:
                self.members.append(self.members[0])
                continue
            own = Problem(views.own[i], dist, {"cost": limits[i]}, problem.device, problem.group, views.nstate)
            self.members.append(self.member(settings, own, int(seeds[2 * i]), int(seeds[2 * i + 1])))
        self.net = TeamNet([member.net for member in self.members], views, problem.dist, dists)
        if settings.share_parameters:
            self.net.normalizers = [self.net.normalizers[0]] * len(dists)
        self.order = torch.Generator().manual_seed(int(seeds[-1]))

    def _check_sharing(self, views: Views, dists: tuple[Distribution, ...]) -> None:
        if self.sequential:
            raise UserError(
                f"share_parameters: {type(self).__name__} updates one agent after the other, each with a policy of its "
                "own; MAPPO can share them"
            )
        seen, done = [own.parts[0].size for own in views.own], [dist.nout for dist in dists]
        if len(set(seen)) > 1 or len(set(done)) > 1:
            raise UserError(
                f"share_parameters: policies see {_counted(seen)} numbers and give {_counted(done)} "
                f"({', '.join(self.agents)}); one policy for all needs equally many (policy_input=state makes what "
                "they see equal)"
            )

    def learn(
        self,
        data: dict[str, np.ndarray],
        episode_cost: NDArray[np.float64],
        episode_length: float,
        progress: float,
    ) -> dict[str, float]:
        """Improve all policies with an epoch of the collector's data; return metrics to log."""
        batches, values = [], []
        for i, member in enumerate(self.members):
            batch, found = make_batch(
                self._of_agent(data, i),
                self.settings,
                episode_cost[i : i + 1],
                episode_length,
                progress,
                member.net.device,
            )
            batches.append(batch)
            values.append(found)
        if self.settings.share_parameters:
            batches = [_joined(batches)]
        for i, batch in enumerate(batches):
            batches[i] = self._with_normalized_targets(i, batch)
        return {**self.update(batches), **_mean(values)}

    def _of_agent(self, data: dict[str, np.ndarray], i: int) -> dict[str, np.ndarray]:
        """The part of the collector's arrays that concerns agent i."""
        nagent, (t, n) = len(self.agents), data["ends"].shape
        starts = np.cumsum([0, *(dist.nact for dist in self.net.dists)])
        signals = {key: data[key][:, :, i::nagent] for key in ("rewards", "values", "next_values")}
        rows = torch.from_numpy(data["obs"].reshape(t * n, -1))
        return {
            **signals,
            "obs": self.net.views.of(i, rows).numpy().reshape(t, n, -1),
            "action": data["action"][:, :, starts[i] : starts[i + 1]],
            "logp": data["logp"][:, :, i],
            "ends": data["ends"],
        }

    def _with_normalized_targets(self, i: int, batch: Batch) -> Batch:
        normalizer, net = self.net.normalizers[i], self.members[i].net
        normalizer.update(batch.targets.double().cpu().numpy(), net)
        mean, std = (
            torch.tensor(x, dtype=batch.targets.dtype, device=net.device) for x in (normalizer.mean, normalizer.std)
        )
        return dataclasses.replace(batch, targets=(batch.targets - mean[:, None]) / std[:, None])

    def update(self, batches: list[Batch]) -> dict[str, float]:
        """Update the agents in random order; `batches` are theirs, or one of all where parameters are shared."""
        factor = torch.ones_like(batches[0].logp)
        metrics: list[dict[str, float]] = [{} for _ in batches]
        for i in torch.randperm(len(batches), generator=self.order).tolist():
            batch, net = batches[i], self.members[i].net
            weighed = dataclasses.replace(
                batch,
                reward_advantage=batch.reward_advantage * factor,
                cost_advantage=batch.cost_advantage * factor,
            )
            metrics[i] = self.members[i].update(weighed)
            if self.sequential:
                factor = factor * (net.dist.logp(net.policy(batch.obs), batch.action) - batch.logp).exp()
        own: dict[str, float] = {}
        if len(batches) > 1 and "train/multiplier" in metrics[0]:
            named = zip(self.agents, metrics, strict=True)
            own = {f"train/multiplier/{name}": found["train/multiplier"] for name, found in named}
        return {**_mean(metrics), **own}

    def state_dict(self) -> dict[str, Any]:
        members = [self.members[0]] if self.settings.share_parameters else self.members
        parts = [{k: v for k, v in member.state_dict().items() if k != "net"} for member in members]
        return {"net": self.net.state_dict(), "members": parts, "order": self.order.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.order.set_state(state["order"])
        for member, part in zip(self.members, state["members"], strict=False):
            member.load_state_dict({"net": member.net.state_dict(), **part})


def _counted(sizes: list[int]) -> str:
    return ", ".join(map(str, sizes))


def _joined(batches: list[Batch]) -> Batch:
    """One batch of all agents' samples."""
    along = {"obs": 0, "action": 0, "logp": 0, "reward_advantage": 0, "cost_advantage": 1, "targets": 1}
    parts: dict[str, Any] = {
        name: torch.cat([getattr(b, name) for b in batches], dim=dim) for name, dim in along.items()
    }
    return dataclasses.replace(
        batches[0], **parts, episode_cost=np.mean([batch.episode_cost for batch in batches], axis=0)
    )


def _mean(metrics: list[dict[str, float]]) -> dict[str, float]:
    """The mean over agents of what they log."""
    return {key: float(np.mean([found[key] for found in metrics])) for key in metrics[0]}
