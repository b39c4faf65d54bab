"""What a robot is: file, integration settings, spawn pose, observed sensors and keyboard control."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import mujoco

BASE_SENSORS = ("accelerometer", "velocimeter", "gyro", "magnetometer")


@dataclass(frozen=True)
class ObsTerm:
    """One entry of the robot block of the observation.

    `key` is the observation key and `sensor` the MJCF sensor it reads (the same name unless given). `form` says how
    the reading is encoded: `raw` (as is), `matrix` (a unit quaternion as a 3x3 rotation matrix, row-major), `sincos`
    (an angle as (sin, cos)) or `height` (the z of a position).
    """

    key: str
    shape: tuple[int, ...]
    unit: str
    form: Literal["raw", "matrix", "sincos", "height"] = "raw"
    sensor: str | None = None

    @property
    def source(self) -> str:
        return self.sensor or self.key


def base_terms() -> tuple[ObsTerm, ...]:
    """Return the four sensors every robot has, in observation order."""
    units = ("m/s^2, site frame", "m/s, site frame", "rad/s, site frame", "gauss, site frame")
    return tuple(ObsTerm(key, (3,), unit) for key, unit in zip(BASE_SENSORS, units, strict=True))


@dataclass(frozen=True, eq=False)
class Robot:
    """A robot as data; compared and hashed by identity.

    `root` tells how it is placed: `planar` (slide x, slide y, hinge z in the frame of a mocap body `root`, which
    takes the spawn pose), `free` (a free joint) or `model` (as the model has it).
    `keys` maps a held key to the action it adds; `exclusive_keys` override everything else while held.
    """

    name: str
    file: str
    timestep: float
    integrator: Literal["Euler", "RK4"]
    spawn_z: float
    root: Literal["planar", "free", "model"]
    terms: tuple[ObsTerm, ...]
    keepout: float = 0.4
    home: tuple[float, ...] = ()
    """Joint angles at the start, in model order after the root, rad; empty: the model's own."""
    home_noise: float = 0.0
    """Half-width of the uniform noise on `home`, rad, drawn joint by joint from the noise stream."""
    alive_above: float | None = None
    """The episode ends (terminated) when the root body is at or below this height, m; None: never."""
    floor_conaffinity: int = 1
    edit: Callable[[mujoco.MjSpec], None] | None = None
    """Change of the MJCF that makes this an older version of the robot; see `versions`."""
    versions: Mapping[str, Robot] = field(default_factory=lambda: MappingProxyType({}))
    """Older versions of the robot by name, for the option `robot_version`."""
    keys: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    exclusive_keys: Mapping[str, tuple[float, ...]] = field(default_factory=lambda: MappingProxyType({}))
    push_box: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    """Overrides of the push box for robots that cannot handle the standard one."""

    def version(self, name: str | None) -> Robot:
        """Return an older version of the robot by name, itself for None; ValueError if there is none such."""
        if name is None:
            return self
        if name not in self.versions:
            known = ", ".join(map(repr, self.versions)) or "none: this robot has one version only"
            raise ValueError(f"robot_version={name!r}: expected None or one of {known}")
        return self.versions[name]

    @property
    def nobs(self) -> int:
        """Length of the robot block of the flattened observation."""
        total = 0
        for term in self.terms:
            size = 1
            for length in term.shape:
                size *= length
            total += size
        return total
