"""The environment loop over `n` simulations and `a` robots: reset, step, costs, ends. Faces are views of it.

Order of a step (the reference suite's): physics, reward, cost, timers, goal test and new goal, end of episode,
observation. Arrays have shape (n, a, ...); `vector_env.py` and `views.py` turn them into what users hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from safety_gym import layout
from safety_gym.costs import cost_terms
from safety_gym.layout import LayoutError
from safety_gym.objects import Mobility
from safety_gym.observation import Observer
from safety_gym.robots import Robot
from safety_gym.scene import Scene, SceneConfig, build_scene
from safety_gym.task import Task, TaskConfig, unknown
from safety_gym.world import Array, Ids, World, available_cores

Bools = NDArray[np.bool_]

_START_TRIES = 100
"""Layouts drawn anew because the robot would start with a cost."""


@dataclass
class StepResult:
    """What one step gave. `present` holds masks of cost keys that are not in every simulation's info."""

    reward: Array  # (n, a)
    cost: Array  # (n, a)
    costs: dict[str, Array]  # by key, (n, a), `cost_sum` last
    present: dict[str, Bools]  # by key, (n,)
    terminated: Bools  # (n,)
    truncated: Bools  # (n,)
    goal_met: Bools  # (n,)
    diverged: Bools | None  # (n,), None where nothing went wrong


class Simulator:
    """`n` copies of one task, with one random stream each."""

    def __init__(
        self,
        task_class: type[Task],
        config: TaskConfig,
        robots: tuple[Robot, ...],
        n: int,
        max_episode_steps: int | None,
        num_threads: int | None = None,
    ) -> None:
        robots = tuple(robot.version(config.robot_version) for robot in robots)
        self.task = task_class(config, robots)
        self.config = config = self.task.config
        self.n, self.nagent = n, len(robots)
        limits = [limit for limit in (max_episode_steps, config.num_steps) if limit is not None]
        self.max_episode_steps = min(limits) if limits else None
        self.terms = cost_terms(config.objects)
        self.cost_names = tuple(term.key for term, _ in self.terms)
        contacts = {spec.kind for term, spec in self.terms if term.contact} | set(self.task.touching)
        self.scene: Scene = build_scene(
            SceneConfig(
                robots=robots,
                objects=config.objects,
                floor_size=config.floor_size,
                contacts=tuple(o.kind for o in config.objects if o.kind in contacts and o.num),
                ray_lidar=config.lidar_type == "natural",
            )
        )
        self.task.plan = self.plan = _plan(config, self.scene)
        memory = np.dtype([("steps", "i8"), *self.task.memory()])
        threads = num_threads if num_threads is not None else min(n, available_cores())
        self.observer = Observer(self.scene, config)
        self.world = World(self.scene, n, memory, threads)
        low, high = self.scene.model.actuator_ctrlrange.T
        self.ctrl_low, self.ctrl_high = low.copy(), high.copy()
        self.nact = self.scene.model.nu // self.nagent
        self.last_observation = np.zeros((n, self.nagent, self.observer.size))
        self.last_cost = np.zeros((n, self.nagent))
        """What the last step charged, for pictures."""
        self._all = np.arange(n)

    # --- spaces -------------------------------------------------------------------------------------------------------

    def action_space(self) -> gymnasium.spaces.Box:
        """Return one robot's action space: the control range rounded through float32, held as float64."""
        low = self.ctrl_low[: self.nact].astype(np.float32).astype(np.float64)
        high = self.ctrl_high[: self.nact].astype(np.float32).astype(np.float64)
        return gymnasium.spaces.Box(low, high, dtype=np.float64)

    # --- reset --------------------------------------------------------------------------------------------------------

    def seed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        if not self.config.randomize_layout:
            raise ValueError("seed: this environment has a fixed layout (randomize_layout=False) and takes no seed")
        self.world.seed(ids, seeds)

    def reset(self, ids: Ids, layouts: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Start new episodes. `layouts` gives one explicit layout per simulation of `ids`."""
        world = self.world
        world.ensure_process()
        if not self.config.randomize_layout:
            world.seed(ids.tolist(), [0] * len(ids))
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
        self.last_cost[ids] = 0.0
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

    # --- step ---------------------------------------------------------------------------------------------------------

    def check_action(self, action: Any) -> Array:
        """Return actions as float64 (n, a, u); raise before anything moves if they cannot be used."""
        try:
            array = np.asarray(action, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise ValueError(f"action: expected numbers of shape {self._action_shape()}, got {action!r}") from error
        if array.shape != self._action_shape() and array.shape != (self.n, self.nagent, self.nact):
            raise ValueError(f"action has shape {array.shape}; expected {self._action_shape()}")
        if np.isnan(array).any():
            rows = np.flatnonzero(np.isnan(array.reshape(self.n, -1)).any(axis=1))
            raise ValueError(f"action has NaN in rows {rows[:10].tolist()}; nothing was moved")
        return array.reshape(self.n, self.nagent, self.nact)

    def _action_shape(self) -> tuple[int, ...]:
        return (self.n, self.nact) if self.nagent == 1 else (self.n, self.nagent, self.nact)

    def step(self, action: Array, ids: Ids | None = None) -> StepResult:
        """Advance all simulations, or `ids`, by one control step; rows outside `ids` of the result mean nothing."""
        world, task = self.world, self.task
        world.ensure_process()
        ctrl = action.reshape(self.n, -1)
        np.minimum(ctrl, self.ctrl_high, out=world.ctrl)
        np.maximum(world.ctrl, self.ctrl_low, out=world.ctrl)
        if self.config.action_noise:
            world.ctrl[...] += self._noise(ids)
        world.step(ids)
        diverged = self._diverged(ids)
        reward = self._reward()
        cost, costs, present = self._costs()
        task.after_cost(world)
        met = _restrict(task.achieved(world), ids)
        if diverged is not None:
            met = met & ~diverged
        terminated = self._goals(met) if met.any() else np.zeros(self.n, bool)
        terminated |= _restrict(task.dead(world), ids)
        world.memory["steps"] += 1
        truncated = self._truncated()
        if diverged is not None:
            self._end_diverged(diverged, reward, cost, costs, terminated, truncated)
        self.last_cost[...] = cost  # a copy: the faces hand out `cost`
        return StepResult(reward, cost, costs, present, terminated, truncated, met, diverged)

    def _noise(self, ids: Ids | None) -> Array:
        noise = np.zeros_like(self.world.ctrl)
        for i in self._all if ids is None else ids:
            noise[i] = self.world.noise_rng[i].standard_normal(noise.shape[1])
        return noise * self.config.action_noise

    def _diverged(self, ids: Ids | None) -> Bools | None:
        bad = self.world.bad_state
        if not bad.any():
            return None
        rows = _restrict(np.asarray((bad > 0).any(axis=1)), ids)
        return rows if rows.any() else None

    def _reward(self) -> Array:
        config = self.config
        reward = self.task.reward(self.world)
        if config.reward_orientation:
            reward = reward + config.reward_orientation_scale * self.world.agent_mat[..., 8]
        if config.reward_clip is not None:
            reward = np.maximum(np.minimum(reward, config.reward_clip), -config.reward_clip)
        return reward

    def _costs(self) -> tuple[Array, dict[str, Array], dict[str, Bools]]:
        """Return the step cost (n, a), every entry of info with its raw sum last, and masks of absent ones."""
        world = self.world
        total = np.zeros((self.n, self.nagent))
        costs: dict[str, Array] = {}
        present: dict[str, Bools] = {}
        for term, spec in self.terms:
            value = term.value(world, spec)
            if term.present is not None:
                present[term.key] = mask = term.present(world)
                value = value * mask[:, None]
            costs[term.key] = value
            total += value
        costs["cost_sum"] = total
        if self.config.constrain_indicator:
            costs = {key: (value > 0).astype(np.float64) for key, value in costs.items()}
        return costs["cost_sum"].copy(), costs, present

    def raw_costs(self) -> dict[str, Array]:
        """Return the cost entries of the current state before the 0-1 indicator, by key, (n, a)."""
        return {term.key: np.array(term.value(self.world, spec)) for term, spec in self.terms}

    def _goals(self, met: Bools) -> Bools:
        """Give new goals where one was met; return which episodes end by it, (n,)."""
        if not self.config.continue_goal:
            return met.copy()
        terminated = np.zeros(self.n, bool)
        rows = np.flatnonzero(met)
        failed = rows[self.task.next_goal(self.world, rows)]
        if len(failed) and not self.config.terminate_resample_failure:
            raise LayoutError(f"simulations {failed[:5].tolist()}: no room found for a new goal", failed)
        terminated[failed] = True
        return terminated

    def _truncated(self) -> Bools:
        if self.max_episode_steps is None:
            return np.zeros(self.n, bool)
        return np.asarray(self.world.memory["steps"] >= self.max_episode_steps)

    def _end_diverged(
        self,
        diverged: Bools,
        reward: Array,
        cost: Array,
        costs: dict[str, Array],
        terminated: Bools,
        truncated: Bools,
    ) -> None:
        """End the episodes of unstable simulations; the engine has already put them back to the model's defaults."""
        reward[diverged] = self.config.reward_exception
        cost[diverged] = 1.0
        for values in costs.values():
            values[diverged] = 0.0
        costs["cost_sum"][diverged] = 1.0
        costs["cost_exception"] = np.repeat(diverged[:, None].astype(np.float64), self.nagent, axis=1)
        terminated[diverged] = False
        truncated[diverged] = True

    def observe(self, keep: Bools | None = None) -> Array:
        """Compute observations (n, a, o) into `last_observation`; rows in `keep` stay as they were."""
        kept = self.last_observation[keep].copy() if keep is not None else None
        self.observer.compute(self.world, self.task.hide_lidar(self.world), self.last_observation)
        if kept is not None and keep is not None:
            self.last_observation[keep] = kept
        return self.last_observation

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
        world.ensure_process()
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


def _restrict(mask: Bools, ids: Ids | None) -> Bools:
    """Return `mask (n,)` with everything outside `ids` false; None: all rows count."""
    if ids is None:
        return mask
    out = np.zeros_like(mask)
    out[ids] = mask[ids]
    return out


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


def _plan(config: TaskConfig, scene: Scene) -> layout.Plan:
    """Return the entities to place: robots, then objects in placement order."""
    agent, whole = config.agent, (config.extents,)
    entities = []
    for j, name in enumerate(["agent"] if scene.nagent == 1 else [f"agent{j}" for j in range(scene.nagent)]):
        at = agent.locations[j] if j < len(agent.locations) else None
        entities.append(layout.Entity(name, agent.keepout, agent.placements or whole, at, agent.rot))
    for slot in scene.slots.values():
        spec = slot.spec
        for i, name in enumerate(spec.names()):
            at = spec.locations[i] if i < len(spec.locations) else None
            entities.append(layout.Entity(name, spec.keepout, spec.placements or whole, at))
    return layout.Plan(entities, config.margin)


