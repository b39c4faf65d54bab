"""`safety-gym list`: the ids that can be made."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Mapping
from typing import Any

from safety_gym.cli.common import Command, UserError, count_of, suggest_ids, table, to_json


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", help="part of the id, or a pattern with * and ?")
    more = "also ...Base-v0 (objects are yours), ...Vision-v0 (camera frames) and ...Debug-v0 (keys)"
    parser.add_argument("--all", action="store_true", help=more)
    parser.add_argument("--json", action="store_true", help="print JSON")


def _run(args: argparse.Namespace) -> int:
    from safety_gym import registry
    from safety_gym.multi_agent import multi_agent_ids

    def matches(env_id: str) -> bool:
        return fnmatch.fnmatchcase(env_id.lower(), f"*{(args.pattern or '').lower()}*")

    found = [_row(env_id) for env_id in registry.ids() if matches(env_id)]
    rows = [row for row in found if args.all or not (row["level"] == "Base" or row["variant"])]
    hidden = len(found) - len(rows)
    teams = [_team_row(env_id) for env_id in multi_agent_ids() if matches(env_id)]
    if not rows and not teams:
        raise UserError(_nothing(args.pattern, hidden))
    if args.json:
        print(to_json({"ids": rows, "multi_agent": teams, "hidden": hidden}))
        return 0
    if rows:
        _print_groups(rows)
        more = f" {hidden} more with --all (...Base-v0, ...Vision-v0, ...Debug-v0)." if hidden else ""
        print(f"\n{count_of(len(rows), 'id')}; each also exists as ...Gymnasium-vN.{more}")
    if teams:
        _print_teams(teams)
    return 0


def _row(env_id: str) -> dict[str, Any]:
    from safety_gym import registry
    from safety_gym.vector_env import SafetyVectorEnv

    parsed, limit = registry.resolve(env_id, {})[0], registry.max_episode_steps(env_id)
    row = {"id": env_id, "robot": parsed.robot, "task": parsed.task, "level": parsed.level, "variant": parsed.variant}
    try:
        sim = SafetyVectorEnv(env_id, num_threads=1).sim
    except ValueError:  # Base: the objects are the user's
        return row | {"observation": None, "action": None, "max_episode_steps": limit, "costs": None}
    sizes = {"observation": sim.observer.size, "action": sim.nact}
    return row | sizes | {"max_episode_steps": sim.max_episode_steps, "costs": list(sim.cost_names)}


def _team_row(env_id: str) -> dict[str, Any]:
    """Return the row of a multi-agent id; sizes are lists, one entry per agent."""
    from safety_gym.multi_agent.vector import MultiAgentVectorEnv

    envs = MultiAgentVectorEnv(env_id, num_threads=1)
    return {
        "id": env_id,
        "observation": [space.shape[0] for space in envs.observation_spaces.values()],  # type: ignore[index]
        "action": [space.shape[0] for space in envs.action_spaces.values()],
        "max_episode_steps": envs.sim.max_episode_steps,
        "costs": list(envs.cost_names),
    }


def _print_teams(rows: list[dict[str, Any]]) -> None:
    print("\nSeveral agents, made by safety_gym.parallel_env and safety_gym.make_vec:")
    sizes = ("observation", "action")
    cells = [_cells({**row, **{key: " + ".join(map(str, row[key])) for key in sizes}}) for row in rows]
    for line in table(cells, ("id", "obs", "act", "steps", "costs"), right=(3,)):
        print(line)


def _print_groups(rows: list[dict[str, Any]]) -> None:
    """Print one table with the tasks as headings inside."""
    from safety_gym.tasks import TASKS

    groups = {name: [_cells(row) for row in rows if row["task"] == name] for name in TASKS}
    cells = [row for group in groups.values() for row in group]
    lines = iter(table(cells, ("id", "obs", "act", "steps", "costs"), right=(1, 2, 3)))
    print(next(lines))
    for name, group in groups.items():
        if group:
            print(f"\n{name}: {TASKS[name].summary}")
        for _ in group:
            print(next(lines))


def _cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    if row["observation"] is None:
        return row["id"], "-", "-", row["max_episode_steps"], "depend on your objects"
    costs = ", ".join(name.removeprefix("cost_") for name in row["costs"]) or "none"
    return row["id"], row["observation"], row["action"], row["max_episode_steps"], costs


def _nothing(pattern: str | None, hidden: int) -> str:
    if hidden:
        return f"only ...Base-v0, ...Vision-v0 and ...Debug-v0 ids match {pattern!r} ({hidden}); list them with --all"
    return f"no id matches {pattern!r}; {suggest_ids(str(pattern))}"


COMMAND = Command(
    "list",
    "list the ids that can be made",
    "With the sizes of observation and action, the episode length and the names of the costs.",
    _add_arguments,
    _run,
)
