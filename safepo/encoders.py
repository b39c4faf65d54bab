"""Encoders: what turns observations into the features that the MLPs of `networks.py` see.

Each network (actor, critics) has an encoder with parameters of its own, which stand in its row behind those of the
MLP. Thereby everything acts on it without knowing of it: Adam and clipping per network, the trust region, checkpoints,
several processes. An encoder is written once, as a differentiable function of flat parameters:

    encoder = CNN(obs, size=128)
    features = encoder(params, rows)               # params (r, p), rows (b, obs.size) -> (r, b, encoder.nfeature)

Own encoders: a class with this interface, made as `MyEncoder(obs, settings)`, is named `--encoder my_module:MyEncoder`.
"""

from __future__ import annotations

import importlib
import math
from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from safepo.errors import UserError
from safepo.observations import ObsMap, Part

SMALLEST = 4
"""Convolutions halve an image until its shorter side would fall below this."""


class Encoder(ABC):
    """A function of flat parameters and rows of observations.

    `shapes` lists its arrays as (shape, fan_in); `nfeature` is the length of its output.
    """

    shapes: list[tuple[tuple[int, ...], int]]
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
        """Return features `(r, b, nfeature)` of normalised observations `(b, size)` for r networks' `params (r, p)`.

        It must be differentiable twice in `params`.
        """


class CNN(Encoder):
    """Each image through convolutions (4 x 4, stride 2) and a linear layer to `size` features; vectors pass unchanged.

    Channels are 16, 32, 64, 64, ...; ReLU follows each convolution, tanh the linear layer. All frames share the
    weights; their features follow each other.
    """

    def __init__(self, obs: ObsMap, size: int) -> None:
        self.obs, self.size, self.shapes = obs, size, []
        self.depth = {part.key: self._plan(part) for part in obs.parts if part.image}
        vectors = sum(part.size for part in obs.parts if not part.image)
        self.frame_features = vectors + size * len(self.depth)
        self.nfeature = obs.frames * self.frame_features

    def _plan(self, part: Part) -> int:
        """Add the arrays for one image; returns the number of convolutions."""
        *sides, channels = part.shape if part.channels_last else (*part.shape[1:], part.shape[0])
        depth = max(int(math.log2(max(min(sides) / SMALLEST, 1))), 1)
        for i in range(depth):
            out = min(16 << i, 64)
            self.shapes += [((out, channels, 4, 4), 16 * channels), ((out,), 16 * channels)]
            channels, sides = out, [side // 2 for side in sides]
        inside = channels * math.prod(sides)
        if not inside:
            raise UserError(f"encoder cnn: the image {part.key!r} of shape {part.shape} is too small")
        self.shapes += [((inside, self.size), inside), ((self.size,), inside)]
        return depth

    def __call__(self, params: Tensor, rows: Tensor) -> Tensor:
        features = self.of_frames(params, rows.reshape(-1, self.obs.frame_size))
        return features.reshape(len(params), rows.shape[0], self.nfeature)

    def of_frames(self, params: Tensor, frames: Tensor) -> Tensor:
        """Features `(r, m, frame_features)` of single observations `(m, frame_size)`."""
        pieces = dict(zip((part.key for part in self.obs.parts), self._split(frames), strict=True))
        arrays = self.unpack(params)
        nets = [self._of_network([array[i] for array in arrays], pieces) for i in range(len(params))]
        return torch.stack(nets)

    def _split(self, frames: Tensor) -> list[Tensor]:
        """Parts `(m, ...)`, images as `(m, channels, height, width)`."""
        pieces = frames.split([part.size for part in self.obs.parts], dim=1)
        return [
            piece if not part.image else self._channels_first(piece.reshape(-1, *part.shape), part)
            for piece, part in zip(pieces, self.obs.parts, strict=True)
        ]

    @staticmethod
    def _channels_first(image: Tensor, part: Part) -> Tensor:
        return image.permute(0, 3, 1, 2).contiguous() if part.channels_last else image

    def _of_network(self, arrays: list[Tensor], pieces: dict[str, Tensor]) -> Tensor:
        """Features `(m, frame_features)` with one network's arrays."""
        features, left = [], iter(arrays)
        for key, piece in pieces.items():
            if key not in self.depth:
                features.append(piece)
                continue
            x = piece
            for _ in range(self.depth[key]):
                x = functional.conv2d(x, next(left), next(left), stride=2, padding=1).relu()
            weight, bias = next(left), next(left)
            features.append(torch.addmm(bias, x.flatten(1), weight).tanh())
        return torch.cat(features, dim=1)


class GRU(Encoder):
    """A gated recurrent unit (Cho et al. 2014, as in `torch.nn.GRU`) over the frames, from state 0; its last state.

    Images pass through a `CNN` first. Nothing is carried from step to step: each row holds the frames it needs, so
    minibatches may be shuffled as ever.
    """

    def __init__(self, obs: ObsMap, size: int) -> None:
        if obs.frames < 2:
            raise UserError(f"encoder gru needs frames of at least 2, got {obs.frames}")
        self.obs, self.nfeature = obs, size
        self.cnn = CNN(obs, size)
        n = self.cnn.frame_features
        self.own = [((n, 3 * size), size), ((3 * size,), size), ((size, 3 * size), size), ((3 * size,), size)]
        self.shapes = [*self.own, *self.cnn.shapes]

    def __call__(self, params: Tensor, rows: Tensor) -> Tensor:
        r, b, size = len(params), rows.shape[0], self.nfeature  # len() would fix the number of rows at export
        into, bias_in, across, bias_across = self.unpack(params)[:4]
        frames = rows.reshape(-1, self.obs.frame_size)
        if self.cnn.depth:
            nown = sum(math.prod(shape) for shape, _ in self.own)
            features = self.cnn.of_frames(params[:, nown:], frames)
        else:
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
    name, has_images = settings.encoder, bool(obs.images.any())
    if name == "auto":
        name = "cnn" if has_images else "mlp"
    if name == "mlp":
        if has_images:
            raise UserError(f"encoder mlp takes vectors, this environment has images ({obs}); use auto, cnn or gru")
        return None
    if name == "cnn":
        if not has_images:
            raise UserError(f"encoder cnn needs images, this environment has vectors ({obs}); use auto, mlp or gru")
        return CNN(obs, settings.encoder_size)
    return GRU(obs, settings.encoder_size) if name == "gru" else _foreign(name)(obs, settings)


def _foreign(name: str) -> Any:
    """Import `module:Class`."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UserError(f"encoder {name!r} cannot be imported: {error}") from None
