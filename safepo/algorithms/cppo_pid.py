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

from safepo.algorithms.lagrangian import Lagrangian
from safepo.algorithms.ppo import PPO, PPOSettings
from safepo.multiplier import PIDMultiplier, PIDSettings


@dataclass(frozen=True)
class CPPOPIDSettings(PIDSettings, PPOSettings):
    """Settings of CPPO-PID."""


class CPPOPID(Lagrangian[CPPOPIDSettings], PPO):  # type: ignore[misc]
    """Clipped surrogate on the advantage mixed by a PID controller."""

    controller = PIDMultiplier
