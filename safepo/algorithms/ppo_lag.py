"""PPO-Lag: PPO on reward minus multipliers times costs.

Ray, Achiam, Amodei 2019 (Benchmarking Safe Exploration in Deep Reinforcement Learning). Once per epoch, before the
policy update, every multiplier `m` takes an Adam step on `-m (Jc - limit)`; the policy then climbs `(Ar - sum m Ac) /
(1 + sum m)`, where `Ar` is standardised and `Ac` only centred, so that cost keeps its physical scale.

Differs from the paper in: `m` is clamped at 0 instead of passed through softplus; the points listed in `ppo.py`.
Differs from SafePO in: the first epoch's multiplier step sees the measured cost (SafePO reads 0); an epoch in which no
episode finishes keeps the last measured cost; several limits are possible; the points listed in `ppo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from safepo.algorithms.base import lagrangian_advantage, multiplier_metrics
from safepo.algorithms.ppo import PPO, PPOSettings
from safepo.multiplier import AdamMultiplier, MultiplierSettings
from safepo.rollout import Batch


@dataclass(frozen=True)
class PPOLagSettings(MultiplierSettings, PPOSettings):
    """Settings of PPO-Lag."""

    def check(self) -> None:
        super().check()
        self.check_multiplier()


class PPOLag(PPO):
    """Clipped surrogate on the Lagrangian advantage."""

    settings: PPOLagSettings
    parts: tuple[str, ...] = ("fitter", "multiplier")

    def setup(self) -> None:
        super().setup()
        self.multiplier = AdamMultiplier(self.settings, len(self.cost_names))

    def update(self, batch: Batch) -> dict[str, float]:
        """Step the multipliers with the measured episode costs, then fit actor and critics."""
        self.multiplier.update(batch.episode_cost, self.cost_limit)
        metrics = self.fit(batch, lagrangian_advantage(batch, self.multiplier.values))
        return {**metrics, **multiplier_metrics(self.multiplier, self.cost_names)}
