"""Layouts: keep-out rejection sampling, one random stream per simulation.

The sampler places `m` entities one after another. An entity with keep-out radius `k` is drawn uniformly from its
rectangles shrunk by `k` and accepted when its distance to every entity already placed is at least the sum of both
radii plus `margin`. After 100 refused draws the whole layout starts again: the reference suite's rule.

A layout is a few hundred dependent decisions on a handful of numbers: plain floats are faster here than arrays, for
one simulation and for many, and a simulation's layout depends on nothing but its own generator.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safety_gym.objects import Rect

TRIES = 100
"""Draws for one entity before the layout starts again."""
MAX_LAYOUTS = 10_000
_BLOCK = 256
"""Uniforms taken from a generator at a time; what is left of the last block is dropped."""


class LayoutError(ValueError):
    """No layout was found, or the one given cannot be used; `ids` lists the simulations concerned."""

    def __init__(self, message: str, ids: Iterable[int] = ()) -> None:
        self.ids = tuple(int(i) for i in ids)
        super().__init__(message)


@dataclass(frozen=True)
class Entity:
    """One thing to place: its name, keep-out radius and where it may go (a fixed point or rectangles)."""

    name: str
    keepout: float
    rects: tuple[Rect, ...]
    location: tuple[float, float] | None = None
    rot: float | None = None
    allows: Callable[[float, float], bool] | None = None
    """A further test of a place (x, y); None: all are good."""


class Plan:
    """Entities in placement order with what the sampler needs to know about each."""

    def __init__(self, entities: Sequence[Entity], margin: float = 0.0) -> None:
        self.entities = tuple(entities)
        self.names = tuple(e.name for e in entities)
        self.rects = tuple(_shrunk(e) for e in entities)
        self.allows = tuple(e.allows for e in entities)
        self.cumulative = tuple(_cumulative_area(rects) for rects in self.rects)
        apart = [[a.keepout + margin + b.keepout for b in entities] for a in entities]
        # Pairs (k, squared distance) per entity, the widest first: most refusals are found at the first comparison.
        self.before = tuple(_widest_first(apart[j], range(j)) for j in range(len(entities)))
        self.others = tuple(_widest_first(row, [k for k in range(len(row)) if k != j]) for j, row in enumerate(apart))

    def __len__(self) -> int:
        return len(self.entities)


def sample(rngs: Sequence[np.random.Generator], plan: Plan, ids: Sequence[int] | None = None) -> NDArray[np.float64]:
    """Sample one layout per generator; return `(s, m, 3)`: x, y, yaw in [0, 2 pi).

    `ids` names the simulations in errors. Raises LayoutError when `MAX_LAYOUTS` layouts of a simulation failed.
    """
    out = np.empty((len(rngs), len(plan), 3))
    failed = []
    for i, rng in enumerate(rngs):
        points = _sample_one(_Uniforms(rng), plan)
        if points is None:
            failed.append(i if ids is None else ids[i])
            continue
        out[i, :, :2] = points
        out[i, :, 2] = 2 * np.pi * rng.random(len(plan))
    if failed:
        raise LayoutError(
            f"no layout found in {MAX_LAYOUTS} tries for simulations {failed[:5]}: {len(plan)} objects with keep-out "
            f"radii up to {max(e.keepout for e in plan.entities):g} m do not fit; use fewer objects, smaller keep-outs "
            "or larger extents",
            failed,
        )
    for j, entity in enumerate(plan.entities):
        if entity.rot is not None:
            out[:, j, 2] = entity.rot
    return out


def resample(
    rngs: Sequence[np.random.Generator], plan: Plan, j: int, xy: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Draw entity `j` again, one position per generator, clear of all others at `xy (s, m, 2)`.

    Returns positions `(s, 2)` and whether one was found within `MAX_LAYOUTS` draws `(s,)`.
    """
    out, found = np.zeros((len(rngs), 2)), np.zeros(len(rngs), bool)
    for i, rng in enumerate(rngs):
        point = _draw_clear(_Uniforms(rng), plan, j, xy[i].tolist(), plan.others[j], MAX_LAYOUTS)
        if point is not None:
            out[i], found[i] = point, True
    return out, found


class _Uniforms:
    """Uniform numbers in [0, 1) as Python floats, drawn from a generator in blocks."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._left: list[float] = []

    def __call__(self) -> float:
        if not self._left:
            self._left = self._rng.random(_BLOCK).tolist()
        return self._left.pop()


def _sample_one(uniform: _Uniforms, plan: Plan) -> list[list[float]] | None:
    for _ in range(MAX_LAYOUTS):
        points: list[list[float]] = []
        for j in range(len(plan)):
            point = _draw_clear(uniform, plan, j, points, plan.before[j], TRIES)
            if point is None:
                break
            points.append(point)
        else:
            return points
    return None


def _draw_clear(
    uniform: _Uniforms,
    plan: Plan,
    j: int,
    points: list[list[float]],
    apart: tuple[tuple[int, float], ...],
    tries: int,
) -> list[float] | None:
    """Draw a place for entity `j` until it keeps its distances `apart` from `points`; None after `tries` draws."""
    rects, cumulative, allows = plan.rects[j], plan.cumulative[j], plan.allows[j]
    x0, y0, x1, y1 = rects[0]
    for _ in range(tries):
        if len(rects) > 1:
            x0, y0, x1, y1 = rects[bisect_right(cumulative, uniform(), hi=len(rects) - 1)]
        x = x0 + uniform() * (x1 - x0)
        y = y0 + uniform() * (y1 - y0)
        for k, square in apart:
            other = points[k]
            dx, dy = x - other[0], y - other[1]
            if dx * dx + dy * dy < square:
                break
        else:
            if allows is None or allows(x, y):
                return [x, y]
    return None


def _widest_first(apart: Sequence[float], others: Sequence[int] | range) -> tuple[tuple[int, float], ...]:
    return tuple((k, apart[k] ** 2) for k in sorted(others, key=lambda k: -apart[k]) if apart[k] > 0)


def _shrunk(entity: Entity) -> list[Rect]:
    """Return the entity's rectangles shrunk by its keep-out; a fixed location is a rectangle of no size."""
    if entity.location is not None:
        x, y = map(float, entity.location)
        return [(x, y, x, y)]
    k = entity.keepout
    shrunk = [(x0 + k, y0 + k, x1 - k, y1 - k) for x0, y0, x1, y1 in entity.rects]
    kept = [r for r in shrunk if r[0] <= r[2] and r[1] <= r[3]]
    if not kept:
        raise LayoutError(
            f"'{entity.name}': no room left after shrinking its placement area {entity.rects} by its keep-out "
            f"{k:g} m; use a smaller keep-out or larger extents"
        )
    return kept


def _cumulative_area(rects: Sequence[Rect]) -> list[float]:
    """Return the cumulative share of each rectangle's area; points of no area are equally likely."""
    area = np.array([(x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in rects])
    if area.sum() == 0:
        area = np.ones(len(rects))
    return (np.cumsum(area) / area.sum()).tolist()  # type: ignore[no-any-return]
