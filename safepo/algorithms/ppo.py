"""PPO: proximal policy optimisation with a clipped ratio. Ignores the cost (its critic is trained and logged).

Schulman et al. 2017, arXiv:1707.06347: `L = -mean(min(rho A, clip(rho, 1 - c, 1 + c) A))`.

Differs from the paper in: the passes stop early by KL; no entropy bonus; actor and critics share neither layers nor
loss; observations are normalised by running statistics; the actor's step size decays linearly to 0.
Differs from SafePO in: gradients are clipped per network, not over actor and critics together (`clip_mode`); the
critics see the *normalised* final observation when they bootstrap a truncated episode.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from safepo.algorithms.base import Algorithm
from safepo.algorithms.settings import FirstOrderSettings
from safepo.errors import UserError
from safepo.first_order import LossGradient, Sample, value_losses
from safepo.rollout import Batch


@dataclass(frozen=True)
class PPOSettings(FirstOrderSettings):
    """Settings of PPO."""

    clip: float = 0.2
    """The ratio of new to old probability is clipped to [1 - clip, 1 + clip]."""

    def check(self) -> None:
        super().check()
        if not 0 < self.clip < 1:
            raise UserError(f"clip must lie in (0, 1), got {self.clip!r}")


class PPO(Algorithm[PPOSettings]):
    """Clipped surrogate on the reward advantage."""

    def climb(self, batch: Batch, advantage: Tensor) -> dict[str, float]:
        """Run the passes on `advantage` `(N,)`; `loss/policy` is the surrogate on all data after the last pass."""
        metrics = self.fitter.run(batch, advantage, self.loss)
        policy = self.net.policy(batch.obs)
        ratio = (self.net.dist.logp(policy, batch.action) - batch.logp).exp()
        surrogate = clipped_loss(ratio, advantage, self.settings.clip)
        spread = self.net.dist.spread(policy)
        return {"loss/policy": surrogate.item(), **value_losses(self.net, batch), **metrics, "train/std": spread}

    def loss(self, sample: Sample) -> LossGradient:
        """Derivative of `clipped_loss`: d rho / d logp = rho, and nothing from samples clipped towards their
        advantage."""
        ratio, advantage = sample.ratio, sample.advantage
        clipped = (ratio - 1) * advantage.sign() > self.settings.clip
        return LossGradient((ratio * advantage).masked_fill_(clipped, 0.0).mul_(-1 / len(ratio)))


def clipped_loss(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """`-mean(min(rho A, clip(rho) A))` for ratio and advantage `(b,)`."""
    return -torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
