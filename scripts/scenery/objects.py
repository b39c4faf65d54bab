"""Meshes of objects, standing on z = 0, with their common atlas."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
from scenery import textures as tx
from scenery.mesh import Mesh, beam, blob, box, cylinder, disc, join, lathe, moved, plain

LEAVES, BLOSSOM, BUSH, NO_ENTRY, FLAG, CONCRETE, STEEL, DRUM, WOOD, TOOLS, SHELL, PANEL, BARRIER, WARNING = range(14)
YELLOW, GREEN, TEAL, ORANGE, RED, PURPLE, DARK, WHITE, GREY, CYAN = map(plain, range(10))
PALETTE = (
    (0.98, 0.82, 0.18), (0.1, 0.75, 0.25), (0.06, 0.5, 0.5), (1.0, 0.5, 0.05), (0.85, 0.08, 0.08), (0.42, 0.12, 0.7),
    (0.1, 0.1, 0.12), (0.95, 0.95, 0.93), (0.55, 0.56, 0.58), (0.2, 0.9, 0.95),
)  # fmt: skip


def tiles() -> list[Any]:
    size = 256
    y, x = np.mgrid[:size, :size] / size - 0.5
    r, angle = np.hypot(x, y), np.arctan2(y, x)
    blossom = tx.mixed((1.0, 0.62, 0.8), (0.93, 0.2, 0.5), np.clip(1.6 * r + 0.35 * np.cos(5 * angle), 0, 1))
    sign = tx.plain(size, (0.8, 0.06, 0.07), 0.08, 5, 10)
    bar = (np.abs(y) < 0.09) & (np.abs(x) < 0.36)
    sign[bar | ((r > 0.44) & (r < 0.49))] = (0.95, 0.95, 0.92)
    flag = tx.plain(size, (0.06, 0.6, 0.2), 0.05, 6, 6)
    check = np.abs(np.where(x < -0.08, y - x - 0.28, y + 1.0 * x - 0.12)) < 0.09
    flag[check & (np.abs(x + 0.02) < 0.3) & (y > -0.3)] = (0.97, 0.97, 0.95)
    flag[(np.abs(x) > 0.45) | (np.abs(y) > 0.45)] = (0.97, 0.97, 0.95)
    concrete = tx.spots(size, tx.plain(size, (0.62, 0.61, 0.58), 0.16, 7, 12), (0.5, 0.49, 0.46), 60, (0.004, 0.012), 8)
    steel = tx.plain(size, (0.62, 0.64, 0.67), 0.14, 9, (3, 30))
    drum = tx.plain(size, (0.16, 0.33, 0.68), 0.14, 10, 6)
    drum = tx.mixed(drum, (0.4, 0.2, 0.1), np.clip(2.2 * (tx.noise(size, 6, 11, 5) - 0.72), 0, 1))
    for height in (-0.17, 0.17):
        drum[np.abs(y - height) < 0.02] *= 0.72
    drum[np.abs(y) < 0.07] = 0.9 * drum[np.abs(y) < 0.07] + 0.1
    crate = tx.planks(size, (0.5, 0.34, 0.17), (0.78, 0.58, 0.33), 12, 5)
    edge = np.maximum(np.abs(x), np.abs(y)) > 0.4
    brace = np.abs(np.abs(x) - np.abs(y)) < 0.06
    frame = tx.grain(size, (0.45, 0.29, 0.13), (0.68, 0.48, 0.25), 13)
    crate[edge | (brace & (x * y > 0))] = frame[edge | (brace & (x * y > 0))]
    crate[np.abs(np.maximum(np.abs(x), np.abs(y)) - 0.4) < 0.008] *= 0.45
    tools = tx.plain(size, (0.05, 0.52, 0.54), 0.1, 14, 10)
    tools[np.abs(y - 0.05) < 0.015] *= 0.45
    tools = tx.text(tools, "TOOLS", (0.95, 0.95, 0.9), 0.2, (0.5, 0.76))
    shell = tx.plain(size, (0.43, 0.17, 0.68), 0.1, 15, 8)
    shell[np.abs(x % 0.25 - 0.125) < 0.006] *= 0.6
    panel = tx.plain(size, (0.98, 0.55, 0.1), 0.08, 16, 8)
    panel = tx.text(panel, "STOP", (0.1, 0.1, 0.12), 0.22, (0.5, 0.6))
    barrier = tx.stripes(size, (0.95, 0.35, 0.05), (0.95, 0.94, 0.92), 2, 0.0).transpose(1, 0, 2)
    warning = tx.stripes(size, (0.95, 0.75, 0.05), (0.1, 0.1, 0.1), 4)
    leaves = tx.leaves(size, (0.1, 0.3, 0.07), (0.42, 0.66, 0.2), 1)
    bush = tx.leaves(size, (0.05, 0.22, 0.07), (0.2, 0.46, 0.14), 4)
    drawn = [leaves, blossom, bush, sign, flag, concrete, steel, drum, crate, tools, shell, panel, barrier, warning]
    return [*drawn, None, tx.palette(size, PALETTE)]


# --- plants of the race -----------------------------------------------------------------------------------------------


def bush(tile: int, height: float, seed: int) -> Mesh:
    """Return a bush of radius 1 m, to be stretched in the plane."""
    rng = np.random.default_rng(seed)
    parts = [moved(blob((0.62, 0.62, 0.56 * height), tile, 5, 10), (0, 0, 0.5 * height))]
    for i in range(6):
        turn = i * math.pi / 3 + rng.normal(0, 0.15)
        r = rng.uniform(0.4, 0.46)
        place = ((1 - r) * math.cos(turn), (1 - r) * math.sin(turn), rng.uniform(0.34, 0.46) * height)
        parts.append(moved(blob((r, r, rng.uniform(0.38, 0.46) * height), tile, 5, 8), place))
    return join(*parts)


def flowers(radius: float, height: float, seed: int) -> Mesh:
    """Return blossoms that look outwards all over a bush."""
    rng = np.random.default_rng(seed)
    parts = []
    number, golden = 26, math.pi * (3 - math.sqrt(5))
    for i in range(number):
        up = 0.15 + 0.85 * (i + 0.5) / number
        turn, tilt = golden * i + rng.normal(0, 0.1), math.acos(up)
        flower = join(
            lathe([(0.0, 0.0), (0.048, 0.02), (0.0, 0.013)], 8, BLOSSOM), moved(blob(0.014, YELLOW, 3, 6), (0, 0, 0.02))
        )
        out = 0.93 * radius * math.sin(tilt)
        place = (out * math.cos(turn), out * math.sin(turn), height * (0.12 + 0.86 * up))
        parts.append(moved(flower, place, ("y", tilt), ("z", turn)))
    return join(*parts)


def stretched(mesh: Mesh, by: float) -> Mesh:
    """Return the mesh stretched in the plane."""
    factor = np.array((by, by, 1.0))
    normals = mesh.normals / factor
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    return dataclasses.replace(mesh, points=mesh.points * factor, normals=normals)


# --- things of the building site --------------------------------------------------------------------------------------


def signpost() -> Mesh:
    """Return a post with a green sign to all four sides, in a green ring: the goal, of radius 0.3 m."""
    base = lathe([(0.11, 0.0), (0.11, 0.05), (0.11, 0.05), (0.06, 0.09), (0.06, 0.09), (0.0, 0.09)], 4, CONCRETE)
    parts = [moved(base, (0, 0, 0), ("z", math.pi / 4)), cylinder(0.022, 0.09, 0.62, 8, STEEL)]
    parts += [moved(box((0.13, 0.13, 0.13), FLAG, top=GREEN, fit=True), (0, 0, 0.75))]
    parts += [lathe([(0.15, 0.88), (0.15, 0.9), (0.15, 0.9), (0.0, 1.0)], 4, GREEN)]
    parts[-1] = moved(parts[-1], (0, 0, 0), ("z", math.pi / 4))
    ring = lathe([(0.3, 0.004), (0.3, 0.012), (0.3, 0.012), (0.265, 0.012), (0.265, 0.012), (0.265, 0.004)], 32, GREEN)
    return join(*parts, ring)


def no_entry() -> Mesh:
    """Return a round no-entry sign that lies on the ground, of radius 0.2 m."""
    rim = lathe([(0.2, 0.0), (0.2, 0.008)], 24, GREY)
    return join(rim, disc(0.2, 0.008, 24, NO_ENTRY))


def toolbox() -> Mesh:
    """Return a box with a lid and a handle that fills what is touched of a vase."""
    x, y, z = 0.1934, 0.126, 0.193
    body = moved(box((x, y, 0.31 * z), TOOLS, fit=True), (0, 0, 0.31 * z))
    lid = moved(box((x, 0.86 * y, 0.1 * z), TEAL), (0, 0, 0.72 * z))
    latch = box((0.02, 0.006, 0.022), STEEL)
    latches = [moved(latch, (u * x, side * y, 0.58 * z)) for u in (-0.6, 0.6) for side in (-1, 1)]
    posts = [moved(box((0.008, 0.012, 0.09 * z), STEEL), (u * x, 0, 0.88 * z)) for u in (-0.45, 0.45)]
    grip = beam((-0.45 * x, 0, 0.955 * z), (0.45 * x, 0, 0.955 * z), 0.0085, 8, DARK)
    return moved(join(body, lid, *latches, *posts, grip), (-0.0499, 0, 0))


def hover() -> Mesh:
    """Return a hovering robot with eyes to both sides, where the box is that is touched of a gremlin."""
    skirt = lathe([(0.11, 0.0), (0.165, 0.05), (0.165, 0.05), (0.15, 0.1), (0.12, 0.13)], 14, DARK)
    glow = disc(0.11, 0.001, 14, CYAN, down=True)
    body = lathe([(0.12, 0.13), (0.14, 0.2), (0.13, 0.29), (0.09, 0.34), (0.0, 0.355)], 14, SHELL)
    belt = lathe([(0.143, 0.185), (0.148, 0.195), (0.143, 0.21)], 14, YELLOW)
    antenna = join(beam((0, 0, 0.34), (0, 0, 0.43), 0.007, 6, STEEL), moved(blob(0.022, RED, 5, 8), (0, 0, 0.436)))
    parts = [skirt, glow, body, belt, antenna]
    for turn in (0.0, math.pi):
        visor = moved(blob((0.03, 0.085, 0.04), DARK, 5, 10), (0.112, 0, 0.262))
        eyes = [moved(blob((0.012, 0.02, 0.02), CYAN, 4, 8), (0.137, u, 0.266)) for u in (-0.034, 0.034)]
        parts.append(moved(join(visor, *eyes), (0, 0, 0), ("z", turn)))
    return moved(join(*parts), (-0.0033, 0.0115, 0))


def drum() -> Mesh:
    """Return an oil drum of radius 0.24 m."""
    r, h = 0.24, 0.765
    profile = [(r, 0.0), (r, 0.02), (0.97 * r, 0.03), (0.97 * r, 0.32 * h), (r, 0.335 * h), (0.97 * r, 0.35 * h)]
    profile += [(0.97 * r, 0.65 * h), (r, 0.665 * h), (0.97 * r, 0.68 * h), (0.97 * r, h - 0.03), (r, h - 0.02), (r, h)]
    wall = lathe(profile, 18, DRUM)
    rim = lathe([(r, h), (0.92 * r, h), (0.92 * r, h), (0.92 * r, h - 0.02)], 18, STEEL)
    return join(
        wall, rim, disc(0.92 * r, h - 0.02, 18, STEEL), moved(cylinder(0.03, 0, 0.018, 8, DARK), (0.13, 0, h - 0.02))
    )


def push_button() -> Mesh:
    """Return a box with a large red push button on it."""
    x, y, z = 0.1232, 0.0831, 0.15
    case = moved(box((x, y, z / 2), PANEL, top=ORANGE, fit=True), (0, 0, z / 2))
    ring = lathe([(0.078, z), (0.078, z + 0.012), (0.078, z + 0.012), (0.06, z + 0.012)], 16, WARNING)
    knob = lathe([(0.062, z), (0.062, z + 0.025), (0.056, z + 0.042), (0.035, z + 0.053), (0.0, z + 0.056)], 16, RED)
    foot = box((0.018, 0.018, 0.004), DARK)
    feet = [moved(foot, (u * 0.9 * x, v * 0.85 * y, 0.002)) for u in (-1, 1) for v in (-1, 1)]
    return join(case, ring, knob, *feet)


def crate() -> Mesh:
    """Return a crate with a post at each corner: the push box, whose cube has half-width 0.2 m."""
    s = 0.2
    cube = moved(box((s, s, s), WOOD, fit=True), (0, 0, s))
    posts = []
    for u in (-1, 1):
        for v in (-1, 1):
            post = moved(box((s / 2, s / 2, s - 0.001), YELLOW), (0, 0, s - 0.001))
            band = box((s / 2 + 0.001, s / 2 + 0.001, 0.035), WARNING, scale=0.4)
            posts.append(moved(join(post, *(moved(band, (0, 0, z)) for z in (0.08, 0.32))), (u * s, v * s, 0)))
    return join(cube, *posts)


# --- the racing circuit -----------------------------------------------------------------------------------------------


def road_barrier() -> Mesh:
    """Return a striped barrel on a foot; there are hundreds of them, so it has few faces."""
    foot = lathe([(0.15, 0.0), (0.15, 0.035), (0.15, 0.035), (0.12, 0.035)], 8, DARK)
    body = lathe([(0.125, 0.035), (0.085, 0.35)], 8, BARRIER)
    return join(foot, body, lathe([(0.085, 0.35), (0.05, 0.375), (0.0, 0.375)], 8, DARK))


def write(folder: Path) -> None:
    tx.write(tx.atlas(tiles()), folder / "objects.png", 256)
    meshes = {
        "bush": stretched(bush(BUSH, 0.24, 1), 0.2625),
        "flower_bush": join(stretched(bush(LEAVES, 0.3, 2), 0.29), flowers(0.29, 0.3, 3)),
        "goal": signpost(),
        "hazard": no_entry(),
        "vase": toolbox(),
        "gremlin": hover(),
        "pillar": drum(),
        "button": push_button(),
        "push_box": crate(),
        "road_barrier": road_barrier(),
    }
    for name, mesh in meshes.items():
        mesh.write(folder / f"{name}.obj")
