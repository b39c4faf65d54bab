"""Settings that algorithms share. A field's default stands here, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from safepo.errors import UserError
from safepo.view import View, ViewSettings

ENCODERS = ("auto", "mlp", "cnn", "resnet", "gru")


@dataclass(frozen=True)
class OnPolicySettings(ViewSettings):
    """Settings of all on-policy algorithms (SafePO's values where it has them)."""

    gamma: float = 0.99
    """Discount of reward and cost."""
    gae_lambda: float = 0.95
    """Lambda of the advantage estimator for the reward."""
    cost_gae_lambda: float = 0.95
    """Lambda of the advantage estimator for the cost."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden tanh layers of actor and critics."""
    encoder: str = "auto"
    """In front of these layers: mlp (nothing), cnn (Nature's), resnet (a small residual network), gru (over the last
    frames, images through a cnn first), auto (cnn if the environment has images, else mlp), or module:Class of your own
    (see safepo/encoders.py)."""
    encoder_size: int = 128
    """Features that a cnn or resnet makes of each image; units of a gru."""
    encoder_width: float = 1.0
    """Factor of the channels of a cnn or resnet."""
    frames: int = View.frames
    """Past observations that the networks see at each step, the current one included."""
    augment: int = 0
    """Pixels by which images are moved at random, at most, each time they are learnt from; 0: not at all."""
    critic_lr: float = 3e-4
    """Adam step size of the critics (constant)."""
    critic_l2: float = 1e-3
    """Weight of the sum of squared parameters in each critic's loss."""
    batch_size: int = 64
    """Samples per minibatch."""
    passes: int = 40
    """Most passes over the data of one epoch."""
    max_grad_norm: float = 40.0
    """Gradient norm clip."""
    clip_mode: Literal["per_network", "joint"] = "per_network"
    """Clip the gradient of each network that is fitted by itself, or of all of them together as SafePO does, where a
    critic's large gradient shrinks the others' steps."""

    @property
    def running_statistics(self) -> bool:
        """Whether running statistics normalise the observations."""
        return True

    def check(self) -> None:
        """Refuse values that cannot work."""
        _positive(self, "critic_lr", "batch_size", "passes", "max_grad_norm", "encoder_size", "encoder_width", "frames")
        self.check_view()
        if self.augment < 0:
            raise UserError(f"augment must not be negative, got {self.augment!r}")
        _share(self, "gamma", "gae_lambda", "cost_gae_lambda")
        if not self.critic_l2 >= 0:
            raise UserError(f"critic_l2 must not be negative, got {self.critic_l2!r}")
        if not self.hidden or min(self.hidden) < 1:
            raise UserError(f"hidden must be a non-empty sequence of positive widths, got {self.hidden!r}")
        if self.encoder not in ENCODERS and not all(self.encoder.partition(":")):
            raise UserError(f"encoder must be {', '.join(ENCODERS)} or module:Class, got {self.encoder!r}")
        if self.clip_mode not in ("per_network", "joint"):
            raise UserError(f"clip_mode must be per_network or joint, got {self.clip_mode!r}")


@dataclass(frozen=True)
class FirstOrderSettings(OnPolicySettings):
    """Settings of algorithms that descend a sampled loss."""

    actor_lr: float = 3e-4
    """Adam step size of the actor at the start of training."""
    lr_decay: bool = True
    """Decay actor_lr linearly to 0 over total_steps, once per epoch."""
    target_kl: float = 0.02
    """Stop the passes of an epoch when KL(old || new), summed over action dimensions, exceeds this."""

    def check(self) -> None:
        super().check()
        _positive(self, "actor_lr", "target_kl")


@dataclass(frozen=True)
class TrustRegionSettings(OnPolicySettings):
    """Settings of algorithms that take one natural-gradient step per epoch and then fit the critics."""

    critic_lr: float = 1e-3
    """Adam step size of the critics (constant)."""
    batch_size: int = 128
    """Samples per minibatch of the critics' regression."""
    passes: int = 10
    """Passes over the data of one epoch that fit the critics."""
    target_kl: float = 0.01
    """Radius of the trust region: KL(old || new), averaged over samples and action dimensions."""
    cg_iterations: int = 15
    """Iterations of the conjugate gradient method."""
    cg_damping: float = 0.1
    """Multiple of the identity that is added to the Fisher matrix."""
    fisher_every: int = 1
    """Each so many-th sample makes the Fisher matrix; 1: all of them. More saves time where there are images."""

    def check(self) -> None:
        super().check()
        _positive(self, "target_kl", "cg_iterations", "fisher_every")
        if not self.cg_damping >= 0:
            raise UserError(f"cg_damping must not be negative, got {self.cg_damping!r}")


@dataclass(frozen=True)
class LineSearchSettings(TrustRegionSettings):
    """Settings of algorithms that shrink their step until it is acceptable."""

    line_search_steps: int = 15
    """Most trials of the line search."""
    line_search_decay: float = 0.8
    """Factor between trials."""

    def check(self) -> None:
        super().check()
        _positive(self, "line_search_steps")
        if not 0 < self.line_search_decay < 1:
            raise UserError(f"line_search_decay must lie in (0, 1), got {self.line_search_decay!r}")


def _positive(settings: Any, *names: str) -> None:
    for name in names:
        if not getattr(settings, name) > 0:
            raise UserError(f"{name} must be positive, got {getattr(settings, name)!r}")


def _share(settings: Any, *names: str) -> None:
    for name in names:
        if not 0 <= getattr(settings, name) <= 1:
            raise UserError(f"{name} must lie in [0, 1], got {getattr(settings, name)!r}")
