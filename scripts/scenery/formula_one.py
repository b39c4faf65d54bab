"""FormulaOne: the circuit between its walls, laid out after measurements of the reference's.

Ground, walls and surroundings are three meshes. The ground is a set of ribbons along the centre line that share their
edges, over a meadow a little below.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scenery import textures as tx
from scenery.mesh import Array, Mesh, beam, blob, box, flat, grid, in_tile, join, lathe, moved, patch, plain
from scenery.mjcf import Point, SceneryFile

ASPHALT, GRASS, MINT, ORANGE, KERB, FENCE, CONCRETE, HILL, CROWD, CHECKER, LEAVES = range(11)
BLACK, WHITE, GREY, RED, BROWN = map(plain, range(5))
PALETTE = ((0.07, 0.07, 0.08), (0.95, 0.95, 0.94), (0.5, 0.51, 0.53), (0.85, 0.08, 0.08), (0.36, 0.25, 0.15))

Polyline = tuple[tuple[float, float], ...]

WALL = (0.4, 0.9)
"""Thickness and height of walls, m."""

# Faces of the walls towards the track, as closed lines; the outer one runs clockwise.
OUTER: Polyline = (
    (6.48, 14.98), (8.82, 14.98), (9.57, 14.72), (10.98, 14.18), (12.77, 12.58), (13.18, 11.52), (13.23, 5.28),
    (13.48, 5.18), (13.88, 3.53), (14.58, 2.62), (16.18, 1.68), (17.52, 1.53), (20.12, 2.03), (23.33, 3.47),
    (24.78, 3.43), (26.52, 2.93), (30.98, 0.68), (34.72, -2.12), (35.78, -3.82), (36.17, -6.18), (35.88, -8.07),
    (34.67, -9.38), (33.22, -10.18), (30.88, -10.68), (18.67, -10.88), (17.77, -11.18), (17.12, -11.18),
    (17.08, -10.92), (15.08, -10.98), (14.08, -11.32), (13.23, -11.18), (12.38, -11.48), (12.23, -11.27),
    (12.23, -11.52), (11.73, -11.62), (11.32, -11.42), (7.88, -12.48), (6.07, -13.48), (5.57, -14.52), (5.68, -15.62),
    (6.32, -16.42), (7.48, -16.48), (8.48, -16.38), (13.32, -14.68), (13.77, -14.77), (13.88, -15.12), (15.23, -15.08),
    (15.27, -14.88), (14.48, -14.68), (14.73, -14.23), (20.08, -12.42), (22.02, -12.18), (23.42, -12.62),
    (24.72, -13.58), (25.42, -14.58), (25.78, -16.12), (25.88, -17.33), (25.42, -18.98), (24.92, -19.67),
    (23.17, -20.98), (22.02, -21.38), (21.48, -21.28), (21.42, -21.52), (20.58, -21.72), (15.77, -26.17),
    (15.12, -28.72), (14.88, -28.83), (15.12, -28.88), (14.92, -32.98), (14.58, -34.17), (13.48, -35.28),
    (10.82, -36.33), (-11.08, -36.72), (-12.58, -35.67), (-13.18, -34.83), (-13.22, -32.48), (-11.58, -29.38),
    (-10.48, -28.28), (-5.98, -14.58), (-5.88, -13.52), (-5.28, -12.48), (1.93, 9.82), (3.07, 12.12), (4.07, 13.42),
)  # fmt: skip
# The line is open: it ends where the infield can be entered, on both sides of BARRIER.
INNER: Polyline = (
    (4.32, 6.22), (5.62, 6.88), (6.52, 6.57), (6.73, 6.88), (8.02, 6.43), (9.18, 5.48), (9.68, 4.68), (9.88, 3.72),
    (9.68, 3.62), (9.73, 1.82), (9.93, 1.78), (9.73, -1.77), (10.48, -3.62), (11.68, -4.98), (12.52, -5.43),
    (13.92, -5.68), (16.23, -4.82), (18.67, -2.38), (19.52, -1.82), (21.38, -1.62), (21.42, -1.38), (21.48, -1.62),
    (22.38, -1.48), (22.92, -1.68), (24.33, -1.48), (27.08, -2.43), (29.42, -4.07), (30.22, -5.32), (30.08, -6.73),
    (28.28, -7.68), (28.22, -7.48), (27.42, -7.48), (27.33, -7.73), (25.42, -7.73), (25.33, -7.52), (16.08, -7.88),
    (12.58, -7.73), (8.48, -8.62), (8.43, -8.88), (6.88, -9.27), (6.68, -9.62), (3.48, -11.27), (1.88, -12.98),
    (1.02, -14.98), (1.18, -16.67), (2.62, -19.23), (4.07, -20.12), (7.38, -20.12), (12.12, -18.27), (16.68, -16.73),
    (18.02, -16.52), (18.98, -16.67), (19.48, -17.58), (19.12, -18.52), (18.33, -19.12), (13.27, -19.38),
    (11.92, -20.12), (11.52, -20.88), (11.27, -20.88), (10.73, -22.48), (10.92, -24.28), (10.68, -24.38),
    (10.68, -25.17), (10.92, -25.28), (10.68, -25.33), (10.68, -26.08), (10.98, -26.12), (10.68, -26.28),
    (10.68, -27.08), (10.98, -27.22), (10.68, -29.08), (9.77, -30.72), (8.32, -32.08), (5.43, -32.83), (-0.38, -33.08),
    (-0.47, -32.83), (-4.22, -32.58), (-5.78, -31.08), (-6.62, -29.38), (-6.82, -27.58), (-7.02, -27.52),
    (-6.78, -27.17), (-6.78, -25.58),
)  # fmt: skip
BARRIER = ((-1.25, -8.53, 0.22), (0.3, 11.5, 0.4), -0.314159)
"""Centre, half-lengths and yaw of the wall between the start straight and the infield."""


# Every 2 m along the centre line: x, y, and how far the walls are to the left (the outer one) and to the right, m.
CENTER = (
    (4.49, 9.05, 2.85, 3.25), (6.19, 10.09, 4.2, 3.45), (8.16, 10.13, 4.8, 3.5), (9.77, 8.99, 4.4, 3.35),
    (10.78, 7.26, 2.8, 2.6), (11.37, 5.35, 1.9, 1.85), (11.82, 3.4, 1.95, 2.1), (12.39, 1.47, 2.7, 2.8),
    (13.26, -0.32, 3.4, 4.05), (14.96, -1.21, 3.35, 4.25), (16.91, -0.77, 2.6, 2.95), (18.83, -0.2, 2, 1.9),
    (20.77, 0.31, 1.85, 2), (22.72, 0.75, 2.5, 2.4), (24.72, 0.79, 2.55, 2.25), (26.62, 0.19, 2.5, 2.35),
    (28.45, -0.65, 2.25, 2.25), (30.14, -1.71, 2.4, 2.4), (31.64, -3.04, 2.75, 2.35), (32.76, -4.69, 3.1, 2.6),
    (32.83, -6.65, 3.2, 2.6), (31.52, -8.12, 2.55, 2.25), (29.67, -8.86, 1.95, 1.65), (27.68, -9.14, 1.7, 1.65),
    (25.68, -9.23, 1.5, 1.45), (23.68, -9.25, 1.6, 1.5), (21.67, -9.26, 1.55, 1.5), (19.67, -9.33, 1.6, 1.55),
    (17.66, -9.41, 1.8, 1.55), (15.66, -9.46, 1.55, 1.6), (13.66, -9.53, 1.8, 1.75), (11.67, -9.76, 1.9, 1.7),
    (9.71, -10.2, 1.7, 1.7), (7.82, -10.86, 1.6, 1.85), (6.03, -11.76, 1.5, 1.55), (4.52, -13.06, 1.65, 1.9),
    (3.65, -14.84, 2, 2.5), (4.01, -16.77, 2.05, 2.5), (5.58, -17.94, 1.85, 2.2), (7.57, -18.06, 1.6, 1.95),
    (9.51, -17.6, 1.5, 1.6), (11.4, -16.91, 1.5, 1.5), (13.33, -16.4, 1.55, 1.45), (15.28, -15.95, 0.9, 1.2),
    (17.15, -15.21, 1.7, 1.45), (19.1, -14.81, 2.05, 2.1), (21.04, -15.22, 3.35, 2.9), (22.21, -16.76, 3.65, 2.9),
    (21.63, -18.62, 3.1, 2.9), (20.14, -19.95, 1.95, 1.7), (18.44, -21, 2.05, 1.95), (16.61, -21.84, 2.6, 2.9),
    (14.91, -22.87, 2.95, 3.95), (13.77, -24.5, 2.7, 3.3), (13.27, -26.44, 2.3, 2.65), (12.95, -28.42, 2.2, 2.2),
    (12.65, -30.4, 2.45, 2.25), (11.86, -32.23, 3.35, 2.6), (10.36, -33.53, 2.75, 2.5), (8.47, -34.16, 2.1, 2.15),
    (6.49, -34.47, 1.85, 1.9), (4.49, -34.63, 1.7, 1.75), (2.49, -34.7, 1.95, 1.7), (0.48, -34.74, 1.7, 1.65),
    (-1.52, -34.68, 2.05, 1.8), (-3.52, -34.62, 2, 1.95), (-5.5, -34.34, 2.35, 2.45), (-7.4, -33.69, 3.3, 3.15),
    (-8.98, -32.54, 4.75, 3.5), (-8.99, -30.56, 3.15, 3), (-8.68, -28.58, 1.85, 2.05), (-8.34, -26.61, 1.5, 1.6),
    (-7.85, -24.66, 1.45, 1.4), (-7.28, -22.74, 1.3, 1.35), (-6.71, -20.82, 1.25, 1.3), (-6.16, -18.89, 1.2, 1.15),
    (-5.58, -16.97, 1.2, 1.15), (-4.96, -15.07, 1.1, 1.15), (-4.34, -13.16, 1.15, 1.2), (-3.71, -11.26, 1.2, 1.2),
    (-3.08, -9.35, 1.15, 1.15), (-2.46, -7.45, 1.1, 1.15), (-1.83, -5.54, 1.15, 1.2), (-1.22, -3.64, 1.15, 1.2),
    (-0.6, -1.73, 1.1, 1.2), (0.02, 0.18, 1.1, 1.15), (0.67, 2.07, 1.15, 1.1), (1.44, 3.92, 1.25, 1.35),
    (2.27, 5.75, 1.55, 1.5), (3.21, 7.52, 2.1, 1.7),
)  # fmt: skip
SUBDIVIDED = 4
"""Stations of the ribbons for each of these points."""
START = 81
"""Number of the point at the start line."""
LINE, KERB_WIDTH, ROAD, MARGIN = 0.07, 0.28, (0.7, 1.6), 0.45
"""Widths of the white lines and kerbs, least and largest half-width of the road, its distance from the walls, m."""
UNDER = 0.2
"""How far the ground reaches under the walls, m."""


def tiles() -> list[Any]:
    size = 256
    y, x = np.mgrid[:size, :size] / size
    asphalt = tx.spots(size, tx.plain(size, (0.21, 0.21, 0.22), 0.16, 1, 24), (0.3, 0.3, 0.31), 300, (0.002, 0.005), 2)
    grass = tx.mixed((0.36, 0.5, 0.16), (0.58, 0.66, 0.28), tx.noise(size, 10, 3, 5))
    mint = tx.plain(size, (0.42, 0.78, 0.62), 0.06, 4, 12)
    orange = tx.plain(size, (0.93, 0.5, 0.16), 0.06, 5, 12)
    kerb = np.where((y < 0.5)[..., None], (0.83, 0.1, 0.1), (0.93, 0.93, 0.92))
    fence = tx.plain(size, (0.66, 0.68, 0.7), 0.06, 6, 6)
    mesh = np.minimum(np.abs((8 * (x + y)) % 1 - 0.5), np.abs((8 * (x - y)) % 1 - 0.5)) < 0.09
    fence[mesh] *= 0.6
    fence[(x < 0.05) | (y < 0.05) | (y > 0.95)] = (0.36, 0.37, 0.39)
    concrete = tx.spots(size, tx.plain(size, (0.63, 0.63, 0.62), 0.12, 7, 12), (0.52, 0.52, 0.51), 50, (0.004, 0.01), 8)
    concrete[(x < 0.012) | (y < 0.02)] *= 0.6
    hill = tx.plain(size, (0.13, 0.33, 0.17), 0.2, 9, 5)
    rng = np.random.default_rng(10)
    crowd = tx.plain(size, (0.12, 0.12, 0.14), 0.1, 10, 8)
    colors = np.array(((0.85, 0.2, 0.15), (0.2, 0.35, 0.8), (0.95, 0.85, 0.2), (0.92, 0.92, 0.92), (0.1, 0.55, 0.3)))
    for row in range(4):
        for column in range(12):
            here = np.hypot(x - (column + 0.5 + 0.2 * rng.normal()) / 12, y - (row + 0.55) / 4) < 0.035
            crowd[here] = colors[rng.integers(len(colors))]
    checker = np.where((((8 * x).astype(int) + (8 * y).astype(int)) % 2 == 0)[..., None], (0.95,) * 3, (0.06,) * 3)
    leaves = tx.leaves(size, (0.06, 0.25, 0.09), (0.25, 0.5, 0.18), 11)
    drawn = [asphalt, grass, mint, orange, kerb, fence, concrete, hill, crowd, checker, leaves]
    return [*drawn, None, None, None, None, tx.palette(size, PALETTE)]


@dataclass(frozen=True)
class Stations:
    """Points `(n, 2)` along the closed centre line, the last being the first, with what is measured there."""

    points: Array
    left: Array
    """Unit vectors to the left, (n, 2)."""
    room: Array
    """Distance of the walls to the left and to the right, (n, 2), m."""
    bend: Array
    """Curvature, (n,), positive to the left, 1/m."""

    def at(self, offset: Array | float) -> Array:
        """Return the points (n, 2) that lie so far to the left."""
        return self.points + np.asarray(offset)[..., None] * self.left


def stations() -> Stations:
    rows = np.array(CENTER)
    before, after, beyond = (np.roll(rows, k, axis=0) for k in (1, -1, -2))
    t = np.arange(SUBDIVIDED)[:, None, None] / SUBDIVIDED
    smooth = rows + t / 2 * (
        after - before + t * (2 * before - 5 * rows + 4 * after - beyond + t * (3 * (rows - after) + beyond - before))
    )  # Catmull-Rom
    line = smooth.transpose(1, 0, 2).reshape(-1, 4)
    along = np.roll(line[:, :2], -1, axis=0) - np.roll(line[:, :2], 1, axis=0)
    step = np.linalg.norm(along, axis=1, keepdims=True)
    along /= step
    turn = np.roll(along, -1, axis=0) - np.roll(along, 1, axis=0)
    left = np.stack((-along[:, 1], along[:, 0]), axis=1)
    closed = [
        np.concatenate((a, a[:1])) for a in (line[:, :2], left, line[:, 2:], (turn * left).sum(axis=1) / step[:, 0])
    ]
    return Stations(*closed)


def even(values: Array, reach: int) -> Array:
    """Return the mean of closed values (n,) over `reach` stations to both sides."""
    ring = values[:-1]
    mean = np.mean([np.roll(ring, k) for k in range(-reach, reach + 1)], axis=0)
    return np.append(mean, mean[0])


def ribbon(
    line: Stations, left: Array, right: Array, tile: int, where: Array | None = None, across: float = 1.0
) -> Mesh:
    """Return the level strip between two offsets from the centre line, at the stations `where`."""
    chosen = np.ones(len(left), bool) if where is None else where
    edges = np.flatnonzero(np.diff(np.concatenate(([0], chosen.astype(int), [0]))))
    strips = []
    for first, last in edges.reshape(-1, 2):
        stop = min(last + 1, len(left))
        if stop - first < 2:
            continue
        sides = np.stack((line.at(left)[first:stop], line.at(right)[first:stop]), axis=1)
        points = np.concatenate((sides, np.zeros((*sides.shape[:2], 1))), axis=2)
        strips.append(middle(grid(points, tile, (across, (stop - first - 1) / 2)), tile))
    return join(*strips)


def middle(mesh: Mesh, tile: int) -> Mesh:
    """Return the mesh showing the inner part of its tile only: from afar a tile takes colour from its neighbours."""
    center = in_tile(np.array((0.5, 0.5)), tile)
    return dataclasses.replace(mesh, uv=center + 0.6 * (mesh.uv - center)) if tile in (ASPHALT, GRASS) else mesh


def ground(line: Stations) -> Mesh:
    """Return road, lines, kerbs, run-off areas and meadow."""
    parts = []
    edges = []
    bends = even((np.abs(line.bend) > 0.09).astype(float), 5) > 0.2
    for side, room in ((1, line.room[:, 0]), (-1, line.room[:, 1])):
        road = np.minimum(even(np.clip(room - MARGIN, *ROAD), 6), room - MARGIN / 2)
        # On the inner side of a narrow bend the ribbon must end before its centre.
        end = np.minimum(room + UNDER, 0.85 / np.maximum(even(side * line.bend, 2), 0.01))
        paint, end = road + LINE, np.maximum(np.minimum(end, even(end, 4)), road + LINE)
        kerb = np.minimum(paint + KERB_WIDTH, end)
        wide = even(end - kerb, 3)
        border = kerb + np.where(wide > 1.4, 0.55, 1.0) * (end - kerb)
        edges.append(side * road)
        bands = [
            (road, paint, WHITE, None),
            (paint, kerb, KERB, bends),
            (paint, kerb, GRASS, ~bends),
            (kerb, border, MINT, wide > 0.8),
            (kerb, end, GRASS, wide <= 0.8),
            (border, end, ORANGE, wide > 1.4),
        ]
        for inner, outer, tile, where in bands:
            left, right = (outer, inner) if side > 0 else (-inner, -outer)
            parts.append(ribbon(line, left, right, tile, where))
    start = np.zeros(len(edges[0]), bool)
    start[START * SUBDIVIDED] = True
    parts.append(ribbon(line, edges[0], edges[1], ASPHALT, ~start, 2.0))
    parts.append(ribbon(line, edges[0], edges[1], CHECKER, start))
    x, y = np.meshgrid(np.arange(-36, 60, 6.0), np.arange(-60, 42, 6.0))
    meadow = np.stack((x, y, np.full_like(x, -0.03)), axis=-1)
    parts.append(middle(grid(meadow, GRASS, (x.shape[1] - 1, x.shape[0] - 1)), GRASS))
    return join(*parts)


# --- walls ------------------------------------------------------------------------------------------------------------


def pieces(line: Polyline, side: int) -> Iterator[tuple[Point, Point, float]]:
    """Yield a box for each stretch of a line: centre, half-lengths and yaw; it lies left (1) or right (-1) of it."""
    thick, high = WALL
    for (x0, y0), (x1, y1) in pairwise(line):
        dx, dy = x1 - x0, y1 - y0
        length = math.hypot(dx, dy)
        out = side * thick / 2 / length
        center = ((x0 + x1) / 2 - out * dy, (y0 + y1) / 2 + out * dx, high / 2)
        yield center, (length / 2, thick / 2, high / 2), math.atan2(dy, dx)


def fences(line: Polyline, side: int) -> Mesh:
    """Return walls of concrete with fences on them, as `pieces` has them."""
    base = 0.5
    parts = []
    for center, (half, thick, high), yaw in pieces(line, side):
        number = math.ceil(half / 0.6)
        for i in range(number):
            along = half * ((2 * i + 1) / number - 1)
            wall = moved(box((half / number, thick, base / 2), CONCRETE, fit=True), (along, 0, base / 2))
            w = half / number
            fence = [(-w, 0, base), (w, 0, base), (w, 0, 2 * high), (-w, 0, 2 * high)]
            front = patch(fence, FENCE, fit=True)
            back = moved(front, (0, 0, 0), ("z", math.pi))
            place = (center[0], center[1], 0.0)
            parts += [moved(moved(part, (along, 0, 0)), place, ("z", yaw)) for part in (front, back)]
            parts.append(moved(wall, place, ("z", yaw)))
    return join(*parts)


def straight_barrier() -> Mesh:
    """Return the wall of red and white blocks beside the start straight."""
    center, half, yaw = BARRIER
    blocks = 23
    parts = []
    for i in range(blocks):
        block = box((half[0], half[1] / blocks, half[2]), (RED, WHITE)[i % 2])
        parts.append(moved(moved(block, (0, half[1] * ((2 * i + 1) / blocks - 1), 0)), center, ("z", yaw)))
    return join(*parts)


# --- surroundings -----------------------------------------------------------------------------------------------------


def grandstand(length: float) -> Mesh:
    """Return a black stand of four rows that looks along -y, its front at y = 0."""
    parts = []
    for row in range(4):
        y, high = 0.6 * row + 0.3, 0.7 + 0.42 * row
        for i in range(math.ceil(length / 2)):
            width = length / math.ceil(length / 2)
            x = (i + 0.5) * width - length / 2
            parts.append(moved(box((width / 2, 0.3, high / 2), BLACK), (x, y, high / 2)))
            seats = [(-width / 2, 0, 0), (width / 2, 0, 0), (width / 2, 0, 0.42), (-width / 2, 0, 0.42)]
            parts.append(moved(patch(seats, CROWD, fit=True), (x, y + 0.1, high)))
    roof = moved(box((length / 2, 1.4, 0.06), BLACK), (0, 1.3, 3.0))
    posts = [
        moved(box((0.06, 0.06, 1.5), GREY), (x, 2.4, 1.5)) for x in np.linspace(-length / 2 + 0.2, length / 2 - 0.2, 4)
    ]
    edge = moved(box((length / 2, 0.03, 0.12), WHITE), (0, -0.12, 2.96))
    return join(*parts, roof, edge, *posts)


def beside(line: Stations, point: float, offset: float) -> tuple[Point, float]:
    """Return the place so far left of the centre line, and the yaw of what looks towards the line along its -y."""
    i = round(point * SUBDIVIDED)
    x, y = line.at(offset)[i]
    return (float(x), float(y), 0.0), math.atan2(line.left[i, 1], line.left[i, 0]) - math.pi / 2


def gantry(line: Stations) -> Mesh:
    """Return the bridge of the start with its lights."""
    i = START * SUBDIVIDED
    left, right = line.room[i, 0] + 0.7, line.room[i, 1] + 0.85
    width, middle = left + right, (left - right) / 2
    posts = [moved(box((0.09, 0.09, 1.05), GREY), (0, y, 1.05)) for y in (left, -right)]
    sign = moved(box((0.08, width / 2 + 0.15, 0.26), CHECKER, fit=True), (0, middle, 2.2))
    top = moved(box((0.12, width / 2 + 0.2, 0.05), RED), (0, middle, 2.5))
    lamps = [moved(blob(0.07, RED, 3, 6), (-0.1, middle + 0.22 * k, 1.82)) for k in range(-2, 3)]
    board = moved(box((0.05, 0.62, 0.13), BLACK), (0, middle, 1.82))
    place, yaw = beside(line, START, 0.0)
    return moved(join(*posts, sign, top, board, *lamps), place, ("z", yaw))


def tree(height: float) -> Mesh:
    cone = [(0.32 * height, 0.25 * height), (0.0, height)]
    return join(
        flat(lathe([(0.0, 0.25 * height), *cone], 6, LEAVES)), beam((0, 0, 0), (0, 0, 0.3 * height), 0.06, 4, BROWN)
    )


def inside(points: Array, line: Polyline) -> Array:
    """Return which of the points (k, 2) lie inside a closed line."""
    a = np.array(line)
    b = np.roll(a, -1, axis=0)
    x, y = points[:, None, 0], points[:, None, 1]
    across = (a[:, 1] > y) != (b[:, 1] > y)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossing = (b[:, 0] - a[:, 0]) * (y - a[:, 1]) / (b[:, 1] - a[:, 1]) + a[:, 0]
    return (across & (x < crossing)).sum(axis=1) % 2 == 1


def clearance(points: Array, line: Polyline) -> Array:
    """Return the distance of points (k, 2) from a closed line, m."""
    a = np.array(line)
    d = np.roll(a, -1, axis=0) - a
    t = np.clip(((points[:, None] - a) * d).sum(axis=2) / (d * d).sum(axis=1), 0, 1)
    return np.asarray(np.linalg.norm(points[:, None] - (a + t[..., None] * d), axis=2).min(axis=1))


def surroundings(line: Stations) -> Mesh:
    """Return gantry, grandstands, trees and hills."""
    rng = np.random.default_rng(1)
    parts = [gantry(line)]
    stands = []
    for point, length in ((80, 10), (73.5, 7), (62, 9), (47.5, 6), (14, 8), (2.5, 6)):
        place, yaw = beside(line, point, line.room[round(point * SUBDIVIDED), 0] + 1.2)
        parts.append(moved(grandstand(length), place, ("z", yaw)))
        stands.append(place[:2])
    spots = rng.uniform((-32, -54), (55, 36), (1500, 2))
    outside, far = ~inside(spots, OUTER), clearance(spots, OUTER)
    infield = inside(spots, INNER) & (clearance(spots, INNER) > 1.5)
    free = np.linalg.norm(spots[:, None] - np.array(stands), axis=2).min(axis=1) > 6.5
    placed: list[Array] = []

    def put(mesh: Any, chosen: Array, number: int, apart: float) -> None:
        taken: list[Array] = []
        for spot in spots[chosen]:
            if len(taken) < number and all(np.linalg.norm(spot - other) > apart for other in taken):
                taken.append(spot)
                parts.append(moved(mesh(), (*spot, -0.05), ("z", rng.uniform(0, 6.28))))
        placed.extend(taken)

    def hill() -> Mesh:
        radius, high = rng.uniform(6, 9), rng.uniform(2.5, 5.5)
        return flat(blob((radius, radius * rng.uniform(0.7, 1), high), HILL, 4, 9))

    put(hill, outside & (far > 10.5), 22, 8.5)
    put(lambda: tree(rng.uniform(1.6, 2.8)), outside & (far > 2) & (far < 9) & free, 34, 3.0)
    put(lambda: tree(rng.uniform(1.2, 2.2)), infield, 22, 2.4)
    return join(*parts)


def write(folder: Path) -> None:
    line = stations()
    file = SceneryFile("formula_one", folder, tiles())
    closed = (*OUTER, OUTER[0])
    file.mesh("ground", ground(line))
    file.mesh("fences", join(fences(closed, 1), fences(INNER, -1), straight_barrier()))
    file.mesh("surroundings", surroundings(line))
    walls = [*pieces(closed, 1), *pieces(INNER, -1), BARRIER]
    file.body("walls", (0, 0, 0), looks=("ground", "fences", "surroundings"), boxes=walls)
    file.write()
