"""Actor and critics, trained on trajectories that the world model imagines.

Hafner et al. 2023 (arXiv:2301.04104), section "Actor critic learning"; the augmented Lagrangian is that of Huang et al.
2024 (arXiv:2307.07176), equations 8 to 10.
"""

from __future__ import annotations

import copy
import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from safepo.dreamer.nets import TwoHot, head, waiting_times
from safepo.dreamer.settings import COST_CRITIC, SafeDreamerSettings
from safepo.dreamer.world_model import State, WorldModel

LOW_STD, HIGH_STD = 0.1, 1.0


class Actor(nn.Module):
    """Normal distribution of actions (n, u) with mean in (-1, 1) and standard deviation in (0.1, 1)."""

    def __init__(self, settings: SafeDreamerSettings, nfeature: int, nact: int, generator: torch.Generator) -> None:
        super().__init__()
        self.net = head(nfeature, settings.head_layers, settings.units, 2 * nact, generator)

    def forward(self, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation (n, u)."""
        mean, std = self.net(feature).float().chunk(2, -1)
        return torch.tanh(mean), (HIGH_STD - LOW_STD) * torch.sigmoid(std + 2.0) + LOW_STD


class Imagined(NamedTuple):
    """A trajectory of H decisions from each of N starts."""

    feature: Tensor
    """(H + 1, N, f)"""
    action: Tensor
    """(H, N, u)"""
    entropy: Tensor
    """(H, N) of the actor where it acted"""


def imagine(model: WorldModel, actor: Actor, start: State, horizon: int, generator: torch.Generator) -> Imagined:
    """Follow the actor from `start` (N, ...); gradients flow through the model's transitions into the actions, but not
    through what the actor sees."""
    n, state = len(start.h), start
    noise = waiting_times((horizon, n, *model.rssm.shape), generator)
    normal = torch.randn((horizon, n, model.rssm.nact), generator=generator, device=generator.device)
    features, actions, entropies = [state.feature], [], []
    for t in range(horizon):
        mean, std = actor(features[-1].detach())
        action = mean + std * normal[t]
        state = model.rssm.imagine(state, action, noise[t])
        features.append(state.feature)
        actions.append(action)
        entropies.append((std.log() + 0.5 * math.log(2 * math.pi * math.e)).sum(-1))
    return Imagined(torch.stack(features), torch.stack(actions), torch.stack(entropies))


def lambda_returns(reward: Tensor, discount: Tensor, value: Tensor, lam: float) -> Tensor:
    """`R_t = r_{t+1} + d_{t+1} ((1 - lam) V_{t+1} + lam R_{t+1})`, `R_H = V_H`, for t < H.

    `reward` and `discount` (H, N) and `value` (H, N) belong to the states after each decision.
    """
    returns, last = [], value[-1]
    for t in reversed(range(len(reward))):
        last = reward[t] + discount[t] * torch.lerp(value[t], last, lam)
        returns.append(last)
    return torch.stack(returns[::-1])


class ReturnScale:
    """Running range of returns from the 5th to the 95th percentile, at least 1."""

    def __init__(self, decay: float) -> None:
        self.decay, self.low, self.high = decay, 0.0, 0.0

    def __call__(self, returns: Tensor) -> float:
        """Take in a batch of returns; return the scale."""
        low, high = torch.quantile(
            returns.detach().flatten(), torch.tensor([0.05, 0.95], device=returns.device)
        ).tolist()
        self.low = self.decay * self.low + (1 - self.decay) * low
        self.high = self.decay * self.high + (1 - self.decay) * high
        return max(1.0, self.high - self.low)


class AugmentedLagrangian:
    """Multiplier and penalty of a constraint `g <= 0` in the actor's loss (arXiv:2307.07176, equations 9 and 10).

    psi = m g + c g^2 / 2   if m + c g > 0,   else   - m^2 / (2 c)
    m <- max(0, m + c g),   c <- min(1, c (1 + growth))
    """

    def __init__(self, settings: SafeDreamerSettings) -> None:
        self.multiplier, self.coefficient = settings.lagrange_init, settings.penalty_init
        self.growth = settings.penalty_growth

    def __call__(self, g: Tensor) -> Tensor:
        """Return psi, differentiable in the scalar `g`, and move the multiplier and the coefficient."""
        m, c = self.multiplier, self.coefficient
        inside = m + c * float(g.detach())
        psi = m * g + 0.5 * c * g.square() if inside > 0 or c == 0 else torch.full_like(g, -(m**2) / (2 * c))
        self.multiplier, self.coefficient = max(0.0, inside), min(1.0, max(c, c * (1 + self.growth)))
        return psi


class Critic(nn.Module):
    """Two-hot distribution of returns, with a slow copy that it is held to."""

    def __init__(
        self, settings: SafeDreamerSettings, nfeature: int, slow_fraction: float, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.two_hot = TwoHot(settings.bins, settings.bin_limit, settings.value_means)
        self.net = head(nfeature, settings.head_layers, settings.units, settings.bins, generator, scale=0.0)
        self.slow = copy.deepcopy(self.net).requires_grad_(False)
        self.fraction = slow_fraction

    def forward(self, feature: Tensor) -> Tensor:
        """Return expected returns (...,)."""
        return self.two_hot.mean(self.net(feature))

    def loss(self, feature: Tensor, returns: Tensor, weight: Tensor) -> Tensor:
        """`- w (ln p(R) + ln p(slow critic's mean))`, mean over all (arXiv:2301.04104, equation 7)."""
        logits = self.net(feature)
        with torch.no_grad():
            slow = self.two_hot.mean(self.slow(feature))
        return (weight * (self.two_hot.loss(logits, returns) + self.two_hot.loss(logits, slow))).mean()

    @torch.no_grad()
    def follow(self) -> None:
        """Move the slow copy towards the critic."""
        torch._foreach_lerp_(list(self.slow.parameters()), list(self.net.parameters()), self.fraction)


class Behaviour(nn.Module):
    """Actor, critics and what their losses remember."""

    def __init__(self, settings: SafeDreamerSettings, nact: int, generator: torch.Generator) -> None:
        super().__init__()
        s = self.settings = settings
        nfeature = s.deter + s.stoch * s.classes
        self.actor = Actor(s, nfeature, nact, generator)
        self.critic = Critic(s, nfeature, s.slow_fraction, generator)
        costs = s.variant in COST_CRITIC
        self.cost_critic = Critic(s, nfeature, s.cost_slow_fraction, generator) if costs else None
        self.scale = ReturnScale(s.return_decay)
        self.lagrangian = AugmentedLagrangian(s)

    def signals(self, model: WorldModel, feature: Tensor) -> tuple[Tensor, Tensor]:
        """Predicted rewards and discounts (H, N) of the states after each decision; `feature` is (H + 1, N, f).

        The discount of a state is `discount` where the continue head believes that it goes on, else 0.
        """
        after = feature[1:]
        goes_on = (model.continues(after.detach())[..., 0] > 0).to(after.dtype)
        return model.two_hot.mean(model.reward(after)), self.settings.discount * goes_on

    def losses(
        self, model: WorldModel, start: State, goes_on: Tensor, cost_limit: float, generator: torch.Generator
    ) -> tuple[Tensor, list[tuple[Critic, Tensor]], dict[str, float | Tensor]]:
        """The actor's loss and each critic's, from trajectories that begin at `start` (N, ...).

            actor   mean of w (- (R - V) / scale - entropy H), and for bsrp_lag psi of the constraint on the cost return
            critic  mean of w (- ln p(sg(R)) - ln p(slow critic's mean)); the cost critic alike with cost returns
            w       product of the discounts up to the state; `goes_on` (N,) is 0 at starts that are ends

        `cost_limit` is on the discounted cost return of a start.
        """
        s = self.settings
        path = imagine(model, self.actor, start, s.imagination, generator)
        reward, discount = self.signals(model, path.feature)
        weight = torch.cumprod(torch.cat([goes_on[None], discount[:-1]]), 0).detach()
        value = self.critic(path.feature)
        returns = lambda_returns(reward, discount, value[1:], s.return_lambda)
        scale = self.scale(returns)
        loss = (weight * (-(returns - value[:-1]) / scale - s.entropy * path.entropy)).mean()
        seen = path.feature[:-1].detach()
        critics = [(self.critic, self.critic.loss(seen, returns, weight))]
        metrics: dict[str, float | Tensor] = {"return_imagined": returns.mean().detach(), "return_scale": scale,
                   "entropy": path.entropy.mean().detach()}  # fmt: skip
        if self.cost_critic is not None:
            cost = model.two_hot.mean(model.cost(path.feature[1:]))
            cost_returns = lambda_returns(cost, discount, self.cost_critic(path.feature[1:]), s.return_lambda)
            critics.append((self.cost_critic, self.cost_critic.loss(seen, cost_returns, weight)))
            mean_cost = (goes_on * cost_returns[0]).sum() / goes_on.sum().clamp(min=1)
            metrics["cost_return_imagined"] = mean_cost.detach()
            if s.variant == "bsrp_lag":
                loss = loss + self.lagrangian(mean_cost - cost_limit)
                metrics["penalty"] = self.lagrangian.coefficient
        return loss, critics, metrics

    def extra_state(self) -> dict[str, Any]:
        """What changes besides the networks."""
        lag = self.lagrangian
        return {"scale": [self.scale.low, self.scale.high], "lagrangian": [lag.multiplier, lag.coefficient]}

    def load_extra_state(self, state: dict[str, Any]) -> None:
        self.scale.low, self.scale.high = state["scale"]
        self.lagrangian.multiplier, self.lagrangian.coefficient = state["lagrangian"]
