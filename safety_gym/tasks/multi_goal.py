"""MultiGoal: several robots in one arena, each with a goal of its colour, or with one goal for all.

Every robot is rewarded for its own goal and charged for what it does itself. Goals that are reached move, the others
stay; the episode goes on. It ends for all robots at once.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safety_gym import sensors
from safety_gym.costs import CostTerm
from safety_gym.objects import TEAM_GOALS, Goal, ObjectSpec
from safety_gym.observation import SensorObserver
from safety_gym.robots import Robot
from safety_gym.scene import Scene, SceneConfig, agent_prefixes, touching_geoms
from safety_gym.task import TaskConfig, Terms
from safety_gym.tasks.goal import GoalTask
from safety_gym.world import Array, Ids, World

MAX_AGENTS = len(TEAM_GOALS)


@dataclass(frozen=True, kw_only=True)
class MultiGoalConfig(TaskConfig):
    """Every option of a MultiGoal task; `MULTI_GOAL_OPTION_HELP` says what the fields mean."""

    num_agents: int = 2
    shared_goal: bool = False
    agent_lidar: bool = False
    full_observation: bool = False
    contact_other_cost: float = 1.0
    reference_controls: bool = False
    reference_credit: bool = False
    reference_noise: bool = False

    def validate(self) -> None:
        super().validate()
        if not 1 <= self.num_agents <= MAX_AGENTS:
            raise ValueError(f"num_agents={self.num_agents!r}: expected a whole number from 1 to {MAX_AGENTS}")
        if self.agent_lidar and self.num_agents == 1:
            raise ValueError("agent_lidar=True: with num_agents=1 there are no other robots to see")
        if self.full_observation and not self.observation_flatten:
            raise ValueError("full_observation=True: needs observation_flatten=True; it joins the agents' vectors")
        if self.contact_other_cost < 0:
            raise ValueError(f"contact_other_cost={self.contact_other_cost!r}: expected a cost >= 0")
        if self.reference_credit and self.num_agents != 2:
            raise ValueError(f"reference_credit=True: the reference has two agents, not num_agents={self.num_agents}")


MULTI_GOAL_OPTION_HELP: Mapping[str, str] = {
    "num_agents": f"number of robots, 1 to {MAX_AGENTS}; with more than 2 and no `extents` given, extents and floor "
    "grow by sqrt(num_agents / 2), so that the arena is as crowded as with 2",
    "shared_goal": "one green goal for all robots; False: each has its own, named by its colour",
    "agent_lidar": "observe the other robots by one more lidar, `agents_lidar`",
    "full_observation": "every agent observes what all robots sense, robot after robot, as in the reference",
    "contact_other_cost": "raw cost of touching another robot, for each of the two",
    "reference_controls": "actions reach the actuators as in the reference's model of two Points: agent_0 pushes both, "
    "agent_1 turns both",
    "reference_credit": "credit contacts as the reference does: those of the first two geoms of the scene to agent_0, "
    "of the next two to agent_1 (wrong for robots of more than two geoms, such as Ant); charge agent_0 for moving "
    "vases that nobody touched yet",
    "reference_noise": "the same noise on the start angles of all robots (Ant)",
}


class MultiGoalTask(GoalTask):
    name = "MultiGoal"
    summary = "Each robot drives to the goal of its colour; a goal that is reached appears elsewhere."
    reward_terms = {
        "distance": "decrease of the xy distance robot - own goal, m (weight goal.reward_distance)",
        "goal": "bonus goal.reward_goal when the robot's origin is within goal.size of its own goal",
    }
    levels = {
        level: MultiGoalConfig(
            extents=config.extents, objects=config.objects, contact_other_cost=0.0 if level == "0" else 1.0
        )
        for level, config in GoalTask.levels.items()
        if level != "Base"
    }
    config: MultiGoalConfig

    def __init__(self, config: MultiGoalConfig, robots: tuple[Robot, ...]) -> None:
        super().__init__(config, robots)
        if not config.shared_goal:
            objects = [own for spec in config.objects for own in _goals_of_all(spec, len(robots))]
            self.config = dataclasses.replace(config, objects=tuple(objects))
        self.goals = tuple(spec.kind for spec in self.config.objects if isinstance(spec, Goal))
        """Kinds of the goals: one for each robot, or one for all."""
        self._meet = bool(config.contact_other_cost) and len(robots) > 1
        self._vases = next((s.num for s in self.config.objects if s.kind == "vases" and s.is_constrained), 0)

    # --- parts of the simulation --------------------------------------------------------------------------------------

    def cost_terms(self) -> Terms:
        terms: list[tuple[CostTerm, Any]] = [
            (dataclasses.replace(term, value=self._vase_velocity), spec) if term.key == "cost_vases_velocity" else
            (term, spec)
            for term, spec in super().cost_terms()
        ]  # fmt: skip
        if self._meet:
            terms.append(
                (CostTerm("cost_contact_other", "1 while touching another robot", _contact_other), self.config)
            )
        return tuple(terms)

    def scene_config(self, terms: Terms) -> SceneConfig:
        scene = super().scene_config(terms)
        touch = _reference_geoms(self.robots) if self.config.reference_credit else ()
        return dataclasses.replace(scene, robot_contacts=self._meet, touch_geoms=touch)

    def observer(self, scene: Scene) -> TeamObserver:
        return TeamObserver(scene, self.config)

    def controls(self, nact: int) -> NDArray[np.intp]:
        """Return which of the scene's controls each agent's actions are, (a, nact)."""
        a = len(self.robots)
        own = np.arange(a * nact).reshape(a, nact)
        if self.config.reference_controls and self.robots[0].name == "Point":
            return own.T.reshape(a, nact)  # the reference's model has the motors of all robots before all servos
        return own

    # --- the episode --------------------------------------------------------------------------------------------------

    def memory(self) -> list[tuple[Any, ...]]:
        fields = super().memory()
        if self._vases:
            fields.append(("touched_last", "?", (len(self.robots), self._vases)))
        return fields

    def begin(self, world: World, ids: Ids, keep_goal: NDArray[np.bool_]) -> None:
        # The goals stay where the layout has them, as in the reference.
        if self.config.reference_noise and (k := len(self.robots[0].home)):
            angles = [q + world.scene.agent_nq - k for q in world.scene.agent_qpos]
            for first in angles[1:]:
                world.qpos[ids, first : first + k] = world.qpos[ids, angles[0] : angles[0] + k]
            world.forward(ids)
        if self._vases and (self.config.reference_credit or len(self.robots) == 1):
            world.memory["touched_last"][ids, 0] = True
        self.remember(world, ids)

    def reward(self, world: World) -> Array:
        if self._vases:
            self._remember_touch(world)
        return super().reward(world)

    def next_goal(self, world: World, ids: Ids) -> NDArray[np.bool_]:
        met = self.achieved(world)[ids]
        failed = np.zeros(len(ids), bool)
        for j, kind in enumerate(self.goals):
            moves = met.any(axis=1) if self.config.shared_goal else met[:, j]
            failed[moves] |= self.resample_goal(world, ids[moves], kind)
        self.remember(world, ids)
        return failed

    # --- details ------------------------------------------------------------------------------------------------------

    def _goal(self, world: World) -> Goal:
        goal = world.scene.slots[self.goals[0]].spec
        assert isinstance(goal, Goal)
        return goal

    def _dist(self, world: World) -> Array:
        # own goals follow each other in `object_xy`; one for all broadcasts
        first = world.scene.slots[self.goals[0]].start
        xy = world.object_xy[:, first : first + len(self.goals)]
        dx, dy = world.agent_pos[..., 0] - xy[..., 0], world.agent_pos[..., 1] - xy[..., 1]
        return np.asarray(np.sqrt(dx * dx + dy * dy))

    def _remember_touch(self, world: World) -> None:
        """Note who touched each vase last; robots that touch one at the same time are noted together."""
        touch, last = world.contacts("vases") > 0, world.memory["touched_last"]
        if self.config.reference_credit:  # one agent after the other: one that loses a vase to agent_1 pays once more
            blue = last[:, 1].copy()
            last[:, 0] = touch[:, 0] | ~blue
            last[:, 1] = touch[:, 1] | (blue & ~touch[:, 0])
            return
        anew = np.asarray(touch.any(axis=1))[:, None]
        last[...] = np.where(anew, touch, last)

    @staticmethod
    def _vase_velocity(world: World, spec: Any) -> Array:
        """Sum the speeds, m/s, of the vases that move and that the robot was the last to touch."""
        v = world.linvel("vases")
        speed = np.sqrt((v * v).sum(axis=2))
        speed = np.where(speed >= spec.velocity_threshold, speed, 0.0)
        return np.asarray(spec.velocity_cost * (world.memory["touched_last"] * speed[:, None]).sum(axis=2))


class TeamObserver(SensorObserver):
    """What each robot senses; `agents_lidar`, where asked for, comes last."""

    def __init__(self, scene: Scene, config: MultiGoalConfig) -> None:
        super().__init__(scene, config)
        self._others: slice | None = None
        if config.agent_lidar:
            a, bins = scene.nagent, config.lidar_num_bins
            meaning = "closeness of the nearest other robot per direction, robot frame, counter-clockwise from +x"
            self._others = self._add("agents_lidar", (bins,), (0.0, 1.0), meaning)
            self._other = np.array([[i for i in range(a) if i != j] for j in range(a)])
            self._others_lidar = sensors.PseudoLidar(
                np.zeros(a - 1, np.intp), 1, bins, config.lidar_max_dist, config.lidar_exp_gain, config.lidar_alias
            )

    def compute(self, world: World, hidden: Mapping[str, NDArray[np.bool_]], out: Array) -> None:
        super().compute(world, hidden, out)
        if self._others is not None:
            ego = sensors.to_ego(world.agent_pos[..., :2], world.agent_pos, world.agent_mat)
            x, y = (np.take_along_axis(e, self._other[None], axis=2) for e in ego)
            out[:, :, self._others] = self._others_lidar(x, y)


def grown(config: MultiGoalConfig) -> MultiGoalConfig:
    """Return the configuration with room for more than two robots: as many per area as with two."""
    factor = (config.num_agents / 2) ** 0.5
    x0, y0, x1, y1 = (side * factor for side in config.extents)
    length, width, thickness = config.floor_size
    floor = (length * factor, width * factor, thickness)
    return dataclasses.replace(config, extents=(x0, y0, x1, y1), floor_size=floor)


def _goals_of_all(spec: ObjectSpec, nagent: int) -> list[ObjectSpec]:
    """Return the goals that stand for the goal of a level, other objects as they are."""
    if not isinstance(spec, Goal):
        return [spec]
    fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    return [kind(**fields) for kind in TEAM_GOALS[:nagent]]


def _contact_other(world: World, config: MultiGoalConfig) -> Array:
    return np.asarray(config.contact_other_cost * (world.robot_contacts() > 0))


def _reference_geoms(robots: tuple[Robot, ...]) -> tuple[tuple[str, ...], ...]:
    """Return the geoms the reference credits to each of two robots: of all in the scene the first and next two."""
    names = [
        prefix + name
        for robot, prefix in zip(robots, agent_prefixes(len(robots)), strict=True)
        for name in touching_geoms(robot)
    ]
    return tuple(names[:2]), tuple(names[2:4])
