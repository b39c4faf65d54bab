"""Speed of training: part of `make bench`, or `python -m benchmarks.training --help`.

One epoch of PPO-Lag and of CPO, ours beside a yardstick (yardstick.py) that computes the same mathematics the way the
reference implementation does. Both step our environments, with the same number of threads. Columns:

rollout s        collecting the epoch; the yardstick finishes its paths here, ours estimates advantages in the update
env s            part of it inside the environment's `step`
update s         the rest of the epoch
epoch s          rollout and update
update CPU s     processor time of the update, which other programs on the machine disturb less
CPU ms/batch     processor time per minibatch of the part that loops over minibatches (CPO: the critics' regression)

Rows: "ours"; "yardstick"; "reference envs", the yardstick with the time of the reference suite's own
environments in place of ours (only with `--reference-python`: 10 environments, each in its process as the reference
trains, random actions, the resets at the end of an episode included; one episode is timed and scaled to the epoch's
steps); "ratio ...", that row over ours.

Ours, yardstick and reference environments take turns, one epoch (one episode) each. Medians over the repeats are
printed; a ratio is taken within a repeat, its median and, in brackets, smallest and largest value are printed. Early
stop by KL is switched off, so that both make all passes over the data.

Results go to a JSON file as well, with the machine, the load and the versions.
"""

from __future__ import annotations

import argparse
import cProfile
import math
import os
import pstats
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import safety_gym
from benchmarks.speed import Reference, machine, print_cells, program, save
from benchmarks.yardstick import YARDSTICKS
from safepo.config import Config, RunConfig, make_config
from safepo.envs import VectorEnv
from safepo.trainer import Trainer

FIRST_ORDER = ("ppo_lag",)
REFERENCE_ENVS = 10  # what the reference trains with by default
NEVER = 1e9  # a KL divergence that no pass reaches
ON_REFERENCE = "reference envs"
REPLACED = ("rollout_s", "environment_s", "epoch_s")  # what the environments' time is part of
COLUMNS = {
    "rollout_s": "rollout s",
    "environment_s": "env s",
    "update_s": "update s",
    "epoch_s": "epoch s",
    "update_cpu_s": "update CPU s",
    "batch_cpu_ms": "CPU ms/batch",
}


class Clock:
    """Seconds of wall and of processor time spent inside `with clock:`, summed."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.wall_s = self.cpu_s = 0.0

    def __enter__(self) -> None:
        self._start = (time.perf_counter(), time.process_time())

    def __exit__(self, *exc: object) -> None:
        self.wall_s += time.perf_counter() - self._start[0]
        self.cpu_s += time.process_time() - self._start[1]

    def watch(self, owner: Any, name: str) -> Clock:
        """Time every call of `owner.name` from now on."""
        call = getattr(owner, name)

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self:
                return call(*args, **kwargs)

        setattr(owner, name, timed)
        return self


@dataclass
class Contestant:
    """A training loop with clocks at its parts."""

    learner: Any
    """What `update` is a method of."""
    epoch: Callable[[], Any]
    close: Callable[[], None]
    rollout: Clock
    environment: Clock
    passes: Clock
    npass: int
    nbatch: int
    """Minibatches of a pass."""

    def measure(self) -> dict[str, float]:
        """Run one epoch and return its row."""
        for clock in (self.rollout, self.environment, self.passes):
            clock.clear()
        whole = Clock()
        with whole:
            self.epoch()
        return {
            "rollout_s": self.rollout.wall_s,
            "environment_s": self.environment.wall_s,
            "update_s": whole.wall_s - self.rollout.wall_s,
            "passes_s": self.passes.wall_s,
            "epoch_s": whole.wall_s,
            "update_cpu_s": whole.cpu_s - self.rollout.cpu_s,
            "batch_cpu_ms": 1e3 * self.passes.cpu_s / (self.npass * self.nbatch),
        }


def make_ours(config: Config) -> Contestant:
    """`safepo.trainer.Trainer`, without writers."""
    trainer = Trainer(config)
    trainer.start()
    name = "run" if config.algorithm in FIRST_ORDER else "run_critics"
    return Contestant(
        trainer.algorithm,
        trainer.run_epoch,
        trainer.close,
        Clock().watch(trainer.collector, "collect"),
        Clock().watch(trainer.env, "step"),
        Clock().watch(trainer.algorithm.fitter, name),  # type: ignore[attr-defined]
        config.settings.passes,
        math.ceil(config.run.epoch_steps / config.settings.batch_size),
    )


def make_yardstick(config: Config, num_envs: int) -> Contestant:
    """The yardstick on `num_envs` environments."""
    run = config.run
    torch.manual_seed(run.seed)
    env = VectorEnv(run.env_id, num_envs, run.env_threads)
    loop = YARDSTICKS[config.algorithm](config.settings, env, run.steps_per_epoch // num_envs)
    loop.reset(run.seed)

    def epoch() -> None:
        loop.collect()
        loop.update()

    return Contestant(
        loop,
        epoch,
        env.close,
        Clock().watch(loop, "collect"),
        Clock().watch(env, "step"),
        Clock().watch(loop, "fit"),
        config.settings.passes,
        math.ceil(loop.horizon * num_envs / config.settings.batch_size),
    )


def settings_of(algorithm: str, args: argparse.Namespace, **changes: Any) -> Config:
    """The algorithm's defaults with the early stop switched off."""
    values: dict[str, Any] = {
        "env_id": args.env_id,
        "num_envs": args.num_envs,
        "env_threads": args.threads,
        "torch_threads": args.torch_threads,
        "device": "cpu",
        "steps_per_epoch": args.steps_per_epoch,
        "total_steps": 1000 * args.steps_per_epoch,  # the actor's step size hardly decays
    }
    values |= {"passes": args.passes} if args.passes else {}
    values |= {"target_kl": NEVER} if algorithm in FIRST_ORDER else {}
    return make_config(algorithm, **(values | changes))


def measure_algorithm(algorithm: str, args: argparse.Namespace, reference: Reference | None) -> dict[str, Any]:
    """All rows of one algorithm. The repeats are the outer loop, so that what is compared runs close together."""
    config = settings_of(algorithm, args)
    few = settings_of(algorithm, args, steps_per_epoch=20 * max(args.num_envs, args.yardstick_envs), passes=1)
    for contestant in (make_ours(few), make_yardstick(few, args.yardstick_envs)):  # warm up
        contestant.epoch()
        contestant.close()
    ours, yardstick = make_ours(config), make_yardstick(config, args.yardstick_envs)
    repeats = []
    for _ in range(args.repeats):
        turn = {"ours": ours.measure(), "yardstick": yardstick.measure()}
        turn["ratio"] = ratios(turn["yardstick"], turn["ours"])
        if reference is not None:
            turn[ON_REFERENCE] = on_reference(turn["yardstick"], config.run, reference)
            turn[f"ratio, {ON_REFERENCE}"] = ratios(turn[ON_REFERENCE], turn["ours"])
        repeats.append(turn)
    ours.close()
    yardstick.close()
    return {
        "algorithm": algorithm,
        "config": config.to_dict(),
        "minibatches": ours.npass * ours.nbatch,
        "rows": {name: medians([turn[name] for turn in repeats]) for name in repeats[0]},
        "repeats": repeats,
    }


def on_reference(yardstick: dict[str, float], run: RunConfig, reference: Reference) -> dict[str, float]:
    """The yardstick's row with the measured time of the reference suite's environments in place of ours."""
    length = safety_gym.registry.max_episode_steps(run.env_id)
    answer = reference.run(f"{run.env_id} {REFERENCE_ENVS} {length}")
    seconds = answer["wall_s"] * run.epoch_steps / answer["steps"]
    more = seconds - yardstick["environment_s"]
    return {key: value + more * (key in REPLACED) for key, value in yardstick.items()}


def ratios(yardstick: dict[str, float], ours: dict[str, float]) -> dict[str, float]:
    return {key: value / ours[key] for key, value in yardstick.items()}


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def print_result(result: dict[str, Any]) -> None:
    run, settings = result["config"]["run"], result["config"]["settings"]
    title = (
        f"{result['algorithm']} on {run['env_id']}: {run['steps_per_epoch']:,} steps, {settings['passes']} passes, "
        f"{result['minibatches']:,} minibatches of {settings['batch_size']}"
    )
    cells = []
    for name, row in result["rows"].items():
        if name.startswith("ratio"):
            seen = [turn[name] for turn in result["repeats"]]
            shown = [f"{row[k]:.1f} ({min(r[k] for r in seen):.1f}-{max(r[k] for r in seen):.1f})" for k in COLUMNS]
        else:
            shown = [f"{row[k]:.2f}" for k in COLUMNS]
        cells.append([name, *shown])
    print_cells(title, ["", *COLUMNS.values()], cells)


def profile(algorithm: str, args: argparse.Namespace) -> None:
    """Print where both updates spend their time: by Python function, then by tensor operation."""
    config = settings_of(algorithm, args, passes=2)
    contestants = {"ours": make_ours(config), "yardstick": make_yardstick(config, args.yardstick_envs)}
    for name, contestant in contestants.items():
        contestant.epoch()
        update, functions = contestant.learner.update, cProfile.Profile()
        contestant.learner.update = lambda *batch, f=functions, u=update: f.runcall(u, *batch)
        contestant.epoch()
        print(f"\n{algorithm}, {name}: update with 2 passes, by own time (the profiler itself slows Python code)")
        pstats.Stats(functions).sort_stats("tottime").print_stats(args.profile_lines)
        operations = torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU])

        def traced(*batch: Any, update: Callable[..., Any] = update, operations: Any = operations) -> Any:
            with operations:
                return update(*batch)

        contestant.learner.update = traced
        contestant.epoch()
        print(operations.key_averages().table(sort_by="self_cpu_time_total", row_limit=args.profile_lines))
        contestant.close()


def parse_args(argv: list[str] | None = None) -> argparse.Namespace:
    default = RunConfig()
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    add = parser.add_argument
    add("algorithms", nargs="*", default=list(YARDSTICKS), help=f"of {', '.join(YARDSTICKS)}")
    add("--env-id", default=default.env_id, help="environment")
    add("--num-envs", type=int, default=default.num_envs, help="environments that ours steps side by side")
    add("--yardstick-envs", type=int, default=REFERENCE_ENVS, help="environments that the yardstick steps")
    add("--steps-per-epoch", type=int, default=default.steps_per_epoch, help="environment steps of an epoch")
    add("--passes", type=int, help="passes over an epoch's data (default: the algorithm's)")
    add("--threads", type=int, default=min(2, os.cpu_count() or 1), help="threads that step the environments")
    add("--torch-threads", type=int, default=default.torch_threads, help="threads of torch in both")
    add("--repeats", type=int, default=3, help="interleaved repeats; medians are printed")
    add(
        "--reference-python",
        type=program,
        help="Python 3.10 with safety-gymnasium==1.0.0: measure its environments, too",
    )
    add("--json", type=Path, default=Path("benchmarks/results/training.json"), help="where results go")
    add("--profile", action="store_true", help="no table: where both updates spend their time")
    add("--profile-lines", type=int, default=25, help="rows listed by --profile")
    args = parser.parse_args(argv)
    for name in args.algorithms:
        if name not in YARDSTICKS:
            parser.error(f"algorithm {name!r} has no yardstick; there are {', '.join(YARDSTICKS)}")
    try:
        for name in args.algorithms:
            settings_of(name, args)
        safety_gym.registry.parse(args.env_id)
    except (ValueError, NotImplementedError) as error:
        parser.error(str(error))
    for count in (args.num_envs, args.yardstick_envs):
        if args.steps_per_epoch % count:
            parser.error(f"--steps-per-epoch {args.steps_per_epoch} is not a multiple of {count} environments")
    return args


def main(argv: list[str] | None = None) -> None:
    args = parse_args(argv)
    if args.profile:
        for algorithm in args.algorithms:
            profile(algorithm, args)
        return
    info = machine(("torch", "numpy", "mujoco", "gymnasium"))
    report: dict[str, Any] = {"machine": info, "arguments": {k: str(v) for k, v in vars(args).items()}, "results": []}
    print(f"{info['cpu']}, {info['cores']} cores, load {info['load'][0]:.2f}; " if info["load"] else "", end="")
    print(f"torch {info['torch']}, {args.torch_threads} threads of torch, {args.threads} of the environments, ", end="")
    print(f"{args.num_envs} environments (yardstick {args.yardstick_envs}), {args.repeats} repeats")
    start = time.perf_counter()
    reference = Reference(args.reference_python) if args.reference_python else None
    try:
        for algorithm in args.algorithms:
            result = measure_algorithm(algorithm, args, reference)
            report["results"].append(result)
            print_result(result)
            save(args.json, report)  # after each: an interrupted run keeps its part
    finally:
        if reference is not None:
            reference.close()
    print(f"{time.perf_counter() - start:.0f} s; all numbers: {args.json}")


if __name__ == "__main__":
    main()
