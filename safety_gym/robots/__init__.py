"""Robots as data: one frozen `Robot` record per file, the MJCF beside them in `envs/assets/robots`.

`ROBOTS` maps the name used in ids to the record; `PLANNED` lists names of the id grammar that are not built yet.
"""

from safety_gym.robots.base import ObsTerm, Robot
from safety_gym.robots.car import CAR
from safety_gym.robots.point import POINT

ROBOTS: dict[str, Robot] = {robot.name: robot for robot in (POINT, CAR)}
PLANNED: tuple[str, ...] = ("Doggo", "Racecar", "Ant")

__all__ = ["PLANNED", "ROBOTS", "ObsTerm", "Robot"]
