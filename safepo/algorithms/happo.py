"""HAPPO: PPO for every agent in turn, each correcting for those updated before it. Ignores the cost (it is logged).

Kuba et al. 2021, arXiv:2109.11251, algorithm 4: agents are updated in random order; agent i's advantages are weighed
by the product of the ratios of the agents before it.

Differs from the paper in: each agent has a reward of its own, where the environment has (the paper: one of the team);
the points listed in `mappo.py`, but that the paper's agents share no parameters either.
Differs from SafePO in: the points listed in `mappo.py`, but the ratio, which SafePO's HAPPO takes of the whole action.
"""

from __future__ import annotations

from dataclasses import dataclass

from safepo.algorithms.mappo import Explorer, MAPPOSettings
from safepo.algorithms.team import Team


@dataclass(frozen=True)
class HAPPOSettings(MAPPOSettings):
    """Settings of HAPPO."""


class HAPPO(Team[HAPPOSettings]):
    """Sequential clipped surrogates."""

    member = Explorer
