"""Reports: numbers equal hand-computed ones, odd runs break nothing, the page is self-contained."""

from __future__ import annotations

import json
import math
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from benchmarks.random_policy import measure
from benchmarks.report import write_report
from benchmarks.report.figures import across, looks, mean_curve, points, task_figures, thin
from benchmarks.report.results import Results, aggregate, complete_block, published, random_policy, read_results
from benchmarks.report.statistics import interquartile_means, profile, t_interval
from benchmarks.report.tables import duration, interval, leaderboard, mean_std, number
from safepo.algorithms import ALGORITHMS
from safepo.errors import UserError
from safety_gym import multi_agent_ids, registry
from tests.benchmarks.fake_store import FakeStore, add_seeds, rising

GOAL, HOPPER = "SafetyPointGoal1-v0", "SafetyHopperVelocity-v1"


@pytest.fixture(scope="module")
def store() -> FakeStore:
    """PPO-Lag, three seeds, within its limit; PPO, three seeds, above it; CPO, one seed."""
    fake = FakeStore()
    evaluation = [(11.0, 10.0), (12.0, 30.0), (16.0, 25.0)]
    add_seeds("ppo_lag", (10, 12, 17), (15, 20, 25), fake, evaluation=evaluation, violating=0.3)
    add_seeds("ppo", (20, 24, 22), (50, 60, 70), fake, violating=0.75)
    fake.add("cpo", 0, rising(5), rising(30))
    return fake


def row(results: Results, method: str, task: str = f"{GOAL}, limit 25") -> dict[str, Any]:
    summary = results.summary
    (found,) = summary[(summary["method"] == method) & (summary["task"] == task)].to_dict("records")
    return found


def report(fake: FakeStore, folder: Path, **more: Any) -> str:
    return write_report(fake, folder, pictures=False, **more).read_text()


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_table_is_computed_by_hand(store: FakeStore) -> None:
    lag = row(read_results(store), "PPO-Lag")
    assert lag["seeds"] == 3
    assert lag["return_mean"] == pytest.approx(13)  # (10 + 12 + 17) / 3
    assert lag["return_std"] == pytest.approx(math.sqrt((9 + 1 + 16) / 2))
    half = 4.302652729911275 * math.sqrt(13) / math.sqrt(3)  # t(0.975, 2 degrees of freedom)
    assert (lag["return_low"], lag["return_high"]) == pytest.approx((13 - half, 13 + half))
    assert lag["cost_mean"] == pytest.approx(20) and lag["cost_ratio_mean"] == pytest.approx(20 / 25)
    assert lag["violating_mean"] == pytest.approx(0.3)
    assert lag["deterministic_return_mean"] == pytest.approx(13) and lag["stochastic_cost_mean"] == pytest.approx(
        65 / 3
    )
    assert lag["deterministic_violating_mean"] == pytest.approx(1 / 3)  # 30 > 25; 25 is not
    random, reference = random_policy()["results"][GOAL]["return"]["mean"], published()["results"][GOAL]["ppo"][0]
    assert lag["score_mean"] == pytest.approx((13 - random) / (reference - random))


def test_rank_puts_the_limit_first(store: FakeStore) -> None:
    results = read_results(store)
    ranks = {method: row(results, method)["rank"] for method in ("PPO-Lag", "CPO", "PPO")}
    assert ranks == {"PPO-Lag": 1, "CPO": 2, "PPO": 3}  # within; 30 / 25 above; 60 / 25 above
    assert list(leaderboard(results)["method"]) == ["PPO-Lag", "CPO", "PPO"]


def test_a_bad_return_within_the_limit_ranks_before_a_good_one_above_it() -> None:
    fake = FakeStore()
    fake.add("ppo_lag", 0, rising(-50), rising(20))
    fake.add("ppo", 0, rising(50), rising(26))
    assert row(read_results(fake), "PPO-Lag")["rank"] == 1


def test_bounds_stay_where_a_quantity_can_be() -> None:
    fake = FakeStore()
    add_seeds("ppo_lag", (-5, 0, 5), (0, 0, 30), fake)
    found = row(read_results(fake), "PPO-Lag")
    assert found["cost_low"] == 0 and found["return_low"] < -5


def test_files_hold_these_numbers(store: FakeStore, tmp_path: Path) -> None:
    page = report(store, tmp_path)
    assert "13.0 ± 3.6<small>[4.0, 22.0]</small>" in page and "20.0 ± 5.0" in page
    assert "25.4 ± 5.4" in page  # published for PPO
    text = (tmp_path / "results.md").read_text()
    assert "| 1 | PPO-Lag | 3,000 | 3 | 13.0 ± 3.6 [4.0, 22.0] | 20.0 ± 5.0 [7.6, 32.4] | 30 % | 13.0; 21.7 |" in text
    table = pd.read_csv(tmp_path / "leaderboard.csv")
    assert list(table["return_mean"]) == pytest.approx([13, 5, 22]) and list(table["rank"]) == [1, 2, 3]
    data = json.loads((tmp_path / "leaderboard.json").read_text())
    assert data["rows"][0]["cost_mean"] == 20 and data["rows"][1]["return_std"] is None
    assert data["rows"][2]["published_return"] == published()["results"][GOAL]["ppo"][0]
    assert data["scores"][f"{GOAL}, limit 25"]["reference"] == published()["results"][GOAL]["ppo"][0]
    runs = pd.read_csv(tmp_path / "runs.csv")
    assert sorted(runs.loc[runs["algorithm"] == "ppo", "return"]) == [20, 22, 24]


def test_interval_needs_three_seeds() -> None:
    assert all(math.isnan(bound) for bound in t_interval(np.array([1.0, 2.0])))
    low, high = t_interval(np.array([1.0, 2.0, 3.0]))
    assert (low, high) == pytest.approx((2 - 2.4841377, 2 + 2.4841377))


def test_interquartile_mean_and_profile_by_hand() -> None:
    scores = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 9.0], [100.0, 5.0]])  # (4 seeds, 2 tasks)
    estimate = interquartile_means({"x": scores})["x"]
    assert estimate.value == pytest.approx((2 + 3 + 4 + 5) / 4)  # sorted 0 1 | 2 3 4 5 | 9 100
    assert estimate.low < estimate.value < estimate.high
    value, low, high = profile(scores, np.array([-1.0, 2.0, 4.5, 200.0]))
    assert list(value) == [1, 5 / 8, 3 / 8, 0]
    assert (low <= value).all() and (value <= high).all() and (low < high).any()


def test_bootstrap_is_reproducible_and_leaves_the_global_generator_alone() -> None:
    scores = {"x": np.arange(12.0).reshape(4, 3)}
    np.random.seed(7)  # noqa: NPY002
    expected = np.random.random(3)  # noqa: NPY002
    np.random.seed(7)  # noqa: NPY002
    first = interquartile_means(scores)
    assert list(np.random.random(3)) == list(expected)  # noqa: NPY002
    assert interquartile_means({"y": np.eye(3), **scores})["x"] == first["x"]


def test_no_aggregate_interval_with_two_seeds() -> None:
    estimate = interquartile_means({"x": np.array([[1.0], [2.0]])})["x"]
    assert estimate.value == 1.5 and math.isnan(estimate.low)


def test_band_is_one_standard_error(store: FakeStore) -> None:
    results = read_results(store)
    curve = mean_curve(results.curves[results.curves["method"] == "PPO-Lag"], "return")
    assert list(curve["step"]) == [1000, 2000, 3000] and curve["mean"].iloc[-1] == 13
    assert curve["error"].iloc[-1] == pytest.approx(math.sqrt(13 / 3))
    figure = task_figures(results, f"{GOAL}, limit 25", 0, looks(results))[0]
    (band,) = [t for t in figure.data if t["meta"] == {"method": "PPO-Lag", "kind": "band"}]
    assert band["y"][2] == pytest.approx(13 - math.sqrt(13 / 3), abs=1e-3)
    assert band["y"][3] == pytest.approx(13 + math.sqrt(13 / 3), abs=1e-3)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (number(1234.5), "1,234"),
        (number(-0.001), "0.00"),
        (number(-12.34), "−12.3"),
        (number(math.nan), "–"),
        (mean_std(9.876, 12.3), "9.9 ± 12.3"),
        (mean_std(3.0, math.nan), "3.00"),
        (interval(-1.0, 2.0), "[−1.00, 2.00]"),
        (interval(math.nan, math.nan), ""),
        (duration(45), "45 s"),
        (duration(600), "10 min"),
        (duration(11_100), "3 h 05 min"),
    ],
)
def test_number_formats(text: str, expected: str) -> None:
    assert text == expected


# --- what is compared with what ---------------------------------------------------------------------------------------


def test_two_limits_are_two_tasks() -> None:
    fake = FakeStore()
    add_seeds("ppo_lag", (10, 12, 14), (20, 20, 20), fake, limit="25.0")
    add_seeds("ppo_lag", (6, 7, 8), (8, 8, 8), fake, limit="10.0")
    results = read_results(fake)
    assert sorted(results.tasks) == [f"{GOAL}, limit 10", f"{GOAL}, limit 25"]
    assert row(results, "PPO-Lag", f"{GOAL}, limit 10")["return_mean"] == 7
    assert row(results, "PPO-Lag", f"{GOAL}, limit 10")["cost_ratio_mean"] == pytest.approx(0.8)
    table = leaderboard(results).set_index("cost_limit")
    assert math.isnan(table.loc["10.0", "published_return"])  # published at 25 only
    assert table.loc["25.0", "published_return"] == published()["results"][GOAL]["ppo_lag"][0]


def test_settings_of_one_algorithm_are_told_apart() -> None:
    fake = FakeStore()
    for passes in (10, 40):
        add_seeds("ppo_lag", (passes, passes), (1, 1), fake, settings={"passes": passes, "clip": 0.2})
    results = read_results(fake)
    assert results.methods == ["PPO-Lag (passes=10)", "PPO-Lag (passes=40)"]
    assert row(results, "PPO-Lag (passes=40)")["return_mean"] == 40
    styles = looks(results)
    assert len({look.colour for look in styles.values()}) == 1 and len({look.dash for look in styles.values()}) == 2


def test_variants_are_methods_of_their_own() -> None:
    fake = FakeStore()
    for variant in ("dreamer", "osrp", "bsrp_lag"):
        for repeat in (1, 5) if variant == "osrp" else (5,):
            fake.add("safe_dreamer", 0, rising(1), rising(1), settings={"variant": variant, "action_repeat": repeat})
    results = read_results(fake)
    assert set(results.methods) == {"DreamerV3", "OSRP (action_repeat=1)", "OSRP (action_repeat=5)", "BSRP-Lag"}
    styles = looks(results)
    assert len({look.colour for look in styles.values()}) == 3
    assert {method for method, look in styles.items() if not look.constrained} == {"DreamerV3"}
    assert not row(results, "DreamerV3")["constrained"] and row(results, "BSRP-Lag")["constrained"]


def test_limits_by_name_use_the_largest_ratio() -> None:
    fake = FakeStore()
    limit = "cost_hazards=10,cost_vases_contact=5"
    fake.add(
        "ppo_lag", 0, rising(10), rising(14), limit=limit, metrics={"cost/hazards": 8.0, "cost/vases_contact": 6.0}
    )
    assert row(read_results(fake), "PPO-Lag", f"{GOAL}, limit cost_hazards=10, cost_vases_contact=5")[
        "cost_ratio_mean"
    ] == pytest.approx(1.2)


def test_block_has_no_holes() -> None:
    fake = FakeStore()
    for env_id in (GOAL, HOPPER):
        add_seeds("ppo_lag", (1, 2, 3), (1, 2, 3), fake, env_id=env_id)
        add_seeds("ppo", (1, 2, 3), (1, 2, 3), fake, env_id=env_id)
    fake.add("cpo", 0, rising(1), rising(1))
    methods, tasks, seeds = complete_block(read_results(fake).finals)
    assert set(methods) == {"PPO-Lag", "PPO"} and len(tasks) == 2 and seeds == 3  # 12 runs; with CPO it would be 3
    found = aggregate(read_results(fake))
    assert found is not None and found.means["cost_ratio"]["PPO"].value == pytest.approx(2 / 25)


def test_suites_restrict_the_report(tmp_path: Path) -> None:
    fake = FakeStore()
    fake.add("ppo", 0, rising(1), rising(1), suites=("quick",))
    fake.add("cpo", 0, rising(1), rising(1), suites=("quick", "speed"))
    assert read_results(fake, ["speed"]).methods == ["CPO"]
    with pytest.raises(UserError, match="did you mean 'quick'"):
        report(fake, tmp_path, suites=["quik"])


def test_without_runs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no runs"):
        report(FakeStore(), tmp_path)


# --- odd runs ---------------------------------------------------------------------------------------------------------


def figures_of(page: str) -> dict[str, Any]:
    match = re.search(r'<script id="figures" type="application/json">(.*?)</script>', page, re.S)
    assert match
    return json.loads(match[1], parse_constant=pytest.fail)


def test_commits_of_continued_runs_are_told_apart(tmp_path: Path) -> None:
    fake = FakeStore()
    for seed, commit in enumerate(("170cfcdae", "170cfcdae, 179631ca6", "179631ca6")):
        fake.add("cpo", seed, [1.0], [2.0], commit=commit)
    assert "<b>170cfcdae, 179631ca6</b><span>commits</span>" in report(fake, tmp_path)
    assert leaderboard(read_results(fake))["commit"].tolist() == ["170cfcdae 179631ca6"]


def test_odd_runs_do_not_break_the_page(tmp_path: Path) -> None:
    nan = math.nan
    fake = FakeStore()
    fake.add("ppo_lag", 0, [nan, nan, nan], [nan, nan, nan])
    fake.add("ppo_lag", 1, [nan, 4.0, 8.0], [nan, 40.0, 30.0])
    fake.add("cpo", 0, [1.0], [2.0], status="failed", error="Traceback:\n<b>boom</b> & so on", ended=None)
    fake.add(
        "cup", 0, [], [], status="queued", step=0, seconds=nan, steps_per_s=nan, worker=None, started=None, ended=None
    )
    fake.add("trpo", 0, [1.0, 2.0], [3.0, 4.0], status="running", ended=None, commit="", versions={}, hardware={})
    fake.add("toy", 0, rising(3), rising(4), env_id="Custom-v0", limit="0.0", seconds=nan, command=None)
    page = report(fake, tmp_path)
    results = read_results(fake)
    assert row(results, "PPO-Lag")["return_mean"] == 8 and math.isnan(row(results, "PPO-Lag")["return_std"])
    assert "&lt;b&gt;boom&lt;/b&gt; &amp; so on" in page and "<b>boom" not in page
    assert "1 run failed" in page and "1 queued" in page
    assert set(results.summary["method"]) == {"PPO-Lag", "toy"}
    figures = figures_of(page)
    names = [t.get("name", "") for t in figures["task1-return"]["data"] if t["meta"]["kind"] == "mean"]
    assert "CPO (1 seed, unfinished)" in names and "TRPO (1 seed, unfinished)" in names
    assert "nan" not in re.sub(r"<script.*?</script>", "", page, flags=re.S).lower().replace("finance", "")


def test_nothing_finished(tmp_path: Path) -> None:
    fake = FakeStore()
    fake.add("ppo", 0, [], [], status="queued", step=0)
    page = report(fake, tmp_path)
    assert "No run has finished yet" in page and "0 of 1" in page
    assert "No finished run." in (tmp_path / "results.md").read_text()
    assert pd.read_csv(tmp_path / "leaderboard.csv").empty


def test_unfinished_seeds_do_not_bend_the_curve() -> None:
    fake = FakeStore()
    fake.add("ppo", 0, rising(10), rising(10))
    fake.add("ppo", 1, [100.0], [100.0], status="interrupted")
    curves = read_results(fake).curves
    assert set(curves["seed"]) == {0} and curves["return"].max() == 10


def test_curves_end_where_the_first_seed_ends() -> None:
    fake = FakeStore()
    fake.add("ppo", 0, [1.0, 2.0, 3.0], [1.0, 1.0, 1.0], status="running")
    fake.add("ppo", 1, [3.0, 4.0], [1.0, 1.0], status="running")
    curve = mean_curve(read_results(fake).curves, "return")
    assert list(curve["step"]) == [1000, 2000] and list(curve["mean"]) == [2, 3]


def test_videos_are_linked_relatively(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "a run"
    folder.mkdir(parents=True)
    (folder / "video.mp4").touch()
    fake = FakeStore()
    fake.add("ppo", 0, rising(1), rising(1), folder=str(folder))
    page = report(fake, tmp_path / "report")
    assert '<a href="../runs/a%20run/video.mp4">PPO seed 0</a>' in page


# --- the page ---------------------------------------------------------------------------------------------------------


class Loads(HTMLParser):
    """Collects what a browser would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = ("src", "srcset", "data", "poster") if tag != "link" else ("href",)
        self.found += [value for name, value in attrs if name in names and value]


def test_page_is_self_contained_and_the_same_each_time(store: FakeStore, tmp_path: Path) -> None:
    page = report(store, tmp_path / "a")
    loads = Loads()
    loads.feed(page)
    assert loads.found == ["data:,"]
    style = re.search(r"<style>(.*?)</style>", page, re.S)
    assert style and "url(" not in style[1] and "@import" not in style[1]
    assert len(page.encode()) < 8_000_000
    assert page == report(store, tmp_path / "b")


def test_a_script_cannot_be_closed_by_data(tmp_path: Path) -> None:
    fake = FakeStore()
    fake.add("ppo", 0, rising(1), rising(1), env_id="</script><b>-v0")
    page = report(fake, tmp_path)
    assert page.count("</script>") == 3
    assert figures_of(page)


def test_pictures(store: FakeStore, tmp_path: Path) -> None:
    write_report(store, tmp_path)
    names = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert names == {f"{GOAL}_limit_25", "interquartile_means", "profiles"}
    wanted = looks(read_results(store))["PPO-Lag"].colour
    for path in (tmp_path / "figures").iterdir():
        if path.suffix == ".png":
            pixels = (imread(path)[..., :3] * 255).round().astype(int).reshape(-1, 3)
            assert (pixels == [int(wanted[i : i + 2], 16) for i in (1, 3, 5)]).all(axis=1).sum() > 50
        else:
            assert wanted in path.read_text()


def test_long_curves_are_thinned() -> None:
    rows = pd.DataFrame({"step": range(1000)})
    kept = thin(rows, 100)
    assert len(kept) == 100 and kept["step"].iloc[0] == 9 and kept["step"].iloc[-1] == 999
    assert len(thin(rows.iloc[:100], 100)) == 100 and len(thin(rows.iloc[:0], 100)) == 0
    assert across(kept["step"]) == {"x0": 9, "dx": 10}
    assert across(rows.loc[[0, 1, 5], "step"]) == {"x": [0, 1, 5]} and across(rows.loc[[4], "step"]) == {"x": [4]}
    fake = FakeStore()
    fake.add("ppo", 0, rising(1), rising(1))
    few = points(read_results(fake))
    for seed in range(300):
        for algorithm in ("cpo", "cup", "trpo"):
            fake.add(algorithm, seed, [1.0], [1.0])
    assert points(read_results(fake)) < few


# --- data files -------------------------------------------------------------------------------------------------------


def test_published_and_random_figures_are_of_what_exists() -> None:
    known = {entry.canonical for entry in registry.grammar()} | set(multi_agent_ids())
    assert set(published()["results"]) <= set(random_policy()["results"]) <= known
    for rows in published()["results"].values():
        assert list(rows) == list(ALGORITHMS) and all(len(figures) == 4 for figures in rows.values())
    assert published()["results"][HOPPER]["cpo"] == [1713.71, 18.26, 13.4, 5.82]


def test_random_policy_is_measured_once(tmp_path: Path) -> None:
    file, env_id = tmp_path / "random.json", HOPPER
    measure((env_id,), file=file, episodes=4)
    first = json.loads(file.read_text())
    assert first["episodes"] == 4 and first["mujoco"] and first["results"][env_id]["return"]["stderr"] > 0
    known = random_policy()["results"][env_id]["return"]
    off = abs(first["results"][env_id]["return"]["mean"] - known["mean"])
    assert off < 5 * first["results"][env_id]["return"]["stderr"]
    measure((env_id,), file=file, episodes=5)
    assert json.loads(file.read_text()) == first
