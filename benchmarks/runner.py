"""Sweeps: claim the runs of a suite one by one, hand them to an engine, show how they get on, collect what they wrote.

The local engine starts one process per run (see worker.py). Another engine offers the same five names (`Engine`).
"""

from __future__ import annotations

import fnmatch
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from benchmarks import worker
from benchmarks.store import Store, progress, read_folder, worker_name
from safepo.config import Config

POLL = 0.3
"""Seconds between looks at the workers."""
REPORT = 60.0
"""Seconds between lines of progress where there is no terminal."""


class Engine(Protocol):
    """Runs workers somewhere."""

    @property
    def capacity(self) -> int: ...
    def start(self, config: Config) -> Any:
        """Start a worker; returns a handle of it."""

    def poll(self, handle: Any) -> str | None:
        """None while the worker is at work; else how it died, empty if it ended by itself."""

    def stop(self, handle: Any, at_once: bool = False) -> None:
        """Ask a worker to stop at the end of its epoch, or kill it."""

    def close(self) -> None: ...


class LocalEngine:
    """Worker processes on this machine, each in a session of its own: Ctrl-C reaches the runner only."""

    def __init__(self, workers: int = 0, threads: int = 1) -> None:
        """`workers` processes at a time (0: cores / threads), each with `threads` threads of MuJoCo and BLAS."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        self.capacity, self.threads = workers or max(1, cores // threads), threads

    def start(self, config: Config) -> subprocess.Popen[str]:
        return start_worker(config, self.threads)

    def poll(self, handle: subprocess.Popen[str]) -> str | None:
        return None if handle.poll() is None else how_it_died(handle.returncode, handle.stderr.read())  # type: ignore[union-attr]

    def stop(self, handle: subprocess.Popen[str], at_once: bool = False) -> None:
        if at_once:
            handle.kill()
        else:
            handle.terminate()

    def close(self) -> None:
        pass


def start_worker(config: Config, threads: int) -> subprocess.Popen[str]:
    """Start a worker process; what it says before it opens its log goes to the pipe of its standard error."""
    env = worker.environment(threads)
    env["PYTHONPATH"] = os.pathsep.join(p for p in (str(worker.ROOT), env.get("PYTHONPATH")) if p)
    process = subprocess.Popen(
        worker.command(),
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=env,
        text=True,
        start_new_session=True,
    )
    assert process.stdin is not None
    with process.stdin as stdin:
        json.dump(config.to_dict(), stdin)
    return process


def how_it_died(code: int, said: str = "") -> str:
    """A worker's exit code in words; empty if it ended by itself."""
    if code in (0, worker.STOPPED):
        return ""
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"{how} {said[-2000:]}".strip()


@dataclass
class Active:
    """A run that a worker is busy with."""

    config: Config
    handle: Any
    folder: Path
    step: int
    first_step: int
    since: float = field(default_factory=time.monotonic)
    stopping: bool = False
    beat: float = 0.0

    @property
    def rate(self) -> float:
        """Environment steps per second since the worker started, start-up included."""
        return (self.step - self.first_step) / max(time.monotonic() - self.since, 1e-9)

    def see(self, step: int) -> None:
        """Note how far the log is; a worker that continues a killed run first takes it back to the last checkpoint."""
        self.step, self.first_step = step, min(step, self.first_step)


class Sweep:
    """Work through runs of a store; `run` returns when none is left, or on request when the workers have stopped."""

    def __init__(self, store: Store, runs: Sequence[str], engine: Engine, resume: bool = True) -> None:
        self.store, self.runs, self.engine, self.resume = store, list(runs), engine, resume
        self.name, self.active = worker_name(), dict[str, Active]()
        configs = {run: store.config(run).run for run in runs}
        self.totals = {run: config.nepoch * config.epoch_steps for run, config in configs.items()}
        self.interrupts = 0
        self.since, self.done_steps = time.monotonic(), 0

    @property
    def rate(self) -> float:
        """Environment steps per second of all workers since the start, their start-up and evaluation included."""
        steps = self.done_steps + sum(active.step - active.first_step for active in self.active.values())
        return steps / max(time.monotonic() - self.since, 1e-9)

    def run(self) -> bool:
        """Returns False if it was stopped before its end."""
        overview = Overview(self)
        with self._signals(overview), overview:
            try:
                while True:
                    for run in list(self.active):
                        self._look_after(run, overview)
                    idle = not self._claim(overview) and not self.active
                    if idle and (self.interrupts or not self._elsewhere()):
                        return not self.interrupts
                    overview.update()
                    time.sleep(POLL)
            finally:
                for active in self.active.values():  # only after an error of the runner itself
                    self.engine.stop(active.handle)
                self.engine.close()

    def _claim(self, overview: Overview) -> bool:
        """Start workers while there is room; returns whether any was started."""
        started = False
        while not self.interrupts and len(self.active) < self.engine.capacity:
            run = self.store.claim(self.name, self.runs, self.resume)
            if run is None:
                break
            started, folder = True, self.store.run_folder(run)
            if folder.is_dir() and read_folder(folder).status == "finished":
                overview.event(run, self.store.release(run, self.name))
                continue
            step = progress(folder)
            config = self.store.config(run)
            self.active[run] = Active(config, self.engine.start(config), folder, step, step)
            overview.event(run, "resumed" if step else "started")
        return started

    def _look_after(self, run: str, overview: Overview) -> None:
        """Collect a run whose worker has ended; renew the lease of one at work."""
        active = self.active[run]
        died = self.engine.poll(active.handle)
        if died is not None:
            del self.active[run]
            active.see(progress(active.folder))
            self.done_steps += active.step - active.first_step
            status = self.store.release(run, self.name, None if active.stopping else died)
            overview.event(run, f"{status} ({died})" if died and status == "queued" else status)
        elif time.monotonic() - active.beat > worker.BEAT:
            active.beat = time.monotonic()
            active.see(progress(active.folder))
            if not self.store.heartbeat(run, self.name, active.step) and not active.stopping:
                active.stopping = True
                self.engine.stop(active.handle)
                overview.event(run, "stops at the end of its epoch")

    def _elsewhere(self) -> bool:
        """Whether another runner works on one of these runs; if it dies, they come back."""
        return any(self.store.status(run) == "running" for run in self.runs)

    @contextmanager
    def _signals(self, overview: Overview) -> Iterator[None]:
        """The first interrupt lets the workers end their epoch, the second kills them."""

        def handle(number: int, frame: Any) -> None:
            self.interrupts += 1
            overview.note(
                "stopping: workers end their epoch and save; once more to kill them"
                if self.interrupts == 1
                else "killing the workers; the runs continue from their last checkpoint"
            )
            for active in self.active.values():
                active.stopping = True
                self.engine.stop(active.handle, at_once=self.interrupts > 1)

        old = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
        try:
            yield
        finally:
            for number, handler in old.items():
                signal.signal(number, handler)


class Overview:
    """A live table on a terminal; elsewhere a line per event and one of progress a minute."""

    def __init__(self, sweep: Sweep) -> None:
        from rich.console import Console
        from rich.live import Live

        self.sweep, self.console, self.reported = sweep, Console(highlight=False), time.monotonic()
        self.counts, self.counted = dict[str, int](), 0.0
        self.left_steps = 0
        self.live = Live(console=self.console, get_renderable=self._table, auto_refresh=False, transient=True)

    def __enter__(self) -> Overview:
        self._count()
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.live.stop()

    def note(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def event(self, run: str, what: str) -> None:
        """Something happened to a run."""
        style = "red" if what == "failed" else "green" if what == "finished" else None
        self.console.print(f"{time.strftime('%H:%M:%S')} {what:<10} {run}", style=style, markup=False, soft_wrap=True)
        self.counted = 0.0

    def update(self) -> None:
        if time.monotonic() - self.counted > 5:
            self._count()
        if self.live.is_started:
            self.live.refresh()
        elif time.monotonic() - self.reported > REPORT:
            self.reported = time.monotonic()
            busy = ", ".join(
                f"{run} {active.step / self.sweep.totals[run]:.0%}" for run, active in self.sweep.active.items()
            )
            self.note(f"{self._headline()}; {busy}")

    def _count(self) -> None:
        self.counted, runs = time.monotonic(), self.sweep.store.runs()
        runs = runs[runs["run"].isin(self.sweep.runs)]
        self.counts = runs["status"].value_counts().to_dict()
        waiting = runs[runs["status"].isin(("queued", "running", "interrupted"))]
        self.left_steps = sum(self.sweep.totals[run] for run in waiting["run"]) - int(waiting["step"].sum())

    def _headline(self) -> str:
        rate = self.sweep.rate
        parts = [f"{self.counts.get('finished', 0)} of {len(self.sweep.runs)} runs finished"]
        parts += [f"{self.counts[name]} {name}" for name in ("failed", "cancelled") if self.counts.get(name)]
        return ", ".join([*parts, f"{rate:,.0f} steps/s", f"left {duration(self.left_steps / rate if rate else None)}"])

    def _table(self) -> Any:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="dim", expand=True)
        table.add_column("run", no_wrap=True)
        table.add_column(ratio=1, max_width=30)
        for name in ("done", "steps/s", "left"):
            table.add_column(name, justify="right")
        rows = list(self.sweep.active.items())
        for run, active in rows[: self.console.height - 4]:
            total = self.sweep.totals[run]
            left = (total - active.step) / active.rate if active.rate else None
            bar = ProgressBar(total, active.step)
            table.add_row(run, bar, f"{active.step / total:.0%}", f"{active.rate:,.0f}", duration(left))
        return Group(Text(self._headline(), style="bold"), table)


def duration(seconds: float | None) -> str:
    """`1:02:03`, or `?`."""
    if seconds is None:
        return "?"
    return f"{int(seconds) // 3600}:{int(seconds) // 60 % 60:02}:{int(seconds) % 60:02}"


def select(runs: pd.DataFrame, patterns: Iterable[str] = (), seeds: Iterable[int] = ()) -> list[str]:
    """Ids of the runs that fit one of the patterns and have one of the seeds; an empty list of either takes all."""
    patterns, seeds = list(patterns), set(seeds)
    return [
        run
        for run, seed in zip(runs["run"], runs["seed"], strict=True)
        if (not patterns or any(fits(run, p) for p in patterns)) and (not seeds or seed in seeds)
    ]


def fits(run: str, pattern: str) -> bool:
    """A pattern with `*`, `?` or `[` is matched as in a shell; any other text must occur in the id."""
    return fnmatch.fnmatchcase(run, pattern) if any(c in pattern for c in "*?[") else pattern in run
