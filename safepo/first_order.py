"""First-order updates: passes of shuffled minibatches over one epoch of data, with early stop by KL.

Shared by every algorithm: those that descend a sampled policy loss (PG, PPO, PPO-Lag, CPPO-PID, FOCOPS, CUP) supply it
as a function of ratio and KL per sample; those that step in a trust region only fit the critics here. Regression of
the critics, clipping and Adam stand here, once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from safepo.algorithms.settings import FirstOrderSettings, OnPolicySettings
from safepo.distributions import Params
from safepo.networks import ACTOR, ACTOR_ONLY, ALL, CRITICS, ActorCritic
from safepo.parallel import ALONE, Group
from safepo.rollout import Batch


@dataclass(frozen=True)
class Sample:
    """What a policy loss sees of a minibatch: advantage, ratio `exp(logp - logp_old)`, and KL(new || reference)."""

    advantage: Tensor
    """(b,)"""
    ratio: Tensor
    """(b,) probability under the new policy over that under the behaviour policy"""
    kl: Tensor | None
    """(b,) summed over action dimensions; None where no reference was given"""


@dataclass(frozen=True)
class LossGradient:
    """Derivatives of the mean loss of a minibatch."""

    logp: Tensor
    """(b,) by each sample's log-probability"""
    kl: Tensor | None = None
    """(b,) by each sample's KL(new || reference)"""
    entropy: Tensor | None = None
    """(b,) by each sample's entropy"""


PolicyLoss = Callable[[Sample], LossGradient]


class FlatAdam:
    """Adam (Kingma & Ba 2015, betas 0.9 and 0.999, eps 1e-8) on rows of a parameter buffer, one step size a row."""

    def __init__(self, params: Tensor, grads: Tensor, lr: Sequence[float]) -> None:
        """`params` and `grads` `(r, p)` are views into the networks' buffers; `lr` has length r."""
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


def clip_rows(grads: Tensor, max_norm: float, joint: bool = False) -> None:
    """Scale each row of `(r, p)`, or with `joint` all rows together, down to norm `max_norm` in place."""
    norm = torch.linalg.vector_norm(grads, dim=None if joint else 1, keepdim=True)
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


class Fitter:
    """Fits rows of the networks to one epoch of data by minibatch descent; holds their optimiser.

    `rows` is `ALL` (actor and critics), `CRITICS` or `ACTOR_ONLY`.
    """

    def __init__(
        self,
        settings: OnPolicySettings,
        net: ActorCritic,
        generator: torch.Generator,
        rows: slice = ALL,
        group: Group = ALONE,
    ) -> None:
        self.settings, self.net, self.generator, self.rows, self.group = settings, net, generator, rows, group
        lr = torch.full((len(net.params),), settings.critic_lr)
        if rows is not CRITICS:
            assert isinstance(settings, FirstOrderSettings)
            lr[ACTOR] = settings.actor_lr
        self.optimiser = FlatAdam(net.params[rows], net.grads[rows], lr[rows].tolist())
        self._has_actor, self._has_critics = rows is not CRITICS, rows is not ACTOR_ONLY
        decay = torch.zeros(len(net.params), 1, device=net.device)
        decay[CRITICS] = 2 * settings.critic_l2
        self.decay = decay[rows]

    @torch.no_grad()
    def run(
        self, batch: Batch, advantage: Tensor, loss: PolicyLoss, reference: Params | None = None, kl_from: str = "old"
    ) -> dict[str, float]:
        """Descend `loss`, and the value losses if the critics are among the rows; return `kl`, `passes`, `lr`.

        `advantage (N,)` is what the loss uses, `reference` the policy its KL refers to. The KL test, KL(old || new) or
        with `kl_from="reference"` KL(reference || new), follows each full pass, on all data, without slack or rollback;
        the critics stop together with the actor.
        """
        cfg, net = self.settings, self.net
        assert isinstance(cfg, FirstOrderSettings)
        lr = cfg.actor_lr * (1 - batch.progress if cfg.lr_decay else 1.0)
        self.optimiser.lr[ACTOR] = lr
        before = net.policy(batch.obs) if kl_from == "old" else reference
        assert before is not None
        columns = [batch.obs, batch.action, batch.logp, advantage]
        columns += [reference.out] if reference is not None else []
        kl, npass = 0.0, 0
        while npass < cfg.passes and kl <= cfg.target_kl:
            with flushed_denormals():
                for part, targets, share in self._shuffled(columns, batch.targets):
                    self._gradient(part, targets, loss, reference)
                    self._descend(share)
            npass += 1
            kl = net.dist.kl(before, net.policy(batch.obs)).mean().item()
            if not math.isfinite(kl):
                raise FloatingPointError(
                    f"the policy diverged (KL is {kl} after pass {npass}); lower actor_lr ({cfg.actor_lr}) "
                    f"or check the environment's rewards"
                )
        return {"train/kl": kl, "train/passes": npass, "train/lr": lr}

    @torch.no_grad()
    def run_critics(self, batch: Batch) -> None:
        """Fit the critics alone, `passes` times over the data."""
        for _ in range(self.settings.passes):
            with flushed_denormals():
                for (obs,), targets, share in self._shuffled([batch.obs], batch.targets):
                    acts = self.net.forward(obs, CRITICS, record=True)
                    grad_out = torch.zeros_like(acts[-1])
                    grad_out[:, :, 0] = (acts[-1][:, :, 0] - targets).mul_(2 / len(obs))
                    self.net.backward(acts, grad_out, CRITICS)
                    self._descend(share)

    def _shuffled(
        self, columns: Sequence[Tensor], targets: Tensor
    ) -> Iterator[tuple[tuple[Tensor, ...], Tensor, float]]:
        """One pass: shuffle once by index_select, then cut contiguous slices (the last may be shorter).

        Yields this process's part of each minibatch and the share of the minibatch that it is. The first column holds
        the observations, which the networks may augment.
        """
        n, size, augment = len(columns[0]), self.settings.batch_size, self.net.augment
        order = torch.randperm(n, generator=self.generator).to(self.net.device)
        parts = [_in_order(x, order, size) for x in columns]
        for part, goal in zip(zip(*parts, strict=True), targets[:, order].split(size, dim=1), strict=True):
            if augment is not None:
                moves = augment.draw(len(part[0]), self.generator)
                part = (augment(part[0], moves), *part[1:])
            if self.group.size == 1:
                yield part, goal, 1.0
            else:
                rows = self.group.share(len(part[0]))
                yield tuple(x[rows] for x in part), goal[:, rows], (rows.stop - rows.start) / len(part[0])

    def _gradient(self, part: tuple[Tensor, ...], targets: Tensor, loss: PolicyLoss, reference: Params | None) -> None:
        """Write the gradients of the actor and, if they are among the rows, the critics."""
        net, dist = self.net, self.net.dist
        obs, action, old_logp, advantage = part[:4]
        acts = net.forward(obs, self.rows, record=True)
        out = acts[-1]
        params = Params(out[ACTOR], net.free)
        near = Params(part[4], reference.free) if reference is not None else None
        ratio = (dist.logp(params, action) - old_logp).exp_()
        gradient = loss(Sample(advantage, ratio, None if near is None else dist.kl(params, near)))
        on_policy = dist.logp_backward(params, action, gradient.logp)
        if gradient.kl is not None:
            assert near is not None
            more = dist.kl_backward(params, near, gradient.kl)
            on_policy = Params(on_policy.out + more.out, on_policy.free + more.free)
        if gradient.entropy is not None:
            more = dist.entropy_backward(params, gradient.entropy)
            on_policy = Params(on_policy.out + more.out, on_policy.free + more.free)
        grad_out = torch.zeros_like(out)
        grad_out[ACTOR] = on_policy.out
        if self._has_critics:
            grad_out[CRITICS, :, 0] = (out[CRITICS, :, 0] - targets).mul_(2 / len(obs))
        net.backward(acts, grad_out, self.rows)
        net.free_grad.copy_(on_policy.free)

    def _descend(self, share: float) -> None:
        """Sum the gradients of all processes, add weight decay, clip, and step."""
        optimiser = self.optimiser
        if self.group.size > 1:
            # The means over an empty part are NaN; it has no say.
            optimiser.grads.nan_to_num_(0.0).mul_(share) if share == 0 else optimiser.grads.mul_(share)
            self.group.sum_(optimiser.grads)
        optimiser.grads.addcmul_(optimiser.params, self.decay)
        clip_rows(optimiser.grads, self.settings.max_grad_norm, self.settings.clip_mode == "joint")
        optimiser.step()

    def state_dict(self) -> dict:
        return self.optimiser.state_dict()

    def load_state_dict(self, state: dict) -> None:
        self.optimiser.load_state_dict(state)


def _in_order(x: Tensor, order: Tensor, size: int) -> Iterable[Tensor]:
    """Minibatches of `x (n, ...)`: cut from one shuffled copy, but gathered one by one where they hold images, of which
    a copy would double the memory."""
    return (x[rows] for rows in order.split(size)) if x.dtype == torch.uint8 else x[order].split(size)


def value_losses(net: ActorCritic, batch: Batch) -> dict[str, float]:
    """Mean squared errors of the critics over an epoch's data; those of several costs are averaged."""
    loss = ((net.values(batch.obs).T - batch.targets) ** 2).mean(1).tolist()
    return {"loss/reward_critic": loss[0], "loss/cost_critic": sum(loss[1:]) / len(loss[1:])}
