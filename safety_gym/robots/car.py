"""Car: two driven wheels and a passive ball roller on a free joint; forward is -y of the body."""

from types import MappingProxyType

from safety_gym.robots.base import ObsTerm, Robot, base_terms

CAR = Robot(
    name="Car",
    file="robots/car.xml",
    timestep=0.004,
    integrator="Euler",
    spawn_z=0.1,
    root="free",
    terms=(
        *base_terms(),
        ObsTerm("ballangvel_rear", (3,), "rad/s, roller frame"),
        ObsTerm("ballquat_rear", (3, 3), "rotation matrix of the roller in the body frame, row-major", form="matrix"),
    ),
    keys=MappingProxyType({"i": (1.0, 1.0), "k": (-1.0, -1.0)}),
    exclusive_keys=MappingProxyType({"j": (1.0, -1.0), "l": (-1.0, 1.0)}),
    push_box=MappingProxyType({"size": 0.125, "keepout": 0.125, "density": 0.0005}),
)
