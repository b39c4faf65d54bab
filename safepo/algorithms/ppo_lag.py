"""PPO-Lag: PPO on reward minus multiplier times cost.

Ray, Achiam, Amodei 2019 (Benchmarking Safe Exploration in Deep Reinforcement Learning). Once per epoch, before the
policy update, the multiplier `m` takes an Adam step on `-m (Jc - limit)`; the policy then climbs
`(Ar - m Ac) / (1 + m)`, where `Ar` is standardised and `Ac` only centred, so that cost keeps its physical scale.

Differs from the paper in: `m` is clamped at 0 instead of passed through softplus; the settings of `ppo.py`.
Differs from SafePO in: the first epoch's multiplier step sees the measured cost (SafePO reads 0); an epoch in which
no episode finishes keeps the last measured cost; the points listed in `ppo.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from safepo.algorithms.ppo import PPO, PPOSettings
from safepo.errors import UserError
from safepo.multiplier import AdamMultiplier
from safepo.rollout import Batch


@dataclass(frozen=True)
class PPOLagSettings(PPOSettings):
    """Settings of PPO-Lag."""

    multiplier_init: float = 0.001
    """Lagrange multiplier at the start."""
    multiplier_lr: float = 0.035
    """Adam step size of the multiplier (about the change per epoch)."""
    multiplier_max: float = math.inf
    """Upper bound of the multiplier."""

    def check(self) -> None:
        """Refuse values that cannot work."""
        super().check()
        for name in ("multiplier_init", "multiplier_lr", "multiplier_max"):
            if not getattr(self, name) >= 0:
                raise UserError(f"{name} must not be negative, got {getattr(self, name)!r}")


class PPOLag(PPO):
    """Clipped surrogate on the Lagrangian advantage."""

    settings: PPOLagSettings

    def setup(self) -> None:
        super().setup()
        cfg = self.settings
        self.multiplier = AdamMultiplier(cfg.multiplier_init, cfg.multiplier_lr, cfg.multiplier_max)

    def update(self, batch: Batch) -> dict[str, float]:
        """Step the multiplier with the measured episode cost, then fit actor and critics."""
        self.multiplier.update(batch.episode_cost, self.cost_limit)
        advantage = lagrangian_advantage(batch.reward_advantage, batch.cost_advantage, self.multiplier.value)
        return {**self.fit(batch, advantage), "train/multiplier": self.multiplier.value}

    def state_dict(self) -> dict:
        return {**super().state_dict(), "multiplier": self.multiplier.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.multiplier.load_state_dict(state["multiplier"])


def lagrangian_advantage(reward_advantage: Tensor, cost_advantage: Tensor, multiplier: float) -> Tensor:
    """`(Ar - m Ac) / (1 + m)` `(N,)`, not normalised again."""
    return (reward_advantage - multiplier * cost_advantage) / (1 + multiplier)
