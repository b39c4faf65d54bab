"""MAPPO: PPO for every agent, with critics that see the state of the whole team. Ignores the cost (it is logged).

Yu et al. 2021, arXiv:2103.01955.

Differs from the paper in: tanh layers without layer normalisation; no clipping of the values and no Huber loss; the
passes stop early by KL; no entropy bonus; parameters are shared only with `share_parameters`; the points listed in
`ppo.py`.
Differs from SafePO in: policies see what their agent senses (`policy_input`) and observations are
normalised by running statistics (SafePO standardises each vector by its own mean and spread); the ratio is that of the
whole action (SafePO clips each action dimension by itself and sums); truncated episodes are bootstrapped (SafePO takes
them for terminated); each critic has a value normaliser of its own, which keeps its values when it moves; cost
advantages are not divided by their spread; several passes over minibatches (SafePO makes five passes with all samples
in one); the points listed in `ppo.py`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from safepo.algorithms.ppo import PPO, PPOSettings
from safepo.algorithms.team import Team, TeamSettings
from safepo.errors import UserError
from safepo.first_order import LossGradient, Sample


@dataclass(frozen=True)
class MAPPOSettings(TeamSettings, PPOSettings):
    """Settings of MAPPO."""

    actor_lr: float = 5e-4
    """Adam step size of the actors at the start of training."""
    critic_lr: float = 5e-4
    """Adam step size of the critics (constant)."""
    batch_size: int = 256
    """Samples per minibatch."""
    passes: int = 10
    """Most passes over the data of one epoch."""
    entropy_coef: float = 0.0
    """Weight of the policies' mean entropy, which is added to what they climb (SafePO: 0.01)."""

    def check(self) -> None:
        super().check()
        if not self.entropy_coef >= 0:
            raise UserError(f"entropy_coef must not be negative, got {self.entropy_coef!r}")


class Explorer(PPO):
    """PPO with an entropy bonus."""

    settings: MAPPOSettings

    def loss(self, sample: Sample) -> LossGradient:
        gradient, weight = super().loss(sample), self.settings.entropy_coef
        if not weight:
            return gradient
        return dataclasses.replace(gradient, entropy=torch.full_like(gradient.logp, -weight / len(gradient.logp)))


class MAPPO(Team[MAPPOSettings]):
    """Independent clipped surrogates on each agent's reward."""

    member = Explorer
    sequential = False
