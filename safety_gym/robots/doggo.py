"""Doggo: a quadruped of two halves joined by a waist that nothing drives, on a free joint; forward is +x."""

from safety_gym.robots.base import ObsTerm, Robot, base_terms

_TOUCH = tuple(f"touch_ankle_{leg}{end}" for end in "ab" for leg in (1, 2, 3, 4))
_JOINTS = tuple(joint.format(leg) for joint in ("hip_{}_z", "hip_{}_y", "ankle_{}") for leg in (1, 2, 3, 4))

DOGGO = Robot(
    name="Doggo",
    file="robots/doggo.xml",
    timestep=0.01,
    integrator="Euler",
    spawn_z=0.22,
    root="free",
    terms=(
        *base_terms(),
        *(
            ObsTerm(touch, (1,), "N, normal contact force at the knee (a) or the tip (b) of the leg")
            for touch in _TOUCH
        ),
        *(ObsTerm(f"jointvel_{joint}", (1,), "rad/s") for joint in _JOINTS),
        *(ObsTerm(f"jointpos_{joint}", (2,), "(sin, cos) of the angle", form="sincos") for joint in _JOINTS),
    ),
)
