"""`python -m benchmarks.regression`: train the matrix, compare its curves with stored ones, say what left its band."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, UseAppendAction, arg

from safepo.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from benchmarks.regression.baselines import Baselines
    from benchmarks.runner import Engine
    from safepo.config import Config

FOLDER = Path(__file__).parent
SOURCES = [FOLDER.parents[1] / name for name in ("safepo", "safety_gym", "envs")]
"""What shapes learning."""
FRESH_SEEDS = 4
"""A comparison trains the first so many seeds of the matrix; baselines have all of them."""
PASSED, LEFT, NO_BASELINE, STOPPED = 0, 1, 3, 130


def run(
    matrix: str = "full",
    update: FlagCreatePairsOff[bool] = False,
    filter: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATTERN")] = (),
    seeds: tuple[int, ...] = (),
    workers: int = 0,
    store: Path = Path("runs/regression"),
) -> int:
    """Train every algorithm briefly on some environments and compare return and cost with stored baselines.

    A killed command continues when it is given again; runs of older code are never reused. Exit status: 0 nothing
    left its band, 1 a curve did or a run failed, 2 wrong arguments, 3 all is well but curves lack a baseline.

    Args:
        matrix: full, ci, or a suite of your own (a .toml file); its baselines lie beside it as .json.
        update: Train all seeds of the matrix and store their curves as the new baselines.
        filter: Only runs whose id fits: a shell pattern, or text that occurs in it; may be repeated.
        seeds: Train these instead of the first four of the matrix, for a second opinion.
        workers: Runs at a time; 0: as many as there are cores.
        store: Where runs go, in a folder for each state of the code.
    """
    from benchmarks.runner import LocalEngine

    return regression(matrix_path(matrix), LocalEngine(workers), update, filter, seeds, store)


def regression(
    matrix: Path,
    engine: Engine,
    update: bool = False,
    patterns: Sequence[str] = (),
    seeds: Sequence[int] = (),
    folder: Path = Path("runs/regression"),
) -> int:
    """Train what is missing, then update the baselines or compare with them; returns the exit status."""
    from benchmarks.regression.baselines import Baselines
    from benchmarks.runner import Sweep
    from benchmarks.store import Store

    path, jobs = matrix.with_suffix(".json"), chosen(matrix, patterns, seeds, update)
    folder = folder / f"{matrix.stem}-{fingerprint()}"
    with Store(folder) as store:
        runs = store.add(jobs, matrix.stem)
        store.sync()
        store.retry(runs)
        if not Sweep(store, runs, engine).run():
            return STOPPED
        fresh, frame = Baselines.of(store, runs), store.runs()
    from benchmarks.cli import show_errors

    failed = frame[frame["run"].isin(runs) & (frame["status"] != "finished")]
    show_errors(failed)
    stored = Baselines.load(path)
    if not update:
        return max(compare(stored, fresh, folder), LEFT if len(failed) else PASSED, key=_severity)
    if len(failed):
        print(f"{len(failed)} runs failed: {path} is left as it was")
        return LEFT
    stored.update(fresh)
    stored.save(path)
    print(f"wrote {len(fresh.curves)} curves to {path}, which has {len(stored.curves)}")
    return PASSED


def compare(stored: Baselines, fresh: Baselines, folder: Path) -> int:
    """Judge the fresh curves; print the table and sentences, draw what left its band; returns the exit status."""
    from rich.console import Console

    from benchmarks.regression import report
    from benchmarks.regression.rule import ALPHA, comparable, judge

    verdicts = judge(stored.curves, fresh.curves)
    missing = [key for key, curve in fresh.curves.items() if not comparable(stored.curves.get(key), curve)]
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160
    console.print(report.table(verdicts, stored, fresh))
    left = [verdict for verdict in verdicts if verdict.least_p < ALPHA]
    picture = folder / "regression.png"
    picture.unlink(missing_ok=True)
    for line in report.notes(verdicts, missing, stored, fresh):
        console.print(line, markup=False, soft_wrap=True)
    for verdict in left:
        sentence = report.sentence(verdict, stored, fresh, verdicts)
        console.print(f"FAILED: {sentence}", style="red", markup=False, soft_wrap=True)
    if left:
        from benchmarks.regression.picture import draw

        draw(report.shown(left, verdicts), stored.curves, fresh.curves, verdicts, picture)
        console.print(f"picture: {picture}", markup=False, soft_wrap=True)
    return LEFT if left else NO_BASELINE if missing else PASSED


def _severity(status: int) -> int:
    return (PASSED, NO_BASELINE, LEFT).index(status)


def matrix_path(name: str) -> Path:
    """The file of a matrix; raises `UserError` that says what is accepted."""
    known = sorted(path.stem for path in FOLDER.glob("*.toml"))
    if name.endswith(".toml"):
        return Path(name)
    if name not in known:
        raise UserError(did_you_mean(name, known, "matrix") + "; or give the path of a .toml file")
    return FOLDER / f"{name}.toml"


def chosen(matrix: Path, patterns: Sequence[str], seeds: Sequence[int], update: bool) -> list[Config]:
    """The configurations to train; `seeds` replace those of the matrix, whose first ones make a comparison."""
    from dataclasses import replace

    from benchmarks.runner import fits
    from benchmarks.suite import load_suite, run_id

    jobs = load_suite(matrix).jobs
    given = list(dict.fromkeys(job.run.seed for job in jobs))
    wanted = list(seeds) or (given if update else given[:FRESH_SEEDS])
    first = [job for job in jobs if job.run.seed == given[0]]
    found = [replace(job, run=replace(job.run, seed=seed)) for seed in wanted for job in first]
    found = [job for job in found if not patterns or any(fits(run_id(job), p) for p in patterns)]
    if not found:
        raise UserError(f"no run of {matrix} fits --filter {' '.join(patterns)}; one is named like {run_id(jobs[0])}")
    return found


def fingerprint(roots: Sequence[Path] = ()) -> str:
    """Eight hex digits over the files of some folders (the code that trains) and the versions of what it uses."""
    digest = hashlib.sha256()
    for root in roots or SOURCES:
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    digest.update(" ".join(metadata.version(name) for name in ("torch", "numpy", "mujoco", "gymnasium")).encode())
    return digest.hexdigest()[:8]


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit status; see `run`."""
    command: Any = run
    try:
        return tyro.cli(command, args=argv, prog="python -m benchmarks.regression")
    except UserError as error:
        print(f"benchmarks.regression: error: {error}", file=sys.stderr)
        return 2
