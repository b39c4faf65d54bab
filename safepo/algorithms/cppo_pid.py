"""CPPO-PID: PPO on reward minus costs, weighted by the output of a PID controller.

Stooke, Achiam, Abbeel 2020 (Responsive Safety in Reinforcement Learning by PID Lagrangian Methods), arXiv:2007.03964.
Once per epoch the controller of `PIDMultiplier` sees `Jc - limit`; the policy climbs `(Ar - sum m Ac) / (1 + sum m)`.

Differs from the paper in: the derivative looks back `pid_delay` epochs; the points listed in `ppo.py`.
Differs from SafePO in: the first epoch sees the measured cost (SafePO reads 0); an epoch in which no episode finishes
keeps the last measured cost; several limits are possible; `pid_max` bounds integral and multiplier (SafePO's
`penalty_max` has no effect with its defaults); the points listed in `ppo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from safepo.algorithms.base import lagrangian_advantage, multiplier_metrics
from safepo.algorithms.ppo import PPO, PPOSettings
from safepo.multiplier import PIDMultiplier, PIDSettings
from safepo.rollout import Batch


@dataclass(frozen=True)
class CPPOPIDSettings(PIDSettings, PPOSettings):
    """Settings of CPPO-PID."""

    def check(self) -> None:
        super().check()
        self.check_pid()


class CPPOPID(PPO):
    """Clipped surrogate on the advantage mixed by a PID controller."""

    settings: CPPOPIDSettings
    parts: tuple[str, ...] = ("fitter", "multiplier")

    def setup(self) -> None:
        super().setup()
        self.multiplier = PIDMultiplier(self.settings, len(self.cost_names))

    def update(self, batch: Batch) -> dict[str, float]:
        """Step the controller with the measured episode costs, then fit actor and critics."""
        self.multiplier.update(batch.episode_cost, self.cost_limit)
        metrics = self.fit(batch, lagrangian_advantage(batch, self.multiplier.values))
        return {**metrics, **multiplier_metrics(self.multiplier, self.cost_names)}
