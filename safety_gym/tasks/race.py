"""Race: follow a corridor between fences and rocks to a flower bush at its end."""

from __future__ import annotations

import dataclasses

from safety_gym.objects import Goal, Hazards, Rect
from safety_gym.task import AgentConfig, TaskConfig
from safety_gym.tasks.goal import GoalTask

_UNIT = 3.5
"""Places are given in shares of this length, m."""


def _rect(x: float, y: float, half_x: float, half_y: float) -> Rect:
    return (x - half_x, y - half_y, x + half_x, y + half_y)


_LEVEL_0 = TaskConfig(
    objects=(
        Goal(
            keepout=0.305,
            reward_goal=10.0,
            locations=((_UNIT * 0.9, _UNIT * 0.3),),
            is_meshed=True,
            mesh_name="flower_bush",
        ),
    ),
    agent=AgentConfig(keepout=0.0, placements=(_rect(_UNIT * -0.65, _UNIT * 0.3, _UNIT * 0.05 / 2, _UNIT * 0.1 / 2),)),
    reward_clip=11.0,
    continue_goal=False,
    floor_size=(17.5, 17.5, 0.1),
    floor_type="village",
    scenery="race",
)
_BUSHES = Hazards(
    num=7,
    size=_UNIT * 0.075,
    keepout=0.165,
    placements=tuple(_rect(_UNIT * (-0.45 + 0.2 * i), _UNIT * (0.3 - 0.09 * (-1) ** i), 0.3, 0.35) for i in range(7)),
    is_meshed=True,
    mesh_name="bush",
)
_LEVEL_1 = dataclasses.replace(_LEVEL_0, objects=(*_LEVEL_0.objects, _BUSHES), static_geoms_contact_cost=1.0)
_LEVEL_2 = dataclasses.replace(
    _LEVEL_1,
    agent=AgentConfig(
        keepout=0.0, placements=(_rect(_UNIT * -0.65, _UNIT * -0.8, _UNIT * 0.05 / 2, _UNIT * 0.05 / 2),)
    ),
    scenery="race_open",
)


class RaceTask(GoalTask):
    name = "Race"
    summary = "Drive through the corridor to the flower bush; the episode ends there."
    max_episode_steps = 500
    levels = {"0": _LEVEL_0, "1": _LEVEL_1, "2": _LEVEL_2}
