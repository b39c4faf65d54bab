"""Racecar: a driven rear axle and steered front wheels on a free joint; forward is +x of the body."""

import dataclasses
from types import MappingProxyType

import mujoco

from safety_gym.robots.base import Robot, base_terms


def _older_chassis(spec: mujoco.MjSpec) -> None:
    """Give the chassis the inertia that MuJoCo 2.3.3 computed from the reference suite's mesh."""
    chassis = spec.body("car_body")
    chassis.mass = 0.017605538
    chassis.inertia = [0.00027063, 0.0002385, 4.1255e-05]
    chassis.ipos = [0.15558, -0.00038267, 6.8124e-10]
    chassis.iquat = [0.0017669, 0.7071, -0.0017669, 0.7071]


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
