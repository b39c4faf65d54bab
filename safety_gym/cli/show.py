"""`safety-gym show`: all there is to know about one environment, as text or JSON."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import inspect
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from safety_gym.cli.common import Command, add_environment, count_of, parse_options, table, to_json, told

Data = Mapping[str, Any]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser, default=None)
    parser.add_argument("--json", action="store_true", help="print JSON; null stands for no bound")


def _run(args: argparse.Namespace) -> int:
    about = describe(args.id, parse_options(args.options))
    print(to_json(about) if args.json else "\n\n".join("\n".join(section) for section in _sections(about)))
    return 0


def describe(env_id: str, options: Data) -> dict[str, Any]:
    """Return all that `show` prints, as plain data."""
    from safety_gym import registry
    from safety_gym.robots import ROBOTS
    from safety_gym.vector_env import SafetyVectorEnv

    with told():
        # First of all, since only options of the task are accepted here, not the other arguments of `make`.
        parsed, task, _ = registry.resolve(env_id, {k: v for k, v in options.items() if k != "max_episode_steps"})
        sim = SafetyVectorEnv(env_id, num_threads=1, **options).sim
    robot, config = ROBOTS[parsed.robot], sim.task.config
    default = None
    with contextlib.suppress(ValueError):  # ...Base-v0 cannot be made without the user's objects
        default = task(registry.resolve(env_id, {})[2], (robot,)).config
    return {
        "id": env_id.removeprefix("safety_gym:"),
        **_pick(parsed, "robot", "task", "level"),
        "summary": sim.task.summary,
        "observation": {
            "size": sim.observer.size,
            "flatten": config.observation_flatten,
            "dtype": "float64",
            "slices": [_pick(t, "key", "start", "stop", "shape", "low", "high", "meaning") for t in sim.observer.terms],
        },
        "action": _action(sim, robot),
        "reward": {"terms": dict(sim.task.reward_terms), "clip": config.reward_clip, "factor": config.reward_factor},
        "cost": {
            "terms": [
                _pick(term, "key", "meaning") | {"objects": spec.kind, "every_step": term.present is None}
                for term, spec in sim.terms
            ],
            "indicator": config.constrain_indicator,
        },
        **_limits_and_physics(sim, robot),
        "options": _options(config, default),
        "arguments": _make_arguments(),
    }


def _pick(record: Any, *names: str) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}


def _action(sim: Any, robot: Any) -> dict[str, Any]:
    space, model = sim.action_space(), sim.scene.model
    names = [model.actuator(i).name.rpartition("/")[2] for i in range(sim.nact)]
    bounds = zip(names, space.low, space.high, strict=True)
    return {
        "size": sim.nact,
        "dtype": "float64",
        "actuators": [{"name": name, "low": float(low), "high": float(high)} for name, low, high in bounds],
        "keys": {k: list(map(float, v)) for k, v in {**robot.keys, **robot.exclusive_keys}.items()},
    }


def _limits_and_physics(sim: Any, robot: Any) -> dict[str, Any]:
    from safety_gym.scene import SUBSTEPS

    config, model, steps = sim.config, sim.scene.model, sim.max_episode_steps
    timestep = float(model.opt.timestep)
    return {
        "limits": {
            "max_episode_steps": steps,
            "seconds": None if steps is None else steps * timestep * SUBSTEPS,
            "reward_exception": config.reward_exception,
            "goals": sim.task.has_goal,
            "continue_goal": config.continue_goal,
        },
        "extents": config.extents,
        "agent": dataclasses.asdict(config.agent),
        "objects": [_object(o) for o in config.objects],
        "physics": {
            "timestep": timestep,
            "substeps": SUBSTEPS,
            "control_step": timestep * SUBSTEPS,
            "integrator": robot.integrator,
            **{name: int(getattr(model, name)) for name in ("nq", "nv", "nu")},
            "sleep": bool(sim.scene.config.sleep),
        },
    }


def _object(spec: Any) -> dict[str, Any]:
    return {
        **_pick(spec, "kind", "num"),
        "size": getattr(spec, "radius", getattr(spec, "size", None)),
        "keepout": spec.keepout,
        "mobility": spec.mobility.name.lower(),
        "costs": spec.is_constrained,
        "lidar": spec.is_lidar_observed,
        "compass": spec.is_comp_observed,
        **_pick(spec, "placements", "locations"),
    }


def _options(config: Any, default: Any) -> list[dict[str, Any]]:
    """Return every option: name, value, default (`has_default` False where the id has none), meaning, other name."""
    from safety_gym.task import ALIASES, OPTION_HELP

    aliases = {ours: theirs for theirs, ours in ALIASES.items()}
    rows: list[dict[str, Any]] = []

    def add(prefix: str, record: Any, base: Any, known: bool) -> None:
        for field in dataclasses.fields(record):
            name, value = prefix + field.name, getattr(record, field.name)
            if name not in ("objects", "agent"):
                row = {"name": name, "value": value, "default": getattr(base, field.name, None), "has_default": known}
                rows.append(row | {"meaning": OPTION_HELP.get(name, ""), "alias": aliases.get(name)})

    base = default or config
    add("", config, base, default is not None)
    add("agent.", config.agent, base.agent, default is not None)
    before = {spec.kind: spec for spec in default.objects} if default else {}
    for spec in config.objects:
        add(f"{spec.kind}.", spec, before.get(spec.kind), spec.kind in before)
    return rows


def _make_arguments() -> dict[str, Any]:
    """Return the arguments of `make` and `make_vec` that are no options of the task, with their defaults."""
    from safety_gym.vector_env import SafetyVectorEnv

    given = inspect.signature(SafetyVectorEnv).parameters.values()
    plain = [p for p in given if p.kind is not p.VAR_KEYWORD and p.name != "env_id"]
    return {p.name: getattr(p.default, "value", p.default) for p in plain}


def _sections(about: Data) -> Iterator[list[str]]:
    level = "objects are yours" if about["level"] == "Base" else f"level {about['level']}"
    yield [f"{about['id']}: {about['robot']} robot, {about['task']} task, {level}", about["summary"]]
    obs, action = about["observation"], about["action"]
    form = "one vector" if obs["flatten"] else "a dict by key"
    rows = [(f"{t['start']}:{t['stop']}", t["key"], t["shape"], _range(t), t["meaning"]) for t in obs["slices"]]
    head = f"Observation: {obs['size']} numbers, {form}, {obs['dtype']}"
    yield [head, *table(rows, ("slice", "key", "shape", "range", "unit, frame, meaning"))]
    actuators = [(i, a["name"], _range(a)) for i, a in enumerate(action["actuators"])]
    keys = ", ".join(f"{k.upper()} {_vector(v)}" for k, v in action["keys"].items())
    head = f"Action: {count_of(action['size'], 'number')}, {action['dtype']}, clipped to the range"
    yield [head, *table(actuators, ("index", "actuator", "range")), *([f"  keys: {keys}"] if keys else [])]
    yield _reward_lines(about["reward"], about["limits"]["reward_exception"])
    yield _cost_lines(about["cost"])
    yield _limit_lines(about)
    yield _object_lines(about["objects"])
    physics = about["physics"]
    step, sleep = physics["control_step"], "may sleep" if physics["sleep"] else "do not sleep"
    yield [
        "Physics",
        f"  {physics['substeps']} substeps of {physics['timestep']:g} s per step: {step:g} s, {1 / step:g} steps per "
        f"second; {physics['integrator']} integrator",
        f"  {physics['nq']} positions, {physics['nv']} velocities, {physics['nu']} actuators; bodies at rest {sleep}",
    ]
    head = "Options: make(id, name=value); of objects make(id, hazards={'num': 12}), of the agent make(id, agent={...})"
    yield [head, *_option_lines(about["options"])]
    arguments = ", ".join(f"{k}={v!r}" for k, v in about["arguments"].items())
    yield ["Arguments of make and make_vec besides", f"  {arguments}"]


def _range(term: Data) -> str:
    low, high = term["low"], term["high"]
    return "unbounded" if math.isinf(low) and math.isinf(high) else f"[{low:g}, {high:g}]"


def _vector(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _reward_lines(reward: Data, exception: float) -> list[str]:
    clip = "not clipped" if reward["clip"] is None else f"clipped to [{-reward['clip']:g}, {reward['clip']:g}]"
    last = f"  {clip}; {exception:g} in the step in which a simulation becomes unstable"
    return ["Reward: the sum of", *table(reward["terms"].items()), f"{last} (truncated, with info['cost_exception'])"]


def _cost_lines(cost: Data) -> list[str]:
    if not cost["terms"]:
        return ["Cost: always 0, nothing is charged"]
    if cost["indicator"]:
        rule = "1 where the sum of the raw values is > 0, else 0; so is every entry (constrain_indicator)"
    else:
        rule = "the sum of the raw values (constrain_indicator=False)"
    rows = []
    for t in cost["terms"]:
        absent = "" if t["every_step"] else "; absent in some steps"
        rows.append((f"info['{t['key']}']", t["objects"], t["meaning"] + absent))
    return [f"Cost: {rule}", *table(rows, ("entry", "charged by", "raw value"))]


def _limit_lines(about: Data) -> list[str]:
    limits, agent, steps = about["limits"], about["agent"], about["limits"]["max_episode_steps"]
    rows = [("episode", "none" if steps is None else f"{steps} steps ({limits['seconds']:g} s), then truncated")]
    if limits["goals"]:
        then = "is replaced, the episode goes on" if limits["continue_goal"] else "ends the episode"
        rows.append(("goal", f"a reached goal {then}"))
    rows.append(("extents", f"{_vector(about['extents'])} m: where things are placed"))
    places = ", ".join(map(_vector, agent["locations"] or agent["placements"] or ()))
    where = f"{'at' if agent['locations'] else 'in'} {places}" if places else "anywhere in the extents"
    heading = "heading at random" if agent["rot"] is None else f"heading {agent['rot']:g} rad"
    rows.append(("robot", f"keep-out {agent['keepout']:g} m; starts {where}, {heading}"))
    return ["Limits", *table(rows)]


def _object_lines(objects: Sequence[Data]) -> list[str]:
    flags = ("costs", "lidar", "compass")
    rows = []
    for o in objects:
        size = "-" if o["size"] is None else f"{o['size']:g}"
        row = (o["kind"], o["num"], size, f"{o['keepout']:g}", o["mobility"])
        rows.append((*row, *("yes" if o[flag] else "-" for flag in flags)))
    header = ("kind", "number", "size m", "keep-out m", "form", *flags)
    return ["Objects", *table(rows, header, right=(1, 2, 3))] if rows else ["Objects: none"]


def _option_lines(options: Sequence[Data]) -> list[str]:
    """Print options of the task and the agent one per line, those of objects one kind per line."""
    rows: list[Sequence[Any]] = []
    objects: dict[str, list[str]] = {}
    for option in options:
        value = repr(option["value"])
        if option["has_default"] and option["value"] != option["default"]:
            value += f" (default {option['default']!r})"
        kind, dot, field = option["name"].partition(".")
        if dot and kind != "agent":
            objects.setdefault(kind, []).append(f"{field} {value}")
        else:
            about = option["meaning"] + (f" [{option['alias']}]" if option["alias"] else "")
            rows.append((option["name"], value, about))
    return [*table(rows), *table([(kind, ", ".join(fields)) for kind, fields in objects.items()])]


COMMAND = Command(
    "show",
    "describe one environment",
    "Every slice of the observation, the action, reward and cost terms, limits, objects, physics, and every option "
    "with its default. With options, shows what they make of it.",
    _add_arguments,
    _run,
)
