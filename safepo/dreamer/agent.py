"""Safe DreamerV3: a world model, and an actor or a planner that obeys a cost limit in it.

Huang et al. 2024, "SafeDreamer: Safe Reinforcement Learning with World Models", arXiv:2307.07176.

Differs from the paper in: the costs of a plan are compared with the share of the limit that its decisions have in an
episode; the cost limit of bsrp_lag is that of an episode, brought to the scale of discounted returns; cem ranks plans
as osrp does, without a limit, instead of weighing them by a temperature; deterministic evaluation takes the actor's
mean; several environments collect, and plan in one batch; precision is float32 or bfloat16.
Differs from the code published with it in: time limits are not terminal; a limit of 0 can be met, since plans whose
predicted cost is below 0.01 a decision count as safe; infeasible plans are elites only where too few are feasible; the
constraint of bsrp_lag is on the cost return of the replayed states, not on the sum of those along each trajectory; some
plans of the actor are among the candidates of osrp and osrp_lag, too; a limit that falls (`limit_decisions`) does so at
every decision, not in stages, and for every variant; evaluation does not move the multiplier, which is part of the
checkpoint, and its smoothed cost starts at the first episode's; the last plan is forgotten at an episode's end; vectors
are reconstructed as their symlogs, for an accelerometer's peaks would drown a lidar in squared errors of raw values;
observations are the environment's own, with positions only where `observe` names them; preset tiny_plus, the only one
of those that learn, has the model foretell rewards and costs from actions alone (`overshoot`), vectors on bins
(`vector_bins`), and means of values, not symlogs (`value_means`).
"""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safepo.dreamer.behaviour import Behaviour
from safepo.dreamer.nets import waiting_times
from safepo.dreamer.planner import cost_budget, plan
from safepo.dreamer.settings import PLANNING, SafeDreamerSettings
from safepo.dreamer.world_model import Sequences, Shapes, State, WorldModel
from safepo.errors import UserError
from safepo.multiplier import PIDMultiplier
from safepo.observations import ObsMap

Metrics = dict[str, float | Tensor]
"""Numbers, some still on the device."""
FIRST_GUESS = 1000.0
"""Environment steps of an episode, until one has finished."""
NUMBERS = ("multiplier", "smoothed_cost", "episode_length", "terminated", "taken")
"""What an agent has learnt besides its networks."""


class SafeDreamer:
    """World model, behaviour, their optimisers, and the multiplier of osrp_lag."""

    def __init__(
        self, settings: SafeDreamerSettings, obs: ObsMap, nact: int, cost_limit: float, device: str, seed: int
    ) -> None:
        self.settings, self.obs, self.nact, self.cost_limit = settings, obs, nact, cost_limit
        self.device = torch.device(device)
        init = torch.Generator().manual_seed(seed)
        self.shapes = Shapes.of(obs)
        self.model = WorldModel(settings, self.shapes, nact, init).to(self.device)
        self.behaviour = Behaviour(settings, nact, init).to(self.device)
        self.generator = torch.Generator(self.device).manual_seed(seed + 1)
        self.pid = PIDMultiplier(settings)
        self.multiplier = 0.0
        self.smoothed_cost = float("nan")
        self.episode_length = FIRST_GUESS
        self.terminated = 0.0
        self.taken = 0
        fused = self.device.type in ("cpu", "cuda")
        s, b = settings, self.behaviour
        self.optimizers = {
            "model": torch.optim.Adam(self.model.parameters(), s.model_lr, eps=1e-8, fused=fused),
            "actor": torch.optim.Adam(b.actor.parameters(), s.actor_lr, eps=1e-5, fused=fused),
            "critic": torch.optim.Adam(b.critic.net.parameters(), s.actor_lr, eps=1e-5, fused=fused),
        }
        if b.cost_critic is not None:
            self.optimizers["cost_critic"] = torch.optim.Adam(
                b.cost_critic.net.parameters(), s.actor_lr, eps=1e-5, fused=fused
            )
        if s.compile:
            self.model.rssm.observe = torch.compile(self.model.rssm.observe)  # type: ignore[method-assign]
            self.model.rssm.imagine = torch.compile(self.model.rssm.imagine)  # type: ignore[method-assign]

    @property
    def decisions(self) -> int:
        """Decisions of an episode."""
        return math.ceil(self.episode_length / self.settings.action_repeat)

    @property
    def limit(self) -> float:
        """The cost limit of an episode, as far as it has fallen after the decisions `taken`."""
        s = self.settings
        left = max(0.0, 1 - self.taken / s.limit_decisions) if s.limit_decisions else 0.0
        return self.cost_limit + left * (s.limit_start - self.cost_limit)

    def update(self, data: dict[str, NDArray[Any]]) -> Metrics:
        """One gradient step of everything on replayed sequences (T, B, ...); returns metrics."""
        sequences = self.sequences(data)
        with self.autocast():
            loss, states, parts = self.model.loss(sequences, self.generator)
        metrics: Metrics = {f"train/loss_{name}": value.detach() for name, value in parts.items()}
        self._step("model", self.model, loss, self.settings.model_clip)
        start = State(*(x.detach().flatten(0, 1) for x in states))
        goes_on = 1 - sequences.terminal.flatten()
        with self.autocast():
            loss, critics, found = self.behaviour.losses(
                self.model, start, goes_on, self.discounted_limit(), self.generator
            )
        self._step("actor", self.behaviour.actor, loss, self.settings.actor_clip)
        for name, (critic, critic_loss) in zip(("critic", "cost_critic"), critics, strict=False):
            self._step(name, critic.net, critic_loss, self.settings.actor_clip)
            critic.follow()
        return metrics | {f"train/{name}": value for name, value in found.items()}

    def _step(self, name: str, module: torch.nn.Module, loss: Tensor, clip: float) -> None:
        """Descend a loss by the module's parameters alone."""
        params = list(module.parameters())
        for param, grad in zip(params, torch.autograd.grad(loss, params, allow_unused=True), strict=True):
            # those of convolutions may come channels last, which the fused optimiser would not notice
            param.grad = None if grad is None else torch.empty_like(param).copy_(grad)
        torch.nn.utils.clip_grad_norm_(params, clip, foreach=True)
        self.optimizers[name].step()

    def autocast(self) -> torch.autocast:
        enabled = self.settings.precision == "bfloat16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def discounted_limit(self) -> float:
        """The cost limit of an episode as one of discounted returns: its cost per decision, for as long as it goes on.

        That is for ever where a time limit ends episodes, of which the model is not told. Where they terminate after n
        decisions, 1 to n are left, and the mean over these is taken.
        """
        n, gamma = self.decisions, self.settings.discount
        for_ever = 1 / (1 - gamma)
        to_the_end = for_ever * (1 - gamma * for_ever * (1 - gamma**n) / n)
        return self.limit / n * (for_ever + self.terminated * (to_the_end - for_ever))

    def sequences(self, data: dict[str, NDArray[Any]]) -> Sequences:
        """Replayed arrays as tensors on the device."""
        tensors = {name: torch.from_numpy(value).to(self.device) for name, value in data.items()}
        image = tensors["image"].movedim(-1, -3)
        rest = {name: tensors[name].float() for name in Sequences._fields if name != "image"}
        return Sequences(image=image, **rest)

    def episode_ended(self, cost: float, length: float, terminated: bool) -> None:
        """Hear of a training episode: its cost, the mean length of the last ones, whether it terminated by itself."""
        s = self.settings
        self.episode_length = length
        self.terminated += (1 - s.cost_smoothing) * (terminated - self.terminated)
        past = self.smoothed_cost if np.isfinite(self.smoothed_cost) else cost
        self.smoothed_cost = s.cost_smoothing * past + (1 - s.cost_smoothing) * cost
        if s.variant == "osrp_lag" and self.taken >= s.multiplier_start:
            self.pid.update(np.array([self.smoothed_cost]), np.array([self.limit]))
            self.multiplier = float(self.pid.values[0])

    @property
    def shown_multiplier(self) -> float:
        """How strongly costs weigh against reward; 0 where they do not."""
        return self.behaviour.lagrangian.multiplier if self.settings.variant == "bsrp_lag" else self.multiplier

    def constraint(self) -> dict[str, float]:
        """The episode cost that the multiplier of osrp_lag sees, once an episode has ended, and a limit that falls."""
        known = self.settings.variant == "osrp_lag" and math.isfinite(self.smoothed_cost)
        found = {"train/cost_smoothed": self.smoothed_cost} if known else {}
        return found | ({"train/cost_limit": self.limit} if self.settings.limit_decisions else {})

    def frozen(self) -> SafeDreamer:
        """A copy that acts; it does not change as training goes on."""
        other = SafeDreamer(self.settings, self.obs, self.nact, self.cost_limit, str(self.device), 0)
        other.load_state_dict(self.state_dict(), training=False)
        return other

    def state_dict(self) -> dict[str, Any]:
        return {
            "model": self.model.state_dict(),
            "behaviour": self.behaviour.state_dict(),
            "extra": self.behaviour.extra_state(),
            "optimizers": {name: optimizer.state_dict() for name, optimizer in self.optimizers.items()},
            "generator": self.generator.get_state(),
            "pid": self.pid.state_dict(),
            "numbers": [getattr(self, name) for name in NUMBERS],
        }

    def load_state_dict(self, state: dict[str, Any], training: bool = True) -> None:
        """Restore; without `training` only what acts."""
        self.model.load_state_dict(state["model"])
        self.behaviour.load_state_dict(state["behaviour"])
        for name, number in zip(NUMBERS, state["numbers"], strict=True):
            setattr(self, name, number)
        if training:
            self.behaviour.load_extra_state(state["extra"])
            for name, optimizer in self.optimizers.items():
                optimizer.load_state_dict(copy.deepcopy(state["optimizers"][name]))  # torch would share its tensors
            self.generator.set_state(torch.as_tensor(state["generator"]))
            self.pid.load_state_dict(state["pid"])


def split(rows: NDArray[Any], obs: ObsMap, shapes: Shapes) -> dict[str, NDArray[Any]]:
    """Split rows (n, w) into `vector` (n, v) float32 and `image` (n, s, s, c) uint8, the cameras stacked on c."""
    images = obs.pixels(rows) if shapes.channels else [np.zeros((len(rows), shapes.size, shapes.size, 0), np.uint8)]
    vector = obs.vectors(rows) if shapes.nvector else rows[:, :0]
    return {"vector": vector.astype(np.float32), "image": np.concatenate(images, -1)}


class Player:
    """Acts in n simulations: keeps a belief of each, decides every `action_repeat` steps, holds the action between."""

    def __init__(self, agent: SafeDreamer, n: int, generator: torch.Generator) -> None:
        self.agent, self.generator = agent, generator
        s, device = agent.settings, agent.device
        self.state = State(torch.zeros(n, s.deter, device=device), torch.zeros(n, s.stoch * s.classes, device=device))
        self.action = torch.zeros(n, agent.nact, device=device)
        self.plan = torch.zeros(s.plan_horizon, n, agent.nact, device=device)
        self.hold = np.zeros(n, np.int64)
        self.first = np.ones(n, bool)
        self.metrics: dict[str, float] = {}

    def begin(self, first: NDArray[np.bool_]) -> None:
        """Forget the past of the simulations `first` (n,), whose episodes begin."""
        self.first |= first
        self.hold[first] = 0

    @torch.no_grad()
    def __call__(
        self, rows: NDArray[Any], deterministic: bool = False, explore: NDArray[np.floating] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
        """Return actions (n, u) in [-1, 1] for rows of observations (n, o), and where they were decided anew.

        `explore` (n, u) replaces the decisions.
        """
        ids = np.flatnonzero(self.hold == 0)
        if len(ids):
            self._decide(rows[ids], torch.from_numpy(ids).to(self.agent.device), deterministic, explore)
            self.hold[ids] = self.agent.settings.action_repeat
            self.first[ids] = False
        self.hold -= 1
        return self.action.cpu().numpy().astype(np.float64), ids

    def _decide(
        self, rows: NDArray[Any], ids: Tensor, deterministic: bool, explore: NDArray[np.floating] | None
    ) -> None:
        agent, n = self.agent, len(rows)
        seen = split(rows, agent.obs, agent.shapes)
        first = torch.from_numpy(self.first).to(agent.device)[ids].float()[:, None]
        with agent.autocast():
            embed = agent.model.embed(
                torch.from_numpy(seen["vector"]).to(agent.device),
                torch.from_numpy(seen["image"]).to(agent.device).movedim(-1, 1),
            )
            noise = waiting_times((n, *agent.model.rssm.shape), self.generator)
            before = State(self.state.h[ids], self.state.z[ids])
            state, _ = agent.model.rssm.observe(before, self.action[ids], embed, first, noise)
            self.state.h[ids], self.state.z[ids] = state.h.float(), state.z.float()
            if explore is not None:
                self.action[ids] = torch.from_numpy(explore).to(self.action)[ids]
            elif agent.settings.variant in PLANNING:
                self.action[ids] = self._plan(state, ids, first)
            else:
                mean, std = agent.behaviour.actor(state.feature)
                normal = torch.randn(mean.shape, generator=self.generator, device=agent.device)
                self.action[ids] = mean if deterministic else (mean + std * normal).clamp(-1, 1)

    def _plan(self, state: State, ids: Tensor, first: Tensor) -> Tensor:
        agent = self.agent
        before = self.plan[:, ids] * (1 - first)
        guess = torch.cat([before[1:], before[-1:]])
        budget = cost_budget(agent.settings, agent.limit, agent.decisions)
        found, self.metrics = plan(agent.model, agent.behaviour, state, guess, budget, agent.multiplier, self.generator)
        self.plan[:, ids] = found
        return found[0]

    def state_dict(self) -> dict[str, Any]:
        tensors = {"h": self.state.h, "z": self.state.z, "action": self.action, "plan": self.plan}
        return {
            **{name: value.clone() for name, value in tensors.items()},
            "hold": self.hold.copy(),
            "first": self.first.copy(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, tensor in (("h", self.state.h), ("z", self.state.z), ("action", self.action), ("plan", self.plan)):
            tensor.copy_(state[name])
        self.hold, self.first = np.array(state["hold"]), np.array(state["first"])
        self.generator.set_state(torch.as_tensor(state["generator"]))


def check_limits(limits: dict[str, float], settings: SafeDreamerSettings) -> float:
    """Return the one limit that Safe DreamerV3 can hold."""
    if set(limits) != {"cost"}:
        raise UserError(f"cost_limit: safe_dreamer holds one limit, on the cost itself; got {', '.join(limits)}")
    if settings.limit_decisions and not settings.limit_start >= limits["cost"]:
        raise UserError(
            f"limit_start {settings.limit_start!r}: the limit falls to cost_limit {limits['cost']!r}, which is not less"
        )
    return limits["cost"]
