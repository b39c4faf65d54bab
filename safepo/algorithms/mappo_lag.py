"""MAPPO-Lag: HAPPO on each agent's reward minus a multiplier times its cost.

Gu et al. 2021, arXiv:2110.02793, algorithm 2. Every agent has a multiplier of its own, which takes an Adam step with
the mean cost of that agent's episodes before the policies are updated.

Differs from the paper in: the multiplier moves once per epoch by Adam, not after every minibatch; advantages are
divided by 1 plus the multiplier; the points listed in `happo.py`.
Differs from SafePO in: the multiplier adapts (SafePO's starts at 0.78 and moves by about 5e-5 per epoch); advantages
are divided by 1 plus the multiplier; advantages of the cost are centred, not divided by their spread; the first epoch
sees the measured cost (SafePO reads 0); the points listed in `happo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from safepo.algorithms.mappo import Explorer, MAPPOSettings
from safepo.algorithms.ppo_lag import PPOLag, PPOLagSettings
from safepo.algorithms.team import Team


@dataclass(frozen=True)
class MAPPOLagSettings(MAPPOSettings, PPOLagSettings):
    """Settings of MAPPO-Lag."""


class ExplorerLag(Explorer, PPOLag):  # type: ignore[misc]
    """PPO-Lag with an entropy bonus."""


class MAPPOLag(Team[MAPPOLagSettings]):
    """Sequential clipped surrogates on the Lagrangian advantages."""

    member = ExplorerLag
