"""Layers and distributions of the world model (Hafner et al. 2023, arXiv:2301.04104)."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor, nn

NORM_EPSILON = 1e-3


def symlog(x: Tensor) -> Tensor:
    """`sign(x) ln(1 + |x|)`: compresses large values of either sign (equation 1)."""
    return torch.sign(x) * torch.log1p(x.abs())


def symexp(x: Tensor) -> Tensor:
    """The inverse of `symlog`."""
    return torch.sign(x) * torch.expm1(x.abs())


class TwoHot(nn.Module):
    """Distributions over numbers as logits `(..., bins)` on bins `b` that are uniform in symlog space (equations 8, 9).

    Means are `symexp(sum_i p_i b_i)` and targets linear in the symlog, or, with `value_means`, `sum_i p_i symexp(b_i)`
    and linear in the number itself, as in DreamerV3's later version (Hafner et al. 2025, Nature 640).
    """

    bins: Tensor
    values: Tensor

    def __init__(self, bins: int, limit: float, value_means: bool = False) -> None:
        super().__init__()
        self.register_buffer("bins", torch.linspace(-limit, limit, bins), persistent=False)
        self.register_buffer("values", symexp(self.bins), persistent=False)
        self.low, self.step, self.value_means = -limit, 2 * limit / (bins - 1), value_means

    def mean(self, logits: Tensor) -> Tensor:
        """Return the mean (...,) of `logits` (..., bins)."""
        probs = logits.float().softmax(-1)
        if not self.value_means:
            return symexp((probs * self.bins).sum(-1))  # a matrix product would lose its precision
        half = len(self.bins) // 2  # opposite bins first, for the outer ones are huge and cancel
        return ((probs[..., -half:] - probs[..., :half].flip(-1)) * self.values[-half:]).sum(-1)

    def loss(self, logits: Tensor, x: Tensor) -> Tensor:
        """Cross-entropy (...,) of `logits` (..., bins) with the two-hot target of `x` (...,)."""
        x = x.detach()
        place = ((symlog(x) - self.low) / self.step).clamp(0, logits.shape[-1] - 1)
        lower = place.floor().long().clamp(max=logits.shape[-1] - 2)
        share = place - lower
        if self.value_means:
            below, above = self.values[lower], self.values[lower + 1]
            share = ((x - below) / (above - below)).clamp(0, 1)
        return two_hot_loss(logits, lower, share)


def two_hot_loss(logits: Tensor, lower: Tensor, share: Tensor) -> Tensor:
    """Cross-entropy (...,) of `logits` (..., bins) with a target: `share` (...,) in bin `lower + 1`, the rest in
    `lower`."""
    near = torch.gather(logits.float().log_softmax(-1), -1, torch.stack([lower, lower + 1], -1))
    return -torch.lerp(near[..., 0], near[..., 1], share)


def initialise(weight: Tensor, generator: torch.Generator, scale: float = 1.0) -> None:
    """Truncated normal at two standard deviations with variance `scale / mean(fan_in, fan_out)`."""
    if scale == 0:
        nn.init.zeros_(weight)
        return
    fan_in, fan_out = nn.init._calculate_fan_in_and_fan_out(weight)
    std = math.sqrt(2 * scale / (fan_in + fan_out)) / 0.87962566  # the cut narrows the distribution
    nn.init.trunc_normal_(weight, 0.0, std, -2 * std, 2 * std, generator=generator)


def linear(nin: int, nout: int, generator: torch.Generator, scale: float = 1.0, bias: bool = True) -> nn.Linear:
    layer = nn.Linear(nin, nout, bias=bias)
    initialise(layer.weight, generator, scale)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def mlp(nin: int, layers: int, units: int, generator: torch.Generator) -> nn.Sequential:
    """Layers of Linear without bias, LayerNorm, SiLU."""
    parts: list[nn.Module] = []
    for i in range(layers):
        parts += [linear(nin if i == 0 else units, units, generator, bias=False), nn.LayerNorm(units, NORM_EPSILON)]
        parts.append(nn.SiLU())
    return nn.Sequential(*parts)


def head(nin: int, layers: int, units: int, nout: int, generator: torch.Generator, scale: float = 1.0) -> nn.Sequential:
    """An `mlp` and a linear output layer, which starts at zero for `scale` 0."""
    return nn.Sequential(mlp(nin, layers, units, generator), linear(units, nout, generator, scale))


def vector_encoder(nin: int, bins: int, layers: int, units: int, generator: torch.Generator) -> nn.Sequential:
    """An `mlp`, on `bins` of its inputs too unless there are none."""
    if not bins:
        return mlp(nin, layers, units, generator)
    return nn.Sequential(SoftBins(bins), mlp(nin * (1 + bins), layers, units, generator))


class SoftBins(nn.Module):
    """Numbers `(..., n)` and their places on bins of [-1, 1]: (..., n * (1 + bins)).

    A number between two bins is shared among them, linearly; one beyond all is in none.
    """

    bins: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.register_buffer("bins", torch.linspace(-1, 1, bins), persistent=False)
        self.step = 2 / (bins - 1)

    def forward(self, x: Tensor) -> Tensor:
        share = (1 - (x[..., None] - self.bins).abs() / self.step).clamp(min=0)
        return torch.cat([x, share.flatten(-2)], -1)

    def loss(self, logits: Tensor, x: Tensor) -> Tensor:
        """Cross-entropy (...,) of `logits` (..., bins) with the places of `x` (...,), brought into [-1, 1]."""
        place = (x.clamp(-1, 1) + 1) / self.step
        lower = place.floor().long().clamp(max=len(self.bins) - 2)
        return two_hot_loss(logits, lower, place - lower)


class ChannelNorm(nn.LayerNorm):
    """LayerNorm over the channels of `(n, c, h, w)`."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, NORM_EPSILON)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


def stages(size: int) -> int:
    """Halvings from images of `size` pixels to 4."""
    return int(math.log2(size // 4))


def image_encoder(channels: int, size: int, depth: int, generator: torch.Generator) -> nn.Sequential:
    """Convolutions 4 x 4 of stride 2 down to 4 x 4 pixels, then flat."""
    parts: list[nn.Module] = []
    for i in range(stages(size)):
        conv = nn.Conv2d(channels, depth * 2**i, 4, 2, 1, bias=False)
        initialise(conv.weight, generator)
        parts += [conv, ChannelNorm(depth * 2**i), nn.SiLU()]
        channels = depth * 2**i
    return nn.Sequential(*parts, nn.Flatten())


def image_decoder(nin: int, channels: int, size: int, depth: int, generator: torch.Generator) -> nn.Sequential:
    """A linear layer to 4 x 4 pixels, then transposed convolutions that mirror the encoder."""
    widths = [depth * 2**i for i in reversed(range(stages(size)))] + [channels]
    parts: list[nn.Module] = [linear(nin, 16 * widths[0], generator), nn.Unflatten(-1, (widths[0], 4, 4))]
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        last = i == len(widths) - 2
        conv = nn.ConvTranspose2d(a, b, 4, 2, 1, bias=last)
        initialise(conv.weight, generator)
        parts.append(conv)
        if last:
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]
        else:
            parts += [ChannelNorm(b), nn.SiLU()]
    return nn.Sequential(*parts)


def mixed(logits: Tensor, unimix: float) -> Tensor:
    """Probabilities (..., classes): the softmax mixed with a share `unimix` of the uniform distribution."""
    return (1 - unimix) * logits.float().softmax(-1) + unimix / logits.shape[-1]


def sample_one_hot(probs: Tensor, race: Tensor) -> Tensor:
    """One-hot samples (..., classes) with straight-through gradients.

    Of exponential waiting times `race` (..., classes), divided by the probabilities, the shortest wins.
    """
    winner = (probs.detach() / race).argmax(-1, keepdim=True)
    hot = torch.zeros_like(race).scatter_(-1, winner, 1.0)
    return hot + (probs - probs.detach()) if probs.requires_grad else hot


def kl(left: Tensor, right: Tensor) -> Tensor:
    """KL divergence (...,) of categoricals of probabilities (..., stoch, classes), summed over variables."""
    return (left * (left.log() - right.log())).sum((-1, -2))


def waiting_times(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Standard exponential noise; never 0."""
    uniform = torch.rand(shape, generator=generator, device=generator.device)
    return uniform.clamp_(1e-30).log_().neg_()  # exponential_ is four times slower on a CPU
