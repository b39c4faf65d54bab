"""Robots as data: one frozen `Robot` record per file, the MJCF beside them in `envs/assets/robots`.

`ROBOTS` maps the name used in ids to the record.
"""

from safety_gym.robots.ant import ANT
from safety_gym.robots.base import ObsTerm, Robot
from safety_gym.robots.car import CAR
from safety_gym.robots.doggo import DOGGO
from safety_gym.robots.point import POINT
from safety_gym.robots.racecar import RACECAR

ROBOTS: dict[str, Robot] = {robot.name: robot for robot in (POINT, CAR, DOGGO, RACECAR, ANT)}

__all__ = ["ROBOTS", "ObsTerm", "Robot"]
