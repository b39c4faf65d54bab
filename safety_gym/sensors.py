"""Observation maths as pure array functions: ego frame, lidars, compass, joint encodings.

`n` simulations, `a` agents, `k` objects, `b` lidar bins. Angles in radians, lengths in metres.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
TAU = 2 * np.pi


def to_ego(xy: Array, pos: Array, mat: Array) -> tuple[Array, Array]:
    """Express world points in the robot frame; return their ego x and y, each (n, a, k).

    A point is taken at world height 0 whatever the object's own height, as in the reference suite.

    Args:
        xy: world points, (n, k, 2).
        pos: robot positions, (n, a, 3).
        mat: robot rotation matrices, row-major, (n, a, 9).
    """
    dx = xy[:, None, :, 0] - pos[:, :, None, 0]
    dy = xy[:, None, :, 1] - pos[:, :, None, 1]
    m = mat[:, :, None, :]
    z = pos[:, :, None, 2]
    x_ego = dx * m[..., 0] + dy * m[..., 3] - z * m[..., 6]
    y_ego = dx * m[..., 1] + dy * m[..., 4] - z * m[..., 7]
    return x_ego, y_ego


class PseudoLidar:
    """Lidar over object centres: for each kind, bins hold the closeness of the nearest object of that kind.

    Bin 0 starts at the robot's +x axis, bins run counter-clockwise; an object at distance d reads
    `max(0, max_dist - d) / max_dist` (or `exp(-exp_gain d)` without `max_dist`); with `alias`, the neighbouring bins
    receive the reading times the fractional position inside the bin, so that it varies smoothly. No occlusion.
    """

    def __init__(
        self, kinds: NDArray[np.intp], nkind: int, nbin: int, max_dist: float | None, exp_gain: float, alias: bool
    ) -> None:
        """`kinds` (k,) gives the kind of each object, an index below `nkind`."""
        self.nkind, self.nbin = nkind, nbin
        self.max_dist, self.exp_gain, self.alias = max_dist, exp_gain, alias
        self._offset = kinds * nbin
        self._base: dict[tuple[int, int], NDArray[np.intp]] = {}

    def __call__(self, x_ego: Array, y_ego: Array) -> Array:
        """Return readings (n, a, nkind * nbin) for ego coordinates (n, a, k)."""
        n, a, _ = x_ego.shape
        base = self._base.get((n, a))
        if base is None:
            rows = np.arange(n * a).reshape(n, a, 1) * (self.nkind * self.nbin)
            base = self._base[n, a] = rows + self._offset
        dist = np.sqrt(x_ego * x_ego + y_ego * y_ego)
        turn = np.arctan2(y_ego, x_ego) * (self.nbin / TAU)
        # (-pi, pi] -> [0, nbin): adding a turn to negative angles only, so that bin 0 starts exactly at angle 0
        turn += (turn < 0) * float(self.nbin)
        low = turn.astype(np.intp)
        frac = turn - low
        low %= self.nbin  # a tiny negative angle rounds to a whole turn
        if self.max_dist is None:
            near = np.exp(-self.exp_gain * dist)
        else:
            near = np.maximum(0.0, self.max_dist - dist) / self.max_dist
        out = np.zeros((n, a, self.nkind * self.nbin))
        flat = out.reshape(-1)
        if self.alias:
            index = np.stack((low, (low + 1) % self.nbin, (low - 1) % self.nbin))
            index += base
            np.maximum.at(flat, index.reshape(-1), np.stack((near, frac * near, (1 - frac) * near)).reshape(-1))
        else:
            np.maximum.at(flat, (low + base).reshape(-1), near.reshape(-1))
        return out


def compass(x_ego: Array, y_ego: Array, z_ego: Array | None = None) -> Array:
    """Return the direction to an object in the robot frame, (n, a, 2) or (n, a, 3), of length just below 1."""
    parts = (x_ego, y_ego) if z_ego is None else (x_ego, y_ego, z_ego)
    v = np.stack(parts, axis=-1)
    return np.asarray(v / (np.sqrt((v * v).sum(axis=-1, keepdims=True)) + 0.001))


def quat_to_matrix(quat: Array) -> Array:
    """Return rotation matrices, row-major (..., 9), of quaternions (w, x, y, z), (..., 4), normalised first."""
    q = quat / np.sqrt((quat * quat).sum(axis=-1, keepdims=True))
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    rows = (
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    )  # fmt: skip
    return np.stack(rows, axis=-1)


def sincos(angle: Array) -> Array:
    """Return (sin, cos) of angles (...,) as (..., 2)."""
    return np.stack((np.sin(angle), np.cos(angle)), axis=-1)
