"""PPO: proximal policy optimisation with a clipped ratio. Ignores the cost (its critic is trained and logged).

Schulman et al. 2017, arXiv:1707.06347: `L = -mean(min(rho A, clip(rho, 1 - c, 1 + c) A))`.

Differs from the paper in: early stop of the passes by KL; no entropy bonus; no shared value term; observations are
normalised by running statistics; actor step size decays linearly to 0.
Differs from SafePO in: gradients are clipped per network, not over actor and critics together; the critics see the
*normalised* final observation when they bootstrap a truncated episode.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from safepo.algorithms.base import Algorithm
from safepo.errors import UserError
from safepo.first_order import FirstOrderSettings, FirstOrderUpdate, Minibatch
from safepo.networks import gaussian_logp, gaussian_logp_backward
from safepo.rollout import Batch


@dataclass(frozen=True)
class PPOSettings(FirstOrderSettings):
    """Settings of PPO."""

    clip: float = 0.2
    """The ratio of new to old probability is clipped to [1 - clip, 1 + clip]."""

    def check(self) -> None:
        """Refuse values that cannot work."""
        super().check()
        if not 0 < self.clip < 1:
            raise UserError(f"clip must lie in (0, 1), got {self.clip!r}")


class PPO(Algorithm[PPOSettings]):
    """Clipped surrogate on the reward advantage."""

    def setup(self) -> None:
        self.first_order = FirstOrderUpdate(self.settings, self.net, self.shuffle_generator)

    def update(self, batch: Batch) -> dict[str, float]:
        """Fit actor and critics to one epoch of data."""
        return self.fit(batch, batch.reward_advantage)

    def fit(self, batch: Batch, advantage: Tensor) -> dict[str, float]:
        """Run the passes on `advantage` `(N,)`; `loss/policy` is the surrogate on all data after the last pass."""
        metrics = self.first_order.run(batch, advantage, self.policy_gradient)
        logp, _ = gaussian_logp(batch.action, self.net.mean(batch.obs), self.net.log_std)
        loss = clipped_loss((logp - batch.logp).exp(), advantage, self.settings.clip)
        return {"loss/policy": loss.item(), **metrics}

    def policy_gradient(self, mean: Tensor, log_std: Tensor, mb: Minibatch) -> tuple[Tensor, Tensor]:
        """Gradient of `clipped_loss` on mean `(b, u)` and log_std `(u,)`.

        d rho / d logp = rho; a sample whose ratio is clipped in the direction of its advantage contributes nothing.
        """
        logp, z = gaussian_logp(mb.action, mean, log_std)
        ratio = (logp - mb.logp).exp_()
        clipped = (ratio - 1) * mb.advantage.sign() > self.settings.clip
        weight = (ratio * mb.advantage).masked_fill_(clipped, 0.0).mul_(-1 / len(ratio))
        return gaussian_logp_backward(z, log_std, weight)

    def state_dict(self) -> dict:
        return {**super().state_dict(), "first_order": self.first_order.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        super().load_state_dict(state)
        self.first_order.load_state_dict(state["first_order"])


def clipped_loss(ratio: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """`-mean(min(rho A, clip(rho) A))` for ratio and advantage `(b,)`."""
    return -torch.min(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()
