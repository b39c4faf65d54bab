"""Meshes of objects, standing on z = 0, with their common atlas."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from scenery import textures as tx
from scenery.mesh import Mesh, blob, join, lathe, moved

LEAVES, BLOSSOM, HEART, BUSH = range(4)


def tiles() -> list[Any]:
    size = 256
    leaves = tx.leaves(size, (0.1, 0.3, 0.07), (0.42, 0.66, 0.2), 1)
    y, x = np.mgrid[:size, :size] / size - 0.5
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    blossom = tx.mixed((1.0, 0.62, 0.8), (0.93, 0.2, 0.5), np.clip(1.6 * r + 0.35 * np.cos(5 * angle), 0, 1))
    heart = tx.plain(size, (0.98, 0.82, 0.18), 0.15, 3, 12)
    bush = tx.leaves(size, (0.05, 0.22, 0.07), (0.2, 0.46, 0.14), 4)
    return [leaves, blossom, heart, bush]


def bush(tile: int, height: float, seed: int) -> Mesh:
    """Return a bush of radius 1 m, to be stretched in the plane."""
    rng = np.random.default_rng(seed)
    parts = [moved(blob((0.62, 0.62, 0.56 * height), tile, 5, 10), (0, 0, 0.5 * height))]
    for i in range(6):
        turn = i * math.pi / 3 + rng.normal(0, 0.15)
        r = rng.uniform(0.4, 0.46)
        parts.append(
            moved(
                blob((r, r, rng.uniform(0.38, 0.46) * height), tile, 5, 8),
                ((1 - r) * math.cos(turn), (1 - r) * math.sin(turn), rng.uniform(0.34, 0.46) * height),
            )
        )
    return join(*parts)


def flowers(radius: float, height: float, seed: int) -> Mesh:
    """Return blossoms that look outwards all over a bush."""
    rng = np.random.default_rng(seed)
    parts = []
    golden = math.pi * (3 - math.sqrt(5))
    for i in range(22):
        up = 0.15 + 0.85 * (i + 0.5) / 22
        turn, tilt = golden * i + rng.normal(0, 0.1), math.acos(up)
        flower = join(
            lathe([(0.0, 0.0), (0.0345 * 1.1, 0.018), (0.0, 0.012)], 8, BLOSSOM),
            moved(blob(0.011, HEART, 3, 6), (0, 0, 0.018)),
        )
        out = 0.93 * radius * math.sin(tilt)
        place = (out * math.cos(turn), out * math.sin(turn), height * (0.12 + 0.86 * up))
        parts.append(moved(flower, place, ("y", tilt), ("z", turn)))
    return join(*parts)


def scaled(mesh: Mesh, x: float, z: float = 1.0) -> Mesh:
    """Return the mesh stretched by `x` in the plane and by `z` upwards."""
    factor = np.array((x, x, z))
    normals = mesh.normals / factor
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return dataclasses.replace(mesh, points=mesh.points * factor, normals=normals)


def write(folder: Path) -> None:
    tx.write(tx.atlas(tiles()), folder / "objects.png", 256)
    meshes = {
        "bush": scaled(bush(BUSH, 0.24, 1), 0.2625),
        "flower_bush": join(scaled(bush(LEAVES, 0.3, 2), 0.29), flowers(0.29, 0.3, 3)),
    }
    for name, mesh in meshes.items():
        mesh.write(folder / f"{name}.obj")
