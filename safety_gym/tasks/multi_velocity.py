"""Divided walkers: several agents move one walker of the velocity task, each some of its joints.

Reward, cost and end are those of the walker, the same for every agent. An agent observes its own joints, those next to
them and the root: the observations of MAMuJoCo (gymnasium-robotics 1.2.2, on Gymnasium's `v4` walkers), item by item.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, cycle
from types import MappingProxyType

import mujoco
import numpy as np
from numpy.typing import NDArray

from safety_gym.errors import unknown
from safety_gym.objects import TEAM_RGB
from safety_gym.robots import Robot
from safety_gym.scene import Scene
from safety_gym.task import Terms
from safety_gym.tasks.velocity import VelocityConfig, VelocityTask, WalkerObserver
from safety_gym.walkers import Walker, build_walker_scene
from safety_gym.world import Array, World

Joints = tuple[str, ...]
Item = tuple[str, int]
"""An array of the engine and an index into one simulation's flattened part of it."""


@dataclass(frozen=True, kw_only=True)
class DividedConfig(VelocityConfig):
    """Every option of a divided walker; `DIVIDED_OPTION_HELP` says what the fields mean."""

    partition: str | tuple[Joints, ...] = ""
    obsk: int = 1
    full_observation: bool = False

    def validate(self) -> None:
        super().validate()
        if self.obsk < 0:
            raise ValueError(f"obsk={self.obsk!r}: expected a whole number >= 0")
        if self.rules != "v4":
            raise ValueError(f"rules={self.rules!r}: divided walkers have the rules of 'v4' only")
        if self.use_contact_forces:
            raise ValueError("use_contact_forces=True: not for divided walkers; it would change what agents observe")
        if not self.observation_flatten:
            raise ValueError("observation_flatten=False: agents of divided walkers observe flat vectors")


DIVIDED_OPTION_HELP: Mapping[str, str] = {
    "partition": "who moves what: a name such as '2x4d', or a list with the joint names of each agent, in the order of "
    "its actions; every driven joint belongs to one agent",
    "obsk": "how far an agent sees: joints up to so many edges from its own are observed (positions only)",
    "full_observation": "every agent observes what the undivided walker would",
}


@dataclass(frozen=True)
class Body:
    """What of a walker its agents observe. Joints by name; `edges` join all joints in them.

    `qpos` and `qvel` are the root's observed coordinates. `parts` names the bodies whose inertias, velocities and
    forces are observed with a joint; `extra_qvel` the velocities that stand for a joint's own, `swapped` the joint
    whose numbers are seen instead. `clip` bounds velocities.
    """

    edges: tuple[Joints, ...]
    qpos: tuple[int, ...]
    qvel: tuple[int, ...]
    partitions: Mapping[str, tuple[Joints, ...]]
    thresholds: Mapping[str, float]
    clip: float | None = None
    parts: Mapping[str, Joints] = field(default_factory=lambda: MappingProxyType({}))
    extra_qvel: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    swapped: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def _legs(order: str) -> tuple[Joints, ...]:
    """Return the joints of the Ant's legs, agents separated by `|`: `12|34`."""
    return tuple(tuple(f"{j}_{i}" for i in part for j in ("hip", "ankle")) for part in order.split("|"))


def _named(*parts: str) -> tuple[Joints, ...]:
    return tuple(tuple(part.split()) for part in parts)


_ABDOMEN, _ARMS = "abdomen_x abdomen_y abdomen_z", ("right_shoulder1 right_shoulder2", "left_shoulder1 left_shoulder2")
_HIPS = ("right_hip_x right_hip_y right_hip_z", "left_hip_x left_hip_y left_hip_z")
_UPPER = "torso {0}_upper_arm {0}_lower_arm"

BODIES: Mapping[str, Body] = {
    "Ant": Body(
        edges=(*(tuple(f"{j}_{i}" for j in ("hip", "ankle")) for i in "1234"), ("hip_1", "hip_2", "hip_3", "hip_4")),
        qpos=(2, 3, 4, 5, 6),
        qvel=(0, 1, 2, 3, 4, 5),
        partitions={"2x4": _legs("12|34"), "2x4d": _legs("14|23"), "4x2": _legs("1|2|3|4")},
        thresholds={"2x4": 2.522, "4x2": 2.418},
    ),
    "HalfCheetah": Body(
        edges=_named("bfoot bshin", "bshin bthigh", "bthigh fthigh", "fthigh fshin", "fshin ffoot"),
        qpos=(1, 2),
        qvel=(0, 1, 2),
        partitions={
            "2x3": _named("bthigh bshin bfoot", "fthigh fshin ffoot"),
            "6x1": _named("bthigh", "bshin", "bfoot", "fthigh", "fshin", "ffoot"),
        },
        thresholds={"6x1": 2.932, "2x3": 3.227},
    ),
    "Hopper": Body(
        edges=_named("foot_joint leg_joint", "leg_joint thigh_joint"),
        qpos=(1, 2),
        qvel=(0, 1, 2),
        partitions={"3x1": _named("thigh_joint", "leg_joint", "foot_joint")},
        thresholds={"3x1": 0.9613},
        clip=10.0,
    ),
    "Swimmer": Body(
        edges=_named("motor1_rot motor2_rot"),
        qpos=(2,),
        qvel=(2,),
        partitions={"2x1": _named("motor1_rot", "motor2_rot")},
        thresholds={"2x1": 0.04891},
        extra_qvel={"motor1_rot": (0, 3), "motor2_rot": (1, 4)},
    ),
    "Walker2d": Body(
        edges=_named(
            "foot_joint leg_joint",
            "leg_joint thigh_joint",
            "foot_left_joint leg_left_joint",
            "leg_left_joint thigh_left_joint",
            "thigh_joint thigh_left_joint",
        ),
        qpos=(1,),
        qvel=(0, 0, 1),  # gymnasium-robotics 1.2.2 lists the root's x twice and leaves its rotation out
        partitions={
            "2x3": _named("foot_joint leg_joint thigh_joint", "foot_left_joint leg_left_joint thigh_left_joint")
        },
        thresholds={"2x3": 1.641},
    ),
    "Humanoid": Body(
        edges=_named(
            _ABDOMEN,
            *_HIPS,
            f"left_elbow {_ARMS[1]}",
            f"right_elbow {_ARMS[0]}",
            f"left_knee {_HIPS[1]}",
            f"right_knee {_HIPS[0]}",
            f"{_ARMS[1]} {_ABDOMEN}",
            f"{_ARMS[0]} {_ABDOMEN}",
            f"{_ABDOMEN} {_HIPS[1]}",
            f"{_ABDOMEN} {_HIPS[0]}",
        ),
        qpos=(2, 3, 4, 5, 6),
        qvel=(0, 1, 2, 3, 4, 5),
        partitions={
            "9x8": _named(
                f"{_ABDOMEN} {_ARMS[0]} right_elbow {_ARMS[1]} left_elbow",
                f"{_HIPS[0]} right_knee {_HIPS[1]} left_knee",
            )
        },
        thresholds={"9x8": 0.58},
        parts={
            "abdomen_y": ("torso", "lwaist", "pelvis"),
            "abdomen_z": ("torso", "lwaist", "pelvis"),
            "abdomen_x": ("pelvis", "right_thigh", "left_thigh"),
            **{f"{s}_hip_{x}": (f"{s}_thigh", f"{s}_shin") for s in ("right", "left") for x in "xyz"},
            **{f"{s}_knee": (f"{s}_shin", f"{s}_foot") for s in ("right", "left")},
            **{f"{s}_shoulder{i}": tuple(_UPPER.format(s).split()) for s in ("right", "left") for i in "12"},
            **{f"{s}_elbow": (f"{s}_lower_arm",) for s in ("right", "left")},
        },
        swapped={"abdomen_y": "abdomen_z", "abdomen_z": "abdomen_y"},  # as in gymnasium-robotics 1.2.2
    ),
}
"""By walker. Thresholds in m/s are those of the multi-agent tasks of Safety-Gymnasium, by partition."""

_WIDTHS = {"cinert": 10, "cvel": 6, "cfrc_ext": 6}
"""Numbers per body."""


@dataclass(frozen=True)
class DividedScene(Scene):
    """A walker's scene, drawn in the colours of the agents: each body has that of who moves its joints."""

    partition: tuple[Joints, ...] = ()

    @functools.cached_property
    def drawing(self) -> mujoco.MjModel:
        """The model in colours; bodies without driven joints have those of what they are fixed to."""
        model = copy.copy(self.model)
        colors = zip(self.partition, cycle(TEAM_RGB.values()), strict=False)
        painted = {int(model.joint(joint).bodyid[0]): rgb for joints, rgb in colors for joint in joints}
        for body in range(1, model.nbody):
            parent = int(model.body_parentid[body])
            if not model.body_jntnum[body] and parent in painted:
                painted[body] = painted[parent]
            if body in painted:
                geoms = np.flatnonzero(model.geom_bodyid == body)
                model.geom_rgba[geoms, :3] = painted[body]
                model.geom_matid[geoms] = -1
        return model


class DividedTask(VelocityTask):
    name = "Velocity"
    summary = "Several agents move one walker: forward fast, but not faster than the threshold."
    levels = {  # type: ignore[assignment]
        f"{partition}{name}": DividedConfig(
            **{f.name: getattr(VelocityTask.levels[f"{name}-v1"], f.name) for f in dataclasses.fields(VelocityConfig)}
            | {"velocity_threshold": threshold, "velocity_kind": kind},
            partition=partition,
        )
        for name, kind in (
            ("Ant", "planar"), ("HalfCheetah", "abs_x"), ("Hopper", "abs_x"), ("Swimmer", "x"), ("Walker2d", "abs_x"),
            ("Humanoid", "planar"),
        )
        for partition, threshold in BODIES[name].thresholds.items()
    }  # fmt: skip
    config: DividedConfig

    def __init__(self, config: DividedConfig, robots: tuple[Robot, ...]) -> None:
        super().__init__(config, robots)
        self.partition = parse_partition(self.walker, config)

    def build_scene(self, terms: Terms) -> Scene:
        scene = super().build_scene(terms)
        fields = {f.name: getattr(scene, f.name) for f in dataclasses.fields(Scene)}
        return DividedScene(**fields, partition=self.partition)

    def observer(self, scene: Scene) -> DividedObserver:
        return DividedObserver(scene, self)


class DividedObserver(WalkerObserver):
    """What the undivided walker observes, then what each agent does; `columns` says where.

    All in one vector, so that states are saved, kept and reset with the rest.
    """

    def __init__(self, scene: Scene, task: DividedTask) -> None:
        super().__init__(scene, task)
        self.state = slice(0, self.terms[-1].stop)
        self.columns: list[slice] = []
        self._body = BODIES[task.walker.name]
        if task.config.full_observation:
            self.columns = [self.state] * len(task.partition)
            return
        items = [agent_items(scene.model, self._body, own, task.config.obsk) for own in task.partition]
        for j, mine in enumerate(items):
            meaning = "own joints, those near them, the root"
            self.columns.append(self._add(f"agent_{j}", (len(mine),), (-np.inf, np.inf), meaning))
        self._gathers = self._plan_gathers(items)

    def _plan_gathers(self, items: Sequence[Sequence[Item]]) -> list[tuple[str, NDArray[np.intp], NDArray[np.intp]]]:
        """Return, for each array of the engine, which of its numbers go where in the observation."""
        flat = list(chain.from_iterable(items))
        where = np.arange(len(flat)) + self.state.stop
        plans = []
        for name in dict.fromkeys(name for name, _ in flat):
            mine = [k for k, item in enumerate(flat) if item[0] == name]
            plans.append((name, np.array([flat[k][1] for k in mine], np.intp), where[mine]))
        return plans

    def compute(self, world: World, hidden: Mapping[str, NDArray[np.bool_]], out: Array) -> None:
        super().compute(world, hidden, out)
        if self._task.config.full_observation:  # type: ignore[attr-defined]
            return
        for name, index, where in self._gathers:
            values = world.memory["forces"] if name == "cfrc_ext" else world.readout(name)
            values = values.reshape(world.n, -1)[:, index]
            if name == "qvel" and self._body.clip:
                values = np.clip(values, -self._body.clip, self._body.clip)
            out[:, 0, where] = values


def parse_partition(walker: Walker, config: DividedConfig) -> tuple[Joints, ...]:
    """Return the joint names of each agent.

    Raises ValueError unless every driven joint belongs to exactly one agent.
    """
    known = BODIES[walker.name].partitions
    given = config.partition
    if isinstance(given, str):
        name = given.replace("|", "x")
        if name not in known:
            raise unknown("partition", given, known)
        return known[name]
    joints = driven_joints(build_walker_scene(walker, config.margins, False, False).model)
    form = f"a name ({', '.join(map(repr, known))}) or a list of lists of joint names"
    if not (isinstance(given, tuple) and given and all(isinstance(part, tuple) and part for part in given)):
        raise ValueError(f"partition={given!r}: expected {form}")
    for name in chain.from_iterable(given):
        if name not in joints:
            raise unknown(f"joint in partition of {walker.name}", str(name), joints)
    named = list(chain.from_iterable(given))
    if wrong := [joint for joint in joints if named.count(joint) != 1]:
        raise ValueError(
            f"partition={given!r}: {wrong[0]!r} is named {named.count(wrong[0])} times; every driven joint of "
            f"{walker.name} ({', '.join(joints)}) belongs to exactly one agent"
        )
    return given


def driven_joints(model: mujoco.MjModel) -> dict[str, int]:
    """Return the index in the controls of each joint that has an actuator."""
    return {model.joint(int(model.actuator_trnid[u, 0])).name: u for u in range(model.nu)}


def near(own: Joints, edges: Sequence[Joints], depth: int) -> list[list[str]]:
    """Return joints by their distance to the nearest of an agent's `own`, 0 to `depth`, each sorted by name."""
    seen = set(own)
    found = [sorted(own)]
    for _ in range(depth):
        ring = {joint for edge in edges if set(edge) & set(found[-1]) for joint in edge} - seen
        seen |= ring
        found.append(sorted(ring))
    return found


def agent_items(model: mujoco.MjModel, body: Body, own: Joints, obsk: int) -> list[Item]:
    """Return what an agent observes, in order: its joints with all there is of them, others' positions, the root."""
    items: list[Item] = []
    seen: set[tuple[str, str]] = set()
    for depth, joints in enumerate(near(own, body.edges, obsk)):
        for name in joints:
            joint = model.joint(body.swapped.get(name, name))
            items.append(("qpos", int(joint.qposadr[0])))
            if depth:
                continue
            dof = int(joint.dofadr[0])
            items += [("qvel", i) for i in body.extra_qvel.get(name, (dof,))]
            if not body.parts:
                continue
            for quantity in ("cinert", "cvel", "qfrc_actuator", "cfrc_ext"):
                if quantity == "qfrc_actuator":
                    items.append((quantity, dof))
                    continue
                for part in body.parts[name]:  # a body counts at the first joint that lists it
                    if (quantity, part) not in seen:
                        seen.add((quantity, part))
                        first = _WIDTHS[quantity] * model.body(part).id
                        items += [(quantity, first + i) for i in range(_WIDTHS[quantity])]
    items += [("qpos", i) for i in body.qpos] + [("qvel", i) for i in body.qvel]
    if body.parts:
        items += [("qfrc_actuator", i) for i in range(6)]
    return items
