"""Point: a planar disc with one forward motor and one turning servo."""

from types import MappingProxyType

from safety_gym.robots.base import Robot, base_terms

POINT = Robot(
    name="Point",
    file="robots/point.xml",
    timestep=0.002,
    integrator="Euler",
    spawn_z=0.1,
    root="planar",
    terms=base_terms(),
    keys=MappingProxyType({"i": (1.0, 0.0), "k": (-1.0, 0.0), "j": (0.0, 1.0), "l": (0.0, -1.0)}),
)
