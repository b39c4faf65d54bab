"""Layouts: keep-out rejection sampling, one random stream per simulation.

The sampler places `m` entities one after another. An entity with keep-out radius `k` is drawn uniformly from its
rectangles shrunk by `k` and accepted when its distance to every entity already placed is at least the sum of both
radii plus `margin`. After 100 refused draws the whole layout starts again (`navigation.md` of the reference suite, "Layout
sampling"). All simulations of a call are sampled together, but a simulation only consumes its own generator, by an
amount that depends on nothing else: layouts are the same for every batch size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from safety_gym.objects import Rect

TRIES = 100
MAX_LAYOUTS = 10_000
_FIRST = 16
"""Candidates looked at for every simulation before the few unlucky ones look at the rest."""
_REPEATS = 64
"""Layouts tried at once for a simulation whose first layout failed."""


class LayoutError(ValueError):
    """No layout was found, or the one given cannot be used; `ids` lists the simulations concerned."""

    def __init__(self, message: str, ids: Sequence[int] = ()) -> None:
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


class Plan:
    """Entities in placement order with everything the sampler needs as arrays."""

    def __init__(self, entities: Sequence[Entity], margin: float = 0.0) -> None:
        self.entities = tuple(entities)
        self.names = tuple(e.name for e in entities)
        self.keepout = np.array([e.keepout for e in entities])
        self.min_dist = self.keepout[:, None] + self.keepout[None, :] + margin
        self._rects = [_shrunk(e) for e in entities]
        self._cumulative = [_cumulative_area(rects) for rects in self._rects]
        self.ndraw = 3 if any(len(r) > 1 for r in self._rects) else 2

    def __len__(self) -> int:
        return len(self.entities)

    def candidates(self, j: int, u: NDArray[np.float64]) -> NDArray[np.float64]:
        """Map uniforms `u (..., ndraw)` to positions `(..., 2)` inside the area of entity `j`."""
        rects = self._rects[j]
        low, span = rects[:, :2], rects[:, 2:] - rects[:, :2]
        if len(rects) == 1:
            return np.asarray(low[0] + u[..., :2] * span[0])
        which = np.searchsorted(self._cumulative[j], u[..., 2], side="right").clip(max=len(rects) - 1)
        return np.asarray(low[which] + u[..., :2] * span[which])


def sample(rngs: Sequence[np.random.Generator], plan: Plan, ids: Sequence[int] | None = None) -> NDArray[np.float64]:
    """Sample one layout per generator; return `(s, m, 3)`: x, y, yaw in [0, 2 pi).

    `ids` names the simulations in errors. Raises LayoutError when `MAX_LAYOUTS` layouts of a simulation failed.
    """
    s, m = len(rngs), len(plan)
    out = np.empty((s, m, 3))
    pending = np.arange(s)
    tried, repeats = 0, 1
    while len(pending):
        xy, ok = _attempt([rngs[i] for i in pending], plan, repeats)
        first = ok.argmax(axis=1)
        found = ok[np.arange(len(pending)), first]
        out[pending[found], :, :2] = xy[found, first[found]]
        pending = pending[~found]
        tried, repeats = tried + repeats, _REPEATS
        if len(pending) and tried >= MAX_LAYOUTS:
            names = [int(i) if ids is None else int(ids[i]) for i in pending]
            raise LayoutError(
                f"no layout found in {tried} tries for simulations {names[:5]}: {m} objects with keep-out radii up to "
                f"{plan.keepout.max():g} m do not fit; use fewer objects, smaller keep-outs or larger extents",
                names,
            )
    for i, rng in enumerate(rngs):
        out[i, :, 2] = rng.random(m)
    out[:, :, 2] *= 2 * np.pi
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
    others = [k for k in range(len(plan)) if k != j]
    placed, dist = xy[:, others], plan.min_dist[j, others]
    out = np.zeros((len(rngs), 2))
    found = np.zeros(len(rngs), bool)
    pending = np.arange(len(rngs))
    for _ in range(MAX_LAYOUTS // TRIES):
        u = np.stack([rngs[i].random((TRIES, plan.ndraw)) for i in pending])
        chosen, ok = _first_clear(plan.candidates(j, u), placed[pending], dist)
        out[pending[ok]] = chosen[ok]
        found[pending[ok]] = True
        pending = pending[~ok]
        if not len(pending):
            break
    return out, found


def _attempt(
    rngs: Sequence[np.random.Generator], plan: Plan, repeats: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Try `repeats` layouts per generator: positions (s, repeats, m, 2) and whether each is complete."""
    s, m = len(rngs), len(plan)
    u = np.stack([rng.random((repeats, m, TRIES, plan.ndraw)) for rng in rngs])
    u = u.reshape(s * repeats, m, TRIES, plan.ndraw)
    xy = np.empty((s * repeats, m, 2))
    ok = np.ones(s * repeats, bool)
    for j in range(m):
        xy[:, j], clear = _first_clear(plan.candidates(j, u[:, j]), xy[:, :j], plan.min_dist[j, :j])
        ok &= clear
    return xy.reshape(s, repeats, m, 2), ok.reshape(s, repeats)


def _first_clear(
    cand: NDArray[np.float64], placed: NDArray[np.float64], dist: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return the first of `cand (s, t, 2)` at least `dist (j,)` from `placed (s, j, 2)`, and whether there is one."""
    rows = np.arange(len(cand))
    clear = _clear(cand[:, :_FIRST], placed, dist)
    pick = clear.argmax(axis=1)
    ok = clear[rows, pick]
    if cand.shape[1] > _FIRST and not ok.all():
        late = np.flatnonzero(~ok)
        clear = _clear(cand[late, _FIRST:], placed[late], dist)
        pick[late] = clear.argmax(axis=1) + _FIRST
        ok[late] = clear.any(axis=1)
    return cand[rows, pick], ok


def _clear(
    cand: NDArray[np.float64], placed: NDArray[np.float64], dist: NDArray[np.float64]
) -> NDArray[np.bool_]:
    if placed.shape[1] == 0:
        return np.ones(cand.shape[:2], bool)
    dx = cand[:, :, None, 0] - placed[:, None, :, 0]
    dy = cand[:, :, None, 1] - placed[:, None, :, 1]
    return np.asarray((dx * dx + dy * dy >= dist * dist).all(axis=2))


def _shrunk(entity: Entity) -> NDArray[np.float64]:
    """Return the entity's rectangles shrunk by its keep-out, (r, 4); a fixed location is a rectangle of no size."""
    if entity.location is not None:
        x, y = entity.location
        return np.array([[x, y, x, y]], dtype=float)
    rects = np.array(entity.rects, dtype=float).reshape(-1, 4)
    rects = rects + entity.keepout * np.array([1.0, 1.0, -1.0, -1.0])
    rects = rects[(rects[:, 0] <= rects[:, 2]) & (rects[:, 1] <= rects[:, 3])]
    if not len(rects):
        raise LayoutError(
            f"'{entity.name}': no room left after shrinking its placement area {entity.rects} by its keep-out "
            f"{entity.keepout:g} m; use a smaller keep-out or larger extents"
        )
    return rects


def _cumulative_area(rects: NDArray[np.float64]) -> NDArray[np.float64]:
    area = (rects[:, 2] - rects[:, 0]) * (rects[:, 3] - rects[:, 1])
    if area.sum() == 0:  # only fixed points: all equally likely
        area = np.ones(len(rects))
    return np.cumsum(area) / area.sum()
