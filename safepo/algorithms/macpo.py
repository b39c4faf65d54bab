"""MACPO: a step of constrained policy optimisation for every agent in turn.

Gu et al. 2021, arXiv:2110.02793, algorithm 1: agents are updated in random order; each solves CPO's problem with
surrogates weighed by the ratios of the agents updated before it, under the limit on its own cost.

Differs from the paper in: each agent has a reward of its own, where the environment has (the paper: one of the team);
the points listed in `cpo.py`.
Differs from SafePO in: the line search starts with the whole step (SafePO: with a tenth of it, and the norm of a step
is at most 0.5); the KL is averaged over action dimensions (SafePO sums); the critics are fitted in `passes` passes
(SafePO makes one gradient step per epoch, whatever its settings say); advantages of the cost are centred, not divided
by their spread; `cost_scale` (SafePO's MACPO multiplies by 1 - gamma); the first epoch sees the measured cost (SafePO
reads 0); the points listed in `mappo.py`, but those on the ratio, the passes and the entropy.
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
