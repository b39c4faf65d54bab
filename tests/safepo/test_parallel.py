"""Two processes on one run: the curve of one process, one writer, and clear errors."""

from __future__ import annotations

import csv
import itertools
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import safepo
from safepo.errors import UserError
from safepo.parallel import Group
from tests.safepo.test_teams import PULL

ROOT = Path(__file__).parents[2]
OPTIONS = {"total_steps": 1200, "steps_per_epoch": 400, "num_envs": 4, "eval_episodes": 0, "passes": 6}


@pytest.mark.parametrize(
    ("algorithm", "env_id", "more"),
    [
        ("ppo_lag", "tests.safepo.toy:ToySpeedTwo-v0", []),
        ("mappo", PULL, ["share_parameters"]),
        ("mappo_lag", PULL, []),
    ],
)
def test_two_processes_have_the_curve_of_one(tmp_path: Path, algorithm: str, env_id: str, more: list[str]) -> None:
    alone = safepo.train(
        algorithm, env_id=env_id, log_dir=str(tmp_path / "one"), **OPTIONS, **dict.fromkeys(more, True)
    )
    flags = [part for name, value in OPTIONS.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    flags += [f"--{name.replace('_', '-')}" for name in more]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "safepo"]
    command += ["train", algorithm, "--env-id", env_id, "--log-dir", str(tmp_path / "two")]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([*command, *flags], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr[-2000:]
    (together,) = (tmp_path / "two").glob(f"*/{algorithm}-*")
    assert done.stdout.count("100.0 %") == 1  # one process talks
    tables = [list(csv.DictReader((run / "metrics.csv").open())) for run in (alone, together)]
    assert [len(table) for table in tables] == [3, 3]
    for one, two in zip(*tables, strict=True):
        for name in (name for name in one if not name.startswith("time/")):
            a, b = float(one[name]), float(two[name])
            assert (math.isnan(a) and math.isnan(b)) or a == pytest.approx(b, rel=1e-4, abs=1e-5), name
    obs = np.ones((3, safepo.load(alone).obs.size))
    np.testing.assert_allclose(safepo.load(together).predict(obs), safepo.load(alone).predict(obs), atol=1e-4)


def test_shares_cover_everything_once() -> None:
    for n in (0, 1, 5, 64):
        rows = [list(range(n))[Group(rank, 3).share(n)] for rank in range(3)]
        assert list(itertools.chain(*rows)) == list(range(n)) and max(map(len, rows)) - min(map(len, rows)) <= 1


def test_environments_must_divide() -> None:
    assert Group(1, 2).envs(6) == 3
    with pytest.raises(UserError, match="num_envs 5 must be a multiple of the number of processes, 2"):
        Group(0, 2).envs(5)
