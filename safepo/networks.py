"""Actor, reward critic and cost critics as one stack of tanh MLPs.

The networks share nothing but their shape, so they are held as rows of one `(2 + k, p)` buffer and evaluated
together with batched matrix products: row 0 is the actor (its last entries are the distribution's free parameters,
such as `log_std`), row 1 the reward critic, row 2 and the following the critics of the k costs. Gradient norms,
clipping and Adam act per row, i.e. per network, and cost a handful of kernel launches instead of dozens. Outputs are
padded to the actor's; the padding weights of the critics start at 0, receive no gradient and stay 0.

    net = ActorCritic(nobs=60, dist=Gaussian(2), hidden=(64, 64), device="cpu", generator=torch.Generator())
    action, logp, values = net.act(obs, noise)          # (b, 2), (b,), (b, 1 + k)

`backward` is written out by hand: with 64 wide layers and minibatches of 64, autograd's bookkeeping costs
several times the arithmetic. `ActorCritic.forward` works on any `(k, p)` buffer, also one that requires
gradients, which is how the tests check `backward` and how second-order methods differentiate.

An encoder (`encoders.py`) may stand in front of the MLPs. Its parameters follow those of the MLP in each row; its
gradients come from autograd, which meets the hand-written part at the features.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from safepo.distributions import Distribution, Params
from safepo.encoders import Encoder, make_encoder
from safepo.errors import UserError
from safepo.observations import ObsMap

Floats = NDArray[np.float64]
ACTOR, REWARD_CRITIC, COST_CRITIC = range(3)
"""Rows; the first cost's critic stands for those of further costs behind it."""
ALL = slice(0, None)
ACTOR_ONLY = slice(0, 1)
CRITICS = slice(1, None)


class Augment:
    """Moves the images of each row at random by up to `most` pixels in both directions (Yarats et al. 2021,
    arXiv:2004.13649); what comes in from the border repeats it."""

    def __init__(self, obs: ObsMap, most: int) -> None:
        self.obs, self.most = obs, most

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Draw moves `(n, 2)`."""
        return torch.randint(-self.most, self.most + 1, (n, 2), generator=generator)

    def __call__(self, rows: Tensor, moves: Tensor) -> Tensor:
        """Return moved copies of rows `(n, width)`."""
        return self.obs.shifted(rows, moves.to(rows.device))


class ActorCritic:
    """A policy, the critic of the reward and one critic for each cost."""

    def __init__(
        self,
        nobs: int,
        dist: Distribution,
        hidden: Sequence[int],
        device: str | torch.device,
        generator: torch.Generator,
        ncost: int = 1,
        encoder: Encoder | None = None,
        split_at: int | None = None,
        augment: Augment | None = None,
    ) -> None:
        """Initialise like `torch.nn.Linear` (U(+-1/sqrt(fan_in))) with free parameters 0; drawn on the CPU.

        With `split_at` the actor sees only the first so many numbers of a row, through the encoder if there is one,
        and the critics the others, such as the state of a team. `augment` changes the rows that are learnt from.
        """
        self.nobs, self.dist, self.hidden, self.ncost, self.encoder = nobs, dist, tuple(hidden), ncost, encoder
        self.split_at = split_at
        self.ninput = ninput = (nobs if split_at is None else split_at) if encoder is None else encoder.nfeature
        sizes = (ninput if split_at is None else max(ninput, nobs - split_at), *self.hidden, dist.nout)
        self._shapes = list(pairwise(sizes))
        nmlp = sum(i * o + o for i, o in self._shapes)
        self.encoded = slice(nmlp, nmlp + (0 if encoder is None else encoder.nparam))
        params = torch.zeros(2 + ncost, self.encoded.stop + dist.nfree)
        for weight, bias in self.split(params):
            bound = 1 / math.sqrt(weight.shape[1])
            weight.uniform_(-bound, bound, generator=generator)
            bias.uniform_(-bound, bound, generator=generator)
        head_weight, head_bias = self.split(params)[-1]
        head_weight[CRITICS, :, 1:] = 0
        head_bias[CRITICS, :, 1:] = 0
        if encoder is not None:
            for row in params:
                row[self.encoded] = encoder.initial(generator)
        self.params = params.to(device)
        # A leaf of autograd that shares the parameters' memory.
        self._leaf = self.params[:, self.encoded].detach().requires_grad_(encoder is not None)
        self.grads = torch.zeros_like(self.params)
        self.layers = self.split(self.params)
        self.grad_layers = self.split(self.grads)
        self.free = self.params[ACTOR, self.encoded.stop :]
        self.free_grad = self.grads[ACTOR, self.encoded.stop :]
        self.augment = augment

    @property
    def device(self) -> torch.device:
        return self.params.device

    def split(self, params: Tensor) -> list[tuple[Tensor, Tensor]]:
        """View a buffer `(k, p)` as the layers' weights `(k, in, out)` and biases `(k, 1, out)`."""
        layers, at, k = [], 0, params.shape[0]
        for i, o in self._shapes:
            weight = params[:, at : at + i * o].view(k, i, o)
            bias = params[:, at + i * o : at + i * o + o].view(k, 1, o)
            layers.append((weight, bias))
            at += i * o + o
        return layers

    def forward(self, obs: Tensor, rows: slice = ALL, record: bool = False) -> list[Tensor]:
        """Return features, hidden activations and output `(r, b, nout)` of the networks `rows` for obs `(b, nobs)`.

        `record` must be set where `backward` or `forward_mode` follow, which need the encoder's graph.
        """
        layers = pick(self.layers, rows)
        acts = [self._features(obs, rows, record)]
        for weight, bias in layers[:-1]:
            acts.append(_tanh_layer(acts[-1], weight, bias))
        weight, bias = layers[-1]
        acts.append(torch.baddbmm(bias, acts[-1], weight))
        return acts

    def _features(self, obs: Tensor, rows: slice, record: bool) -> Tensor:
        """What the MLPs see, `(r, b, nfeature)`."""
        if self.split_at is not None:
            return self._split_features(obs[:, : self.split_at], obs[:, self.split_at :], rows, record)
        if self.encoder is None:
            return obs.expand(len(range(len(self.params))[rows]), *obs.shape)
        with torch.set_grad_enabled(record):
            return self.encoder(self._leaf[rows], obs)

    def _split_features(self, own: Tensor, rest: Tensor, rows: slice, record: bool) -> Tensor:
        """Inputs of actor and critics, the narrower one padded with zeros: its surplus weights get no gradient."""
        which, width = range(len(self.params))[rows], self._shapes[0][0]
        parts = []
        with torch.set_grad_enabled(record):
            if which[0] == ACTOR:
                seen = own[None] if self.encoder is None else self.encoder(self._leaf[ACTOR_ONLY], own)
                parts.append(functional.pad(seen, (0, width - seen.shape[2])))
            if which[-1] != ACTOR:
                rest = functional.pad(rest, (0, width - rest.shape[1]))
                parts.append(rest.expand(len(which) - len(parts), *rest.shape))
            return torch.cat(parts)

    def backward(self, acts: list[Tensor], grad_out: Tensor, rows: slice = ALL) -> None:
        """Write the gradients of weights, biases and encoder into `grads[rows]`; `grad_out` is `(r, b, nout)`.

        Free parameters do not pass through the MLP: the caller writes `free_grad`.
        """
        delta, layers, grad_layers = grad_out, pick(self.layers, rows), pick(self.grad_layers, rows)
        for i in range(len(layers) - 1, -1, -1):
            grad_weight, grad_bias = grad_layers[i]
            torch.bmm(acts[i].mT, delta, out=grad_weight)
            torch.sum(delta, 1, keepdim=True, out=grad_bias)
            if i:
                delta = torch.bmm(delta, layers[i][0].mT)
                delta = torch.ops.aten.tanh_backward(delta, acts[i])
        if acts[0].requires_grad:
            delta = torch.bmm(delta, layers[0][0].mT)
            (grad,) = torch.autograd.grad(acts[0], self._leaf, delta, retain_graph=True)
            self.grads[rows, self.encoded] = grad[rows]

    def forward_mode(self, acts: list[Tensor], direction: Tensor) -> Tensor:
        """Return the derivative `(b, nout)` of the actor's output along `direction (p,)`, at activations `acts`."""
        tangent = None if self.encoder is None else self._encoder_forward_mode(acts[0], direction)
        layers, along = pick(self.layers, ACTOR_ONLY), self.split(direction.unsqueeze(0))
        for i, ((weight, _), (dweight, dbias)) in enumerate(zip(layers, along, strict=True)):
            moved = torch.baddbmm(dbias, acts[i], dweight)
            if tangent is not None:
                moved = torch.baddbmm(moved, tangent, weight)
            tangent = moved if i == len(layers) - 1 else torch.ops.aten.tanh_backward(moved, acts[i + 1])
        assert tangent is not None
        return tangent[0]

    def _encoder_forward_mode(self, features: Tensor, direction: Tensor) -> Tensor:
        """Derivative `(1, b, nfeature)` of the actor's features: J v is the derivative of u.J, which is linear in u."""
        with torch.enable_grad():
            u = torch.zeros_like(features, requires_grad=True)
            (pulled,) = torch.autograd.grad(features, self._leaf, u, create_graph=True)
            (tangent,) = torch.autograd.grad(pulled[ACTOR], u, direction[self.encoded], retain_graph=True)
        return tangent

    @torch.no_grad()
    def act(self, obs: Tensor, noise: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Sample actions `(b, nact)` from the distribution's `noise`; also log-probs `(b,)`, values `(b, 1 + k)`."""
        out = self.forward(obs)[-1]
        params = Params(out[ACTOR], self.free)
        action = self.dist.sample(params, noise)
        return action, self.dist.logp(params, action), out[CRITICS, :, 0].T

    @torch.no_grad()
    def policy(self, obs: Tensor) -> Params:
        """Return the distributions for normalised observations `(b, nobs)`; a copy, training does not change it."""
        out = torch.cat([self.forward(part, ACTOR_ONLY)[-1][0] for part in self._parts(obs)])
        return Params(out, self.free.clone())

    @torch.no_grad()
    def values(self, obs: Tensor) -> Tensor:
        """Reward and cost values `(b, 1 + k)` for normalised observations `(b, nobs)`."""
        return torch.cat([self.forward(part, CRITICS)[-1][:, :, 0].T for part in self._parts(obs)])

    def rescale_values(self, mean: Floats, std: Floats, new_mean: Floats, new_std: Floats) -> None:
        """Change the critics' output layers, whose values are meant times `std` plus `mean`, each `(1 + k,)`, to mean
        the same with the new scale."""
        weight, bias = self.layers[-1]
        ratio = torch.as_tensor(std / new_std, dtype=weight.dtype, device=weight.device)
        shift = torch.as_tensor((mean - new_mean) / new_std, dtype=weight.dtype, device=weight.device)
        weight[CRITICS, :, 0] *= ratio[:, None]
        bias[CRITICS, 0, 0] = bias[CRITICS, 0, 0] * ratio + shift

    def _parts(self, obs: Tensor) -> tuple[Tensor, ...]:
        """Rows small enough for activations to stay in a CPU's cache: a whole epoch at once is 4 times slower."""
        return obs.split(chunk(obs, 1024))

    def state_dict(self) -> dict[str, Tensor]:
        return {"params": self.params.clone()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        self.params.copy_(state["params"])


def make_network(
    obs: ObsMap,
    dist: Distribution,
    settings: Any,
    device: str | torch.device,
    generator: torch.Generator,
    ncost: int = 1,
    nstate: int = 0,
) -> ActorCritic:
    """Make the networks that `settings` describe for observations `obs`.

    With `nstate` the critics see, instead of them, the state `(nstate,)` that follows the observations in each row.
    """
    encoder, split_at, augment = make_encoder(obs, settings), obs.size if nstate else None, None
    if settings.augment:
        if nstate or not obs.packed:
            raise UserError(f"augment moves images; {'a team has' if nstate else 'this environment has'} none ({obs})")
        augment = Augment(obs, settings.augment)
    return ActorCritic(obs.size + nstate, dist, settings.hidden, device, generator, ncost, encoder, split_at, augment)


def chunk(obs: Tensor, on_cpu: int) -> int:
    """How many rows of `obs` to evaluate at once: `on_cpu` there and all of them elsewhere, but fewer with images,
    whose activations take much memory."""
    cpu = obs.device.type == "cpu"
    if obs.dtype == torch.uint8:
        return 256 if cpu else 4096
    return on_cpu if cpu else max(len(obs), 1)


def pick(layers: list[tuple[Tensor, Tensor]], rows: slice) -> list[tuple[Tensor, Tensor]]:
    """Weights and biases of the networks `rows`."""
    return layers if rows is ALL else [(weight[rows], bias[rows]) for weight, bias in layers]


def _tanh_layer(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`tanh(x W + b)` as `2 sigmoid(2 (x W + b)) - 1`: torch's CPU sigmoid is 8 times as fast as its tanh.

    The result is within 2e-7 of `torch.tanh`.
    """
    return torch.baddbmm(bias, x, weight, beta=2, alpha=2).sigmoid().mul(2).sub(1)
