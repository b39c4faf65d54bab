"""Observations: an ordered list of terms written into one flat array (n, a, o).

In navigation tasks the robot's sensors come first, then for each kind of object its lidar and its compass, in placement
order: the key order of the reference suite, which is also the flattening order.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gymnasium
import mujoco
import numpy as np
from numpy.typing import NDArray

from safety_gym import sensors
from safety_gym.objects import Mobility, ObjectSpec
from safety_gym.scene import Scene
from safety_gym.world import Array, World

if TYPE_CHECKING:
    from safety_gym.task import TaskConfig

Observation = Any
"""A flat array (..., o), or a dict of arrays when `observation_flatten` is off."""


@dataclass(frozen=True)
class Term:
    """One key of the observation: where it lies in the flat vector, its shape, bounds and meaning."""

    key: str
    start: int
    shape: tuple[int, ...]
    low: float
    high: float
    meaning: str

    @property
    def stop(self) -> int:
        return self.start + math.prod(self.shape)


class Observer:
    """An ordered list of terms in one flat array; subclasses add the terms and compute them."""

    def __init__(self, flatten: bool) -> None:
        self.flatten = flatten
        self.terms: list[Term] = []

    @property
    def size(self) -> int:
        """Length of one robot's flat observation."""
        return self.terms[-1].stop

    def _add(self, key: str, shape: tuple[int, ...], bound: tuple[float, float], meaning: str) -> slice:
        start = self.terms[-1].stop if self.terms else 0
        term = Term(key, start, shape, *bound, meaning)
        self.terms.append(term)
        return slice(term.start, term.stop)

    # --- spaces -------------------------------------------------------------------------------------------------------

    def space(self) -> gymnasium.Space[Any]:
        """Return the space of one robot's observation; a Dict keeps the order of the terms."""
        if self.flatten:
            low = np.concatenate([np.full(math.prod(t.shape), t.low) for t in self.terms])
            high = np.concatenate([np.full(math.prod(t.shape), t.high) for t in self.terms])
            return gymnasium.spaces.Box(low, high, dtype=np.float64)
        return gymnasium.spaces.Dict(
            [(t.key, gymnasium.spaces.Box(t.low, t.high, t.shape, np.float64)) for t in self.terms]
        )

    def split(self, flat: Array) -> Observation:
        """Return the user's form of flat observations (..., o): themselves, or a dict of fresh arrays."""
        if self.flatten:
            return flat
        return {t.key: flat[..., t.start : t.stop].reshape(*flat.shape[:-1], *t.shape).copy() for t in self.terms}

    def compute(self, world: World, hidden: Mapping[str, NDArray[np.bool_]], out: Array) -> None:
        """Write the observations of all simulations to `out (n, a, o)`.

        `hidden` names kinds whose lidar reads zero in some simulations (n,).
        """
        raise NotImplementedError


class SensorObserver(Observer):
    """The robot's sensors, then lidars and compasses of the objects."""

    def __init__(self, scene: Scene, config: TaskConfig) -> None:
        super().__init__(config.observation_flatten)
        self.scene, self.config = scene, config
        self._robot_parts = self._plan_robot()
        self._lidar_slices: dict[str, slice] = {}
        self._compass_slices: list[tuple[str, slice]] = []
        self._position_slices: dict[str, slice] = {}
        self._plan_objects()
        if config.observe_positions:
            self._plan_positions()
        self._lidar = self._make_lidar()

    # --- planning -----------------------------------------------------------------------------------------------------

    def _plan_robot(self) -> list[tuple[str, slice, NDArray[np.intp]]]:
        """Lay out the robot block; neighbouring readings, and neighbouring angles, are merged into one copy."""
        parts: list[tuple[str, slice, NDArray[np.intp]]] = []
        width = {"raw": None, "matrix": 4, "sincos": 1, "height": 1}
        for term in self.scene.config.robots[0].terms:
            out = self._add(term.key, term.shape, (-np.inf, np.inf), term.unit)
            adr = self.scene.sensor_adr[term.source]  # (a,)
            offset = 2 if term.form == "height" else 0
            size = width[term.form] or math.prod(term.shape)
            columns = adr[:, None] + offset + np.arange(size)
            previous = parts[-1] if parts else None
            alike = previous and term.form == previous[0] and term.form in ("raw", "sincos")
            if previous and alike and (previous[2][:, -1] + 1 == columns[:, 0]).all():
                parts[-1] = (term.form, slice(previous[1].start, out.stop), np.hstack((previous[2], columns)))
            else:
                parts.append((term.form, out, columns))
        return parts

    def _plan_objects(self) -> None:
        config = self.config
        for obj in config.objects:
            if obj.mobility is Mobility.MARK:
                continue
            if obj.is_lidar_observed:
                self._lidar_slices[obj.kind] = self._add(
                    f"{obj.kind}_lidar",
                    (config.lidar_num_bins,),
                    (0.0, 1.0),
                    f"closeness of the nearest {obj.singular} per direction, robot frame, counter-clockwise from +x",
                )
            if obj.is_comp_observed:
                for name in obj.names():
                    key = f"{obj.kind}_comp" if obj.num == 1 else f"{name}_comp"
                    meaning = f"direction to {name}, robot frame"
                    self._compass_slices.append((name, self._add(key, (config.compass_shape,), (-1.0, 1.0), meaning)))
        self._compass_kinds = [o for o in config.objects if o.is_comp_observed and o.mobility is not Mobility.MARK]

    def _plan_positions(self) -> None:
        unbounded = (-np.inf, np.inf)
        for obj in self.config.objects:
            if obj.mobility is not Mobility.MARK:
                meaning = f"x, y of each {obj.singular} in the robot frame, m"
                self._position_slices[obj.kind] = self._add(f"{obj.kind}_positions", (obj.num, 2), unbounded, meaning)
        meaning = "x, y of the first row of the robot's rotation matrix"
        self._heading = self._add("robot_rotation", (2,), (-1.0, 1.0), meaning)
        self._place = self._add("robot_position", (2,), unbounded, "x, y of the robot in the world, m")

    def _make_lidar(self) -> sensors.PseudoLidar | None:
        config, slots = self.config, self.scene.slots
        kinds = list(self._lidar_slices)
        if not kinds or config.lidar_type != "pseudo":
            return None
        columns = np.concatenate([np.arange(slots[k].start, slots[k].stop) for k in kinds])
        everything = np.array_equal(columns, np.arange(self.scene.nobject))
        self._lidar_columns: slice | NDArray[np.intp] = slice(None) if everything else columns
        self._block = self._contiguous(list(self._lidar_slices.values()))
        which = np.concatenate([np.full(slots[k].num, i) for i, k in enumerate(kinds)])
        return sensors.PseudoLidar(
            which, len(kinds), config.lidar_num_bins, config.lidar_max_dist, config.lidar_exp_gain, config.lidar_alias
        )

    @staticmethod
    def _contiguous(slices: Sequence[slice]) -> slice | None:
        joined = all(a.stop == b.start for a, b in itertools.pairwise(slices))
        return slice(slices[0].start, slices[-1].stop) if joined else None

    # --- computing ----------------------------------------------------------------------------------------------------

    def compute(self, world: World, hidden: Mapping[str, NDArray[np.bool_]], out: Array) -> None:
        self._robot(world, out)
        if self._lidar_slices:
            self._lidars(world, out)
            for kind, where in hidden.items():
                if kind in self._lidar_slices:
                    out[where, :, self._lidar_slices[kind]] = 0.0
        if self._compass_slices:
            self._compasses(world, out)
        if self._position_slices:
            self._positions(world, out)

    def _robot(self, world: World, out: Array) -> None:
        data = world.sensordata
        single = world.nagent == 1
        for form, target, columns in self._robot_parts:
            if single and form == "raw":  # consecutive addresses: a plain copy
                out[:, 0, target] = data[:, columns[0, 0] : columns[0, -1] + 1]
                continue
            values = data[:, columns]  # (n, a, size)
            if form == "matrix":
                values = sensors.quat_to_matrix(values)
            elif form == "sincos":
                values = sensors.sincos(values).reshape(*values.shape[:2], -1)
            out[:, :, target] = values

    def _lidars(self, world: World, out: Array) -> None:
        if self._lidar is None:
            self._ray_lidars(world, out)
            return
        xy = world.object_xy[:, self._lidar_columns]
        readings = self._lidar(*sensors.to_ego(xy, world.agent_pos, world.agent_mat))
        if self._block is not None:
            out[:, :, self._block] = readings
            return
        bins = self.config.lidar_num_bins
        for i, target in enumerate(self._lidar_slices.values()):
            out[:, :, target] = readings[:, :, i * bins : (i + 1) * bins]

    def _ray_lidars(self, world: World, out: Array) -> None:
        """Natural lidar: rays in the robot's plane from its origin, exp(-distance) to the first geom of the kind."""
        bins = self.config.lidar_num_bins
        angle = np.arange(bins) * (sensors.TAU / bins)
        local = np.stack((np.cos(angle), np.sin(angle)), axis=-1)  # (b, 2)
        for j in range(world.nagent):
            mat = world.agent_mat[:, j].reshape(-1, 3, 3)
            rays = local @ mat[:, :, :2].transpose(0, 2, 1)  # (n, b, 3)
            origin = np.repeat(world.agent_pos[:, j, None], bins, axis=1)
            for kind, target in self._lidar_slices.items():
                group = self.scene.slots[kind].spec.group
                if group >= mujoco.mjNGROUP:  # the reference's rays do not see these kinds
                    out[:, j, target] = 0.0
                    continue
                groups = np.zeros(mujoco.mjNGROUP, np.uint8)
                groups[group] = 1
                dist, _ = world.batch.ray(origin, rays, groups, bodyexclude=int(self.scene.agent_body[j]))
                out[:, j, target] = np.where(dist >= 0, np.exp(-np.maximum(dist, 0.0)), 0.0)

    def _positions(self, world: World, out: Array) -> None:
        for kind, target in self._position_slices.items():
            xy = world.pos(kind)[..., :2]
            out[:, :, target] = np.stack(sensors.to_ego(xy, world.agent_pos, world.agent_mat), -1).reshape(
                world.n, world.nagent, -1
            )
        out[:, :, self._heading] = world.agent_mat[..., :2]
        out[:, :, self._place] = world.agent_pos[..., :2]

    def _compasses(self, world: World, out: Array) -> None:
        values: list[Array] = []
        for obj in self._compass_kinds:
            values.extend(np.moveaxis(self._directions(world, obj), 2, 0))
        for (_, target), value in zip(self._compass_slices, values, strict=True):
            out[:, :, target] = value

    def _directions(self, world: World, obj: ObjectSpec) -> Array:
        """Return the compass of every object of a kind, (n, a, k, 2 or 3)."""
        rel = world.pos(obj.kind)[:, None] - world.agent_pos[:, :, None]  # (n, a, k, 3)
        mat = world.agent_mat.reshape(world.n, world.nagent, 1, 3, 3)
        ego = (rel[..., None] * mat).sum(axis=-2)  # transposed rotation
        parts = [ego[..., i] for i in range(3)]
        return sensors.compass(parts[0], parts[1], parts[2] if self.config.compass_shape == 3 else None)
