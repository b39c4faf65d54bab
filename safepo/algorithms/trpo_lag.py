"""TRPO-Lag: TRPO on reward minus multipliers times costs.

Ray, Achiam, Amodei 2019 (Benchmarking Safe Exploration in Deep Reinforcement Learning): the multipliers of
`ppo_lag.py`, the step of `trpo.py`.

Differs from the paper in: `m` is clamped at 0 instead of passed through softplus; the points listed in `trpo.py`.
Differs from SafePO in: the first epoch's multiplier step sees the measured cost (SafePO reads 0); an epoch in which no
episode finishes keeps the last measured cost; several limits are possible; the points listed in `trpo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from safepo.algorithms.lagrangian import Lagrangian
from safepo.algorithms.trpo import TRPO, TRPOSettings
from safepo.multiplier import MultiplierSettings


@dataclass(frozen=True)
class TRPOLagSettings(MultiplierSettings, TRPOSettings):
    """Settings of TRPO-Lag."""


class TRPOLag(Lagrangian[TRPOLagSettings], TRPO):  # type: ignore[misc]
    """Line-searched natural step on the Lagrangian advantage."""
