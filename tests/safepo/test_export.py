"""Exported policies give the same actions without this library, and say where they are from."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import safepo
from safepo import cli
from safepo.errors import UserError
from safepo.export import export
from tests.safepo.test_teams import PULL, UNEVEN

Small = Callable[..., Path]
SHORT = {"steps_per_epoch": 200, "total_steps": 400, "eval_episodes": 0}


@pytest.mark.parametrize("env_id", ["ToySpeedTwo-v0", "ToyMultiDiscrete-v0"])
def test_onnx_gives_the_policys_actions(small: Small, env_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    """For batches of any size, with the normaliser inside, mapped to the environment's range."""
    import onnx
    import onnxruntime

    run = small("ppo_lag", env_id=env_id, **SHORT)
    assert cli.main(["export", str(run)]) == 0
    path = run / "policy.onnx"
    assert f"wrote {path}" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    policy = safepo.load(run)
    for n in (1, 2, 33):
        obs = np.random.default_rng(n).normal(5.0, 3.0, (n, 3)).astype(np.float32)
        (actions,) = session.run(["action"], {"obs": obs})
        assert actions.dtype == np.float32
        np.testing.assert_allclose(actions, policy.predict(obs), rtol=1e-5, atol=1e-5)
    about = {entry.key: entry.value for entry in onnx.load(path).metadata_props}
    assert (about["env_id"], about["algorithm"], about["step"]) == (env_id, "ppo_lag", "400")
    assert set(json.loads(about["action"])) >= {"low", "high"}


@pytest.mark.parametrize(
    ("name", "env_id", "settings"),
    [
        ("happo", UNEVEN, {}),
        ("mappo_lag", PULL, {"policy_input": "safepo", "encoder": "gru", "encoder_size": 4, "frames": 3}),
        ("mappo", PULL, {"share_parameters": True}),
    ],
)
def test_onnx_gives_the_actions_of_a_team(small: Small, name: str, env_id: str, settings: dict[str, Any]) -> None:
    """Each agent's from what its policy sees alone."""
    import onnx
    import onnxruntime

    run = small(name, env_id=env_id, **settings, **SHORT)
    policy, folder = safepo.load(run), export(run)
    *agents, state = policy.obs.parts
    frames = policy.obs.view.frames
    rows = np.random.default_rng(0).normal(2.0, 3.0, (5, frames, policy.obs.size // frames)).astype(np.float32)
    found, at = [], 0
    for part in agents:
        session = onnxruntime.InferenceSession(folder / f"{part.key}.onnx", providers=["CPUExecutionProvider"])
        own = rows[:, :, -state.size :] if "policy_input" in settings else rows[:, :, at : at + part.size]
        (action,) = session.run(["action"], {"obs": own.reshape(5, -1)})
        found.append(action)
        at += part.size
        about = {entry.key: entry.value for entry in onnx.load(folder / f"{part.key}.onnx").metadata_props}
        assert (about["agent"], about["algorithm"], about["step"]) == (part.key, name, "400")
        assert len(json.loads(about["action"])["low"]) == action.shape[1]
    np.testing.assert_allclose(np.hstack(found), policy.predict(rows.reshape(5, -1)), rtol=1e-5, atol=1e-5)


def test_nothing_to_export_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(UserError, match="does not exist"):
        export(tmp_path / "nothing")
    with pytest.raises(UserError, match="no checkpoint"):
        export(tmp_path)


def test_a_missing_package_is_named(
    small: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = small("ppo", **SHORT)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert cli.main(["export", str(run)]) == 2
    message = capsys.readouterr().err
    assert "onnx is not installed" in message and "safe-rl-suite[export]" in message
