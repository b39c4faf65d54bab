"""Velocity: walk forward as fast as possible without exceeding a speed limit.

Six walkers of Gymnasium with the rules of its `v4` environments. A step costs 1 if the mean speed over the control step
is above the threshold. `-v0` and `-v1` differ in the thresholds and in Swimmer's measure of speed.

The thresholds are half the speed that an unconstrained PPO agent reached in 1e7 steps, as published with
Safety-Gymnasium (Ji et al., 2023); they are constants, also where an option changes the dynamics.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import mujoco
import numpy as np
from numpy.typing import NDArray

from safety_gym.costs import CostTerm
from safety_gym.layout import LayoutError
from safety_gym.objects import Range
from safety_gym.observation import Observer
from safety_gym.robots import Robot
from safety_gym.scene import Scene
from safety_gym.task import EpisodeConfig, Task, Terms
from safety_gym.walkers import WALKERS, Walker, build_walker_scene
from safety_gym.world import Array, Ids, World

if TYPE_CHECKING:
    from safety_gym.rendering import Marker

_INF = float("inf")


@dataclass(frozen=True, kw_only=True)
class VelocityConfig(EpisodeConfig):
    """Every option of a velocity task. Names follow Gymnasium's constructors; lengths in m, angles in rad."""

    velocity_threshold: float = 1.0
    velocity_kind: Literal["x", "planar", "abs_x"] = "x"
    rules: Literal["v4", "v5"] = "v4"
    margins: Literal["halved", "as_written"] = "halved"
    normalize_quaternion: bool = True
    forward_reward_weight: float = 1.0
    ctrl_cost_weight: float = 0.1
    healthy_reward: float = 0.0
    terminate_when_unhealthy: bool = True
    healthy_z_range: Range | None = None
    healthy_angle_range: Range | None = None
    healthy_state_range: Range | None = None
    reset_noise_scale: float = 0.1
    exclude_current_positions_from_observation: bool = True
    use_contact_forces: bool = False
    contact_cost_weight: float = 0.0
    contact_cost_range: Range = (-_INF, _INF)
    contact_force_range: Range = (-_INF, _INF)

    def validate(self) -> None:
        super().validate()
        for name, accepted in _CHOICES.items():
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name}={getattr(self, name)!r}: expected one of {accepted}")
        if not self.reset_noise_scale >= 0:
            raise ValueError(f"reset_noise_scale={self.reset_noise_scale!r}: expected a number >= 0")


_CHOICES = {"velocity_kind": ("x", "planar", "abs_x"), "rules": ("v4", "v5"), "margins": ("halved", "as_written")}

VELOCITY_OPTION_HELP: Mapping[str, str] = {
    "velocity_threshold": "a step costs 1 if the speed is above this, m/s",
    "velocity_kind": "the speed that is compared: 'x' (signed), 'abs_x' or 'planar' (of x and y)",
    "rules": "'v4' (the reference) or 'v5' (what newer Gymnasium environments observe, reward and report)",
    "margins": "'halved' (contacts of MuJoCo before 3.5) or 'as_written' in the model file",
    "normalize_quaternion": "normalise the root's orientation after the noise of a reset",
    "forward_reward_weight": "weight of the forward velocity in the reward",
    "ctrl_cost_weight": "weight of the squared action, which is subtracted from the reward",
    "healthy_reward": "reward of a step in which the walker is healthy; under v4 also of the one that ends it",
    "terminate_when_unhealthy": "end the episode when the walker leaves its healthy ranges",
    "healthy_z_range": "heights of the torso that are healthy, m; None: all",
    "healthy_angle_range": "inclinations of the torso that are healthy, rad; None: all",
    "healthy_state_range": "values of all other positions and velocities that are healthy; None: all",
    "reset_noise_scale": "size of the noise on the start state",
    "exclude_current_positions_from_observation": "leave x (and y) out of the observation",
    "use_contact_forces": "observe and charge contact forces (Ant; Humanoid observes them anyway)",
    "contact_cost_weight": "weight of the squared contact forces, which are subtracted from the reward where charged",
    "contact_cost_range": "bounds of that charge",
    "contact_force_range": "bounds to which contact forces are clipped",
}
"""What the fields of `VelocityConfig` mean."""


def _levels() -> dict[str, VelocityConfig]:
    """Return the options of each walker and version, by `{walker}-v{version}`."""
    base = {
        "HalfCheetah": VelocityConfig(terminate_when_unhealthy=False),
        "Hopper": VelocityConfig(
            ctrl_cost_weight=1e-3,
            healthy_reward=1.0,
            healthy_z_range=(0.7, _INF),
            healthy_angle_range=(-0.2, 0.2),
            healthy_state_range=(-100.0, 100.0),
            reset_noise_scale=5e-3,
        ),
        "Swimmer": VelocityConfig(ctrl_cost_weight=1e-4, terminate_when_unhealthy=False),
        "Walker2d": VelocityConfig(
            ctrl_cost_weight=1e-3,
            healthy_reward=1.0,
            healthy_z_range=(0.8, 2.0),
            healthy_angle_range=(-1.0, 1.0),
            reset_noise_scale=5e-3,
        ),
        "Ant": VelocityConfig(
            velocity_kind="planar",
            ctrl_cost_weight=0.5,
            healthy_reward=1.0,
            healthy_z_range=(0.2, 1.0),
            contact_cost_weight=5e-4,
            contact_force_range=(-1.0, 1.0),
        ),
        "Humanoid": VelocityConfig(
            velocity_kind="planar",
            forward_reward_weight=1.25,
            healthy_reward=5.0,
            healthy_z_range=(1.0, 2.0),
            reset_noise_scale=1e-2,
            contact_cost_weight=5e-7,
            contact_cost_range=(-_INF, 10.0),
        ),
    }
    levels = {}
    for name, config in base.items():
        for version, threshold in enumerate(_THRESHOLDS[name]):
            kind = "planar" if (name, version) == ("Swimmer", 0) else config.velocity_kind
            levels[f"{name}-v{version}"] = dataclasses.replace(config, velocity_threshold=threshold, velocity_kind=kind)
    return levels


_THRESHOLDS: Mapping[str, tuple[float, float]] = {
    "HalfCheetah": (2.8795, 3.2096),
    "Hopper": (0.37315, 0.7402),
    "Swimmer": (0.04845, 0.2282),
    "Walker2d": (1.7075, 2.3415),
    "Ant": (2.5745, 2.6222),
    "Humanoid": (2.3475, 1.4149),
}
REWARD_THRESHOLDS: Mapping[str, float] = {
    "HalfCheetah": 4800.0, "Hopper": 3800.0, "Swimmer": 360.0, "Ant": 6000.0,
}  # fmt: skip
"""Returns at which Gymnasium counts a walker as solved; only for the registry."""


class VelocityTask(Task):
    name = "Velocity"
    summary = "Walk forward fast, but not faster than the threshold."
    has_goal = False
    levels = _levels()  # type: ignore[assignment]  # not a navigation task
    action_dtype = np.float32
    clips_actions = False
    config: VelocityConfig  # type: ignore[assignment]

    def __init__(self, config: VelocityConfig, robots: tuple[Robot, ...]) -> None:
        (walker,) = robots
        assert isinstance(walker, Walker)
        self.config, self.robots, self.walker = config, robots, walker
        if config.use_contact_forces and not walker.contact_cost:
            raise ValueError(f"use_contact_forces=True: {walker.name} has no contact forces; Ant and Humanoid have")
        self.v5 = config.rules == "v5"
        self.charges_contact = walker.contact_cost and (self.v5 or config.use_contact_forces)
        self._planar = walker.hidden == 2
        self.velocity: Array = np.zeros((0, 2))
        """Of the last step, (n, 2), m/s."""
        self.render_fps = round(1 / walker.dt)
        self.reward_terms = self._describe()  # type: ignore[misc]

    def _describe(self) -> dict[str, str]:
        config = self.config
        terms = {"forward": f"{config.forward_reward_weight:g} x mean x velocity over the control step, m/s"}
        if config.healthy_reward:
            when = "while healthy" if self.v5 else "in every step, the one that ends the episode included"
            terms["healthy"] = f"{config.healthy_reward:g} {when}"
        terms["control"] = f"minus {config.ctrl_cost_weight:g} x sum of squared actions"
        if self.charges_contact:
            terms["contact"] = f"minus {config.contact_cost_weight:g} x sum of squared contact forces"
        return terms

    # --- parts of the simulation --------------------------------------------------------------------------------------

    def cost_terms(self) -> Terms:
        limit, kind = self.config.velocity_threshold, _KINDS[self.config.velocity_kind]
        meaning = f"{kind} above {limit:g} m/s, by how much, m/s"
        return ((CostTerm("cost_velocity", meaning, lambda world, task: task.excess()), self),)

    def build_scene(self, terms: Terms) -> Scene:
        forces = self.walker.inertial_terms or self.charges_contact
        return build_walker_scene(self.walker, self.config.margins, self.v5, forces)

    def observer(self, scene: Scene) -> Observer:
        return WalkerObserver(scene, self)

    def starter(self, world: World, terms: Terms) -> NoisyStart:  # type: ignore[override]
        return NoisyStart(self, world)

    # --- the episode --------------------------------------------------------------------------------------------------

    def memory(self) -> list[tuple[Any, ...]]:
        fields: list[tuple[Any, ...]] = [("last_xy", "f8", (2,))]
        if self.walker.inertial_terms or self.charges_contact:
            nbody = build_walker_scene(self.walker, self.config.margins, self.v5, True).model.nbody
            fields.append(("forces", "f8", (nbody, 6)))
        return fields

    def begin(self, world: World, ids: Ids, keep_goal: NDArray[np.bool_]) -> None:
        self.remember(world, ids)

    def remember(self, world: World, ids: Ids) -> None:
        world.memory["last_xy"][ids] = self._measure(world)[ids]

    def reward(self, world: World) -> Array:
        config, memory = self.config, world.memory
        self.xy = xy = self._measure(world)
        self.velocity = (xy - memory["last_xy"]) / self.walker.dt
        memory["last_xy"] = xy
        if "forces" in (memory.dtype.names or ()):
            memory["forces"] = world.external_forces()
        self.healthy = self._healthy(world)
        always = config.terminate_when_unhealthy and not self.v5
        self.survive = config.healthy_reward * (np.ones(world.n) if always else self.healthy)
        self.forward = config.forward_reward_weight * self.velocity[:, 0]
        squares = np.square(world.ctrl if self.walker.charges_ctrl else self.action)
        self.control = config.ctrl_cost_weight * squares.sum(axis=1).astype(np.float64)
        costs = self.control
        if self.charges_contact:
            self.contact = self._contact_cost(world)
            costs = costs + self.contact
        return (self.forward + self.survive - costs)[:, None]

    def excess(self) -> Array:
        """Return by how much the last step's speed was above the threshold, (n, 1), m/s, 0 where it was not."""
        return np.maximum(self.speed() - self.config.velocity_threshold, 0.0)[:, None]

    def speed(self) -> Array:
        """Return the speed of the last step that is compared with the threshold, (n,), m/s."""
        x, y = self.velocity.T
        if self.config.velocity_kind == "planar":
            return np.asarray(np.sqrt(x**2 + y**2))
        return np.abs(x) if self.config.velocity_kind == "abs_x" else x

    def dead(self, world: World) -> NDArray[np.bool_]:
        return ~self.healthy if self.config.terminate_when_unhealthy else np.zeros(world.n, bool)

    def extras(self, world: World) -> dict[str, Array]:
        """Return what Gymnasium's environments report, and `velocity`, the speed compared with the threshold, m/s."""
        xy = world.qpos[:, :2] if self.v5 else self.xy
        info = {"velocity": self.speed(), "x_position": xy[:, 0], "x_velocity": self.velocity[:, 0]}
        if self._planar:
            info |= {"y_position": xy[:, 1], "y_velocity": self.velocity[:, 1]}
            info["distance_from_origin"] = np.sqrt((xy**2).sum(axis=1))
        values = {"forward": self.forward, "ctrl": -self.control}
        if self.config.healthy_reward:
            values["survive"] = self.survive
        if self.charges_contact:
            values["contact"] = -self.contact
        names = _V5_NAMES if self.v5 else _V4_NAMES[self.walker.name]
        info |= {name: values[key] for key, shown in names.items() if key in values for name in shown}
        if self.v5 and self.config.healthy_angle_range:
            info["z_distance_from_origin"] = world.qpos[:, 1] - world.scene.model.qpos0[1]
        return {key: value.copy() for key, value in info.items()}

    def markers(self, world: World, i: int, j: int, charged: bool) -> list[Marker]:
        """Return a ball over the torso: red where the step had a cost, paler green the faster the walker is."""
        from safety_gym.rendering import Marker

        slack = 1.0 - float(self.speed()[i]) / self.config.velocity_threshold if len(self.velocity) else 1.0
        green = np.array([0.2, 0.8, 0.2, 0.5]) * np.clip(slack, 0.0, 1.0)
        rgba = np.array([0.5, 0.0, 0.0, 0.5]) if charged else green
        return [Marker("sphere", world.agent_pos[i, j] + np.array([0.0, 0.0, 0.6]), np.full(3, 0.2), rgba)]

    # --- details ------------------------------------------------------------------------------------------------------

    def _measure(self, world: World) -> Array:
        """Return the position whose change is the velocity, (n, 2), m; y is 0 for walkers in a plane.

        Bodies and the centre of mass are where the last substep began, as in Gymnasium.
        """
        xy = np.zeros((world.n, 2))
        if self.walker.measured == "torso":
            xy[...] = world.agent_pos[:, 0, :2]
        elif self.walker.measured == "mass":
            mass = world.scene.model.body_mass[:, None]
            xy[...] = (mass * world.readout("xipos"))[..., :2].sum(axis=1) / mass.sum()
        else:
            xy[:, : self.walker.hidden] = world.qpos[:, : self.walker.hidden]
        return xy

    def _healthy(self, world: World) -> NDArray[np.bool_]:
        """Return where the walker is within its healthy ranges, (n,)."""
        config, walker = self.config, self.walker
        healthy = np.ones(world.n, bool)
        height = world.qpos[:, 2 if self._planar else 1]
        if config.healthy_z_range is not None:
            low, high = config.healthy_z_range
            inside = (low <= height) & (height <= high) if walker.closed_health else (low < height) & (height < high)
            healthy &= inside
        if config.healthy_angle_range is not None and not self._planar:
            low, high = config.healthy_angle_range
            healthy &= (low < world.qpos[:, 2]) & (world.qpos[:, 2] < high)
        if config.healthy_state_range is not None:
            low, high = config.healthy_state_range
            for values in (world.qpos[:, 2:], world.qvel):
                healthy &= ((low < values) & (values < high)).all(axis=1)
        return healthy

    def _contact_cost(self, world: World) -> Array:
        """Return the charge for contact forces, (n,): weight x sum of squares of `cfrc_ext`, both clipped."""
        forces = np.clip(world.memory["forces"].reshape(world.n, -1), *self.config.contact_force_range)
        cost = self.config.contact_cost_weight * np.square(forces).sum(axis=1)
        return np.asarray(np.clip(cost, *self.config.contact_cost_range))


_KINDS = {"x": "signed x velocity", "abs_x": "absolute x velocity", "planar": "speed in the xy plane"}
_V5_NAMES: Mapping[str, tuple[str, ...]] = {
    "forward": ("reward_forward",),
    "ctrl": ("reward_ctrl",),
    "survive": ("reward_survive",),
    "contact": ("reward_contact",),
}
_V4_NAMES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "HalfCheetah": {"forward": ("reward_run",), "ctrl": ("reward_ctrl",)},
    "Hopper": {},
    "Walker2d": {},
    "Swimmer": {"forward": ("reward_fwd", "forward_reward"), "ctrl": ("reward_ctrl",)},
    "Ant": {
        "forward": ("reward_forward", "forward_reward"),
        "ctrl": ("reward_ctrl",),
        "survive": ("reward_survive",),
        "contact": ("reward_contact",),
    },
    "Humanoid": {
        "forward": ("reward_linvel", "forward_reward"),
        "ctrl": ("reward_quadctrl",),
        "survive": ("reward_alive",),
        "contact": ("reward_contact",),
    },
}
"""Names of the reward's parts in `info`, as Gymnasium's environments have them."""


class NoisyStart:
    """Starts episodes at the model's pose with noise, drawn as Gymnasium does: positions first, then velocities."""

    def __init__(self, task: VelocityTask, world: World) -> None:
        self.task, self.world = task, world

    def reset(self, ids: Ids, layouts: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Put simulations `ids` at fresh starts; explicit layouts do not exist here."""
        if layouts is not None:
            raise LayoutError("options['layout']: velocity tasks have no layout; the start is drawn at random")
        world, scale = self.world, self.task.config.reset_noise_scale
        world.clear(ids)
        for i in ids:
            rng = world.layout_rng[i]
            world.qpos[i] += rng.uniform(-scale, scale, world.qpos.shape[1])
            if self.task.walker.normal_noise:
                world.qvel[i] += scale * rng.standard_normal(world.qvel.shape[1])
            else:
                world.qvel[i] += rng.uniform(-scale, scale, world.qvel.shape[1])
        if self.task.config.normalize_quaternion and world.scene.model.jnt_type[0] == mujoco.mjtJoint.mjJNT_FREE:
            world.qpos[ids, 3:7] /= np.linalg.norm(world.qpos[ids, 3:7], axis=1, keepdims=True)
        world.forward(ids)
        world.memory[ids] = np.zeros((), world.memory.dtype)
        self.task.begin(world, ids, np.zeros(len(ids), bool))

    def layout(self, i: int) -> dict[str, Any]:
        """Return an empty layout: nothing is placed."""
        return {}

    def move(self, name: str, xy: Sequence[float], ids: Ids) -> None:
        """Refuse: there is nothing to place."""
        raise ValueError(f"place({name!r}): velocity tasks have no objects, and the walker's start is drawn at random")


class WalkerObserver(Observer):
    """Positions, velocities and, for Humanoid, inertias and forces, as Gymnasium's environments observe them."""

    def __init__(self, scene: Scene, task: VelocityTask) -> None:
        super().__init__(task.config.observation_flatten)
        self._task, self._model = task, scene.model
        self._first = task.walker.hidden if task.config.exclude_current_positions_from_observation else 0
        self._parts: list[tuple[slice, str, int]] = []
        self._add_joints()
        if task.walker.inertial_terms:
            self._add_bodies("cinert", 10, "inertia about the centre of mass, and mass, kg m^2, kg m, kg")
            self._add_bodies("cvel", 6, "angular velocity, and velocity at the centre of mass, rad/s and m/s")
            hidden = 6 if task.v5 else 0
            self._add_part("qfrc_actuator", scene.model.nv - hidden, hidden, "actuator force on each joint, N m")
        if task.walker.inertial_terms or task.charges_contact:
            self._add_bodies("cfrc_ext", 6, "torque and force from contacts, N m and N")

    def _add_joints(self) -> None:
        """Add every coordinate: positions from the first observed one on, then velocities."""
        model, clip = self._model, self._task.walker.clip
        start = self.terms[-1].stop if self.terms else 0
        for j in range(model.njnt):
            for key, size, address, meaning in _positions(model, j):
                left = max(0, min(size, self._first - address))
                if size > left:
                    self._add(key, (size - left,), (-_INF, _INF), _shown(meaning, left))
        self._parts.append((slice(start, self.terms[-1].stop), "qpos", self._first))
        start = self.terms[-1].stop
        for j in range(model.njnt):
            for key, size, meaning in _velocities(model, j):
                note = f", clipped to +-{clip:g}" if clip else ""
                self._add(key, (size,), (-_INF, _INF), meaning + note)
        self._parts.append((slice(start, self.terms[-1].stop), "qvel", 0))

    def _add_bodies(self, name: str, width: int, meaning: str) -> None:
        """Add a quantity of every body, under the rules of v5 without the world's, which is always 0."""
        hidden = width if self._task.v5 else 0
        note = "" if hidden else ", the world's first (always 0)"
        self._add_part(name, width * self._model.nbody - hidden, hidden, f"{meaning}; {width} per body{note}")

    def _add_part(self, name: str, size: int, first: int, meaning: str) -> None:
        self._parts.append((self._add(name, (size,), (-_INF, _INF), meaning), name, first))

    def compute(self, world: World, hidden: Mapping[str, NDArray[np.bool_]], out: Array) -> None:
        clip, n = self._task.walker.clip, world.n
        for target, name, first in self._parts:
            values = world.memory["forces"] if name == "cfrc_ext" else world.readout(name)
            values = values.reshape(n, -1)[:, first:]
            if name == "qvel" and clip:
                values = np.clip(values, -clip, clip)
            elif name == "cfrc_ext" and not self._task.walker.inertial_terms:
                values = np.clip(values, *self._task.config.contact_force_range)
            out[:, 0, target] = values


def _positions(model: mujoco.MjModel, j: int) -> list[tuple[str, int, int, str]]:
    """Return key, size, address and meaning of the position coordinates of joint `j`."""
    name, address = model.joint(j).name, int(model.jnt_qposadr[j])
    if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE:
        return [
            (f"{name}_position", 3, address, "position x, y, z of the torso, m, world frame"),
            (f"{name}_orientation", 4, address + 3, "orientation of the torso, quaternion w, x, y, z"),
        ]
    if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_SLIDE:
        return [(f"{name}_position", 1, address, f"position of {name}, m, world frame")]
    return [(f"{name}_angle", 1, address, f"angle of {name}, rad")]


def _velocities(model: mujoco.MjModel, j: int) -> list[tuple[str, int, str]]:
    """Return key, size and meaning of the velocity coordinates of joint `j`."""
    name = model.joint(j).name
    if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE:
        return [
            (f"{name}_velocity", 3, "velocity of the torso, m/s, world frame"),
            (f"{name}_rotation", 3, "angular velocity of the torso, rad/s, torso frame"),
        ]
    if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_SLIDE:
        return [(f"{name}_velocity", 1, f"velocity of {name}, m/s")]
    return [(f"{name}_rotation", 1, f"angular velocity of {name}, rad/s")]


def _shown(meaning: str, left: int) -> str:
    """Name only the coordinates that are observed: the first `left` of x, y, z are not."""
    return meaning.replace("x, y, z", ", ".join("xyz"[left:])) if "x, y, z of" in meaning else meaning


assert set(WALKERS) == {key.partition("-")[0] for key in VelocityTask.levels}
