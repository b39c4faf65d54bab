"""MACPO: a step of constrained policy optimisation for every agent in turn.

Gu et al. 2021, arXiv:2110.02793, algorithm 1: agents are updated in random order; each solves CPO's problem with
surrogates weighed by the ratios of the agents updated before it, under the limit on its own cost.

Differs from the paper in: the points listed in `cpo.py` and `mappo.py`.
Differs from SafePO in: the line search starts with the whole step (SafePO with a tenth of it, and caps its norm at
0.5); critics are fitted by `passes` passes (SafePO makes one gradient step per 10,000 environment steps); the KL is
averaged over action dimensions; the points listed in `cpo.py` and `mappo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from safepo.algorithms.cpo import CPO, CPOSettings
from safepo.algorithms.team import Team, TeamSettings


@dataclass(frozen=True)
class MACPOSettings(TeamSettings, CPOSettings):
    """Settings of MACPO."""


class MACPO(Team[MACPOSettings]):
    """Sequential constrained trust-region steps."""

    member = CPO
