"""Small suites of toy environments."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from benchmarks.store import Store, progress

TOY = "tests.safepo.toy:ToySpeed-v0"
SMALL = {
    "env_ids": [TOY],
    "algorithms": ["ppo_lag", "cpo"],
    "seeds": [0],
    "steps_per_epoch": 200,
    "total_steps": 600,
    "num_envs": 2,
    "passes": 2,
    "eval_episodes": 2,
    "checkpoint_every": 1,
}


def write_suite(folder: Path, name: str = "small", **changes: object) -> Path:
    """A suite of one matrix: `SMALL` with changes."""
    lines = [f"{key} = {toml(value)}" for key, value in {**SMALL, **changes}.items()]
    path = folder / f"{name}.toml"
    path.write_text("[[matrix]]\n" + "\n".join(lines) + "\n")
    return path


def toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else repr(value)


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def halt_two(store: Path, step: int) -> dict[Path, int]:
    """Stop two workers, each as soon as its run is past a step, so that neither ends before the other has begun.

    Returns the processes by the folders of their runs; SIGCONT lets them go on.
    """
    halted: dict[Path, int] = {}

    def both() -> bool:
        for file in (store / "runs").glob("*/*/worker.json"):
            if file.parent not in halted and progress(file.parent) > step:
                halted[file.parent] = int(json.loads(file.read_text())["worker"].split(":")[1])
                os.kill(halted[file.parent], signal.SIGSTOP)
        return len(halted) == 2

    try:
        wait_for(both)
    except BaseException:
        for pid in halted.values():  # else whoever waits for them would wait for ever
            os.kill(pid, signal.SIGCONT)
        raise
    return halted


def assert_same_results(one: Path, other: Path) -> None:
    """Equal curves, up to times, and equal evaluations."""
    with Store(one, read_only=True) as a, Store(other, read_only=True) as b:
        curves = [frame[~frame["metric"].str.startswith("time/")] for frame in (a.curves(), b.curves())]
        assert len(curves[0]) > 0 and len(a.evaluations()) > 0
        pd.testing.assert_frame_equal(*(frame.reset_index(drop=True) for frame in curves), check_exact=True)
        pd.testing.assert_frame_equal(a.evaluations(), b.evaluations(), check_exact=True)
