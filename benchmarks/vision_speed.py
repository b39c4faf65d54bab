"""Speed of camera observations: part of `make bench`, or `python -m benchmarks.vision_speed --help`.

For each id, picture size and number of simulations n:

frames/s          n * steps / wall time of `step` with random actions, physics included; no reset falls into the steps
ms/frame          its inverse
drawing ms        the part of it in which frames are drawn
CPU ms            processor time per frame of all threads, which other programs on the machine disturb less
reference         frames/s of the reference suite with as many environments: one in its process, several in a process
                  each (`SafetyAsyncVectorEnv`, only with --reference-vector: starting them takes minutes)
x reference       frames/s over those of the reference, or over those of its single environment in brackets

n = 1 is `gymnasium.make`, else `safety_gym.make_vec`. The sizes, numbers and the reference take turns in every repeat;
medians are printed, ratios are medians of the ratios of one repeat.

Results go to a JSON file as well, with the machine, the load, the versions and the OpenGL backend.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import gymnasium

import safety_gym
from benchmarks.speed import Reference, draw_actions, machine, print_cells, program, save
from safety_gym import rendering
from safety_gym.vision import Vision

IDS = ("SafetyPointGoal1Vision-v0", "SafetyCarRace1Vision-v0")
COLUMNS = (
    ("size", "size", "{}"),
    ("n", "n", "{}"),
    ("frames/s", "rate", "{:,.0f}"),
    ("ms/frame", "ms", "{:.2f}"),
    ("drawing ms", "drawing_ms", "{:.2f}"),
    ("CPU ms", "cpu_ms", "{:.2f}"),
    ("reference", "reference_rate", "{:.1f}"),
    ("x reference", "times_reference", "{:.1f}"),
    ("", "times_single", "({:.1f})"),
)


def measure(env_id: str, size: int, n: int, length: int, seed: int, options: dict[str, Any]) -> dict[str, float]:
    """Step `n` simulations `length` times."""
    vision = Vision(size, size, **options)
    env: Any = gymnasium.make(env_id, vision=vision) if n == 1 else safety_gym.make_vec(env_id, n, vision=vision)
    eyes = env.unwrapped.eyes
    single = env.action_space if n == 1 else env.single_action_space
    actions = draw_actions(single, length, seed, () if n == 1 else (n,))
    env.reset(seed=seed)
    env.step(actions[0])  # OpenGL starts
    look, drawing = eyes.look, 0.0

    def timed(ids: Any) -> None:
        nonlocal drawing
        before = time.perf_counter()
        look(ids)
        drawing += time.perf_counter() - before

    eyes.look = timed
    start, cpu = time.perf_counter(), time.process_time()
    for action in actions:
        env.step(action)
    wall, cpu = time.perf_counter() - start, time.process_time() - cpu
    env.close()
    frames = n * length
    row = {"rate": frames / wall, "ms": 1e3 * wall / frames, "drawing_ms": 1e3 * drawing / frames}
    return row | {"cpu_ms": 1e3 * cpu / frames}


def measure_id(env_id: str, args: argparse.Namespace, reference: Reference | None) -> list[dict[str, Any]]:
    """All rows of one id."""
    runs: dict[tuple[int, int], list[dict[str, float]]] = {}
    options = {"samples": args.samples}
    for repeat in range(args.repeats):
        for size in args.sizes:
            for n in args.num_envs:
                row = measure(env_id, size, n, max(1, args.steps // n), repeat, options)
                if reference is not None:
                    alone = _reference_rate(reference, env_id, 1, args.reference_steps, size)
                    row["times_single"] = row["rate"] / alone
                    rates = {1: alone}
                    if n > 1 and args.reference_vector:
                        rates[n] = _reference_rate(reference, env_id, n, max(1, args.reference_steps // n), size)
                    if n in rates:
                        row |= {"reference_rate": rates[n], "times_reference": row["rate"] / rates[n]}
                runs.setdefault((size, n), []).append(row)
    rows = []
    for (size, n), found in runs.items():
        medians = {key: statistics.median(row[key] for row in found) for key in found[0]}
        rows.append({"env_id": env_id, "size": size, "n": n, **medians, "repeats": found})
    return rows


def _reference_rate(reference: Reference, env_id: str, n: int, length: int, size: int) -> float:
    done = reference.run(f"{env_id} {n} {length} {size}")
    return float(done["steps"] / done["wall_s"])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").split("\n\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("ids", nargs="*", default=list(IDS), help="environments with the suffix Vision")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256], help="pixels of a side")
    parser.add_argument("--num-envs", type=int, nargs="+", default=[1, 16], help="numbers of simulations")
    parser.add_argument("--steps", type=int, default=400, help="frames of a measurement")
    parser.add_argument("--samples", type=int, default=0, help="samples per pixel; the reference takes 4")
    parser.add_argument("--repeats", type=int, default=3, help="interleaved repeats; medians are printed")
    parser.add_argument(
        "--reference-python", type=program, help="Python 3.10 with safety-gymnasium==1.0.0 to compare with"
    )
    parser.add_argument("--reference-steps", type=int, default=100, help="frames of a measurement of the reference")
    parser.add_argument("--reference-vector", action="store_true", help="also the reference's vector environment")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/vision_speed.json"), help="results")
    args = parser.parse_args()
    for env_id in args.ids:
        try:
            if safety_gym.registry.parse(env_id).variant != "Vision":
                parser.error(f"{env_id}: expected an id with the suffix Vision")
        except ValueError as error:
            parser.error(str(error))
    return args


def main() -> None:
    args = parse_args()
    try:
        backend = rendering.select_backend()
    except rendering.GLUnavailable as error:
        print(f"camera observations are not measured: {error}")
        return
    os.environ.setdefault("MUJOCO_GL", backend)  # the reference must draw with the same one
    reference = Reference(args.reference_python) if args.reference_python else None
    report: dict[str, Any] = {"machine": machine(), "backend": backend, "repeats": args.repeats, "rows": []}
    print(f"Camera observations, {backend}, {args.repeats} repeats")
    try:
        for env_id in args.ids:
            own = None if "Race" in env_id else reference  # safety-gymnasium 1.0.0 lacks a texture of Race
            rows = measure_id(env_id, args, own)
            report["rows"] += rows
            cells = [[form.format(row[key]) if key in row else "" for _, key, form in COLUMNS] for row in rows]
            print_cells(env_id, [head for head, _, _ in COLUMNS], cells)
            save(args.json, report)
    finally:
        if reference is not None:
            reference.close()


if __name__ == "__main__":
    main()
