"""Action distributions with hand-written derivatives.

A distribution turns the actor's output `out (b, nout)` and its free parameters `free (nfree,)` (state-independent,
e.g. the log standard deviations) into actions. `Params` is that pair. Algorithms state their losses per sample, as
derivatives with respect to log-probability and KL divergence; the methods ending in `_backward` carry them on to
`out` and `free`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

LOG_2PI = math.log(2 * math.pi)


class Params(NamedTuple):
    """Parameters of the distributions of `b` samples."""

    out: Tensor
    """(b, nout)"""
    free: Tensor
    """(nfree,)"""


class Distribution(ABC):
    """A family of action distributions.

    `nout` numbers per state and `nfree` for all states make one; an action has `nact` entries and its KL
    divergence `ndim` independent parts.
    """

    nout: int
    nfree: int
    nact: int
    ndim: int

    @abstractmethod
    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw what `sample` needs for `n` actions, on the CPU."""

    @abstractmethod
    def sample(self, params: Params, noise: Tensor) -> Tensor:
        """Return actions `(b, nact)`."""

    @abstractmethod
    def mode(self, params: Params) -> Tensor:
        """Return the most probable actions `(b, nact)`."""

    @abstractmethod
    def logp(self, params: Params, action: Tensor) -> Tensor:
        """Return log-probabilities `(b,)` of actions `(b, nact)`."""

    @abstractmethod
    def logp_backward(self, params: Params, action: Tensor, grad: Tensor) -> Params:
        """Return the gradient of `sum(grad * logp)` for `grad (b,)`."""

    @abstractmethod
    def kl(self, first: Params, second: Params) -> Tensor:
        """Return KL(first || second) `(b,)`, summed over action dimensions."""

    @abstractmethod
    def kl_backward(self, first: Params, second: Params, grad: Tensor) -> Params:
        """Return the gradient of `sum(grad * KL(first || second))` with respect to `first`, for `grad (b,)`."""

    @abstractmethod
    def fisher(self, params: Params, vector: Params) -> Params:
        """Return the Hessian of `sum_b KL(params || .)` at `params`, in `out` and `free`, times `vector`."""

    @abstractmethod
    def entropy(self, params: Params) -> Tensor:
        """Return entropies `(b,)`."""

    @abstractmethod
    def entropy_backward(self, params: Params, grad: Tensor) -> Params:
        """Return the gradient of `sum(grad * entropy)` for `grad (b,)`."""

    def spread(self, params: Params) -> float:
        """Return one number for the log: how random actions are."""
        return float(self.entropy(params).mean())


class Gaussian(Distribution):
    """Diagonal normal distribution; `out` is the mean and `free` the log standard deviation."""

    def __init__(self, nact: int) -> None:
        self.nout = self.nfree = self.nact = self.ndim = nact

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        return torch.randn(n, self.nact, generator=generator)

    def sample(self, params: Params, noise: Tensor) -> Tensor:
        return params.out + params.free.exp() * noise

    def mode(self, params: Params) -> Tensor:
        return params.out

    def logp(self, params: Params, action: Tensor) -> Tensor:
        z = (action - params.out) * (-params.free).exp()
        return (z * z).sum(1).mul_(-0.5).sub_(params.free.sum() + 0.5 * self.nact * LOG_2PI)

    def logp_backward(self, params: Params, action: Tensor, grad: Tensor) -> Params:
        """d logp / d mean = z / std and d logp / d log_std = z^2 - 1, with z = (a - mean) / std."""
        inverse = (-params.free).exp()
        z = (action - params.out) * inverse
        weight = grad.unsqueeze(1)
        return Params(z * weight * inverse, ((z * z - 1) * weight).sum(0))

    def kl(self, first: Params, second: Params) -> Tensor:
        ratio = (2 * (first.free - second.free)).exp()
        shift = (first.out - second.out) ** 2 * (-2 * second.free).exp()
        return 0.5 * (ratio + shift - 1 - 2 * (first.free - second.free)).sum(1)

    def kl_backward(self, first: Params, second: Params, grad: Tensor) -> Params:
        weight = grad.unsqueeze(1)
        out = (first.out - second.out) * (-2 * second.free).exp() * weight
        free = ((2 * (first.free - second.free)).exp() - 1) * grad.sum()
        return Params(out, free)

    def fisher(self, params: Params, vector: Params) -> Params:
        return Params(vector.out * (-2 * params.free).exp(), 2 * len(params.out) * vector.free)

    def entropy(self, params: Params) -> Tensor:
        each = params.free.sum() + 0.5 * self.nact * (1 + LOG_2PI)
        return each.expand(len(params.out))

    def entropy_backward(self, params: Params, grad: Tensor) -> Params:
        return Params(torch.zeros_like(params.out), grad.sum().expand(self.nfree))

    def spread(self, params: Params) -> float:
        """Mean standard deviation."""
        return float(params.free.exp().mean())


class Categorical(Distribution):
    """Independent categorical variables; `out` holds the logits of one after the other.

    Actions are whole numbers from 0 as floats, one entry per variable: `Discrete(n)` is `sizes=(n,)`.
    """

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes = tuple(sizes)
        self.nout, self.nfree, self.nact = sum(sizes), 0, len(self.sizes)
        self.ndim = self.nact

    def noise(self, n: int, generator: torch.Generator) -> Tensor:
        """Gumbel noise `(n, nout)`: the largest of logits plus noise is a sample."""
        uniform = torch.rand(n, self.nout, generator=generator)
        return -torch.log(-torch.log(uniform.clamp_(1e-20, 1 - 1e-7)))

    def sample(self, params: Params, noise: Tensor) -> Tensor:
        return self.mode(Params(params.out + noise, params.free))

    def mode(self, params: Params) -> Tensor:
        parts = params.out.split(self.sizes, 1)
        return torch.stack([part.argmax(1) for part in parts], 1).to(params.out.dtype)

    def _logs(self, out: Tensor) -> list[Tensor]:
        return [torch.log_softmax(part, 1) for part in out.split(self.sizes, 1)]

    def logp(self, params: Params, action: Tensor) -> Tensor:
        logs = self._logs(params.out)
        return torch.stack([log.gather(1, action[:, i : i + 1].long())[:, 0] for i, log in enumerate(logs)]).sum(0)

    def logp_backward(self, params: Params, action: Tensor, grad: Tensor) -> Params:
        """d logp / d logits = one-hot(action) - probabilities."""
        parts = []
        for i, log in enumerate(self._logs(params.out)):
            part = -log.exp()
            part.scatter_add_(1, action[:, i : i + 1].long(), torch.ones_like(part[:, :1]))
            parts.append(part * grad.unsqueeze(1))
        return Params(torch.cat(parts, 1), params.free)

    def kl(self, first: Params, second: Params) -> Tensor:
        pairs = zip(self._logs(first.out), self._logs(second.out), strict=True)
        return torch.stack([(p.exp() * (p - q)).sum(1) for p, q in pairs]).sum(0)

    def kl_backward(self, first: Params, second: Params, grad: Tensor) -> Params:
        parts = []
        for p, q in zip(self._logs(first.out), self._logs(second.out), strict=True):
            prob, gap = p.exp(), p - q
            parts.append(prob * (gap - (prob * gap).sum(1, keepdim=True)) * grad.unsqueeze(1))
        return Params(torch.cat(parts, 1), first.free)

    def fisher(self, params: Params, vector: Params) -> Params:
        parts = []
        for log, v in zip(self._logs(params.out), vector.out.split(self.sizes, 1), strict=True):
            prob = log.exp()
            parts.append(prob * (v - (prob * v).sum(1, keepdim=True)))
        return Params(torch.cat(parts, 1), vector.free)

    def entropy(self, params: Params) -> Tensor:
        return -torch.stack([(log.exp() * log).sum(1) for log in self._logs(params.out)]).sum(0)

    def entropy_backward(self, params: Params, grad: Tensor) -> Params:
        """d H / d logit = -p (log p + H), for each variable by itself."""
        parts = []
        for log in self._logs(params.out):
            prob = log.exp()
            parts.append(prob * ((prob * log).sum(1, keepdim=True) - log) * grad.unsqueeze(1))
        return Params(torch.cat(parts, 1), params.free)
