"""PG: policy gradient with a critic as baseline. Ignores the cost (its critic is trained and logged).

Williams 1992 (REINFORCE); Sutton et al. 1999 (NIPS); advantages by GAE, arXiv:1506.02438:
`L = -mean(rho A)` with the importance ratio `rho`.

Differs from the paper in: the data of an epoch is used for several passes, corrected by `rho` and stopped by KL, so
this is PPO without its clip; observations are normalised by running statistics; the actor's step size decays linearly
to 0.
Differs from SafePO in: the points listed in `ppo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from safepo.algorithms.base import Algorithm
from safepo.algorithms.settings import FirstOrderSettings
from safepo.first_order import LossGradient, Sample, value_losses
from safepo.rollout import Batch


@dataclass(frozen=True)
class PGSettings(FirstOrderSettings):
    """Settings of PG."""


class PG(Algorithm[PGSettings]):
    """Importance-weighted policy gradient on the reward advantage."""

    def climb(self, batch: Batch, advantage: Tensor) -> dict[str, float]:
        """Fit actor and critics to one epoch of data."""
        metrics = self.fitter.run(batch, advantage, policy_gradient)
        policy = self.net.policy(batch.obs)
        ratio = (self.net.dist.logp(policy, batch.action) - batch.logp).exp()
        surrogate = -(ratio * advantage).mean().item()
        spread = self.net.dist.spread(policy)
        return {"loss/policy": surrogate, **value_losses(self.net, batch), **metrics, "train/std": spread}


def policy_gradient(sample: Sample) -> LossGradient:
    """Derivative of `-mean(rho A)`: d rho / d logp = rho."""
    return LossGradient(sample.ratio * sample.advantage * (-1 / len(sample.ratio)))
