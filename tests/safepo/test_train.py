"""Training, resuming, checkpoints and run directories."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import safepo
from safepo import checkpoint
from safepo.algorithms import ALGORITHMS
from safepo.algorithms.settings import FirstOrderSettings
from safepo.config import config_from_dict, make_config
from safepo.errors import UserError
from safepo.evaluation import evaluate, evaluate_random, evaluate_run
from safepo.logger import CSVWriter, read_rows
from safepo.policy import RandomPolicy
from safepo.trainer import Interrupted, Trainer, create_run_dir, resume, run_status, train
from safepo.view import View
from tests.safepo.conftest import SMALL

Small = Callable[..., Path]
ROOT = Path(__file__).parents[2]


def final_state(run: Path) -> dict[str, Any]:
    state = checkpoint.load(checkpoint.latest(run))
    state.pop("seconds")
    state["config"]["run"].pop("log_dir")
    return state


def assert_equal(a: Any, b: Any, where: str = "") -> None:
    """Bitwise equality of nested plain data."""
    assert type(a) is type(b), where
    if isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for k in a:
            assert_equal(a[k], b[k], f"{where}/{k}")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for i, (x, y) in enumerate(zip(a, b, strict=True)):
            assert_equal(x, y, f"{where}/{i}")
    elif isinstance(a, torch.Tensor):
        assert torch.equal(a, b), where
    else:
        np.testing.assert_array_equal(a, b, where)


def partial_run(epochs: int, algorithm: str = "ppo_lag", **overrides: Any) -> Path:
    """A run that was killed after `epochs` epochs, its checkpoint just written."""
    config = make_config(algorithm, **{**SMALL, **overrides})
    trainer = Trainer(config)
    trainer.start()
    run = create_run_dir(config, trainer.device, trainer.state_dict())
    writer = CSVWriter(run / "metrics.csv")
    for _ in range(epochs):
        writer.write(trainer.step, trainer.run_epoch())
    checkpoint.save(checkpoint.path_of(run, epochs), trainer.state_dict())
    (run / "status.json").write_text('{"status": "interrupted"}')
    trainer.close()
    return run


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_run_directory_is_complete(small: Small, algorithm: str) -> None:
    run = small(algorithm)
    assert run.parent.name == "ToySpeed-v0" and run.name.startswith(f"{algorithm}-") and run.name.endswith("-seed0")
    assert json.loads((run / "config.json").read_text())["run"]["env_id"] == "ToySpeed-v0"
    assert json.loads((run / "versions.json").read_text())["torch"] == torch.__version__
    assert [int(row["step"]) for row in read_rows(run / "metrics.csv")] == [200, 400, 600]
    keys = {
        "ep/return",
        "ep/cost",
        "ep/length",
        "loss/policy",
        "loss/reward_critic",
        "loss/cost_critic",
        "train/kl",
        "train/std",
        "value/reward_adv",
        "value/cost_adv",
        "time/rollout",
        "time/update",
    }
    row = read_rows(run / "metrics.csv")[-1]
    if isinstance(make_config(algorithm).settings, FirstOrderSettings):
        keys |= {"train/passes", "train/lr"}
    assert keys <= row.keys() and all(np.isfinite(float(v)) for v in row.values())
    info = ALGORITHMS[algorithm]
    assert ("train/multiplier" in row) == (info.constrained and not info.load()[0].scalar)
    assert any((run / "tb").iterdir()) and run_status(run) == "finished"
    assert not [p for p in run.parent.iterdir() if p.name.startswith(".")], "left-over partial directories"
    assert not list(run.rglob("*.partial"))


def test_tensorboard_x_axis_is_environment_steps(small: Small) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(small() / "tb"))
    events.Reload()
    assert [e.step for e in events.Scalars("ep/cost")] == [200, 400, 600]


@pytest.mark.parametrize("env_id", ["ToySpeed-v0", "ToySpeedEnds-v0"])
def test_resume_is_bit_identical(small: Small, tmp_path: Path, env_id: str) -> None:
    straight = small(env_id=env_id, eval_episodes=0)
    other = partial_run(2, env_id=env_id, eval_episodes=0, log_dir=str(tmp_path / "other"))
    assert resume(other) == other
    assert_equal(final_state(straight), final_state(other))
    for a, b in zip(read_rows(straight / "metrics.csv"), read_rows(other / "metrics.csv"), strict=True):
        learned = [k for k in a if not k.startswith("time/")]
        assert [a[k] for k in learned if k != "step"] == [b[k] for k in learned if k != "step"]


def test_resume_on_the_suite_is_bit_identical(small: Small, tmp_path: Path) -> None:
    """Layouts, physics and random streams of a safety_gym batch continue exactly, across episode ends, too."""
    task = {"env_id": "SafetyPointGoal1-v0", "num_envs": 2, "steps_per_epoch": 1400, "total_steps": 4200, "passes": 1}
    straight = small(**task, eval_episodes=0)
    other = partial_run(2, **task, eval_episodes=0, log_dir=str(tmp_path / "other"))
    resume(other)
    assert_equal(final_state(straight), final_state(other))
    row = read_rows(straight / "metrics.csv")[-1]
    assert float(row["cost/hazards"]) == pytest.approx(float(row["ep/cost"]))
    assert float(row["ep/length"]) == 1000


def test_same_seed_same_result_and_other_seed_other(small: Small, tmp_path: Path) -> None:
    first, again = small(), small(log_dir=str(tmp_path / "again"))
    assert_equal(final_state(first), final_state(again))
    other = final_state(small(seed=1))
    assert not torch.equal(final_state(first)["algorithm"]["net"]["params"], other["algorithm"]["net"]["params"])


def test_evaluation_and_checkpoints_do_not_change_training(small: Small, tmp_path: Path) -> None:
    plain = final_state(small(eval_episodes=0, checkpoint_every=100))
    busy = final_state(small(eval_every=1, eval_episodes=3, log_dir=str(tmp_path / "busy")))
    assert_equal(plain["algorithm"], busy["algorithm"])
    assert_equal(plain["collector"], busy["collector"])


def test_kill_and_resume(small: Small, tmp_path: Path) -> None:
    """SIGKILL in the middle of an epoch: resuming ends in the state of an undisturbed run, without duplicate rows."""
    steps = {"total_steps": 8000, "steps_per_epoch": 400, "eval_episodes": 0}
    script = (
        "import tests.safepo.toy\nfrom safepo.trainer import train\n"
        f"train('ppo_lag', **{ {**SMALL, **steps, 'log_dir': str(tmp_path / 'killed')}!r})"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(4)]  # title and three epochs
    process.kill()
    process.wait()
    assert lines[-1], "the run ended before it could be killed"
    run = next((tmp_path / "killed" / "ToySpeed-v0").iterdir())
    assert run_status(run) == "interrupted"
    with pytest.raises(UserError, match="safepo resume"):
        train("ppo_lag", **{**SMALL, **steps, "log_dir": str(tmp_path / "killed")})
    resume(run)
    straight = small(**steps)
    assert_equal(final_state(straight), final_state(run))
    assert [row["step"] for row in read_rows(run / "metrics.csv")] == [str(k) for k in range(400, 8001, 400)]


def test_interrupt_saves_and_exits(tmp_path: Path) -> None:
    script = (
        "import sys, tests.safepo.toy\nfrom safepo.cli import main\n"
        "sys.exit(main(['train', 'ppo', '--env-id', 'ToySpeed-v0', '--total-steps', '1e6', '--steps-per-epoch', '400',"
        f" '--passes', '2', '--num-envs', '4', '--log-dir', {str(tmp_path)!r}, '--device', 'cpu']))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while "400 steps" not in process.stdout.readline():
        assert process.poll() is None
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=30)
    assert process.returncode == 130 and "safepo resume" in output
    run = next((tmp_path / "ToySpeed-v0").iterdir())
    step = checkpoint.load(checkpoint.latest(run))["step"]
    assert run_status(run) == "interrupted" and str(step) == read_rows(run / "metrics.csv")[-1]["step"]


def test_resume_drops_rows_after_the_checkpoint(tmp_path: Path) -> None:
    run = partial_run(1, log_dir=str(tmp_path))
    with open(run / "metrics.csv", "a") as file:
        file.write("400,1.0\n600,1.0\n7")
    resume(run)
    assert [row["step"] for row in read_rows(run / "metrics.csv")] == ["0", "400", "600"]


def test_environment_without_saved_state_resumes_with_fresh_episodes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = partial_run(2, env_id="ToyOpaque-v0", log_dir=str(tmp_path))
    resume(run)
    assert "fresh episodes" in capsys.readouterr().out
    assert run_status(run) == "finished"


def test_finished_run_is_not_resumed_or_overwritten(small: Small) -> None:
    run = small()
    with pytest.raises(UserError, match="finished"):
        resume(run)
    with pytest.raises(UserError, match="exists and is finished"):
        small()


def test_unwritable_log_dir_is_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "run_epoch", lambda *_: pytest.fail("trained in a folder that cannot be written"))
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(UserError, match=r"log_dir: cannot write"):
        train("ppo", **{**SMALL, "log_dir": str(blocker / "runs")})


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
def test_read_only_file_system_is_refused() -> None:
    with pytest.raises(UserError, match="log_dir: cannot write"):
        train("ppo", **{**SMALL, "log_dir": "/proc/self/runs"})


def test_failed_creation_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk while the directory is built: clear error, no half-made run."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save", full)
    with pytest.raises(UserError, match="No space left"):
        train("ppo", **{**SMALL, "log_dir": str(tmp_path)})
    assert list((tmp_path / "ToySpeed-v0").iterdir()) == []


def test_checkpoint_refuses_code(tmp_path: Path) -> None:
    """A pickle that would run a command is refused, and the command is not run."""

    class Malicious:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.system, (f"touch {tmp_path}/executed",)

    torch.save({"format": 1, "x": Malicious()}, tmp_path / "new.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps(Malicious()))
    for name in ("new.pt", "old.pt"):
        with pytest.raises(UserError, match="nothing was executed"):
            safepo.load(tmp_path / name)
    assert not (tmp_path / "executed").exists()


def test_damaged_or_missing_checkpoints_are_refused(small: Small, tmp_path: Path) -> None:
    path = checkpoint.latest(small())
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        safepo.load(path)
    with pytest.raises(UserError, match="does not exist"):
        safepo.load(tmp_path / "nothing")
    with pytest.raises(UserError, match="no checkpoint"):
        safepo.load(tmp_path)


def test_checkpoint_keeps_the_old_file_when_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    checkpoint.save(path, {"x": 1})
    with pytest.raises(TypeError, match="cannot store"):
        checkpoint.save(path, {"x": object()})
    assert checkpoint.load(path)["x"] == 1


def test_checkpoint_round_trip(tmp_path: Path) -> None:
    state = {
        "a": np.arange(6, dtype=np.uint64).reshape(2, 3),
        "b": [1.5, None, "s"],
        "rng": np.random.default_rng(0).bit_generator.state,
        "scalar": np.float64(2.0),
        "zero": np.array(3),
        "empty": np.zeros((0, 2)),
        "flags": np.array([True]),
    }
    checkpoint.save(tmp_path / "c.pt", state)
    loaded = checkpoint.load(tmp_path / "c.pt")
    loaded.pop("format")
    assert_equal({**state, "scalar": 2.0}, loaded)


def test_latest_checkpoint_is_chosen_by_number(tmp_path: Path) -> None:
    for epoch in (99, 400, 1000000, 999999):
        checkpoint.save(checkpoint.path_of(tmp_path, epoch), {})
    assert checkpoint.latest(tmp_path).name == "epoch-1000000.pt"


def test_checkpoint_refuses_another_environment(small: Small) -> None:
    run = small()
    with pytest.raises(UserError, match=r"ToySpeed-v0 .*does not fit ToySpeedTwo-v0"):
        evaluate_run(run, 1, env_id="ToySpeedTwo-v0")
    assert evaluate_run(run, 1, env_id="ToySpeedEnds-v0")["deterministic"]["env_id"] == "ToySpeedEnds-v0"
    state = checkpoint.load(checkpoint.latest(run))
    trainer = Trainer(make_config("ppo_lag", **{**SMALL, "env_id": "ToySpeedEnds-v0"}))
    with pytest.raises(UserError, match=r"ToySpeed-v0 .*does not fit ToySpeedEnds-v0"):
        trainer.load_state_dict(state)


def test_policy_predicts_without_the_trainer(small: Small) -> None:
    policy = safepo.load(small())
    batch = np.random.default_rng(0).normal(5.0, 3.0, (6, 3))
    actions = policy.predict(batch)
    assert actions.shape == (6, 1) and actions.dtype == np.float64
    np.testing.assert_allclose(policy.predict(batch[2]), actions[2], rtol=1e-5)
    assert policy.predict(batch[2]).shape == (1,)
    policy.seed(3)
    first = policy.predict(batch, deterministic=False)
    assert not np.allclose(first, actions)
    policy.seed(3)
    np.testing.assert_array_equal(policy.predict(batch, deterministic=False), first)
    with pytest.raises(ValueError, match=r"\(3,\) or \(b, 3\), got \(4,\)"):
        policy.predict(np.zeros(4))


def test_evaluation_runs_a_fixed_number_of_whole_episodes() -> None:
    class Idle:
        view, single_mode = View(), True

        def predict(self, obs: np.ndarray, deterministic: bool = True) -> np.ndarray:
            return np.zeros((len(obs), 1))

        def seed(self, seed: int) -> None:
            pass

        def begin(self, first: np.ndarray) -> None:
            begun.append(int(first.sum()))

    begun: list[int] = []
    result = evaluate(Idle(), "ToyClockCut-v0", episodes=25)
    assert result["episodes"] == 30  # ten environments, three episodes each
    assert result["return"]["mean"] == 10 and result["cost"]["mean"] == 100 and result["length"]["std"] == 0
    assert sum(begun) == 10 + 30, "told of every episode, also of those that are begun and not counted"
    spread = evaluate(Idle(), "ToySpeedEnds-v0", episodes=20)["length"]
    assert spread["stderr"] == pytest.approx(spread["std"] / 20**0.5) and spread["std"] > 0


def test_evaluation_writes_json(small: Small) -> None:
    run = small(eval_episodes=0)
    assert not (run / "eval.json").exists()
    result = evaluate_run(run, 4)
    assert json.loads((run / "eval.json").read_text()) == result
    assert result["deterministic"]["episodes"] == 4 and result["stochastic"]["deterministic"] is False
    assert result["step"] == 600


def test_random_baseline() -> None:
    result = evaluate_random("ToySpeed-v0", 20)
    assert result["return"]["mean"] == pytest.approx(0, abs=10)
    assert result["cost"]["mean"] == pytest.approx(12.5, abs=3)
    env = {"id": "x", "action": {"low": [-2.0], "high": [0.0], "sizes": []}}
    assert RandomPolicy(env).predict(np.zeros((500, 3))).max() <= 0


def test_config_in_checkpoint_rebuilds() -> None:
    config = make_config("ppo_lag", **SMALL)
    assert config_from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_csv_accepts_new_columns(tmp_path: Path) -> None:
    writer = CSVWriter(tmp_path / "m.csv")
    writer.write(1, {"a": 1.0})
    writer.write(2, {"a": 2.0, "b": 3.0})
    writer.write(3, {"b": 4.0})
    rows = read_rows(tmp_path / "m.csv")
    assert [(r["step"], r["a"], r["b"]) for r in rows] == [("1", "1.0", ""), ("2", "2.0", "3.0"), ("3", "", "4.0")]


def test_interrupted_is_reported_by_name() -> None:
    assert issubclass(Interrupted, Exception)
