"""Pictures of surfaces, drawn with noise: arrays (size, size, 3) of colours in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFont

Array = NDArray[np.float64]
Color = Sequence[float]

COLORS = 128  # of a written picture: a quarter of the bytes of all of them


def noise(size: int, cells: Sequence[int] | int, seed: int, octaves: int = 4) -> Array:
    """Return smooth noise in [0, 1], (size, size), which continues at its borders; `cells` along y and x."""
    rng = np.random.default_rng(seed)
    ny, nx = (cells, cells) if isinstance(cells, int) else cells
    total, weight = np.zeros((size, size)), 0.0
    for octave in range(octaves):
        k = 2**octave
        values = rng.random((ny * k, nx * k))
        total += _interpolated(values, size) / k
        weight += 1 / k
    total /= weight
    low, high = np.quantile(total, (0.01, 0.99))
    return np.clip((total - low) / (high - low), 0, 1)


def _interpolated(values: Array, size: int) -> Array:
    for axis in (0, 1):
        n = values.shape[axis]
        x = np.arange(size) * n / size
        i = x.astype(int)
        f = x - i
        f = f * f * (3 - 2 * f)
        a, b = np.take(values, i % n, axis), np.take(values, (i + 1) % n, axis)
        f = f[:, None] if axis == 0 else f[None]
        values = a * (1 - f) + b * f
    return values


def plain(size: int, color: Color, rough: float = 0.1, seed: int = 0, cells: Sequence[int] | int = 8) -> Array:
    """Return one colour that varies by the share `rough`."""
    shade = 1 + rough * (2 * noise(size, cells, seed) - 1)
    return np.clip(np.asarray(color, float) * shade[..., None], 0, 1)


def mixed(a: ArrayLike, b: ArrayLike, share: Array) -> Array:
    """Return colours between `a` and `b`; `share` (size, size) of `b`."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return np.asarray(a + (b - a) * np.clip(share, 0, 1)[..., None])


def grain(size: int, dark: Color, light: Color, seed: int, across: int = 24, along: int = 2) -> Array:
    """Return wood whose grain runs upwards."""
    return mixed(dark, light, noise(size, (along, across), seed, 4))


def planks(size: int, dark: Color, light: Color, seed: int, number: int = 4) -> Array:
    """Return upright boards with dark joints."""
    rng = np.random.default_rng(seed)
    picture = grain(size, dark, light, seed)
    shade = np.repeat(0.8 + 0.35 * rng.random(number), -(-size // number))[:size]
    picture = picture * shade[None, :, None]
    x = (np.arange(size) * number / size) % 1
    return np.clip(picture * (1 - 0.65 * (np.minimum(x, 1 - x) < 0.04))[None, :, None], 0, 1)


def bricks(size: int, brick: Color, joint: Color, seed: int, rows: int = 8, columns: int = 4) -> Array:
    """Return a wall of bricks that continues at its borders."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    row = (y * rows).astype(int)
    shifted = x * columns + 0.5 * (row % 2)
    column = shifted.astype(int) % columns
    shade = 0.75 + 0.4 * rng.random((rows, columns))
    fy, fx = y * rows % 1, shifted % 1
    edge = np.minimum(np.minimum(fx, 1 - fx) / rows, np.minimum(fy, 1 - fy) / columns) < 0.012
    picture = plain(size, brick, 0.25, seed + 1, 32) * shade[row, column][..., None]
    return np.clip(np.where(edge[..., None], plain(size, joint, 0.15, seed + 2, 32), picture), 0, 1)


def cobbles(size: int, stone: Color, joint: Color, seed: int, number: int = 7) -> Array:
    """Return rounded stones in rows that continue at their borders."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size * number
    best, second, which = np.full((size, size), 9.0), np.full((size, size), 9.0), np.zeros((size, size), int)
    for row in range(number):
        for column in range(number):
            cy = row + 0.5 + 0.22 * (rng.random() - 0.5)
            cx = column + 0.5 * (row % 2) + 0.25 * (rng.random() - 0.5)
            dy, dx = np.abs(y - cy), np.abs(x - cx % number)
            d = np.hypot(np.minimum(dy, number - dy), 0.9 * np.minimum(dx, number - dx))
            second = np.where(d < best, best, np.minimum(second, d))
            which = np.where(d < best, row * number + column, which)
            best = np.minimum(best, d)
    height = np.clip((second - best) / 0.35, 0, 1)  # 0 in the joints
    tone = 0.72 + 0.45 * rng.random(number * number)
    tint = 1 + 0.06 * (rng.random((number * number, 3)) - 0.5)
    picture = plain(size, stone, 0.2, seed + 1, 24) * (tone[:, None] * tint)[which] * (0.7 + 0.3 * height[..., None])
    return np.clip(mixed(plain(size, joint, 0.25, seed + 2, 24), picture, np.clip((height - 0.12) / 0.2, 0, 1)), 0, 1)


def spots(size: int, ground: Array, color: Color, number: int, radius: tuple[float, float], seed: int) -> Array:
    """Return a picture with irregular spots of a colour, radii as shares of its side."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    picture = ground.copy()
    for _ in range(number):
        cy, cx, r = rng.random(), rng.random(), rng.uniform(*radius)
        dy, dx = np.abs(y - cy), np.abs(x - cx)
        inside = np.hypot(np.minimum(dy, 1 - dy), np.minimum(dx, 1 - dx)) < r
        picture[inside] = np.asarray(color) * rng.uniform(0.8, 1.15)
    return np.clip(picture, 0, 1)


def leaves(size: int, dark: Color, light: Color, seed: int, number: int = 420) -> Array:
    """Return foliage: small leaves over each other, the lighter ones on top."""
    rng = np.random.default_rng(seed)
    picture = plain(size, np.asarray(dark) * 0.6, 0.3, seed, 16)
    y, x = np.mgrid[:size, :size] / size
    for i in range(number):
        cy, cx, turn = rng.random(), rng.random(), rng.uniform(0, np.pi)
        dy, dx = (y - cy + 0.5) % 1 - 0.5, (x - cx + 0.5) % 1 - 0.5
        along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        inside = (along / 0.055) ** 2 + (across / 0.024) ** 2 < 1
        share = np.clip(i / number * 0.8 + 0.2 * rng.random() + 6 * across[inside], 0, 1)
        picture[inside] = np.asarray(dark) + share[:, None] * (np.asarray(light) - np.asarray(dark))
    return np.clip(picture, 0, 1)


def stripes(size: int, a: Color, b: Color, number: int = 6, slope: float = 1.0) -> Array:
    """Return stripes of two colours; slope 1 runs diagonally, 0 upright."""
    y, x = np.mgrid[:size, :size] / size
    return np.where((((x + slope * y) * number) % 1 < 0.5)[..., None], np.asarray(a, float), np.asarray(b, float))


def palette(size: int, colors: Sequence[Color]) -> Array:
    """Return up to sixteen colours as squares, row by row from the upper left."""
    squares = np.zeros((4, 4, 3))
    squares.reshape(-1, 3)[: len(colors)] = colors
    return squares.repeat(size // 4, axis=0).repeat(size // 4, axis=1)


def text(picture: Array, words: str, color: Color, height: float, center: tuple[float, float] = (0.5, 0.5)) -> Array:
    """Return a picture with words of that height; lengths as shares of its side."""
    size = picture.shape[0]
    image = Image.fromarray((255 * picture).astype(np.uint8))
    fill = tuple(int(255 * c) for c in color)
    font = ImageFont.load_default(height * size)
    place, bold = (center[0] * size, center[1] * size), size // 96
    ImageDraw.Draw(image).text(place, words, fill=fill, font=font, anchor="mm", stroke_width=bold, stroke_fill=fill)
    return np.asarray(image) / 255


def atlas(tiles: Sequence[Array | None], rows: int = 4) -> Array:
    """Return tiles of one size in rows, from the upper left on; None is black."""
    size = next(tile.shape[0] for tile in tiles if tile is not None)
    picture = np.zeros((rows * size, rows * size, 3))
    for i, tile in enumerate(tiles):
        if tile is not None:
            y, x = i // rows * size, i % rows * size
            picture[y : y + size, x : x + size] = tile
    return picture


def write(picture: Array, path: Path, colors: int = COLORS) -> None:
    """Write a PNG file of few colours."""
    image = Image.fromarray((255 * np.clip(picture, 0, 1) + 0.5).astype(np.uint8))
    image.quantize(colors, dither=Image.Dither.NONE).save(path, optimize=True)
