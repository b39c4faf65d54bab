"""The building site of the Building tasks: things that lie about, and what is built in the distance.

Places and sizes of what can be touched are those of the reference suite; there the shapes are hulls of meshes, here
boxes and prisms of the same length, width and height and of nearly the same plan area.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scenery import textures as tx
from scenery.mesh import Mesh, beam, blob, box, cylinder, disc, grid, join, lathe, moved, patch, plain
from scenery.mjcf import SceneryFile

CARTON, BOARDS, BRICKS, WIRE, BLOCK, RUBBER, CONTAINER, WARNING, VENTS, SHEET, TERRACOTTA, BOARD, CONCRETE = range(13)
STEEL, NET = 13, 14
YELLOW, BLUE, DARK, WHITE, RED, GREY, ORANGE, EARTH, SACK = map(plain, range(9))
PALETTE = (
    (0.95, 0.72, 0.08), (0.14, 0.36, 0.66), (0.12, 0.12, 0.13), (0.96, 0.96, 0.9), (0.78, 0.12, 0.1),
    (0.55, 0.56, 0.57), (0.92, 0.42, 0.08), (0.36, 0.26, 0.17), (0.7, 0.66, 0.58),
)  # fmt: skip


class Piece(NamedTuple):
    """Something that stands on the site: origin and box around it in the world, plan area as a share of the box."""

    pos: tuple[float, float, float]
    low: tuple[float, float, float]
    high: tuple[float, float, float]
    fill: float = 1.0

    @property
    def size(self) -> tuple[float, float, float]:
        x, y, z = (h - a for h, a in zip(self.high, self.low, strict=True))
        return x, y, z


PIECES: Mapping[str, Piece] = {
    "box1": Piece((-3.8, -2.1, 0.3), (-4.232, -2.188, -0.011), (-3.545, -1.515, 0.534), 0.63),
    "box2": Piece((3.8, 2.1, 0.0), (3.476, 1.867, 0.0), (4.07, 2.41, 0.529), 0.97),
    "box3": Piece((1.8, 4.3, 0.0), (1.8, 3.804, -0.001), (2.387, 4.301, 0.695)),
    "box4": Piece((1.2, 4.3, 0.0), (1.2, 3.806, 0.0), (1.785, 4.3, 0.426)),
    "box5": Piece((-2.2, -4.3, 0.0), (-2.217, -4.315, 0.0), (-1.582, -3.662, 0.674), 0.99),
    "box6": Piece((-1.5, -4.3, 0.0), (-1.517, -4.304, -0.001), (-0.883, -3.663, 0.2), 0.98),
    "box7": Piece((3.7, -3.7, 0.0), (3.552, -3.912, -0.001), (3.863, -3.488, 0.387), 0.93),
    "box8": Piece((4.0, -3.3, 0.0), (3.615, -3.447, -0.001), (4.237, -3.015, 0.193), 0.67),
    "box9": Piece((0.0, -3.9, 0.2), (-0.258, -4.158, -0.134), (0.258, -3.642, 0.2), 0.78),
    "box11": Piece((-1.0, -8.0, 1.2), (-2.653, -8.618, -0.107), (0.466, -7.389, 1.201)),
    "box12": Piece((2.0, -5.0, 0.7), (1.545, -5.753, -0.052), (2.455, -4.246, 0.7), 0.97),
    "box13": Piece((-8.0, -1.0, 0.0), (-8.299, -1.286, 0.0), (-7.701, -0.712, 1.175)),
    "box14": Piece((3.9, -2.5, 0.0), (3.438, -2.689, -0.001), (4.362, -2.31, 0.421), 0.89),
    "box15": Piece((3.9, -2.2, 0.0), (3.85, -2.215, -0.084), (3.95, -2.183, 0.583), 0.9),
    "box16": Piece((1.1, -4.6, 0.0), (0.737, -5.175, -0.459), (1.462, -4.015, 0.458), 0.97),
    "light1": Piece((3.6, 0.0, 0.0), (3.488, -0.279, 0.0), (3.712, 0.282, 1.475), 0.87),
    "machine1": Piece((1.0, 4.9, 0.0), (0.295, 4.664, -0.007), (1.702, 5.138, 1.125), 0.97),
    "machine2": Piece((2.5, 3.6, -0.1), (2.185, 3.518, -0.1), (2.815, 3.683, 0.994), 0.72),
    "machine3": Piece((3.7, 1.6, 0.0), (3.488, 1.542, 0.0), (3.754, 1.658, 0.152), 0.87),
}
CARTON_YAW = 0.314
CARTON_SIZE = (0.55, 0.529)
"""Length and width of box1, which stands askew, so that the box around it is as given."""


def tiles() -> list[Any]:
    size = 256
    y, x = np.mgrid[:size, :size] / size - 0.5
    carton = tx.plain(size, (0.66, 0.49, 0.3), 0.1, 1, (24, 6))
    carton[np.abs(x) < 0.06] = (0.8, 0.7, 0.5)
    carton = tx.text(carton, "FRAGILE", (0.6, 0.1, 0.08), 0.13, (0.5, 0.68))
    boards = tx.planks(size, (0.5, 0.37, 0.22), (0.74, 0.58, 0.38), 2, 6)
    bricks = tx.bricks(size, (0.62, 0.27, 0.17), (0.5, 0.42, 0.36), 3, 10, 5)
    wire = _lattice(x, y, 10, 0.4, (0.66, 0.66, 0.66), (0.2, 0.2, 0.2))
    wire[np.maximum(np.abs(x), np.abs(y)) > 0.45] = (0.5, 0.52, 0.54)
    block = tx.spots(size, tx.plain(size, (0.6, 0.6, 0.6), 0.14, 4, 20), (0.45, 0.45, 0.45), 200, (0.003, 0.01), 5)
    block[(np.abs(y % 0.5 - 0.25) > 0.235) | (np.abs((x + 0.25 * (y > 0)) % 0.5 - 0.25) > 0.24)] *= 0.55
    rubber = tx.plain(size, (0.13, 0.13, 0.14), 0.2, 6, 16)
    rubber[(np.abs((x * 14 + np.sign(y) * y * 6) % 1 - 0.5) > 0.36) & (np.abs(y) < 0.42)] *= 0.45
    ribs = 0.78 + 0.22 * np.sin(2 * np.pi * 12 * x)
    container = tx.plain(size, (0.16, 0.42, 0.62), 0.1, 7, 8) * ribs[..., None]
    container = tx.mixed(container, (0.42, 0.24, 0.14), 2.2 * (tx.noise(size, (4, 8), 8, 5) - 0.78))
    vents = tx.plain(size, (0.93, 0.7, 0.1), 0.06, 9, 8)
    grille = (np.abs(x) < 0.3) & (y > -0.3) & (y < 0.06)
    vents[grille & (np.abs(y * 14 % 1 - 0.5) > 0.22)] = (0.16, 0.15, 0.13)
    vents = tx.text(vents, "DANGER", (0.12, 0.1, 0.1), 0.14, (0.5, 0.74))
    sheet = tx.plain(size, (0.3, 0.31, 0.33), 0.15, 10, 8) * (0.7 + 0.3 * np.sin(2 * np.pi * 9 * x))[..., None]
    sheet = tx.mixed(sheet, (0.38, 0.2, 0.1), 2 * (tx.noise(size, 7, 11, 5) - 0.6))
    terracotta = tx.plain(size, (0.74, 0.33, 0.19), 0.12, 12, 8)
    terracotta[(np.abs(np.maximum(np.abs(x), np.abs(y)) - 0.44) < 0.012)] *= 0.6
    sign = tx.plain(size, (0.97, 0.95, 0.9), 0.03, 13, 6)
    sign[y < -0.18] = (0.95, 0.72, 0.08)
    sign = tx.text(sign, "SITE", (0.1, 0.1, 0.1), 0.22, (0.5, 0.17))
    sign = tx.text(sign, "KEEP", (0.75, 0.1, 0.1), 0.18, (0.5, 0.5))
    sign = tx.text(sign, "CLEAR", (0.75, 0.1, 0.1), 0.18, (0.5, 0.75))
    concrete = tx.plain(size, (0.66, 0.65, 0.63), 0.16, 14, 10)
    steel = tx.plain(size, (0.6, 0.62, 0.65), 0.16, 15, (3, 30))
    net = _lattice(x, y, 8, 0.44, (0.72, 0.71, 0.7), (0.5, 0.49, 0.48))
    drawn = [carton, boards, bricks, wire, block, rubber, container, tx.stripes(size, PALETTE[0], PALETTE[2], 4)]
    return [*drawn, vents, sheet, terracotta, sign, concrete, steel, net, tx.palette(size, PALETTE)]


def _lattice(x: Any, y: Any, number: int, where: float, bar: tuple[float, ...], gap: tuple[float, ...]) -> Any:
    """Return bars across gaps."""
    barred = (np.abs(x * number % 1 - 0.5) > where) | (np.abs(y * number % 1 - 0.5) > where)
    return np.where(barred[..., None], bar, gap)


def mud_floor() -> Any:
    size = 512
    earth = tx.mixed((0.33, 0.25, 0.17), (0.52, 0.41, 0.29), tx.noise(size, 12, 31, 5))
    earth = tx.mixed(earth, (0.3, 0.23, 0.16), 0.8 * (tx.noise(size, 4, 32, 5) - 0.6))
    for number, radius, tone, seed in ((260, (0.002, 0.007), 0.52, 33), (60, (0.006, 0.016), 0.58, 34)):
        earth = tx.spots(size, earth, (tone, 0.94 * tone, 0.86 * tone), number, radius, seed)
    return earth


# --- what stands about: meshes of a size (x, y, z), standing on z = 0 around the origin -------------------------------

Size = tuple[float, float, float]


def copies(mesh: Mesh, places: Iterable[Size]) -> list[Mesh]:
    return [moved(mesh, place) for place in places]


def corners(x: float, y: float, z: float) -> list[Size]:
    return [(u * x, v * y, z) for u in (-1, 1) for v in (-1, 1)]


def carton(size: Size) -> Mesh:
    x, y = CARTON_SIZE
    z = size[2]
    lid = box((x / 2 + 0.004, y / 2 + 0.004, 0.05), CARTON, scale=1.2)
    return moved(
        join(moved(box((x / 2, y / 2, z / 2), CARTON, fit=True), (0, 0, z / 2)), moved(lid, (0, 0, z - 0.052))),
        (0, 0, 0),
        ("z", CARTON_YAW),
    )


def wheel(radius: float, width: float) -> Mesh:
    """Return a wheel that rolls along x, around the origin."""
    r, w = radius, width / 2
    tyre = lathe([(0.6 * r, -w), (r, -w), (r, w), (0.6 * r, w)], 12, RUBBER)
    hub = cylinder(0.6 * radius, -0.4 * width, 0.4 * width, 10, GREY)
    return moved(join(tyre, hub), (0, 0, 0), ("x", math.pi / 2))


def trolley(size: Size) -> Mesh:
    """Return a cart with sacks of cement on it."""
    x, y, z = size
    parts = [moved(box((x / 2, y / 2, 0.02), BOARDS), (0, 0, 0.15))]
    parts += [moved(box((x / 2, y / 2, 0.012), STEEL), (0, 0, 0.12))]
    parts += copies(wheel(0.06, 0.04), corners(0.38 * x, 0.4 * y, 0.06))
    for level in range(3):
        for u in (-1, 1):
            sack = blob((0.27 * x, 0.44 * y, 0.062), SACK, 6, 10)
            parts.append(moved(sack, (u * 0.22 * x, 0.01 * level, 0.22 + 0.1 * level)))
    back, side = 0.02 - x / 2, y / 2 - 0.02
    parts += [beam((back, v * side, 0.16), (back, v * side, z - 0.01), 0.014, 6, RED) for v in (-1, 1)]
    parts.append(beam((back, -side, z - 0.015), (back, side, z - 0.015), 0.014, 6, RED))
    return join(*parts)


def brick_stack(size: Size) -> Mesh:
    """Return bricks on a pallet."""
    x, y, z = size
    slats = [moved(box((x / 2, 0.045, 0.015), BOARDS), (0, u * (y / 2 - 0.045), 0.105)) for u in (-1, 0, 1)]
    feet = [moved(box((0.04, y / 2, 0.045), BOARDS), (u * (x / 2 - 0.04), 0, 0.045)) for u in (-1, 0, 1)]
    high = (z - 0.12) / 2
    bricks = moved(box((x / 2 - 0.012, y / 2 - 0.012, high), BRICKS, scale=0.75), (0, 0, 0.12 + high))
    return join(*slats, *feet, bricks)


def wire_crates(size: Size) -> Mesh:
    """Return stacked crates of wire."""
    x, y, z = size
    number = max(1, round(z / 0.22))
    high = z / number
    crates = []
    for i in range(number):
        basket = box((x / 2 - 0.01, y / 2 - 0.01, high / 2), WIRE, fit=True)
        rims = [moved(box((x / 2, 0.012, 0.012), GREY), (0, u * (y / 2 - 0.012), high / 2 - 0.01)) for u in (-1, 1)]
        rims += [moved(box((0.012, y / 2, 0.012), GREY), (u * (x / 2 - 0.012), 0, high / 2 - 0.01)) for u in (-1, 1)]
        crates.append(moved(join(basket, *rims), (0, 0, (i + 0.5) * high)))
    return join(*crates)


def block_pile(size: Size) -> Mesh:
    """Return two layers of concrete blocks, the upper ones set back."""
    x, y, z = size
    lower = moved(box((x / 2, y / 2, z / 4), BLOCK, fit=True), (0, 0, z / 4))
    upper = moved(box((0.44 * x, 0.4 * y, z / 4), BLOCK, fit=True), (0.01, -0.02, 0.75 * z), ("z", 0.12))
    return join(lower, upper)


def loose_blocks(size: Size) -> Mesh:
    """Return blocks that lie beside each other."""
    x, y, z = size
    places = ((-0.29, 0.0, 1.3), (0.24, -0.266, -0.1), (0.273, 0.24, 0.2))
    block = box((0.13, 0.095, z / 2), BLOCK, scale=0.4)
    return join(*(moved(block, (u * x, v * y, z / 2), ("z", turn)) for u, v, turn in places))


def tyres(size: Size) -> Mesh:
    """Return two tyres on top of each other."""
    r, z = size[0] / 2, 0.2
    profile = [(0.55, 0.01), (0.6, 0.0), (0.88, 0.0), (1.0, 0.025), (1.0, 0.075), (0.88, 0.1), (0.6, 0.1), (0.55, 0.09)]
    tyre = lathe([(r * share, height) for share, height in (*profile, profile[0])], 18, RUBBER)
    return join(tyre, moved(tyre, (0.01, 0, z / 2)), disc(0.55 * r, 0.02, 18, DARK))


def container(size: Size) -> Mesh:
    """Return a freight container with doors and corner posts."""
    x, y, z = size
    walls = moved(box((x / 2, y / 2, z / 2), CONTAINER, scale=1.3), (0, 0, z / 2))
    posts = copies(box((0.05, 0.05, z / 2 + 0.004), GREY), corners(x / 2 - 0.04, y / 2 - 0.04, z / 2))
    end = x / 2 + 0.015
    bars = [beam((end, v * y, 0.1), (end, v * y, z - 0.1), 0.015, 6, WHITE) for v in (-0.3, -0.1, 0.1, 0.3)]
    return join(walls, *posts, *bars)


def generator(size: Size) -> Mesh:
    """Return a yellow cabinet with vents, striped edges and an exhaust."""
    x, y, z = size
    case = moved(box((x / 2 - 0.01, y / 2 - 0.01, z / 2 - 0.06), VENTS, fit=True), (0, 0, z / 2))
    edges = [moved(box((x / 2, y / 2, 0.05), WARNING, scale=0.6), (0, 0, h)) for h in (0.05, z - 0.05)]
    pipe = moved(cylinder(0.05, 0, 0.05, 8, DARK), (0.2 * x, 0.3 * y, z - 0.01))
    panel = moved(box((0.012, 0.14, 0.1), DARK), (-x / 2, 0.2 * y, 0.62 * z))
    return join(case, *edges, pipe, panel)


def toilet(size: Size) -> Mesh:
    """Return a portable toilet."""
    x, y, z = size
    walls = moved(box((x / 2 - 0.01, y / 2 - 0.01, z / 2 - 0.08), BLUE), (0, 0, z / 2 - 0.06))
    roof = moved(lathe([(0.5, 0.0), (0.5, 0.05), (0.42, 0.12), (0.0, 0.14)], 4, WHITE), (0, 0, 0), ("z", math.pi / 4))
    roof = moved(join(roof), (0, 0, z - 0.14))
    scale = np.array((x / 0.71, y / 0.71, 1.0))
    roof = Mesh(roof.points * scale, roof.normals, roof.uv, roof.faces)
    door = moved(box((0.008, 0.36 * y, 0.38 * z), WHITE), (x / 2, 0, 0.45 * z))
    lock = moved(box((0.01, 0.02, 0.02), RED), (x / 2 + 0.004, 0.26 * y, 0.46 * z))
    return join(walls, roof, door, lock)


def trestle(size: Size) -> Mesh:
    """Return planks on two stands."""
    x, y, z = size
    parts = [moved(box((x / 2, 0.055, 0.016), BOARDS), (0, v * (y / 2 - 0.06), z - 0.016)) for v in (-1, 0, 1)]
    for u in (-0.36, 0.36):
        for v in (-1, 1):
            parts.append(beam((u * x, v * (y / 2 - 0.02), 0), (u * x, v * 0.12 * y, z - 0.03), 0.018, 6, ORANGE))
        parts.append(beam((u * x, -0.3 * y, 0.45 * z), (u * x, 0.3 * y, 0.45 * z), 0.013, 6, ORANGE))
    return join(*parts)


def marker(size: Size) -> Mesh:
    """Return a striped stake with a small sign."""
    x, y, z = size
    stake = moved(box((0.3 * x, 0.4 * y, z / 2), WARNING, scale=0.3), (0, 0, z / 2))
    return join(stake, moved(box((x / 2, y / 2, 0.06), BOARD, fit=True), (0, 0, z - 0.06)))


def sheets(size: Size) -> Mesh:
    """Return corrugated sheets that lean on a beam."""
    x, y, z = size
    back, leg = y / 2 - 0.12, (z - 0.12) / 2
    parts = [moved(box((x / 2 - 0.02, 0.04, 0.04), BOARDS), (0, back, z - 0.09))]
    parts += copies(box((0.035, 0.035, leg), BOARDS), [(u * (x / 2 - 0.1), back, leg) for u in (-1, 1)])
    low, top = (-y / 2, 0.01), (y / 2 - 0.02, z)
    front = np.array([(-x / 2, *low), (x / 2, *low), (x / 2, *top), (-x / 2, *top)])
    for shift in (0.0, -0.03):
        sheet = front + np.array((0.4 * shift, shift, 0))
        parts += [patch(sheet, SHEET, fit=True), patch(sheet[::-1], SHEET, fit=True)]
    return join(*parts)


def floodlight(size: Size) -> Mesh:
    """Return a stand with two floodlights."""
    z = size[2]
    parts = [beam((0, 0, 0.25), (0, 0, z - 0.12), 0.018, 8, STEEL)]
    for end in ((0.0, 0.27), (-0.09, -0.24), (0.09, -0.24)):
        parts.append(beam((0, 0, 0.5), (*end, 0.015), 0.014, 6, STEEL))
    parts.append(beam((0, -0.2, z - 0.14), (0, 0.2, z - 0.14), 0.016, 6, STEEL))
    for v in (-1, 1):
        lamp = join(moved(box((0.045, 0.1, 0.08), YELLOW)), moved(box((0.008, 0.085, 0.065), WHITE), (-0.045, 0, 0)))
        parts.append(moved(lamp, (0.0, v * 0.15, z - 0.085), ("y", -0.25)))
    return join(*parts)


def mixer(size: Size) -> Mesh:
    """Return a machine: a case with panels, a drum and a control box."""
    x, y, z = size
    case = moved(box((x / 2 - 0.02, y / 2 - 0.02, 0.27 * z), TERRACOTTA, fit=True), (0, 0, 0.4 * z))
    feet = [moved(box((0.06, y / 2 - 0.01, 0.065), DARK), (u * 0.38 * x, 0, 0.065)) for u in (-1, 1)]
    tank = moved(cylinder(0.2, -0.36, 0.36, 14, TERRACOTTA), (-0.2, 0, 0.82 * z), ("y", math.pi / 2))
    band = moved(lathe([(0.205, -0.02), (0.205, 0.02)], 14, DARK), (0, 0, 0), ("y", math.pi / 2))
    bands = copies(band, [(-0.2 + u, 0, 0.82 * z) for u in (-0.22, 0.22)])
    control = moved(box((0.13, 0.14, 0.15), GREY), (0.47, 0, 0.8 * z))
    colors = enumerate((RED, YELLOW, WHITE))
    lights = [moved(blob(0.022, color, 4, 8), (0.4 + 0.07 * i, -0.14, 0.86 * z)) for i, color in colors]
    pipe = beam((0.28, 0.05, 0.66 * z), (0.28, 0.05, z - 0.01), 0.03, 8, DARK)
    return join(case, *feet, tank, *bands, control, *lights, pipe)


def drill(size: Size) -> Mesh:
    """Return a drill on an upright post with a foot."""
    x, y, z = size
    foot = moved(box((x / 2, y / 2, 0.025), DARK), (0, 0, 0.025))
    post = beam((-0.18, 0, 0.04), (-0.18, 0, z), 0.035, 10, STEEL)
    head = moved(box((0.2, 0.07, 0.1), BLUE), (-0.02, 0, z - 0.16))
    motor = moved(cylinder(0.065, 0, 0.15, 12, YELLOW), (0.1, 0, z - 0.16))
    chuck = moved(lathe([(0.012, 0.0), (0.012, 0.16), (0.035, 0.2), (0.035, 0.28)], 10, STEEL), (0.1, 0, z - 0.52))
    table = moved(box((0.14, 0.075, 0.018), GREY), (0.08, 0, 0.42 * z))
    hub = np.array((0.04, -0.08, z - 0.2))
    spokes = (0.12 * np.array((math.cos(a), 0, math.sin(a))) for a in (0.5, 2.6, 4.7))
    lever = [beam(hub, hub + spoke, 0.008, 5, RED) for spoke in spokes]
    return join(foot, post, head, motor, chuck, table, *lever)


def grinder(size: Size) -> Mesh:
    """Return a power tool that lies on the ground."""
    x, _, z = size
    body = beam((-x / 2 + 0.01, 0, 0.07), (0.25 * x, 0, 0.08), 0.038, 10, BLUE)
    head = moved(box((0.035, 0.04, 0.04), DARK), (0.33 * x, 0, 0.085))
    wheel_ = moved(cylinder(0.055, -0.006, 0.006, 14, GREY), (0.36 * x, 0, 0.035))
    guard = moved(lathe([(0.058, -0.01), (0.058, 0.02), (0.03, 0.03)], 14, YELLOW), (0.36 * x, 0, 0.04))
    grip = beam((0.28 * x, 0, 0.11), (0.28 * x, 0, z), 0.016, 8, DARK)
    return join(body, head, wheel_, guard, grip)


LOOKS: Mapping[str, Callable[[Size], Mesh]] = {
    "box1": carton, "box2": trolley, "box3": brick_stack, "box4": brick_stack, "box5": wire_crates, "box6": wire_crates,
    "box7": block_pile, "box8": loose_blocks, "box9": tyres, "box11": container, "box12": generator, "box13": toilet,
    "box14": trestle, "box15": marker, "box16": sheets, "light1": floodlight, "machine1": mixer, "machine2": drill,
    "machine3": grinder,
}  # fmt: skip


# --- what is built in the distance ------------------------------------------------------------------------------------


def shell(floors: int) -> Mesh:
    """Return a house of columns and slabs without walls, some bricks already laid."""
    parts = []
    width, depth, high = 6.0, 3.0, 2.6
    for floor in range(floors + 1):
        z = floor * high
        parts.append(moved(box((width, depth, 0.14), CONCRETE, scale=4), (0, 0, z)))
        for x in np.linspace(-width + 0.3, width - 0.3, 5):
            for y in (-depth + 0.3, depth - 0.3):
                length = high / 2 if floor < floors else 0.45
                parts.append(moved(box((0.17, 0.17, length), CONCRETE, scale=3), (x, y, z + length)))
    for x, z, w in ((-4.3, 0.0, 1.2), (1.4, 0.0, 1.25), (-1.4, high, 1.2)):
        parts.append(moved(box((w, 0.12, 0.62), BRICKS, scale=1.2), (x, -depth + 0.3, z + 0.75)))
    for x in np.linspace(-width, width, 7):  # scaffold
        parts.append(beam((x, -depth - 0.8, 0), (x, -depth - 0.8, floors * high + 0.8), 0.04, 5, STEEL))
    for floor in range(1, floors + 1):
        parts.append(moved(box((width, 0.35, 0.04), BOARDS, scale=2), (0, -depth - 0.5, floor * high)))
        front, rail = -depth - 0.8, floor * high + 0.9
        parts.append(beam((-width, front, rail), (width, front, rail), 0.03, 5, YELLOW))
    return join(*parts)


def crane(height: float, reach: float) -> Mesh:
    """Return a tower crane."""
    parts = []
    legs = [(-0.4, -0.4), (0.4, -0.4), (0.4, 0.4), (-0.4, 0.4)]
    for x, y in legs:
        parts.append(beam((x, y, 0), (x, y, height), 0.07, 4, YELLOW))
    for i in range(int(height / 1.2)):
        a, b = legs[i % 4], legs[(i + 1) % 4]
        parts.append(beam((*a, 1.2 * i), (*b, 1.2 * (i + 1)), 0.045, 4, YELLOW))
    parts.append(moved(box((0.55, 0.55, 0.5), WHITE), (0, 0, height + 0.4)))
    parts.append(moved(box((reach / 2, 0.22, 0.18), YELLOW), (reach / 2 - 2.6, 0, height + 1.1)))
    parts.append(moved(box((0.7, 0.45, 0.5), GREY), (-2.2, 0, height + 0.7)))
    parts.append(beam((0, 0, height + 1), (0, 0, height + 3), 0.09, 4, YELLOW))
    for x in (-2.4, 0.75 * reach):
        parts.append(beam((0, 0, height + 3), (x, 0, height + 1.25), 0.03, 4, DARK))
    parts.append(beam((0.6 * reach, 0, height + 1), (0.6 * reach, 0, 0.5 * height), 0.025, 4, DARK))
    parts.append(moved(box((0.8, 0.25, 0.25), CONCRETE), (0.6 * reach, 0, 0.5 * height - 0.2)))
    parts.append(moved(box((1.0, 1.0, 0.25), CONCRETE), (0, 0, 0.25)))
    return join(*parts)


def heap(radius: float, height: float, seed: int) -> Mesh:
    """Return a heap of earth."""
    rng = np.random.default_rng(seed)
    rings, sides = 5, 12
    angle = np.linspace(0, 2 * math.pi, sides + 1)
    points = np.zeros((rings + 1, sides + 1, 3))
    for i in range(rings + 1):
        share = 1 - i / rings
        wave = 1 + 0.16 * rng.normal(size=sides + 1) * (i > 0)
        wave[-1] = wave[0]
        points[i, :, 0], points[i, :, 1] = radius * share * wave * np.cos(angle), radius * share * wave * np.sin(angle)
        points[i, :, 2] = height * (1 - share**1.5) - 0.02
    return grid(points, EARTH)


def hoarding(half: float) -> Mesh:
    """Return a fence of panels around the site."""
    panel = []
    for shift in np.arange(-half + 1.0, half, 2.05):
        front = box((0.98, 0.02, 0.75), NET, fit=True)
        posts = [moved(box((0.03, 0.03, 0.82), STEEL), (u, 0, 0.0)) for u in (-0.99, 0.99)]
        foot = moved(box((0.1, 0.3, 0.06), CONCRETE), (0.99, 0, -0.76))
        panel.append(moved(join(front, *posts, foot), (shift, -half, 0.84)))
    side = join(*panel)
    return join(*(moved(side, (0, 0, 0), ("z", k * math.pi / 2)) for k in range(4)))


def distance() -> Mesh:
    """Return what is only seen: fence, shell of a house, crane, heaps of earth."""
    heaps = (
        (-9.5, 6.5, 1.9, 1.1), (-7.4, 7.8, 1.4, 0.8), (9.4, 8.6, 2.1, 1.2), (10.2, -4.2, 1.7, 1.0),
        (-9.8, -7.4, 2.2, 1.3), (7.6, -9.6, 1.5, 0.8),
    )  # fmt: skip
    parts = [hoarding(12.6), moved(shell(3), (1.5, 18.5, 0)), moved(shell(2), (-19.5, -3.0, 0), ("z", math.pi / 2))]
    parts += [moved(crane(12.0, 11.0), (-9.0, 17.0, 0), ("z", -0.35))]
    parts += [moved(crane(10.0, 9.0), (17.5, -9.0, 0), ("z", 2.2))]
    return join(*parts, *(moved(heap(r, h, i), (x, y, 0)) for i, (x, y, r, h) in enumerate(heaps)))


# --- the file ---------------------------------------------------------------------------------------------------------


def outline(name: str, piece: Piece) -> list[tuple[float, float]]:
    """Return what is touched from above, around the middle of the box: the box with its corners cut, or box1 askew."""
    x, y = piece.size[0] / 2, piece.size[1] / 2
    if name == "box1":
        c, s = math.cos(CARTON_YAW), math.sin(CARTON_YAW)
        half = [(u * CARTON_SIZE[0] / 2, v * CARTON_SIZE[1] / 2) for u, v in ((-1, -1), (1, -1), (1, 1), (-1, 1))]
        return [(c * a - s * b, s * a + c * b) for a, b in half]
    cut = 2 * math.sqrt((1 - piece.fill) / 2)  # four triangles of that share of the half-lengths
    quarter = ((1, 1 - cut), (1 - cut, 1))
    return [(u * a * x, v * b * y) for u in (-1, 1) for v in (-1, 1) for a, b in quarter]


def write(folder: Path) -> None:
    file = SceneryFile("building", folder, tiles())
    tx.write(mud_floor(), folder / "mud.png", 64)
    for name, piece in PIECES.items():
        middle = [(a + b) / 2 - p for a, b, p in zip(piece.low, piece.high, piece.pos, strict=True)]
        x, y, z = piece.size
        above = z + min(piece.low[2], 0.0)  # what stands out of the ground
        file.mesh(name, moved(LOOKS[name]((x, y, above)), (middle[0], middle[1], -piece.pos[2])))
        if piece.fill > 0.95:
            file.body(name, piece.pos, looks=[name], boxes=[(middle, (x / 2, y / 2, z / 2), 0.0)])
            continue
        ring = [(middle[0] + a, middle[1] + b) for a, b in outline(name, piece)]
        file.hull(name, {piece.low[2] - piece.pos[2]: ring, piece.high[2] - piece.pos[2]: ring})
        file.body(name, piece.pos, looks=[name], hulls=[name])
    file.mesh("distance", distance())
    file.body("distance", (0, 0, 0), looks=["distance"])
    file.write()
