"""First-order updates: passes of shuffled minibatches over one epoch of data, with early stop by KL.

Shared by every algorithm that descends a sampled policy loss (PG, PPO, PPO-Lag, CPPO-PID, FOCOPS, CUP). The
algorithm supplies the gradient of its policy loss with respect to mean and log_std of the Gaussian; the
regression of both critics, clipping per network and Adam stand here, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from safepo.errors import UserError
from safepo.networks import ACTOR, CRITICS, ActorCritic, gaussian_kl
from safepo.rollout import Batch


@dataclass(frozen=True)
class FirstOrderSettings:
    """Settings that all first-order algorithms share (SafePO's values)."""

    gamma: float = 0.99
    """Discount of reward and cost."""
    gae_lambda: float = 0.95
    """Lambda of the advantage estimator for the reward."""
    cost_gae_lambda: float = 0.95
    """Lambda of the advantage estimator for the cost."""
    hidden: tuple[int, ...] = (64, 64)
    """Widths of the hidden tanh layers of actor and critics."""
    actor_lr: float = 3e-4
    """Adam step size of the actor at the start of training."""
    lr_decay: bool = True
    """Decay actor_lr linearly to 0 over total_steps, once per epoch."""
    critic_lr: float = 3e-4
    """Adam step size of both critics (constant)."""
    critic_l2: float = 1e-3
    """Weight of the sum of squared parameters in each critic's loss."""
    batch_size: int = 64
    """Samples per minibatch."""
    passes: int = 40
    """Most passes over the data of one epoch."""
    target_kl: float = 0.02
    """Stop the passes of an epoch when KL(old || new) over its data exceeds this."""
    max_grad_norm: float = 40.0
    """Gradient norm clip, applied to each network separately."""

    def check(self) -> None:
        """Refuse values that cannot work."""
        positive = ("actor_lr", "critic_lr", "batch_size", "passes", "target_kl", "max_grad_norm")
        for name in positive:
            if not getattr(self, name) > 0:
                raise UserError(f"{name} must be positive, got {getattr(self, name)!r}")
        for name in ("gamma", "gae_lambda", "cost_gae_lambda"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{name} must lie in [0, 1], got {getattr(self, name)!r}")
        if not self.hidden or min(self.hidden) < 1:
            raise UserError(f"hidden must be a non-empty sequence of positive widths, got {self.hidden!r}")


@dataclass(frozen=True)
class Minibatch:
    """Rows of an epoch's data: obs (b, o), action (b, u), logp (b,), advantage (b,), targets (2, b)."""

    obs: Tensor
    action: Tensor
    logp: Tensor
    advantage: Tensor
    targets: Tensor


PolicyGradient = Callable[[Tensor, Tensor, Minibatch], tuple[Tensor, Tensor]]
"""(mean (b, u), log_std (u,), minibatch) -> gradients of the minibatch loss on mean (b, u) and log_std (u,)."""


class FlatAdam:
    """Adam (Kingma & Ba 2015, betas 0.9 and 0.999, eps 1e-8) on rows of a parameter buffer, one step size a row."""

    def __init__(self, params: Tensor, grads: Tensor, lr: Sequence[float]) -> None:
        """`params` and `grads` `(k, p)` are views into the networks' buffers; `lr` has length k."""
        self.params, self.grads = params, grads
        self.lr = torch.tensor(lr, dtype=params.dtype).unsqueeze(1).to(params.device)
        self.mean = torch.zeros_like(params)
        self.square = torch.zeros_like(params)
        self.nstep = 0
        self._scratch = torch.empty_like(params)

    def step(self) -> None:
        self.nstep += 1
        correction1 = 1 - 0.9**self.nstep
        correction2 = math.sqrt(1 - 0.999**self.nstep)
        self.mean.lerp_(self.grads, 0.1)
        self.square.mul_(0.999).addcmul_(self.grads, self.grads, value=0.001)
        denominator = torch.sqrt(self.square, out=self._scratch).add_(1e-8 * correction2)
        self.params.addcdiv_(self.mean * self.lr, denominator, value=-correction2 / correction1)

    def state_dict(self) -> dict[str, Tensor | int]:
        return {"mean": self.mean.clone(), "square": self.square.clone(), "nstep": self.nstep}

    def load_state_dict(self, state: dict) -> None:
        self.mean.copy_(state["mean"])
        self.square.copy_(state["square"])
        self.nstep = int(state["nstep"])


def clip_rows(grads: Tensor, max_norm: float) -> None:
    """Scale each row of `(k, p)` down to norm `max_norm` in place: one clip per network (not SafePO's joint one)."""
    norm = torch.linalg.vector_norm(grads, dim=1, keepdim=True)
    grads.mul_((max_norm / (norm + 1e-6)).clamp_(max=1.0))


@contextmanager
def flushed_denormals() -> Iterator[None]:
    """Treat denormal numbers as 0: Adam's averages of idle inputs decay to them, and they slow a step many times.

    Limited to the update, so that the physics, which may run in the same thread, keeps its own arithmetic.
    """
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)


class FirstOrderUpdate:
    """Fits the networks to one epoch of data; holds the optimiser and the shuffling stream."""

    def __init__(self, settings: FirstOrderSettings, net: ActorCritic, generator: torch.Generator) -> None:
        self.settings, self.net, self.generator = settings, net, generator
        self.optimiser = FlatAdam(net.params, net.grads, (settings.actor_lr, settings.critic_lr, settings.critic_lr))
        decay = torch.zeros(3, 1, device=net.device)
        decay[CRITICS] = 2 * settings.critic_l2
        self.decay = decay

    @torch.no_grad()
    def run(self, batch: Batch, advantage: Tensor, policy_gradient: PolicyGradient) -> dict[str, float]:
        """Descend the policy loss given by `policy_gradient` and both value losses.

        `advantage` `(N,)` is what the policy loss uses. The KL test follows each full pass, on all data, without
        slack or rollback; the critics stop together with the actor.
        """
        cfg, net = self.settings, self.net
        lr = cfg.actor_lr * (1 - batch.progress if cfg.lr_decay else 1.0)
        self.optimiser.lr[ACTOR] = lr
        old_mean, old_log_std = net.mean(batch.obs), net.log_std.clone()
        kl, npass = 0.0, 0
        while npass < cfg.passes and kl <= cfg.target_kl:
            with flushed_denormals():
                for minibatch in self._shuffled(batch, advantage):
                    self._step(minibatch, policy_gradient)
            npass += 1
            kl = gaussian_kl(old_mean, old_log_std, net.mean(batch.obs), net.log_std).mean().item()
            if not math.isfinite(kl):
                raise FloatingPointError(
                    f"the policy diverged (KL is {kl} after pass {npass}); lower actor_lr ({cfg.actor_lr}) "
                    f"or check the environment's rewards"
                )
        value_loss = ((net.values(batch.obs).T - batch.targets) ** 2).mean(1).tolist()
        return {
            "loss/reward_critic": value_loss[0],
            "loss/cost_critic": value_loss[1],
            "train/kl": kl,
            "train/passes": npass,
            "train/lr": lr,
            "train/std": net.log_std.exp().mean().item(),
        }

    def _shuffled(self, batch: Batch, advantage: Tensor) -> Iterator[Minibatch]:
        """One pass: shuffle once by index_select, then cut contiguous slices (the last may be shorter)."""
        n, size = len(batch.obs), self.settings.batch_size
        order = torch.randperm(n, generator=self.generator).to(self.net.device)
        columns = [x[order] for x in (batch.obs, batch.action, batch.logp, advantage)]
        parts = [x.split(size) for x in columns] + [batch.targets[:, order].split(size, dim=1)]
        for obs, action, logp, adv, targets in zip(*parts, strict=True):
            yield Minibatch(obs, action, logp, adv, targets)

    def _step(self, mb: Minibatch, policy_gradient: PolicyGradient) -> None:
        """One gradient step on all three networks."""
        net = self.net
        acts = net.forward(mb.obs)
        out = acts[-1]
        grad_out = torch.zeros_like(out)
        grad_out[ACTOR], grad_log_std = policy_gradient(out[ACTOR], net.log_std, mb)
        grad_out[CRITICS, :, 0] = (out[CRITICS, :, 0] - mb.targets).mul_(2 / len(mb.obs))
        net.backward(acts, grad_out)
        net.log_std_grad.copy_(grad_log_std)
        net.grads.addcmul_(net.params, self.decay)
        clip_rows(net.grads, self.settings.max_grad_norm)
        self.optimiser.step()

    def state_dict(self) -> dict:
        return {"optimiser": self.optimiser.state_dict(), "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict) -> None:
        self.optimiser.load_state_dict(state["optimiser"])
        self.generator.set_state(state["generator"])
