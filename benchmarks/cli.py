"""The command `python -m benchmarks`: sweeps over suites, their state, reports. Commands import what is heavy."""

from __future__ import annotations

import os
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, UseAppendAction, arg

from safepo.errors import UserError

SuiteName = Annotated[Positional[str], arg(metavar="SUITE")]
StorePath = Annotated[Positional[Path], arg(metavar="STORE")]
Patterns = Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="PATTERN")]
DEFAULT_STORE = Path("runs/bench")


def run(
    suite: SuiteName,
    /,
    store: Path = DEFAULT_STORE,
    engine: Literal["local", "ray"] = "local",
    address: str = "auto",
    workers: int = 0,
    threads: int = 1,
    resume: bool = True,
    filter: Patterns = (),
    seeds: tuple[int, ...] = (),
) -> int:
    """Train the runs of a suite that are not finished yet.

    The same command continues an interrupted sweep. Ctrl-C lets the workers end their epoch and save; a second
    one kills them.

    Args:
        suite: A name that `suites` lists, or a .toml file.
        store: Where the results go: a folder (or its .sqlite file); the runs get folders beside it.
        engine: Processes of this machine, or tasks of an existing Ray cluster.
        address: Ray: address of the cluster's head, such as 10.0.0.1:6379.
        workers: Runs at a time; 0: as many as there are cores (of the cluster) for them.
        threads: Threads of each worker (MuJoCo, BLAS); results do not depend on it.
        resume: Continue runs that were begun; without it they are left alone.
        filter: Only runs whose id fits: a shell pattern, or text that occurs in it; may be repeated.
        seeds: Only these seeds.
    """
    from benchmarks.runner import Engine, LocalEngine, Sweep
    from benchmarks.store import Store

    at_least_one("threads", threads)
    jobs, name = chosen(suite, filter, seeds)
    with Store(store) as db:
        ids = db.add(jobs, name)
        db.sync()
        kind: Engine
        if engine == "ray":
            from benchmarks.ray_engine import RayEngine

            kind = RayEngine(address, workers, threads)
        else:
            kind = LocalEngine(workers, threads)
        complete = Sweep(db, ids, kind, resume).run()
        return summarise(db, ids, store) if complete else 130


def status(store: StorePath, /, filter: Patterns = (), errors: FlagCreatePairsOff[bool] = False) -> int:
    """Show the state of the runs of a store.

    Args:
        store: A store, or its folder.
        filter: Only runs whose id fits; may be repeated.
        errors: Print what went wrong with failed runs in full.
    """
    from rich.console import Console
    from rich.table import Table

    from benchmarks.runner import select

    with existing(store) as db:
        db.sync()
        runs = db.runs()
    runs = runs[runs["run"].isin(select(runs, filter))]
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    table = Table("status", box=None, pad_edge=False, header_style="dim")
    table.add_column("run", overflow="fold")
    for name in ("steps", "steps/s", "attempts", "worker", "suites"):
        table.add_column(name)
    for r in runs.itertuples():
        colour = {"finished": "green", "failed": "red", "running": "cyan"}.get(r.status, "")
        shown = f"[{colour}]{r.status}[/]" if colour else r.status
        speed = "" if r.steps_per_s != r.steps_per_s else f"{r.steps_per_s:,.0f}"
        steps = f"{r.step:,} / {r.total_steps:,}"
        table.add_row(shown, r.run, steps, speed, str(r.attempts), r.worker or "", ", ".join(r.suites))
    console.print(table)
    counts = runs["status"].value_counts().to_dict()
    console.print(f"{len(runs)} runs: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    show_errors(runs, full=errors)
    return 0


def retry(store: StorePath, /, filter: Patterns = ()) -> int:
    """Queue failed runs again; the next `run` continues them from their last checkpoint.

    Args:
        store: A store, or its folder.
        filter: Only runs whose id fits, cancelled ones included; may be repeated. Without it: all failed runs.
    """
    from benchmarks.runner import select

    with existing(store) as db:
        changed = db.retry(select(db.runs(), filter), ("failed", "cancelled") if filter else ("failed",))
    return say("queued again", changed)


def cancel(store: StorePath, patterns: Annotated[Positional[tuple[str, ...]], arg(metavar="PATTERN")], /) -> int:
    """Take runs out of the queue; running ones stop at the end of their epoch. `retry` brings them back.

    Args:
        store: A store, or its folder.
        patterns: Runs whose id fits: a shell pattern, or text that occurs in it; '*' for all.
    """
    from benchmarks.runner import select

    if not patterns:
        raise UserError("cancel: say which runs; '*' for all that are not over")
    with existing(store) as db:
        changed = db.cancel(select(db.runs(), patterns))
    return say("cancelled", changed)


def import_runs(store: StorePath, folders: Annotated[Positional[tuple[Path, ...]], arg(metavar="FOLDER")], /) -> int:
    """Take in folders that `safepo train` wrote, of whatever age. They stay where they are.

    Args:
        store: A store, or its folder; created if there is none.
        folders: Folders of runs, or folders above them.
    """
    from benchmarks.store import Store

    found = [path.parent for folder in folders for path in sorted(folder.rglob("config.json"))]
    if not found:
        raise UserError(f"no run (a folder with config.json) in {', '.join(map(str, folders)) or 'nothing'}")
    with Store(store) as db:
        for folder in found:
            try:
                name, notes = db.collect_folder(folder)
            except (UserError, KeyError, ValueError) as error:
                name, notes = str(folder), [f"left out: {error}"]
            print(": ".join(part for part in (name, "; ".join(notes)) if part))
        print(f"{len(db.runs())} runs in {db.path}")
    return 0


def slurm(
    suite: SuiteName,
    /,
    store: Path = DEFAULT_STORE,
    threads: int = 1,
    filter: Patterns = (),
    seeds: tuple[int, ...] = (),
    options: UseAppendAction[tuple[str, ...]] = (),
) -> int:
    """Write a SLURM array script with one task per run, and its file of configurations.

    Args:
        suite: A name that `suites` lists, or a .toml file.
        store: Where the results go: a folder on a file system that the nodes share.
        threads: Processors of each task.
        filter: Only runs whose id fits: a shell pattern, or text that occurs in it; may be repeated.
        seeds: Only these seeds.
        options: Further options of sbatch, such as --options=--partition=cpu --options=--time=24:00:00.
    """
    from benchmarks.slurm import write_script
    from benchmarks.store import Store

    at_least_one("threads", threads)
    jobs, name = chosen(suite, filter, seeds)
    with Store(store) as db:
        script = write_script(db, name, db.add(jobs, name), threads, options)
    print(f"sbatch {script}")
    return 0


def suites() -> int:
    """List the suites that ship with the repository."""
    from rich.console import Console
    from rich.table import Table

    from benchmarks.suite import load_suite, suite_names

    table = Table("suite", "runs", "steps", "what", box=None, pad_edge=False, header_style="dim")
    for name in suite_names():
        suite = load_suite(name)
        steps = sum(job.run.nepoch * job.run.epoch_steps for job in suite.jobs)
        table.add_row(name, str(len(suite.jobs)), f"{steps:.1e}", suite.description)
    Console(highlight=False).print(table)
    return 0


def report(
    store: StorePath,
    /,
    output: Path | None = None,
    suite: Annotated[UseAppendAction[tuple[str, ...]], arg(metavar="SUITE")] = (),
    title: str = "Benchmark report",
    open: FlagCreatePairsOff[bool] = False,
) -> int:
    """Write the report of a store: one page of HTML, tables, figures.

    Args:
        store: A store, its folder, or a folder that `export` wrote.
        output: Folder of the report; default: `report` beside the store.
        suite: Only the runs of a suite; may be repeated.
        title: Headline of the page.
        open: Show the page in the desktop's browser, if there is one.
    """
    from benchmarks.report import write_report
    from benchmarks.store import open_store

    with open_store(store) as db:
        target = output or (store if store.is_dir() else store.parent) / "report"
        page = write_report(db, target, title=title, suites=suite).resolve()
    print(f"report: {page}")
    if open and (sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)):
        webbrowser.open(page.as_uri())
    return 0


def compare(
    a: Annotated[Positional[str], arg(metavar="A")],
    b: Annotated[Positional[str], arg(metavar="B")],
    /,
    output: Path = Path("comparison.csv"),
    alpha: float = 0.05,
) -> int:
    """Compare final return and cost of two stores or commits, with significance.

    Args:
        a: A store, its folder or an export; STORE@COMMIT takes only the runs of a commit.
        b: What to compare with it; differences are B - A.
        output: The table as CSV.
        alpha: Level of significance, after Holm's correction.
    """
    from benchmarks.compare import run_compare

    return run_compare(a, b, output, alpha)


def export(store: StorePath, folder: Annotated[Positional[Path], arg(metavar="FOLDER")], /) -> int:
    """Write the tables of a store as small Parquet files, which `report` and `compare` read, too.

    Args:
        store: A store, or its folder.
        folder: Where to.
    """
    from benchmarks.store import open_store

    with open_store(store) as db:
        print(f"wrote {db.export(folder)}")
    return 0


def freeze(store: StorePath, folder: Annotated[Positional[Path], arg(metavar="FOLDER")], /) -> int:
    """Keep the final policies of a store as small files, with the scores that `safepo eval` must reproduce.

    Args:
        store: A store, or its folder.
        folder: Where to; benchmarks/checkpoints holds those of suite `quick`.
    """
    from benchmarks.freeze import freeze as write
    from benchmarks.store import open_store

    with open_store(store) as db:
        scores = write(db, folder)
    print(f"wrote {len(scores)} policies and their scores to {folder}")
    return 0


COMMANDS: dict[str, Any] = {
    "suites": suites,
    "run": run,
    "status": status,
    "retry": retry,
    "cancel": cancel,
    "import": import_runs,
    "export": export,
    "freeze": freeze,
    "report": report,
    "compare": compare,
    "slurm": slurm,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 good, 1 a run failed, 2 wrong arguments, 130 stopped on request)."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        return tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="python -m benchmarks",
            description="Benchmark sweeps of safe reinforcement learning: run suites, watch them, report.",
            args=args or ["--help"],
        )
    except UserError as error:
        print(f"benchmarks: error: {error}", file=sys.stderr)
        return 2


# --- helpers ----------------------------------------------------------------------------------------------------------


def chosen(suite: str, patterns: Sequence[str], seeds: Sequence[int]) -> tuple[list[Any], str]:
    """The configurations of a suite that fit, and its name."""
    from benchmarks.runner import fits
    from benchmarks.suite import load_suite, run_id

    found = load_suite(suite)
    jobs = [
        job
        for job in found.jobs
        if (not patterns or any(fits(run_id(job), p) for p in patterns)) and (not seeds or job.run.seed in seeds)
    ]
    if not jobs:
        known = sorted({job.run.seed for job in found.jobs})
        raise UserError(
            f"none of the {len(found.jobs)} runs of suite {found.name!r} fits --filter {' '.join(patterns) or '(any)'} "
            f"--seeds {' '.join(map(str, seeds)) or '(any)'}; a run is named like {run_id(found.jobs[0])}, "
            f"seeds are {known}"
        )
    return jobs, found.name


def existing(store: Path) -> Any:
    """Open a store to change it; it must exist."""
    from benchmarks.store import Store

    Store(store, read_only=True).close()
    return Store(store)


def summarise(db: Any, ids: Sequence[str], store: Path) -> int:
    """Say how a sweep ended; returns the exit code."""
    runs = db.runs()
    runs = runs[runs["run"].isin(ids)]
    counts = runs["status"].value_counts().to_dict()
    print(f"{len(runs)} runs: " + ", ".join(f"{n} {name}" for name, n in counts.items()))
    show_errors(runs)
    print(f"tables and curves: python -m benchmarks report {store}")
    if counts.get("failed"):
        print(f"failed runs again: python -m benchmarks retry {store}, then the same `run`")
    return 1 if counts.get("failed") else 0


def show_errors(runs: Any, full: bool = False) -> None:
    """Print what went wrong: the last line of each error and where the rest is, or all of it."""
    for r in runs[runs["status"] == "failed"].itertuples():
        text = (r.error or "").strip()
        print(f"\nfailed: {r.run}\n{text}" if full else f"failed: {r.run}: {text.splitlines()[-1] if text else '?'}")
        print(f"        {Path(r.folder) / 'output.log'}")


def at_least_one(name: str, value: int) -> None:
    if value < 1:
        raise UserError(f"--{name} must be at least 1, got {value}")


def say(what: str, runs: Sequence[str]) -> int:
    print(f"{len(runs)} {what}" + (":" if runs else ""))
    print("\n".join(f"  {run}" for run in runs))
    return 0
