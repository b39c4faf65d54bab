"""The command line: help, listings, import, and errors that say what is accepted."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cli import COMMANDS, main
from benchmarks.store import Store
from benchmarks.suite import suite_names
from safepo.trainer import train
from tests.benchmarks.helpers import TOY, write_suite


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0 and f"benchmarks {command}" in capsys.readouterr().out


def test_suites_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["suites"]) == 0
    said = capsys.readouterr().out
    assert all(f"{name} " in said for name in suite_names()) and "1104" in said


def test_import_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = {"num_envs": 2, "steps_per_epoch": 200, "total_steps": 400, "passes": 1, "eval_episodes": 1}
    for seed in (0, 1):
        train("ppo", env_id=TOY, log_dir=str(tmp_path / "old"), seed=seed, **sizes)
    (tmp_path / "old" / "wrong").mkdir()
    (tmp_path / "old" / "wrong" / "config.json").write_text('{"algorithm": "ppo_lagg"}')
    assert main(["import", str(tmp_path / "bench"), str(tmp_path / "old")]) == 0
    said = capsys.readouterr().out
    assert "2 runs in" in said and "left out" in said and "did you mean 'ppo_lag'" in said
    assert main(["export", str(tmp_path / "bench"), str(tmp_path / "files")]) == 0
    with Store.from_export(tmp_path / "files") as store:
        assert list(store.runs()["seed"]) == [0, 1] and set(store.runs()["status"]) == {"finished"}
        assert len(store.evaluations()) == 4
    assert main(["status", str(tmp_path / "bench"), "--filter", "seed1"]) == 0
    assert "1 runs: 1 finished" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["run", "quik"], "did you mean 'quick'"),
        (["run", "quick", "--seeds", "7"], "none of the 16 runs of suite 'quick' fits --filter (any) --seeds 7"),
        (["run", "quick", "--threads", "0"], "--threads must be at least 1"),
        (["status", "no-such-store"], "'no-such-store' does not exist"),
        (["retry", "no-such-store"], "'no-such-store' does not exist"),
        (["report", "no-such-store"], "'no-such-store' does not exist"),
        (["cancel", "no-such-store"], "say which runs"),
        (["import", "store", "no-such-folder"], "no run (a folder with config.json) in no-such-folder"),
    ],
)
def test_errors(
    args: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(args) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.sqlite"))


def test_filters_choose_what_is_queued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    suite = write_suite(tmp_path, seeds=[0, 1, 2])
    args = ["slurm", str(suite), "--store", str(tmp_path / "bench"), "--filter", "cpo", "--seeds", "0", "2"]
    assert main(args) == 0
    with Store(tmp_path / "bench") as store:
        assert sorted(zip(store.runs()["algorithm"], store.runs()["seed"], strict=True)) == [("cpo", 0), ("cpo", 2)]
    assert main(["cancel", str(tmp_path / "bench"), "seed2"]) == 0
    assert "1 cancelled" in capsys.readouterr().out
