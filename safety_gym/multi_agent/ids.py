"""Ids of the multi-agent environments, apart from Gymnasium's: `|` cannot stand in an id there, nor in every folder.

SafetyPointMultiGoal1-v0       any robot, levels 0 to 2
Safety2x4AntVelocity-v0        a walker and how its joints are divided
Safety9x8HumanoidVelocity-v0   also found as Safety9|8HumanoidVelocity-v0
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from safety_gym.errors import unknown
from safety_gym.robots import ROBOTS, Robot
from safety_gym.task import Task, apply_options
from safety_gym.tasks.multi_goal import MultiGoalTask, grown
from safety_gym.tasks.multi_velocity import BODIES, DividedTask
from safety_gym.walkers import WALKERS


@dataclass(frozen=True)
class MultiAgentId:
    """A parsed id. `level` is the key of the task's levels."""

    canonical: str
    robot: str
    task: str
    level: str

    @property
    def task_class(self) -> type[Task]:
        return MultiGoalTask if self.task == MultiGoalTask.name else DividedTask

    @property
    def record(self) -> Robot:
        """The robot or walker."""
        return (ROBOTS if self.task_class is MultiGoalTask else WALKERS)[self.robot]

    @property
    def config(self) -> Any:
        return self.task_class.levels[self.level]


@cache
def _table() -> Mapping[str, MultiAgentId]:
    """Return every id by its canonical name."""
    return {entry.canonical: entry for entry in _entries()}


def _entries() -> Iterator[MultiAgentId]:
    for robot in ROBOTS:
        for level in MultiGoalTask.levels:
            yield MultiAgentId(f"Safety{robot}MultiGoal{level}-v0", robot, MultiGoalTask.name, level)
    for walker, body in BODIES.items():
        for partition in body.thresholds:
            level = f"{partition}{walker}"
            yield MultiAgentId(f"Safety{level}Velocity-v0", walker, DividedTask.name, level)


def multi_agent_ids(pattern: str | None = None) -> list[str]:
    """Return the ids of all multi-agent environments; `pattern` filters by substring, ignoring case."""
    return [name for name in _table() if pattern is None or pattern.lower() in name.lower()]


def is_multi_agent(env_id: Any) -> bool:
    """Return whether this is an id, or another name of one, that `parse` takes."""
    return isinstance(env_id, str) and _plain(env_id) in _table()


def parse(env_id: str) -> MultiAgentId:
    """Parse an id; `|` for `x` and the name of the Gymnasium twin (`...Gymnasium-v0`) are understood.

    Raises ValueError for unknown ids, with the closest ones.
    """
    if not isinstance(env_id, str):
        raise ValueError(f"env_id={env_id!r}: expected a string such as 'SafetyPointMultiGoal1-v0'")
    if not is_multi_agent(env_id):
        from safety_gym import registry

        if env_id.removeprefix("safety_gym:") in registry.ids():
            raise ValueError(f"{env_id!r} has a single agent; make it with safety_gym.make or gymnasium.make")
        raise unknown("multi-agent id", env_id, _table())
    return _table()[_plain(env_id)]


def walker_id(walker: str, partition: str) -> str:
    """Return the id of a walker divided so, or its first id where this partition has none."""
    if walker not in BODIES:
        raise unknown("walker", walker, BODIES)
    thresholds = BODIES[walker].thresholds
    name = partition.replace("|", "x")
    return f"Safety{name if name in thresholds else next(iter(thresholds))}{walker}Velocity-v0"


def resolve(env_id: str, options: Mapping[str, Any]) -> tuple[MultiAgentId, type[Task], Any, tuple[Robot, ...]]:
    """Return the parsed id, its task class, the configuration changed by `options`, and the robots of the scene.

    `options` may hold a `config` mapping; further options win over it.
    """
    parsed = parse(env_id)
    given = options.get("config") or {}
    if not isinstance(given, Mapping):
        raise ValueError(f"config={given!r}: expected a mapping of options")
    merged = {**given, **{name: value for name, value in options.items() if name != "config"}}
    config: Any = apply_options(parsed.config, merged)
    if parsed.task_class is DividedTask:
        return parsed, DividedTask, config, (parsed.record,)
    if config.num_agents > 2 and not {"extents", "placements_conf.extents"} & set(merged):
        config = grown(config)
    return parsed, MultiGoalTask, config, (parsed.record,) * config.num_agents


def names(count: int) -> tuple[str, ...]:
    """Return the names of agents: `agent_0`, `agent_1`, ..."""
    return tuple(f"agent_{j}" for j in range(count))


def _plain(env_id: str) -> str:
    name = env_id.removeprefix("safety_gym:").replace("|", "x")
    return re.sub(r"Gymnasium(-v\d+)$", r"\1", name)


def refusal(env_id: str) -> ValueError:
    """Return the error for what makes single-agent environments only."""
    name = parse(env_id).canonical
    return ValueError(
        f"{env_id!r} has several agents: make it with safety_gym.parallel_env({name!r}) (PettingZoo) or "
        f"safety_gym.make_vec({name!r}, num_envs=...)"
    )


def not_single(env_id: str, **_: Any) -> None:
    """Raise ValueError: the entry point of these ids in Gymnasium's registry."""
    raise refusal(env_id)
