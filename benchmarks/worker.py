"""Train, resume or only evaluate one run: `python -m benchmarks.worker < config.json`, for all engines.

The configuration comes as JSON on standard input. The worker touches nothing but the run's folder, so it works wherever
that folder is seen. Beside what `safepo train` writes, it keeps there:

    worker.json   who works here, since when, on what hardware, at which commits; its time of change is a sign of life
    output.log    everything that was printed, over all attempts
    error.txt     the traceback, if the last attempt failed

It exits with 0 (finished), 1 (failed; see error.txt) or 130 (stopped on request, at the end of an epoch where possible,
also when the process that started it is gone).
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.store import folder_alive, now, worker_name
from safepo.config import Config, config_from_dict

BEAT = 5.0
"""Seconds between signs of life."""
STOPPED = 130
ROOT = Path(__file__).resolve().parent.parent


class Stopped(BaseException):
    """A signal came while the trainer was not listening to it."""


def command() -> list[str]:
    """The command that starts a worker; to be run in a checkout."""
    return [sys.executable, "-m", "benchmarks.worker"]


def environment(threads: int) -> dict[str, str]:
    """Environment variables of a worker that computes with so many threads."""
    return {**os.environ, "OMP_NUM_THREADS": str(threads), "SAFETY_GYM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}


def main() -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        return _train(config_from_dict(json.load(sys.stdin)))
    except Stopped:
        print("stopped")
        return STOPPED


def _train(config: Config) -> int:
    """Do the work, with the signs of life and the log of it."""
    folder = config.run_dir()
    log = _open_log(folder)
    try:
        with _Life(folder, log):
            return _work(config, folder)
    except Exception:
        text = traceback.format_exc()
        print(text, flush=True)
        folder.mkdir(parents=True, exist_ok=True)
        _settle_log(folder, log)
        (folder / "error.txt").write_text(text)
        return 1


def _work(config: Config, folder: Path) -> int:
    """Do what is left to do for a run."""
    from safepo import checkpoint
    from safepo.evaluation import evaluate_run, write_json
    from safepo.trainer import Interrupted, Seeds, resume, run_status, start

    print(f"--- {now()} {worker_name()}: {folder}", flush=True)
    run = config.run
    try:
        if not folder.exists():
            start(config)
        elif run_status(folder) == "finished":
            pass
        elif checkpoint.latest(folder) == checkpoint.path_of(folder, run.nepoch):  # killed between its last two files
            write_json(folder / "status.json", {"status": "finished", "step": run.nepoch * run.epoch_steps})
        else:
            resume(folder)
    except Interrupted as stop:
        print(stop)
        return STOPPED
    if run.eval_episodes and not (folder / "eval.json").exists():
        evaluate_run(folder, run.eval_episodes, Seeds.of(run.seed).evaluation)  # as the trainer would have
    return 0


class _Life:
    """While it lasts, worker.json shows that somebody works here, and the process ends when its parent is gone."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.path, self.log, self.parent = folder / "worker.json", log, os.getppid()
        self.info: dict[str, Any] = {}
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> None:
        while folder_alive(self.path.parent):  # a worker whose runner was killed finishes its epoch first
            time.sleep(1)
        folder = self.path.parent
        before = json.loads(self.path.read_text()) if self.path.exists() else {}
        commits = before.get("commits", [])
        self.info = {
            "worker": worker_name(),
            "started": before.get("started", now()),
            "hardware": hardware(),
            "commits": [*commits, *({commit()} - {*commits, ""})],
        }
        (folder / "error.txt").unlink(missing_ok=True)
        if folder.exists() and not (folder / "config.json").exists():
            shutil.rmtree(folder)  # the last attempt failed before it began
        elif folder.exists():
            _settle_status(folder)
            self._write()
        self.thread.start()

    def __exit__(self, *exc: object) -> None:
        self.over.set()
        self.thread.join()
        if self.path.parent.is_dir():
            self.info["ended"] = now()
            self._write()

    def _watch(self) -> None:
        beat = 0.0
        while not self.over.wait(0.5):
            if self.path.parent.is_dir() and time.monotonic() - beat > BEAT:
                beat = time.monotonic()
                self._write()
            if os.getppid() != self.parent:
                os.kill(os.getpid(), signal.SIGTERM)
                self.parent = os.getppid()

    def _write(self) -> None:
        from safepo.evaluation import write_json

        _settle_log(self.path.parent, self.log)
        write_json(self.path, self.info)


def _settle_status(folder: Path) -> None:
    """A run that was killed says "running", maybe with the number of a process that means another one here."""
    from safepo.evaluation import write_json

    status = folder / "status.json"
    try:
        running = json.loads(status.read_text())["status"] == "running"
    except (OSError, json.JSONDecodeError):
        running = True
    if running:
        write_json(status, {"status": "interrupted"})


def _open_log(folder: Path) -> Path:
    """Send standard output and error to output.log; beside the folder as long as there is none."""
    beside = folder.with_name(f".{folder.name}.log")
    inside = folder / "output.log"
    beside.parent.mkdir(parents=True, exist_ok=True)
    if inside.exists() and not (folder / "config.json").exists():
        os.replace(inside, beside)
    log = inside if folder.exists() and not beside.exists() else beside
    with open(log, "ab") as file:
        sys.stdout.flush()
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    return log


def _settle_log(folder: Path, log: Path) -> None:
    """Move the log into the folder once there is one; what is open stays open."""
    if log.parent != folder and log.exists():
        os.replace(log, folder / "output.log")


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def hardware() -> dict[str, Any]:
    """Processor, cores, memory, accelerator, threads."""
    import torch

    from benchmarks.speed import machine

    found = machine(())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30 if hasattr(os, "sysconf") else None
    return {
        "cpu": found["cpu"],
        "cores": found["cores"],
        "memory_gib": memory and round(memory, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads": int(os.environ.get("SAFETY_GYM_THREADS", "0")) or found["cores"],
        "machine": platform.machine(),
    }


def commit() -> str:
    """The checkout's commit, `+` if files of it were changed; empty outside of a repository."""
    git = ["git", "-C", str(ROOT), "describe", "--always", "--abbrev=9", "--exclude=*", "--dirty=+"]
    env = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.run(git, env=env, capture_output=True, text=True, check=True, timeout=10).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
