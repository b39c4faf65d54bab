"""Encoders: what turns observations into the features that the MLPs of `networks.py` see.

Each network (actor, critics) has an encoder with parameters of its own, which stand in its row behind those of the
MLP. Thereby everything acts on it without knowing of it: Adam and clipping per network, the trust region, checkpoints,
several processes. An encoder is written once, as a differentiable function of flat parameters:

    encoder = CNN(obs, size=128)
    features = encoder(params, rows)               # params (r, p), rows (b, obs.width) -> (r, b, encoder.nfeature)

Own encoders: a class with this interface, made as `MyEncoder(obs, settings)`, is named `--encoder my_module:MyEncoder`.
Where observations have images, rows are bytes: `obs.pieces(rows)` are the images and vectors that they hold.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from safepo.errors import UserError
from safepo.observations import ObsMap, Part

Shapes = list[tuple[tuple[int, ...], int]]
"""Shapes of arrays, each with the number of inputs that set its initial scale."""
NATURE_SIDE = 36
"""The least shorter side of an image, in pixels, for Nature's convolutions"""
SMALLEST = 4
"""Smaller images are halved until their shorter side would fall below this."""
SHORTEST = 64
"""Larger images are averaged over blocks while their shorter side stays at or above this."""


class Encoder(ABC):
    """A function of flat parameters and rows of observations.

    `shapes` lists its arrays as (shape, fan_in); `nfeature` is the length of its output.
    """

    shapes: Shapes
    nfeature: int

    @property
    def nparam(self) -> int:
        """Length of its flat parameters."""
        return sum(math.prod(shape) for shape, _ in self.shapes)

    def initial(self, generator: torch.Generator) -> Tensor:
        """Draw flat parameters `(p,)`, U(+-1/sqrt(fan_in)) as `torch.nn.Linear` does."""
        parts = []
        for shape, fan_in in self.shapes:
            bound = 1 / math.sqrt(fan_in)
            parts.append(torch.empty(math.prod(shape)).uniform_(-bound, bound, generator=generator))
        return torch.cat(parts)

    def unpack(self, params: Tensor) -> list[Tensor]:
        """View flat parameters `(r, p)` as the arrays of `shapes`, each with r in front."""
        arrays = params.split([math.prod(shape) for shape, _ in self.shapes], dim=1)
        return [array.reshape(-1, *shape) for array, (shape, _) in zip(arrays, self.shapes, strict=True)]

    @abstractmethod
    def __call__(self, params: Tensor, rows: Tensor) -> Tensor:
        """Return features `(r, b, nfeature)` of normalised observations `(b, width)` for r networks' `params (r, p)`.

        It must be differentiable twice in `params`.
        """


@dataclass(frozen=True)
class Conv:
    """A convolution; ReLU follows."""

    channels: int
    kernel: int
    stride: int = 1
    padding: int = 0

    def shapes(self, channels: int) -> Shapes:
        """Its arrays on images with so many channels."""
        fan_in = channels * self.kernel**2
        return [((self.channels, channels, self.kernel, self.kernel), fan_in), ((self.channels,), fan_in)]

    def out(self, side: int) -> int:
        """The side of its output."""
        return (side + 2 * self.padding - self.kernel) // self.stride + 1

    def __call__(self, x: Tensor, arrays: Iterator[Tensor]) -> Tensor:
        return functional.conv2d(x, next(arrays), next(arrays), self.stride, self.padding).relu()


@dataclass(frozen=True)
class Residual:
    """`relu(x + conv(relu(conv(x))))`, 3 x 3 each."""

    channels: int

    def shapes(self, channels: int) -> Shapes:
        return 2 * Conv(self.channels, 3).shapes(channels)

    def out(self, side: int) -> int:
        return side

    def __call__(self, x: Tensor, arrays: Iterator[Tensor]) -> Tensor:
        inner = functional.conv2d(x, next(arrays), next(arrays), padding=1).relu()
        return (x + functional.conv2d(inner, next(arrays), next(arrays), padding=1)).relu()


Layer = Conv | Residual


def nature(side: int, width: float) -> list[Layer]:
    """Layers of Mnih et al. 2015 (Nature 518) for images whose shorter side is `side`; those below 36 pixels, for which
    these are too large, are halved (4 x 4, stride 2) until it would fall below 4."""
    if side >= NATURE_SIDE:
        return [Conv(wide(32, width), 8, 4), Conv(wide(64, width), 4, 2), Conv(wide(64, width), 3)]
    depth = max(int(math.log2(max(side / SMALLEST, 1))), 1)
    return [Conv(wide(min(16 << i, 64), width), 4, 2, 1) for i in range(depth)]


def residual(side: int, width: float) -> list[Layer]:
    """Three stages of a strided convolution and a residual block: the deeper network of Espeholt et al. 2018
    (arXiv:1802.01561) with one block instead of two and strides instead of max pooling."""
    stages = [wide(channels, width) for channels in (16, 32, 32)]
    return [layer for channels in stages for layer in (Conv(channels, 3, 2, 1), Residual(channels))]


TORSOS: dict[str, Callable[[int, float], list[Layer]]] = {"cnn": nature, "resnet": residual}
"""Layers for images of a shorter side and a factor of the channels, by the name of the encoder."""


def wide(channels: int, width: float) -> int:
    return max(round(channels * width), 1)


class CNN(Encoder):
    """Each image through convolutions and a linear layer with tanh to `size` features; vectors pass unchanged.

    `torso` names the convolutions (`TORSOS`), `width` multiplies their channels. Images whose shorter side has 128 or
    more pixels are first averaged over square blocks, so that it has 64 to 127. All frames share the weights; their
    features follow each other.
    """

    def __init__(self, obs: ObsMap, size: int, torso: str = "cnn", width: float = 1.0) -> None:
        self.obs, self.size, self.shapes = obs, size, []
        self.layers = {part.key: self._plan(part, torso, width) for part in obs.parts if part.image}
        vectors = sum(part.size for part in obs.parts if not part.image)
        self.frame_features = vectors + size * len(self.layers)
        self.nfeature = obs.frames * self.frame_features

    def _plan(self, part: Part, torso: str, width: float) -> list[Layer]:
        """Add the arrays for one image; returns its layers."""
        *sides, channels = part.shape if part.channels_last else (*part.shape[1:], part.shape[0])
        sides = [side // block(part) for side in sides]
        layers = TORSOS[torso](min(sides), width)
        for layer in layers:
            self.shapes += layer.shapes(channels)
            channels, sides = layer.channels, [layer.out(side) for side in sides]
        inside = channels * math.prod(sides)
        if inside <= 0:
            raise UserError(f"encoder {torso}: the image {part.key!r} of shape {part.shape} is too small")
        self.shapes += [((inside, self.size), inside), ((self.size,), inside)]
        return layers

    def __call__(self, params: Tensor, rows: Tensor) -> Tensor:
        return self.of_frames(params, rows).reshape(len(params), rows.shape[0], self.nfeature)

    def of_frames(self, params: Tensor, rows: Tensor) -> Tensor:
        """Features `(r, m, frame_features)` of the single observations in rows."""
        pieces = [
            _channels_first(piece, part) if part.image else piece
            for piece, part in zip(self.obs.pieces(rows), self.obs.parts, strict=True)
        ]
        nets = zip(*(array.unbind() for array in self.unpack(params)), strict=True)
        return torch.stack([self._of_network(iter(arrays), pieces) for arrays in nets])

    def _of_network(self, arrays: Iterator[Tensor], pieces: list[Tensor]) -> Tensor:
        """Features `(m, frame_features)` with one network's arrays."""
        features = []
        for x, part in zip(pieces, self.obs.parts, strict=True):
            for layer in self.layers.get(part.key, ()):
                x = layer(x, arrays)
            if part.image:
                weight, bias = next(arrays), next(arrays)
                x = torch.addmm(bias, x.flatten(1), weight).tanh()
            features.append(x.flatten(1))
        return torch.cat(features, dim=1)


def block(part: Part) -> int:
    """Side of the squares of pixels over which an image is averaged."""
    side = min(part.shape[:2] if part.channels_last else part.shape[1:])
    return max(side // SHORTEST, 1)


def _channels_first(image: Tensor, part: Part) -> Tensor:
    """Images `(m, channels, height, width)`, averaged over blocks; their memory has the channels last, which
    convolutions on the CPU prefer."""
    image = image.permute(0, 3, 1, 2) if part.channels_last else image
    size = block(part)
    return image if size == 1 else functional.avg_pool2d(image, size)


class GRU(Encoder):
    """A gated recurrent unit (Cho et al. 2014, as in `torch.nn.GRU`) over the frames, from state 0; its last state.

    Images pass through a `CNN` first. Nothing is carried from step to step: each row holds the frames it needs, so
    minibatches may be shuffled as ever.
    """

    def __init__(self, obs: ObsMap, size: int, width: float = 1.0) -> None:
        if obs.frames < 2:
            raise UserError(f"encoder gru needs frames of at least 2, got {obs.frames}")
        self.obs, self.nfeature = obs, size
        self.cnn = CNN(obs, size, width=width)
        n = self.cnn.frame_features
        self.own = [((n, 3 * size), size), ((3 * size,), size), ((size, 3 * size), size), ((3 * size,), size)]
        self.shapes = [*self.own, *self.cnn.shapes]

    def __call__(self, params: Tensor, rows: Tensor) -> Tensor:
        r, b, size = len(params), rows.shape[0], self.nfeature  # len() would fix the number of rows at export
        into, bias_in, across, bias_across = self.unpack(params)[:4]
        if self.cnn.layers:
            nown = sum(math.prod(shape) for shape, _ in self.own)
            features = self.cnn.of_frames(params[:, nown:], rows)
        else:
            frames = rows.reshape(-1, self.obs.frame_size)
            features = frames.expand(r, *frames.shape)
        inputs = torch.baddbmm(bias_in[:, None], features, into).reshape(r, b, self.obs.frames, 3 * size)
        state = inputs.new_zeros(r, b, size)
        for t in range(self.obs.frames):
            recurrent = torch.baddbmm(bias_across[:, None], state, across)
            gates = torch.sigmoid(inputs[:, :, t, : 2 * size] + recurrent[:, :, : 2 * size])
            reset, keep = gates.split(size, dim=2)
            new = torch.tanh(inputs[:, :, t, 2 * size :] + reset * recurrent[:, :, 2 * size :])
            state = new + keep * (state - new)
        return state


def make_encoder(obs: ObsMap, settings: Any) -> Encoder | None:
    """Make what `settings.encoder` names for observations `obs`; None where the MLPs see them directly."""
    name, has_images = settings.encoder, obs.packed
    if name == "auto":
        name = "cnn" if has_images else "mlp"
    if name == "mlp":
        if has_images:
            raise UserError(f"encoder mlp takes vectors, this environment has images ({obs}); use auto, cnn or resnet")
        return None
    if name in TORSOS:
        if not has_images:
            raise UserError(f"encoder {name} needs images, this environment has vectors ({obs}); use auto, mlp or gru")
        return CNN(obs, settings.encoder_size, name, settings.encoder_width)
    return GRU(obs, settings.encoder_size, settings.encoder_width) if name == "gru" else _foreign(name)(obs, settings)


def _foreign(name: str) -> Any:
    """Import `module:Class`."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"encoder {name!r} cannot be imported: {error}") from None
