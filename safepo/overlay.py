"""What is drawn around the pictures of a video: titles, and return and cost as text and bars beside their limits."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
Color = tuple[int, int, int]

BACKGROUND, GROOVE, TEXT, FAINT = (22, 24, 29), (52, 56, 66), (240, 240, 240), (160, 165, 175)
RETURN, SAFE, UNSAFE, LIMIT = (86, 156, 235), (80, 185, 110), (232, 76, 61), (255, 220, 90)
GAP = 6
"""Pixels between panels."""


@dataclass(frozen=True)
class Gauge:
    """A number with a bar; a bar with a limit turns red beyond it."""

    name: str
    value: float
    full: float
    """The value, or the negative value, at which the bar is full"""
    limit: float | None = None


@dataclass(frozen=True)
class Panel:
    """One picture of a video with what stands around it."""

    title: str
    note: str
    """At the right of the title"""
    picture: Frame
    """(h, w, 3)"""
    gauges: tuple[Gauge, ...]
    alarm: bool = False
    """Draw a red border: this step had a cost"""
    inset: Frame | None = None
    """What the policy sees, drawn into the lower right corner"""


def draw(panels: list[Panel], size: int) -> Frame:
    """Put panels side by side, in rows of up to four; each picture is scaled to a height of `size` pixels."""
    drawn = [_panel(panel, size) for panel in panels]
    ncolumn = math.ceil(len(drawn) / math.ceil(len(drawn) / 4))
    width, height = max(p.shape[1] for p in drawn) + GAP, max(p.shape[0] for p in drawn) + GAP
    nrow = math.ceil(len(drawn) / ncolumn)
    whole = np.full((nrow * height - GAP, ncolumn * width - GAP, 3), BACKGROUND, np.uint8)
    for i, panel in enumerate(drawn):
        y, x = i // ncolumn * height, i % ncolumn * width
        whole[y : y + panel.shape[0], x : x + panel.shape[1]] = panel
    odd = [(0, side % 2) for side in whole.shape[:2]]  # encoders want even sides
    return np.pad(whole, (*odd, (0, 0)))


def ceiling(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, 50, ... at or above a value, at least 1."""
    power = 10.0 ** math.floor(math.log10(max(value, 1.0)))
    return next(power * step for step in (1.0, 2.0, 5.0, 10.0) if power * step >= value)


def _panel(panel: Panel, size: int) -> Frame:
    from PIL import Image, ImageDraw

    picture = Image.fromarray(panel.picture)
    picture = picture.resize((max(round(picture.width * size / picture.height), 1), size), Image.Resampling.BILINEAR)
    line = max(size // 16, 14)
    image = Image.new("RGB", (picture.width, line + size + len(panel.gauges) * line + line // 3), BACKGROUND)
    image.paste(picture, (0, line))
    if panel.inset is not None:
        _paste_inset(image, panel.inset, line + size, size // 3)
    pen = ImageDraw.Draw(image)
    if panel.alarm:
        pen.rectangle((0, line, image.width - 1, line + size - 1), outline=UNSAFE, width=max(size // 80, 2))
    font = _font(round(line * 0.62))
    room = image.width - 12 - pen.textlength(panel.note, font)
    pen.text((6, line // 2), _shortened(pen, panel.title, font, room - 8), TEXT, font, "lm")
    pen.text((image.width - 6, line // 2), panel.note, FAINT, font, "rm")
    for i, gauge in enumerate(panel.gauges):
        _gauge(pen, gauge, line + size + line // 6 + i * line, line, image.width, font)
    return np.array(image)


def _gauge(pen: Any, gauge: Gauge, top: int, line: int, width: int, font: Any) -> None:
    """Name and value at the left, the bar at the right, its limit as a yellow tick with its number."""
    left, right, pad = round(width * 0.42), width - 8, round(line * 0.22)
    box = (left, top + pad, right, top + line - pad)
    over = gauge.limit is not None and gauge.value > gauge.limit
    color = RETURN if gauge.limit is None else UNSAFE if over else SAFE
    pen.text((6, top + line // 2), gauge.name, FAINT, font, "lm")
    pen.text(
        (left - 8, top + line // 2),
        f"{gauge.value:.2f}" if gauge.limit is None else f"{gauge.value:.4g}",
        UNSAFE if over else TEXT,
        font,
        "rm",
    )
    pen.rectangle(box, fill=GROOVE)
    start, span = (left, right - left) if gauge.value >= 0 else ((left + right) / 2, (right - left) / 2)
    end = start + span * max(min(gauge.value / gauge.full, 1.0), -1.0)
    if abs(end - start) >= 1:
        pen.rectangle((min(start, end), box[1], max(start, end), box[3]), fill=color)
    if gauge.limit is None:
        pen.text((right - 4, top + line // 2), f"{gauge.full:g}", FAINT, font, "rm")
    elif gauge.limit <= gauge.full:
        x = left + (right - left) * gauge.limit / gauge.full
        pen.rectangle((x - 1, top + 2, x + 1, top + line - 2), fill=LIMIT)
        pen.text((x + 5, top + line // 2), f"limit {gauge.limit:g}", TEXT, font, "lm")


def _paste_inset(image: Any, inset: Frame, bottom: int, side: int) -> None:
    from PIL import Image, ImageOps

    small = Image.fromarray(inset if inset.shape[2] == 3 else np.repeat(inset[:, :, :1], 3, 2))
    small = small.resize((side, round(side * inset.shape[0] / inset.shape[1])), Image.Resampling.NEAREST)
    framed = ImageOps.expand(small, 2, TEXT)
    image.paste(framed, (image.width - framed.width - 4, bottom - framed.height - 4))


def _shortened(pen: Any, text: str, font: Any, room: float) -> str:
    """The beginning of a text that fits into so many pixels."""
    if pen.textlength(text, font) <= room:
        return text
    while text and pen.textlength(f"{text}...", font) > room:
        text = text[:-1]
    return f"{text}..."


@functools.cache
def _font(size: int) -> Any:
    from PIL import ImageFont

    return ImageFont.load_default(size)
