"""The simulated world: `n` rows of one model with named read-outs, exact save and restore.

A world is three things: `batch.state` (one row per simulation: physics and layout), `memory` (one structured row per
simulation: step count, last distances, timers) and the random generators. Copying them copies the world.

Shapes: `n` simulations, `a` robots, `k` objects of a kind. World frame, SI units.
"""

from __future__ import annotations

import ctypes
import os
import warnings
import weakref
from collections.abc import Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch
from numpy.typing import NDArray

from safety_gym.objects import Gremlins, Mobility
from safety_gym.robots import Robot
from safety_gym.scene import Scene, Slot, yaw_quat

Array = NDArray[np.float64]
Ids = NDArray[np.intp]

_ACC = mujoco.mjtStage.mjSTAGE_ACC.value
_NONE = mujoco.mjtStage.mjSTAGE_NONE.value
_NO_SENSORS = int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
_CONTROL = int(mujoco.mjtState.mjSTATE_CTRL) | int(mujoco.mjtState.mjSTATE_MOCAP_POS)
_BAD_STATE = slice(mujoco.mjtWarning.mjWARN_BADQPOS, mujoco.mjtWarning.mjWARN_BADQACC + 1)


def _on_engine_warning(message: str) -> None:
    """Take over MuJoCo's warnings, which would go to stderr and a log file in the working directory.

    Divergence is not news: `Simulator.step` ends that episode and says so in `info`.
    """
    if "simulation is unstable" not in message:
        warnings.warn(f"MuJoCo: {message}", RuntimeWarning, stacklevel=2)


_worlds: weakref.WeakSet[World] = weakref.WeakSet()


def _keep_batches_alive() -> None:
    """Keep the batches of a forked child from ever being destroyed.

    Their threads stayed in the parent; the destructor would wait for them forever, at whatever moment the garbage
    collector finds an environment of the parent's.
    """
    for world in list(_worlds):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(world.batch))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_keep_batches_alive)


def available_cores() -> int:
    """Return the number of cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class World:
    """`n` simulations of a scene.

    Arrays that are attributes are live views of the engine's buffers: read them, copy before returning them.
    """

    def __init__(self, scene: Scene, n: int, memory: np.dtype[Any], num_threads: int) -> None:
        self.scene = scene
        self.n = n
        self.nagent = scene.nagent
        self.num_threads = num_threads
        self.memory = np.zeros(n, memory)
        self.layout_rng = [np.random.default_rng(0) for _ in range(n)]
        self.noise_rng = [np.random.default_rng(0) for _ in range(n)]
        self._scratch: mujoco.MjData | None = None
        self._bind()
        _worlds.add(self)

    # --- construction -------------------------------------------------------------------------------------------------

    def _bind(self) -> None:
        """Create the batch and every view. Called again in a forked child: a batch's threads do not survive a fork."""
        scene = self.scene
        self.pid = os.getpid()
        if mujoco.get_mju_user_warning() is None:  # leave a handler of the user's own alone
            mujoco.set_mju_user_warning(_on_engine_warning)
        persistent = scene.config.sleep or scene.config.keep_data
        batch = Batch(scene.model, self.n, nthread=self.num_threads, persistent=persistent)
        self.batch = batch
        self._stage = _NONE if scene.config.lagged else _ACC
        config = scene.config
        self._counts_contacts = bool(config.contacts or config.robot_contacts or config.scenery_contacts)
        self._bound: dict[str, Array] = {name: batch.bind(name) for name in scene.config.readouts}
        self.qpos, self.qvel, self.ctrl = batch.bind("qpos"), batch.bind("qvel"), batch.bind("ctrl")
        self.mocap_pos, self.mocap_quat = batch.bind("mocap_pos"), batch.bind("mocap_quat")
        self.userdata, self.time = batch.bind("userdata"), batch.bind("time")
        self.warmstart = batch.bind("qacc_warmstart")
        self.sensordata, xpos, xmat = batch.bind("sensordata"), batch.bind("xpos"), batch.bind("xmat")
        bodies = _as_slice(scene.agent_body)
        self.agent_pos: Array = xpos[:, bodies]  # (n, a, 3)
        self.agent_mat: Array = xmat.reshape(self.n, -1, 9)[:, bodies]  # (n, a, 9), row-major
        if scene.agent_linvel is not None:
            linvel = _as_slice(scene.agent_linvel)
            self._linvel_x, self._linvel_y = self.sensordata[:, linvel], self.sensordata[:, _shift(linvel, 1)]
        self.bad_state = batch.warning[:, _BAD_STATE, 1]
        self.object_xy = np.zeros((self.n, scene.nobject, 2))
        self._views = {kind: self._bind_slot(slot) for kind, slot in scene.slots.items()}
        self._moving = [
            (self.object_xy[:, slot.start : slot.stop], self._views[kind]["pos"][:, :, :2])
            for kind, slot in scene.slots.items()
            if slot.qpos is not None
        ]
        self._gremlins = [slot for slot in scene.slots.values() if slot.spec.mobility is Mobility.DRIVEN and slot.num]

    def _bind_slot(self, slot: Slot) -> dict[str, Array]:
        views: dict[str, Array] = {}
        n, k = self.n, slot.num
        if slot.userdata is not None:
            width = 3 if slot.spec.mobility is Mobility.ZONE else 2
            views["data"] = self.userdata[:, slot.userdata : slot.userdata + width * k].reshape(n, k, width)
        if slot.mocap is not None:
            views["mocap_pos"] = self.mocap_pos[:, slot.mocap : slot.mocap + k]
            views["mocap_quat"] = self.mocap_quat[:, slot.mocap : slot.mocap + k]
        if slot.qpos is not None and slot.dof is not None:
            qpos = self.qpos[:, slot.qpos : slot.qpos + 7 * k].reshape(n, k, 7)
            views["pos"], views["quat"] = qpos[:, :, :3], qpos[:, :, 3:]
            views["linvel"] = self.qvel[:, slot.dof : slot.dof + 6 * k].reshape(n, k, 6)[:, :, :3]
        if slot.contact is not None:
            a, parts = self.nagent, len(self.scene.config.touch_geoms[0]) if self.scene.config.touch_geoms else 1
            views["contact"] = self.sensordata[:, slot.contact : slot.contact + a * parts * k].reshape(
                (n, a, parts, k) if parts > 1 else (n, a, k)
            )
        return views

    def ensure_process(self) -> None:
        """Rebuild the batch if this process was forked from the one that made it."""
        if self.pid == os.getpid():
            return
        state = self.batch.state.copy()
        self._bind()
        self._load_rows(np.arange(self.n), state)

    # --- read-outs ----------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take over the positions of moving objects after the engine ran."""
        for target, source in self._moving:
            target[...] = source

    def readout(self, name: str) -> Array:
        """Return an array of the engine that the scene lists in `readouts`, (n, ...), as a view."""
        return self._bound[name]

    def external_forces(self) -> Array:
        """Return `cfrc_ext` of every simulation after a step, (n, bodies, 6): torque, N m, and force, N, from contacts.

        The engine only computes it on request, from the contacts that the last substep worked with.
        """
        model = self.scene.model
        out = np.empty((self.n, model.nbody, 6))
        if self._scratch is None:
            self._scratch = mujoco.MjData(model)
        for i in range(self.n):
            self.batch.get_data(i, self._scratch)
            mujoco.mj_rnePostConstraint(model, self._scratch)
            out[i] = self._scratch.cfrc_ext
        return out

    def xy(self, kind: str) -> Array:
        """Return the positions of a kind, (n, k, 2)."""
        slot = self.scene.slots[kind]
        return self.object_xy[:, slot.start : slot.stop]

    def pos(self, kind: str) -> Array:
        """Return the body positions of a kind in three dimensions, (n, k, 3)."""
        if "pos" in self._views[kind]:
            return self._views[kind]["pos"]
        out = np.empty((self.n, self.scene.slots[kind].num, 3))
        out[..., :2] = self.xy(kind)
        out[..., 2] = self.scene.slots[kind].spec.z
        return out

    def linvel(self, kind: str) -> Array:
        """Return the linear velocity of the bodies of a moving kind, (n, k, 3)."""
        return self._views[kind]["linvel"]

    def contacts(self, kind: str) -> Array:
        """Return the number of contact points between each robot and each object of a kind, (n, a, k)."""
        found = self._views[kind]["contact"]
        return found if found.ndim == 3 else np.asarray(found.sum(axis=2))

    def scenery_contacts(self) -> Array:
        """Return the number of contact points between each robot and the scenery, (n, a)."""
        first, a = self.scene.world_adr, self.nagent
        assert first is not None
        parts = len(self.scene.config.touch_geoms[0]) if self.scene.config.touch_geoms else 1
        found = self.sensordata[:, first : first + 2 * a * parts].reshape(self.n, 2, a, parts).sum(axis=3)
        return np.asarray(found[:, 0] - found[:, 1])

    def robot_contacts(self) -> Array:
        """Return the number of contact points of each robot with the others, (n, a)."""
        meetings, first = self.scene.meetings, self.scene.meeting_adr
        concerned = np.array([[j in pair for j in range(self.nagent)] for pair in meetings], np.float64)
        return np.asarray(self.sensordata[:, first : first + len(meetings)] @ concerned)

    def agent_velocity(self) -> tuple[Array, Array]:
        """Return the x and y velocity of the robots' body origins, each (n, a)."""
        return self._linvel_x, self._linvel_y

    def agent_distance(self, kind: str) -> Array:
        """Return the planar distance of each robot origin to each object of a kind, (n, a, k)."""
        xy = self.xy(kind)
        dx = self.agent_pos[:, :, None, 0] - xy[:, None, :, 0]
        dy = self.agent_pos[:, :, None, 1] - xy[:, None, :, 1]
        return np.asarray(np.sqrt(dx * dx + dy * dy))

    def placed_xy(self, ids: Ids) -> Array:
        """Return where everything is for the sampler, robots first, (len(ids), a + k, 2).

        Driven objects count at the centre of their path.
        """
        xy = np.concatenate((self.agent_pos[ids, :, :2], self.object_xy[ids]), axis=1)
        for slot in self._gremlins:
            xy[:, self.nagent + slot.start : self.nagent + slot.stop] = self._views[slot.spec.kind]["data"][ids]
        return xy

    def agent_yaw(self) -> Array:
        """Return the heading of each robot, (n, a)."""
        return np.arctan2(self.agent_mat[..., 3], self.agent_mat[..., 0])

    def object_yaw(self, kind: str) -> Array:
        """Return the yaw of each object of a kind, (n, k)."""
        views = self._views[kind]
        if "data" in views and views["data"].shape[2] == 3:
            return views["data"][..., 2]
        quat = views["quat"] if "quat" in views else views["mocap_quat"]
        w, x, y, z = np.moveaxis(quat, -1, 0)
        return np.arctan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z))

    # --- writing ------------------------------------------------------------------------------------------------------

    def clear(self, ids: Ids) -> None:
        """Put simulations into the model's default state, clearing warnings and sleep."""
        self.batch.reset(ids, stage=0)

    def forward(self, ids: Ids | None = None) -> None:
        """Compute everything that follows from the state."""
        self.batch.forward(ids)
        self.refresh()

    def write_agents(self, ids: Ids, poses: Array) -> None:
        """Place the robots at `poses (s, a, 3)` (x, y, yaw), at rest at their spawn height."""
        for j, robot in enumerate(self.scene.config.robots):
            q, v = self.scene.agent_qpos[j], self.scene.agent_dof[j]
            self.qvel[ids, v : v + self.scene.agent_nv] = 0.0
            if robot.root == "planar":
                root = self.scene.agent_root[j]
                self.mocap_pos[ids, root, :2] = poses[:, j, :2]
                self.mocap_pos[ids, root, 2] = robot.spawn_z
                self.mocap_quat[ids, root] = yaw_quat(poses[:, j, 2])
                self.qpos[ids, q : q + 3] = 0.0
            else:
                self.qpos[ids, q : q + 2] = poses[:, j, :2]
                self.qpos[ids, q + 2] = robot.spawn_z
                self.qpos[ids, q + 3 : q + 7] = yaw_quat(poses[:, j, 2])
            if robot.home:
                first = q + self.scene.agent_nq - len(robot.home)
                self.qpos[ids, first : first + len(robot.home)] = self._home(ids, robot)

    def _home(self, ids: Ids, robot: Robot) -> Array:
        """Return joint angles to start with, (s, k): the robot's home, its noise mirrored where the angle is."""
        home = np.array(robot.home)
        noise = np.array([self.noise_rng[i].uniform(-robot.home_noise, robot.home_noise, len(home)) for i in ids])
        return np.asarray(home + np.where(home < 0, -noise, noise))

    def write_objects(self, ids: Ids, kind: str, poses: Array, which: slice = slice(None)) -> None:
        """Place objects of a kind at `poses (s, k, 3)` (x, y, yaw), at rest at their own height."""
        slot, views = self.scene.slots[kind], self._views[kind]
        quat = yaw_quat(poses[..., 2])
        if slot.spec.mobility is Mobility.ZONE:
            views["data"][ids, which] = poses
        if slot.mocap is not None and slot.spec.mobility is not Mobility.DRIVEN:
            views["mocap_pos"][ids, which, :2] = poses[..., :2]
            views["mocap_pos"][ids, which, 2] = slot.spec.z
            views["mocap_quat"][ids, which] = quat
        if slot.qpos is not None:
            views["pos"][ids, which, :2] = poses[..., :2]
            views["pos"][ids, which, 2] = slot.spec.z
            views["quat"][ids, which] = quat
            views["linvel"][ids, which] = 0.0
        if slot.spec.mobility is Mobility.DRIVEN:
            views["data"][ids, which] = poses[..., :2]
            views["mocap_pos"][ids, which, :2] = poses[..., :2]
            views["mocap_pos"][ids, which, 2] = 0.0
            views["mocap_quat"][ids, which] = quat
        block = self.object_xy[:, slot.start : slot.stop]
        block[ids, which] = poses[..., :2]

    def move_zone(self, ids: Ids, kind: str, xy: Array) -> None:
        """Move the only object of a zone kind to `xy (s, 2)`; zones touch nothing, so the physics goes on unchanged."""
        views = self._views[kind]
        views["data"][ids, 0, :2] = xy
        if "mocap_pos" in views:
            views["mocap_pos"][ids, 0, :2] = xy
        self.object_xy[ids, self.scene.slots[kind].start] = xy

    # --- stepping -----------------------------------------------------------------------------------------------------

    def step(self, ids: Ids | None = None) -> None:
        """Run one control step with the controls in `ctrl`."""
        if not self._counts_contacts and not self._gremlins:
            self.batch.step(ids, nstep=self.scene.config.substeps, stage=self._stage)
        else:
            # Contact sensors matter once per step, not in every substep: off in the substeps, on in one forward. The
            # numbers are the same to the last bit; a fifth of the engine's time is saved with ten vases.
            flags = self.batch.expand("opt.disableflags")
            flags |= _NO_SENSORS
            try:
                self._run_substeps(ids)
            finally:
                flags &= ~_NO_SENSORS
            self.batch.forward(ids)
        self.refresh()

    def pose_drivers(self, slot: Slot, time: float) -> None:
        """Put the drivers of a kind where they are during the substep that starts at `time`."""
        assert isinstance(slot.spec, Gremlins)
        views, travel = self._views[slot.spec.kind], slot.spec.travel
        offset = np.array([travel * np.sin(time), travel * np.cos(time)])
        views["mocap_pos"][:, :, :2] = views["data"] + offset
        views["mocap_pos"][:, :, 2] = slot.spec.size

    def _run_substeps(self, ids: Ids | None) -> None:
        """Advance by one control step, moving the drivers of gremlins before every substep.

        A driver runs clockwise on a circle of radius `travel`; its phase is the simulation time.
        """
        if not self._gremlins:
            self.batch.step(ids, nstep=self.scene.config.substeps)
            return
        substeps = self.scene.config.substeps
        rows = slice(None) if ids is None else ids
        ctrl = self.ctrl[rows]
        nu, size = ctrl.shape[1], ctrl.shape[1] + self.mocap_pos[0].size
        control = np.empty((len(ctrl), substeps, size))
        control[:, :, :nu] = ctrl[:, None]
        control[:, :, nu:] = self.mocap_pos[rows].reshape(len(ctrl), 1, -1)
        phase = self.time[rows, None] + np.arange(substeps) * self.scene.model.opt.timestep
        sin, cos = np.sin(phase), np.cos(phase)
        for slot in self._gremlins:
            assert isinstance(slot.spec, Gremlins) and slot.mocap is not None
            centre = self._views[slot.spec.kind]["data"][rows]
            first = nu + 3 * slot.mocap
            target = control[:, :, first : first + 3 * slot.num].reshape(len(ctrl), substeps, slot.num, 3)
            target[..., 0] = centre[:, None, :, 0] + slot.spec.travel * sin[..., None]
            target[..., 1] = centre[:, None, :, 1] + slot.spec.travel * cos[..., None]
            target[..., 2] = slot.spec.size
            control[:, :, first : first + 3 * slot.num] = target.reshape(len(ctrl), substeps, -1)
        self.batch.rollout(substeps, control, control_spec=_CONTROL, record=(), ids=ids)

    # --- save and restore ---------------------------------------------------------------------------------------------

    def seed(self, ids: Sequence[int], seeds: Sequence[int]) -> None:
        """Give simulations fresh random streams; layouts and noise draw from separate ones."""
        for i, seed in zip(ids, seeds, strict=True):
            self.layout_rng[i] = np.random.Generator(np.random.PCG64(seed))
            self.noise_rng[i] = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(1,))))

    def get_state(self) -> dict[str, Any]:
        """Return the world as plain numbers; continuing from here and from a restored copy is bit-identical.

        The engine keeps sleep bookkeeping outside the rows; reloading the rows on both sides makes it equal.
        """
        self.ensure_process()
        rows = self.batch.state.copy()
        self._load_rows(np.arange(self.n), rows)
        assert self.memory.dtype.names is not None
        return {
            "rows": rows,
            "memory": {name: self.memory[name].copy() for name in self.memory.dtype.names},
            "layout_rng": [_rng_state(rng) for rng in self.layout_rng],
            "noise_rng": [_rng_state(rng) for rng in self.noise_rng],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Restore what `get_state` returned; raises ValueError, before anything changes, for any other world's."""
        self.ensure_process()
        self._check_state(state)
        rows = np.asarray(state["rows"])
        for name, values in state["memory"].items():
            self.memory[name] = values
        for rngs, saved in ((self.layout_rng, state["layout_rng"]), (self.noise_rng, state["noise_rng"])):
            for rng, values in zip(rngs, saved, strict=True):
                rng.bit_generator.state = _rng_restored(values)
        self._load_rows(np.arange(self.n), rows)

    def _check_state(self, state: Any) -> None:
        mine = {
            "rows": self.batch.state.shape,
            "layout_rng": self.n,
            "noise_rng": self.n,
            **{f"memory[{name!r}]": self.memory[name].shape for name in self.memory.dtype.names or ()},
        }
        try:
            given = {
                "rows": np.shape(state["rows"]),
                "layout_rng": len(state["layout_rng"]),
                "noise_rng": len(state["noise_rng"]),
                **{f"memory[{name!r}]": np.shape(values) for name, values in state["memory"].items()},
            }
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"state: expected what get_state() returned, got {type(state).__name__}") from error
        wrong = [key for key in (*mine, *given) if mine.get(key) != given.get(key)]
        if wrong:
            raise ValueError(
                f"state: {wrong[0]} is {given.get(wrong[0])}, this environment needs {mine.get(wrong[0])}; it was "
                "saved with another task or number of environments"
            )

    def _load_rows(self, ids: Ids, rows: Array) -> None:
        self.batch.reset(ids, stage=0)
        self.batch.state[ids] = rows
        self.batch.forward(ids)
        for kind, slot in self.scene.slots.items():
            views = self._views[kind]
            if slot.spec.mobility is Mobility.ZONE:
                self.object_xy[ids, slot.start : slot.stop] = views["data"][ids, :, :2]
            elif slot.spec.mobility is Mobility.SOLID:
                self.object_xy[ids, slot.start : slot.stop] = views["mocap_pos"][ids, :, :2]
        self.refresh()


def _as_slice(index: NDArray[np.intp]) -> slice:
    """Return equally spaced indices as a slice, so that indexing gives a view."""
    step = int(index[1] - index[0]) if len(index) > 1 else 1
    assert (np.diff(index) == step).all(), "robots of one scene are equal, so their addresses are equally spaced"
    return slice(int(index[0]), int(index[-1]) + 1, step)


def _shift(index: slice, by: int) -> slice:
    return slice(index.start + by, index.stop + by, index.step)


def _rng_state(rng: np.random.Generator) -> dict[str, Any]:
    state = rng.bit_generator.state
    return {**state["state"], "has_uint32": state["has_uint32"], "uinteger": state["uinteger"]}


def _rng_restored(values: dict[str, Any]) -> dict[str, Any]:
    return {
        "bit_generator": "PCG64",
        "state": {"state": int(values["state"]), "inc": int(values["inc"])},
        "has_uint32": int(values["has_uint32"]),
        "uinteger": int(values["uinteger"]),
    }
