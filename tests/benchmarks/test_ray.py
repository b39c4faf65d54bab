"""A sweep on a Ray cluster of two nodes survives the death of a worker and of a node."""

from __future__ import annotations

import _thread
import json
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks.cli import main
from benchmarks.ray_engine import train
from benchmarks.store import Store, progress, read_folder
from benchmarks.suite import load_suite
from tests.benchmarks.helpers import assert_same_results, halt_two, wait_for, write_suite

STEPS = 10_000


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in /proc")
def test_a_killed_worker_and_a_lost_node_are_retried(cluster: Any, tmp_path: Path) -> None:
    suite = write_suite(tmp_path, total_steps=STEPS)
    node = cluster.add_node(num_cpus=1)
    alone, path = tmp_path / "alone", tmp_path / "bench"
    assert main(["run", str(suite), "--store", str(alone), "--workers", "2"]) == 0
    events = []

    def disturb() -> None:
        halted = halt_two(path, 600)
        events.extend(map(progress, halted))
        first, second = halted.values()
        os.kill(parent(first), signal.SIGKILL)  # Ray's process, which runs the task
        os.kill(first, signal.SIGKILL)  # ours
        cluster.remove_node(node)
        os.kill(second, signal.SIGCONT)

    thread = threading.Thread(target=disturb)
    thread.start()
    assert main(["run", str(suite), "--store", str(path), "--engine", "ray", "--address", cluster.address]) == 0
    thread.join()
    assert len(events) == 2 and max(events) < STEPS
    assert_same_results(alone, path)
    with Store(path, read_only=True) as store:
        runs = store.runs()
    assert set(runs["status"]) == {"finished"} and runs["attempts"].max() >= 2


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Interrupts raise KeyboardInterrupt, as in a worker of Ray; those of pytest-xdist ignore them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_cancelled_task_lets_its_worker_end_the_epoch(tmp_path: Path) -> None:
    (config,) = load_suite(write_suite(tmp_path, total_steps=200_000, algorithms=["ppo_lag"])).jobs
    config = replace(config, run=replace(config.run, log_dir=str(tmp_path / "runs")))
    folder = config.run_dir()

    def cancel() -> None:
        wait_for(lambda: progress(folder) > 0)
        _thread.interrupt_main()  # as Ray does it: no signal that would wake a blocking call

    thread = threading.Thread(target=cancel)
    thread.start()
    assert train(config.to_dict(), threads=1) == ""
    thread.join()
    assert json.loads((folder / "status.json").read_text()) == {"status": "interrupted", "step": progress(folder)}
    assert read_folder(folder).status == "interrupted"
