"""How an environment's observations become the rows of numbers that buffers, normaliser and networks share.

A Box gives one part, a flat Dict of Boxes one part per key. uint8 boxes with three axes are images; everything else is
a vector. Parts are flattened and joined, `frames` past observations follow each other, the oldest first:

    obs = ObsMap.of("My-v0", Dict(camera=Box(0, 255, (64, 64, 3), uint8), speed=Box(-1, 1, (3,))), frames=4)
    obs.size                               # 4 * (64 * 64 * 3 + 3)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from safepo.errors import UserError

Floats = NDArray[np.float64]


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
    def of(cls, env_id: str, space: gymnasium.Space, frames: int = 1) -> ObsMap:
        """Describe a space.

        Raises:
            UserError: it is neither a Box nor a Dict of Boxes.
        """
        boxes = dict(space.spaces) if isinstance(space, gymnasium.spaces.Dict) else {"": space}
        parts = []
        for key, box in boxes.items():
            if not isinstance(box, gymnasium.spaces.Box):
                where = f" (entry {key!r} is {type(box).__name__})" if key else ""
                raise UserError(
                    f"{env_id} has the observation space {space}; safepo trains on Box and on Dict of Box only{where}"
                )
            parts.append(Part(key, tuple(box.shape), box.dtype == np.uint8 and len(box.shape) == 3))
        return cls(tuple(parts), frames)

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> ObsMap:
        """Rebuild from `to_dict`."""
        return cls(tuple(Part(key, tuple(shape), image) for key, shape, image in plain["parts"]), plain["frames"])

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a checkpoint."""
        return {"parts": [[part.key, list(part.shape), part.image] for part in self.parts], "frames": self.frames}

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

    def __str__(self) -> str:
        shapes = ", ".join(f"{part.key}{': ' if part.key else ''}{part.shape}" for part in self.parts)
        return shapes + (f", the last {self.frames}" if self.frames > 1 else "")

    def flatten(self, obs: Any) -> Floats:
        """Join the parts of `n` observations, as a vector environment returns them, to `(n, frame_size)`."""
        if not isinstance(obs, Mapping):
            obs = np.asarray(obs, np.float64)
            return obs.reshape(len(obs), -1)
        arrays = [np.asarray(obs[part.key], np.float64) for part in self.parts]
        return np.concatenate([a.reshape(len(a), -1) for a in arrays], axis=1)

    def frame(self, obs: Any) -> Floats:
        """Join the parts of one observation to `(1, frame_size)`."""
        if isinstance(obs, Mapping):
            return self.flatten({key: np.asarray(part)[None] for key, part in obs.items()})
        return self.flatten(np.asarray(obs)[None])

    def rows(self, obs: Any) -> tuple[Floats, bool]:
        """Turn an observation or a batch of them into rows `(b, size)`; also tells whether it was a single one.

        Accepted are rows `(size,)` or `(b, size)`, and parts in their own shapes, with the frames, where there are
        several, as a leading axis: `(*shape)`, `(b, *shape)`, `(frames, *shape)` or `(b, frames, *shape)`.
        """
        if not isinstance(obs, Mapping):
            row = np.asarray(obs, np.float64)
            if row.ndim in (1, 2) and row.shape[-1] == self.size:
                return np.atleast_2d(row), row.ndim == 1
            obs = {"": row}
        if set(obs) != {part.key for part in self.parts}:
            raise ValueError(f"obs must have the keys {[part.key for part in self.parts]}, got {list(obs)}")
        joined, leading = [], set()
        for part in self.parts:
            shape = (*([self.frames] if self.frames > 1 else []), *part.shape)
            array = np.asarray(obs[part.key], np.float64)
            lead = array.ndim - len(shape)
            if lead not in (0, 1) or array.shape[lead:] != shape:
                name = f"obs[{part.key!r}]" if part.key else "obs"
                batch = ", ".join(["b", *map(str, shape)])
                raise ValueError(f"{name} must have shape {shape} or ({batch}), got {array.shape}")
            leading.add(array.shape[:lead])
            joined.append(array.reshape(-1, self.frames, part.size))
        if len(leading) > 1:
            raise ValueError(f"the parts of obs have different numbers of rows: {sorted(leading)}")
        single = leading == {()}
        return np.concatenate(joined, axis=2).reshape(len(joined[0]), self.size), single


class History:
    """The last frames of n simulations; an episode's first observation stands for those before it."""

    def __init__(self, obs: ObsMap, n: int) -> None:
        self.window = np.zeros((n, obs.frames, obs.frame_size))

    def start(self, frame: Floats, ids: Any = slice(None)) -> Floats:
        """Begin episodes with observations `frame (len(ids), f)`; returns the rows of all `(n, size)`."""
        self.window[ids] = frame[:, None]
        return self.rows()

    def push(self, frame: Floats) -> Floats:
        """Append observations `(n, f)` and drop the oldest; returns the rows `(n, size)`."""
        self.window = np.concatenate([self.window[:, 1:], frame[:, None]], axis=1)
        return self.rows()

    def rows(self) -> Floats:
        """A copy of the rows `(n, size)`."""
        return self.window.reshape(len(self.window), -1).copy()
