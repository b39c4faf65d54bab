"""Racecar: a driven rear axle and steered front wheels on a free joint; forward is +x of the body."""

import dataclasses
from types import MappingProxyType

import mujoco

from safety_gym.robots.base import Robot, base_terms


def _older_chassis(spec: mujoco.MjSpec) -> None:
    """Give the chassis the inertia that MuJoCo 2.3.3 computed from the reference suite's mesh."""
    chassis = spec.body("car_body")
    chassis.mass = 0.01760553761829181
    chassis.inertia = [0.0002706324171671688, 0.0002385001307776043, 4.125453652032671e-05]
    chassis.ipos = [0.15557992747876107, -0.00038266587311452292, 6.8123859509411585e-10]
    chassis.iquat = [0.00176689978827932, 0.7071045736417905, -0.00176689978827932, 0.7071045736417905]


_NEWEST = Robot(
    name="Racecar",
    file="robots/racecar.xml",
    timestep=0.004,
    integrator="RK4",
    spawn_z=0.05,
    root="free",
    terms=base_terms(),
    keys=MappingProxyType({"i": (20.0, 0.0), "k": (-20.0, 0.0), "j": (0.0, 0.5), "l": (0.0, -0.5)}),
)
RACECAR = dataclasses.replace(
    _NEWEST, versions=MappingProxyType({"mujoco-2.3.3": dataclasses.replace(_NEWEST, edit=_older_chassis)})
)
