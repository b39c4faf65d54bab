"""CUP: constrained update projection.

Yang et al. 2022, arXiv:2209.07089. Two stages per epoch:

1. PPO on the reward (this also fits the critics), which gives the policy `half`;
2. projection towards the constraint: minimise `mean(c sum_j m_j rho Ac_j + KL(new || half))` with
   `c = (1 - gamma lambda) / (1 - gamma)` and the ratio `rho` against the behaviour policy.

Differs from the paper in: both stages stop early by KL; the multiplier takes Adam steps.
Differs from SafePO in: the multiplier's bound is 2 as in OmniSafe (SafePO's 0.2 is reached at once and leaves PPO;
`multiplier_max=0.2` gives it); the second stage has an Adam of its own; the first epoch's multiplier step sees the
measured cost (SafePO reads 0); an epoch in which no episode finishes keeps the last measured cost; several limits are
possible; the points listed in `ppo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from safepo.algorithms.lagrangian import multiplier_metrics
from safepo.algorithms.ppo import PPO, PPOSettings
from safepo.first_order import Fitter, LossGradient, Sample
from safepo.multiplier import AdamMultiplier, MultiplierSettings
from safepo.networks import ACTOR_ONLY
from safepo.rollout import Batch


@dataclass(frozen=True)
class CUPSettings(MultiplierSettings, PPOSettings):
    """Settings of CUP."""

    multiplier_max: float = 2.0
    """Upper bound of the multiplier."""


class CUP(PPO):
    """PPO on the reward, then projection."""

    settings: CUPSettings
    parts: tuple[str, ...] = ("fitter", "projector", "multiplier")

    def setup(self) -> None:
        super().setup()
        self.projector = Fitter(self.settings, self.net, self.shuffle_generator, ACTOR_ONLY, self.group)
        self.multiplier = AdamMultiplier(self.settings, len(self.cost_names))

    def update(self, batch: Batch) -> dict[str, float]:
        """Step the multipliers, improve the reward, then project."""
        self.multiplier.update(batch.episode_cost, self.cost_limit)
        metrics = self.climb(batch, batch.reward_advantage)
        half = self.net.policy(batch.obs)
        weights = torch.tensor(self.multiplier.values, dtype=batch.logp.dtype, device=batch.logp.device)
        charge = coefficient(self.settings.gamma, self.settings.cost_gae_lambda) * (weights @ batch.cost_advantage)
        second = self.projector.run(batch, charge, projection, reference=half, kl_from="reference")
        metrics["train/std"] = self.net.dist.spread(self.net.policy(batch.obs))
        metrics |= {"train/projection_kl": second["train/kl"], "train/projection_passes": second["train/passes"]}
        return {**metrics, **multiplier_metrics(self.multiplier, self.cost_names)}


def coefficient(gamma: float, gae_lambda: float) -> float:
    """`(1 - gamma lambda) / (1 - gamma)`: scale of the cost in the second stage (5.95 with the defaults)."""
    return (1 - gamma * gae_lambda) / max(1 - gamma, 1e-8)


def projection(sample: Sample) -> LossGradient:
    """Derivative of `mean(rho C + KL)`, where `C (b,)`, the weighted cost advantage, stands in `sample.advantage`."""
    share = torch.full_like(sample.ratio, 1 / len(sample.ratio))
    return LossGradient(sample.ratio * sample.advantage * share, share)
