"""The policies that the repository keeps do what their scores say; policies are frozen completely."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.freeze import FOLDER, differences, freeze, interval, load_scores, machine, score
from benchmarks.store import Store
from safepo.errors import UserError
from safepo.trainer import train

MACHINE, SCORES = load_scores()


@pytest.mark.parametrize("stored", SCORES, ids=[stored["file"] for stored in SCORES])
def test_kept_policies_reproduce_their_scores(stored: dict) -> None:
    found, here = score(FOLDER / stored["file"], stored["episodes"]), machine() == MACHINE
    assert len(differences(stored, found, exact=here)) <= (0 if here else 1)


def test_every_kept_policy_has_a_score() -> None:
    assert {path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.pt")} == {s["file"] for s in SCORES}


def test_freezing(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        with pytest.raises(UserError, match="no finished run"):
            freeze(store, tmp_path / "kept")
        settings = {"env_id": "SafetyPointGoal0-v0", "steps_per_epoch": 200, "total_steps": 400, "num_envs": 2}
        run = train("ppo_lag", **settings, eval_episodes=0, log_dir=str(tmp_path / "runs"))
        store.collect_folder(run)
        (written,) = freeze(store, tmp_path / "kept")
    assert load_scores(tmp_path / "kept") == (machine(), [written])
    path = tmp_path / "kept" / written["file"]
    assert path.stat().st_size < 300_000
    assert not differences(written, score(path), exact=True)
    assert not differences(written, score(run), exact=True)  # nothing that matters was left out
    moved = {
        **written,
        "stochastic": {name: dict.fromkeys(("mean", "low", "high"), 99.0) for name in ("return", "cost")},
    }
    for exact in (True, False):
        assert len(differences(moved, written, exact)) == 2


def test_the_interval_holds_means_of_new_episodes() -> None:
    """Of pairs of means over 20 normal episodes, 99 % lie within each other's interval."""
    import numpy as np

    rng = np.random.default_rng(0)
    inside = []
    for old, new in rng.normal(3.0, 2.0, (4000, 2, 20)):
        found = interval({"mean": old.mean(), "stderr": old.std(ddof=1) / 20**0.5}, 20)
        inside.append(found["low"] <= new.mean() <= found["high"])
    assert 0.985 < np.mean(inside) < 0.995
