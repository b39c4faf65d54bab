"""Results of a sweep in one SQLite file, with the folders of its runs beside it.

    runs/bench/store.sqlite                                  what was asked for, what happened, curves, evaluations
    runs/bench/runs/<env-id>/<algorithm>-<hash>-seed<k>/     what `safepo train` writes, and the worker's files

The folder is the truth about a run: `collect` reads it and replaces the run's rows, so rows that are missing or old
are never a loss. The store adds who works on what. A runner claims a run for as long as it renews a lease; a claim
whose lease ran out, or whose process is gone, returns to the queue. A run that keeps killing its worker without getting
further fails after `MAX_DEATHS` times.

Several processes of one machine may use a store at a time (write-ahead log). Workers on other machines write
to the folders only, which the runner collects: SQLite's log does not work over a network file system.
"""

from __future__ import annotations

import json
import os
import re
import socket
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.suite import run_id
from safepo.config import Config, config_from_dict, make_config
from safepo.errors import UserError

LEASE = 120.0
"""Seconds after which a claim that was not renewed is taken for dead."""
MAX_DEATHS = 3
"""So many deaths of its worker at the same step, and a run counts as failed."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    id INTEGER PRIMARY KEY, run TEXT UNIQUE NOT NULL, env_id TEXT NOT NULL, algorithm TEXT NOT NULL,
    seed INTEGER NOT NULL, cost_limit TEXT NOT NULL, total_steps INTEGER NOT NULL,
    status TEXT NOT NULL DEFAULT 'queued', step INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0, worker TEXT, started TEXT, ended TEXT,
    seconds REAL, steps_per_s REAL, command TEXT NOT NULL, config TEXT NOT NULL, versions TEXT NOT NULL DEFAULT '{}',
    hardware TEXT NOT NULL DEFAULT '{}', "commit" TEXT NOT NULL DEFAULT '', error TEXT, folder TEXT NOT NULL,
    heartbeat REAL NOT NULL DEFAULT 0, deaths INTEGER NOT NULL DEFAULT 0, death_step INTEGER NOT NULL DEFAULT -1);
CREATE TABLE IF NOT EXISTS suites (
    suite TEXT NOT NULL, run INTEGER NOT NULL REFERENCES runs(id), PRIMARY KEY (suite, run)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS metrics (id INTEGER PRIMARY KEY, metric TEXT UNIQUE NOT NULL);
CREATE TABLE IF NOT EXISTS curves (
    run INTEGER NOT NULL REFERENCES runs(id), metric INTEGER NOT NULL REFERENCES metrics(id), step INTEGER NOT NULL,
    value REAL, PRIMARY KEY (run, metric, step)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS evaluations (
    run INTEGER NOT NULL REFERENCES runs(id), mode TEXT NOT NULL, episode INTEGER NOT NULL, "return" REAL NOT NULL,
    cost REAL NOT NULL, length INTEGER NOT NULL, PRIMARY KEY (run, mode, episode)) WITHOUT ROWID;
"""
_KEY = ("run", "env_id", "algorithm", "seed", "cost_limit")
_JSON = ("config", "versions", "hardware")
_RUNS: dict[str, Any] = {
    **dict.fromkeys(("run", "suites", "env_id", "algorithm"), object),
    "seed": int,
    "cost_limit": object,
    "total_steps": int,
    "status": object,
    "step": int,
    "attempts": int,
    **dict.fromkeys(("worker", "started", "ended"), object),
    "seconds": float,
    "steps_per_s": float,
    **dict.fromkeys(("command", "config", "versions", "hardware", "commit", "error", "folder"), object),
}
_CURVES = {**{key: _RUNS[key] for key in _KEY}, "step": int, "metric": object, "value": float}
_EVALUATIONS = {
    **{key: _RUNS[key] for key in _KEY},
    "mode": object,
    "episode": int,
    "return": float,
    "cost": float,
    "length": int,
}
_ORDER = "ORDER BY runs.env_id, runs.algorithm, runs.cost_limit, runs.total_steps, runs.seed, runs.run"


class Store:
    """The tables of a sweep; `runs`, `curves` and `evaluations` return data frames, the rest is for runners."""

    def __init__(self, path: str | Path, read_only: bool = False) -> None:
        """Open `path`, a file or the folder of a `store.sqlite`; creates it unless `read_only`."""
        self.path = _file(path)
        self.folder = self.path.parent
        if str(path) == ":memory:":
            self.path = Path(":memory:")
        elif read_only and not self.path.exists():
            raise UserError(f"store {str(path)!r} does not exist")
        elif not read_only:
            self.folder.mkdir(parents=True, exist_ok=True)
        name = f"{self.path.resolve().as_uri()}?mode=ro" if read_only else str(self.path)
        self._db = sqlite3.connect(name, timeout=60, isolation_level=None, uri=read_only)
        try:
            if not read_only:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(_SCHEMA)
            self._db.execute("SELECT death_step FROM runs LIMIT 1")
        except sqlite3.DatabaseError as error:
            raise UserError(f"{self.path} is not a store of benchmarks ({error})") from None

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # --- what everybody reads ---------------------------------------------------------------------------------------

    def runs(self) -> pd.DataFrame:
        """One row per run: run, suites, env_id, algorithm, seed, cost_limit, total_steps, status, step, ..."""
        columns = ", ".join(f'runs."{name}"' for name in _RUNS if name != "suites")
        frame = self._frame(f"SELECT {columns} FROM runs {_ORDER}", {k: v for k, v in _RUNS.items() if k != "suites"})
        member: dict[str, list[str]] = {}
        for run, suite in self._db.execute("SELECT runs.run, suite FROM suites JOIN runs ON runs.id = suites.run"):
            member.setdefault(run, []).append(suite)
        frame.insert(1, "suites", [tuple(sorted(member.get(run, ()))) for run in frame["run"]])
        for name in _JSON:
            frame[name] = [json.loads(text) for text in frame[name]]
        frame["folder"] = [os.path.normpath(self.folder / text) for text in frame["folder"]]
        return frame

    def curves(self, metrics: Iterable[str] | None = None) -> pd.DataFrame:
        """One row per run, step and metric of `metrics.csv`; all metrics, or those named."""
        wanted = None if metrics is None else json.dumps(list(metrics))
        return self._frame(
            f"SELECT {_key()}, curves.step, metrics.metric, curves.value FROM curves JOIN runs ON runs.id = curves.run "
            "JOIN metrics ON metrics.id = curves.metric "
            f"WHERE ?1 IS NULL OR metrics.metric IN (SELECT value FROM json_each(?1)) "
            f"{_ORDER}, metrics.metric, curves.step",
            _CURVES,
            (wanted,),
        )

    def evaluations(self) -> pd.DataFrame:
        """One row per episode of the evaluation after training: mode, episode, return, cost, length."""
        return self._frame(
            f'SELECT {_key()}, mode, episode, "return", cost, length FROM evaluations '
            f"JOIN runs ON runs.id = evaluations.run {_ORDER}, mode, episode",
            _EVALUATIONS,
        )

    def _frame(self, query: str, dtypes: dict[str, Any], parameters: Sequence[Any] = ()) -> pd.DataFrame:
        return pd.DataFrame(self._db.execute(query, parameters).fetchall(), columns=list(dtypes)).astype(dtypes)

    # --- what is asked for --------------------------------------------------------------------------------------------

    def add(self, configs: Iterable[Config], suite: str | None = None) -> list[str]:
        """Queue what is not there yet, as members of a suite; returns the ids of all runs given, in order."""
        ids = []
        with self._write():
            for config in configs:
                ids.append(run_id(config))
                self._insert(config, ids[-1], Path("runs") / ids[-1])
                if suite is not None:
                    self._db.execute(
                        "INSERT OR IGNORE INTO suites SELECT ?, id FROM runs WHERE run = ?", (suite, ids[-1])
                    )
        return ids

    def _insert(self, config: Config, run: str, folder: Path) -> bool:
        """Add a queued row; False if the run is known."""
        config, r = replace(config, run=replace(config.run, log_dir="runs")), config.run
        done = self._db.execute(
            "INSERT OR IGNORE INTO runs "
            "(run, env_id, algorithm, seed, cost_limit, total_steps, command, config, folder) "
            "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (run, r.env_id, config.algorithm, r.seed, str(r.cost_limit), r.total_steps, command_of(config),
             json.dumps(config.to_dict()), folder.as_posix()),
        )  # fmt: skip
        return done.rowcount == 1

    def config(self, run: str) -> Config:
        """The configuration to train a run with, its `log_dir` such that it lands in the run's folder."""
        text, folder = self._one("SELECT config, folder FROM runs WHERE run = ?", run)
        config = config_from_dict(json.loads(text))
        log_dir = os.path.normpath((self.folder / folder).parents[1])
        return replace(config, run=replace(config.run, log_dir=log_dir))

    def run_folder(self, run: str) -> Path:
        """The folder of a run."""
        return Path(os.path.normpath(self.folder / self._one("SELECT folder FROM runs WHERE run = ?", run)[0]))

    def status(self, run: str) -> str:
        """queued, running, interrupted, finished, failed or cancelled."""
        return self._one("SELECT status FROM runs WHERE run = ?", run)[0]

    def _one(self, query: str, run: str) -> tuple[Any, ...]:
        row = self._db.execute(query, (run,)).fetchone()
        if row is None:
            raise UserError(f"no run {run!r} in {self.path}")
        return row

    # --- who works on what --------------------------------------------------------------------------------------------

    def claim(self, worker: str, among: Sequence[str], resume: bool = True) -> str | None:
        """Take the first run that waits, for `worker` (a `worker_name`); None if none does.

        Runs whose worker died wait again. With `resume` false, runs that have a checkpoint are left alone.
        """
        with self._write():
            self._release_dead()
            row = self._db.execute(
                "SELECT run FROM runs WHERE (status = 'queued' OR ?1 AND status = 'interrupted') "
                "AND (?1 OR step = 0) AND run IN (SELECT value FROM json_each(?2)) ORDER BY id LIMIT 1",
                (resume, json.dumps(list(among))),
            ).fetchone()
            if row is None:
                return None
            self._db.execute(
                "UPDATE runs SET status = 'running', worker = ?, heartbeat = ?, attempts = attempts + 1, error = NULL, "
                "started = COALESCE(started, ?), ended = NULL WHERE run = ?",
                (worker, time.time(), now(), row[0]),
            )
        return row[0]

    def heartbeat(self, run: str, worker: str, step: int | None = None) -> bool:
        """Renew the lease and note the progress; False if the run is not this worker's any more (cancelled, taken)."""
        done = self._db.execute(
            "UPDATE runs SET heartbeat = ?, step = COALESCE(?, step) "
            "WHERE run = ? AND worker = ? AND status = 'running'",
            (time.time(), step, run, worker),
        )
        return done.rowcount == 1

    def release(self, run: str, worker: str, died: str | None = None) -> str:
        """End a claim: read the folder, decide what the run is now and return it.

        `died` says how the process ended, if nobody asked it to; it returns to the queue, or fails after `MAX_DEATHS`.
        """
        found = read_folder(self.run_folder(run))
        with self._write():
            mine = self._one("SELECT worker, status FROM runs WHERE run = ?", run) == (worker, "running")
            self._record(run, found)
            over = found.status in ("finished", "failed")
            if mine and died and not over:
                self._died(run, died)
            elif mine:
                status = found.status if over else "interrupted"
                self._db.execute(
                    "UPDATE runs SET status = ?, error = ?, ended = ?, worker = COALESCE(?, worker) WHERE run = ?",
                    (status, found.error, now(), found.worker, run),
                )
        return self.status(run)

    def _release_dead(self) -> None:
        """Runs whose claim ran out, or whose runner on this machine is gone, wait again."""
        query = "SELECT run, worker, heartbeat FROM runs WHERE status = 'running'"
        for run, worker, heartbeat in self._db.execute(query).fetchall():
            if time.time() - heartbeat > LEASE or process_gone(worker):
                self._died(run, f"its runner {worker} is gone")

    def _died(self, run: str, how: str) -> None:
        """Count a death: one that came further than the last starts the count anew."""
        step, deaths, death_step = self._one("SELECT step, deaths, death_step FROM runs WHERE run = ?", run)
        deaths = deaths + 1 if step <= death_step else 1
        failed = deaths >= MAX_DEATHS
        error = f"the worker died {deaths} times at step {step:,} (last: {how})" if failed else None
        self._db.execute(
            "UPDATE runs SET status = ?, error = ?, deaths = ?, death_step = ? WHERE run = ?",
            ("failed" if failed else "queued", error, deaths, step, run),
        )

    def cancel(self, runs: Iterable[str]) -> list[str]:
        """Take runs out of the queue; running ones stop at the end of their epoch. Returns those that changed."""
        return self._set(runs, "cancelled", ("queued", "running", "interrupted"))

    def retry(self, runs: Iterable[str], statuses: Sequence[str] = ("failed",)) -> list[str]:
        """Put runs back into the queue; returns those that changed. They continue from their last checkpoint."""
        changed = self._set(runs, "queued", statuses)
        for run in changed:
            (self.run_folder(run) / "error.txt").unlink(missing_ok=True)
        return changed

    def _set(self, runs: Iterable[str], status: str, before: Sequence[str]) -> list[str]:
        with self._write():
            return [
                run
                for run in runs
                if self._db.execute(
                    "UPDATE runs SET status = ?, error = NULL, deaths = 0, death_step = -1 "
                    "WHERE run = ? AND status IN (SELECT value FROM json_each(?))",
                    (status, run, json.dumps(before)),
                ).rowcount
            ]

    # --- what happened ------------------------------------------------------------------------------------------------

    def sync(self) -> None:
        """Read the folders of all runs that wait: what another machine trained, or a runner that died left there."""
        with self._write():
            self._release_dead()
        for (run,) in self._db.execute("SELECT run FROM runs WHERE status IN ('queued', 'interrupted')").fetchall():
            folder = self.run_folder(run)
            if folder.is_dir():
                found = read_folder(folder)
                with self._write():
                    self._record(run, found)
                    if found.status != "interrupted" or found.step:
                        self._db.execute(
                            "UPDATE runs SET status = ?, error = ?, worker = COALESCE(?, worker), heartbeat = ? "
                            "WHERE run = ?",
                            (found.status, found.error, found.worker, found.heartbeat, run),
                        )

    def collect_folder(self, folder: Path) -> tuple[str, list[str]]:
        """Take in a run folder that lies anywhere; returns its id and notes. The folder stays where it is."""
        config = config_from_dict(json.loads((folder / "config.json").read_text()))
        regular = re.fullmatch(rf"{config.algorithm}-[0-9a-f]{{8}}-seed{config.run.seed}", folder.name)
        run = f"{folder.parent.name}/{folder.name}" if regular else run_id(config)
        found = read_folder(folder)
        if found.status == "running":
            return run, ["is being trained; left out"]
        with self._write():
            relative = Path(os.path.relpath(folder.resolve(), self.folder.resolve()))
            if not self._insert(config, run, relative):
                if self.status(run) in ("finished", "running"):
                    return run, [f"is {self.status(run)} in the store; left as it is"]
                self._db.execute("UPDATE runs SET folder = ? WHERE run = ?", (relative.as_posix(), run))
            self._record(run, found)
            self._db.execute(
                "UPDATE runs SET status = ?, error = ?, started = ?, ended = ? WHERE run = ?",
                (found.status, found.error, found.started, found.ended, run),
            )
        return run, found.notes

    def _record(self, run: str, found: Folder) -> None:
        """Replace the rows of a run by what its folder holds; the status stays."""
        (number,) = self._one("SELECT id FROM runs WHERE run = ?", run)
        self._db.execute(
            "UPDATE runs SET step = ?, seconds = ?, steps_per_s = ?, versions = ?, hardware = ?, "
            '"commit" = ? WHERE id = ?',
            (found.step, found.seconds, found.steps_per_s, json.dumps(found.versions), json.dumps(found.hardware),
             found.commit, number),
        )  # fmt: skip
        known = {metric for _, metric, _ in found.curves}
        self._db.executemany("INSERT OR IGNORE INTO metrics (metric) VALUES (?)", [(m,) for m in sorted(known)])
        ids = dict(self._db.execute("SELECT metric, id FROM metrics").fetchall())
        self._db.execute("DELETE FROM curves WHERE run = ?", (number,))
        self._db.executemany(
            "INSERT INTO curves (run, metric, step, value) VALUES (?, ?, ?, ?)",
            [(number, ids[metric], step, value) for step, metric, value in found.curves],
        )
        self._db.execute("DELETE FROM evaluations WHERE run = ?", (number,))
        self._db.executemany(
            "INSERT INTO evaluations VALUES (?, ?, ?, ?, ?, ?)", [(number, *row) for row in found.evaluations]
        )

    @contextmanager
    def _write(self) -> Iterator[None]:
        """One transaction that holds the write lock from its start."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    # --- files to keep ------------------------------------------------------------------------------------------------

    def export(self, folder: str | Path) -> Path:
        """Write runs.parquet, curves.parquet and evaluations.parquet, without the names of machines and folders."""
        target = Path(folder)
        target.mkdir(parents=True, exist_ok=True)
        runs = self.runs()
        runs["suites"] = [json.dumps(list(suites)) for suites in runs["suites"]]
        for name in _JSON:
            runs[name] = [json.dumps(value) for value in runs[name]]
        runs["worker"], runs["folder"] = None, "runs/" + runs["run"]
        for name, frame in (("runs", runs), ("curves", self.curves()), ("evaluations", self.evaluations())):
            frame.to_parquet(target / f"{name}.parquet", index=False, compression="zstd")
        return target

    @classmethod
    def from_export(cls, folder: str | Path) -> Store:
        """A store in memory that holds what `export` wrote."""
        source, store = Path(folder), cls(":memory:")
        store.folder = source
        try:
            runs, curves, evaluations = (
                pd.read_parquet(source / f"{name}.parquet") for name in ("runs", "curves", "evaluations")
            )
        except OSError as error:
            raise UserError(f"{str(source)!r} holds no exported store ({error})") from None
        runs = runs.astype(object).where(runs.notna(), None)
        names = [name for name in _RUNS if name != "suites"]
        listed = ", ".join(f'"{name}"' for name in names)
        with store._write():
            store._fill(f"runs ({listed})", [runs[name] for name in names])
            ids = dict(store._db.execute("SELECT run, id FROM runs").fetchall())
            for run, suites in zip(runs["run"], runs["suites"], strict=True):
                store._db.executemany("INSERT INTO suites VALUES (?, ?)", [(s, ids[run]) for s in json.loads(suites)])
            metrics = {metric: i for i, metric in enumerate(sorted(set(curves["metric"])))}
            store._db.executemany("INSERT INTO metrics (metric, id) VALUES (?, ?)", metrics.items())
            columns = [curves["run"].map(ids), curves["metric"].map(metrics), curves["step"], curves["value"]]
            store._fill("curves", columns)
            columns = [evaluations[name] for name in ("mode", "episode", "return", "cost", "length")]
            store._fill("evaluations", [evaluations["run"].map(ids), *columns])
        return store

    def _fill(self, table: str, columns: Sequence[Any]) -> None:
        marks = ", ".join("?" * len(columns))
        rows = zip(*(column.tolist() for column in columns), strict=True)
        self._db.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)


def open_store(path: str | Path, read_only: bool = True) -> Store:
    """Open a store: an SQLite file, its folder, or a folder that `Store.export` wrote."""
    if (Path(path) / "runs.parquet").exists() and not _file(path).exists():
        return Store.from_export(path)
    return Store(path, read_only=read_only)


def _file(path: str | Path) -> Path:
    """A store is named by its file or by its folder."""
    path = Path(path)
    return path if path.suffix in (".sqlite", ".db") else path / "store.sqlite"


def _key() -> str:
    return ", ".join(f"runs.{name}" for name in _KEY)


# --- folders of runs --------------------------------------------------------------------------------------------------


@dataclass
class Folder:
    """What the folder of a run says."""

    status: str = "queued"
    """queued (nothing trained), running (its worker is alive), interrupted, finished or failed"""
    step: int = 0
    seconds: float | None = None
    steps_per_s: float | None = None
    started: str | None = None
    ended: str | None = None
    worker: str | None = None
    heartbeat: float = 0.0
    versions: dict[str, Any] = field(default_factory=dict)
    hardware: dict[str, Any] = field(default_factory=dict)
    commit: str = ""
    error: str | None = None
    curves: list[tuple[int, str, float]] = field(default_factory=list)
    """(step, metric, value)"""
    evaluations: list[tuple[str, int, float, float, int]] = field(default_factory=list)
    """(mode, episode, return, cost, length)"""
    notes: list[str] = field(default_factory=list)


def read_folder(folder: Path) -> Folder:
    """Read what `safepo train` and the worker wrote, of whatever age."""
    from safepo.trainer import run_status

    found = Folder()
    worker = _json(folder / "worker.json")
    error = folder / "error.txt"
    if error.exists():
        found.status, found.error = "failed", error.read_text()
    if worker:
        found.worker, found.heartbeat = worker["worker"], (folder / "worker.json").stat().st_mtime
        found.hardware, found.commit = worker["hardware"], ", ".join(worker["commits"])
        found.started, found.ended = worker["started"], worker.get("ended")
    if not (folder / "config.json").exists():
        return found
    config, evaluation = _json(folder / "config.json"), _json(folder / "eval.json")
    found.versions = _json(folder / "versions.json")
    _read_curves(folder / "metrics.csv", found)
    _read_evaluation(evaluation, found)
    if found.status != "failed":
        found.status = "running" if folder_alive(folder) else run_status(folder)
        if worker and found.status == "running" and not folder_alive(folder):
            found.status = "interrupted"  # another process has got the number of the one that trained
        if found.status == "finished" and not evaluation and config["run"]["eval_episodes"]:
            found.status = "interrupted"
            found.notes.append("trained, but not evaluated")
    if not worker:
        found.started = _time((folder / "config.json").stat().st_mtime)
        found.ended = _time((folder / "metrics.csv").stat().st_mtime) if found.curves else None
    return found


def _read_curves(path: Path, found: Folder) -> None:
    from safepo.logger import read_rows

    rows = read_rows(path) if path.exists() else []
    found.curves = [
        (int(row["step"]), name, float(text)) for row in rows for name, text in row.items() if name != "step" and text
    ]
    if rows:
        found.step, found.seconds = int(rows[-1]["step"]), float(rows[-1].get("time/total") or "nan")
        found.steps_per_s = found.step / found.seconds if found.seconds > 0 else None


def _read_evaluation(evaluation: dict[str, Any], found: Folder) -> None:
    for mode in ("deterministic", "stochastic"):
        result = evaluation.get(mode, {})
        if result and "values" not in result["return"]:
            found.notes.append(f"eval.json has no values per episode ({mode}): no evaluation rows")
            continue
        columns = [result[name]["values"] for name in ("return", "cost", "length")] if result else []
        found.evaluations += [(mode, i, r, c, int(n)) for i, (r, c, n) in enumerate(zip(*columns, strict=True))]


def folder_alive(folder: Path) -> bool:
    """Whether a worker is at work in a folder: its sign of life is fresh and, on this machine, its process exists."""
    worker = _json(folder / "worker.json")
    if not worker or "ended" in worker or process_gone(worker["worker"]):
        return False
    return time.time() - (folder / "worker.json").stat().st_mtime < LEASE


def progress(folder: Path) -> int:
    """Environment steps logged so far, read from the end of `metrics.csv`."""
    try:
        with open(folder / "metrics.csv", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 4096))
            lines = file.read().split(b"\n")
    except OSError:
        return 0
    steps = [line.partition(b",")[0] for line in lines[:-1]]
    return next((int(step) for step in reversed(steps) if step.isdigit()), 0)


def _json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except (OSError, json.JSONDecodeError):
        return {}


# --- small things -----------------------------------------------------------------------------------------------------


def worker_name() -> str:
    """`<host>:<pid>` of this process."""
    return f"{socket.gethostname()}:{os.getpid()}"


def process_gone(worker: str | None) -> bool:
    """Whether a worker's process was on this machine and does not exist any more."""
    host, _, pid = (worker or "").rpartition(":")
    if host != socket.gethostname():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False


def now() -> str:
    """UTC, ISO 8601, whole seconds."""
    return _time(time.time())


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def command_of(config: Config) -> str:
    """The `safepo train` command of a configuration: what differs from the defaults of its environment."""
    default = make_config(config.algorithm, env_id=config.run.env_id, check=False).to_dict()
    words = ["safepo", "train", config.algorithm, "--env-id", config.run.env_id, "--seed", str(config.run.seed)]
    plain = config.to_dict()
    for part in ("run", "settings"):
        for name, value in plain[part].items():
            flag = name.replace("_", "-")
            if value == default[part][name] or name in ("env_id", "seed", "log_dir"):
                continue
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                words += [f"--{flag}", *map(str, value if isinstance(value, (list, tuple)) else [value])]
    return " ".join(words)
