"""MAPPO: PPO for every agent, with critics that see the state of the whole team. Ignores the cost (it is logged).

Yu et al. 2021, arXiv:2103.01955.

Differs from the paper in: each agent has networks of its own (`share_parameters`); no layer normalisation, no
orthogonal weights; the critics' errors are squared, neither clipped nor Huber's; the passes stop early by KL; no
entropy bonus (`entropy_coef`); the actor's step size decays linearly to 0.
Differs from SafePO in: policies see what their agent senses, normalised by running statistics (SafePO gives every
policy the state of the team, standardised vector by vector; `policy_input`); tanh layers, and a spread of the actions
that starts at 1 (SafePO: ELU and layer normalisation, a spread that starts at 0.37 and stays below 0.5); the ratio is
that of the whole action (SafePO clips each action dimension by itself and sums); truncated episodes are bootstrapped
(SafePO takes them for terminated); every critic has a value normaliser of its own, and keeps its values when that moves
(SafePO: reward and cost share one, and values change when it moves); the critics' errors are squared (SafePO: clipped
and Huber's, 0 for errors below -10); the passes stop early by KL and go over minibatches (SafePO makes five, with all
samples in one); no entropy bonus (`entropy_coef`); the seed reaches networks and samples (SafePO's are always those of
seed 0).
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
