"""Triangle meshes from simple solids, with normals and places in a texture atlas. Lengths in metres, z up.

    crate = join(box((0.3, 0.3, 0.25), tile=WOOD), moved(box((0.1, 0.1, 0.02), tile=METAL), (0, 0, 0.27)))
    crate.write(path)

A tile is a number of the atlas, row by row from its upper left corner; a face shows as much of its tile as it is large,
a side of the tile being `SCALE` metres unless `fit`: then it shows all of it. The last tile is a palette; `plain(k)` is
its colour number `k`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

ATLAS = 4  # tiles in a row and in a column of an atlas
INSET = 0.02  # share of a tile at its border that no face shows: smaller images of the atlas mix neighbours there
SCALE = 1.0  # of a tile, m


@dataclass(frozen=True)
class Mesh:
    """Triangles `(k, 3)` of corners with positions `(m, 3)`, normals `(m, 3)` and texture coordinates `(m, 2)`."""

    points: Array
    normals: Array
    uv: Array
    faces: NDArray[np.intp]

    def write(self, path: Path) -> None:
        """Write a Wavefront OBJ file, rounded to a tenth of a millimetre; what is equal then is written once."""
        lines = []
        index = []
        for mark, values, digits in (("v", self.points, 4), ("vt", self.uv, 4), ("vn", self.normals, 2)):
            rows, inverse = np.unique(np.round(values, digits) + 0.0, axis=0, return_inverse=True)
            lines += [f"{mark} " + " ".join(f"{x:g}" for x in row) for row in rows]
            index.append(inverse.reshape(-1) + 1)
        v, t, n = index
        for face in self.faces:
            corners = {int(v[i]) for i in face}
            if len(corners) == 3:
                lines.append("f " + " ".join(f"{v[i]}/{t[i]}/{n[i]}" for i in face))
        path.write_text("\n".join(lines) + "\n")


def join(*meshes: Mesh) -> Mesh:
    """Return all meshes as one."""
    starts = np.cumsum([0, *(len(m.points) for m in meshes)])
    faces = np.concatenate([m.faces + start for m, start in zip(meshes, starts, strict=False)])
    parts = (np.concatenate([getattr(m, name) for m in meshes]) for name in ("points", "normals", "uv"))
    return Mesh(*parts, faces=faces)


def rotation(axis: str, angle: float) -> Array:
    """Return the matrix of a rotation about x, y or z, rad."""
    c, s = math.cos(angle), math.sin(angle)
    i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
    matrix = np.eye(3)
    matrix[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
    return matrix


def moved(mesh: Mesh, by: ArrayLike = (0, 0, 0), *turns: tuple[str, float]) -> Mesh:
    """Return the mesh turned about axes through the origin, one after another, then shifted."""
    matrix = np.eye(3)
    for axis, angle in turns:
        matrix = rotation(axis, angle) @ matrix
    return dataclasses.replace(
        mesh, points=mesh.points @ matrix.T + np.asarray(by, float), normals=mesh.normals @ matrix.T
    )


def bent(mesh: Mesh, function: Callable[[Array], Array]) -> Mesh:
    """Return the mesh with its points moved by a function of them; normals are computed anew, smooth where shared."""
    points = function(mesh.points)
    return dataclasses.replace(mesh, points=points, normals=_smooth(points, mesh.faces))


def flat(mesh: Mesh) -> Mesh:
    """Return the mesh with a normal of its own for each face."""
    faces = mesh.faces.reshape(-1)
    points = mesh.points[faces].reshape(-1, 3, 3)
    normal = np.cross(points[:, 1] - points[:, 0], points[:, 2] - points[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    return Mesh(
        points.reshape(-1, 3), np.repeat(normal, 3, axis=0), mesh.uv[faces], np.arange(len(faces)).reshape(-1, 3)
    )


def patch(corners: ArrayLike, tile: int, fit: bool = False, scale: float = SCALE) -> Mesh:
    """Return a quadrangle with corners (4, 3), counter-clockwise from the lower left, seen from its front."""
    p = np.asarray(corners, float)
    normal = np.cross(p[1] - p[0], p[3] - p[0])
    normal /= np.linalg.norm(normal)
    width, height = np.linalg.norm(p[1] - p[0]), np.linalg.norm(p[3] - p[0])
    w, h = (1.0, 1.0) if fit else (min(1.0, width / scale), min(1.0, height / scale))
    uv = in_tile(np.array([(0, 0), (w, 0), (w, h), (0, h)]), tile)
    return Mesh(p, np.repeat(normal[None], 4, axis=0), uv, np.array([(0, 1, 2), (0, 2, 3)]))


def plain(color: int) -> int:
    """Return the tile that is one colour of the palette all over."""
    return ATLAS * ATLAS + color


def in_tile(uv: Array, tile: int) -> Array:
    """Return coordinates (m, 2) in [0, 1] of a tile as coordinates of the atlas; (0, 0) is the lower left corner."""
    if tile >= ATLAS * ATLAS:
        row, column = divmod(tile - ATLAS * ATLAS, ATLAS)
        return in_tile(np.full_like(uv, 0) + (np.array([column, ATLAS - 1 - row]) + 0.5) / ATLAS, ATLAS * ATLAS - 1)
    column, row = tile % ATLAS, ATLAS - 1 - tile // ATLAS
    return (np.array([column, row]) + INSET + (1 - 2 * INSET) * np.asarray(uv)) / ATLAS


def box(half: Sequence[float], tile: int, top: int | None = None, fit: bool = False, scale: float = SCALE) -> Mesh:
    """Return a box of half-lengths (3,) around the origin; `top` is another tile for its upper side."""
    x, y, z = half
    sides = []
    for turn in range(4):
        a, b = (x, y) if turn % 2 == 0 else (y, x)
        side = patch([(-a, -b, -z), (a, -b, -z), (a, -b, z), (-a, -b, z)], tile, fit, scale)
        sides.append(moved(side, (0, 0, 0), ("z", turn * math.pi / 2)))
    lid = patch([(-x, -y, z), (x, -y, z), (x, y, z), (-x, y, z)], tile if top is None else top, fit, scale)
    base = patch([(-x, y, -z), (x, y, -z), (x, -y, -z), (-x, -y, -z)], tile, fit, scale)
    return join(*sides, lid, base)


def lathe(profile: ArrayLike, sides: int, tile: int, around: float = 1.0) -> Mesh:
    """Return the solid that a line (k, 2) of radius and height sweeps, from below to above, its tile laid around it.

    The line has an edge where a point is given twice; `around` is the share of the tile that goes round once.
    """
    line = np.asarray(profile, float)
    angle = np.linspace(0, 2 * math.pi, sides + 1)
    ring = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    points = np.empty((len(line), sides + 1, 3))
    points[..., :2] = line[:, None, :1] * ring
    points[..., 2] = line[:, 1:]
    step = np.linalg.norm(np.diff(line, axis=0), axis=1)
    along = np.concatenate(([0], np.cumsum(step)))
    along /= max(along[-1], 1e-9)
    uv = np.empty((len(line), sides + 1, 2))
    uv[..., 0] = around * np.linspace(0, 1, sides + 1)
    uv[..., 1] = along[:, None]
    # Normals of the line: mean of its two pieces, of one at edges and ends.
    pieces = np.stack((np.diff(line[:, 1]), -np.diff(line[:, 0])), axis=1) / np.maximum(step, 1e-9)[:, None]
    before, after = np.vstack((pieces[:1], pieces)), np.vstack((pieces, pieces[-1:]))
    slope = np.where(before.any(1)[:, None], before, after) + np.where(after.any(1)[:, None], after, before)
    slope /= np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-9)
    normals = np.empty_like(points)
    normals[..., :2] = slope[:, None, :1] * ring
    normals[..., 2] = slope[:, 1:]
    return dataclasses.replace(sheet(points, in_tile(uv.reshape(-1, 2), tile)), normals=normals.reshape(-1, 3))


def cylinder(radius: float, low: float, high: float, sides: int, tile: int, top: int | None = None) -> Mesh:
    """Return an upright cylinder with closed ends; `top` is another tile for its upper side."""
    wall = lathe([(radius, low), (radius, high)], sides, tile)
    lid = disc(radius, high, sides, tile if top is None else top)
    return join(wall, lid, disc(radius, low, sides, tile, down=True))


def disc(radius: float, z: float, sides: int, tile: int, down: bool = False) -> Mesh:
    """Return a level disc that shows its tile once, seen from above or from below."""
    angle = np.linspace(0, 2 * math.pi, sides, endpoint=False)
    rim = np.stack((np.cos(angle), np.sin(angle)), axis=1)
    plan = np.vstack((np.zeros((1, 2)), rim))
    points = np.column_stack((radius * plan, np.full(sides + 1, z)))
    i = np.arange(sides)
    faces = np.column_stack((np.zeros(sides, int), i + 1, (i + 1) % sides + 1))
    normals = np.tile((0.0, 0.0, -1.0 if down else 1.0), (sides + 1, 1))
    return Mesh(points, normals, in_tile(0.5 + 0.5 * plan, tile), faces[:, ::-1] if down else faces)


def beam(start: ArrayLike, end: ArrayLike, radius: float, sides: int, tile: int) -> Mesh:
    """Return a round bar between two points, with closed ends."""
    a, b = np.asarray(start, float), np.asarray(end, float)
    length = float(np.linalg.norm(b - a))
    axis = (b - a) / length
    bar = cylinder(radius, 0.0, length, sides, tile)
    side = np.cross(axis, (1.0, 0, 0) if abs(axis[0]) < 0.9 else (0, 1.0, 0))
    side /= np.linalg.norm(side)
    matrix = np.stack((np.cross(side, axis), side, axis), axis=1)
    matrix[:, 0] *= np.sign(np.linalg.det(matrix))
    return dataclasses.replace(bar, points=bar.points @ matrix.T + a, normals=bar.normals @ matrix.T)


def blob(radius: ArrayLike, tile: int, rings: int = 6, sides: int = 10) -> Mesh:
    """Return an ellipsoid of radii (3,) around the origin."""
    angle = np.linspace(-math.pi / 2, math.pi / 2, rings + 1)
    ball = lathe(np.stack((np.cos(angle), np.sin(angle)), axis=1), sides, tile)
    scale = np.broadcast_to(np.asarray(radius, float), 3)
    normals = ball.normals / scale
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return dataclasses.replace(ball, points=ball.points * scale, normals=normals)


def grid(points: Array, tile: int, repeat: tuple[float, float] = (1.0, 1.0)) -> Mesh:
    """Return a smooth sheet through points (rows, columns, 3), its front where columns x rows point.

    The tile is laid `repeat` times along columns and rows, to and fro, so that it has no seams.
    """
    rows, columns = points.shape[:2]
    u, v = np.meshgrid(np.linspace(0, repeat[0], columns), np.linspace(0, repeat[1], rows))
    uv = np.abs((np.stack((u, v), axis=-1) + 1) % 2 - 1)
    mesh = sheet(points, in_tile(uv.reshape(-1, 2), tile))
    return dataclasses.replace(mesh, normals=_smooth(mesh.points, mesh.faces))


def sheet(points: Array, uv: Array) -> Mesh:
    """Return the triangles of a grid (rows, columns, 3), without normals; what has no area is left out."""
    rows, columns = points.shape[:2]
    i = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = (x.reshape(-1) for x in (i[:-1, :-1], i[:-1, 1:], i[1:, 1:], i[1:, :-1]))
    faces = np.concatenate((np.stack((a, b, c), 1), np.stack((a, c, d), 1)))
    p = points.reshape(-1, 3)
    area = np.linalg.norm(np.cross(p[faces[:, 1]] - p[faces[:, 0]], p[faces[:, 2]] - p[faces[:, 0]]), axis=1)
    return Mesh(p, np.zeros_like(p), uv, faces[area > 1e-10])


def _smooth(points: Array, faces: NDArray[np.intp]) -> Array:
    """Return the mean normal of the faces at each place, weighted by area (m, 3)."""
    places, which = np.unique(np.round(points, 6), axis=0, return_inverse=True)
    which = which.reshape(-1)
    p = points[faces]
    normal = np.cross(p[:, 1] - p[:, 0], p[:, 2] - p[:, 0])
    total = np.zeros_like(places)
    for corner in range(3):
        np.add.at(total, which[faces[:, corner]], normal)
    total /= np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return total[which]
