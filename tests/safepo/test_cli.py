"""Configuration precedence, the command line, its errors, and the files that its commands write."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from safepo import cli
from safepo.algorithms import ALGORITHMS
from safepo.config import PRESETS, RunConfig, make_config
from safepo.errors import UserError
from safepo.logger import check_wandb
from safepo.plot import mean_and_error, read_curves

Small = Callable[..., Path]
ROOT = Path(__file__).parents[2]

TINY = [
    "--env-id",
    "ToySpeed-v0",
    "--total-steps",
    "4e2",
    "--steps-per-epoch",
    "2e2",
    "--num-envs",
    "4",
    "--passes",
    "1",
    "--eval-episodes",
    "2",
    "--device",
    "cpu",
]


def failure(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    """Run a command that must fail; returns its one-sentence message."""
    assert cli.main(list(args)) == 2
    error = capsys.readouterr().err
    assert error.startswith("safepo: error: ") and len(error.strip().splitlines()) == 1 and "Traceback" not in error
    return error


def test_precedence_default_preset_file_command_line(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text("steps_per_epoch = 3e3\nclip = 0.3\n[ppo_lag]\nclip = 0.1\n[ppo]\nclip = 0.4\n")
    args = ["--preset", "quick", "--config", str(file), "--num-envs", "2"]
    config, preset, tuned = cli.parse_train("ppo_lag", args)
    assert preset == "quick" and tuned
    assert config.run.seed == 0, "default"
    assert config.run.total_steps == PRESETS["quick"]["total_steps"], "preset over default"
    assert config.run.steps_per_epoch == 3000, "file over preset"
    assert config.settings.clip == 0.1, "the algorithm's own table over the file's flat keys"
    assert config.run.num_envs == 2, "command line over all"
    assert cli.parse_train("ppo", args)[0].settings.clip == 0.4
    assert cli.parse_train("ppo_lag", [*args, "--clip=0.25"])[0].settings.clip == 0.25


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("preset", [None, *PRESETS])
def test_defaults_are_those_of_the_dataclasses(algorithm: str, preset: str | None) -> None:
    args = [] if preset is None else ["--preset", preset]
    assert cli.parse_train(algorithm, args)[0] == make_config(algorithm, preset=preset)


def test_whole_numbers_in_float_notation() -> None:
    config, *_ = cli.parse_train("ppo", ["--total-steps", "1e6", "--steps_per_epoch=2e4", "--gamma", "0.9"])
    assert config.run.total_steps == 1_000_000 and config.run.steps_per_epoch == 20_000
    assert config.settings.gamma == 0.9


def test_fractional_integers_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", "ppo", "--num-envs", "1.5"])
    assert stop.value.code == 2 and "1.5" in capsys.readouterr().err
    with pytest.raises(UserError, match=r"total_steps must be an integer, got 1\.5"):
        make_config("ppo", total_steps=1.5)


def test_rounding_is_said() -> None:
    run = RunConfig(total_steps=10_000, steps_per_epoch=3_001, num_envs=10)
    assert (run.horizon, run.epoch_steps, run.nepoch) == (300, 3000, 3)
    notes = " ".join(run.rounding_notes())
    assert "an epoch has 3,000 steps" in notes and "after 3 epochs, 9,000 steps" in notes
    assert RunConfig().rounding_notes() == []


def test_hash_ignores_seed_and_place_only() -> None:
    base = make_config("ppo")
    assert make_config("ppo", seed=5, log_dir="elsewhere").hash() == base.hash()
    assert make_config("ppo", gamma=0.98).hash() != base.hash()
    assert make_config("ppo_lag").run_dir().name.startswith("ppo_lag-")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["trian"], "unknown command 'trian'; did you mean 'train'?"),
        (["train", "ppo_lga"], "unknown algorithm 'ppo_lga'; did you mean 'ppo_lag'"),
        (["train", "ppo", "--env-id", "ToySped-v0"], "unknown environment id 'ToySped-v0'; did you mean 'ToySpeed"),
        (["train", "ppo", "--total-steps", "10"], "total_steps 10 is less than one epoch of 20,000 steps"),
        (["train", "ppo", "--num-envs", "0"], "num_envs must be at least 1, got 0"),
        (["train", "ppo", "--clip", "2"], "clip must lie in (0, 1), got 2.0"),
        (["train", "ppo", "--preset", "quik"], "unknown preset 'quik'; did you mean 'quick'?"),
        (["train", "ppo", "--config", "/nonexistent.toml"], "cannot read config file '/nonexistent.toml'"),
        (["train", "ppo", "--device", "tpu9", "--env-id", "ToySpeed-v0"], "device 'tpu9' cannot be used"),
        (["eval", "/nonexistent"], "run '/nonexistent' does not exist"),
        (["resume", "/nonexistent"], "'/nonexistent' is not a run directory"),
        (["plot", "/nonexistent"], "'/nonexistent' is not a run directory"),
        (["video", "/nonexistent"], "run '/nonexistent' does not exist"),
    ],
)
def test_errors_are_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, args: list[str], message: str
) -> None:
    if args[0] == "train" and len(args) > 2:
        args = [*args, "--log-dir", str(tmp_path)]
    assert message in failure(capsys, *args)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("clp = 0.1", "unknown setting of ppo 'clp'; did you mean 'clip'?"),
        ("clip = 'wide'", "clip must be a number, got 'wide'"),
        ("wandb = 1", "wandb must be true or false, got 1"),
        ("clip = ", "is not valid TOML"),
    ],
)
def test_config_file_errors(capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    assert message in failure(capsys, "train", "ppo", "--config", str(tmp_path / "c.toml"))


def test_wandb_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match="pip install wandb"):
        check_wandb()


def test_train_eval_plot_video_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = ["--log-dir", str(tmp_path)]
    assert cli.main(["train", "ppo_lag", *TINY, *logs]) == 0
    assert cli.main(["train", "ppo_lag", *TINY, *logs, "--seed", "1"]) == 0
    assert "ep/return" in capsys.readouterr().out
    runs = [str(p) for p in sorted((tmp_path / "ToySpeed-v0").iterdir())]
    assert len(runs) == 2
    assert cli.main(["eval", runs[0], "--episodes", "2", "--random"]) == 0
    shown = capsys.readouterr().out
    assert "deterministic" in shown and "random" in shown
    assert cli.main(["plot", *runs, "--output", str(tmp_path / "p" / "curves.png")]) == 0
    assert (tmp_path / "p" / "curves.png").read_bytes().startswith(b"\x89PNG")
    pytest.importorskip("imageio")
    assert cli.main(["video", runs[0]]) == 0
    assert (Path(runs[0]) / "video.mp4").stat().st_size > 500


def test_seeds_of_one_configuration_are_averaged(small: Small) -> None:
    runs = [small(seed=0), small(seed=1), small("ppo")]
    curves, limits, envs = read_curves(runs)
    assert sorted(c.label for c in curves) == ["ppo, 1 seed", "ppo_lag, 2 seeds"]
    assert limits == {25.0} and envs == {"ToySpeed-v0"}
    lag = next(c for c in curves if c.label.startswith("ppo_lag"))
    assert lag.steps.tolist() == [200, 400, 600] and lag.values["ep/cost"].shape == (2, 3)
    mean, error = mean_and_error(lag.values["ep/cost"])
    values = lag.values["ep/cost"]
    assert error == pytest.approx(abs(values[0] - values[1]) / 2)  # std / sqrt(2) of two values
    assert mean == pytest.approx(values.mean(axis=0))


def test_rendering_that_is_missing_is_one_sentence(
    small: Small, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.safepo.toy import SpeedLimit

    def broken(self: SpeedLimit) -> None:
        raise RuntimeError("no OpenGL here; install libegl1")

    run = small()
    monkeypatch.setattr(SpeedLimit, "render", broken)
    assert "install libegl1" in failure(capsys, "video", str(run))


def test_list_shows_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in [*ALGORITHMS, *PRESETS])


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_help_lists_every_setting_with_its_text(algorithm: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["train", algorithm, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out
    settings = make_config(algorithm).settings
    for name in (*vars(RunConfig()), *vars(settings)):
        assert name.replace("_", "-") in shown
    assert "Limit on the mean undiscounted episode cost" in shown


def test_import_and_help_load_no_torch() -> None:
    code = "\n".join(
        [
            "import sys, safepo, safepo.cli",
            "try: safepo.cli.main(['--help'])",
            "except SystemExit: pass",
            "print('torch' in sys.modules)",
        ]
    )
    output = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert output.strip().endswith("False")
    module = [sys.executable, "-m", "safepo", "trian"]
    assert subprocess.run(module, cwd=ROOT, capture_output=True, check=False).returncode == 2


def test_every_row_of_the_table_is_documented() -> None:
    for info in ALGORITHMS.values():
        kind, _ = info.load()
        doc = sys.modules[kind.__module__].__doc__ or ""
        assert "Differs from the paper in" in doc and "Differs from SafePO in" in doc
        assert json.dumps(make_config(info.name).to_dict())


def test_rounding_is_printed_before_training(small: Small, capsys: pytest.CaptureFixture[str]) -> None:
    small(total_steps=500)
    assert "note: total_steps 500 is not a whole number of epochs" in capsys.readouterr().out
