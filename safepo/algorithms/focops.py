"""FOCOPS: first-order constrained optimisation in policy space.

Zhang, Vuong, Ross 2020, arXiv:2002.06506. The optimal policy of the trust-region problem is projected back onto the
network by descending, over samples inside the trust region,

    L = mean_s( 1[KL_s <= delta] (KL_s - rho_s A_s / temperature) ),    KL_s = KL(new || old) at sample s,

with `A = (Ar - sum m Ac) / (1 + sum m)`. The indicator is per sample and carries no gradient.

Differs from the paper in: the multiplier takes Adam steps (the paper's is a plain gradient step); the mixed advantage
is divided by `1 + m`; one `target_kl` bounds both the indicator and the early stop, which tests KL(old || new).
Differs from SafePO in: the indicator selects samples (SafePO's is broadcast into a [B, B] matrix and selects none); the
first epoch's multiplier step sees the measured cost (SafePO reads 0); an epoch in which no episode finishes keeps the
last measured cost; several limits are possible; the points listed in `ppo.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from safepo.algorithms.lagrangian import Lagrangian
from safepo.algorithms.settings import FirstOrderSettings
from safepo.errors import UserError
from safepo.first_order import LossGradient, Sample, value_losses
from safepo.multiplier import MultiplierSettings
from safepo.rollout import Batch


@dataclass(frozen=True)
class FOCOPSSettings(MultiplierSettings, FirstOrderSettings):
    """Settings of FOCOPS."""

    multiplier_max: float = 2.0
    """Upper bound of the multiplier (`nu_max` of the paper)."""
    temperature: float = 1.5
    """`lambda` of the paper: large values keep the policy near the old one."""

    def check(self) -> None:
        super().check()
        if not self.temperature > 0:
            raise UserError(f"temperature must be positive, got {self.temperature!r}")


class FOCOPS(Lagrangian[FOCOPSSettings]):
    """Projection of the optimal update of the policy onto the network."""

    def climb(self, batch: Batch, advantage: Tensor) -> dict[str, float]:
        """Fit actor and critics to one epoch of data."""
        net, old = self.net, self.net.policy(batch.obs)
        metrics = self.fitter.run(batch, advantage, self.loss, reference=old)
        policy = net.policy(batch.obs)
        ratio, kl = (net.dist.logp(policy, batch.action) - batch.logp).exp(), net.dist.kl(policy, old)
        loss = focops_loss(ratio, kl, advantage, self.settings.target_kl, self.settings.temperature).item()
        spread = net.dist.spread(policy)
        return {"loss/policy": loss, **value_losses(net, batch), **metrics, "train/std": spread}

    def loss(self, sample: Sample) -> LossGradient:
        """Derivative of `focops_loss` by log-probability and KL."""
        assert sample.kl is not None
        weight = (sample.kl <= self.settings.target_kl).to(sample.kl.dtype) / len(sample.kl)
        return LossGradient(-weight * sample.ratio * sample.advantage / self.settings.temperature, weight)


def focops_loss(ratio: Tensor, kl: Tensor, advantage: Tensor, delta: float, temperature: float) -> Tensor:
    """`mean(1[KL <= delta] (KL - rho A / temperature))`; all arguments `(b,)`."""
    inside = (kl <= delta).to(kl.dtype)
    return (inside * (kl - ratio * advantage / temperature)).mean()
