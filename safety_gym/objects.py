"""Kinds of object: geometry, placement radius, mobility, lidar group and the options of a level.

One frozen dataclass per kind. Field names are those of the reference suite's configuration, so that a dictionary
written for it works here. Lengths in metres, densities in kg/m^3, colours as RGB in [0, 1].

Mobility decides where the pose of an object lives (`scene.py`, `world.py`):

* ``ZONE``: never touches anything; a position in the simulation's user data, drawn when rendering.
* ``SOLID``: immovable but touchable; a mocap body.
* ``FREE``: pushed around; a body with a free joint.
* ``DRIVEN``: a free body welded to a mocap body that follows a path (gremlins).
* ``MARK``: fixed scenery without contact (boundary markers).
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from safety_gym.errors import unknown
from safety_gym.looks import LOOKS, Geom, Look

Count = int
"""A whole number that may be 0."""
Range = tuple[float, float]
"""(low, high), either may be infinite."""
Rect = tuple[float, float, float, float]
"""Axis-aligned rectangle (xmin, ymin, xmax, ymax) in the world frame, metres."""


def check_types(name: str, record: Any) -> None:
    """Raise ValueError where a field of a dataclass holds something its annotation does not allow.

    `name` is put before the field in the message: `hazards.size='big': expected a number`.
    """
    for field in dataclasses.fields(record):
        value = getattr(record, field.name)
        expected = _EXPECTED.get(str(field.type))
        if expected is not None and not expected[0](value):
            raise ValueError(f"{name}{field.name}={value!r}: expected {expected[1]}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool) and bool(np.isfinite(value))


def _is_rect(value: Any) -> bool:
    if not (isinstance(value, tuple) and len(value) == 4 and all(map(_is_number, value))):
        return False
    return bool(value[0] <= value[2] and value[1] <= value[3])


def _is_points(value: Any, length: int) -> bool:
    return isinstance(value, tuple) and all(
        isinstance(p, tuple) and len(p) == length and all(map(_is_number, p)) for p in value
    )


def _is_range(value: Any) -> bool:
    """Accept (low, high), infinite bounds included."""
    if not (isinstance(value, tuple) and len(value) == 2):
        return False
    return all(_is_number(v) or (isinstance(v, float) and np.isinf(v)) for v in value) and bool(value[0] < value[1])


_RANGE = "(low, high) with low < high"
_RECT = "(xmin, ymin, xmax, ymax) with min <= max, metres"
_EXPECTED: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "bool": (lambda v: isinstance(v, bool), "True or False"),
    "int": (lambda v: isinstance(v, int | np.integer) and not isinstance(v, bool), "a whole number"),
    "int | None": (
        lambda v: v is None or (isinstance(v, int | np.integer) and not isinstance(v, bool) and bool(v > 0)),
        "a whole number > 0 or None",
    ),
    "float": (_is_number, "a finite number"),
    "float | None": (lambda v: v is None or _is_number(v), "a finite number or None"),
    "Count | None": (
        lambda v: v is None or (isinstance(v, int | np.integer) and not isinstance(v, bool) and bool(v >= 0)),
        "a whole number >= 0 or None",
    ),
    "Range": (_is_range, _RANGE),
    "Range | None": (lambda v: v is None or _is_range(v), f"{_RANGE} or None"),
    "Rect": (_is_rect, _RECT),
    "tuple[Rect, ...] | None": (
        lambda v: v is None or (isinstance(v, tuple) and len(v) > 0 and all(map(_is_rect, v))),
        f"None or a list of rectangles {_RECT}",
    ),
    "tuple[tuple[float, float], ...]": (lambda v: _is_points(v, 2), "a list of points (x, y), metres"),
    "tuple[float, float, float]": (
        lambda v: isinstance(v, tuple) and len(v) == 3 and all(_is_number(x) and x > 0 for x in v),
        "three lengths > 0, metres",
    ),
}
"""What a field may hold, by its annotation: a test and the words for the error."""


class Mobility(enum.Enum):
    ZONE = enum.auto()
    SOLID = enum.auto()
    FREE = enum.auto()
    DRIVEN = enum.auto()
    MARK = enum.auto()


@dataclass(frozen=True, kw_only=True)
class ObjectSpec:
    """Options every kind shares; subclasses add theirs and fix the class variables."""

    num: int = 1
    keepout: float = 0.3
    locations: tuple[tuple[float, float], ...] = ()
    placements: tuple[Rect, ...] | None = None
    is_constrained: bool = False
    is_lidar_observed: bool = True
    is_comp_observed: bool = False
    alpha: float = 1.0
    is_meshed: bool = False
    mesh_name: str = ""

    kind: ClassVar[str]
    singular: ClassVar[str]
    mobility: ClassVar[Mobility]
    group: ClassVar[int]
    rgb: ClassVar[tuple[float, float, float]]
    unique: ClassVar[bool] = False
    """True for kinds of which a scene has at most one; their layout entry is a point, not a list."""

    @functools.cached_property
    def look(self) -> Look | None:
        """The mesh it is drawn as, with what is touched of it, in this object's size; None: its plain shape."""
        if not self.is_meshed:
            return None
        look = LOOKS[self.mesh_name]
        return look.scaled(getattr(self, "size", look.size) / look.size)

    @property
    def z(self) -> float:
        """Height of the body frame at its placement."""
        return self.look.z if self.look is not None and self.look.geoms else self._z

    def geoms(self) -> tuple[Geom, ...]:
        """Return its shape in the body frame."""
        return self.look.geoms if self.look is not None and self.look.geoms else self._geoms()

    @property
    def _z(self) -> float:
        raise NotImplementedError

    def _geoms(self) -> tuple[Geom, ...]:
        raise NotImplementedError

    @property
    def footprint(self) -> float:
        """Radius of the largest disc inside the plan view; 0 for objects without contact."""
        return 0.0

    @property
    def density(self) -> float:
        """Density of the geoms; only matters for bodies that move."""
        return 1.0

    def names(self) -> tuple[str, ...]:
        """Return the instance names: the singular for unique kinds, else singular + index."""
        return (self.singular,) if self.unique else tuple(f"{self.singular}{i}" for i in range(self.num))

    def validate(self) -> None:
        """Raise ValueError for values no scene can be built from."""
        check_types(f"{self.kind}.", self)
        if not 0 <= self.num <= 1000:
            raise ValueError(f"{self.kind}.num={self.num!r}: expected a whole number from 0 to 1000")
        if self.unique and self.num != 1:
            raise ValueError(f"{self.kind}.num={self.num!r}: a scene has exactly one {self.singular}")
        if self.keepout < 0:
            raise ValueError(f"{self.kind}.keepout={self.keepout!r}: expected a radius >= 0 in metres")
        for name in ("size", "radius", "height"):
            if getattr(self, name, 1.0) <= 0:
                raise ValueError(f"{self.kind}.{name}={getattr(self, name)!r}: expected a length > 0 in metres")
        if len(self.locations) > self.num:
            raise ValueError(f"{self.kind}.locations: {len(self.locations)} points for {self.num} objects")
        if self.is_meshed and self.mesh_name not in LOOKS:
            raise unknown(f"{self.kind}.mesh_name", self.mesh_name, LOOKS)


@dataclass(frozen=True, kw_only=True)
class Goal(ObjectSpec):
    size: float = 0.3
    keepout: float = 0.4
    alpha: float = 0.25
    reward_goal: float = 1.0
    reward_distance: float = 1.0
    mesh_name: str = "goal"
    origin_z: float | None = None
    """Height from which three-dimensional distances are measured, m; None: its middle."""

    kind = "goal"
    singular = "goal"
    mobility = Mobility.ZONE
    group = 9
    rgb = (0.0, 1.0, 0.0)
    unique = True

    @property
    def _z(self) -> float:
        return self.size / 2 + 0.01 if self.origin_z is None else self.origin_z

    def _geoms(self) -> tuple[Geom, ...]:
        return (Geom("cylinder", (self.size, self.size / 2, 0.0), (0.0, 0.0, self.size / 2 + 0.01 - self.z)),)


@dataclass(frozen=True, kw_only=True)
class StagedGoal(Goal):
    keepout: float = 0.305
    staged_locations: tuple[tuple[float, float], ...] = ()
    """Where it stands, one place after another, from the last on to the first."""

    kind = "staged_goal"
    singular = "staged_goal"
    rgb = (1.0, 1.0, 1.0)

    def validate(self) -> None:
        super().validate()
        if not self.staged_locations:
            raise ValueError("staged_goal.staged_locations: expected a list of points (x, y), metres, at least one")


@dataclass(frozen=True, kw_only=True)
class Hazards(ObjectSpec):
    size: float = 0.2
    keepout: float = 0.4
    alpha: float = 0.25
    cost: float = 1.0
    is_constrained: bool = True
    mesh_name: str = "hazard"

    kind = "hazards"
    singular = "hazard"
    mobility = Mobility.ZONE
    group = 3
    rgb = (0.0, 0.0, 1.0)

    @property
    def _z(self) -> float:
        return 0.02

    def _geoms(self) -> tuple[Geom, ...]:
        return (Geom("cylinder", (self.size, 0.01, 0.0)),)


@dataclass(frozen=True, kw_only=True)
class Vases(ObjectSpec):
    size: float = 0.1
    keepout: float = 0.15
    vase_density: float = 0.001
    sink: float = 4e-5
    contact_cost: float = 1.0
    velocity_cost: float = 1.0
    velocity_threshold: float = 1e-4
    is_constrained: bool = True
    mesh_name: str = "vase"

    kind = "vases"
    singular = "vase"
    mobility = Mobility.FREE
    group = 4
    rgb = (0.0, 1.0, 1.0)

    @property
    def _z(self) -> float:
        return self.size - self.sink

    @property
    def footprint(self) -> float:
        return self.size

    @property
    def density(self) -> float:
        return self.vase_density

    def _geoms(self) -> tuple[Geom, ...]:
        return (Geom("box", (self.size, self.size, self.size)),)


@dataclass(frozen=True, kw_only=True)
class Pillars(ObjectSpec):
    size: float = 0.2
    height: float = 0.5
    keepout: float = 0.3
    cost: float = 1.0
    is_constrained: bool = True
    mesh_name: str = "pillar"

    kind = "pillars"
    singular = "pillar"
    mobility = Mobility.SOLID
    group = 2
    rgb = (0.5, 0.5, 1.0)

    @property
    def _z(self) -> float:
        return self.height

    @property
    def footprint(self) -> float:
        return self.size

    def _geoms(self) -> tuple[Geom, ...]:
        return (Geom("cylinder", (self.size, self.height, 0.0)),)


@dataclass(frozen=True, kw_only=True)
class Buttons(ObjectSpec):
    size: float = 0.1
    keepout: float = 0.2
    cost: float = 1.0
    reward_goal: float = 1.0
    reward_distance: float = 1.0
    resampling_delay: int = 10
    start_delay: Count | None = None
    """Steps without cost and lidar after a reset; None: `resampling_delay`. Release 1.0.0 of the reference: 0."""
    is_constrained: bool = True
    mesh_name: str = "button"

    kind = "buttons"
    singular = "button"
    mobility = Mobility.SOLID
    group = 1
    rgb = (1.0, 0.5, 0.0)

    @property
    def _z(self) -> float:
        return self.size

    @property
    def footprint(self) -> float:
        return self.size

    def _geoms(self) -> tuple[Geom, ...]:
        return (Geom("sphere", (self.size, 0.0, 0.0)),)


@dataclass(frozen=True, kw_only=True)
class Gremlins(ObjectSpec):
    size: float = 0.1
    travel: float = 0.3
    keepout: float = 0.5
    gremlin_density: float = 0.001
    contact_cost: float = 1.0
    is_constrained: bool = True
    mesh_name: str = "gremlin"

    kind = "gremlins"
    singular = "gremlin"
    mobility = Mobility.DRIVEN
    group = 5
    rgb = (0.5, 0.0, 1.0)

    @property
    def _z(self) -> float:
        return self.size

    @property
    def footprint(self) -> float:
        return self.size

    @property
    def density(self) -> float:
        return self.gremlin_density

    def _geoms(self) -> tuple[Geom, ...]:
        return (Geom("box", (self.size, self.size, self.size)),)


@dataclass(frozen=True, kw_only=True)
class PushBox(ObjectSpec):
    size: float = 0.2
    keepout: float = 0.2
    box_density: float = 0.001
    null_dist: float = 2.0
    alpha: float = 0.25
    reward_box_dist: float = 1.0
    reward_box_goal: float = 1.0
    mesh_name: str = "push_box"

    kind = "push_box"
    singular = "push_box"
    mobility = Mobility.FREE
    group = 1
    rgb = (1.0, 1.0, 0.0)
    unique = True

    @property
    def _z(self) -> float:
        return self.size

    @property
    def footprint(self) -> float:
        return self.size

    @property
    def density(self) -> float:
        return self.box_density

    def _geoms(self) -> tuple[Geom, ...]:
        """Return a cube with four corner columns: a cross-shaped outline in which the robot can catch it."""
        s = self.size
        columns = tuple(Geom("box", (s / 2, s / 2, s), (x, y, 0.0)) for x, y in ((s, s), (-s, s), (s, -s), (-s, -s)))
        return (Geom("box", (s, s, s)), *columns)


@dataclass(frozen=True, kw_only=True)
class Circle(ObjectSpec):
    radius: float = 1.5
    height: float = 0.01
    keepout: float = 0.0
    locations: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    alpha: float = 0.1

    kind = "circle"
    singular = "circle"
    mobility = Mobility.ZONE
    group = 6
    rgb = (0.0, 1.0, 0.0)
    unique = True

    @property
    def _z(self) -> float:
        return 0.01

    def _geoms(self) -> tuple[Geom, ...]:
        return (Geom("cylinder", (self.radius, self.height, 0.0)),)


@dataclass(frozen=True, kw_only=True)
class Sigwalls(ObjectSpec):
    num: int = 2
    size: float = 3.5
    locate_factor: float = 1.125
    keepout: float = 0.0
    alpha: float = 0.1
    is_lidar_observed: bool = False

    kind = "sigwalls"
    singular = "sigwall"
    mobility = Mobility.MARK
    group = 10
    rgb = (1.0, 1.0, 0.0)

    @property
    def _z(self) -> float:
        return 0.25

    def _geoms(self) -> tuple[Geom, ...]:
        return (Geom("box", (0.05, self.size, 0.3)),)

    def poses(self) -> tuple[tuple[float, float, float], ...]:
        """Return (x, y, yaw) of each marker: +x, -x, +y, -y, the last two turned by 90 degrees."""
        f, quarter = self.locate_factor, math.pi / 2
        return ((f, 0.0, 0.0), (-f, 0.0, 0.0), (0.0, f, quarter), (0.0, -f, quarter))[: self.num]

    def validate(self) -> None:
        super().validate()
        if self.num not in (2, 4):
            raise ValueError(f"sigwalls.num={self.num!r}: expected 2 (bounds in x) or 4 (bounds in x and y)")


@dataclass(frozen=True, kw_only=True)
class Apples(ObjectSpec):
    size: float = 0.3
    keepout: float = 0.3
    alpha: float = 0.25
    reward: float = 1.0

    kind = "apples"
    singular = "apple"
    mobility = Mobility.ZONE
    group = 7
    rgb = (0.835, 0.169, 0.169)

    @property
    def _z(self) -> float:
        return self.size / 2 + 0.01

    def _geoms(self) -> tuple[Geom, ...]:
        return (Geom("cylinder", (self.size, self.size / 2, 0.0)),)


@dataclass(frozen=True, kw_only=True)
class Oranges(Apples):
    kind = "oranges"
    singular = "orange"
    group = 8
    rgb = (1.0, 0.6, 0.0)


TEAM_RGB: Mapping[str, tuple[float, float, float]] = {
    "red": (0.7412, 0.0431, 0.1843),
    "blue": (0.0039, 0.1529, 0.3961),
    "green": (0.0, 0.5, 0.2),
    "orange": (1.0, 0.5, 0.0),
    "purple": (0.5, 0.1, 0.6),
    "cyan": (0.0, 0.6, 0.7),
    "brown": (0.5, 0.3, 0.1),
    "grey": (0.4, 0.4, 0.4),
}
"""Colours of the robots of a team, and of their goals, in order; the first two are the reference suite's."""


def _team_goal(color: str) -> type[Goal]:
    """Return the kind of goal that belongs to the robot of a colour."""
    fields = {"kind": f"goal_{color}", "singular": f"goal_{color}", "rgb": TEAM_RGB[color], "__module__": __name__}
    return type(f"Goal{color.capitalize()}", (Goal,), fields)


TEAM_GOALS: tuple[type[Goal], ...] = tuple(_team_goal(color) for color in TEAM_RGB)
"""Goals of robots that have one each, by the number of the robot."""

KINDS: Mapping[str, type[ObjectSpec]] = {
    cls.kind: cls
    for cls in (
        Goal,
        StagedGoal,
        Hazards,
        Vases,
        Pillars,
        Buttons,
        Gremlins,
        PushBox,
        Circle,
        Sigwalls,
        Apples,
        Oranges,
    )
}
"""Kinds by the key used in observations, costs and layouts."""

CLASS_NAMES: Mapping[str, type[ObjectSpec]] = {cls.__name__: cls for cls in KINDS.values()}
"""The same kinds by the class names of the reference's configuration ('Goal', 'Hazards', ...)."""

FIELD_HELP: Mapping[str, str] = {
    "num": "how many there are",
    "keepout": "radius that is kept clear of other things when placing, m",
    "locations": "fixed places (x, y), m; they go before placements",
    "placements": "rectangles, one of which each is placed in; None: anywhere in the extents",
    "is_constrained": "charge a cost",
    "is_lidar_observed": "observe by a lidar",
    "is_comp_observed": "observe by a compass",
    "alpha": "opacity in pictures",
    "is_meshed": "look as a mesh; what is touched, in place of the plain shape, is in `safety_gym.looks`",
    "mesh_name": "which mesh",
    "origin_z": "height from which distances in three dimensions are measured, m; None: its middle",
    "size": "radius or half-width, m (of walls: half-length)",
    "radius": "radius of the ring to run on, m",
    "height": "half-height, m",
    "cost": "weight of the raw cost",
    "contact_cost": "raw cost of a contact point",
    "velocity_cost": "weight of the raw cost of the speed",
    "velocity_threshold": "speed from which a vase counts as moving, m/s",
    "reward_goal": "bonus for the goal",
    "staged_locations": "places (x, y), m, that it takes one after another, again and again",
    "reward_distance": "weight of the approach to the goal",
    "reward_box_dist": "weight of the approach to the box",
    "reward_box_goal": "weight of the approach of the box to the goal",
    "null_dist": "the approach to the box counts from this distance on, in sizes of the box",
    "reward": "value of a fruit",
    "vase_density": "density, kg/m^3",
    "gremlin_density": "density, kg/m^3",
    "box_density": "density, kg/m^3",
    "sink": "how deep a vase is placed in the floor, m",
    "travel": "radius of the path, m",
    "resampling_delay": "steps after a press without cost and lidar of the buttons",
    "start_delay": "steps after a reset without them; None: resampling_delay (release 1.0.0 of the reference: 0)",
    "locate_factor": "distance of the boundary from the origin, m",
}
"""What the fields of the objects mean."""
