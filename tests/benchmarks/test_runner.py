"""Sweeps of toy runs with real worker processes: finished, failed, cancelled, killed, resumed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.cli import main
from benchmarks.runner import Active, duration, fits
from benchmarks.store import Store, folder_alive, open_store, progress
from benchmarks.suite import load_suite
from benchmarks.worker import ROOT
from tests.benchmarks.helpers import assert_same_results, halt_two, wait_for, write_suite

STEPS = 12_000


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A suite of two short runs, and the store of its finished sweep."""
    folder = tmp_path_factory.mktemp("swept")
    suite = write_suite(folder, total_steps=STEPS, checkpoint_every=7)
    assert main(["run", str(suite), "--store", str(folder / "bench"), "--workers", "2"]) == 0
    return suite, folder / "bench"


def test_a_sweep_fills_the_store(swept: tuple[Path, Path]) -> None:
    with open_store(swept[1]) as store:
        runs, curves, evaluations = store.runs(), store.curves(["ep/return"]), store.evaluations()
    assert list(runs["algorithm"]) == ["cpo", "ppo_lag"] and set(runs["status"]) == {"finished"}
    assert set(runs["step"]) == {STEPS} and (runs["steps_per_s"] > 0).all() and set(runs["attempts"]) == {1}
    assert all(hardware["threads"] == 1 and hardware["cores"] for hardware in runs["hardware"])
    assert all(runs["commit"]) and all(runs["command"].str.startswith("safepo train "))
    assert (runs["started"] <= runs["ended"]).all()
    assert list(curves["step"]) == [*range(200, STEPS + 1, 200)] * 2
    assert len(evaluations) == 2 * 2 * 2
    for folder in map(Path, runs["folder"]):
        assert "12,000 steps 100.0 %" in (folder / "output.log").read_text()
        assert sorted(p.name for p in folder.parent.iterdir()) == sorted(Path(f).name for f in runs["folder"])


def test_finished_runs_are_skipped_and_missing_rows_collected(
    swept: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    suite, path = swept
    with Store(path) as store:
        before = store.runs(), store.curves(), store.evaluations()
        store._db.execute("DELETE FROM curves")
        store._db.execute("DELETE FROM evaluations")
        store._db.execute("UPDATE runs SET status = 'queued', step = 0")
    assert main(["run", str(suite), "--store", str(path)]) == 0
    assert "started" not in capsys.readouterr().out
    with Store(path) as store:
        assert store.curves().equals(before[1]) and store.evaluations().equals(before[2])
        assert list(store.runs()["attempts"]) == list(before[0]["attempts"])


def start_runner(suite: Path, path: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks", "run", str(suite), "--store", str(path), "--workers", "2"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def folders_at(path: Path, step: int) -> list[Path]:
    """The folders of two runs, once both are past a step."""

    def find() -> list[Path]:
        return [file.parent for file in sorted((path / "runs").glob("*/*/worker.json"))]

    wait_for(lambda: len(find()) == 2 and all(progress(folder) > step for folder in find()))
    return find()


def test_a_killed_sweep_resumes_to_the_same_store(swept: tuple[Path, Path], tmp_path: Path) -> None:
    suite, path = swept[0], tmp_path / "bench"
    runner = start_runner(suite, path)
    halted = halt_two(path, 1_000)
    folders, (one, other) = list(halted), halted.values()
    os.kill(runner.pid, signal.SIGKILL)
    os.kill(one, signal.SIGKILL)
    runner.communicate()
    os.kill(other, signal.SIGCONT)
    wait_for(lambda: not folder_alive(folders[1]))  # its runner gone, the other worker stops at the end of an epoch
    assert all(1_000 < progress(folder) < STEPS for folder in folders)
    assert main(["run", str(suite), "--store", str(path), "--workers", "2"]) == 0
    assert_same_results(swept[1], path)
    with Store(path, read_only=True) as store:
        assert set(store.runs()["attempts"]) == {2}


def test_steps_count_from_the_checkpoint_of_a_killed_run() -> None:
    """Its log goes on from there, not from where it was killed: rates and times left would be negative."""
    config = load_suite("quick").jobs[0]
    active = Active(config, None, Path("nowhere"), 900, 900, since=time.monotonic() - 10)
    active.see(900)
    assert active.rate == 0
    for step in (400, 500, 800):
        active.see(step)
    assert (active.step, active.first_step) == (800, 400) and 0 < active.rate <= 40


def test_cancel_and_ctrl_c_stop_workers_at_the_end_of_an_epoch(tmp_path: Path) -> None:
    suite, path = write_suite(tmp_path, total_steps=10_000_000), tmp_path / "bench"
    runner = start_runner(suite, path)
    cpo, ppo_lag = folders_at(path, 400)
    with Store(path) as store:
        assert main(["cancel", str(path), "ppo_lag"]) == 0
        wait_for(lambda: not folder_alive(ppo_lag))
        assert folder_alive(cpo)
        runner.send_signal(signal.SIGINT)
        said, _ = runner.communicate(timeout=120)
        assert runner.returncode == 130 and "workers end their epoch" in said
        runs = store.runs().set_index("algorithm")
        assert dict(runs["status"]) == {"cpo": "interrupted", "ppo_lag": "cancelled"}
        assert dict(runs["step"]) == {"cpo": progress(cpo), "ppo_lag": progress(ppo_lag)}
        assert len(store.curves(["ep/return"])) == runs["step"].sum() / 200 and set(runs["error"]) == {None}
    for folder in (cpo, ppo_lag):
        assert json.loads((folder / "status.json").read_text()) == {"status": "interrupted", "step": progress(folder)}


def test_failures_keep_their_traceback_and_are_retried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One fails in its first epoch, the other before there is anything to save."""
    broken, path = tmp_path / "broken", tmp_path / "bench"
    broken.touch()
    monkeypatch.setenv("BROKEN", str(broken))
    suite = write_suite(tmp_path, env_ids=["tests.benchmarks.broken:Broken-v0"], algorithms=["ppo_lag"])
    suite.write_text(suite.read_text() + write_suite(tmp_path, "x", algorithms=["cpo"], device="cuda:99").read_text())
    command = ["run", str(suite), "--store", str(path), "--workers", "2"]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert "2 failed" in said and "RuntimeError: the wheel came off" in said and "benchmarks retry" in said
    assert main(["status", str(path), "--errors"]) == 0
    said = capsys.readouterr().out
    assert 'raise RuntimeError("the wheel came off")' in said  # where it happened
    assert "device 'cuda:99' cannot be used" in said
    assert main(command) == 1  # failed runs wait for a retry
    assert "started" not in capsys.readouterr().out
    broken.unlink()
    assert main(["retry", str(path)]) == 0
    assert main(command) == 1
    with Store(path, read_only=True) as store:
        runs = store.runs().set_index("algorithm")
    assert dict(runs["status"]) == {"cpo": "failed", "ppo_lag": "finished"} and set(runs["attempts"]) == {2}
    assert runs["error"]["ppo_lag"] is None and "cuda:99" in runs["error"]["cpo"]
    for folder in map(Path, runs["folder"]):
        assert (folder / "output.log").read_text().count("---") == 2
        assert [p.name for p in folder.parent.iterdir()] == [folder.name]


def test_patterns() -> None:
    run = "SafetyPointGoal1-v0/ppo_lag-1a2b3c4d-seed0"
    assert fits(run, "ppo_lag") and fits(run, "Safety*Goal1*") and fits(run, "*seed0")
    assert not fits(run, "Goal2") and not fits(run, "Goal?") and duration(3723.9) == "1:02:03"
