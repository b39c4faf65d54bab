"""The id grammar: `Safety` + robot + task + level + variant + `-v0`, and the table of what can be made.

    SafetyPointGoal1-v0            one robot, one task, one level
    SafetyPointGoal1Gymnasium-v0   the same environment (the name it has in the reference suite's Gymnasium registry)
    SafetyPointGoal1Debug-v0       keyboard control: the keyword `keyboard=True`
    SafetyPointGoalBase-v0         objects are given by the user
    SafetyPointGoal1Vision-v0      camera frames in the observation: the keyword `vision=True`
    SafetyHopperVelocity-v1        a walker with a speed limit; -v0 has other limits

A suffix is a keyword of the same environment, never another class.
"""

from __future__ import annotations

import dataclasses
import functools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from safety_gym import robots, tasks
from safety_gym.errors import unknown
from safety_gym.multi_agent import ids as multi_agent
from safety_gym.robots import Robot
from safety_gym.task import EpisodeConfig, Task, apply_options
from safety_gym.tasks.velocity import REWARD_THRESHOLDS
from safety_gym.walkers import WALKERS

VARIANTS = ("", "Vision", "Debug")
VELOCITY = "Velocity"
_ID = re.compile(r"^(?:safety_gym:)?Safety(?P<body>[A-Za-z0-9]+)-v(?P<version>\d+)$")
_PLANNED = re.compile(r"^Safety[A-Z][a-z]+MultiGoal[0-2](?:Vision|Debug)(?:Gymnasium)?-v0$")
"""Variants of multi-agent environments that are not built yet."""
_custom: dict[str, tuple[str, Mapping[str, Any]]] = {}
_limits: dict[str, int] = {}


@dataclass(frozen=True)
class EnvId:
    """A parsed id. `canonical` is the id without variant of the Gymnasium twin."""

    robot: str
    task: str
    level: str
    variant: str = ""
    gymnasium: bool = False
    version: int = 0

    @property
    def canonical(self) -> str:
        return f"Safety{self.robot}{self.task}{self.level}{self.variant}-v{self.version}"

    @property
    def twin(self) -> str:
        """The id under which the reference suite registers the same environment with Gymnasium."""
        return f"Safety{self.robot}{self.task}{self.level}{self.variant}Gymnasium-v{self.version}"

    @property
    def _robots(self) -> Mapping[str, Robot]:
        return WALKERS if self.task == VELOCITY else robots.ROBOTS

    @property
    def record(self) -> Robot:
        """The robot or walker."""
        return self._robots[self.robot]

    @property
    def config(self) -> EpisodeConfig:
        """The options of the level, or of the walker and version."""
        key = f"{self.robot}-v{self.version}" if self.task == VELOCITY else self.level
        return tasks.TASKS[self.task].levels[key]

    @property
    def max_episode_steps(self) -> int:
        return tasks.TASKS[self.task].max_episode_steps

    @property
    def reward_threshold(self) -> float | None:
        """Return at which Gymnasium counts the walker as solved."""
        return REWARD_THRESHOLDS.get(self.robot) if self.task == VELOCITY else None


def grammar() -> Iterator[EnvId]:
    """Yield every id of the single-agent grammar."""
    levels = {name: tuple(task.levels) for name, task in tasks.TASKS.items() if name != VELOCITY}
    for robot in robots.ROBOTS.values():
        variants = VARIANTS if robot.keys else [v for v in VARIANTS if v != "Debug"]  # Debug is keyboard control
        for task, names in levels.items():
            for level in names:
                for variant in variants:
                    yield EnvId(robot.name, task, level, variant)
    for walker in WALKERS:
        for version in (0, 1):
            yield EnvId(walker, VELOCITY, "", version=version)


def ids(pattern: str | None = None) -> list[str]:
    """Return every id that can be made, those with keyboard control and user-given objects included.

    `pattern` filters by substring, ignoring case.
    """
    known = [e.canonical for e in grammar()] + list(_custom)
    return [i for i in known if pattern is None or pattern.lower() in i.lower()]


def parse(env_id: str) -> EnvId:
    """Parse an id.

    Raises:
        ValueError: unknown id; the message suggests close ones. Or a multi-agent id; the message says what makes it.
        NotImplementedError: a variant of a multi-agent id, which is not built yet.
    """
    if not isinstance(env_id, str):
        raise ValueError(f"env_id={env_id!r}: expected a string such as 'SafetyPointGoal1-v0'")
    if multi_agent.is_multi_agent(env_id):
        raise multi_agent.refusal(env_id)
    if _PLANNED.match(env_id.removeprefix("safety_gym:")):
        raise NotImplementedError(f"{env_id!r} is part of the suite's grammar but not built yet; see `safety-gym list`")
    match = _ID.match(env_id)
    if match and env_id.removeprefix("safety_gym:") not in _custom:
        body = match["body"].removesuffix("Gymnasium")
        found = _versions().get(body, {})
        if found:
            entry = found.get(int(match["version"]))
            if entry is None:
                known = " and ".join(f"-v{version}" for version in found)
                raise ValueError(f"unknown version in {env_id!r}; this environment exists as {known}")
            return dataclasses.replace(entry, gymnasium=body != match["body"])
    raise unknown("id", env_id, ids())


def resolve(env_id: str, options: Mapping[str, Any]) -> tuple[EnvId, type[Task], Any]:
    """Return the parsed id, its task class and the configuration changed by `options`.

    `options` may hold a `config` mapping in the reference's style; further options win over it.
    """
    if not isinstance(env_id, str):
        raise ValueError(f"env_id={env_id!r}: expected a string such as 'SafetyPointGoal1-v0'")
    name = env_id.removeprefix("safety_gym:")
    registered: dict[str, Any] = {}
    if name in _custom:
        base, stored = _custom[name]
        registered = dict(stored)
        parsed = parse(base)
    else:
        parsed = parse(name)
    merged = {**registered, **_flatten(parsed, options)}
    if parsed.variant == "Vision":
        merged = {"vision": True, **merged}
    return parsed, tasks.TASKS[parsed.task], apply_options(parsed.config, merged)


def max_episode_steps(env_id: str) -> int:
    """Return the episode length of an id."""
    name = env_id.removeprefix("safety_gym:")
    base = _custom[name][0] if name in _custom else name
    limit = _limits.get(name)
    return limit if limit is not None else parse(base).max_episode_steps


def register_task(env_id: str, base: str, max_episode_steps: int | None = None, **options: Any) -> None:
    """Register a task of your own as data: an existing id with other options.

    Args:
        env_id: new name, e.g. `SafetyPointCrowd-v0` or `my/Crowd-v0`.
        base: the id of the suite it starts from, e.g. `SafetyPointGoal1-v0` or `SafetyPointGoalBase-v0`.
        max_episode_steps: length of an episode; None: that of `base`.
        options: any option of `make` for that id, e.g. `hazards={"num": 20}`, `extents=(-3, -3, 3, 3)`.

    Raises:
        ValueError: the name is taken, the base unknown or an option wrong.
    """
    taken = {name for e in grammar() for name in (e.canonical, e.twin)}
    if env_id in _custom or env_id in taken or env_id in gymnasium.registry:
        raise ValueError(f"env_id={env_id!r}: this id exists already; choose another name")
    if max_episode_steps is not None and (
        isinstance(max_episode_steps, bool) or not isinstance(max_episode_steps, int) or max_episode_steps < 1
    ):
        raise ValueError(f"max_episode_steps={max_episode_steps!r}: expected a whole number >= 1 or None")
    parsed, task, config = resolve(base, options)
    task(config, (parsed.record,))  # checks that the required objects are there
    limit = max_episode_steps or task.max_episode_steps
    _register(env_id, env_id, limit)
    _custom[env_id] = (parsed.canonical, dict(options))
    _limits[env_id] = limit


def register_all() -> None:
    """Register every id and its twin with Gymnasium.

    Those of multi-agent environments are known, too, and say what they are when made.
    """
    for entry in grammar():
        for name in (entry.canonical, entry.twin):
            _register(name, entry.canonical, entry.max_episode_steps, entry.reward_threshold)
    for name in multi_agent.multi_agent_ids():
        point = "safety_gym.multi_agent.ids:not_single"
        _write(EnvSpec(name, entry_point=point, vector_entry_point=point, kwargs={"env_id": name}))


def _register(name: str, env_id: str, max_episode_steps: int, reward_threshold: float | None = None) -> None:
    _write(
        EnvSpec(
            name,
            entry_point="safety_gym.views:SafetyEnv",
            vector_entry_point="safety_gym.vector_env:SafetyVectorEnv",
            reward_threshold=reward_threshold,
            max_episode_steps=max_episode_steps,
            kwargs={"env_id": env_id},
        )
    )


def _write(spec: EnvSpec) -> None:
    """Register with Gymnasium. `gymnasium.register` searches all ids at each call: a tenth of a second for ours."""
    gymnasium.registry[spec.id] = spec


@functools.cache
def _versions() -> Mapping[str, Mapping[int, EnvId]]:
    """Return the entries of the grammar by what stands between `Safety` and the version, and by version."""
    found: dict[str, dict[int, EnvId]] = {}
    for entry in grammar():
        body = entry.canonical.removeprefix("Safety").rpartition("-v")[0]
        found.setdefault(body, {})[entry.version] = entry
    return found


def _flatten(parsed: EnvId, options: Mapping[str, Any]) -> dict[str, Any]:
    """Merge a reference-style `config` mapping into the options; its robot and task names must agree with the id."""
    config = options.get("config") or {}
    if not isinstance(config, Mapping):
        raise ValueError(f"config={config!r}: expected a mapping of options")
    config = dict(config)
    for key, expected in (("agent_name", parsed.robot), ("task_name", f"{parsed.robot}{parsed.task}{parsed.level}")):
        given = config.pop(key, expected)
        if given != expected:
            raise ValueError(f"config[{key!r}]={given!r} disagrees with the id, which means {expected!r}")
    return {**config, **{k: v for k, v in options.items() if k != "config"}}
