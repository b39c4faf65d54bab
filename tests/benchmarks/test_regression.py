"""The regression of learning: its rule on made-up curves, and its small matrix trained here, unchanged and broken."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

import tests.safepo.toy  # noqa: F401  (registers the toys)
from benchmarks import runner
from benchmarks.regression import cli
from benchmarks.regression.baselines import Baselines
from benchmarks.regression.cli import LEFT, NO_BASELINE, PASSED, STOPPED, fingerprint, main, matrix_path, regression
from benchmarks.regression.rule import ALL, ALPHA, METRICS, Curve, Curves, Key, Verdict, judge
from benchmarks.report.statistics import Floats
from safepo.algorithms import ALGORITHMS, TEAM_ALGORITHMS
from safepo.config import Config
from safepo.multiplier import AdamMultiplier
from safepo.trainer import start
from safety_gym import costs
from safety_gym.multi_agent import is_multi_agent
from tests.benchmarks.helpers import write_suite

STEPS = tuple(range(1000, 11_000, 1000))


class InProcess:
    """Trains here, so that what a test patches is what is trained."""

    capacity = 1

    def __init__(self, before: Callable[[Config], object] = lambda config: None) -> None:
        self.before, self.trained = before, list[str]()

    def start(self, config: Config) -> None:
        self.before(config)
        self.trained.append(start(config).name)

    def poll(self, handle: Any) -> str:
        return ""

    def stop(self, handle: Any, at_once: bool = False) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "POLL", 0.0)


# --- the rule, on made-up curves --------------------------------------------------------------------------------------


def curves(
    rng: np.random.Generator, seeds: Sequence[int], shift: Callable[[Key], float] = lambda key: 0.0, n: int = 3
) -> dict[Key, Curve]:
    """`n` environments and algorithms; seeds differ with spread 5 throughout, points by 3; the second half is shifted
    by `shift` spreads. Runs of one seed on one environment are correlated."""
    found = {}
    for e in range(n):
        common = rng.normal(size=(len(seeds), 1))
        for a in range(n):
            for metric in METRICS:
                key = (f"env{e}", f"algorithm{a}", metric)
                own = rng.normal(size=(len(seeds), 1))
                values = 50 + 5 * (0.6 * common + 0.8 * own) + 3 * rng.normal(size=(len(seeds), len(STEPS)))
                values[:, len(STEPS) // 2 :] += 5 * shift(key)
                found[key] = Curve(STEPS, tuple(seeds), values)
    return found


def failed(verdicts: Sequence[Verdict]) -> list[Key]:
    return [verdict.key for verdict in verdicts if verdict.least_p < ALPHA]


def test_false_alarms_in_any_of_all_tests_are_as_rare_as_stated() -> None:
    """At the level 0.2, where 150 families can tell: at most 20 %, and not far fewer."""
    rng, nfamily = np.random.default_rng(0), 150
    least = [min(v.least_p for v in judge(curves(rng, range(6)), curves(rng, range(4)))) for _ in range(nfamily)]
    low, high = stats.binom.ppf([0.001, 0.999], nfamily, [0.06, 0.2])
    assert low <= np.sum(np.array(least) < 0.2) <= high
    assert np.sum(np.array(least) < ALPHA) <= stats.binom.ppf(0.999, nfamily, ALPHA)


def test_a_large_shift_of_one_curve_is_found_there() -> None:
    key = ("env1", "algorithm2", "cost")
    rng = np.random.default_rng(1)
    verdicts = judge(curves(rng, range(6)), curves(rng, range(4), lambda k: 9.0 * (k == key)))
    found = failed(verdicts)
    assert key in found and [k for k in found if ALL not in k] == [key]
    (hit,) = (v for v in verdicts if v.key == key)
    assert hit.window == 1 and hit.shift[1] > 5 and hit.p[0] > ALPHA


def test_a_shift_too_small_for_a_curve_is_found_in_its_groups() -> None:
    rng = np.random.default_rng(2)
    shifted = judge(curves(rng, range(12), n=6), curves(rng, range(8), lambda k: -2.0 * (k[2] == "return"), n=6))
    groups = failed(shifted)
    assert (ALL, ALL, "return") in groups and all(key[2] == "return" for key in groups)
    (everything,) = (v for v in shifted if v.key == (ALL, ALL, "return"))
    assert everything.shift[1] < 0 and everything.window == 1 and len(everything.members) == 36
    assert sum(ALL not in key for key in groups) < 18


def test_the_t_test_by_hand() -> None:
    """Means 2 and 5, pooled variance (2 + 2) / 3, floor 0.01 x 6: standard error sqrt(variance (1/3 + 1/2))."""
    base, fresh = np.array([[1.0], [2.0], [3.0]]), np.array([[4.0], [6.0]])
    key = ("env", "algorithm", "cost")
    (verdict,) = judge(one(key, np.repeat(base, 2, 1)), one(key, np.repeat(fresh, 2, 1)))
    spread = (4 / 3 + 0.03**2) ** 0.5
    t = 3 / (spread * (1 / 3 + 1 / 2) ** 0.5)
    assert verdict.shift == pytest.approx([3 / spread] * 2)
    assert verdict.p == pytest.approx([2 * stats.t.sf(t, 3)] * 2)
    assert verdict.p_holm == pytest.approx(2 * verdict.p)  # two tests


def one(key: Key, values: Floats) -> Curves:
    return {key: Curve(STEPS[: values.shape[1]], tuple(range(len(values))), values)}


def test_equal_curves_are_not_tested_and_constant_ones_have_a_tolerance() -> None:
    key, base = ("env", "algorithm", "cost"), np.full((4, 2), 10.0)
    (verdict,) = judge(one(key, base), one(key, base[:3]))
    assert verdict.identical and verdict.least_p == 1 and np.isnan(verdict.p_holm).all()
    assert not failed(judge(one(key, base), one(key, base + 0.05)))  # half a per cent
    assert failed(judge(one(key, base), one(key, base + 2)))
    assert failed(judge(one(key, 0 * base), one(key, 0 * base + 0.1)))  # nothing ever cost anything
    other_seeds = {key: Curve(STEPS[:2], (7, 8), base[:2])}
    assert not judge(one(key, base), other_seeds)[0].identical


def test_curves_that_cannot_be_compared_are_left_out() -> None:
    rng = np.random.default_rng(3)
    base, fresh = curves(rng, range(6)), curves(rng, range(4))
    first, second, third = list(fresh)[:3]
    del base[first]
    base[second] = Curve(tuple(s + 1 for s in STEPS), base[second].seeds, base[second].values)
    fresh[third].values[0, :5] = np.nan  # no episode of a seed ended in the first half
    fresh[list(fresh)[3]].values[0, 0] = np.nan  # in the first epoch only
    found = [verdict.key for verdict in judge(base, fresh) if ALL not in verdict.key]
    assert found == list(fresh)[3:]


# --- the command, on toys ---------------------------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs the regression of a small matrix of toys, which is written anew with the changes given."""
    monkeypatch.setattr(cli, "FRESH_SEEDS", 2)

    def run(engine: InProcess | None = None, matrix: dict[str, Any] | None = None, **options: Any) -> int:
        settings = {"seeds": [0, 1, 2], "eval_episodes": 0, "steps_per_epoch": 100, "total_steps": 300}
        settings |= matrix or {}
        path = write_suite(tmp_path, "toy", **settings)
        return regression(path, engine or InProcess(), folder=tmp_path / "runs", **options)

    return run


def test_update_then_compare(toy: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    engine = InProcess()
    assert toy(engine) == NO_BASELINE and len(engine.trained) == 4
    assert "no baseline of these steps: cpo on tests.safepo.toy:ToySpeed-v0, ppo_lag on" in capsys.readouterr().out
    engine = InProcess()
    assert toy(engine, update=True) == PASSED and len(engine.trained) == 2  # the other seeds were trained above
    plain = json.loads((tmp_path / "toy.json").read_text())
    (source,) = plain["provenance"]
    assert source["versions"]["mujoco"] and source["runs"] == 6 and source["seconds"] >= 0 and source["date"]
    assert [len(row["values"]) for row in plain["curves"]] == [3] * 4
    assert {tuple(row["steps"]) for row in plain["curves"]} == {(100, 200, 300)}
    capsys.readouterr()
    assert toy() == PASSED
    said = capsys.readouterr().out
    assert "4 curves compared, 4 equal to their baselines; 0 curves and groups tested" in said and "equal" in said
    assert toy(seeds=(20, 21, 22)) == PASSED
    assert "4 curves compared, 0 equal to their baselines; 6 curves and groups tested" in capsys.readouterr().out


def test_what_is_missing_or_changed_is_said(toy: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    assert toy(update=True, patterns=["ppo_lag"]) == PASSED
    assert toy(patterns=["ppo_lag"]) == PASSED
    capsys.readouterr()
    assert toy() == NO_BASELINE
    assert "no baseline of these steps: cpo on tests.safepo.toy:ToySpeed-v0; --update" in capsys.readouterr().out
    assert toy(update=True, patterns=["cpo"]) == PASSED  # the others stay
    assert toy() == PASSED
    assert toy(matrix={"gamma": 0.98}) == PASSED
    assert "settings differ from the baseline's: cpo on" in capsys.readouterr().out
    assert toy(matrix={"total_steps": 200}) == NO_BASELINE


def test_an_interrupted_command_continues(toy: Callable[..., int]) -> None:
    def interrupt(config: Config) -> None:
        if config.run.seed == 1:
            os.kill(os.getpid(), signal.SIGINT)

    first, second = InProcess(interrupt), InProcess()
    assert toy(first) == STOPPED and len(first.trained) == 3
    assert toy(second) == NO_BASELINE and len(second.trained) == 1


def test_failed_runs_fail_the_command_and_leave_the_baselines(
    toy: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert toy(update=True) == PASSED
    before = (tmp_path / "toy.json").read_bytes()

    class Failing(InProcess):
        def start(self, config: Config) -> None:
            super().start(config)
            if config.algorithm == "cpo":
                (config.run_dir() / "error.txt").write_text("out of luck")

    assert toy(Failing(), seeds=(30, 31)) == LEFT
    assert toy(Failing(), seeds=(32, 33), update=True) == LEFT
    assert (tmp_path / "toy.json").read_bytes() == before


def test_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--matrix", "fulll"]) == 2
    assert "did you mean 'full'" in capsys.readouterr().err
    assert main(["--filter", "nothing-like-it"]) == 2
    assert "one is named like SafetyPointGoal1-v0/pg-" in capsys.readouterr().err


def test_runs_of_other_code_are_not_reused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "__pycache__").mkdir(parents=True)
    found = set()
    for text in ("a = 1", "a = 2"):
        (source / "module.py").write_text(text)
        found.add(fingerprint([source]))
        (source / "__pycache__" / "module.pyc").write_text(text)
        found.add(fingerprint([source]))
    assert len(found) == 2


def test_the_full_matrix_has_every_algorithm_and_fits_its_baselines() -> None:
    jobs = cli.chosen(matrix_path("full"), (), (), update=False)
    cells = {(job.run.env_id, job.algorithm) for job in jobs}
    teams = {env_id for env_id, _ in cells if is_multi_agent(env_id)}
    seeing = {env_id for env_id, _ in cells if "Vision" in env_id}
    envs = {env_id for env_id, _ in cells} - teams - seeing
    by_kind = ((envs, ALGORITHMS), (teams, TEAM_ALGORITHMS), (seeing, ("ppo_lag", "cpo")))
    assert cells == {(env_id, name) for ids, names in by_kind for env_id in ids for name in names}
    assert teams and seeing
    assert all(any(kind in env_id for env_id in envs) for kind in ("Goal", "Button", "Circle", "Velocity"))
    assert all(job.run.nepoch >= 10 for job in jobs) and len(jobs) == len(cells) * cli.FRESH_SEEDS
    for name in ("full", "ci"):
        stored = Baselines.load(matrix_path(name).with_suffix(".json"))
        for job in cli.chosen(matrix_path(name), (), (), update=False):
            for metric in METRICS:
                key = (job.run.env_id, job.algorithm, metric)
                if key in stored.curves:  # a new algorithm has none yet: the command says so
                    assert stored.curves[key].steps[-1] == job.run.total_steps


# --- the small matrix, trained here -----------------------------------------------------------------------------------

OTHER_SEEDS = (100, 101, 102, 103)
"""Not those of the baselines, so that curves are tested even where training repeats exactly."""


def ci(folder: Path, *patterns: str) -> int:
    return regression(matrix_path("ci"), InProcess(), patterns=patterns, seeds=OTHER_SEEDS, folder=folder)


@pytest.mark.parametrize("env_id", ["SafetyPointGoal1-v0", "SafetyHopperVelocity-v1"])
def test_other_seeds_of_the_code_as_it_is_pass(env_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = ci(tmp_path, env_id)
    said = capsys.readouterr().out
    assert status == PASSED, said
    assert "4 curves compared, 0 equal" in said and not list(tmp_path.rglob("*.png"))


def test_a_broken_multiplier_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sign of the excess is flipped: what costs too much is encouraged."""
    update = AdamMultiplier.update
    monkeypatch.setattr(AdamMultiplier, "update", lambda self, cost, limit: update(self, 2 * limit - cost, limit))
    assert ci(tmp_path, "*Hopper*/ppo_lag*") == LEFT
    said = capsys.readouterr().out
    assert "FAILED: the cost of ppo_lag on SafetyHopperVelocity-v1 left its band above between steps" in said
    assert "FAILED: the return of ppo_lag on SafetyHopperVelocity-v1 left its band above" in said
    (picture,) = tmp_path.rglob("regression.png")
    assert picture.stat().st_size > 10_000 and str(picture) in said


def test_a_changed_cost_function_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hazards charge up to three times their radius."""
    (term,) = costs.COST_TERMS["hazards"]
    large = replace(term, value=lambda world, spec: term.value(world, replace(spec, size=3 * spec.size)))
    monkeypatch.setitem(costs.COST_TERMS, "hazards", (large,))
    assert ci(tmp_path, "*Goal1*/ppo_lag*") == LEFT
    assert "FAILED: the cost of ppo_lag on SafetyPointGoal1-v0 left its band above" in capsys.readouterr().out
