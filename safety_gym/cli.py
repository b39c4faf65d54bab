"""The `safety-gym` command: list, show, play, bench, doctor, conformance.

`main(argv)` returns the exit code: 0 good, 1 a check failed, 2 wrong arguments or something missing on this machine
(one line on stderr). Everything that needs MuJoCo is imported inside the commands. `foreign_packages` looks for another
package of the import name `safety_gym` beside this one and needs only the standard library.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import dataclasses
import difflib
import fnmatch
import importlib.metadata
import inspect
import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

DISTRIBUTION = "safe-rl-suite"
DEFAULT_ID = "SafetyPointGoal1-v0"
CAMERAS = ("track", "fixednear", "fixedfar", "vision", "vision_back")
FPS = 30

OPTION_HELP: Mapping[str, str] = {
    "extents": "rectangle (xmin, ymin, xmax, ymax) in which things are placed, m",
    "margin": "extra distance between placed things, m",
    "agent": "where the robot starts",
    "num_steps": "also truncate after so many steps",
    "lidar_num_bins": "directions of each lidar",
    "lidar_max_dist": "range at which a lidar reads 0, m; None: exponential closeness",
    "lidar_exp_gain": "decay of the exponential closeness, 1/m",
    "lidar_type": "'pseudo' (object centres, sees through) or 'natural' (rays)",
    "lidar_alias": "share a reading with the neighbouring bins, so that it varies smoothly",
    "compass_shape": "2 or 3 components of compasses",
    "reward_clip": "bound of the reward of a step; None: none",
    "reward_factor": "scale of the reward of the Circle and Run tasks",
    "reward_exception": "reward of the step in which a simulation became unstable",
    "reward_orientation": "also reward an upright robot",
    "reward_orientation_scale": "weight of that reward",
    "constrain_indicator": "costs are 0 or 1 instead of their raw values",
    "randomize_layout": "draw a layout at each reset; False: always the one of seed 0",
    "continue_goal": "a goal reached is replaced by a new one; False: it ends the episode",
    "terminate_resample_failure": "end the episode where no place for a new goal is found; False: an error",
    "observation_flatten": "one flat vector; False: a dict by key",
    "action_noise": "standard deviation of Gaussian noise added to the controls",
    "floor_size": "half-lengths and thickness of the floor that is drawn, m",
}
"""What the fields of `TaskConfig` mean."""

EPILOG = """examples:
  safety-gym list goal
  safety-gym show SafetyPointGoal1-v0
  safety-gym show SafetyPointGoal1-v0 lidar_num_bins=32 "hazards={'num': 12}"
  safety-gym play SafetyCarButton1-v0 --seed 3
  safety-gym bench SafetyPointGoal1-v0 --num-envs 1 16 256
  safety-gym doctor

`safety-gym COMMAND --help` explains a command. Exit codes: 0 good, 1 a check failed, 2 an error told in one line."""


class UserError(Exception):
    """Something the user can mend; the message is all they see."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    try:
        if not args:
            parser.print_help(sys.stderr)
            return 2
        options, rest = parser.parse_known_args(args)
        if rest and hasattr(options, "options") and all(re.match(r"\w[\w.]*=", text) for text in rest):
            options.options += rest  # argparse takes positional arguments only up to the first flag
        elif rest:
            parser.error(f"unrecognized arguments: {' '.join(rest)}")
        code: int = options.run(options)
        sys.stdout.flush()
        return code
    except UserError as error:
        print(f"safety-gym: error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - lives until the interpreter ends
        return 0
    except SystemExit as ended:  # --help and --version
        return ended.code if isinstance(ended.code, int) else 0


# --- arguments --------------------------------------------------------------------------------------------------------


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        wrong = re.match(r"argument COMMAND: invalid choice: '(.*?)' \(choose from (.*)\)", message)
        if wrong:
            names = re.findall(r"\w+", wrong[2])
            close = difflib.get_close_matches(wrong[1], names, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"
            raise UserError(f"unknown command {wrong[1]!r}; {hint}")
        raise UserError(f"{message} (`{self.prog} --help` explains)")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="safety-gym",
        description="Safe reinforcement learning environments: look at them, drive them, measure them, check them.",
        epilog=EPILOG,
        formatter_class=_Help,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], about: str, more: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=about, description=f"{about[0].upper()}{about[1:]}. {more}")
        command.set_defaults(run=run)
        return command

    listing = add(
        "list",
        _list,
        "list the ids that can be made",
        "With the sizes of observation and action, the episode length and the names of the costs.",
    )
    listing.add_argument("pattern", metavar="PATTERN", nargs="?", help="part of the id, or a pattern with * and ?")
    listing.add_argument(
        "--all", action="store_true", help="also ...Base-v0 (objects are yours) and ...Debug-v0 (keys)"
    )
    listing.add_argument("--json", action="store_true", help="print JSON")

    show = add(
        "show",
        _show,
        "describe one environment",
        "Every slice of the observation, the action, reward and cost terms, limits, objects, physics, and every option "
        "with its default. With options, shows what they make of it.",
    )
    show.add_argument("id", metavar="ID", help="an id that `safety-gym list` prints")
    _add_options(show)
    show.add_argument("--json", action="store_true", help="print JSON; null stands for no bound")

    play = add(
        "play",
        _play,
        "drive a robot with the keyboard",
        "I and K push forward and back, J and L turn left and right, R starts the layout of the next seed, Tab changes "
        "the camera, Space pauses, Esc quits; the window shows the other keys. An episode that ends is followed by the "
        "next seed. Needs a display and the 'render' extra.",
    )
    play.add_argument("id", metavar="ID", nargs="?", default=DEFAULT_ID, help=f"default {DEFAULT_ID}")
    _add_options(play)
    play.add_argument("--seed", type=_count(0), default=0, metavar="N", help="seed of the first layout (default 0)")
    play.add_argument("--record", type=Path, metavar="FILE.mp4", help="also write a video: one frame per step shown")
    play.add_argument(
        "--size", type=_count(64, 4096), default=720, metavar="PIXELS", help="of the picture (default 720)"
    )
    play.add_argument("--frames", type=_count(1), metavar="N", help="stop after N frames")

    bench = add(
        "bench",
        _bench,
        "measure the speed of an environment",
        "Environment steps per second with random actions, resets included, and the bare physics engine (`Batch.step`) "
        "on the same model, states and threads, in turns in the same run. 'ratio' is the first over the second; "
        "'outside' is the share of the time that is not spent in the engine.",
    )
    bench.add_argument("id", metavar="ID", nargs="?", default=DEFAULT_ID, help=f"default {DEFAULT_ID}")
    _add_options(bench)
    bench.add_argument(
        "--num-envs", type=_count(1), nargs="+", default=[1, 16, 256], metavar="N", help="default 1 16 256"
    )
    bench.add_argument("--seconds", type=_seconds, default=3.0, metavar="S", help="per number of envs (default 3)")
    bench.add_argument("--threads", type=_count(1), metavar="N", help="default: what the environment takes by itself")
    bench.add_argument("--json", action="store_true", help="print JSON")

    add(
        "doctor",
        _doctor,
        "check this installation",
        "Versions, cores, OpenGL, one reset, one step and one frame. Exit code 0 when stepping works; missing OpenGL "
        "is a warning.",
    )

    conformance = add(
        "conformance",
        _conformance,
        "replay recorded trajectories of the reference suite",
        "Compares each file step by step and prints one line; exit code 1 if any file fails. Files of environments "
        "that are not built yet are skipped.",
    )
    conformance.add_argument("folder", metavar="DIR", type=Path, help="folder of trajectories (*.npz)")
    conformance.add_argument("--json", type=Path, metavar="FILE", help="also write the numbers as JSON")
    return parser


class _Help(argparse.RawDescriptionHelpFormatter):
    """Leaves the longest command on the line of its help; argparse forgets the indentation of commands."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 15


class _Version(argparse.Action):
    def __call__(self, *args: Any, **kwargs: Any) -> None:
        print(f"{DISTRIBUTION} {_version(DISTRIBUTION) or '(a checkout, not installed)'}")
        raise SystemExit(0)


def _add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "options",
        metavar="OPTION=VALUE",
        nargs="*",
        default=[],
        help="options of the environment as Python literals, e.g. lidar_num_bins=32 \"hazards={'num': 12}\"",
    )


def _count(low: int, high: int | None = None) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text) if re.fullmatch(r"[+-]?\d+", text) else None
        if value is None or value < low or (high is not None and value > high):
            limits = f">= {low}" if high is None else f"from {low} to {high}"
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number {limits}")
        return value

    return parse


def _seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 < float(text) < math.inf:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds > 0")


def _options(given: Iterable[str]) -> dict[str, Any]:
    """Parse `name=value` arguments; a value that is a plain word is a string."""
    result: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or not re.fullmatch(r"[A-Za-z_][\w.]*", name):
            raise UserError(f"{text!r}: expected OPTION=VALUE, e.g. lidar_num_bins=32")
        if name in result:
            raise UserError(f"{name} is given twice")
        try:
            result[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            if not re.fullmatch(r"[A-Za-z_]\w*", value):
                raise UserError(f"{text!r}: {value!r} is no Python literal; e.g. \"hazards={{'num': 12}}\"") from None
            result[name] = value
    return result


# --- what the commands share ------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Turn what wrong ids and options raise into one line."""
    import gymnasium

    try:
        yield
    except (ValueError, TypeError, NotImplementedError, gymnasium.error.Error) as error:
        raise UserError(" ".join(str(error).split())) from error


@dataclasses.dataclass(frozen=True)
class _Environment:
    """An id with its options, compiled, with one simulation. `default` is the configuration without options, if any."""

    id: str
    parsed: Any
    robot: Any
    sim: Any
    default: Any


def _environment(env_id: str, options: Mapping[str, Any]) -> _Environment:
    from safety_gym import registry
    from safety_gym.robots import ROBOTS
    from safety_gym.simulator import Simulator

    given = dict(options)
    limit = given.pop("max_episode_steps", registry.max_episode_steps(env_id))
    if limit is not None and (isinstance(limit, bool) or not isinstance(limit, int) or (limit < 1 and limit != -1)):
        raise ValueError(f"max_episode_steps={limit!r}: expected a whole number >= 1, or -1 for none")
    parsed, task, config = registry.resolve(env_id, given)
    robot = ROBOTS[parsed.robot]
    sim = Simulator(task, config, (robot,), 1, None if limit == -1 else limit, 1)
    default = None
    with contextlib.suppress(ValueError):  # ...Base-v0 cannot be made without the user's objects
        default = task(registry.resolve(env_id, {})[2], (robot,)).config
    return _Environment(env_id.removeprefix("safety_gym:"), parsed, robot, sim, default)


def _table(rows: Iterable[Sequence[Any]], header: Sequence[str] = (), right: Sequence[int] = ()) -> list[str]:
    """Align columns; those in `right` to the right. Lines are indented by two and never wrapped."""
    cells = [[str(cell) for cell in row] for row in ([header] if header else []) + list(rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        parts = [c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        lines.append(("  " + "  ".join(parts)).rstrip())
    return lines


def _number(value: float) -> str:
    return f"{value:g}"


def _vector(values: Sequence[float]) -> str:
    return "(" + ", ".join(map(_number, values)) + ")"


def _range(low: float, high: float) -> str:
    return "unbounded" if math.isinf(low) and math.isinf(high) else f"[{low:g}, {high:g}]"


def _plain(value: Any) -> Any:
    """Return what JSON can hold: infinities and NaN become null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, bool) or value is None or isinstance(value, str | int):
        return value
    return float(value) if math.isfinite(value) else None


def _print_json(value: Any) -> None:
    print(json.dumps(_plain(value), indent=2, allow_nan=False))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _count_of(n: int, noun: str) -> str:
    return f"{n} {noun}" + ("" if n == 1 else "s")


# --- list -------------------------------------------------------------------------------------------------------------


def _list(args: argparse.Namespace) -> int:
    from safety_gym import registry
    from safety_gym.tasks import TASKS

    def matches(env_id: str) -> bool:
        if args.pattern is None:
            return True
        wish, name = args.pattern.lower(), env_id.lower()
        return fnmatch.fnmatchcase(name, f"*{wish}*") if any(c in wish for c in "*?[") else wish in name

    planned = sum(1 for e in registry.grammar() if not e.built and matches(e.canonical))
    built = [i for i in registry.ids() if matches(i)]
    rows = []
    for env_id in built:
        row = _list_row(env_id)
        if args.all or not (row["level"] == "Base" or row["variant"]):
            rows.append(row)
    hidden = len(built) - len(rows)
    if not rows:
        raise UserError(_nothing_listed(args.pattern, hidden, planned))
    if args.json:
        _print_json({"ids": rows, "hidden": hidden, "planned": planned})
        return 0
    header = ("id", "obs", "act", "steps", "costs")
    cells = [[_list_cells(r) for r in rows if r["task"] == name] for name in TASKS]
    lines = _table([row for group in cells for row in group], header, right=(1, 2, 3))
    print(lines[0])
    at = 1
    for (_, task), group in zip(TASKS.items(), cells, strict=True):
        if group:
            print(f"\n{task.name}: {task.summary}")
            print("\n".join(lines[at : at + len(group)]))
            at += len(group)
    print(f"\n{_count_of(len(rows), 'id')}; each also exists as ...Gymnasium-v0.", end="")
    print(f" {hidden} more with --all (...Base-v0, ...Debug-v0)." if hidden else "")
    if planned:
        print(
            f"{planned} further ids of the grammar{' match and' if args.pattern else ''} are planned but not built yet."
        )
    return 0


def _list_row(env_id: str) -> dict[str, Any]:
    from safety_gym import registry

    row: dict[str, Any]
    try:
        env = _environment(env_id, {})
        parsed, space = env.parsed, env.sim.observer.size
        row = {"observation": space, "action": env.sim.nact, "max_episode_steps": env.sim.max_episode_steps}
        row["costs"] = list(env.sim.cost_names)
    except ValueError:  # Base: the objects are the user's
        parsed = registry.resolve(env_id, {})[0]
        row = {"observation": None, "action": None, "max_episode_steps": registry.max_episode_steps(env_id)}
        row["costs"] = None
    names = {"id": env_id, "robot": parsed.robot, "task": parsed.task, "level": parsed.level, "variant": parsed.variant}
    return names | row


def _list_cells(row: Mapping[str, Any]) -> tuple[Any, ...]:
    if row["observation"] is None:
        return row["id"], "-", "-", row["max_episode_steps"], "depend on your objects"
    costs = ", ".join(name.removeprefix("cost_") for name in row["costs"]) or "none"
    return row["id"], row["observation"], row["action"], row["max_episode_steps"], costs


def _nothing_listed(pattern: str | None, hidden: int, planned: int) -> str:
    from safety_gym import registry

    if hidden:
        return f"only ...Base-v0 and ...Debug-v0 ids match {pattern!r} ({hidden}); list them with --all"
    if planned:
        return f"no id that can be made matches {pattern!r}; {planned} that are planned but not built yet do"
    close = difflib.get_close_matches(str(pattern), registry.ids(), 1, 0.5)
    return f"no id matches {pattern!r}" + (f"; did you mean {close[0]!r}?" if close else "")


# --- show -------------------------------------------------------------------------------------------------------------


def _show(args: argparse.Namespace) -> int:
    options = _options(args.options)
    with _told():
        env = _environment(args.id, options)
    about = describe(env)
    if args.json:
        _print_json(about)
    else:
        print("\n".join(_show_lines(env, about)))
    return 0


def describe(env: _Environment) -> dict[str, Any]:
    """Return all that `show` prints, as plain data."""
    sim, config, parsed = env.sim, env.sim.config, env.parsed
    space, model = sim.action_space(), sim.scene.model
    timestep = float(model.opt.timestep)
    return {
        "id": env.id,
        "robot": parsed.robot,
        "task": parsed.task,
        "level": parsed.level,
        "summary": sim.task.summary,
        "observation": {
            "size": sim.observer.size,
            "flatten": config.observation_flatten,
            "dtype": "float64",
            "slices": [
                {
                    "key": t.key,
                    "start": t.start,
                    "stop": t.stop,
                    "shape": t.shape,
                    "low": t.low,
                    "high": t.high,
                    "meaning": t.meaning,
                }
                for t in sim.observer.terms
            ],
        },
        "action": {
            "size": sim.nact,
            "dtype": "float64",
            "actuators": [
                {
                    "name": model.actuator(i).name.rpartition("/")[2],
                    "low": float(space.low[i]),
                    "high": float(space.high[i]),
                }
                for i in range(sim.nact)
            ],
            "keys": {k: list(map(float, v)) for k, v in {**env.robot.keys, **env.robot.exclusive_keys}.items()},
        },
        "reward": {"terms": dict(sim.task.reward_terms), "clip": config.reward_clip, "factor": config.reward_factor},
        "cost": {
            "terms": [
                {"key": t.key, "meaning": t.meaning, "objects": spec.kind, "every_step": t.present is None}
                for t, spec in sim.terms
            ],
            "indicator": config.constrain_indicator,
        },
        "limits": {
            "max_episode_steps": sim.max_episode_steps,
            "seconds": None if sim.max_episode_steps is None else sim.max_episode_steps * timestep * _substeps(),
            "reward_exception": config.reward_exception,
            "goals": sim.task.has_goal,
            "continue_goal": config.continue_goal,
        },
        "extents": config.extents,
        "agent": dataclasses.asdict(config.agent),
        "objects": [
            {
                "kind": o.kind,
                "num": o.num,
                "size": getattr(o, "radius", getattr(o, "size", None)),
                "keepout": o.keepout,
                "mobility": o.mobility.name.lower(),
                "costs": o.is_constrained,
                "lidar": o.is_lidar_observed,
                "compass": o.is_comp_observed,
                "placements": o.placements,
                "locations": o.locations,
            }
            for o in config.objects
        ],
        "physics": {
            "timestep": timestep,
            "substeps": _substeps(),
            "control_step": timestep * _substeps(),
            "integrator": env.robot.integrator,
            "nq": int(model.nq),
            "nv": int(model.nv),
            "nu": int(model.nu),
            "sleep": bool(sim.scene.config.sleep),
        },
        "options": _option_rows(env),
        "arguments": _make_arguments(),
    }


def _substeps() -> int:
    from safety_gym.scene import SUBSTEPS

    return SUBSTEPS


def _option_rows(env: _Environment) -> list[dict[str, Any]]:
    """Return every option: name, value, default (None and `has_default` False where the id has none), meaning."""
    from safety_gym.task import ALIASES

    config, default = env.sim.config, env.default
    aliases = {ours: theirs for theirs, ours in ALIASES.items()}
    rows: list[dict[str, Any]] = []

    def add(name: str, value: Any, base: Any, known: bool, about: str, alias: str | None = None) -> None:
        rows.append(
            {"name": name, "value": value, "default": base, "has_default": known, "meaning": about, "alias": alias}
        )

    for field in dataclasses.fields(config):
        if field.name in ("objects", "agent"):
            continue
        base = getattr(default or config, field.name)
        value = getattr(config, field.name)
        add(field.name, value, base, default is not None, OPTION_HELP.get(field.name, ""), aliases.get(field.name))
    for field in dataclasses.fields(config.agent):
        base = getattr((default or config).agent, field.name)
        add(f"agent.{field.name}", getattr(config.agent, field.name), base, default is not None, "")
    before = {o.kind: o for o in default.objects} if default else {}
    for obj in config.objects:
        for field in dataclasses.fields(obj):
            known = obj.kind in before
            base = getattr(before[obj.kind], field.name) if known else None
            add(f"{obj.kind}.{field.name}", getattr(obj, field.name), base, known, "")
    return rows


def _make_arguments() -> dict[str, Any]:
    """Return the arguments of `make` and `make_vec` that are no options of the task, with their defaults."""
    from safety_gym.vector_env import SafetyVectorEnv

    given = inspect.signature(SafetyVectorEnv).parameters.values()
    plain = [p for p in given if p.kind is not p.VAR_KEYWORD and p.name != "env_id"]
    return {p.name: getattr(p.default, "value", p.default) for p in plain}


def _show_lines(env: _Environment, about: Mapping[str, Any]) -> list[str]:
    obs, action, cost, physics = about["observation"], about["action"], about["cost"], about["physics"]
    level = "objects are yours" if about["level"] == "Base" else f"level {about['level']}"
    lines = [f"{env.id}: {about['robot']} robot, {about['task']} task, {level}", about["summary"], ""]

    form = "one vector" if obs["flatten"] else "a dict by key"
    lines.append(f"Observation: {obs['size']} numbers, {form}, {obs['dtype']}")
    rows: list[Sequence[Any]] = [
        (f"{t['start']}:{t['stop']}", t["key"], t["shape"], _range(t["low"], t["high"]), t["meaning"])
        for t in obs["slices"]
    ]
    lines += _table(rows, ("slice", "key", "shape", "range", "unit, frame, meaning"))

    lines += ["", f"Action: {_count_of(action['size'], 'number')}, {action['dtype']}, clipped to the range"]
    rows = [(i, a["name"], _range(a["low"], a["high"])) for i, a in enumerate(action["actuators"])]
    lines += _table(rows, ("index", "actuator", "range"))
    if action["keys"]:
        lines.append("  keys: " + ", ".join(f"{k.upper()} {_vector(v)}" for k, v in action["keys"].items()))

    lines += ["", "Reward: the sum of"]
    lines += _table([*about["reward"]["terms"].items()])
    clip, exception = about["reward"]["clip"], about["limits"]["reward_exception"]
    lines.append(
        f"  {'not clipped' if clip is None else f'clipped to [{-clip:g}, {clip:g}]'}; {exception:g} in the step"
    )
    lines[-1] += " in which a simulation becomes unstable (truncated, with info['cost_exception'])"

    lines += ["", f"Cost: {_cost_rule(cost)}"]
    if cost["terms"]:
        rows = [
            (f"info['{t['key']}']", t["objects"], t["meaning"] + ("" if t["every_step"] else "; absent in some steps"))
            for t in cost["terms"]
        ]
        lines += _table(rows, ("entry", "charged by", "raw value"))

    lines += ["", "Limits", *_table(_limit_rows(about))]
    lines += ["", "Objects" if about["objects"] else "Objects: none"]
    if about["objects"]:
        rows = [
            (
                o["kind"],
                o["num"],
                "-" if o["size"] is None else _number(o["size"]),
                _number(o["keepout"]),
                o["mobility"],
                *("yes" if o[flag] else "-" for flag in ("costs", "lidar", "compass")),
            )
            for o in about["objects"]
        ]
        header = ("kind", "number", "size m", "keep-out m", "form", "costs", "lidar", "compass")
        lines += _table(rows, header, right=(1, 2, 3))
    step = physics["control_step"]
    lines += ["", "Physics"]
    lines.append(
        f"  {physics['substeps']} substeps of {physics['timestep']:g} s per step: {step:g} s, {1 / step:g} steps per "
        f"second; {physics['integrator']} integrator"
    )
    lines.append(
        f"  {physics['nq']} positions, {physics['nv']} velocities, {physics['nu']} actuators; bodies at rest "
        f"{'may sleep' if physics['sleep'] else 'do not sleep'}"
    )
    lines += [
        "",
        "Options: make(id, name=value); of objects make(id, hazards={'num': 12}), of the agent make(id, agent={...})",
    ]
    lines += _option_lines(about["options"])
    lines += ["", "Arguments of make and make_vec besides"]
    lines.append("  " + ", ".join(f"{k}={v!r}" for k, v in about["arguments"].items()))
    return lines


def _cost_rule(cost: Mapping[str, Any]) -> str:
    if not cost["terms"]:
        return "always 0, nothing is charged"
    if cost["indicator"]:
        return "1 where the sum of the raw values is > 0, else 0; so is every entry (constrain_indicator)"
    return "the sum of the raw values (constrain_indicator=False)"


def _limit_rows(about: Mapping[str, Any]) -> list[Sequence[Any]]:
    limits = about["limits"]
    steps = "none" if limits["max_episode_steps"] is None else f"{limits['max_episode_steps']} steps"
    seconds = "" if limits["seconds"] is None else f" ({limits['seconds']:g} s), then truncated"
    goal = (
        "a reached goal is replaced, the episode goes on"
        if limits["continue_goal"]
        else "a reached goal ends the episode"
    )
    agent = about["agent"]
    return [
        ("episode", steps + seconds),
        *([("goal", goal)] if limits["goals"] else []),
        ("extents", f"{_vector(about['extents'])} m: where things are placed"),
        ("robot", f"keep-out {agent['keepout']:g} m; " + _agent_place(agent)),
    ]


def _agent_place(agent: Mapping[str, Any]) -> str:
    if agent["locations"]:
        where = "starts at " + ", ".join(map(_vector, agent["locations"]))
    elif agent["placements"]:
        where = "starts in " + ", ".join(map(_vector, agent["placements"]))
    else:
        where = "starts anywhere in the extents"
    return where + (", heading at random" if agent["rot"] is None else f", heading {agent['rot']:g} rad")


def _option_lines(options: Sequence[Mapping[str, Any]]) -> list[str]:
    """Print options of the task and the agent one per line, those of objects one kind per line."""
    rows: list[Sequence[Any]] = []
    objects: dict[str, list[str]] = {}
    for option in options:
        value = repr(option["value"])
        changed = option["value"] != option["default"]
        if changed:
            value += f" (default {option['default']!r})" if option["has_default"] else ""
        kind, dot, field = option["name"].partition(".")
        if dot and kind != "agent":
            objects.setdefault(kind, []).append(f"{field} {value}")
        else:
            about = option["meaning"] + (f" [{option['alias']}]" if option["alias"] else "")
            rows.append((option["name"], value, about))
    return [*_table(rows), *_table([(kind, ", ".join(fields)) for kind, fields in objects.items()])]


# --- play -------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Drive:
    """A keyboard session: the environment, the seed of the layout and what was earned since the reset."""

    env: Any
    robot: Any
    id: str
    seed: int
    write: Callable[[Any], None] | None = None
    steps: int = 0
    reward: float = 0.0
    cost: float = 0.0
    total: float = 0.0
    charged: float = 0.0
    ended: str = ""
    written: tuple[int, int] = (-1, -1)

    def begin(self) -> None:
        self.steps, self.reward, self.cost, self.total, self.charged, self.ended = 0, 0.0, 0.0, 0.0, 0.0, ""
        self.env.reset(seed=self.seed)

    def next_layout(self) -> None:
        print(self.summary(), flush=True)
        self.seed += 1
        self.begin()

    def step(self, held: frozenset[str]) -> None:
        from safety_gym.views import key_action

        if self.ended:
            self.next_layout()
        _, self.reward, self.cost, terminated, truncated, _ = self.env.step(key_action(self.robot, held))
        self.steps += 1
        self.total += self.reward
        self.charged += self.cost
        self.ended = "terminated" if terminated else "truncated" if truncated else ""

    def frame(self, camera: str) -> Any:
        picture = self.env.unwrapped.vec.frame(0, camera)
        if self.write is not None and self.written != (self.seed, self.steps):
            self.write(picture)
            self.written = (self.seed, self.steps)
        return picture

    def lines(self) -> list[str]:
        return [
            f"{self.id}   layout seed {self.seed}" + (f"   {self.ended}" if self.ended else ""),
            f"step {self.steps}   reward {self.reward:+.4f}   return {self.total:+.2f}",
            f"cost {self.cost:g}   sum of costs {self.charged:g}",
            "keys " + " ".join(key.upper() for key in (*self.robot.keys, *self.robot.exclusive_keys)),
        ]

    def summary(self) -> str:
        end = f", {self.ended}" if self.ended else ""
        return f"seed {self.seed}: {self.steps} steps, return {self.total:+.3f}, cost {self.charged:g}{end}"


def _play(args: argparse.Namespace) -> int:
    from safety_gym import LayoutError, registry
    from safety_gym.rendering import GLUnavailable
    from safety_gym.robots import ROBOTS
    from safety_gym.viewer import DisplayUnavailable, Viewer, play
    from safety_gym.views import SafetyEnv

    options = _options(args.options)
    for name in ("render_mode", "width", "height", "keyboard"):
        if name in options:
            raise UserError(f"{name} cannot be set here; --size sets the size of the picture")
    if args.size % 2:
        raise UserError(f"--size {args.size}: expected an even number of pixels, as videos need")
    with _told():
        parsed, _, _ = registry.resolve(
            args.id, {k: v for k, v in options.items() if k not in ("max_episode_steps", "camera_name")}
        )
        robot = ROBOTS[parsed.robot]
        if not robot.keys:
            raise UserError(f"there is no keyboard mapping for the {robot.name} robot")
        limit = options.pop("max_episode_steps", registry.max_episode_steps(args.id))
        camera = options.pop("camera_name", None)
        env = SafetyEnv(
            args.id,
            render_mode="rgb_array",
            max_episode_steps=limit,
            keyboard=False,
            width=args.size,
            height=args.size,
            **options,
        )
    if camera not in (None, *CAMERAS):
        raise UserError(f"camera_name={camera!r}: expected one of {', '.join(CAMERAS)}")
    cameras = CAMERAS if camera is None else (camera, *(c for c in CAMERAS if c != camera))
    with contextlib.ExitStack() as stack:
        write = stack.enter_context(_video(args.record)) if args.record else None
        stack.callback(env.close)
        from safety_gym.wrappers import CostStep

        drive = _Drive(CostStep(env), robot, env.env_id, args.seed, write)
        try:
            with _told():
                drive.begin()
            viewer = stack.enter_context(Viewer(env.env_id, (args.size, args.size)))
            _refuse_invisible()
            play(
                viewer,
                frame=drive.frame,
                step=drive.step,
                reset=drive.next_layout,
                lines=drive.lines,
                cameras=cameras,
                fps=FPS,
                max_frames=args.frames,
            )
        except (DisplayUnavailable, GLUnavailable, LayoutError, ImportError) as error:
            raise UserError(str(error)) from error
        print(drive.summary())
    if args.record:
        print(f"wrote {args.record}")
    return 0


def _refuse_invisible() -> None:
    """Raise UserError where SDL, unable to reach the display, has opened a window that nobody can see."""
    import pygame

    driver = pygame.display.get_driver()
    if driver in ("offscreen", "dummy") and not os.environ.get("SDL_VIDEODRIVER"):
        name = "DISPLAY" if os.environ.get("DISPLAY") else "WAYLAND_DISPLAY"
        raise UserError(f"the display {name}={os.environ.get(name)} cannot be reached; is it running, and yours?")


@contextlib.contextmanager
def _video(path: Path) -> Iterator[Callable[[Any], None]]:
    """Give a function that appends frames to an MP4 file; it is written beside and renamed when whole."""
    if path.suffix != ".mp4":
        raise UserError(f"--record {str(path)!r}: expected a name that ends in .mp4")
    if not path.parent.is_dir():
        raise UserError(f"--record {str(path)!r}: the folder {str(path.parent)!r} does not exist")
    try:
        import imageio.v2 as imageio
    except ImportError:
        raise UserError("--record needs imageio with ffmpeg: install the 'render' extra") from None
    part = path.with_name(f".{path.stem}.part.mp4")
    nframe = 0
    try:
        writer: Any = imageio.get_writer(part, fps=FPS, macro_block_size=2)
        with writer:

            def append(frame: Any) -> None:
                nonlocal nframe
                writer.append_data(frame)
                nframe += 1

            yield append
    except (OSError, ImportError) as error:
        raise UserError(f"--record {str(path)!r}: {error}") from error
    finally:
        if nframe and part.exists():
            os.replace(part, path)


# --- bench ------------------------------------------------------------------------------------------------------------

_ENGINE_CALLS = ("step", "rollout", "forward", "reset", "ray")


class _EngineClock:
    """Sums the seconds spent in the calls of one `Batch` from its making until `stop`."""

    def __init__(self, batch: Any) -> None:
        self.seconds = 0.0
        self._batch, self._inside = batch, False
        for name in _ENGINE_CALLS:
            setattr(batch, name, self._timed(getattr(batch, name)))

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside:  # a call that another one makes is counted already
                return call(*args, **kwargs)
            self._inside, start = True, time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start
                self._inside = False

        return timed

    def stop(self) -> None:
        for name in _ENGINE_CALLS:
            delattr(self._batch, name)


def _bench(args: argparse.Namespace) -> int:
    options = _options(args.options)
    if "num_envs" in options:
        raise UserError("num_envs is no option of the environment; use --num-envs")
    if args.threads is not None:
        options["num_threads"] = args.threads
    header = ("num_envs", "threads", "env steps/s", "us/step", "outside", "bare steps/s", "ratio", "resets")
    width = [len(h) for h in header]
    results: list[dict[str, Any]] = []
    for n in args.num_envs:
        with _told():
            row = measure(args.id, n, args.seconds, options)
        if not (results or args.json):
            print(f"{args.id}, {args.seconds:g} s each, random actions, {_cores()} cores usable")
            print("  " + "  ".join(header))
        results.append(row)
        if not args.json:
            cells = (
                str(n),
                str(row["threads"]),
                f"{row['env_steps_per_second']:,.0f}",
                f"{row['us_per_step']:.2f}",
                f"{row['outside_share']:.0%}",
                f"{row['bare_steps_per_second']:,.0f}",
                f"{row['ratio']:.2f}",
                f"{row['resets']}",
            )
            print("  " + "  ".join(c.rjust(w) for c, w in zip(cells, width, strict=True)), flush=True)
    if args.json:
        _print_json({"id": args.id, "options": options, "cores": _cores(), "results": results})
    return 0


def measure(env_id: str, num_envs: int, seconds: float, options: Mapping[str, Any]) -> dict[str, Any]:
    """Time an environment and the bare engine in turns for `seconds` in sum.

    Resets that happen are in the time; for the episode that was not finished its share of one timed reset is added, so
    that a short run is charged for resets like a long one. The bare engine starts from the states of the environment
    after each reset and is given the same actions, so that it computes the same motion.
    """
    import numpy as np
    from mujoco import mjtStage
    from mujoco.batch import Batch

    import safety_gym

    envs = safety_gym.make_vec(env_id, num_envs=num_envs, **options)
    vec: Any = envs.unwrapped
    engine, sim = vec.batch, vec.sim
    bare = Batch(sim.scene.model, num_envs, nthread=engine.nthread, persistent=engine.persistent)
    ctrl, substeps = bare.bind("ctrl"), _substeps()
    space: Any = envs.single_action_space
    rng = np.random.default_rng(0)

    def run_env(actions: Any) -> int:
        ended = 0
        for action in actions:
            _, _, _, terminated, truncated, _ = envs.step(action)
            ended += int((terminated | truncated).sum())
        return ended

    def run_bare(actions: Any) -> None:
        for action in actions:
            ctrl[:] = action
            bare.step(nstep=substeps, stage=mjtStage.mjSTAGE_ACC.value)

    def draw(length: int) -> Any:
        return rng.uniform(space.low, space.high, (length, num_envs, *space.shape))

    envs.reset(seed=0)
    start = time.perf_counter()
    run_env(draw(10))
    block = int(min(max(0.1 * 10 / (time.perf_counter() - start), 1), 1000, max(1, 2_000_000 // num_envs)))
    clock = _EngineClock(engine)
    env_s = bare_s = 0.0
    steps = resets = 0
    limit = sim.max_episode_steps
    in_step = False  # whether the bare engine is where the environment is
    while env_s + bare_s < seconds or not steps:
        length = block if limit is None else min(block, limit - int(sim.world.memory["steps"].max()))
        actions = draw(length)  # an episode ends with the last of them
        if not in_step:
            bare.state[:] = engine.state
            bare.forward()
        start = time.perf_counter()
        ended = run_env(actions)
        middle = time.perf_counter()
        run_bare(actions)
        env_s, bare_s, steps = env_s + middle - start, bare_s + time.perf_counter() - middle, steps + length
        resets, in_step = resets + ended, not ended
    engine_s = clock.seconds
    if limit is not None:
        start = time.perf_counter()
        envs.reset()
        share = max(0.0, steps / limit - resets / num_envs)
        env_s += share * (time.perf_counter() - start)
        engine_s += share * (clock.seconds - engine_s)
    clock.stop()
    envs.close()
    total = steps * num_envs
    return {
        "num_envs": num_envs,
        "threads": int(engine.nthread),
        "env_steps": total,
        "resets": resets,
        "env_steps_per_second": total / env_s,
        "us_per_step": 1e6 * env_s / total,
        "outside_share": 1 - engine_s / env_s,
        "bare_steps_per_second": total / bare_s,
        "ratio": bare_s / env_s,
    }


# --- doctor -----------------------------------------------------------------------------------------------------------


def foreign_packages(path: Sequence[str] | None = None) -> list[str]:
    """Look for another package of the import name `safety_gym`; return what was found, in words. Empty: none.

    The 2019 OpenAI package is called `safety-gym` and uses the same name; whichever of two installations comes first
    on the path wins, and in one folder the later overwrites the earlier. `path` replaces `sys.path`.
    """
    ours = Path(__file__).resolve().parent
    found = []
    entries = [os.path.abspath(entry or os.curdir) for entry in (sys.path if path is None else path)]
    for dist in importlib.metadata.distributions(path=entries):
        name = re.sub(r"[-_.]+", "-", dist.metadata["Name"] or "").lower()
        if name == "safety-gym" and _holds_package(dist):
            found.append(
                f"the distribution {dist.metadata['Name']} {dist.version} (in {dist.locate_file('')}) is installed"
            )
    if (ours / "envs" / "engine.py").exists():
        found.append(f"{ours} also holds files of the 2019 package: one was installed over the other")
    seen = {ours}
    for entry in entries:
        folder = Path(entry, "safety_gym")
        if (folder / "__init__.py").is_file() and (real := folder.resolve()) not in seen:
            seen.add(real)
            what = "the 2019 package" if (folder / "envs" / "engine.py").exists() else "another package or copy"
            found.append(f"{folder} is {what} of the import name safety_gym")
    imported = getattr(sys.modules.get("safety_gym"), "__file__", None)
    if imported and Path(imported).resolve().parent != ours:
        found.append(f"`import safety_gym` gives {imported}, not {ours}")
    return list(dict.fromkeys(found))


FOREIGN_ADVICE = (
    "Only one package can have the import name safety_gym. Use a fresh virtual environment, or: "
    f"pip uninstall -y safety-gym; pip install --force-reinstall --no-deps {DISTRIBUTION} (from where you installed it)"
)
"""What to do about `foreign_packages`."""


def _holds_package(dist: importlib.metadata.Distribution) -> bool:
    top = (dist.read_text("top_level.txt") or "").split()
    files = dist.files
    return (
        "safety_gym" in top
        or not files
        or any(f.parts[0] == "safety_gym" or "__editable__" in f.name or f.suffix == ".pth" for f in files)
    )


class _Report:
    """Prints the lines of the doctor: what was looked at, with `ok`, `warn` or `FAIL`."""

    def line(self, verdict: str, what: str, value: str, advice: str = "") -> None:
        print(f"{verdict:4}  {what:22} {value}".rstrip(), flush=True)
        for text in filter(None, advice.splitlines()):
            print(f"      {'':22} {text}", flush=True)


def _doctor(args: argparse.Namespace) -> int:
    report = _Report()
    _doctor_versions(report)
    _doctor_machine(report)
    foreign = foreign_packages()
    if foreign:
        report.line("warn", "import name", "; ".join(foreign), FOREIGN_ADVICE)
    else:
        report.line("ok", "import name", "no other package safety_gym in sight")
    _doctor_mujoco(report)
    works = _doctor_stepping(report)
    _doctor_drawing(report, works)
    print("\nThe environments work." if works else "\nThe environments do not work: see FAIL above.")
    return 0 if works else 1


def _doctor_versions(report: _Report) -> None:
    report.line(
        "ok", "python", f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}"
    )
    ours = _version(DISTRIBUTION)
    here = Path(__file__).resolve().parent
    report.line("ok", "safety_gym", f"{ours or 'a checkout, not installed'}, {here}")
    for name in ("numpy", "mujoco", "gymnasium", "pettingzoo"):
        version = _version(name)
        report.line("ok" if version else "FAIL", name, version or f"missing; pip install {name}")
    report.line("ok", "torch", _version("torch") or "not installed; only training needs it (the 'train' extra)")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_quota() -> float | None:
    """Return the cores' worth of time that the container may use (cgroup v2), None without a limit."""
    with contextlib.suppress(OSError, ValueError):
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return int(quota) / int(period)
    return None


def _doctor_machine(report: _Report) -> None:
    cores, quota = _cores(), _cpu_quota()
    text = f"{cores} usable of {os.cpu_count()}"
    if quota is not None and quota < cores:
        advice = f"set SAFETY_GYM_THREADS={max(1, round(quota))}: more threads than that only wait"
        report.line("warn", "cores", f"{text}, but the container may use the time of {quota:g}", advice)
    else:
        report.line("ok", "cores", text)
    threads = os.environ.get("SAFETY_GYM_THREADS")
    if threads and not (threads.isdigit() and int(threads) >= 1):
        report.line("FAIL", "SAFETY_GYM_THREADS", f"{threads!r}: expected a whole number >= 1; unset it or correct it")
    else:
        report.line("ok", "SAFETY_GYM_THREADS", threads or "not set: one thread per environment, at most one per core")
    report.line("ok", "MUJOCO_GL", os.environ.get("MUJOCO_GL") or "not set: chosen at the first frame")
    display = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    report.line("ok", "DISPLAY", display or "not set: no windows (pictures and videos need none)")


def _doctor_mujoco(report: _Report) -> None:
    """Say what MUJOCO_GL does to `import mujoco`, which imports the backend it names."""
    wish = os.environ.get("MUJOCO_GL")
    reason = _import_problem("mujoco", os.environ)
    if reason is None:
        report.line("ok", "import mujoco", "works")
        return
    without = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    if wish and _import_problem("mujoco", without) is None:
        advice = (
            f"`import mujoco` loads the OpenGL backend that MUJOCO_GL={wish} names, and that one does not load here.\n"
            "Stepping needs no OpenGL. Unset MUJOCO_GL (the backend is then chosen at the first frame),\n"
            "or name one that works (below), or install its library."
        )
        report.line("warn", "import mujoco", f"fails because of MUJOCO_GL={wish}: {reason}", advice)
    else:
        report.line("FAIL", "import mujoco", reason)


def _import_problem(module: str, env: Mapping[str, str]) -> str | None:
    """Import a module in a fresh interpreter; return the last line of what went wrong."""
    command = [sys.executable, "-c", f"import {module}"]
    path = os.pathsep.join(os.path.abspath(entry or os.curdir) for entry in sys.path)
    try:
        done = subprocess.run(
            command, env={**env, "PYTHONPATH": path}, capture_output=True, text=True, timeout=120, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    return ([*done.stderr.strip().splitlines()] or [f"exit status {done.returncode}"])[-1]


def _doctor_stepping(report: _Report) -> bool:
    try:
        start = time.perf_counter()
        import safety_gym

        imported = time.perf_counter()
        env = safety_gym.make(DEFAULT_ID)
        made = time.perf_counter()
        env.reset(seed=0)
        reset = time.perf_counter()
        space: Any = env.action_space
        action = 0 * space.low
        env.step(action)
        first = time.perf_counter()
        for _ in range(200):
            env.step(action)
        stepped = time.perf_counter()
        env.close()
    except Exception as error:
        report.line("FAIL", "reset and step", f"{type(error).__name__}: {error}")
        return False
    times = {"import": imported - start, "make": made - imported, "reset": reset - made, "first step": first - reset}
    text = ", ".join(f"{name} {1e3 * value:.1f} ms" for name, value in times.items() if value > 1e-5)
    report.line("ok", "reset and step", f"{DEFAULT_ID}: {text}, then {1e6 * (stepped - first) / 200:.0f} us per step")
    return True


def _doctor_drawing(report: _Report, works: bool) -> None:
    """Try the OpenGL backends and draw one frame; what does not work is a warning."""
    try:
        from safety_gym.rendering import working_backends

        backends = working_backends()
    except Exception as error:
        report.line("warn", "OpenGL", f"not tried: {type(error).__name__}: {error}")
        return
    for name, result in backends.items():
        if result != "ok" and name == "glfw" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            result = "needs a display"
        report.line("ok" if result == "ok" else "-", f"OpenGL {name}", "works" if result == "ok" else result)
    if not works:
        report.line("-", "one frame", "not tried, since stepping does not work")
        return
    try:
        import safety_gym

        env = safety_gym.make(DEFAULT_ID, render_mode="rgb_array")
        env.reset(seed=0)
        start = time.perf_counter()
        frame: Any = env.render()
        middle = time.perf_counter()
        env.render()
        end = time.perf_counter()
        env.close()
    except Exception as error:
        report.line("warn", "one frame", "cannot be drawn; everything without pictures works", str(error))
        return
    shape = "x".join(map(str, frame.shape[:2]))
    report.line(
        "ok", "one frame", f"{shape} in {1e3 * (end - middle):.1f} ms (the first {1e3 * (middle - start):.0f} ms)"
    )
    from safety_gym.rendering import select_backend

    report.line("ok", "backend in use", select_backend())


# --- conformance ------------------------------------------------------------------------------------------------------


def _conformance(args: argparse.Namespace) -> int:
    from safety_gym.conformance import Report, check_file, find_files

    folder: Path = args.folder
    if not folder.is_dir():
        raise UserError(f"{str(folder)!r} is no folder")
    if args.json is not None and not args.json.parent.is_dir():
        raise UserError(f"--json {str(args.json)!r}: the folder {str(args.json.parent)!r} does not exist")
    with _told():
        files = find_files(folder)
    skipped = sorted({path.name for path in folder.glob("*.npz")} - {path.name for path in files})
    reports: list[Report] = []
    for path in files:
        try:
            report = check_file(path)
        except Exception as error:  # what is wrong with one file must not hide the others
            problem = f"cannot be replayed: {type(error).__name__}: {error}"
            report = Report(path.name, path.name.split("__")[0], problems=[problem])
        reports.append(report)
        print(report.line(), flush=True)
    failed = [r for r in reports if not r.passed]
    print(
        f"{len(reports) - len(failed)} of {_count_of(len(reports), 'file')} agree with the reference"
        + (f", {len(failed)} fail" if failed else "")
        + (f"; {len(skipped)} skipped (environments that are not built)" if skipped else "")
    )
    if args.json is not None:
        _write_conformance(args.json, reports, skipped)
    return 1 if failed else 0


def _write_conformance(path: Path, reports: Sequence[Any], skipped: Sequence[str]) -> None:
    from safety_gym.conformance import TOLERANCES

    content = {
        "versions": {name: _version(name) for name in (DISTRIBUTION, "mujoco", "numpy", "gymnasium")},
        "tolerances": {name: dataclasses.asdict(t) for name, t in TOLERANCES.items()},
        "passed": sum(r.passed for r in reports),
        "failed": sum(not r.passed for r in reports),
        "skipped": list(skipped),
        "files": [dataclasses.asdict(r) for r in reports],
    }
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(_plain(content), indent=2, allow_nan=False) + "\n")
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"--json {str(path)!r}: {error}") from error


if __name__ == "__main__":
    raise SystemExit(main())
