"""TRPO-Lag: TRPO on reward minus multipliers times costs.

Ray, Achiam, Amodei 2019 (Benchmarking Safe Exploration in Deep Reinforcement Learning): the multipliers of
`ppo_lag.py`, the step of `trpo.py`.

Differs from the paper in: `m` is clamped at 0 instead of passed through softplus; the points listed in `trpo.py`.
Differs from SafePO in: the first epoch's multiplier step sees the measured cost (SafePO reads 0); an epoch in which no
episode finishes keeps the last measured cost; several limits are possible; the points listed in `trpo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from safepo.algorithms.base import lagrangian_advantage, multiplier_metrics
from safepo.algorithms.trpo import TRPO, TRPOSettings
from safepo.multiplier import AdamMultiplier, MultiplierSettings
from safepo.rollout import Batch


@dataclass(frozen=True)
class TRPOLagSettings(MultiplierSettings, TRPOSettings):
    """Settings of TRPO-Lag."""

    def check(self) -> None:
        super().check()
        self.check_multiplier()


class TRPOLag(TRPO):
    """Line-searched natural step on the Lagrangian advantage."""

    settings: TRPOLagSettings
    parts: tuple[str, ...] = ("fitter", "multiplier")

    def setup(self) -> None:
        super().setup()
        self.multiplier = AdamMultiplier(self.settings, len(self.cost_names))

    def update(self, batch: Batch) -> dict[str, float]:
        """Step the multipliers with the measured episode costs, then the policy."""
        self.multiplier.update(batch.episode_cost, self.cost_limit)
        metrics = self.move(batch, lagrangian_advantage(batch, self.multiplier.values))
        return {**metrics, **multiplier_metrics(self.multiplier, self.cost_names)}
