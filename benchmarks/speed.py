"""Speed of the environments: `make bench`, or `python benchmarks/speed.py --help`.

What is measured, for each id and each number of simulations n:

env steps/s       n * steps / wall time over whole episodes of random actions, the autoreset at their end included
MuJoCo us         time inside the calls of `mujoco.batch.Batch` (step, rollout, forward, reset) per env step
outside us        the rest of the wall time per env step: observations, rewards, costs, layouts, Gymnasium
reference         in brackets: its env steps/s without its resets
reset ms          one `reset()` of all n simulations, divided by n
bare steps/s      `Batch.step` alone: same model, same starts, same actions, same threads; where episodes end early, the
                  rows of the next starts are written into the batch
of bare           env steps/s (resets included) / bare steps/s
async steps/s     one agent's velocity tasks: `gymnasium.make_vec(..., "async")` of Gymnasium's own v5 environment, a
                  process each
x async           env steps/s / async steps/s

Actions are drawn before the clock starts. The environment, the bare batch and the reference suite take turns inside
every repeat (A B C A B C), so that a machine that slows down slows all of them; medians over the repeats are
printed, ratios are medians of the ratios of one repeat. Batches of more than 64 run in the first repeat only, to save
time. The reference runs one environment in one process: it has no batch.

Results go to a JSON file as well, with the machine, the load and the versions.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import os
import platform
import pstats
import shutil
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gymnasium
import mujoco
import numpy as np
from mujoco.batch import Batch

import safety_gym
from safety_gym import multi_agent
from safety_gym.multi_agent import is_multi_agent

IDS = (
    "SafetyPointGoal1-v0",
    "SafetyPointGoal2-v0",
    "SafetyCarButton1-v0",
    "SafetyCarPush1-v0",
    "SafetyPointCircle1-v0",
    "SafetyDoggoGoal1-v0",
    "SafetyAntGoal1-v0",
    "SafetyRacecarGoal1-v0",
    "SafetyHalfCheetahVelocity-v1",
    "SafetyHopperVelocity-v1",
    "SafetySwimmerVelocity-v1",
    "SafetyWalker2dVelocity-v1",
    "SafetyAntVelocity-v1",
    "SafetyHumanoidVelocity-v1",
    "SafetyPointMultiGoal1-v0",
    "Safety2x4AntVelocity-v0",
)
ENGINE_CALLS = ("step", "rollout", "forward", "reset")
ONCE_ABOVE = 64  # larger batches are measured once
ASYNC_STEPS = 200  # vector steps of Gymnasium's environments per repeat


@dataclass
class Measurement:
    """One timed run; `steps` are env steps summed over the simulations."""

    steps: int
    wall_s: float
    engine_s: float = 0.0
    resets: int = 0

    @property
    def rate(self) -> float:
        return self.steps / self.wall_s

    @property
    def engine_us(self) -> float:
        return 1e6 * self.engine_s / self.steps

    @property
    def outside_us(self) -> float:
        return 1e6 * (self.wall_s - self.engine_s) / self.steps


class EngineClock:
    """Sum of the seconds spent inside the calls of every `Batch` while `running()` is entered."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._depth = 0

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        originals = {name: getattr(Batch, name) for name in ENGINE_CALLS}
        for name, call in originals.items():
            setattr(Batch, name, self._timed(call))
        try:
            yield
        finally:
            for name, call in originals.items():
                setattr(Batch, name, call)

    def _timed(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._depth:  # a call made by another engine call is already counted
                return call(*args, **kwargs)
            self._depth += 1
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start
                self._depth -= 1

        return timed


def draw_actions(space: Any, steps: int, seed: int, shape: tuple[int, ...] = ()) -> np.ndarray:
    """Uniform actions, (steps, *shape, u)."""
    rng = np.random.default_rng(seed)
    return rng.uniform(space.low, space.high, (steps, *shape, *space.shape))


def draw_batched(env: Any, steps: int, seed: int) -> tuple[list[Any], np.ndarray]:
    """What `env.step` takes in so many vector steps, and the controls (steps, n, u) that these are."""
    n = env.num_envs
    if not is_multi_agent(env.unwrapped.env_id):
        controls = draw_actions(env.single_action_space, steps, seed, (n,))
        return list(controls), controls
    by_agent = {
        name: draw_actions(space, steps, seed + j, (n,)) for j, (name, space) in enumerate(env.action_spaces.items())
    }
    actions = [{name: rows[t] for name, rows in by_agent.items()} for t in range(steps)]
    return actions, np.array([env.controls(action) for action in actions])


def make_batched(env_id: str, n: int, threads: int) -> Any:
    return safety_gym.make_vec(env_id, num_envs=n, num_threads=min(n, threads))


def run_batched(env: Any, length: int, seed: int) -> Measurement:
    """Whole episodes of a vector environment: `length` vector steps after a reset, the autoresets included."""
    actions, _ = draw_batched(env, length, seed)
    env.reset(seed=seed)
    clock, resets = EngineClock(), 0
    with clock.running():
        start = time.perf_counter()
        for action in actions:
            _, _, _, terminated, truncated, _ = env.step(action)
            resets += int((terminated | truncated).sum())
        wall = time.perf_counter() - start
    return Measurement(length * env.num_envs, wall, clock.seconds, resets)


def run_single(env: gymnasium.Env, length: int, seed: int) -> Measurement:
    """Whole episodes of a single environment with five values, the reset at the end of each included."""
    actions = draw_actions(env.action_space, length, seed)
    env.reset(seed=seed)
    clock, resets = EngineClock(), 0
    with clock.running():
        start = time.perf_counter()
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()
                resets += 1
        if not resets:  # the unwrapped environment has no time limit
            env.reset()
            resets = 1
        wall = time.perf_counter() - start
    return Measurement(length, wall, clock.seconds, resets)


def run_parallel(env: Any, length: int, seed: int) -> Measurement:
    """Whole episodes of a PettingZoo `ParallelEnv`, as `run_single`."""
    actions, _ = draw_batched(env.vec, length, seed)
    env.reset(seed=seed)
    clock, resets = EngineClock(), 0
    with clock.running():
        start = time.perf_counter()
        for action in actions:
            env.step({name: rows[0] for name, rows in action.items()})
            if not env.agents:
                env.reset()
                resets += 1
        wall = time.perf_counter() - start
    return Measurement(length, wall, clock.seconds, resets)


def run_resets(env: Any, seed: int, count: int) -> float:
    """Milliseconds per simulation of `count` full resets."""
    env.reset(seed=seed)
    start = time.perf_counter()
    for _ in range(count):
        env.reset()
    return 1e3 * (time.perf_counter() - start) / (count * env.num_envs)


def run_bare(env: Any, length: int, seed: int, threads: int) -> Measurement:
    """The engine alone from the starts of `env`: no bound outputs, no observation; gremlins stand still."""
    model, config, n = env.unwrapped.scene.model, env.unwrapped.scene.config, env.num_envs
    stage = mujoco.mjtStage.mjSTAGE_NONE if config.lagged else mujoco.mjtStage.mjSTAGE_ACC
    actions, controls = draw_batched(env, length + 1, seed)
    env.reset(seed=seed)
    env.step(actions[0])  # driven objects take their places at the first step
    start_rows, starts = env.unwrapped.batch.state.copy(), []
    for action in actions[1:]:
        _, _, _, terminated, truncated, _ = env.step(action)
        ended = np.flatnonzero(terminated | truncated)
        starts.append((ended, env.unwrapped.batch.state[ended].copy()))
    batch = Batch(model, n, nthread=min(n, threads), persistent=config.sleep)
    ctrl = batch.bind("ctrl")
    batch.state[:] = start_rows
    batch.forward()
    controls = np.clip(controls, *model.actuator_ctrlrange.T)
    start = time.perf_counter()
    for action, (ended, rows) in zip(controls[1:], starts, strict=True):
        ctrl[:] = action
        batch.step(nstep=config.substeps, stage=stage.value)
        if len(ended):
            batch.state[ended] = rows
            batch.forward(ended)
    return Measurement(length * n, time.perf_counter() - start)


def run_async(walker: str, n: int, steps: int, seed: int) -> Measurement:
    """Gymnasium's own environment of a walker, `n` processes; starting them is not measured, their resets are."""
    envs = gymnasium.make_vec(f"{walker}-v5", num_envs=n, vectorization_mode="async")
    actions = draw_actions(envs.single_action_space, steps, seed, (n,)).astype(np.float32)
    envs.reset(seed=seed)
    start = time.perf_counter()
    for action in actions:
        envs.step(action)
    wall = time.perf_counter() - start
    envs.close()
    return Measurement(steps * n, wall)


def program(name: str) -> str:
    """An argument that names a program."""
    if shutil.which(name) is None:
        raise argparse.ArgumentTypeError(f"{name!r}: no such program")
    return name


def save(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1))


class Reference:
    """The reference suite in a subprocess; `None` path: absent."""

    def __init__(self, python: str) -> None:
        script = Path(__file__).with_name("reference_speed.py")
        self._process = subprocess.Popen(
            [python, str(script), "--serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, env_id: str) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(env_id + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise SystemExit(REFERENCE_FAILED) from None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(REFERENCE_FAILED)
        return json.loads(line)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


REFERENCE_FAILED = (
    "the Python given with --reference-python does not run safety_gymnasium; it needs Python 3.10 with "
    "`pip install safety-gymnasium==1.0.0`. Try: PYTHON benchmarks/reference_speed.py SafetyPointGoal1-v0"
)


def measure_id(env_id: str, args: argparse.Namespace, reference: Reference | None) -> list[dict[str, Any]]:
    """All rows of one id. The repeats are the outermost loop, so that what is compared runs close together."""
    walker = own_walker(env_id)
    batched = {n: make_batched(env_id, n, args.threads) for n in args.num_envs}
    singles, run_alone, length = make_singles(env_id)
    runs: dict[str, list[dict[str, Any]]] = {}
    for env in batched.values():
        run_batched(env, 20, seed=0)  # warm up

    for repeat in range(args.repeats):
        seed = 1000 * repeat
        ref = None
        if reference is not None:
            ref = reference.run(env_id)
            ref["rate"] = ref["steps"] / (ref["reset_s"] + ref["step_s"])
            ref["rate_without_resets"] = ref["steps"] / ref["step_s"]
            runs.setdefault("reference", []).append(ref)
        for name, env in singles.items():
            result = run_alone(env, length, seed)
            runs.setdefault(name, []).append(_row(result, ref))
        for n, env in batched.items():
            if n > ONCE_ABOVE and repeat:
                continue
            result = run_batched(env, length, seed)
            row = _row(result, ref)
            row["reset_ms"] = run_resets(env, seed, count=max(1, 64 // n))
            row["bare_rate"] = run_bare(env, min(length, args.bare_steps), seed, args.threads).rate
            row["of_bare"] = result.rate / row["bare_rate"]
            if walker is not None and n <= ONCE_ABOVE:
                row["async_rate"] = run_async(walker, n, ASYNC_STEPS, seed).rate
                row["times_async"] = result.rate / row["async_rate"]
            runs.setdefault(f"make_vec, n = {n}", []).append(row)

    for env in [*batched.values(), *singles.values()]:
        env.close()
    return [{"env_id": env_id, "face": face, **_medians(rows)} for face, rows in runs.items()]


def own_walker(env_id: str) -> str | None:
    """The walker of a velocity task of one agent, of which Gymnasium has an environment."""
    if is_multi_agent(env_id):
        return None
    parsed = safety_gym.registry.parse(env_id)
    return parsed.robot if parsed.task == safety_gym.registry.VELOCITY else None


def make_singles(env_id: str) -> tuple[dict[str, Any], Callable[[Any, int, int], Measurement], int]:
    """The faces of a single simulation by name, what measures them, and the steps of an episode."""
    if is_multi_agent(env_id):
        env = safety_gym.parallel_env(env_id)
        return {"parallel_env": env}, run_parallel, env.vec.sim.max_episode_steps or 1000
    made = gymnasium.make(env_id)
    faces = {"gymnasium.make": made, "gymnasium.make, unwrapped": gymnasium.make(env_id).unwrapped}
    return faces, run_single, safety_gym.registry.max_episode_steps(env_id)


def _row(result: Measurement, ref: dict[str, Any] | None) -> dict[str, Any]:
    row = {**asdict(result), "rate": result.rate, "engine_us": result.engine_us, "outside_us": result.outside_us}
    if ref is not None:
        row["times_reference"] = result.rate / ref["rate"]
        row["times_reference_without_resets"] = result.rate / ref["rate_without_resets"]
    return row


def _medians(rows: list[dict[str, Any]]) -> dict[str, Any]:
    numbers = [key for key, value in rows[0].items() if isinstance(value, (int, float))]
    return {key: statistics.median(row[key] for row in rows) for key in numbers} | {"repeats": rows}


COLUMNS = (
    ("face", "face", "{}"),
    ("env steps/s", "rate", "{:,.0f}"),
    ("MuJoCo us", "engine_us", "{:.1f}"),
    ("outside us", "outside_us", "{:.1f}"),
    ("reset ms", "reset_ms", "{:.3f}"),
    ("bare steps/s", "bare_rate", "{:,.0f}"),
    ("of bare", "of_bare", "{:.0%}"),
    ("async steps/s", "async_rate", "{:,.0f}"),
    ("x async", "times_async", "{:.2f}"),
    ("x reference", "times_reference", "{:.1f}"),
)


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        if row["face"] == "reference":
            row = row | {"reset_ms": 1e3 * row["reset_s"], "times_reference": 1.0}
            row["face"] = f"reference ({row['rate_without_resets']:,.0f} stepping)"
            rows = [row if r["face"] == "reference" else r for r in rows]
    cells = [[form.format(row[key]) if key in row else "" for _, key, form in COLUMNS] for row in rows]
    print_cells(title, [head for head, _, _ in COLUMNS], cells)


def print_cells(title: str, heads: list[str], cells: list[list[str]]) -> None:
    """Print a table without its empty columns."""
    keep = [i for i in range(len(heads)) if any(line[i] for line in cells)]
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        print(title)
        print("\t".join(heads[i] for i in keep))
        for line in cells:
            print("\t".join(line[i] for i in keep), flush=True)
        return
    table = Table(title=title, title_justify="left")
    for i in keep:
        table.add_column(heads[i], justify="left" if i == 0 else "right", no_wrap=True)
    for line in cells:
        table.add_row(*(line[i] for i in keep))
    Console(width=max(170, Console().width)).print(table)


def machine(packages: tuple[str, ...] = ("numpy", "mujoco", "gymnasium")) -> dict[str, Any]:
    """Processor, cores, load and versions."""
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": os.getloadavg() if hasattr(os, "getloadavg") else None,
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
    }


def profile(env_id: str, n: int, threads: int, lines: int) -> None:
    """Print the functions that one episode spends its time in: the batch of `n`, then a single one."""
    singles, run_alone, length = make_singles(env_id)
    batched, (name, single) = make_batched(env_id, n, threads), next(iter(singles.items()))
    cases: list[tuple[str, Callable[[], Measurement]]] = [
        (f"make_vec, n = {n}", lambda: run_batched(batched, length, seed=0)),
        (name, lambda: run_alone(single, length, 0)),
    ]
    for title, run in cases:
        run()
        profiler = cProfile.Profile()
        profiler.enable()
        run()
        profiler.disable()
        print(f"\n{env_id}, {title}: {length} calls of step, by own time (the profiler itself slows Python code)")
        pstats.Stats(profiler).sort_stats("tottime").print_stats(lines)


def parse_args() -> argparse.Namespace:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("ids", nargs="*", default=list(IDS), help="environments")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 16, 64, 256], help="batch sizes")
    parser.add_argument("--threads", type=int, default=min(2, cores), help="threads of both batches")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats; medians are printed")
    parser.add_argument("--bare-steps", type=int, default=300, help="steps of the bare batch per repeat")
    parser.add_argument(
        "--reference-python", type=program, help="Python 3.10 with safety-gymnasium==1.0.0 to compare with"
    )
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/speed.json"), help="where results go")
    parser.add_argument("--profile", action="store_true", help="no table: where one episode spends its time")
    parser.add_argument("--profile-lines", type=int, default=25, help="functions listed by --profile")
    args = parser.parse_args()
    try:
        for env_id in args.ids:
            (multi_agent.parse if is_multi_agent(env_id) else safety_gym.registry.parse)(env_id)
    except (ValueError, NotImplementedError) as error:
        parser.error(str(error))
    return args


def main() -> None:
    args = parse_args()
    if args.profile:
        for env_id in args.ids:
            n = 64 if 64 in args.num_envs else args.num_envs[-1]
            profile(env_id, n, args.threads, args.profile_lines)
        return
    reference = Reference(args.reference_python) if args.reference_python else None
    report: dict[str, Any] = {"machine": machine(), "threads": args.threads, "repeats": args.repeats, "rows": []}
    info = report["machine"]
    print(f"{info['cpu']}, {info['cores']} cores, load {info['load'][0]:.2f}; " if info["load"] else "", end="")
    print(f"Python {info['python']}, MuJoCo {info['mujoco']}, {args.threads} threads, {args.repeats} repeats")
    start = time.perf_counter()
    try:
        for env_id in args.ids:
            rows = measure_id(env_id, args, reference)
            report["rows"] += rows
            print_table(f"{env_id}", rows)
            save(args.json, report)  # after every id: an interrupted run keeps its part
    finally:
        if reference is not None:
            reference.close()
    print(f"{time.perf_counter() - start:.0f} s; all numbers: {args.json}")


if __name__ == "__main__":
    main()
