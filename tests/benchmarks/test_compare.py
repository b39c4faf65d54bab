"""Comparisons: planted differences are found, equal stores are not, and the statistics are those of the libraries."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rliable import metrics
from scipy import stats

from benchmarks import compare as module
from benchmarks.compare import Selection, compare, difference, holm, run_compare
from benchmarks.report.statistics import probability_of_improvement
from safepo.errors import UserError
from tests.benchmarks.fake_store import FakeStore, add_seeds, rising


def noisy(shift: dict[str, float] | None = None, seed: int = 0, n: int = 5) -> FakeStore:
    """Three algorithms of `n` seeds; returns are normal with spread 1 around 20 plus the algorithm's shift."""
    rng = np.random.default_rng(seed)
    fake = FakeStore()
    for algorithm in ("ppo", "ppo_lag", "cpo"):
        returns = 20 + (shift or {}).get(algorithm, 0.0) + rng.normal(size=n)
        add_seeds(algorithm, list(returns), list(25 + rng.normal(size=n)), fake)
    return fake


def cells(table: pd.DataFrame, algorithm: str, quantity: str) -> dict[str, Any]:
    (found,) = table[(table["algorithm"] == algorithm) & (table["quantity"] == quantity)].to_dict("records")
    return found


def test_a_planted_difference_is_found_and_no_other() -> None:
    found = compare(noisy(), noisy({"ppo_lag": -6.0}, seed=1))
    hit = cells(found.table, "ppo_lag", "return")
    assert hit["significant"] and hit["low"] < hit["difference"] < hit["high"] < 0
    assert found.table["significant"].sum() == 1 and len(found.table) == 6
    assert found.improvement["PPO-Lag"]["return"].value == 0
    assert found.improvement["PPO"]["return"].low < 0.5 < found.improvement["PPO"]["return"].high
    assert not found.unmatched


def test_equal_stores_differ_in_nothing() -> None:
    table = compare(noisy(), noisy()).table
    assert (table["difference"] == 0).all() and (table["p_holm"] == 1).all() and not table["significant"].any()


def test_chance_alone_is_seldom_significant() -> None:
    false = [compare(noisy(seed=2 * k), noisy(seed=2 * k + 1)).table["significant"].any() for k in range(8)]
    assert sum(false) <= 1


def test_difference_by_hand() -> None:
    a, b = np.array([10.0, 12.0, 14.0]), np.array([13.0, 17.0, 21.0])
    found = difference(a, b)
    assert found["difference"] == 5 and (found["seeds_a"], found["seeds_b"]) == (3, 3)
    error = math.sqrt(4 / 3 + 16 / 3)  # variances 4 and 16
    freedom = (4 / 3 + 16 / 3) ** 2 / ((4 / 3) ** 2 / 2 + (16 / 3) ** 2 / 2)
    half = stats.t.ppf(0.975, freedom) * error
    assert (found["low"], found["high"]) == pytest.approx((5 - half, 5 + half))
    assert found["p"] == pytest.approx(2 * stats.t.sf(5 / error, freedom))
    assert found["p_permutation"] == pytest.approx(4 / 20)  # two of 20 splits are as far apart on either side


def test_few_seeds_and_no_spread() -> None:
    one = difference(np.array([1.0]), np.array([2.0, 3.0]))
    assert one["difference"] == 1.5 and math.isnan(one["p"]) and math.isnan(one["low"])
    assert math.isnan(difference(np.array([]), np.array([1.0]))["difference"])
    same = difference(np.zeros(3), np.zeros(3))
    assert same["p"] == 1 and (same["low"], same["high"]) == (0, 0)
    assert difference(np.zeros(3), np.ones(3))["p"] == pytest.approx(0.1)  # 2 of 20 permutations


def test_holm_by_hand() -> None:
    corrected = holm(np.array([0.04, 0.01, math.nan, 0.03]))
    assert corrected[[0, 1, 3]] == pytest.approx([0.06, 0.03, 0.06]) and math.isnan(corrected[2])
    assert list(holm(np.array([0.9, 0.8]))) == [1, 1]


def test_probability_is_that_of_rliable() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 4, (4, 3)).astype(float), rng.integers(0, 4, (5, 3)).astype(float)
    found = probability_of_improvement({"": (x, y)})[""]
    assert found.value == pytest.approx(metrics.probability_of_improvement(x, y))
    assert found.low <= found.value <= found.high


def test_a_lower_cost_is_an_improvement() -> None:
    a, b = FakeStore(), FakeStore()
    add_seeds("ppo", (1, 2, 3), (30, 31, 32), a)
    add_seeds("ppo", (1, 2, 3), (10, 11, 12), b)
    found = compare(a, b).improvement["PPO"]
    assert found["cost"].value == 1 and found["return"].value == pytest.approx(0.5)


def test_changed_settings_are_matched_and_named() -> None:
    a, b = FakeStore(), FakeStore()
    add_seeds("ppo", (1, 2), (1, 2), a, settings={"passes": 10})
    add_seeds("ppo", (3, 4), (1, 2), b, settings={"passes": 40})
    add_seeds("cpo", (3, 4), (1, 2), b)
    found = compare(a, b)
    assert set(found.table["note"]) == {"passes: 10 -> 40"} and (found.table["seeds_b"] == 2).all()
    assert found.unmatched == ["only in B: SafetyPointGoal1-v0, limit 25, CPO"]


def test_same_settings_are_matched_first() -> None:
    a, b = FakeStore(), FakeStore()
    for passes in (10, 40):
        add_seeds("ppo", (passes, passes), (1, 1), a, settings={"passes": passes})
        add_seeds("ppo", (passes + 1, passes + 1), (1, 1), b, settings={"passes": passes})
    table = compare(a, b).table
    assert list(table.loc[table["quantity"] == "return", "difference"]) == [1, 1] and set(table["note"]) == {""}


def test_nothing_comparable_says_what_there_is() -> None:
    a, b = FakeStore(), FakeStore()
    a.add("ppo", 0, rising(1), rising(1))
    b.add("ppo", 0, rising(1), rising(1), limit="10.0")
    with pytest.raises(
        UserError, match=r"nothing to compare.*A has SafetyPointGoal1-v0, limit 25 ppo; B has .*limit 10"
    ):
        compare(a, b)
    b.add("ppo", 0, rising(1), rising(1), status="failed")
    with pytest.raises(UserError, match="nothing to compare"):
        compare(a, b)


def test_commits_of_one_store(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeStore()
    for seed in range(6):
        fake.add("ppo", seed, rising(seed), rising(1), commit="aaa111" if seed < 3 else "bbb222")
    chosen = Selection(fake, "bbb")
    assert list(chosen.runs()["seed"]) == [3, 4, 5] and len(chosen.curves()) == len(fake.curves())
    monkeypatch.setattr("benchmarks.store.open_store", lambda path: fake)
    found = compare(module.open_selection("store@aaa111"), module.open_selection("store@bbb222"))
    assert cells(found.table, "ppo", "return")["difference"] == 3
    with pytest.raises(UserError, match=r"no run of commit 'ccc' \(it has: aaa111, bbb222\)"):
        module.open_selection("store@ccc")


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stores = {"a": noisy(), "b": noisy({"ppo_lag": -6.0}, seed=1)}
    monkeypatch.setattr(module, "open_selection", stores.__getitem__)
    output = tmp_path / "deep" / "table.csv"
    assert run_compare("a", "b", output) == 0
    shown = capsys.readouterr().out
    assert "SafetyPointGoal1-v0, limit 25" in shown and "1 of 6 differences are significant" in shown
    assert max(map(len, shown.splitlines()[:-1])) <= 80
    table = pd.read_csv(output)
    assert table["significant"].sum() == 1 and {"low", "high", "p", "p_holm", "p_permutation"} <= set(table.columns)
    with pytest.raises(UserError, match="alpha"):
        run_compare("a", "b", output, alpha=5)
