"""RCPO: reward constrained policy optimisation, here as a natural step on the Lagrangian advantage.

Tessler, Mankowitz, Mannor 2018, arXiv:1805.11074: three time scales, the multipliers being the slowest.

Differs from the paper in: reward and costs have critics of their own instead of one for the penalised reward; the
multipliers take Adam steps once per epoch; the policy takes natural steps (`natural_pg.py`).
Differs from SafePO in: the first epoch's multiplier step sees the measured cost (SafePO reads 0); an epoch in which no
episode finishes keeps the last measured cost; several limits are possible; the points listed in `natural_pg.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from safepo.algorithms.lagrangian import Lagrangian
from safepo.algorithms.natural_pg import NaturalPG, NaturalPGSettings
from safepo.multiplier import MultiplierSettings


@dataclass(frozen=True)
class RCPOSettings(MultiplierSettings, NaturalPGSettings):
    """Settings of RCPO."""


class RCPO(Lagrangian[RCPOSettings], NaturalPG):  # type: ignore[misc]
    """Full natural step on the Lagrangian advantage."""
