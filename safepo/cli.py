"""The `safepo` command: train, eval, resume, plot, video, export, list. Heavy imports happen inside each command."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from safepo import __version__
from safepo.errors import UserError, did_you_mean

TRAIN_PACKAGES = ("torch", "tyro", "rich", "tensorboard", "matplotlib")
EXPORT_PACKAGES = ("onnx", "onnxscript")
INSTALL_HINT = 'install the "train" extra: pip install "safe-rl-suite[train]" (or ".[train]" in a checkout)'

USAGE_EPILOG = """examples:
  safepo train ppo_lag --env-id SafetyPointGoal1-v0 --total-steps 1e6 --cost-limit 25
  safepo train ppo_lag --preset quick --seed 1
  safepo eval runs/SafetyPointGoal1-v0/ppo_lag-1a2b3c4d-seed0
  safepo plot runs/SafetyPointGoal1-v0/*
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 good, 1 failed, 2 wrong arguments, 130 stopped on request)."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        if args[:1] == ["train"]:
            return _train(args[1:])
        return _dispatch(args)
    except UserError as error:
        print(f"safepo: error: {error}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if error.name not in (*TRAIN_PACKAGES, *EXPORT_PACKAGES):
            raise
        hint = INSTALL_HINT.replace("train", "export") if error.name in EXPORT_PACKAGES else INSTALL_HINT
        print(f"safepo: error: {error.name} is not installed; {hint}", file=sys.stderr)
        return 2
    except FloatingPointError as error:
        print(f"safepo: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("safepo: stopped; what the last checkpoint holds is kept", file=sys.stderr)
        return 130


def _dispatch(args: list[str]) -> int:
    """Every command but `train`, whose options depend on the algorithm."""
    parser = _parser()
    if not args:
        parser.print_help()
        return 2
    commands = {"train", "eval", "resume", "plot", "video", "export", "list"}
    if not args[0].startswith("-") and args[0] not in commands:
        raise UserError(did_you_mean(args[0], commands, "command"))
    options = parser.parse_args(args)
    return options.run(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="safepo",
        description="Safe reinforcement learning: train, evaluate and compare policies under a cost limit.",
        epilog=USAGE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"safepo {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND")

    train = commands.add_parser("train", help="train an algorithm (`safepo train ALGORITHM --help` lists its options)")
    train.set_defaults(run=lambda options: 0)

    evaluate = commands.add_parser("eval", help="evaluate a run with fresh episodes; writes eval.json")
    evaluate.add_argument("target", metavar="RUN", nargs="+", help="run directories or checkpoint files")
    evaluate.add_argument("--episodes", type=_integer, default=20, help="episodes per mode (default 20)")
    evaluate.add_argument("--seed", type=_integer, default=1000, help="seed of the evaluation (default 1000)")
    evaluate.add_argument("--env-id", default=None, help="environment, if not the one trained on (spaces must agree)")
    evaluate.add_argument("--random", action="store_true", help="also evaluate uniform random actions")
    evaluate.set_defaults(run=_eval)

    resume = commands.add_parser("resume", help="continue an interrupted run from its last checkpoint")
    resume.add_argument("target", metavar="RUN", help="run directory")
    resume.set_defaults(run=_resume)

    plot = commands.add_parser("plot", help="return and cost against environment steps, averaged over seeds")
    plot.add_argument("target", metavar="RUN", nargs="+", help="run directories")
    plot.add_argument("--output", type=Path, default=Path("curves.png"), help="image to write (default curves.png)")
    plot.set_defaults(run=_plot)

    video = commands.add_parser("video", help="record one episode as mp4; of several runs side by side")
    video.add_argument("target", metavar="RUN", nargs="+", help="run directories, checkpoint files, or files of states")
    video.add_argument(
        "--output", type=Path, default=None, help="file to write (default RUN/video.mp4, of several comparison.mp4)"
    )
    video.add_argument("--seed", type=_integer, default=0, help="seed of the episode (default 0)")
    video.add_argument("--steps", type=_integer, default=None, help="show at most so many steps (default: all)")
    video.add_argument("--camera", help="camera of safety_gym scenes (default fixedfar, of walkers track)")
    video.add_argument("--size", type=_integer, default=400, help="pixels of a picture's side (default 400)")
    video.add_argument("--stochastic", action="store_true", help="sample actions instead of taking the mean")
    video.add_argument(
        "--states", type=Path, default=None, help="also keep the states of the (first) episode in this file: given as "
        "RUN, it is drawn again, such as from another camera"
    )  # fmt: skip
    video.set_defaults(run=_video)

    export = commands.add_parser("export", help="write the policy as ONNX: raw observations in, actions out")
    export.add_argument("target", metavar="RUN", help="run directory or checkpoint file")
    export.add_argument("--output", type=Path, default=None, help="file to write (default RUN/policy.onnx)")
    export.set_defaults(run=_export)

    listing = commands.add_parser("list", help="list the algorithms and presets")
    listing.set_defaults(run=_list)
    return parser


def _train(args: list[str]) -> int:
    from safepo.algorithms import ALL_ALGORITHMS, algorithm_info

    if not args or args[0].startswith("-"):
        print("usage: safepo train ALGORITHM [options]\n\nalgorithms (`safepo train ALGORITHM --help` lists options):")
        print("\n".join(f"  {info.name:10} {info.summary}" for info in ALL_ALGORITHMS.values()))
        return 0 if args[:1] in (["-h"], ["--help"]) else 2
    info = algorithm_info(args[0])

    from safepo.config import presets_of
    from safepo.trainer import Interrupted, start
    from safepo.tuned import tuned_for

    config, preset, tuned = parse_train(info.name, args[1:])
    if tuned and (row := tuned_for(config.run.env_id, info.name)) is not None:
        print(row.line())
    if preset is not None:
        values = presets_of(info.name)[preset]
        print(f"{preset_line(preset, values)} (config file and options override it)")
    try:
        print(f"run: {start(config)}")
    except Interrupted as stop:
        print(stop)
        return 130
    return 0


def parse_train(algorithm: str, args: list[str]) -> tuple[Any, str | None, bool]:
    """Options of `safepo train ALGORITHM` -> resolved configuration, preset name, whether tuned settings count.

    `--preset`, `--config`, `--env-id` and `--no-tuned` are read first: they give the defaults that the other options
    override.
    """
    import tyro

    from safepo.algorithms import algorithm_info
    from safepo.config import Config, RunConfig, make_config

    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset")
    first.add_argument("--config")
    first.add_argument("--env-id", "--env_id")
    first.add_argument("--no-tuned", "--no_tuned", action="store_true")
    chosen, _ = first.parse_known_args(args)
    given = {} if chosen.env_id is None else {"env_id": chosen.env_id}
    default = make_config(
        algorithm, preset=chosen.preset, file=chosen.config, tuned=not chosen.no_tuned, check=False, **given
    )
    _, settings_type = algorithm_info(algorithm).load()
    flat: Any = tyro.conf.OmitArgPrefixes  # `--clip`, not `--settings.clip`
    options_type = dataclasses.make_dataclass(
        "Options",
        [
            ("run", flat[RunConfig]),
            ("settings", flat[settings_type]),
            ("preset", str | None, dataclasses.field(default=None)),
            ("config", str | None, dataclasses.field(default=None)),
            ("tuned", bool, dataclasses.field(default=True)),
        ],
    )
    options_type.__doc__ = (
        f"Train {algorithm}.\n\nArgs:\n"
        "    run: What to train on, how long, and where results go.\n"
        f"    settings: Settings of {algorithm}.\n"
        "    preset: Named bundle of settings (`safepo list`); a config file and options override it.\n"
        "    config: TOML file of settings; options override it.\n"
        "    tuned: Start from the settings that belong to the environment, where there are some."
    )
    whole = {
        "--" + f.name.replace("_", "-")
        for kind in (RunConfig, settings_type)
        for f in dataclasses.fields(kind)
        if isinstance(f.default, int) and not isinstance(f.default, bool)
    }
    options: Any = tyro.cli(
        options_type,
        prog=f"safepo train {algorithm}",
        args=_whole_numbers(args, whole),
        default=options_type(default.run, default.settings, chosen.preset, chosen.config),
    )
    return Config(algorithm, options.run, options.settings).check(), chosen.preset, options.tuned


def _whole_numbers(args: list[str], names: set[str]) -> list[str]:
    """Rewrite `--total-steps 1e6` to `--total-steps 1000000` for integer options; other text stays as it is."""
    result, pending = [], False
    for arg in args:
        name, _, value = arg.partition("=")
        name = name.replace("_", "-")
        if name in names and value:
            arg = f"{name}={_whole(value)}"
        elif pending:
            arg = _whole(arg)
        pending = name in names and not value
        result.append(arg)
    return result


def _whole(text: str) -> str:
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        return text
    return str(int(number)) if number.is_integer() else text


def _integer(text: str) -> int:
    return int(_whole(text))


def _act_on_one_thread() -> None:
    """Policies are small: more threads only wait for each other, for minutes where other programs run."""
    import torch

    torch.set_num_threads(1)


def _eval(options: argparse.Namespace) -> int:
    from safepo.evaluation import evaluate_random, evaluate_run
    from safepo.policy import load

    _act_on_one_thread()
    if options.episodes < 1:
        raise UserError(f"--episodes must be at least 1, got {options.episodes}")
    for target in options.target:
        result = evaluate_run(target, options.episodes, options.seed, options.env_id)
        shown = {mode: result[mode] for mode in ("deterministic", "stochastic")}
        if options.random:
            env_id, view = result["deterministic"]["env_id"], load(target).view
            shown["random"] = evaluate_random(env_id, options.episodes, options.seed, view)
        print(target)
        _print_evaluation(shown, result)
    return 0


def _print_evaluation(shown: dict[str, Any], result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    from safepo.logger import show_limit

    first = next(iter(shown.values()))
    title = f"{first['env_id']}, {result['checkpoint']}, {first['episodes']} episodes: mean +- standard error (std)"
    table = Table("", *shown, title=title, title_justify="left")
    for name in (k for k, v in first.items() if isinstance(v, dict)):
        cells = [f"{r[name]['mean']:.2f} +- {r[name]['stderr']:.2f} ({r[name]['std']:.2f})" for r in shown.values()]
        table.add_row(name, *cells)
    table.add_row("cost limit", *[show_limit(result["cost_limit"]) for _ in shown])
    Console().print(table)


def _resume(options: argparse.Namespace) -> int:
    from safepo.trainer import Interrupted, resume

    try:
        print(f"run: {resume(options.target)}")
    except Interrupted as stop:
        print(stop)
        return 130
    return 0


def _plot(options: argparse.Namespace) -> int:
    from safepo.plot import plot

    print(f"wrote {plot(options.target, options.output)}")
    return 0


def _video(options: argparse.Namespace) -> int:
    from safepo.video import record

    _act_on_one_thread()
    path = record(
        options.target, options.output, options.seed, not options.stochastic, options.camera, options.size,
        options.steps, options.states,
    )  # fmt: skip
    print(f"wrote {path}")
    return 0


def _export(options: argparse.Namespace) -> int:
    from safepo.export import export

    print(f"wrote {export(options.target, options.output)}")
    return 0


def _list(options: argparse.Namespace) -> int:
    from rich.console import Console
    from rich.table import Table

    from safepo.algorithms import ALL_ALGORITHMS, MODEL_ALGORITHMS, TEAM_ALGORITHMS
    from safepo.config import PRESETS, presets_of
    from safepo.dreamer.settings import Variant

    table = Table("algorithm", "agents", "constrained", "what it does", "paper")
    for info in ALL_ALGORITHMS.values():
        agents = "several" if info.name in TEAM_ALGORITHMS else "one"
        table.add_row(info.name, agents, "yes" if info.constrained else "no", info.summary, info.paper)
    console = Console()
    console.print(table)
    for name, values in PRESETS.items():
        console.print(preset_line(name, values), highlight=False)
    for name in MODEL_ALGORITHMS:
        own = f"{name}: presets {', '.join(presets_of(name))}; variants {', '.join(get_args(Variant))}"
        console.print(own, highlight=False)
    return 0


def preset_line(name: str, values: Mapping[str, Any]) -> str:
    """`preset quick: total_steps 300,000, ...`"""
    return f"preset {name}: {', '.join(f'{k} {v:,}' for k, v in values.items())}"


if __name__ == "__main__":
    sys.exit(main())
