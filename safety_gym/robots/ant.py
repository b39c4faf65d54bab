"""Ant: four legs of two driven joints on a free joint; forward is +y of the body. It dies when its torso is down."""

import dataclasses
import math
from types import MappingProxyType

import mujoco

from safety_gym.robots.base import ObsTerm, Robot, base_terms

_JOINTS = tuple(f"{part}_{i}" for i in (1, 2, 3, 4) for part in ("hip", "ankle"))
_ANKLE = math.pi / 2
_LIGHT_FOOT = 5.0
"""Density of the feet in release 1.0.0 of the reference suite, kg/m^3; 50000 since."""


def _light_feet(spec: mujoco.MjSpec) -> None:
    for geom in spec.geoms:
        if geom.name.endswith("_ankle_geom"):
            geom.density = _LIGHT_FOOT


_NEWEST = Robot(
    name="Ant",
    file="robots/ant.xml",
    timestep=0.01,
    integrator="RK4",
    spawn_z=0.18,
    root="free",
    terms=(
        *base_terms(),
        *(ObsTerm(f"{joint}_vel", (1,), "rad/s") for joint in _JOINTS),
        ObsTerm("agent_pos", (1,), "m, height of the site 0.02 below the centre of the torso", form="height"),
        ObsTerm("agent_qvel", (3,), "rad/s, world frame"),
        *(ObsTerm(joint, (2,), "(sin, cos) of the angle", form="sincos") for joint in _JOINTS),
    ),
    home=(0.0, _ANKLE, 0.0, -_ANKLE, 0.0, -_ANKLE, 0.0, _ANKLE),
    home_noise=0.1,
    alive_above=0.08,
    floor_conaffinity=3,
)
ANT = dataclasses.replace(_NEWEST, versions=MappingProxyType({"1.0.0": dataclasses.replace(_NEWEST, edit=_light_feet)}))
