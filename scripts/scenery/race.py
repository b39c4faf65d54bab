"""The corridor of the Race task: bamboo fences, rocks and a door, with a village around it.

What is touched are convex hulls of outlines that were measured at the shapes of the reference suite.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scenery import textures as tx
from scenery.mesh import Array, Mesh, beam, blob, box, cylinder, flat, in_tile, join, lathe, moved, patch, sheet
from scenery.mjcf import Rings, SceneryFile

ROCK, MOSS, BAMBOO, ROPE, PLANKS, IRON, PLASTER, ROOF, WINDOW, LEAVES, BARK, CUT, GATE = range(13)

HULLS: Mapping[str, Rings] = {
    "fence": {
        -0.1: ((1.21, 0.06), (-1.13, 0.02), (-1.05, 0), (-0.07, -0.06), (1.15, 0.02)),
        0.05: (
            (-0.828, -0.102), (0.902, -0.083), (1.2, -0.047), (1.232, -0.033), (1.279, 0.023), (1.286, 0.06),
            (1.28, 0.087), (1.265, 0.103), (1.204, 0.119), (-0.227, 0.102), (-1.102, 0.056), (-1.184, 0.012),
            (-1.192, -0.005), (-1.193, -0.041), (-1.184, -0.057), (-1.165, -0.071), (-1.103, -0.085),
        ),
        0.2: (
            (-1.219, -0.075), (-1.089, -0.104), (-0.541, -0.136), (0.577, -0.124), (1.196, -0.05), (1.236, -0.03),
            (1.315, 0.066), (1.321, 0.114), (1.315, 0.142), (1.301, 0.155), (1.203, 0.177), (0.618, 0.17),
            (-1.089, 0.083), (-1.231, 0.009), (-1.237, -0.003), (-1.241, -0.052),
        ),
        0.4: (
            (-0.16, -0.18), (0.14, -0.18), (1.19, -0.05), (1.24, -0.03), (1.33, 0.1), (1.33, 0.18), (1.23, 0.21),
            (-1.07, 0.12), (-1.29, 0), (-1.3, -0.07), (-1.07, -0.13),
        ),
        1.05: ((-1.08, 0.14), (-1.18, 0.03), (-1.09, -0.02), (-0.07, -0.14), (1.2, 0), (1.25, 0.06), (1.23, 0.14)),
        1.2: ((-0.09, -0.1), (1.19, 0.01), (1.22, 0.06), (1.19, 0.11), (-1.11, 0.12), (-1.13, 0.07), (-1.09, 0.02)),
    },
    "cliff": {
        -0.3: (
            (-2.48, -0.49), (-1.81, -0.73), (-0.59, -0.79), (1.28, -0.76), (1.99, -0.69), (2.47, -0.47), (2.81, -0.22),
            (2.94, 0.24), (2.72, 0.41), (2.19, 0.51), (0.51, 0.64), (-1.48, 0.64), (-2.73, 0.2), (-2.92, -0.1),
            (-2.77, -0.28),
        ),
        0: (
            (-2.86, 0.21), (-2.95, 0.1), (-2.89, -0.43), (-2.86, -0.46), (-2.74, -0.53), (-2.09, -0.67),
            (-1.72, -0.72), (-0.41, -0.8), (0.62, -0.81), (1.12, -0.79), (2, -0.7), (2.66, -0.52), (2.72, -0.49),
            (2.9, -0.34), (2.92, -0.3), (2.97, 0.09), (2.97, 0.24), (2.74, 0.48), (2.63, 0.53), (2.04, 0.6),
            (0.46, 0.73), (-1.45, 0.73), (-1.88, 0.64), (-2.73, 0.3),
        ),
        0.05: (
            (-2.889, 0.193), (-2.945, 0.131), (-2.881, -0.432), (-2.859, -0.456), (-2.736, -0.514), (-2.452, -0.591),
            (-2.119, -0.661), (-1.676, -0.713), (-0.465, -0.793), (0.623, -0.798), (1.083, -0.783), (2.001, -0.69),
            (2.678, -0.497), (2.738, -0.47), (2.894, -0.351), (2.908, -0.326), (2.973, 0.135), (2.977, 0.237),
            (2.738, 0.486), (2.584, 0.545), (1.996, 0.619), (0.447, 0.746), (-1.451, 0.742), (-1.767, 0.678),
            (-1.936, 0.632), (-2.726, 0.309),
        ),
        0.1: (
            (-2.74, -0.49), (-2.59, -0.54), (-2.15, -0.65), (-1.63, -0.71), (-0.52, -0.78), (0.62, -0.79),
            (1.05, -0.77), (2, -0.67), (2.7, -0.48), (2.75, -0.45), (2.88, -0.35), (2.9, -0.31), (2.97, 0.24),
            (2.73, 0.48), (2.54, 0.56), (1.3, 0.7), (0.44, 0.76), (-1.45, 0.76), (-1.82, 0.67), (-2.23, 0.52),
            (-2.72, 0.32), (-2.94, 0.16), (-2.87, -0.43),
        ),
        0.15: (
            (-2.74, -0.47), (-2.5, -0.55), (-2.17, -0.64), (-1.59, -0.71), (-0.58, -0.77), (0.4, -0.78),
            (1.01, -0.77), (2, -0.66), (2.72, -0.46), (2.77, -0.43), (2.86, -0.36), (2.9, -0.3), (2.97, 0.24),
            (2.71, 0.47), (2.44, 0.57), (1.92, 0.64), (1.1, 0.72), (0.43, 0.78), (-1.48, 0.77), (-1.63, 0.73),
            (-2.72, 0.32), (-2.93, 0.17), (-2.87, -0.41),
        ),
        0.2: (
            (-2.911, 0.161), (-2.915, 0.103), (-2.862, -0.385), (-2.737, -0.451), (-2.408, -0.564), (-2.173, -0.625),
            (-1.541, -0.704), (-0.635, -0.764), (0.41, -0.77), (0.972, -0.756), (2, -0.645), (2.736, -0.439),
            (2.825, -0.39), (2.87, -0.338), (2.892, -0.279), (2.963, 0.227), (2.711, 0.438), (2.497, 0.537),
            (2.252, 0.604), (1.882, 0.654), (0.904, 0.754), (0.435, 0.79), (-1.482, 0.776), (-2.297, 0.476),
            (-2.658, 0.333),
        ),
        0.3: (
            (-2.84, -0.3), (-2.82, -0.34), (-2.74, -0.39), (-2.45, -0.51), (-2.17, -0.6), (-1.83, -0.65),
            (-1.45, -0.7), (-0.75, -0.74), (0.9, -0.74), (2, -0.61), (2.82, -0.38), (2.84, -0.35), (2.88, -0.24),
            (2.94, 0.17), (2.77, 0.31), (2.44, 0.48), (1.88, 0.66), (0.46, 0.82), (-0.6, 0.81), (-1.1, 0.8),
            (-1.48, 0.76), (-2.45, 0.38), (-2.81, 0.16), (-2.86, -0.08),
        ),
        0.45: (
            (-2.52, 0.15), (-2.51, -0.27), (-2.33, -0.42), (-1.78, -0.62), (-0.93, -0.71), (0.79, -0.71), (2, -0.57),
            (2.61, -0.35), (2.82, -0.14), (2.83, 0.1), (2.19, 0.45), (1.86, 0.55), (0.55, 0.73), (0.12, 0.75),
            (-1.26, 0.68), (-1.66, 0.59), (-2.21, 0.39), (-2.45, 0.25),
        ),
        0.75: (
            (-0.77, 0.11), (-0.83, -0.5), (-0.77, -0.6), (-0.11, -0.63), (0.75, -0.57), (1.13, -0.46), (1.05, -0.13),
            (0.58, 0.14), (-0.15, 0.23), (-0.64, 0.21),
        ),
    },
    "mountain": {
        -1.0: (
            (-2.38, 0.36), (-2.35, -1.05), (-2.11, -1.53), (-1.25, -2.18), (-0.07, -2.27), (1.29, -2.04), (2.03, -1.7),
            (2.31, -1.21), (2.42, -0.07), (2.22, 1.19), (1.76, 1.64), (0.94, 2.18), (0.31, 2.26), (-1.08, 2.05),
            (-2.21, 1.39),
        ),
        0: (
            (-2.42, -0.26), (-2.41, -1.11), (-2.36, -1.39), (-2.1, -1.77), (-1.92, -1.93), (-1.26, -2.27),
            (0.11, -2.32), (1.04, -2.28), (1.29, -2.26), (1.91, -1.93), (2.35, -1.3), (2.38, -1.22), (2.4, -1.06),
            (2.42, -0.58), (2.4, 0.2), (2.32, 1.26), (2.28, 1.33), (1.83, 1.8), (1.43, 2.07), (1.15, 2.23),
            (1.02, 2.28), (-0.1, 2.29), (-1.11, 2.23), (-1.8, 1.8), (-1.96, 1.67), (-2.3, 1.32), (-2.32, 1.26),
            (-2.36, 0.83),
        ),
        0.1: (
            (-2.42, -0.33), (-2.4, -1.13), (-2.36, -1.41), (-2.14, -1.73), (-1.91, -1.93), (-1.22, -2.28),
            (0.04, -2.32), (1.03, -2.28), (1.31, -2.25), (1.91, -1.93), (2.37, -1.27), (2.4, -1.14), (2.42, -0.63),
            (2.39, 0.25), (2.32, 1.27), (2.28, 1.34), (1.85, 1.79), (1.16, 2.23), (1.03, 2.28), (-0.16, 2.28),
            (-1.11, 2.24), (-1.8, 1.81), (-2.3, 1.31), (-2.36, 0.9),
        ),
        0.25: (
            (2.42, -0.71), (2.39, 0.31), (2.32, 1.29), (2.29, 1.34), (1.87, 1.76), (1.32, 2.12), (1.17, 2.21),
            (1.01, 2.27), (-0.25, 2.27), (-1.08, 2.24), (-1.44, 2.03), (-1.79, 1.81), (-2.3, 1.3), (-2.32, 1.23),
            (-2.34, 1), (-2.42, -0.44), (-2.41, -1.07), (-2.36, -1.44), (-2.2, -1.67), (-1.9, -1.94), (-1.39, -2.19),
            (-1.03, -2.29), (-0.05, -2.32), (1, -2.28), (1.32, -2.24), (1.91, -1.92), (2.39, -1.24),
        ),
        0.5: (
            (-2.31, 1.21), (-2.42, -0.62), (-2.36, -1.48), (-1.9, -1.91), (-1.12, -2.19), (-0.46, -2.31),
            (0.13, -2.31), (1.33, -2.22), (1.91, -1.9), (2.4, -1.2), (2.41, -0.73), (2.32, 1.32), (1.87, 1.75),
            (0.96, 2.22), (-0.56, 2.25), (-1.02, 2.23), (-1.76, 1.8), (-2.24, 1.31),
        ),
        1.5: (
            (2.04, -1.05), (2.11, 0.12), (2.02, 0.63), (1.76, 1.44), (1.4, 1.66), (0.57, 1.82), (-0.81, 1.74),
            (-1.63, 1.47), (-1.88, 1.2), (-2.22, 0.24), (-2.08, -1.21), (-1.69, -1.56), (-0.99, -1.85), (0.57, -2),
            (1.45, -1.74),
        ),
        2.25: ((0.68, -1.36), (0.99, -1), (1, -0.62), (0.83, -0.52), (0.68, -0.6), (0.46, -0.96)),
    },
    "stone1": {
        -0.2: (
            (-0.28, 0.24), (-0.4, 0.11), (-0.38, -0.12), (-0.3, -0.23), (0.05, -0.28), (0.3, -0.21), (0.38, 0.06),
            (0.29, 0.22), (0.03, 0.26),
        ),
        0: (
            (-0.38, -0.25), (-0.3, -0.27), (-0.01, -0.3), (0.29, -0.28), (0.36, -0.25), (0.47, -0.14), (0.48, 0.13),
            (0.37, 0.24), (0.28, 0.29), (-0.02, 0.3), (-0.31, 0.28), (-0.39, 0.25), (-0.47, 0.16), (-0.48, 0.02),
            (-0.47, -0.16),
        ),
        0.05: (
            (-0.37, -0.26), (-0.04, -0.3), (0.29, -0.29), (0.47, -0.12), (0.48, 0.11), (0.38, 0.22), (0.27, 0.29),
            (-0.02, 0.3), (-0.32, 0.27), (-0.47, 0.13), (-0.46, -0.16),
        ),
        0.13: (
            (-0.46, -0.02), (-0.45, -0.14), (-0.34, -0.24), (0.03, -0.3), (0.28, -0.27), (0.43, -0.1), (0.46, 0.05),
            (0.32, 0.23), (-0.01, 0.3), (-0.32, 0.26), (-0.41, 0.17),
        ),
        0.17: (
            (-0.37, 0.19), (-0.42, 0.03), (-0.43, -0.04), (-0.42, -0.11), (-0.39, -0.17), (-0.33, -0.23),
            (0.03, -0.27), (0.3, -0.23), (0.37, -0.14), (0.4, -0.06), (0.4, 0.08), (0.36, 0.15), (0.29, 0.23),
            (0.25, 0.25), (0.08, 0.28), (-0.29, 0.25),
        ),
        0.2: ((-0.41, -0.06), (-0.3, -0.21), (0.03, -0.25), (0.3, -0.19), (0.34, 0.04), (-0.02, 0.25), (-0.37, 0.1)),
        0.28: ((-0.2, -0.12), (0.08, -0.12), (0, -0.04), (-0.17, -0.05)),
    },
    "stone2": {
        -0.2: (
            (-0.07, -0.25), (0.22, -0.2), (0.29, -0.11), (0.29, 0.13), (0.16, 0.26), (-0.08, 0.26), (-0.28, 0.15),
            (-0.29, -0.11), (-0.2, -0.22),
        ),
        0.05: (
            (-0.13, -0.28), (0.22, -0.22), (0.29, -0.15), (0.29, 0.12), (0.17, 0.28), (-0.2, 0.25), (-0.28, 0.18),
            (-0.29, -0.13), (-0.23, -0.22),
        ),
        0.3: (
            (0.24, 0.19), (0.13, 0.26), (-0.07, 0.25), (-0.23, 0.2), (-0.27, -0.1), (-0.21, -0.21), (-0.08, -0.26),
            (0.23, -0.18), (0.27, 0.05),
        ),
        0.47: ((-0.15, -0.03), (-0.03, -0.12), (0.15, -0.03), (0.14, 0.1), (0.02, 0.13), (-0.14, 0.05)),
    },
    "door": {
        0.0: ((-1.12, 0.04), (-1.12, -0.04), (0, -0.04), (0, 0.04)),
        0.1: ((-1.12, 0.06), (-1.12, -0.06), (0, -0.06), (0, 0.06)),
        1.0: ((-0.98, -0.14), (-0.98, 0.14)),
        2.13: ((-0.29, -0.04), (-0.29, 0.04), (-0.83, 0.04), (-0.83, -0.04)),
    },
}  # fmt: skip


def tiles() -> list[Any]:
    size = 256
    rock = tx.mixed((0.33, 0.32, 0.31), (0.66, 0.64, 0.61), tx.noise(size, (10, 4), 1, 5))
    rock = tx.mixed(rock, (0.22, 0.21, 0.2), 1.6 * (tx.noise(size, (5, 9), 2, 4) - 0.62))
    moss = tx.mixed((0.26, 0.36, 0.14), (0.5, 0.56, 0.26), tx.noise(size, 9, 3, 5))
    bamboo = tx.mixed((0.6, 0.47, 0.18), (0.86, 0.74, 0.38), tx.noise(size, (3, 20), 4, 4))
    y = np.arange(size) / size * 4 % 1
    bamboo *= (1 - 0.45 * (np.abs(y - 0.5) < 0.05))[:, None, None]  # knots
    x = np.arange(size) / size
    bamboo *= (0.8 + 0.25 * np.sin(np.pi * x))[None, :, None]
    rope = tx.stripes(size, (0.5, 0.4, 0.25), (0.35, 0.27, 0.16), 10) * (0.85 + 0.3 * tx.noise(size, 20, 5)[..., None])
    boards = tx.planks(size, (0.3, 0.17, 0.08), (0.5, 0.31, 0.16), 6, 6)
    iron = tx.plain(size, (0.16, 0.16, 0.17), 0.35, 7, 12)
    plaster = tx.plain(size, (0.87, 0.8, 0.66), 0.12, 8, 10)
    beams = tx.grain(size, (0.28, 0.18, 0.1), (0.4, 0.27, 0.16), 9)
    timber = plaster.copy()
    for a in (0.0, 0.47, 0.94):  # half-timbering
        i = slice(int(a * size), int((a + 0.06) * size))
        timber[i], timber[:, i] = beams[:, i].transpose(1, 0, 2), beams[:, i]
    roof = tx.bricks(size, (0.62, 0.25, 0.16), (0.32, 0.12, 0.09), 10, 10, 6)
    window = timber * 0 + np.array((0.3, 0.2, 0.12))
    for i in range(2):
        for j in range(2):
            a, b = int((0.1 + 0.43 * i) * size), int((0.1 + 0.43 * j) * size)
            pane = slice(a, a + int(0.37 * size)), slice(b, b + int(0.37 * size))
            window[pane] = tx.plain(size, (0.45, 0.58, 0.66), 0.35, 11, 3)[pane]
    leaves = tx.leaves(size, (0.1, 0.27, 0.08), (0.36, 0.55, 0.18), 12)
    bark = tx.grain(size, (0.2, 0.14, 0.09), (0.42, 0.31, 0.21), 13, 14, 3)
    cut = tx.plain(size, (0.8, 0.7, 0.42), 0.15, 14, 6)
    gate = tx.grain(size, (0.24, 0.13, 0.06), (0.38, 0.22, 0.11), 15)
    return [rock, moss, bamboo, rope, boards, iron, timber, roof, window, leaves, bark, cut, gate]


def village_floor() -> Any:
    return tx.cobbles(512, (0.56, 0.53, 0.5), (0.25, 0.23, 0.2), 21, 8)


def rock(rings: Rings, seed: int, columns: int, rows: int, depth: float) -> Mesh:
    """Return a boulder that fills a hull but for dents of up to `depth` m; what lies flat is mossy."""
    heights = np.array(sorted(rings))
    top = heights[-1]
    base = np.asarray(rings[heights[np.argmin(np.abs(heights - 0.1))]])
    center = base.mean(axis=0)
    closed = np.vstack((base, base[:1]))
    along = np.concatenate(([0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))))
    where = np.linspace(0, along[-1], columns + 1)
    points = np.stack([np.interp(where, along, closed[:, i]) for i in (0, 1)], axis=1) - center
    angle = np.arctan2(points[:, 1], points[:, 0])
    if np.sin(angle[1] - angle[0]) < 0:  # counter-clockwise, so that the front is outside
        angle, where = angle[::-1], where[::-1]
    centers = np.array([np.mean(np.asarray(rings[z]), axis=0) for z in heights])
    around = [np.asarray(rings[z]) - c for z, c in zip(heights, centers, strict=True)]
    hull = np.array([[_reach(ring, a) for a in angle] for ring in around])
    # Rows at equal distances along the slope, then the flat top.
    fine = np.linspace(-0.03, 0.97 * top, 200)
    step = np.hypot(np.diff(fine), np.diff(np.interp(fine, heights, hull.mean(axis=1))))
    slope = np.concatenate(([0], np.cumsum(step)))
    levels = np.concatenate((np.interp(np.linspace(0, slope[-1], rows), slope, fine), np.full(5, top)))
    inward = np.concatenate((np.ones(rows), (0.8, 0.6, 0.4, 0.2, 0.0)))
    middle = np.stack([np.interp(levels, heights, centers[:, i]) for i in (0, 1)], axis=1)[:, None]
    radius = np.stack([np.interp(levels, heights, hull[:, i]) for i in range(columns + 1)], axis=1)
    dents = _bumps(seed, angle, where, levels)
    grid = np.empty((len(levels), columns + 1, 3))
    dents = dents * np.sqrt(inward)[:, None]
    r = np.maximum(radius * inward[:, None] - depth * dents, 0)
    grid[..., :2] = middle + r[..., None] * np.stack((np.cos(angle), np.sin(angle)), axis=1)
    grid[..., 2] = levels[:, None] - 0.3 * depth * dents * (levels[:, None] > 0.5 * top)
    grid[-1] = grid[-1].mean(axis=0)
    return _faceted(grid, where)


def _reach(outline: Array, angle: float) -> float:
    """Return how far a convex outline around the origin is away in a direction, m; 0 where it is not around it."""
    d = np.array((math.cos(angle), math.sin(angle)))
    best = 0.0
    for a, b in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        edge = b - a
        det = d[0] * -edge[1] + d[1] * edge[0]
        if abs(det) > 1e-9:
            t = (a[0] * -edge[1] + a[1] * edge[0]) / det
            s = (d[0] * a[1] - d[1] * a[0]) / det
            if t > 0 and -1e-9 <= s <= 1 + 1e-9:
                best = max(best, t)
    return best


def _bumps(seed: int, angle: Array, where: Array, levels: Array) -> Array:
    """Return noise in [0, 1] over a boulder, (levels, columns), equal at both ends of its outline."""
    rng = np.random.default_rng(seed)
    total = np.zeros((len(levels), len(where)))
    length = abs(where[-1] - where[0])
    for wave in range(1, 14):
        k = max(1, round(wave * length / 6))
        phase, tilt = rng.uniform(0, 2 * np.pi), rng.normal(0, 3)
        turn = 2 * np.pi * k * where / length
        total += rng.normal() / math.sqrt(wave) * np.sin(turn[None] + tilt * levels[:, None] + phase)
    total += 0.8 * rng.random((len(levels), 1)) + 0.9 * rng.random(total.shape)
    total[:, -1] = total[:, 0]
    low, high = total.min(), total.max()
    return (total - low) / (high - low)


def _faceted(points: Array, where: Array) -> Mesh:
    """Return a grid (rows, columns, 3) as flat triangles with rock or moss on them."""
    step = np.linalg.norm(np.diff(points, axis=0), axis=2).mean(axis=1)
    up = np.repeat(np.concatenate(([0], np.cumsum(step)))[:, None], len(where), axis=1)
    mesh = flat(sheet(points, np.stack((np.broadcast_to(where, up.shape), up), axis=-1).reshape(-1, 2)))
    spread = np.sin(3.1 * mesh.points[:, :1]) + np.sin(2.3 * mesh.points[:, 1:2])  # moss grows in patches
    mossy = mesh.normals[:, 2:] > 0.86 + 0.1 * spread.reshape(-1, 3, 1).mean(axis=1).repeat(3, axis=0)
    uv = np.where(mossy, in_tile(_folded(mesh.points[:, :2]), MOSS), in_tile(_folded(mesh.uv), ROCK))
    return dataclasses.replace(mesh, uv=uv)


def _folded(places: Array) -> Array:
    """Return coordinates in [0, 1] that run to and fro, so that a tile can be laid over metres without seams."""
    return np.asarray(np.abs((places / 1.4 + 1) % 2 - 1))


def fence() -> Mesh:
    """Return a fence of bamboo poles along x with rails on both sides."""
    rng = np.random.default_rng(5)
    parts = []
    xs = np.linspace(-1.19, 1.22, 30)
    for x in xs:
        radius, height = rng.uniform(0.036, 0.043), rng.uniform(1.02, 1.18)
        lean = rng.normal(0, 0.012, 2)
        pole = lathe([(radius, -0.02), (radius, height)], 7, BAMBOO, 0.5)
        cap = moved(lathe([(radius, 0), (0, 0)], 7, CUT), (0, 0, height))
        parts.append(moved(join(pole, cap), (x, rng.normal(0, 0.006), 0), ("y", lean[0]), ("x", lean[1])))
    for z in (0.22, 0.62, 0.98):
        for y in (-0.07, 0.085):
            left, right = z + rng.normal(0, 0.01, 2)
            parts.append(beam((-1.24, y, left), (1.28, y, right), 0.024, 6, BAMBOO))
        for x in xs[::3]:
            parts.append(moved(box((0.02, 0.1, 0.03), ROPE), (x, 0.006, z)))
    return join(*parts)


def door() -> Mesh:
    """Return a door of boards in a frame, hinges at both sides, with a small roof over it."""
    parts = [moved(box((0.47, 0.03, 0.88), PLANKS), (-0.56, 0, 0.92))]
    for x in (-1.06, -0.06):
        parts.append(moved(box((0.06, 0.055, 0.97), GATE), (x, 0, 0.97)))
    parts.append(moved(box((0.56, 0.06, 0.06), GATE), (-0.56, 0, 1.88)))
    for z in (0.35, 1.5):
        parts.append(moved(box((0.46, 0.045, 0.035), IRON), (-0.56, 0, z)))
    for side in (-1, 1):
        parts.append(moved(cylinder(0.05, 0, 0.05, 10, IRON), (-0.3, side * 0.03, 0.95), ("x", -side * math.pi / 2)))
        a, b = (-1.15, side * 0.16, 1.92), (0.03, side * 0.16, 1.92)
        ridge = [(-1.15, 0, 2.12), (0.03, 0, 2.12)]
        corners = [a, b, ridge[1], ridge[0]] if side < 0 else [b, a, ridge[0], ridge[1]]
        parts.append(patch(corners, ROOF))
        parts.append(patch([corners[3], corners[2], corners[1], corners[0]], GATE))
    return join(*parts)


def house(size: tuple[float, float, float], roof: float) -> Mesh:
    """Return a half-timbered house of half-lengths, with a gable roof of that height."""
    x, y, z = size
    walls = moved(box((x, y, z / 2), PLASTER, scale=1.6), (0, 0, z / 2))
    parts = [walls]
    over = 0.25
    for side in (-1, 1):
        low = [(-x - over, side * (y + over), z - 0.12), (x + over, side * (y + over), z - 0.12)]
        ridge = [(-x - over, 0, z + roof), (x + over, 0, z + roof)]
        front = [low[0], low[1], ridge[1], ridge[0]] if side < 0 else [low[1], low[0], ridge[0], ridge[1]]
        parts += [patch(front, ROOF, scale=1.5), patch(front[::-1], GATE)]
        gable = np.array([(side * x, -side * y, z), (side * x, side * y, z), (side * x, 0, z + roof)])
        uv = in_tile(np.array([(0, 0), (1, 0), (0.5, 1)]), PLASTER)
        parts.append(Mesh(gable, np.tile((float(side), 0.0, 0.0), (3, 1)), uv, np.array([(0, 1, 2)])))
        for u in (-0.5, 0.5):
            parts.append(moved(box((0.22, 0.03, 0.26), WINDOW, fit=True), (u * x, side * y, 0.6 * z)))
            parts.append(moved(box((0.03, 0.2, 0.26), WINDOW, fit=True), (side * x, u * y, 0.6 * z)))
    parts.append(moved(box((0.26, 0.04, 0.5), PLANKS, fit=True), (0, -y, 0.5)))
    return join(*parts)


def tree(height: float, seed: int) -> Mesh:
    rng = np.random.default_rng(seed)
    trunk = lathe([(0.14, 0), (0.09, 0.5 * height)], 7, BARK)
    crown = [
        moved(blob(rng.uniform(0.24, 0.34) * height, LEAVES, 5, 8), (*rng.normal(0, 0.12 * height, 2), u * height))
        for u in (0.55, 0.68, 0.8)
    ]
    return join(trunk, *crown)


HOUSES = (  # x, y, yaw, half-lengths and height of the walls, height of the roof; m, rad
    (-0.6, 6.4, 0.1, (1.6, 1.2, 1.7), 1.1),
    (4.2, 7.2, -0.2, (1.9, 1.3, 1.9), 1.2),
    (-6.6, 5.2, 0.7, (1.5, 1.2, 1.6), 1.0),
    (-7.4, -1.6, 1.5, (1.7, 1.2, 1.8), 1.1),
    (8.6, 3.0, -1.3, (1.8, 1.3, 1.8), 1.2),
    (8.2, -3.4, -1.7, (1.6, 1.3, 1.7), 1.0),
    (-5.6, -7.0, 2.6, (1.6, 1.2, 1.7), 1.1),
    (3.6, -8.4, 3.3, (1.8, 1.2, 1.8), 1.1),
)
TREES = (
    (1.9, 5.0), (-3.4, 5.6), (6.3, 4.9), (-5.6, 2.2), (7.6, -0.4), (6.4, -6.2), (-5.2, -4.2), (-1.0, -7.6), (7.0, 7.4),
    (-9.4, 2.0), (0.6, -6.4), (10.6, 0.4),
)  # fmt: skip


def village() -> Mesh:
    """Return houses and trees around the corridor."""
    homes = [moved(house(size, roof), (x, y, 0), ("z", yaw)) for x, y, yaw, size, roof in HOUSES]
    woods = [moved(tree(1.9 + 0.35 * (i % 4), i), (x, y, 0)) for i, (x, y) in enumerate(TREES)]
    return join(*homes, *woods)


def write(folder: Path) -> None:
    file = SceneryFile("race", folder, tiles())
    tx.write(village_floor(), folder / "village.png", 64)
    file.mesh("fence", fence())
    file.mesh("cliff", rock(HULLS["cliff"], 31, 56, 7, 0.1))
    file.mesh("mountain", rock(HULLS["mountain"], 32, 52, 11, 0.28))
    file.mesh("stone1", rock(HULLS["stone1"], 33, 18, 5, 0.03))
    file.mesh("stone2", rock(HULLS["stone2"], 34, 16, 6, 0.03))
    file.mesh("door", door())
    file.mesh("village", village())
    for name, rings in HULLS.items():
        file.hull(name, rings)
    quarter = math.pi / 2
    for name, look, pos, yaw in (
        ("race_wall1_down", "fence", (-2.8, -2.1, 0), quarter),
        ("race_wall1_up", "fence", (-2.8, 0.355, 0), quarter),
        ("race_wall2_left", "fence", (-1.05, 1.75, 0), 0),
        ("race_wall22_right", "fence", (1.75, 1.75, 0), 0),
        ("race_wall3", "cliff", (0.2, -0.175, 0), 0),
        ("race_wall4", "mountain", (0.65, -2.45, 0), 0),
        ("race_wall5", "door", (-1.75, -3.5, 0), 0),
        ("small_stone1", "stone1", (-2.45, 2.1, 0), 0),
        ("small_stone2", "stone2", (0.355, 2.1, 0), 0),
    ):
        file.body(name, pos, yaw=yaw, looks=[look], hulls=[look])
    file.body("village", (0, 0, 0), looks=["village"])
    file.write()
