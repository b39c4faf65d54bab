"""Tasks: what is rewarded, when a goal is met and where the next one lies; levels as rows of a table.

A task is array code over `n` simulations and `a` robots. It decides; `World` reads and writes; `SafetyVectorEnv` loops.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from safety_gym import layout, vision
from safety_gym.costs import CostTerm, cost_terms, scenery_terms
from safety_gym.errors import unknown
from safety_gym.objects import CLASS_NAMES, KINDS, ObjectSpec, Rect, check_types
from safety_gym.observation import Observer, SensorObserver
from safety_gym.placement import Placement
from safety_gym.robots import Robot
from safety_gym.scene import Scene, SceneConfig, build_scene
from safety_gym.scenery import FLOORS, SCENERY, Scenery
from safety_gym.vision import Vision
from safety_gym.world import Array, Ids, World

if TYPE_CHECKING:
    from safety_gym.rendering import Marker


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """Where robots start."""

    keepout: float = 0.4
    placements: tuple[Rect, ...] | None = None
    locations: tuple[tuple[float, float], ...] = ()
    rot: float | None = None


@dataclass(frozen=True, kw_only=True)
class EpisodeConfig:
    """Options that every environment has; see `OPTION_HELP`."""

    num_steps: int | None = None
    reward_clip: float | None = None
    reward_exception: float = -10.0
    reward_orientation: bool = False
    reward_orientation_scale: float = 0.002
    constrain_indicator: bool = True
    randomize_layout: bool = True
    observation_flatten: bool = True
    vision: Vision | None = None
    action_noise: float = 0.0

    def validate(self) -> None:
        """Raise ValueError naming the option, its value and what is accepted."""
        check_types("", self)
        if not self.action_noise >= 0:
            raise ValueError(f"action_noise={self.action_noise!r}: expected a standard deviation >= 0")
        if self.reward_clip is not None and not self.reward_clip > 0:
            raise ValueError(f"reward_clip={self.reward_clip!r}: expected a bound > 0 or None")


@dataclass(frozen=True, kw_only=True)
class TaskConfig(EpisodeConfig):
    """Every option of a navigation task, with its default. Lengths in metres.

    `make(id, name=value)` sets a field; `make(id, hazards={"num": 12})` changes or adds objects. `OPTION_HELP` says
    what the fields mean, `ALIASES` lists the dotted names of the reference suite that are understood too.
    """

    objects: tuple[ObjectSpec, ...] = ()
    extents: Rect = (-2.0, -2.0, 2.0, 2.0)
    margin: float = 0.0
    agent: AgentConfig = AgentConfig()
    lidar_num_bins: int = 16
    lidar_max_dist: float | None = 3.0
    lidar_exp_gain: float = 1.0
    lidar_type: Literal["pseudo", "natural"] = "pseudo"
    lidar_alias: bool = True
    compass_shape: int = 2
    observe_positions: bool = False
    reward_clip: float | None = 10.0
    reward_factor: float = 1.0
    continue_goal: bool = True
    terminate_resample_failure: bool = True
    robot_version: str | None = None
    floor_size: tuple[float, float, float] = (3.5, 3.5, 0.1)
    floor_type: str = "mat"
    scenery: str | None = None
    static_geoms_contact_cost: float | None = None

    def validate(self) -> None:
        super().validate()
        check_types("agent.", self.agent)
        if self.lidar_type not in ("pseudo", "natural"):
            raise ValueError(f"lidar_type={self.lidar_type!r}: expected 'pseudo' or 'natural'")
        if self.lidar_num_bins < 1:
            raise ValueError(f"lidar_num_bins={self.lidar_num_bins!r}: expected a whole number > 0")
        if self.lidar_max_dist is not None and not self.lidar_max_dist > 0:
            raise ValueError(f"lidar_max_dist={self.lidar_max_dist!r}: expected a length > 0 or None")
        if self.compass_shape not in (2, 3):
            raise ValueError(f"compass_shape={self.compass_shape!r}: expected 2 or 3")
        if self.margin < 0:
            raise ValueError(f"margin={self.margin!r}: expected a distance >= 0 in metres")
        if self.agent.keepout < 0:
            raise ValueError(f"agent.keepout={self.agent.keepout!r}: expected a radius >= 0 in metres")
        if self.floor_type not in FLOORS:
            raise unknown("floor_type", self.floor_type, FLOORS)
        if self.scenery is not None and self.scenery not in SCENERY:
            raise unknown("scenery", self.scenery, SCENERY)
        for obj in self.objects:
            obj.validate()


OPTION_HELP: Mapping[str, str] = {
    "extents": "rectangle (xmin, ymin, xmax, ymax) in which things are placed, m",
    "margin": "extra distance between placed things, m",
    "agent": "where the robot starts",
    "agent.keepout": "radius around the robot's start that is kept clear of other things, m",
    "agent.placements": "rectangles, one of which the robot starts in; None: anywhere in the extents",
    "agent.locations": "fixed starts (x, y), m, one per robot; they go before placements",
    "agent.rot": "heading at the start, rad; None: uniformly random",
    "num_steps": "also truncate after so many steps",
    "lidar_num_bins": "directions of each lidar",
    "lidar_max_dist": "range at which a lidar reads 0, m; None: exponential closeness",
    "lidar_exp_gain": "decay of the exponential closeness, 1/m",
    "lidar_type": "'pseudo' (object centres, sees through) or 'natural' (rays)",
    "lidar_alias": "share a reading with the neighbouring bins, so that it varies smoothly",
    "compass_shape": "2 or 3 components of compasses",
    "observe_positions": "also observe, after all else, where the objects are in the robot's frame, and the robot",
    "reward_clip": "bound of the reward of a step; None: none",
    "reward_factor": "scale of the reward of the Circle and Run tasks",
    "reward_exception": "reward of the step in which a simulation became unstable",
    "reward_orientation": "also reward an upright robot",
    "reward_orientation_scale": "weight of that reward",
    "constrain_indicator": "costs are 0 or 1 instead of their raw values",
    "randomize_layout": "draw a layout at each reset; False: always the one of seed 0",
    "continue_goal": "a goal reached is replaced by a new one; False: it ends the episode",
    "terminate_resample_failure": "end the episode where no place for a new goal is found; False: an error",
    "observation_flatten": "one flat vector; False: a dict by key",
    "vision": "camera frames in the observation: True, 'fast', a mapping or a Vision; None: none",
    "action_noise": "standard deviation of Gaussian noise added to the controls",
    "robot_version": "an older version of the robot, where one exists; None: the newest",
    "floor_size": "half-lengths and thickness of the floor that is drawn, m",
    "floor_type": "how the floor looks",
    "scenery": "static surroundings; None: none",
    "static_geoms_contact_cost": "raw cost of a contact point with the surroundings; None: they cost nothing",
}
"""What the fields of `TaskConfig` and `AgentConfig` mean."""

ALIASES: Mapping[str, str] = {
    "placements_conf.extents": "extents",
    "placements_conf.margin": "margin",
    "lidar_conf.num_bins": "lidar_num_bins",
    "lidar_conf.max_dist": "lidar_max_dist",
    "lidar_conf.exp_gain": "lidar_exp_gain",
    "lidar_conf.type": "lidar_type",
    "lidar_conf.alias": "lidar_alias",
    "compass_conf.shape": "compass_shape",
    "reward_conf.reward_clip": "reward_clip",
    "reward_conf.reward_exception": "reward_exception",
    "reward_conf.reward_orientation": "reward_orientation",
    "reward_conf.reward_orientation_scale": "reward_orientation_scale",
    "cost_conf.constrain_indicator": "constrain_indicator",
    "mechanism_conf.randomize_layout": "randomize_layout",
    "mechanism_conf.continue_goal": "continue_goal",
    "mechanism_conf.terminate_resample_failure": "terminate_resample_failure",
    "floor_conf.size": "floor_size",
    "floor_conf.type": "floor_type",
}


def apply_options(config: EpisodeConfig, options: Mapping[str, Any]) -> EpisodeConfig:
    """Return `config` changed by user options: fields, dotted aliases, and for navigation tasks objects.

    Raises ValueError for unknown names, with the closest known ones.
    """
    options = vision.read_options(options)
    if isinstance(config, TaskConfig):
        return _apply_navigation_options(config, options)
    known = {f.name for f in dataclasses.fields(config)}
    aliases = {theirs: ours for theirs, ours in ALIASES.items() if ours in known}
    for name in options:
        if aliases.get(name, name) not in known:
            raise unknown("option", name, [*known, *aliases])
    result = dataclasses.replace(config, **{aliases.get(k, k): _tupled(v) for k, v in options.items()})
    result.validate()
    return result


def _apply_navigation_options(config: TaskConfig, options: Mapping[str, Any]) -> TaskConfig:
    """Take fields and aliases, objects by kind or class name, and what concerns the robots' start."""
    objects = {obj.kind: obj for obj in config.objects}
    fields: dict[str, Any] = {}
    agent: dict[str, Any] = {}
    known = {f.name for f in dataclasses.fields(config)} - {"objects", "agent"}
    agent_fields = {f.name for f in dataclasses.fields(AgentConfig)}
    for name, value in options.items():
        target = ALIASES.get(name, name)
        if target in known:
            fields[target] = _tupled(value)
        elif name in KINDS or name in CLASS_NAMES:
            cls = KINDS.get(name) or CLASS_NAMES[name]
            _change_object(objects, cls, name, value)
        elif name == "agent" and isinstance(value, Mapping):
            agent.update(value)
        elif name.startswith("agent.") and name[6:] in agent_fields:
            agent[name[6:]] = value
        else:
            raise unknown("option", name, [*known, *KINDS, *ALIASES, *(f"agent.{f}" for f in agent_fields)])
    for name in agent:
        if name not in agent_fields:
            raise unknown("agent option", name, agent_fields)
    new_agent = dataclasses.replace(config.agent, **{k: _tupled(v) for k, v in agent.items()})
    result = dataclasses.replace(config, objects=tuple(objects.values()), agent=new_agent, **fields)
    result.validate()
    return result


def _change_object(objects: dict[str, ObjectSpec], cls: type[ObjectSpec], name: str, value: Any) -> None:
    if value is None:
        objects.pop(cls.kind, None)
        return
    if isinstance(value, cls):
        objects[cls.kind] = value
        return
    if not isinstance(value, Mapping):
        raise ValueError(f"{name}={value!r}: expected a mapping of its fields, e.g. {{'num': 4}}, or None to remove it")
    allowed = {f.name for f in dataclasses.fields(cls)}
    for field in value:
        if field not in allowed:
            raise unknown(f"field of {cls.kind}", field, allowed)
    changes = {k: _tupled(v) for k, v in value.items()}
    base = objects.get(cls.kind)
    objects[cls.kind] = dataclasses.replace(base, **changes) if base else cls(**changes)


def _tupled(value: Any) -> Any:
    """Turn lists and arrays into (nested) tuples: configurations are hashable."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return tuple(_tupled(v) for v in value) if isinstance(value, list | tuple) else value


Terms = Sequence[tuple[CostTerm, Any]]
"""Cost terms, each with what charges it."""


class Task:
    """Base of all tasks. Subclasses fix the class variables and write `reward` and, where there are goals, the rest.

    What is not overridden is a navigation task: an arena with objects, sensors and lidars, sampled layouts.
    """

    name: ClassVar[str]
    levels: ClassVar[Mapping[str, TaskConfig]]
    """By the suffix of the id: '0', '1', '2' and 'Base' (objects to be given by the user)."""
    required: ClassVar[tuple[str, ...]] = ()
    """Kinds without which the task makes no sense."""
    max_episode_steps: ClassVar[int] = 1000
    has_goal: ClassVar[bool] = True
    summary: ClassVar[str] = ""
    reward_terms: ClassVar[Mapping[str, str]] = {}
    touching: ClassVar[tuple[str, ...]] = ()
    """Kinds whose contacts the task itself needs, besides those that cost."""
    derived: ClassVar[tuple[str, ...]] = ()
    """Kinds whose place follows from others; an explicit layout may leave them out."""
    action_dtype: ClassVar[type[np.floating[Any]]] = np.float64
    clips_actions: ClassVar[bool] = True
    """False where the reward sees the action as it was given, `Task.action` (n, u)."""
    action: Array
    render_fps: int = 30

    def __init__(self, config: TaskConfig, robots: tuple[Robot, ...]) -> None:
        self.config = config
        self.robots = tuple(robot.version(config.robot_version) for robot in robots)
        present = {obj.kind for obj in config.objects}
        for kind in self.required:
            if kind not in present:
                raise ValueError(
                    f"task {self.name}: needs {kind!r}; pass e.g. {kind}={{}} "
                    f"(or config={{'{KINDS[kind].__name__}': {{}}}})"
                )

    # --- parts of the simulation --------------------------------------------------------------------------------------

    def cost_terms(self) -> Terms:
        """Return what is charged, in the order of `info`."""
        config = self.config
        return (*cost_terms(config.objects), *scenery_terms(config.scenery, config.static_geoms_contact_cost))

    def build_scene(self, terms: Terms) -> Scene:
        """Return the compiled scene; `terms` say which contacts are counted."""
        return build_scene(self.scene_config(terms))

    def scene_config(self, terms: Terms) -> SceneConfig:
        """Return what the scene is compiled from."""
        config = self.config
        contacts = {spec.kind for term, spec in terms if term.contact} | set(self.touching)
        return SceneConfig(
            robots=self.robots,
            objects=config.objects,
            floor_size=config.floor_size,
            floor_type=config.floor_type,
            scenery=config.scenery,
            scenery_contacts=Scenery.kind in contacts,
            contacts=tuple(o.kind for o in config.objects if o.kind in contacts and o.num),
            ray_lidar=config.lidar_type == "natural",
        )

    def observer(self, scene: Scene) -> Observer:
        """Return what computes the observations."""
        return SensorObserver(scene, self.config)

    def starter(self, world: World, terms: Terms) -> Placement:
        """Return what starts episodes."""
        return Placement(self, world, terms)

    def allowed_places(self, scene: Scene, spec: ObjectSpec) -> Callable[[float, float], bool] | None:
        """Return a test of the places (x, y) at which objects of a kind may lie besides their rectangles; None: all."""
        return None

    # --- the episode --------------------------------------------------------------------------------------------------

    def memory(self) -> list[tuple[Any, ...]]:
        """Return the dtype fields of the task's memory, one record per simulation."""
        return []

    def begin(self, world: World, ids: Ids, keep_goal: NDArray[np.bool_]) -> None:
        """Start an episode on a placed world; `keep_goal (len(ids),)` is true where an explicit layout set the goal."""

    def remember(self, world: World, ids: Ids) -> None:
        """Set the memory that follows from the state (last distances), so that nothing jumps."""

    def reward(self, world: World) -> Array:
        """Return the reward of the step just made, (n, a), and update the memory."""
        raise NotImplementedError

    def achieved(self, world: World) -> NDArray[np.bool_]:
        """Return which robots meet their goal, (n, a)."""
        return np.zeros((world.n, world.nagent), bool)

    def dead(self, world: World) -> NDArray[np.bool_]:
        """Return where a robot is not alive any more, which ends the episode, (n,)."""
        floor = self.robots[0].alive_above
        if floor is None:
            return np.zeros(world.n, bool)
        return np.asarray((world.agent_pos[..., 2] <= floor).any(axis=1))

    def next_goal(self, world: World, ids: Ids) -> NDArray[np.bool_]:
        """Give simulations a new goal; return where none could be placed, (len(ids),)."""
        raise NotImplementedError

    def after_cost(self, world: World) -> None:
        """Advance timers; runs after costs and before the goal test."""

    def hide_lidar(self, world: World) -> Mapping[str, NDArray[np.bool_]]:
        """Return kinds whose lidar reads zero, with the simulations concerned (n,)."""
        return {}

    def extras(self, world: World) -> dict[str, Array]:
        """Return further entries of `info` by key, (n,)."""
        return {}

    def opacity(self, world: World) -> Mapping[str, Array]:
        """Return kinds that pictures show more or less transparent than their `alpha` says, with alphas (n,)."""
        return {}

    def markers(self, world: World, i: int, j: int, charged: bool) -> list[Marker]:
        """Return what pictures of simulation `i` show about robot `j`; `charged` if its last step had a cost."""
        from safety_gym.rendering import cost_marker

        return [cost_marker(world.agent_pos[i, j])] if charged else []

    # --- shared by tasks with a goal zone -----------------------------------------------------------------------------

    plan: layout.Plan
    """Set by the environment: entities of the scene, robots first."""

    def resample_goal(self, world: World, ids: Ids, kind: str = "goal") -> NDArray[np.bool_]:
        """Draw the goal zone again clear of everything; return where that failed, (len(ids),)."""
        j = world.nagent + world.scene.slots[kind].start
        rngs = [world.layout_rng[i] for i in ids]
        xy, found = layout.resample(rngs, self.plan, j, world.placed_xy(ids))
        world.move_zone(ids[found], kind, xy[found])
        return ~found


def planar_distance(a: Array, b: Array) -> Array:
    """Return the xy distance between points (..., >=2)."""
    dx, dy = a[..., 0] - b[..., 0], a[..., 1] - b[..., 1]
    return np.asarray(np.sqrt(dx * dx + dy * dy))


def spatial_distance(a: Array, b: Array) -> Array:
    """Return the distance between points (..., 3)."""
    d = a - b
    return np.asarray(np.sqrt((d * d).sum(axis=-1)))


def square(half: float) -> Rect:
    """Return the square of half-width `half` around the origin."""
    return (-half, -half, half, half)
