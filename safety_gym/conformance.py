"""Replay recorded trajectories of the reference suite and compare step by step.

A file holds one episode: layout, actions, observations, rewards, costs and, every few steps, the full physics state.
Three comparisons are made (`TOLERANCES` holds their limits):

* one-step: load a stored state, apply one action, compare the next row. Chaos plays no role;
* window: the same for ten steps, reported, not judged (contact amplifies rounding by different amounts);
* free run: from a given step on without reloading; the robot must stay within 1e-6 for the stated number of steps.

Raw costs (before the 0-1 indicator) are compared as well.

Files of multi-agent tasks hold two robots; they are compared with contacts credited as the reference does
(`reference_credit`) and actions assigned as it does (`reference_controls`). Where no robots touch, the reference's
`info` has no `cost_contact_other`; here it is 0. Bodies are kept awake: the speed below 1e-6 m/s that a sleeping vase
loses grows to 1e-6 m in a free run of six steps in which a robot pushes it.

Where a robot touches what has a shape of its own here (scenery, meshes of objects), numbers are not judged. Instead the
number of steps in which that costs, over the windows, must be within a fifth of the recorded one. Meshed objects that
move on may be 1e-3 of the lidar's range from where they were recorded.

Files of velocity tasks hold no solver state: every tenth row is loaded with a cold start. Those recorded on MuJoCo 4
have margins as written and start from orientations as drawn; those recorded on MuJoCo 2.3.3 are compared with the
defaults.
"""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

from safety_gym import registry
from safety_gym.multi_agent import ids as multi_agent
from safety_gym.objects import Mobility
from safety_gym.robots import Robot
from safety_gym.scenery import Scenery
from safety_gym.simulator import Simulator
from safety_gym.task import Task
from safety_gym.tasks.building import BuildingButtonTask, BuildingGoalTask, BuildingPushTask
from safety_gym.tasks.button import ButtonTask
from safety_gym.tasks.fading import FadingEasyTask, FadingHardTask
from safety_gym.tasks.formula_one import FormulaOneTask
from safety_gym.tasks.multi_goal import MultiGoalTask
from safety_gym.tasks.race import RaceTask

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Tolerance:
    """Absolute limits of a one-step comparison; observations allow `obs * (1 + |b|)`.

    `share` of the samples must pass the observation test (`share_rest` the others); `misses`, where not 0, is how many
    samples of a file may miss instead. The free run starts at
    `free_start` and must agree within 1e-6 in qpos for `free_steps`.
    """

    qpos: float
    qvel: float
    obs: float
    reward: float
    share: float
    share_rest: float
    misses: int
    free_steps: int
    free_start: int | None
    """None: every stored state."""
    flags: bool = True
    """Whether costs and ends are judged as well."""


TOLERANCES: Mapping[str, Tolerance] = {
    "Point": Tolerance(1e-9, 1e-7, 1e-7, 1e-8, 0.99, 1.0, 0, 7, None),
    "Car": Tolerance(1e-5, 1e-4, 1e-3, 1e-7, 0.99, 0.99, 1, 150, 20),
    "Racecar": Tolerance(1e-6, 1e-5, 1e-5, 1e-7, 0.85, 0.85, 0, 0, None),
    "Doggo": Tolerance(1e-6, 1e-5, 1e-4, 1e-6, 0.99, 0.99, 0, 12, 20),
    "Ant": Tolerance(1e-6, 1e-5, 1e-4, 1e-7, 1.0, 1.0, 0, 20, 0),
}
_VELOCITY = Tolerance(1e-9, 1e-7, 1e-7, 1e-7, 1.0, 1.0, 0, 100, 0)
VELOCITY_TOLERANCES: Mapping[str, Tolerance] = {
    "HalfCheetah": dataclasses.replace(_VELOCITY, free_steps=25),
    "Hopper": _VELOCITY,
    "Swimmer": _VELOCITY,
    "Walker2d": _VELOCITY,
    "Ant": dataclasses.replace(_VELOCITY, free_steps=25),
    "Humanoid": Tolerance(1e-5, 1e-3, 5e-2, 1e-2, 0.95, 0.95, 0, 50, 0),
}
_ANYTHING = Tolerance(np.inf, np.inf, np.inf, np.inf, 1.0, 1.0, 0, 0, 0, flags=False)
OLD_ENGINE_TOLERANCES: Mapping[str, Tolerance] = {
    **VELOCITY_TOLERANCES,
    "Ant": dataclasses.replace(_ANYTHING, qpos=1e-5, share_rest=0.8),
    "Humanoid": _ANYTHING,
}
"""For files recorded on MuJoCo 2.3.3.

Before MuJoCo 4 RK4 turned free bodies with second instead of fourth order; with that rule put back Ant agrees to 1e-15
(`tests/test_velocity.py`), with the engine's it is up to 4e-5 away after one step. Humanoid's solver (PGS) stops before
it has converged, and its warm start is not in the file; its figures are printed only.
"""
STATE_EVERY = 10
"""Rows between the states of a velocity file that one-step comparisons start from."""
RUN_REWARD_FACTOR = 100.0
"""Run rewards carry a factor 60; their tolerance is that much larger."""
FREE_RUN_QPOS = 1e-6
THRESHOLD_SLACK = 1e-6
"""A cost may flip when its raw quantity lies this close to the threshold."""
WINDOW = 10
ALPHA = 1e-5
"""Opacities may differ by this: the reference sums up their changes in single precision."""
_ALPHA_KINDS = ("goal", "hazards", "vases")
MOVING_LIDAR = 1e-3
"""How far meshed objects that move may be from where they were recorded, as a share of the lidar's range."""
TOUCH_COSTS = ("cost_static_geoms_contact", "cost_vases_contact", "cost_gremlins", "cost_pillars")
TOUCH_SHARE = 0.2
"""By how much the number of steps with such costs may differ in tasks with scenery, as a share."""


@dataclass
class Report:
    """Outcome of one file. `errors` holds the largest one-step errors; `problems` says in words what failed."""

    file: str
    env_id: str
    passed: bool = False
    samples: int = 0
    free_steps: int = 0
    free_needed: int = 0
    errors: dict[str, float] = field(default_factory=dict)
    window_qpos: float = 0.0
    problems: list[str] = field(default_factory=list)

    def line(self) -> str:
        errors = "  ".join(f"{k} {v:.1e}" for k, v in self.errors.items())
        verdict = "ok  " if self.passed else "FAIL"
        why = "" if self.passed else "  " + "; ".join(self.problems[:3])
        return (
            f"{verdict} {self.file}  {self.samples} one-step samples  {errors}  window qpos {self.window_qpos:.1e}  "
            f"free run {self.free_steps}/{self.free_needed}{why}"
        )


class Replay:
    """One file loaded into a simulator of its id."""

    def __init__(self, path: Path) -> None:
        with np.load(path) as data:
            self.data = {key: data[key] for key in data.files}
        self.meta: dict[str, Any] = json.loads(str(self.data.pop("meta")))
        task, config, robots = self._resolve(self.meta["id"], self._options())
        self.robot = robots[0]
        self.sim = Simulator(task, config, robots, 1, None, 1)
        self.ids = np.array([0])
        self.steps = len(self.data["action"])
        self.interventions = {int(k): i for i, k in enumerate(self.data["intervention_step"])}
        self._prepare()

    @property
    def tolerance(self) -> Tolerance:
        """The limits that apply to the file."""
        return TOLERANCES[self.robot.name]

    def _resolve(self, env_id: str, options: dict[str, Any]) -> tuple[type[Task], Any, tuple[Robot, ...]]:
        parsed, task, config = registry.resolve(env_id, options)
        return task, config, (parsed.record,)

    def _options(self) -> dict[str, Any]:
        """Return the options under which the file was recorded."""
        return {}

    @property
    def agents(self) -> tuple[str, ...]:
        """What stands before the names of costs, by agent."""
        return ("",)

    def _prepare(self) -> None:
        """Build the world of the file."""
        self._compute_constants()
        self._place_objects()

    # --- loading ------------------------------------------------------------------------------------------------------

    def _compute_constants(self) -> None:
        """Compute the constants of the model where the file starts, as the reference suite does by compiling anew.

        The inverse inertias that scale contacts are computed in the model's initial pose. Where that is does not matter
        but for rounding, and rounding is all that these files would otherwise differ by: a wheel that scrapes along
        something amplifies it by 1e12 within a step.
        """
        scene, batch = self.sim.scene, self.sim.world.batch
        start = self.meta.get("start_qpos", self.data["full_qpos"][0])  # the former in a piece of a recording
        qpos0 = batch.expand("qpos0")
        for j, adr in enumerate(map(int, scene.agent_qpos)):
            if scene.agent_root[j] < 0:
                qpos0[0, adr : adr + 7] = start[j * scene.agent_nq :][:7]
        for body in self.meta["free_bodies"]:
            adr = int(scene.model.joint(self._our_name(body["body"])).qposadr[0])
            qpos0[0, adr : adr + 7] = start[body["qposadr"] : body["qposadr"] + 7]
        batch.set_const()
        batch.expand("eq_data")[...] = scene.model.eq_data  # welds of gremlins hold no layout here

    def _place_objects(self) -> None:
        """Put everything where the file says; free bodies are overwritten by the stored states later."""
        world = self.sim.world
        world.clear(self.ids)
        by_name = {self._our_name(o["name"]): o for o in self.meta["objects"]}
        for kind, slot in self.sim.scene.slots.items():
            poses = np.array([[(by_name[n]["x"], by_name[n]["y"], by_name[n]["rot"]) for n in slot.spec.names()]])
            if slot.spec.locations:
                poses[:, :, :2] = slot.spec.locations
            world.write_objects(self.ids, kind, poses)
        xy, yaw = np.reshape(self.meta["agent_xy"], (-1, 2)), np.reshape(self.meta["agent_rot"], (-1, 1))
        world.write_agents(self.ids, np.hstack((xy, yaw))[None])
        world.forward(self.ids)
        self.template = world.batch.state.copy()

    @staticmethod
    def _our_name(name: str) -> str:
        return name.removesuffix("obj") if name.startswith("gremlin") else name

    def load(self, k: int, qpos: Array, qvel: Array, warmstart: Array | None) -> None:
        """Set the simulator to the stored state before action `k`: physics, goal, timer, last distances."""
        world = self.sim.world
        world.clear(self.ids)
        world.batch.state[:] = self.template
        world.time[:] = self.data["time"][k]
        self._write_state(qpos, qvel, warmstart)
        self.set_goal(k)
        world.forward(self.ids)
        self.sim.task.remember(world, self.ids)
        self.set_memory(k)
        self._drivers_at(float(self.data["time"][k]))

    def _write_state(self, qpos: Array, qvel: Array, warmstart: Array | None) -> None:
        world, scene = self.sim.world, self.sim.scene
        nq, nv = scene.agent_nq, scene.agent_nv
        for j, (adr, dof) in enumerate(zip(map(int, scene.agent_qpos), map(int, scene.agent_dof), strict=True)):
            world.qpos[0, adr : adr + nq] = qpos[j * nq : (j + 1) * nq]
            world.qvel[0, dof : dof + nv] = qvel[j * nv : (j + 1) * nv]
            if warmstart is not None:
                world.warmstart[0, dof : dof + nv] = warmstart[j * nv : (j + 1) * nv]
        for body in self.meta["free_bodies"]:
            joint = scene.model.joint(self._our_name(body["body"]))
            q, v = int(joint.qposadr[0]), int(joint.dofadr[0])
            world.qpos[0, q : q + 7] = qpos[body["qposadr"] : body["qposadr"] + 7]
            world.qvel[0, v : v + 6] = qvel[body["dofadr"] : body["dofadr"] + 6]
            if warmstart is not None:
                world.warmstart[0, v : v + 6] = warmstart[body["dofadr"] : body["dofadr"] + 6]

    def _drivers_at(self, time: float) -> None:
        """Gremlin drivers stand where the substep before `time` left them; at the start they are at their centres."""
        world = self.sim.world
        for slot in self.sim.scene.slots.values():
            if slot.spec.mobility is Mobility.DRIVEN and time > 0:
                world.pose_drivers(slot, time - self.sim.scene.model.opt.timestep)

    def set_goal(self, k: int) -> None:
        goal = self.data["goal_xy"][k]
        if np.isfinite(goal).all() and "goal" in self.sim.scene.slots:
            self.sim.world.move_zone(self.ids, "goal", goal[None])

    def set_memory(self, k: int) -> None:
        """Set what the task remembers besides distances."""
        if isinstance(self.sim.task, ButtonTask):
            button, timer = self.data["button"][k]
            self.sim.task.choose(self.sim.world, self.ids, np.array([int(button)]))
            self.sim.world.memory["timer"] = int(timer)

    # --- stepping -----------------------------------------------------------------------------------------------------

    def step(self, t: int) -> dict[str, Any]:
        """Apply action `t` and return everything that can be compared with row `t` (`t + 1` for states)."""
        sim, world = self.sim, self.sim.world
        if t in self.interventions:
            self._intervene(self.interventions[t])
        result, raw = self._advance(self.data["action"][t])
        met = bool(result.goal_met[0].any())
        if self.data["goal_met"][t]:
            self.set_goal(t + 1)
            if isinstance(sim.task, ButtonTask):
                self.set_memory(t + 1)
            else:
                sim.task.remember(world, self.ids)
        scene = sim.scene
        qs, vs = map(int, scene.agent_qpos), map(int, scene.agent_dof)
        return {
            "reward": result.reward[0].copy(),
            "cost": result.cost[0].copy(),
            "costs": self._by_name(result.costs),
            "present": {a + k: bool(m[0]) for a in self.agents for k, m in result.present.items()},
            "raw": raw,
            "terminated": bool(result.terminated[0]),
            "goal_met": met,
            "obs": sim.observe()[0].reshape(-1).copy(),
            "qpos": np.concatenate([world.qpos[0, q : q + scene.agent_nq] for q in qs]),
            "qvel": np.concatenate([world.qvel[0, v : v + scene.agent_nv] for v in vs]),
            "time": float(world.time[0]),
        }

    def _controls(self, action: Array) -> Array:
        """Return what `Simulator.check_action` takes."""
        return action[None]

    def _by_name(self, costs: Mapping[str, Array]) -> dict[str, float]:
        """Return costs (1, a) by the names they have in the file."""
        return {a + key: float(value[0, j]) for j, a in enumerate(self.agents) for key, value in costs.items()}

    def _intervene(self, i: int) -> None:
        """Overwrite the state; the task's memory stays."""
        self._write_state(self.data["intervention_qpos"][i], self.data["intervention_qvel"][i], None)
        self.sim.world.forward(self.ids)

    def _advance(self, action: Array) -> tuple[Any, dict[str, float]]:
        """Step without drawing a new goal (the file says where it goes); also return the raw costs."""
        sim = self.sim
        raw: dict[str, float] = {}
        task = sim.task
        after_cost, next_goal = task.after_cost, task.next_goal

        def record(world: Any) -> None:
            raw.update(self._by_name(sim.raw_costs()))
            charged = [term.key for term, _ in sim.terms if term.present is None or term.present(world)[0]]
            for agent in self.agents:
                raw[f"{agent}cost_sum"] = sum(raw[agent + key] for key in charged)
            after_cost(world)

        task.after_cost = record  # type: ignore[method-assign]
        task.next_goal = lambda world, ids: np.zeros(len(ids), bool)  # type: ignore[method-assign]
        try:
            return sim.step(sim.check_action(self._controls(action).astype(sim.task.action_dtype))), raw
        finally:
            task.after_cost, task.next_goal = after_cost, next_goal  # type: ignore[method-assign]


class TeamReplay(Replay):
    """A file of a MultiGoal task."""

    def _resolve(self, env_id: str, options: dict[str, Any]) -> tuple[type[Task], Any, tuple[Robot, ...]]:
        _, task, config, robots = multi_agent.resolve(env_id, options)
        return task, config, robots

    def _options(self) -> dict[str, Any]:
        return {"reference_credit": True, "reference_controls": True}

    @property
    def agents(self) -> tuple[str, ...]:
        return tuple(f"{name}/" for name in multi_agent.names(self.sim.nagent))

    def _prepare(self) -> None:
        """Bring the file into the form of the others: robots that do not touch have a cost of 0 for it."""
        if self.sim.config.contact_other_cost:  # type: ignore[attr-defined]
            for name in (f"{agent}cost_contact_other" for agent in self.agents):
                if name not in self.meta["cost_names"]:
                    self.meta["cost_names"] = [*self.meta["cost_names"], name]
                    for key in ("cost_components", "cost_raw"):
                        self.data[key] = np.pad(self.data[key], ((0, 0), (0, 1)))
                j = self.meta["cost_names"].index(name)
                for key in ("cost_components", "cost_raw"):
                    np.nan_to_num(self.data[key][:, j], copy=False)
        flags = self.sim.world.batch.expand("opt.enableflags")
        flags &= ~int(mujoco.mjtEnableBit.mjENBL_SLEEP)
        super()._prepare()

    @property
    def _task(self) -> MultiGoalTask:
        assert isinstance(self.sim.task, MultiGoalTask)
        return self.sim.task

    def _controls(self, action: Array) -> Array:
        ctrl = np.empty((1, self.sim.nagent, self.sim.nact))
        ctrl.reshape(-1)[self._task.controls(self.sim.nact).reshape(-1)] = action
        return ctrl

    def set_goal(self, k: int) -> None:
        for kind, xy in zip(self._task.goals, self.data["goal_xy"][k].reshape(-1, 2), strict=True):
            self.sim.world.move_zone(self.ids, kind, xy[None])

    def set_memory(self, k: int) -> None:
        """Set who touched each vase last."""
        memory = self.sim.world.memory
        if "touched_last" in (memory.dtype.names or ()):
            agents = np.arange(self.sim.nagent)
            memory["touched_last"][0] = self.data["vase_last_contact"][k] == agents[:, None]


class SceneryReplay(Replay):
    """A file of a task with scenery: physics runs substep by substep, to notice what the robot touches."""

    def _prepare(self) -> None:
        super()._prepare()
        scene, world = self.sim.scene, self.sim.world
        model = scene.model
        looks = (slot.spec for slot in scene.slots.values() if slot.spec.look and slot.spec.look.geoms)
        names = {name for spec in looks for name in spec.names()}
        self.own_shape = np.isin(model.geom_bodyid, [model.body(name).id for name in names])
        self.own_shape |= [model.geom(i).name.startswith(f"{Scenery.kind}/") for i in range(model.ngeom)]
        self.of_robot = model.body_rootid[model.geom_bodyid] == model.body_rootid[scene.agent_body[0]]
        self.moving = [
            t
            for t in self.sim.observer.terms
            for kind, slot in scene.slots.items()
            if t.key == f"{kind}_lidar" and slot.spec.look and slot.qpos is not None
        ]
        self.physics = mujoco.MjData(model)
        self.touched = False
        world.step = self._substeps  # type: ignore[method-assign]

    def _substeps(self, ids: Any = None) -> None:
        world = self.sim.world
        for _ in range(world.scene.config.substeps):
            world.batch.step(nstep=1)
            world.batch.get_data(0, self.physics)
            pairs = self.physics.contact.geom
            for one, other in (pairs.T, pairs.T[::-1]):
                self.touched |= bool((self.of_robot[one] & self.own_shape[other]).any())
        world.forward()

    def step(self, t: int) -> dict[str, Any]:
        """Also say whether the robot touched a shape of our own."""
        self.touched = False
        got = super().step(t)
        for term in self.moving:
            here = slice(term.start, term.stop)
            seen, want = got["obs"][here], self.data["obs"][t + 1, here]
            if _seen_alike(seen, want):
                seen[:] = want
        return got | {"touched": self.touched}


class FormulaOneReplay(SceneryReplay):
    """A file of a FormulaOne task, integrated as it was recorded."""

    def _options(self) -> dict[str, Any]:
        return {"integrator": "rk4"}

    def set_goal(self, k: int) -> None:
        self.sim.world.move_zone(self.ids, FormulaOneTask.goal_kind, self.data["goal_xy"][k][None])


def _seen_alike(seen: Array, want: Array) -> bool:
    """Return whether readings of a lidar differ by no more than `MOVING_LIDAR` of its range in an object's place.

    The largest reading tells the distance. A bin's share of it tells the direction, the finer the nearer the object is.
    """
    near = float(want.max())
    share = near / max(1 - near, MOVING_LIDAR) * len(want) / (2 * np.pi)
    return bool(abs(seen.max() - near) <= MOVING_LIDAR and _largest(seen - want) <= MOVING_LIDAR * (1 + share))


class FadingReplay(Replay):
    """A file of a Fading task; it also holds how opaque the goal, hazards and vases are."""

    def _prepare(self) -> None:
        """Put the alphas before the first step in front of those after each step, where they are not there yet."""
        super()._prepare()
        objects = {spec.kind: spec for spec in self._task.config.objects}
        self.whole = np.array([objects[kind].alpha if kind in objects else np.nan for kind in _ALPHA_KINDS])
        if len(self.data["fading_alpha"]) == self.steps:
            self.data["fading_alpha"] = np.vstack((self.whole, self.data["fading_alpha"]))

    @property
    def _task(self) -> FadingEasyTask:
        assert isinstance(self.sim.task, FadingEasyTask)
        return self.sim.task

    def set_memory(self, k: int) -> None:
        """Set for how long everything has faded."""
        faded = self._task.config.fading_steps * (1 - self.data["fading_alpha"][k] / self.whole)
        columns = [_ALPHA_KINDS.index(kind) for kind in self._task.config.fading]
        self.sim.world.memory["faded"][0] = np.rint(faded[columns])

    def step(self, t: int) -> dict[str, Any]:
        got = super().step(t)
        if self.data["goal_met"][t]:
            self._task.show_goal(self.sim.world, self.ids)
        now = self._task.opacity(self.sim.world)
        alpha = [now[kind][0] if kind in now else whole for kind, whole in zip(_ALPHA_KINDS, self.whole, strict=True)]
        return got | {"alpha": np.array(alpha)}


class VelocityReplay(Replay):
    """A file of a velocity task."""

    @property
    def tolerance(self) -> Tolerance:
        table = OLD_ENGINE_TOLERANCES if self._old_engine else VELOCITY_TOLERANCES
        return table[self.robot.name]

    @property
    def _old_engine(self) -> bool:
        return int(self.meta["mujoco"].split(".")[0]) < 4

    def _options(self) -> dict[str, Any]:
        return {} if self._old_engine else {"margins": "as_written", "normalize_quaternion": False}

    def _prepare(self) -> None:
        """Bring the file into the form of the others: stored states, no goal, the two cost entries there are."""
        data, rows = self.data, np.arange(0, self.steps, STATE_EVERY)
        data["full_step"], data["full_qpos"], data["full_qvel"] = rows, data["qpos"][rows], data["qvel"][rows]
        data["full_warmstart"] = np.zeros_like(data["full_qvel"])
        data["goal_met"] = np.zeros(self.steps, bool)
        self.info = dict(zip(self.meta["info_names"], data["info"].T, strict=True))
        velocity = [self.info[name] for name in ("x_velocity", "y_velocity") if name in self.info]
        planar = self.sim.task.config.velocity_kind == "planar"  # type: ignore[attr-defined]
        speed = np.sqrt(np.square(velocity).sum(axis=0)) if planar else velocity[0]
        self.meta["cost_names"] = ["cost_velocity", "cost_sum"]
        data["cost_components"] = np.repeat(data["cost"][:, None], 2, axis=1)
        data["cost_raw"] = np.repeat(np.maximum(speed - self.meta["velocity_threshold"], 0)[:, None], 2, axis=1)

    def load(self, k: int, qpos: Array, qvel: Array, warmstart: Array | None) -> None:
        """Set the state before action `k`; bodies are measured where the recording's step before left them."""
        world = self.sim.world
        world.clear(self.ids)
        world.qpos[0], world.qvel[0] = qpos, qvel
        world.forward(self.ids)
        self.sim.task.remember(world, self.ids)
        if k > 0 and k not in self.interventions and "y_position" in self.info:
            world.memory["last_xy"][0] = self.info["x_position"][k - 1], self.info["y_position"][k - 1]

    def _intervene(self, i: int) -> None:
        """Overwrite the state; the velocity is measured from there."""
        world = self.sim.world
        world.qpos[0], world.qvel[0] = self.data["intervention_qpos"][i], self.data["intervention_qvel"][i]
        world.forward(self.ids)
        self.sim.task.remember(world, self.ids)


_REPLAYS: Mapping[str, type[Replay]] = {
    registry.VELOCITY: VelocityReplay,
    **{task.name: SceneryReplay for task in (BuildingGoalTask, BuildingButtonTask, BuildingPushTask, RaceTask)},
    FormulaOneTask.name: FormulaOneReplay,
    FadingEasyTask.name: FadingReplay,
    FadingHardTask.name: FadingReplay,
}
"""What replays the files of a task, where that is not `Replay`."""


def _open(path: Path) -> Replay:
    if multi_agent.is_multi_agent(path.name.split("__")[0]):
        return TeamReplay(path)
    return _REPLAYS.get(registry.parse(path.name.split("__")[0]).task, Replay)(path)


def check_file(path: Path) -> Report:
    """Compare one file; never raises for a mismatch."""
    report = Report(path.name, path.name.split("__")[0])
    try:
        replay = _open(path)
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        report.problems.append(f"cannot be read: {error!r}")
        return report
    tolerance = replay.tolerance
    _one_step(replay, tolerance, report)
    _windows(replay, report)
    _free_runs(replay, tolerance, report)
    report.passed = not report.problems
    return report


def find_files(folder: Path) -> list[Path]:
    """Return the trajectories of a folder whose environment can be made; raises ValueError if there is none."""
    known = {*registry.ids(), *multi_agent.multi_agent_ids()}
    files = [path for path in sorted(folder.glob("*.npz")) if path.name.split("__")[0] in known]
    if not files:
        raise ValueError(f"no trajectory (ID__seedN.npz) of an environment that can be made in {str(folder)!r}")
    return files


# --- comparisons ------------------------------------------------------------------------------------------------------


def _one_step(replay: Replay, tolerance: Tolerance, report: Report) -> None:
    data, worst = replay.data, {"qpos": 0.0, "qvel": 0.0, "obs": 0.0, "reward": 0.0, "raw": 0.0}
    factor = RUN_REWARD_FACTOR if replay.meta["task"].startswith("Run") else 1.0
    limits = {"qpos": tolerance.qpos, "qvel": tolerance.qvel, "reward": tolerance.reward * factor}
    limits["raw"] = max(tolerance.qvel, 1e-9)  # the raw cost of a vase is its speed
    limits["alpha"] = ALPHA
    missed: dict[str, list[str]] = {"obs": [], "rest": []}
    for j, k in enumerate(map(int, data["full_step"])):
        if k >= replay.steps or k in replay.interventions:
            continue
        replay.load(k, data["full_qpos"][j], data["full_qvel"][j], data["full_warmstart"][j])
        got = replay.step(k)
        if got.get("touched"):
            continue
        errors = _errors(replay, k, got)
        report.samples += 1
        if errors["obs"] > tolerance.obs:
            missed["obs"].append(f"step {k}: {errors['obs']:.1e}")
        if over := [f"{name} {errors[name]:.1e}" for name, limit in limits.items() if errors.get(name, 0) > limit]:
            missed["rest"].append(f"step {k}: {', '.join(over)}")
        if tolerance.flags:
            report.problems += _flag_problems(replay, k, got)
        for name, value in errors.items():
            worst[name] = max(worst.get(name, 0.0), value)
    report.errors = worst
    for name, share in (("obs", tolerance.share), ("rest", tolerance.share_rest)):
        allowed = tolerance.misses or int((1 - share) * report.samples + 1e-9)
        if len(missed[name]) > allowed:
            report.problems.append(
                f"one-step: {len(missed[name])} of {report.samples} samples miss the {name} limit "
                f"({'; '.join(missed[name][:3])})"
            )
    if not report.samples:
        report.problems.append("one-step: no sample in the file")


def _errors(replay: Replay, k: int, got: Mapping[str, Any]) -> dict[str, float]:
    data = replay.data
    want = data["obs"][k + 1]
    qpos, qvel = data["qpos"][k + 1], data["qvel"][k + 1]
    raw = 0.0
    for name, value in zip(replay.meta["cost_names"], data["cost_raw"][k], strict=True):
        if np.isfinite(value):
            raw = max(raw, abs(got["raw"].get(name, np.inf) - value))
    alpha = {"alpha": _largest(got["alpha"] - data["fading_alpha"][k + 1])} if "alpha" in got else {}
    return alpha | {
        "qpos": _largest(got["qpos"] - qpos),
        "qvel": _largest(got["qvel"] - qvel),
        "obs": _largest((got["obs"] - want) / (1 + np.abs(want))),
        "reward": _largest(got["reward"] - data["reward"][k]),
        "raw": raw,
    }


def _flag_problems(replay: Replay, k: int, got: Mapping[str, Any]) -> list[str]:
    """Compare what must be equal: costs, their presence, goal and end, up to values on their threshold."""
    data, problems = replay.data, []
    for name, value, raw in zip(
        replay.meta["cost_names"], data["cost_components"][k], data["cost_raw"][k], strict=True
    ):
        present = got["present"].get(name, name in got["costs"])
        if present != bool(np.isfinite(value)):
            problems.append(f"step {k}: {name} is {'present' if present else 'absent'}")
        elif present and got["costs"][name] != value and not _at_threshold(raw, got["raw"].get(name, 0.0)):
            problems.append(f"step {k}: {name} {got['costs'][name]} instead of {value}")
    raw_costs = dict(zip(replay.meta["cost_names"], data["cost_raw"][k], strict=True))
    for agent, cost, want in zip(replay.agents, got["cost"], np.atleast_1d(data["cost"][k]), strict=True):
        key = f"{agent}cost_sum"
        if cost != want and not _at_threshold(float(raw_costs[key]), got["raw"][key]):
            problems.append(f"step {k}: {agent}cost {cost} instead of {want}")
    for name in ("goal_met", "terminated"):
        if got[name] != bool(data[name][k]):
            problems.append(f"step {k}: {name} {got[name]} instead of {bool(data[name][k])}")
    extra = set(got["costs"]) - set(replay.meta["cost_names"])
    return problems + [f"step {k}: unknown cost key {key}" for key in sorted(extra)]


def _at_threshold(want: float, got: float) -> bool:
    """Return whether raw costs are so close to their threshold, 0, that the indicator may differ."""
    return 0 < max(abs(want), abs(got)) <= THRESHOLD_SLACK


def _windows(replay: Replay, report: Report) -> None:
    """Ten steps from every stored state, without a goal or intervention inside: only reported, but for touch costs."""
    data = replay.data
    columns = [i for i, name in enumerate(replay.meta["cost_names"]) if name in TOUCH_COSTS]
    steps = {"recorded": 0, "here": 0}
    for j, k in enumerate(map(int, data["full_step"])):
        stop = k + WINDOW
        if stop > replay.steps or any(k <= i < stop for i in replay.interventions) or data["goal_met"][k:stop].any():
            continue
        replay.load(k, data["full_qpos"][j], data["full_qvel"][j], data["full_warmstart"][j])
        touched = False
        for t in range(k, stop):
            got = replay.step(t)
            touched |= bool(got.get("touched"))
            steps["recorded"] += int(np.nansum(data["cost_raw"][t, columns]) > 0)
            steps["here"] += int(sum(got["raw"].get(name, 0.0) for name in TOUCH_COSTS) > 0)
        if not touched:
            report.window_qpos = max(report.window_qpos, _largest(got["qpos"] - data["qpos"][stop]))
    if isinstance(replay, SceneryReplay) and abs(steps["here"] - steps["recorded"]) > TOUCH_SHARE * steps["recorded"]:
        report.problems.append(f"windows: {steps['here']} steps with a cost of touch instead of {steps['recorded']}")


def _free_runs(replay: Replay, tolerance: Tolerance, report: Report) -> None:
    """Run on without reloading; the robot must stay within 1e-6 for the stated number of steps or to the file's end."""
    data = replay.data
    report.free_needed = report.free_steps = tolerance.free_steps
    for j, k in enumerate(map(int, data["full_step"])):
        stop = min([replay.steps, *(i for i in replay.interventions if i > k)])
        needed = min(stop - k, tolerance.free_steps)
        if tolerance.free_start not in (None, k) or k in replay.interventions or needed < 1:
            continue
        good = _free_run(replay, j, k, needed)
        if good < needed:
            report.free_steps = min(report.free_steps, good)
            report.problems.append(f"free run from step {k}: within {FREE_RUN_QPOS:g} for {good} of {needed} steps")


def _free_run(replay: Replay, j: int, k: int, needed: int) -> int:
    """Return for how many steps a run from stored state `j` stays with the file."""
    data = replay.data
    replay.load(k, data["full_qpos"][j], data["full_qvel"][j], data["full_warmstart"][j])
    for t in range(k, k + needed):
        got = replay.step(t)
        if got.get("touched"):
            return needed
        if got["goal_met"] != bool(data["goal_met"][t]):
            return t - k
        if _largest(got["qpos"] - data["qpos"][t + 1]) > FREE_RUN_QPOS:
            return t - k
    return needed


def _largest(values: Array) -> float:
    return float(np.abs(values).max()) if values.size else 0.0
