"""The training loop: collect, estimate, update, log, save. One for all on-policy algorithms."""

from __future__ import annotations

import json
import math
import os
import platform
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from safepo import checkpoint, parallel
from safepo.algorithms import ALGORITHMS, MODEL_ALGORITHMS, TEAM_ALGORITHMS, algorithm_info
from safepo.algorithms.base import Problem
from safepo.algorithms.team import TeamProblem, TeamSpec
from safepo.config import Config, config_from_dict, make_config
from safepo.envs import VectorEnv
from safepo.errors import UserError
from safepo.evaluation import Actor, both_modes, write_json
from safepo.logger import (
    ConsoleWriter,
    CSVWriter,
    PictureWriter,
    TensorBoardWriter,
    WandbWriter,
    Writer,
    check_wandb,
    show_limit,
)
from safepo.normalize import ObsNormalizer
from safepo.policy import Policy, check_env, describe
from safepo.rollout import Collector
from safepo.teams import TeamEnv, open_env


class Interrupted(Exception):
    """Training stopped at an epoch's end on request; a checkpoint was written."""


@dataclass(frozen=True)
class Seeds:
    """The seed tree: every consumer of randomness has its own branch, so logging or evaluating changes nothing."""

    init: int
    noise: int
    shuffle: int
    env: int
    resume: int
    evaluation: int

    @classmethod
    def of(cls, seed: int) -> Seeds:
        children = np.random.SeedSequence(seed).spawn(6)
        # 31 bits: environments add their index to it.
        return cls(*(int(child.generate_state(1)[0]) >> 1 for child in children))


class Trainer:
    """Everything that changes during training, and one epoch of it.

    `algorithm` and `collector` are what `_build` makes of them.
    """

    algorithm: Any
    collector: Any

    def __init__(self, config: Config) -> None:
        run = config.run
        torch.set_num_threads(run.torch_threads)
        self.config, self.seeds = config, Seeds.of(run.seed)
        self.device = pick_device(run.device)
        self.group = group = parallel.start(torch.device(self.device))
        self.env = open_env(run.env_id, group.envs(run.num_envs), run.env_threads, config.settings.view)
        self._build()
        self.epoch, self.seconds = 0, 0.0

    def _build(self) -> None:
        """Create `algorithm` and `collector`."""
        config = self.config
        problem = make_problem(config, self.env, self.device, self.group)
        kind, _ = algorithm_info(config.algorithm).load()
        self.algorithm = kind(config.settings, problem, self.seeds.init, self.seeds.shuffle)
        noise = torch.Generator().manual_seed(self.seeds.noise)
        normalizer = ObsNormalizer(self.env.obs.nvector, config.settings.running_statistics)
        self.collector = Collector(self.env, normalizer, noise, problem.cost_limits, self.group)

    @property
    def step(self) -> int:
        """Environment steps taken."""
        return self.epoch * self.config.run.epoch_steps

    def start(self) -> None:
        """Start the first episodes."""
        self.collector.reset(self.seeds.env)

    def run_epoch(self, progress: Callable[[int], None] | None = None) -> dict[str, float]:
        """Collect one epoch, improve the policy; returns the metrics of both.

        `progress` hears the environment steps of the run so far, now and then.
        """
        run, started = self.config.run, time.perf_counter()
        report = None if progress is None else lambda t: progress(self.step + t * run.num_envs)
        data = self.collector.collect(self.algorithm.net, run.horizon, report)
        episode = self.collector.stats.close_epoch()
        collected = time.perf_counter()
        losses = finite(
            self.algorithm.learn(
                data, self.collector.episode_costs(episode), episode["ep/length"], self.epoch / run.nepoch
            )
        )
        updated = time.perf_counter()
        self.epoch += 1
        self.seconds += updated - started
        return {
            **episode,
            "ep/count": self.collector.stats.nepisode,
            **self.collector.safety.metrics(),
            **losses,
            "train/epoch": self.epoch,
            "time/rollout": collected - started,
            "time/update": updated - collected,
            "time/total": self.seconds,
            "time/steps_per_s": run.epoch_steps / (updated - started),
        }

    def evaluate(self) -> dict[str, Any]:
        """Deterministic and stochastic episodes of a frozen copy of the policy in environments of their own."""
        run = self.config.run
        return both_modes(self.policy(), run.env_id, run.eval_episodes, self.seeds.evaluation)

    def policy(self) -> Actor:
        """A frozen copy of what acts."""
        return Policy(self.algorithm.net, self.collector.normalizer.copy(), describe(self.env))

    def pictures(self) -> dict[str, NDArray[np.uint8]]:
        """Pictures (h, w, 3) of what was learned, by name, for TensorBoard and the run directory."""
        return {}

    def settle(self, run_dir: Path) -> None:
        """Hear where the run keeps its files."""

    def finish(self, run_dir: Path) -> None:
        """Remove files that a finished run does not need."""

    def state_dict(self) -> dict[str, Any]:
        return {
            "config": self.config.to_dict(),
            "env": describe(self.env),
            "algorithm": self.algorithm.state_dict(),
            "collector": self.collector.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "seconds": self.seconds,
        }

    def load_state_dict(self, state: dict[str, Any]) -> bool:
        """Restore; returns False if the environment could not be restored and fresh episodes were started."""
        check_env(state["env"], self.env, same_id=True)
        self.epoch, self.seconds = state["epoch"], state["seconds"]
        self.algorithm.load_state_dict(state["algorithm"])
        return self.collector.load_state_dict(state["collector"], (self.seeds.resume + self.step) % 2**31)

    def close(self) -> None:
        self.env.close()
        parallel.stop()


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Return the metrics of an update; refuse them if training has diverged."""
    bad = [name for name, value in metrics.items() if not math.isfinite(value)]
    if bad:
        raise FloatingPointError(
            f"training diverged: {', '.join(bad)} not finite; lower the step sizes, or check the environment's "
            "rewards and costs"
        )
    return metrics


def make_trainer(config: Config) -> Trainer:
    """The trainer of the configuration's algorithm."""
    if config.algorithm not in MODEL_ALGORITHMS:
        return Trainer(config)
    from safepo.dreamer.trainer import DreamerTrainer

    return DreamerTrainer(config)


def make_problem(config: Config, env: VectorEnv, device: str, group: parallel.Group) -> Problem:
    """What the algorithm is told of the environment; refuses an algorithm for one agent with several, or vice versa."""
    limits, for_teams = config.run.cost_limits(), config.algorithm in TEAM_ALGORITHMS
    if for_teams != isinstance(env, TeamEnv):
        known = ", ".join(ALGORITHMS if for_teams else TEAM_ALGORITHMS)
        count = "one agent" if for_teams else "several agents"
        raise UserError(f"{config.run.env_id} has {count}, which {config.algorithm} is not for; use one of {known}")
    if not isinstance(env, TeamEnv):
        return Problem(env.obs, env.dist, limits, device, group)
    if set(limits) != {"cost"}:
        raise UserError(
            f"cost_limit={config.run.cost_limit!r}: with several agents one number limits each agent's cost"
        )
    dists = tuple(action.distribution() for action in env.actions.values())
    own = dict.fromkeys(env.cost_names, limits["cost"])
    return TeamProblem(env.obs, env.dist, own, device, group, team=TeamSpec(env.agents, dists))


def train(
    algorithm: str,
    *,
    preset: str | None = None,
    config_file: str | Path | None = None,
    tuned: bool = True,
    **settings: Any,
) -> Path:
    """Train and return the run directory; `settings` are the fields that `safepo train ALGORITHM --help` lists."""
    return start(make_config(algorithm, preset=preset, file=config_file, tuned=tuned, **settings))


def start(config: Config) -> Path:
    """Train from scratch in a new run directory; returns it."""
    if config.run.wandb:
        check_wandb()
    refuse_existing(config.run_dir())
    trainer = make_trainer(config)
    try:
        trainer.start()
        state, run_dir = trainer.state_dict(), config.run_dir()
        if trainer.group.leads:
            for note in config.run.rounding_notes():
                print(f"note: {note}")
            create_run_dir(config, trainer.device, state)
        _loop(trainer, run_dir, resumed=False)
    finally:
        trainer.close()
    return run_dir


def resume(run: str | Path) -> Path:
    """Continue an interrupted or killed run from its latest checkpoint."""
    run_dir = Path(run)
    if not run_dir.is_dir():
        raise UserError(f"run {str(run)!r} is not a run directory")
    if run_status(run_dir) == "running":
        raise UserError(f"run {str(run)!r} is being trained by another process (see {run_dir / 'status.json'})")
    state = checkpoint.load(checkpoint.latest(run_dir))
    config = config_from_dict(state["config"])
    trainer = make_trainer(config)
    try:
        exact = trainer.load_state_dict(state)
        if trainer.epoch >= config.run.nepoch:
            raise UserError(
                f"run {str(run)!r} is finished ({trainer.step:,} steps); evaluate it with `safepo eval {run}`"
            )
        if not exact and trainer.group.leads:
            print(
                f"{config.run.env_id} cannot save its state, or the number of processes changed: resuming with fresh "
                "episodes, not bit-identically"
            )
        _loop(trainer, run_dir, resumed=True)
    finally:
        trainer.close()
    return run_dir


def _loop(trainer: Trainer, run_dir: Path, resumed: bool) -> None:
    """Epochs until the end, or until an interrupt asks to stop."""
    config, run = trainer.config, trainer.config.run
    total, leads = run.nepoch * run.epoch_steps, trainer.group.leads
    console = ConsoleWriter(
        f"{config.algorithm} on {run.env_id}, seed {run.seed}: {run_dir}", total, trainer.step, run.cost_limit, leads
    )
    writers = _writers(config, run_dir, trainer.step, resumed, console) if leads else []
    trainer.settle(run_dir)
    try:
        with StopRequest(console.note) as stop:
            while trainer.epoch < run.nepoch:
                metrics = trainer.run_epoch(console.progress)
                last, requested = trainer.epoch == run.nepoch, trainer.group.any(stop.requested)
                if trainer.epoch == 1 and not trainer.env.cost_seen:
                    console.note(f"WARNING: {run.env_id} has not reported info['cost'] so far: every step costs 0")
                due = run.eval_every and trainer.epoch % run.eval_every == 0 and not last and run.eval_episodes
                if due and leads:
                    metrics |= flatten(trainer.evaluate())
                for writer in writers:
                    writer.write(trainer.step, metrics)
                if last or requested or trainer.epoch % run.checkpoint_every == 0:
                    for writer in writers:
                        writer.show(trainer.step, trainer.pictures())
                    state = trainer.state_dict()  # by all processes: each knows its environments
                    if leads:
                        checkpoint.save(checkpoint.path_of(run_dir, trainer.epoch), state)
                if requested and not last:
                    if leads:
                        write_json(run_dir / "status.json", {"status": "interrupted", "step": trainer.step})
                    raise Interrupted(f"stopped after {trainer.step:,} steps; continue with `safepo resume {run_dir}`")
        if leads:
            _finish(trainer, run_dir, console)
    finally:
        for writer in writers:
            writer.close()


def _writers(config: Config, run_dir: Path, step: int, resumed: bool, console: ConsoleWriter) -> list[Writer]:
    """Open the run's logs, which keep what they hold up to `step`, and mark the run as running."""
    writers: list[Writer] = [
        CSVWriter(run_dir / "metrics.csv", step),
        TensorBoardWriter(run_dir / "tb", step if resumed else None),
        PictureWriter(run_dir),
        console,
    ]
    if config.run.wandb:
        writers.append(WandbWriter(run_dir, config.to_dict()))
    write_json(run_dir / "status.json", {"status": "running", "pid": os.getpid()})
    return writers


def _finish(trainer: Trainer, run_dir: Path, console: ConsoleWriter) -> None:
    """Mark the run as complete, then evaluate."""
    run = trainer.config.run
    write_json(run_dir / "status.json", {"status": "finished", "step": trainer.step})
    trainer.finish(run_dir)
    if run.eval_episodes:
        result = trainer.evaluate()
        plain = {"checkpoint": checkpoint.path_of(run_dir, trainer.epoch).name, "step": trainer.step}
        write_json(run_dir / "eval.json", {**plain, "cost_limit": run.cost_limit, **result})
        for mode, r in result.items():
            console.note(
                f"{mode} evaluation over {r['episodes']} episodes: return {r['return']['mean']:.2f} "
                f"+- {r['return']['stderr']:.2f}, cost {r['cost']['mean']:.2f} +- {r['cost']['stderr']:.2f} "
                f"(limit {show_limit(run.cost_limit)})"
            )


def flatten(result: dict[str, Any]) -> dict[str, float]:
    """Evaluation result as metrics: `eval/return`, `eval_stochastic/return`, ..."""
    prefix = {"deterministic": "eval", "stochastic": "eval_stochastic"}
    return {
        f"{prefix[mode]}/{name}": value["mean"]
        for mode, r in result.items()
        for name, value in r.items()
        if isinstance(value, dict)
    }


class StopRequest:
    """Turns the first SIGINT or SIGTERM into "stop at the end of the epoch"; the second acts at once."""

    def __init__(self, note: Any) -> None:
        self.requested, self._note = False, note
        self._old: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._handle)
        except ValueError:  # not in the main thread: no handlers there
            pass
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        self._restore()
        self._note("stopping at the end of this epoch; once more to stop now (then resume from the last checkpoint)")

    def _restore(self) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def __exit__(self, *exc: object) -> None:
        self._restore()


def pick_device(name: str) -> str:
    """Resolve `auto`, and refuse a device that torch cannot use here."""
    if name == "auto":
        if not torch.cuda.is_available():
            return "cpu"
        return f"cuda:{os.environ['LOCAL_RANK']}" if "LOCAL_RANK" in os.environ else "cuda"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"device {name!r} cannot be used: {str(error).splitlines()[0]} (accepted: auto, cpu, cuda, cuda:N)"
        ) from None
    return name


def refuse_existing(run_dir: Path) -> None:
    """Never write over a run."""
    if not run_dir.exists():
        return
    status = run_status(run_dir)
    hint = (
        "use another --seed, or delete it"
        if status == "finished"
        else f"continue it with `safepo resume {run_dir}`, or delete it"
    )
    raise UserError(f"run {run_dir} exists and is {status}; {hint}")


def run_status(run_dir: Path) -> str:
    """finished, running or interrupted (a killed run is interrupted)."""
    try:
        status = json.loads((run_dir / "status.json").read_text())
    except (OSError, json.JSONDecodeError):
        return "interrupted"
    if status["status"] == "running" and not _alive(status["pid"]):
        return "interrupted"
    return status["status"]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def create_run_dir(config: Config, device: str, state: dict[str, Any]) -> Path:
    """Build the directory with its first checkpoint beside its place, then rename: it never exists half-made."""
    run_dir = config.run_dir()
    beside = run_dir.with_name(f".{run_dir.name}.{os.getpid()}.partial")
    try:
        beside.mkdir(parents=True)
        write_json(beside / "config.json", config.to_dict())
        write_json(beside / "versions.json", versions(device))
        write_json(beside / "status.json", {"status": "running", "pid": os.getpid()})
        checkpoint.save(checkpoint.path_of(beside, 0), state)
        os.rename(beside, run_dir)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        refuse_existing(run_dir)
        raise UserError(f"log_dir: cannot write to {run_dir.parent} ({error.strerror})") from None
    return run_dir


def versions(device: str) -> dict[str, str]:
    """Versions of what a result depends on."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "device": device}
    for name in ("torch", "numpy", "gymnasium", "mujoco"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    import safety_gym
    from safepo import __version__

    return {**found, "safepo": __version__, "safety_gym": safety_gym.__version__}
