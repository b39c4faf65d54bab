"""How an environment's observations become the rows that buffers, normaliser and networks share.

A Box gives one part, a flat Dict of Boxes one part per key. uint8 boxes with three axes are images; everything else is
a vector. Parts are flattened and joined, `frames` past observations follow each other, the oldest first:

    space = Dict(camera=Box(0, 255, (64, 64, 3), uint8), speed=Box(-1, 1, (3,)))
    obs = ObsMap.of("My-v0", space, View(frames=4))
    obs.size                               # 4 * (64 * 64 * 3 + 3) numbers

Without images a row holds these numbers. With images it holds bytes: of each frame first the numbers of the vectors as
float32, four bytes each, then the pixels, one byte each. Such rows are stored, stacked, shuffled and sent as any
others; `pieces` and `decode` make numbers of them on the networks' device, where pixels are divided by 255.
"""

from __future__ import annotations

import fnmatch
import glob
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safepo.errors import UserError
from safepo.view import View

Floats = NDArray[np.float64]
Rows = NDArray[Any]
"""Rows of observations, numbers or bytes"""


@dataclass(frozen=True)
class Part:
    """One array of an observation."""

    key: str
    """In the environment's Dict; empty where the observation is a single array"""
    shape: tuple[int, ...]
    image: bool = False
    """Pixels from 0 to 255"""

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    @property
    def channels_last(self) -> bool:
        """Whether an image's colours are its last axis; the shortest of first and last axis is taken for them."""
        return self.shape[2] <= self.shape[0]


@dataclass(frozen=True)
class ObsMap:
    """The parts of an observation, and how many past observations a row holds."""

    parts: tuple[Part, ...]
    frames: int = 1

    @classmethod
    def vector(cls, size: int) -> ObsMap:
        """Plain vectors `(size,)`."""
        return cls((Part("", (size,)),))

    @classmethod
    def of(cls, env_id: str, space: gymnasium.Space, view: View | None = None) -> ObsMap:
        """Describe what a view shows of a space.

        Raises:
            UserError: it is neither a Box nor a Dict of Boxes, or a pattern of the view fits none of its entries.
        """
        view = view or View()
        boxes = dict(space.spaces) if isinstance(space, gymnasium.spaces.Dict) else {"": space}
        parts = []
        for key in _chosen(env_id, view.keys, list(boxes)):
            box = boxes[key]
            if not isinstance(box, gymnasium.spaces.Box):
                where = f" (entry {key!r} is {type(box).__name__})" if key else ""
                raise UserError(
                    f"{env_id} has the observation space {space}; safepo trains on Box and on Dict of Box only{where}"
                )
            parts.append(Part(key, tuple(box.shape), box.dtype == np.uint8 and len(box.shape) == 3))
        return cls(tuple(parts), view.frames)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> ObsMap:
        """Rebuild from `to_dict`."""
        return cls(tuple(Part(key, tuple(shape), image) for key, shape, image in plain["parts"]), plain["frames"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a checkpoint."""
        return {"parts": [[part.key, list(part.shape), part.image] for part in self.parts], "frames": self.frames}

    def __str__(self) -> str:
        shapes = ", ".join(f"{part.key}{': ' if part.key else ''}{part.shape}" for part in self.parts)
        return shapes + (f", the last {self.frames}" if self.frames > 1 else "")

    @property
    def view(self) -> View:
        """What an environment must be asked for to get these observations."""
        sides = [part.shape[1] for part in self.parts if part.image]
        return View(self.frames, tuple(glob.escape(part.key) for part in self.parts), sides[0] if sides else 0)

    # --- sizes --------------------------------------------------------------------------------------------------------

    @property
    def frame_size(self) -> int:
        """Numbers of one observation."""
        return sum(part.size for part in self.parts)

    @property
    def size(self) -> int:
        """Numbers of a row."""
        return self.frames * self.frame_size

    @property
    def images(self) -> NDArray[np.bool_]:
        """Which numbers of a row `(size,)` are pixels."""
        frame = np.concatenate([np.full(part.size, part.image) for part in self.parts])
        return np.tile(frame, self.frames)

    @property
    def packed(self) -> bool:
        """Whether rows hold bytes."""
        return any(part.image for part in self.parts)

    @property
    def nvector(self) -> int:
        """Numbers of a row that are no pixels."""
        return self.frames * self._vector_size

    @property
    def _vector_size(self) -> int:
        return sum(part.size for part in self.parts if not part.image)

    @property
    def frame_width(self) -> int:
        """Entries of one observation in a row."""
        return self.frame_size + 3 * self._vector_size if self.packed else self.frame_size

    @property
    def width(self) -> int:
        """Entries of a row: bytes if it is packed, else numbers."""
        return self.frames * self.frame_width

    # --- rows ---------------------------------------------------------------------------------------------------------

    def empty(self, *shape: int) -> Rows:
        """Unfilled rows `(*shape, width)` as the networks take them."""
        return np.empty((*shape, self.width), np.uint8 if self.packed else np.float32)

    def flatten(self, obs: Any) -> Rows:
        """Join the parts of `n` observations, as a vector environment returns them, to `(n, width of a frame)`."""
        return self._join([obs[part.key] for part in self.parts] if isinstance(obs, Mapping) else [obs])

    def _join(self, arrays: Sequence[Any]) -> Rows:
        if not self.packed:
            if len(arrays) == 1:
                array = np.asarray(arrays[0], np.float64)
                return array.reshape(len(array), -1)
            flat = [np.asarray(array, np.float64) for array in arrays]
            return np.concatenate([array.reshape(len(array), -1) for array in flat], axis=1)
        rows = np.empty((len(arrays[0]), self.frame_width), np.uint8)
        numbers, at = 0, 4 * self._vector_size
        for part, array in zip(self.parts, arrays, strict=True):
            if part.image:
                rows[:, at : at + part.size] = np.asarray(array, np.uint8).reshape(len(rows), -1)
                at += part.size
            else:
                vector = np.ascontiguousarray(array, np.float32).reshape(len(rows), -1)
                rows[:, numbers : numbers + 4 * part.size] = vector.view(np.uint8)
                numbers += 4 * part.size
        return rows

    def frame(self, obs: Any) -> Rows:
        """Join the parts of one observation to `(1, width of a frame)`."""
        if isinstance(obs, Mapping):
            return self._join([np.asarray(obs[part.key])[None] for part in self.parts])
        return self._join([np.asarray(obs)[None]])

    def vectors(self, rows: Rows) -> NDArray[np.floating]:
        """The numbers `(n, nvector)` of rows that are no pixels."""
        if not self.packed:
            return rows
        frames = rows.reshape(-1, self.frame_width)[:, : 4 * self._vector_size]
        return np.ascontiguousarray(frames).view(np.float32).reshape(len(rows), self.nvector)

    def pixels(self, rows: Rows) -> list[NDArray[np.uint8]]:
        """The images `(n, *part.shape)` in rows of one frame, in the order of the parts."""
        found, at = [], 4 * self._vector_size
        for part in self.parts:
            if part.image:
                found.append(rows[:, at : at + part.size].reshape(-1, *part.shape))
                at += part.size
        return found

    def with_vectors(self, rows: Rows, vectors: NDArray[np.float32]) -> Rows:
        """Copies of rows with other numbers `(n, nvector)` beside the pixels."""
        if not self.packed:
            return vectors
        rows = rows.copy()
        frames = rows.reshape(-1, self.frame_width)
        numbers = 4 * self._vector_size
        frames[:, :numbers] = np.ascontiguousarray(vectors).view(np.uint8).reshape(len(frames), numbers)
        return rows

    def rows(self, obs: Any) -> tuple[Rows, bool]:
        """Turn an observation or a batch of them into rows `(b, width)`; also tells whether it was a single one.

        Accepted are rows as a vector environment gives them, `(width,)` or `(b, width)`, their numbers, `(size,)` or
        `(b, size)`, and parts in their own shapes, with the frames, where there are several, as a leading axis:
        `(*shape)`, `(b, *shape)`, `(frames, *shape)` or `(b, frames, *shape)`.
        """
        if not isinstance(obs, Mapping):
            row = np.asarray(obs)
            if self.packed and row.dtype == np.uint8 and row.ndim in (1, 2) and row.shape[-1] == self.width:
                return np.atleast_2d(row), row.ndim == 1
            if row.ndim in (1, 2) and row.shape[-1] == self.size:
                return self._of_numbers(np.atleast_2d(row)), row.ndim == 1
            obs = {"": row}
        keys = [part.key for part in self.parts]
        if not obs.keys() >= set(keys):
            raise ValueError(f"obs must have the keys {keys}, got {list(obs)}")
        arrays, leading = [], set()
        for part in self.parts:
            shape = (*([self.frames] if self.frames > 1 else []), *part.shape)
            array = np.asarray(obs[part.key])
            lead = array.ndim - len(shape)
            if lead not in (0, 1) or array.shape[lead:] != shape:
                name = f"obs[{part.key!r}]" if part.key else "obs"
                batch = ", ".join(["b", *map(str, shape)])
                raise ValueError(f"{name} must have shape {shape} or ({batch}), got {array.shape}")
            leading.add(array.shape[:lead])
            arrays.append(array.reshape(-1, part.size))
        if len(leading) > 1:
            raise ValueError(f"the parts of obs have different numbers of rows: {sorted(leading)}")
        return self._join(arrays).reshape(-1, self.width), leading == {()}

    def _of_numbers(self, rows: Rows) -> Rows:
        """Rows from their numbers `(b, size)`."""
        frames = rows.reshape(-1, self.frame_size)
        ends = np.cumsum([part.size for part in self.parts])[:-1]
        return self._join(np.split(frames, ends, axis=1)).reshape(len(rows), self.width)

    # --- what the networks see ----------------------------------------------------------------------------------------

    def pieces(self, rows: Tensor) -> list[Tensor]:
        """The parts of each frame of rows, `(m, *part.shape)` each, m being rows times frames; pixels from 0 to 1.

        `rows` are bytes, or numbers that were divided by 255 where they are pixels.
        """
        if rows.dtype != torch.uint8:
            flat = rows.reshape(-1, self.frame_size).split([part.size for part in self.parts], dim=1)
            return [piece.reshape(-1, *part.shape) for piece, part in zip(flat, self.parts, strict=True)]
        frames, dtype = rows.reshape(-1, self.frame_width), torch.get_default_dtype()
        start = 4 * self._vector_size
        vectors = frames[:, :start].clone(memory_format=torch.contiguous_format).view(torch.float32).to(dtype)
        found, number, pixel = [], 0, start
        for part in self.parts:
            if part.image:
                piece = frames[:, pixel : pixel + part.size].to(dtype).mul_(1 / 255)
                pixel += part.size
            else:
                piece = vectors[:, number : number + part.size]
                number += part.size
            found.append(piece.reshape(-1, *part.shape))
        return found

    def decode(self, rows: Tensor) -> Tensor:
        """The numbers `(b, size)` of rows, in the order of the parts; pixels from 0 to 1."""
        if rows.dtype != torch.uint8:
            return rows
        return torch.cat([piece.flatten(1) for piece in self.pieces(rows)], dim=1).reshape(-1, self.size)

    def shifted(self, rows: Tensor, by: Tensor) -> Tensor:
        """Copies of packed rows whose images are moved by whole pixels `by (b, 2)`, down and right; what comes in from
        the border repeats it. All frames and images of a row move alike."""
        frames = rows.clone().reshape(-1, self.frame_width)
        moves = by.repeat_interleave(self.frames, dim=0)
        each, at = torch.arange(len(frames), device=rows.device)[:, None, None], 4 * self._vector_size
        for part in self.parts:
            if not part.image:
                continue
            image = frames[:, at : at + part.size].reshape(-1, *part.shape)
            image = image if part.channels_last else image.permute(0, 2, 3, 1)
            height, width = image.shape[1:3]
            y = (torch.arange(height, device=rows.device) - moves[:, :1]).clamp_(0, height - 1)
            x = (torch.arange(width, device=rows.device) - moves[:, 1:]).clamp_(0, width - 1)
            moved = image[each, y[:, :, None], x[:, None, :]]
            moved = moved if part.channels_last else moved.permute(0, 3, 1, 2)
            frames[:, at : at + part.size] = moved.reshape(len(frames), -1)
            at += part.size
        return frames.reshape(len(rows), -1)


def _chosen(env_id: str, patterns: tuple[str, ...], keys: list[str]) -> list[str]:
    """The keys that fit a pattern and none of those that begin with `!`, in their own order."""
    entries = f"has the entries {', '.join(keys)}" if keys != [""] else "is a single array"
    where = f"the observation of {env_id} {entries}"
    for pattern in patterns:
        if not fnmatch.filter(keys, pattern.removeprefix("!")):
            raise UserError(f"observe: {pattern!r} fits nothing; {where}")
    without = [pattern[1:] for pattern in patterns if pattern.startswith("!")]
    wanted = [pattern for pattern in patterns if not pattern.startswith("!")] or list(View.keys)
    chosen = [key for key in keys if _fits(key, wanted) and not _fits(key, without)]
    if not chosen:
        raise UserError(f"observe: {','.join(patterns)!r} leaves nothing; {where}")
    return chosen


def _fits(key: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(key, pattern) for pattern in patterns)


class History:
    """The last frames of n simulations; an episode's first observation stands for those before it."""

    def __init__(self, obs: ObsMap, n: int) -> None:
        self.window: Rows = np.zeros((n, obs.frames, obs.frame_width), np.uint8 if obs.packed else np.float64)

    def start(self, frame: Rows, ids: Any = slice(None)) -> Rows:
        """Begin episodes with observations `frame (len(ids), f)`; returns the rows of all `(n, width)`."""
        self.window[ids] = frame[:, None]
        return self.rows()

    def push(self, frame: Rows) -> Rows:
        """Append observations `(n, f)` and drop the oldest; returns the rows `(n, width)`."""
        self.window = np.concatenate([self.window[:, 1:], frame[:, None]], axis=1)
        return self.rows()

    def rows(self) -> Rows:
        """A copy of the rows `(n, width)`."""
        return self.window.reshape(len(self.window), -1).copy()
