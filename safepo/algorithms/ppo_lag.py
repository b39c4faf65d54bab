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

from safepo.algorithms.lagrangian import Lagrangian
from safepo.algorithms.ppo import PPO, PPOSettings
from safepo.multiplier import MultiplierSettings


@dataclass(frozen=True)
class PPOLagSettings(MultiplierSettings, PPOSettings):
    """Settings of PPO-Lag."""


class PPOLag(Lagrangian[PPOLagSettings], PPO):  # type: ignore[misc]
    """Clipped surrogate on the Lagrangian advantage."""
