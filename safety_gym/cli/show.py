"""`safety-gym show`: all there is to know about one environment, as text or JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from safety_gym.cli.common import Command, add_environment, count_of, find_id, parse_options, table, to_json, told

Data = Mapping[str, Any]


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_environment(parser, default=None)
    parser.add_argument("--json", action="store_true", help="print JSON; null stands for no bound")


def _run(args: argparse.Namespace) -> int:
    from safety_gym.describe import describe

    options = parse_options(args.options)
    with told():
        about = describe(find_id(args.id), options)
    print(to_json(about) if args.json else "\n\n".join("\n".join(section) for section in _sections(about)))
    return 0


def _sections(about: Data) -> Iterator[list[str]]:
    from safety_gym.describe import bounds_words

    yield [_heading(about), about["summary"]]
    obs, action = about["observation"], about["action"]
    form = "one vector" if obs["flatten"] else "a dict by key"
    rows = [
        (f"{t['start']}:{t['stop']}", t["key"], t["shape"], bounds_words(t["low"], t["high"]), t["meaning"])
        for t in obs["slices"]
    ]
    head = f"Observation: {obs['size']} numbers, {form}, {obs['dtype']}"
    yield [head, *table(rows, ("slice", "key", "shape", "range", "unit, frame, meaning"))]
    if obs["frames"]:
        frames = [(f["key"], f["shape"], f["dtype"], bounds_words(f["low"], f["high"])) for f in obs["frames"]]
        yield ["Camera frames behind them, row 0 is the top", *table(frames, ("key", "shape", "type", "range"))]
    actuators = [
        (i, a["name"], bounds_words(a["low"], a["high"]), a["meaning"]) for i, a in enumerate(action["actuators"])
    ]
    keys = ", ".join(f"{k.upper()} {_vector(v)}" for k, v in action["keys"].items())
    rule = "clipped to the range" if action["clipped"] else "limited to the range by the engine, not for the reward"
    head = f"Action u: {count_of(action['size'], 'number')}, {action['dtype']}, {rule}"
    lines = table(actuators, ("index", "actuator", "range", "effect"))
    yield [head, *lines, *([f"  keys: {keys}"] if keys else [])]
    if about["agents"]:
        yield _agent_lines(about["agents"])
    yield _reward_lines(about["reward"])
    yield _cost_lines(about["cost"])
    yield _limit_lines(about)
    yield _start_lines(about)
    if about["objects"]:
        yield _object_lines(about["objects"])
    yield _physics_lines(about["physics"])
    yield from _option_sections(about["options"])
    arguments = ", ".join(f"{k}={v!r}" for k, v in about["arguments"].items())
    yield ["Arguments of make and make_vec besides", f"  {arguments}"]


def _heading(about: Data) -> str:
    if about["task"] == "Velocity":
        what = f"{about['robot']} walker, {about['task']} task, version {about['version']}"
    else:
        level = "objects are yours" if about["level"] == "Base" else f"level {about['level']}"
        what = f"{about['robot']} robot, {about['task']} task, {level}"
    return f"{about['id']}: {what}"


def _agent_lines(agents: Sequence[Data]) -> list[str]:
    rows = [(a["name"], a["observation"], ", ".join(a["actuators"])) for a in agents]
    head = (
        "Agents: parallel_env(id), make_vec(id, num_envs=n); the observation above is that of a robot, or of the walker"
    )
    return [head, *table(rows, ("agent", "observes", "actuators"), right=(1,))]


def _vector(values: Sequence[float]) -> str:
    return "(" + ", ".join(f"{value:g}" for value in values) + ")"


def _reward_lines(reward: Data) -> list[str]:
    clip = "not clipped" if reward["clip"] is None else f"clipped to [{-reward['clip']:g}, {reward['clip']:g}]"
    return [f"Reward: the sum of these, {clip}", *table(reward["terms"].items())]


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
        rows.append((f"info['{t['key']}']", t["charged_by"], t["meaning"] + absent))
    return [f"Cost: {rule}", *table(rows, ("entry", "charged by", "raw value"))]


def _limit_lines(about: Data) -> list[str]:
    limits = about["limits"]
    rows = [(end["how"], end["when"]) for end in limits["ends"]]
    if limits["max_episode_steps"] is not None:
        rows[0] = (rows[0][0], f"{rows[0][1]} ({limits['seconds']:g} s)")
    if limits["goals"] and limits["continue_goal"]:
        rows.append(("goal", "when reached it is replaced, and the episode goes on"))
    if limits["velocity_threshold"] is not None:
        rows.append(("speed limit", f"{limits['velocity_threshold']:g} m/s ({limits['velocity_kind']})"))
    return ["Limits", *table(rows)]


def _start_lines(about: Data) -> list[str]:
    start = about["start"]
    if "reset_noise_scale" in start:
        scale = start["reset_noise_scale"]
        normal = "normal noise of standard deviation" if start["velocity_noise"] == "normal" else "uniform noise of +-"
        rows = [
            ("positions", f"the model's pose with uniform noise of +-{scale:g} (m, rad)"),
            ("velocities", f"{normal} {scale:g} (m/s, rad/s)".replace("- ", "-")),
        ]
        return ["Start", *table(rows)]
    places = ", ".join(map(_vector, start["locations"] or start["placements"] or ()))
    where = f"{'at' if start['locations'] else 'in'} {places}" if places else "anywhere in the extents"
    heading = "heading at random" if start["rot"] is None else f"heading {start['rot']:g} rad"
    rows = [
        ("extents", f"{_vector(about['extents'])} m: where things are placed"),
        ("robot", f"keep-out {start['keepout']:g} m; starts {where}, {heading}, at height {start['spawn_z']:g} m"),
    ]
    if start["home"]:
        noise = f", with uniform noise of +-{start['home_noise']:g}" if start["home_noise"] else ""
        rows.append(("joints", f"{_vector(start['home'])} rad{noise}"))
    return ["Start", *table(rows)]


def _object_lines(objects: Sequence[Data]) -> list[str]:
    flags = ("costs", "lidar", "compass")
    rows = []
    for o in objects:
        size = "-" if o["size"] is None else f"{o['size']:g}"
        row = (o["kind"], o["num"], size, f"{o['keepout']:g}", o["mobility"])
        rows.append((*row, *("yes" if o[flag] else "-" for flag in flags)))
    header = ("kind", "number", "size m", "keep-out m", "form", *flags)
    return ["Objects", *table(rows, header, right=(1, 2, 3))]


def _physics_lines(physics: Data) -> list[str]:
    step, sleep = physics["control_step"], "may sleep" if physics["sleep"] else "do not sleep"
    margins = f"; contact margins {physics['margins']}" if physics["margins"] else ""
    return [
        "Physics",
        f"  {physics['substeps']} substeps of {physics['timestep']:g} s per step: {step:g} s, {1 / step:g} steps per "
        f"second; {physics['integrator']} integrator{margins}",
        f"  {physics['model']}: {physics['robot_mass']:.4g} kg; {physics['nq']} positions, {physics['nv']} velocities, "
        f"{physics['nu']} actuators; bodies at rest {sleep}",
    ]


def _option_sections(options: Sequence[Data]) -> Iterator[list[str]]:
    """Print options of the task and the robot one per line; those of objects one kind per line, then their meanings."""
    rows: list[Sequence[Any]] = []
    objects: dict[str, list[str]] = {}
    meanings: dict[str, str] = {}
    for option in options:
        value = repr(option["value"])
        if option["has_default"] and option["value"] != option["default"]:
            value += f" (default {option['default']!r})"
        kind, dot, field = option["name"].partition(".")
        if dot and kind != "agent":
            objects.setdefault(kind, []).append(f"{field} {value}")
            meanings[field] = option["meaning"]
        else:
            about = option["meaning"] + (f" [{option['alias']}]" if option["alias"] else "")
            rows.append((option["name"], value, about))
    yield ["Options: make(id, name=value)" + (", of the robot make(id, agent={...})" if objects else ""), *table(rows)]
    if objects:
        kinds = [(kind, ", ".join(fields)) for kind, fields in objects.items()]
        yield ["Options of the objects: make(id, hazards={'num': 12})", *table(kinds), "", *table(meanings.items())]


COMMAND = Command(
    "show",
    "describe one environment",
    "Every slice of the observation, the action, reward and cost terms, limits, objects, physics, and every option "
    "with its default. With options, shows what they make of it.",
    _add_arguments,
    _run,
)
