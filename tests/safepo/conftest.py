"""Registers the toy environments; offers small runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import tests.safepo.toy  # noqa: F401  (registers the toys)
from safepo.trainer import train

SMALL: dict[str, Any] = {
    "env_id": "ToySpeed-v0",
    "num_envs": 4,
    "steps_per_epoch": 200,
    "total_steps": 600,
    "passes": 2,
    "eval_episodes": 2,
    "checkpoint_every": 1,
    "device": "cpu",
}


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Path]:
    """`small("ppo", seed=1)` trains three tiny epochs and returns the run directory."""

    def run(algorithm: str = "ppo_lag", **overrides: Any) -> Path:
        return train(algorithm, **{**SMALL, "log_dir": str(tmp_path / "runs"), **overrides})

    return run


@pytest.fixture
def double() -> Iterator[None]:
    """Networks in double precision: comparisons with autograd become sharp."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)
