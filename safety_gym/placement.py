"""Starts of episodes in scenes with objects: sampled or explicit layouts, and single things moved by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from safety_gym import layout
from safety_gym.costs import CostTerm
from safety_gym.errors import unknown
from safety_gym.layout import LayoutError
from safety_gym.objects import Mobility
from safety_gym.scene import Scene
from safety_gym.world import Array, Ids, World

if TYPE_CHECKING:
    from safety_gym.task import Task

Bools = NDArray[np.bool_]

_START_TRIES = 100
"""Layouts drawn anew because the robot would start with a cost."""


class Placement:
    """Places robots and objects of `world` and starts `task` on them."""

    def __init__(self, task: Task, world: World, terms: Sequence[tuple[CostTerm, Any]]) -> None:
        self.task, self.world, self.terms = task, world, terms
        self.scene, self.nagent = world.scene, world.nagent
        self.task.plan = self.plan = _plan(task, self.scene)

    def reset(self, ids: Ids, layouts: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Start new episodes. `layouts` gives one explicit layout per simulation of `ids`."""
        world = self.world
        if layouts is not None:
            poses = np.stack([self.parse_layout(given) for given in layouts])
            self._place(ids, poses, np.array([set(self.task.derived) <= set(given) for given in layouts]))
            self._refuse_start_cost(ids, "the layout given")
            return
        pending = ids
        for _ in range(_START_TRIES):
            poses = layout.sample([world.layout_rng[i] for i in pending], self.plan, pending.tolist())
            self._place(pending, poses, np.zeros(len(pending), bool))
            pending = pending[self._start_cost(pending)]
            if not len(pending):
                return
        self._refuse_start_cost(pending, f"each of {_START_TRIES} sampled layouts")

    def _place(self, ids: Ids, poses: Array, keep_goal: Bools) -> None:
        """Write layouts `poses (s, a + k, 3)` and start the task on them; see `Task.begin` for `keep_goal (s,)`."""
        world = self.world
        world.clear(ids)
        world.write_agents(ids, poses[:, : self.nagent])
        for kind, slot in self.scene.slots.items():
            block = poses[:, self.nagent + slot.start : self.nagent + slot.stop]
            world.write_objects(ids, kind, block)
        world.forward(ids)
        world.memory[ids] = np.zeros((), world.memory.dtype)
        self.task.begin(world, ids, keep_goal)

    def _start_cost(self, ids: Ids) -> Bools:
        if not self.terms:
            return np.zeros(len(ids), bool)
        raw = sum(term.value(self.world, spec)[ids].sum(axis=1) for term, spec in self.terms if term.present is None)
        return np.broadcast_to(np.asarray(raw) > 0, (len(ids),))

    def _refuse_start_cost(self, ids: Ids, what: str) -> None:
        bad = ids[self._start_cost(ids)]
        if len(bad):
            charged = [t.key for t, s in self.terms if t.present is None and t.value(self.world, s)[bad].any()]
            raise LayoutError(
                f"simulations {bad[:5].tolist()}: {what} starts with a cost ({', '.join(charged)}); move the robot "
                "away from what charges it",
                bad,
            )

    # --- layouts ------------------------------------------------------------------------------------------------------

    def layout(self, i: int) -> dict[str, Any]:
        """Return where everything is in simulation `i`, in the form `parse_layout` takes.

        Robots and things that can be touched are (x, y, yaw), zones (x, y); gremlins are at the centre of their path.
        """
        world = self.world
        yaw = world.agent_yaw()[i]
        agents = [(*map(float, world.agent_pos[i, j, :2]), float(yaw[j])) for j in range(self.nagent)]
        result: dict[str, Any] = {"agent": agents[0]} if self.nagent == 1 else {"agents": agents}
        placed = world.placed_xy(np.array([i]))[0, self.nagent :]
        for kind, slot in self.scene.slots.items():
            xy = placed[slot.start : slot.stop]
            points: list[tuple[float, ...]] = [(float(x), float(y)) for x, y in xy]
            if slot.spec.mobility is not Mobility.ZONE:
                points = [(*p, float(a)) for p, a in zip(points, world.object_yaw(kind)[i], strict=True)]
            result[kind] = points[0] if slot.spec.unique else points
        return result

    def parse_layout(self, given: Mapping[str, Any]) -> Array:
        """Return an explicit layout as poses (a + k, 3); LayoutError for anything missing, unknown or overlapping."""
        if not isinstance(given, Mapping):
            raise LayoutError(f"options['layout']={given!r}: expected a mapping such as {{'agent': (x, y, yaw), ...}}")
        agent_key = "agent" if self.nagent == 1 else "agents"
        known = [agent_key, *self.scene.slots]
        for key in given:
            if key not in known:
                raise LayoutError(str(unknown("layout entry", key, known)))
        optional = set(self.task.derived) | {k for k, s in self.scene.slots.items() if s.spec.locations or not s.num}
        missing = [key for key in known if key not in given and key not in optional]
        if missing:
            raise LayoutError(f"layout misses {', '.join(map(repr, missing))}; it needs {', '.join(map(repr, known))}")
        poses = np.zeros((self.nagent + self.scene.nobject, 3))
        poses[: self.nagent] = _points(agent_key, given[agent_key], self.nagent, self.nagent == 1)
        for kind, slot in self.scene.slots.items():
            block = slice(self.nagent + slot.start, self.nagent + slot.stop)
            if kind in given:
                poses[block] = _points(kind, given[kind], slot.num, slot.spec.unique)
            elif slot.spec.locations:
                poses[block, :2] = slot.spec.locations[: slot.num]
        self._refuse_overlap(poses)
        return poses

    def _refuse_overlap(self, poses: Array) -> None:
        """Raise if two things that can touch each other certainly overlap, whatever their yaw."""
        radius = np.zeros(len(poses))
        radius[: self.nagent] = 0.1
        for slot in self.scene.slots.values():
            radius[self.nagent + slot.start : self.nagent + slot.stop] = slot.spec.footprint
        solid = np.flatnonzero(radius)
        gap = np.linalg.norm(poses[solid, None, :2] - poses[None, solid, :2], axis=2)
        close = np.argwhere(np.triu(gap < radius[solid, None] + radius[None, solid], k=1))
        if len(close):
            first, second = (self.plan.names[solid[i]] for i in close[0])
            raise LayoutError(f"layout: {first!r} and {second!r} overlap (their centres are too close)")

    def move(self, name: str, xy: Sequence[float], ids: Ids) -> None:
        """Place one object or robot by its instance name (`hazard3`, `goal`, `agent`) at (x, y) or (x, y, yaw)."""
        world = self.world
        if name not in self.plan.names:
            raise unknown("object", name, self.plan.names)
        poses = np.repeat(_points(name, xy, 1, unique=True)[None], len(ids), axis=0)
        j = self.plan.names.index(name)
        if j < self.nagent:
            if self.nagent > 1:
                raise ValueError("place: moving one of several robots needs an explicit layout at reset")
            world.write_agents(ids, poses)
        else:
            kind, slot = next((k, s) for k, s in self.scene.slots.items() if name in s.spec.names())
            if kind in self.task.derived:
                raise ValueError(f"place: the position of {name!r} follows from other objects in task {self.task.name}")
            which = j - self.nagent - slot.start
            world.write_objects(ids, kind, poses, slice(which, which + 1))
        world.forward(ids)
        self.task.remember(world, ids)


def _points(name: str, value: Any, num: int, unique: bool) -> Array:
    """Return (num, 3) poses from (x, y) or (x, y, yaw) points."""
    points = [value] if unique else value
    form = "(x, y) or (x, y, yaw)" if unique else f"a list of {num} points (x, y) or (x, y, yaw)"
    try:
        rows = [np.asarray(p, dtype=np.float64) for p in points]
    except (TypeError, ValueError) as error:
        raise LayoutError(f"layout[{name!r}]={value!r}: expected {form}") from error
    if len(rows) != num or any(r.shape not in ((2,), (3,)) or not np.isfinite(r).all() for r in rows):
        raise LayoutError(f"layout[{name!r}]={value!r}: expected {form}, finite numbers")
    poses = np.zeros((num, 3))
    for pose, row in zip(poses, rows, strict=True):
        pose[: len(row)] = row
    return poses


def _plan(task: Task, scene: Scene) -> layout.Plan:
    """Return the entities to place: robots, then objects in placement order."""
    config, agent, whole = task.config, task.config.agent, (task.config.extents,)
    entities = []
    for j, name in enumerate(["agent"] if scene.nagent == 1 else [f"agent{j}" for j in range(scene.nagent)]):
        at = agent.locations[j] if j < len(agent.locations) else None
        entities.append(layout.Entity(name, agent.keepout, agent.placements or whole, at, agent.rot))
    for slot in scene.slots.values():
        spec = slot.spec
        allows = task.allowed_places(scene, spec)
        for i, name in enumerate(spec.names()):
            at = spec.locations[i] if i < len(spec.locations) else None
            entities.append(layout.Entity(name, spec.keepout, spec.placements or whole, at, allows=allows))
    return layout.Plan(entities, config.margin)
