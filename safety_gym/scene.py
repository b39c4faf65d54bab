"""Scenes: arena + robots + objects assembled with MjSpec, compiled once, with every address looked up here.

A scene exists in two forms with the same joints in the same order:

* the *physics* model leaves out zones (hazards, goals, ...): they touch nothing, and as bodies they would cost a fifth
  of the step. Their poses live in the simulation's user data, so that they belong to its state row all the same;
* the *drawing* model has them as mocap bodies; `Scene.pose_drawing` copies a row into its MjData.

Scenes with ray lidar are compiled with the zones as bodies, since rays must find them.
"""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from safety_gym import scenery
from safety_gym.looks import Geom, Inertia
from safety_gym.objects import TEAM_RGB, Mobility, ObjectSpec, Sigwalls
from safety_gym.robots import Robot

SUBSTEPS = 10
"""Physics steps per environment step."""

_GEOM_TYPE = {
    "box": mujoco.mjtGeom.mjGEOM_BOX,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
}
_FOUND = 1  # data bits of a contact sensor: only the number of contact points
_SLEEP_TOLERANCE = 1e-6
_ARENA_BYTES = 2 << 20
_ARENA_BYTES_PER_BODY = 1 << 18
"""MuJoCo's arena: 8 times the most that was measured (145 KiB with ten vases, 1 MiB in a pile-up of robots)."""


def assets_dir() -> Path:
    """Return the folder of MJCF files: inside the installed package, or `envs/assets` of a checkout."""
    package = Path(__file__).resolve().parent
    for folder in (package / "assets", package.parent / "envs" / "assets"):
        if (folder / "arena.xml").is_file():
            return folder
    raise FileNotFoundError(
        f"the MJCF assets of safety_gym are neither in {package / 'assets'} nor in {package.parent / 'envs/assets'}; "
        "the installation is incomplete: reinstall it with pip"
    )


@dataclass(frozen=True)
class SceneConfig:
    """Everything the compiled model depends on; equal configurations share one model."""

    robots: tuple[Robot, ...]
    objects: tuple[ObjectSpec, ...]
    floor_size: tuple[float, float, float] = (3.5, 3.5, 0.1)
    floor_type: str = "mat"
    scenery: str | None = None
    contacts: tuple[str, ...] = ()
    """Kinds whose contacts with the robots are counted by sensors."""
    scenery_contacts: bool = False
    """Whether contacts of the robots with the scenery are counted."""
    robot_contacts: bool = False
    """Whether contacts between robots are counted."""
    touch_geoms: tuple[tuple[str, ...], ...] = ()
    """Per robot the names of the geoms whose contacts count as its own; empty: all of its geoms."""
    ray_lidar: bool = False
    substeps: int = SUBSTEPS
    arena: bool = True
    """False for a model that brings its own floor and cameras."""
    lagged: bool = False
    """Read-outs stay as the last substep left them, which is where it began; else they follow the state."""
    readouts: tuple[str, ...] = ()
    """Arrays of the engine that are read besides the usual ones; see `World.readout`."""
    keep_data: bool = False
    """Every simulation keeps the engine's complete data, for `World.external_forces`."""

    @property
    def sleep(self) -> bool:
        """True where resting bodies may sleep. Sleeping is silently wrong with RK4."""
        return self.integrator != "RK4"

    @property
    def integrator(self) -> str:
        return self.robots[0].integrator

    @property
    def timestep(self) -> float:
        return self.robots[0].timestep


@dataclass(frozen=True)
class Slot:
    """Where the objects of one kind live: a contiguous block of each array; `None` where they do not."""

    spec: ObjectSpec
    start: int
    """First column of the kind in `World.object_xy`."""
    userdata: int | None = None
    """Zones: (x, y, yaw) per object. Driven: the centre (x, y) per object."""
    mocap: int | None = None
    qpos: int | None = None
    dof: int | None = None
    contact: int | None = None
    """First of `a * c * num` contact counts in `sensordata`, agent by agent, for each of its `c` counted parts."""

    @property
    def num(self) -> int:
        return self.spec.num

    @property
    def stop(self) -> int:
        return self.start + self.spec.num


@dataclass(frozen=True)
class Scene:
    """A compiled scene and its addresses."""

    config: SceneConfig
    model: mujoco.MjModel
    slots: dict[str, Slot]
    """By kind, in placement order; kinds without a pose of their own (markers) are absent."""
    nobject: int
    agent_body: NDArray[np.intp]
    agent_root: NDArray[np.intp]
    """Mocap index of each planar robot's root, -1 for robots on a free joint."""
    agent_qpos: NDArray[np.intp]
    agent_dof: NDArray[np.intp]
    agent_nq: int
    agent_nv: int
    sensor_adr: dict[str, NDArray[np.intp]]
    """Sensor name (without prefix) -> first address for each agent."""
    agent_linvel: NDArray[np.intp] | None
    """Address of the world linear velocity of each agent's body origin."""
    meetings: tuple[tuple[int, int], ...] = ()
    """Which two robots each sensor of contacts between robots is about; their readings follow each other."""
    meeting_adr: int = 0
    """Address of the first of them."""
    world_adr: int | None = None
    """Address of the first of `a * c` contact counts with floor and scenery, agent by agent, followed by as many with
    the floor alone; None: they are not counted."""

    @property
    def nagent(self) -> int:
        return len(self.config.robots)

    @functools.cached_property
    def drawing(self) -> mujoco.MjModel:
        """The model with every object as a body, for pictures. Compiled at first use."""
        if not self.config.arena:
            return self.model
        return _assemble(self.config, drawing=True)[0].compile()

    @functools.cached_property
    def _zone_mocap(self) -> dict[str, NDArray[np.intp]]:
        ids = {}
        for kind, slot in self.slots.items():
            if slot.spec.mobility is Mobility.ZONE:
                names = slot.spec.names()
                ids[kind] = np.array([self.drawing.body_mocapid[self.drawing.body(n).id] for n in names], np.intp)
        return ids

    def pose_drawing(self, data: mujoco.MjData, source: mujoco.MjData) -> None:
        """Pose `data` of the drawing model as `source` of the physics model, kinematics and cameras included."""
        data.qpos[:] = source.qpos
        data.qvel[:] = source.qvel
        data.time = source.time
        nmocap = self.model.nmocap
        data.mocap_pos[:nmocap] = source.mocap_pos
        data.mocap_quat[:nmocap] = source.mocap_quat
        for kind, ids in self._zone_mocap.items():
            slot = self.slots[kind]
            assert slot.userdata is not None
            poses = source.userdata[slot.userdata : slot.userdata + 3 * slot.num].reshape(-1, 3)
            data.mocap_pos[ids, :2] = poses[:, :2]
            data.mocap_quat[ids] = yaw_quat(poses[:, 2])
        mujoco.mj_kinematics(self.drawing, data)
        mujoco.mj_comPos(self.drawing, data)
        mujoco.mj_camlight(self.drawing, data)

    def paint(self, opacity: Mapping[str, float]) -> None:
        """Show kinds of object with an alpha in [0, 1] in the pictures drawn from now on, of whichever simulation."""
        for kind, alpha in opacity.items():
            self.drawing.mat_rgba[self.drawing.material(kind).id, 3] = alpha


def yaw_quat(yaw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return quaternions (w, x, y, z), (..., 4), of rotations by `yaw` (...,) about +z."""
    quat = np.zeros((*np.shape(yaw), 4))
    quat[..., 0] = np.cos(yaw / 2)
    quat[..., 3] = np.sin(yaw / 2)
    return quat


@functools.lru_cache(maxsize=64)
def build_scene(config: SceneConfig) -> Scene:
    """Compile a scene and look up its addresses; equal configurations share the result."""
    spec, prefixes = _assemble(config)
    model = spec.compile()
    if config.sleep and model.opt.integrator == mujoco.mjtIntegrator.mjINT_RK4:
        raise AssertionError("sleeping islands with RK4 give wrong physics")
    return _index(config, model, prefixes)


@functools.cache
def touching_geoms(robot: Robot) -> tuple[str, ...]:
    """Return the names of a robot's geoms that can touch something, in the order of the model."""
    model = mujoco.MjSpec.from_file(os.fspath(assets_dir() / robot.file)).compile()
    found = np.flatnonzero(model.geom_contype | model.geom_conaffinity)
    return tuple(model.geom(int(i)).name for i in found)


def agent_prefixes(nagent: int) -> tuple[str, ...]:
    """Return the name prefix of each robot: `agent/` for one, `agent0/`, `agent1/`, ... for several."""
    return ("agent/",) if nagent == 1 else tuple(f"agent{i}/" for i in range(nagent))


# --- assembly ---------------------------------------------------------------------------------------------------------


def _assemble(config: SceneConfig, drawing: bool = False) -> tuple[mujoco.MjSpec, tuple[str, ...]]:
    folder = assets_dir()
    spec = mujoco.MjSpec.from_file(os.fspath(folder / "arena.xml"))
    spec.geom("floor").size = config.floor_size
    spec.geom("floor").conaffinity = config.robots[0].floor_conaffinity
    spec.material("mat").texrepeat = [10 * config.floor_size[0] / 3.5, 10 * config.floor_size[1] / 3.5]
    spec.option.timestep = config.timestep
    spec.option.integrator = getattr(mujoco.mjtIntegrator, f"mjINT_{config.integrator.upper()}")
    if config.sleep:
        spec.option.enableflags |= mujoco.mjtEnableBit.mjENBL_SLEEP
        spec.option.sleep_tolerance = _SLEEP_TOLERANCE
    if drawing:
        scenery.lay_floor(spec, config.floor_type, folder)
    prefixes = agent_prefixes(len(config.robots))
    team = itertools.cycle(TEAM_RGB.values())
    for robot, prefix, rgb in zip(config.robots, prefixes, team, strict=False):
        child = mujoco.MjSpec.from_file(os.fspath(folder / robot.file))
        if robot.edit is not None:
            robot.edit(child)
        if len(prefixes) > 1:
            _paint(child, rgb)
        if not drawing:
            _remove_decoration(child)
        spec.attach(child, prefix=prefix, frame=spec.worldbody.add_frame())
        _add_track_camera(spec, prefix)
    # Bodies that move come before the fixed ones, zones last: all forms of the scene share joint and mocap order.
    order = {Mobility.FREE: 0, Mobility.DRIVEN: 1, Mobility.SOLID: 2, Mobility.MARK: 3, Mobility.ZONE: 4}
    for obj in sorted(config.objects, key=lambda o: order[o.mobility]):
        if obj.mobility is not Mobility.ZONE or drawing or config.ray_lidar:
            _add_object(spec, obj, 0 if drawing else _ray_group(obj))
            if drawing:
                scenery.dress(spec, obj, folder)
    if config.scenery is not None:
        scenery.attach(spec, config.scenery, folder, drawing)
    for kind in config.contacts:
        names = next(o for o in config.objects if o.kind == kind).names()
        _add_contact_sensors(spec, config, prefixes, [(mujoco.mjtObj.mjOBJ_BODY, name) for name in names])
    if config.robot_contacts:
        _add_meeting_sensors(spec, config, prefixes)
    if config.scenery_contacts:
        # The scenery is part of the world's body, and nothing else is but the floor.
        _add_contact_sensors(spec, config, prefixes, [(mujoco.mjtObj.mjOBJ_BODY, "world")])
        _add_contact_sensors(spec, config, prefixes, [(mujoco.mjtObj.mjOBJ_GEOM, "floor")])
    for prefix in prefixes:
        spec.add_sensor(
            name=f"{prefix}linvel",
            type=mujoco.mjtSensor.mjSENS_FRAMELINVEL,
            objtype=mujoco.mjtObj.mjOBJ_XBODY,
            objname=f"{prefix}agent",
        )
    spec.nuserdata = sum(
        o.num * (3 if o.mobility is Mobility.ZONE else 2)
        for o in config.objects
        if o.mobility in (Mobility.ZONE, Mobility.DRIVEN)
    )
    moving = sum(o.num for o in config.objects if o.mobility in (Mobility.FREE, Mobility.DRIVEN))
    spec.memory = _ARENA_BYTES + _ARENA_BYTES_PER_BODY * (moving + 4 * len(config.robots))
    return spec, prefixes


def _remove_decoration(robot: mujoco.MjSpec) -> None:
    """Leave out what is only seen: posing it would cost up to 7 % of the step."""
    for geom in list(robot.geoms):
        if not (geom.contype or geom.conaffinity):
            robot.delete(geom)


def _paint(robot: mujoco.MjSpec, rgb: tuple[float, float, float]) -> None:
    """Give what has a colour the robot's own, so that robots can be told apart; black and white stay."""
    for material in robot.materials:
        if max(material.rgba[:3]) - min(material.rgba[:3]) > 0.1:
            material.rgba = [*rgb, material.rgba[3]]


def _add_track_camera(spec: mujoco.MjSpec, prefix: str) -> None:
    """Follow the robot from (0, 2, 2), 45 degrees down towards -y, without turning with it."""
    spec.body(f"{prefix}agent").add_camera(
        name=f"{prefix}track",
        mode=mujoco.mjtCamLight.mjCAMLIGHT_TRACK,
        pos=[0.0, 2.0, 2.0],
        xyaxes=[-1.0, 0.0, 0.0, 0.0, -1.0, 1.0],
    )


def _ray_group(obj: ObjectSpec) -> int:
    """Return the geom group that rays look for. MuJoCo has six; kinds of a higher group are invisible to ray lidar."""
    return obj.group if obj.group < mujoco.mjNGROUP else 0


def _add_object(spec: mujoco.MjSpec, obj: ObjectSpec, group: int) -> None:
    material = spec.add_material(name=obj.kind, rgba=[*obj.rgb, obj.alpha], specular=0.3, shininess=0.4)
    material.emission = 0.3 if obj.mobility is Mobility.ZONE else 0.0
    touchable = obj.mobility not in (Mobility.ZONE, Mobility.MARK)
    for i, name in enumerate(obj.names()):
        mocap = obj.mobility in (Mobility.ZONE, Mobility.SOLID)
        body = spec.worldbody.add_body(name=name, mocap=mocap, pos=[0.0, 0.0, obj.z])
        if isinstance(obj, Sigwalls):
            x, y, yaw = obj.poses()[i]
            body.pos = [x, y, obj.z]
            body.quat = yaw_quat(np.array(yaw))
        if obj.mobility in (Mobility.FREE, Mobility.DRIVEN):
            body.add_freejoint(name=name)
        for geom in obj.geoms():
            _add_geom(body, obj, geom, touchable, group)
        if obj.look is not None and obj.look.inertia is not None:
            _weigh(body, obj.look.inertia, obj.density)
        if obj.mobility is Mobility.DRIVEN:
            _add_driver(spec, obj, name, group)


def _add_geom(body: mujoco.MjsBody, obj: ObjectSpec, geom: Geom, touchable: bool, group: int) -> None:
    body.add_geom(
        type=_GEOM_TYPE[geom.type],
        size=geom.size,
        pos=geom.pos,
        density=obj.density,
        condim=6,
        contype=int(touchable),
        conaffinity=int(touchable),
        group=group,
        material=obj.kind,
    )


def _weigh(body: mujoco.MjsBody, inertia: Inertia, density: float) -> None:
    """Give a body another mass and inertia than its geoms have."""
    body.explicitinertial = True
    body.mass, body.ipos = density * inertia.mass, inertia.center
    body.inertia = [density * moment for moment in inertia.moments]


def _add_driver(spec: mujoco.MjSpec, obj: ObjectSpec, name: str, group: int) -> None:
    """Weld a driven body to a mocap body.

    The relative pose is the constant (0, 0, z): the layout centre goes into the driver's position, so that nothing of
    the layout is stored in the model.
    """
    driver = spec.worldbody.add_body(name=f"{name}_driver", mocap=True)
    for geom in obj.geoms():
        driver.add_geom(
            type=_GEOM_TYPE[geom.type],
            size=geom.size,
            pos=geom.pos,
            contype=0,
            conaffinity=0,
            group=group,
            rgba=[*obj.rgb, 0.1],
        )
    weld = spec.add_equality(
        type=mujoco.mjtEq.mjEQ_WELD,
        objtype=mujoco.mjtObj.mjOBJ_BODY,
        name1=f"{name}_driver",
        name2=name,
        solref=[0.02, 1.5],
    )
    data = np.zeros(weld.data.shape)
    data[10] = 1.0  # torque scale; the compiler fills in the relative pose of the initial configuration
    weld.data = data


_Side = tuple[mujoco.mjtObj, str]
"""One side of a contact sensor: a subtree, a body or a geom, by name."""


def _add_contact_sensors(
    spec: mujoco.MjSpec, config: SceneConfig, prefixes: Sequence[str], others: Sequence[_Side]
) -> None:
    """Count the contacts of each robot with each of `others`."""
    for j, prefix in enumerate(prefixes):
        for i, side in enumerate(_robot_sides(config, prefixes, j)):
            for other in others:
                end = f"/{i}" if i else ""
                _add_contact_sensor(spec, f"{prefix}touch/{other[1]}{end}", side, other)


def _add_meeting_sensors(spec: mujoco.MjSpec, config: SceneConfig, prefixes: Sequence[str]) -> None:
    """Count the contacts between each two robots."""
    for number, (_, first, second) in enumerate(_meetings(config, prefixes)):
        _add_contact_sensor(spec, f"{prefixes[0]}touch/meeting{number}", first, second)


def _meetings(config: SceneConfig, prefixes: Sequence[str]) -> Iterator[tuple[tuple[int, int], _Side, _Side]]:
    """Yield which robots each sensor between robots is about, and its sides."""
    for i, j in itertools.combinations(range(len(prefixes)), 2):
        for first, second in itertools.product(_robot_sides(config, prefixes, i), _robot_sides(config, prefixes, j)):
            yield (i, j), first, second


def _robot_sides(config: SceneConfig, prefixes: Sequence[str], j: int) -> list[_Side]:
    """Return what counts as touched by robot `j`: its body with all that hangs on it, or the geoms of the scene's."""
    if config.touch_geoms:
        return [(mujoco.mjtObj.mjOBJ_GEOM, name) for name in config.touch_geoms[j]]
    return [(mujoco.mjtObj.mjOBJ_XBODY, f"{prefixes[j]}agent")]


def _add_contact_sensor(spec: mujoco.MjSpec, name: str, side: _Side, other: _Side) -> None:
    spec.add_sensor(
        name=name,
        type=mujoco.mjtSensor.mjSENS_CONTACT,
        objtype=side[0],
        objname=side[1],
        reftype=other[0],
        refname=other[1],
        intprm=[_FOUND, 0, 1],
    )


# --- addresses --------------------------------------------------------------------------------------------------------


def _index(config: SceneConfig, model: mujoco.MjModel, prefixes: tuple[str, ...]) -> Scene:
    bodies = np.array([model.body(f"{p}agent").id for p in prefixes], np.intp)
    joints = model.body_jntadr[bodies]
    last = int(_subtree(model, int(bodies[0])).max())
    nq, nv = _joint_sizes(model, int(bodies[0]), last)
    sensors = {
        name.removeprefix(prefixes[0]): np.array([_sensor(model, p + name.removeprefix(prefixes[0])) for p in prefixes])
        for name in (model.sensor(i).name for i in range(model.nsensor))
        if name.startswith(prefixes[0]) and "touch/" not in name
    }
    slots, start, userdata = {}, 0, 0
    for obj in config.objects:
        if obj.mobility is Mobility.MARK:
            continue
        slot = _slot(model, obj, start, userdata, prefixes, obj.kind in config.contacts, config.ray_lidar)
        if slot.userdata is not None:
            userdata += obj.num * (3 if obj.mobility is Mobility.ZONE else 2)
        slots[obj.kind] = slot
        start += obj.num
    return Scene(
        config=config,
        model=model,
        slots=slots,
        nobject=start,
        agent_body=bodies,
        agent_root=np.array([_root(model, robot, p) for robot, p in zip(config.robots, prefixes, strict=True)]),
        agent_qpos=model.jnt_qposadr[joints].astype(np.intp),
        agent_dof=model.jnt_dofadr[joints].astype(np.intp),
        agent_nq=nq,
        agent_nv=nv,
        sensor_adr=sensors,
        agent_linvel=np.array([_sensor(model, f"{p}linvel") for p in prefixes]),
        meetings=tuple(pair for pair, _, _ in _meetings(config, prefixes)) if config.robot_contacts else (),
        meeting_adr=_sensor(model, f"{prefixes[0]}touch/meeting0") if config.robot_contacts else 0,
        world_adr=_sensor(model, f"{prefixes[0]}touch/world") if config.scenery_contacts else None,
    )


def _slot(
    model: mujoco.MjModel,
    obj: ObjectSpec,
    start: int,
    userdata: int,
    prefixes: tuple[str, ...],
    touch: bool,
    ray_lidar: bool,
) -> Slot:
    where: dict[str, int] = {}
    names = obj.names()
    if obj.mobility in (Mobility.ZONE, Mobility.DRIVEN):
        where["userdata"] = userdata
    if names and obj.mobility in (Mobility.FREE, Mobility.DRIVEN):
        where["qpos"] = int(model.joint(names[0]).qposadr[0])
        where["dof"] = int(model.joint(names[0]).dofadr[0])
    if names and (obj.mobility is Mobility.SOLID or (obj.mobility is Mobility.ZONE and ray_lidar)):
        where["mocap"] = int(model.body(names[0]).mocapid[0])
    if names and obj.mobility is Mobility.DRIVEN:
        where["mocap"] = int(model.body(f"{names[0]}_driver").mocapid[0])
    if names and touch:
        where["contact"] = _sensor(model, f"{prefixes[0]}touch/{names[0]}")
    return Slot(spec=obj, start=start, **where)


def _root(model: mujoco.MjModel, robot: Robot, prefix: str) -> int:
    return int(model.body(f"{prefix}root").mocapid[0]) if robot.root == "planar" else -1


def _sensor(model: mujoco.MjModel, name: str) -> int:
    return int(model.sensor(name).adr[0])


def _subtree(model: mujoco.MjModel, root: int) -> NDArray[np.intp]:
    return np.flatnonzero(model.body_rootid == model.body_rootid[root])


def _joint_sizes(model: mujoco.MjModel, first: int, last: int) -> tuple[int, int]:
    """Return how many positions and velocities the bodies `first..last` have."""
    free, ball = mujoco.mjtJoint.mjJNT_FREE, mujoco.mjtJoint.mjJNT_BALL
    types = [model.jnt_type[j] for j in range(model.njnt) if first <= model.jnt_bodyid[j] <= last]
    nq = sum(7 if t == free else 4 if t == ball else 1 for t in types)
    nv = sum(6 if t == free else 3 if t == ball else 1 for t in types)
    return nq, nv
