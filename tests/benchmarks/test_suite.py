"""Suites multiply out, merge what is equal, and say what is wrong with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.suite import load_suite, run_id, suite_names
from safepo.algorithms import ALGORITHMS, TEAM_ALGORITHMS
from safepo.config import make_config
from safepo.errors import UserError
from tests.benchmarks.helpers import SMALL, TOY, write_suite


@pytest.mark.parametrize("name", suite_names())
def test_shipped_suites_resolve(name: str) -> None:
    suite = load_suite(name)  # checks every id and every setting
    assert suite.description and suite.jobs
    assert len({run_id(job) for job in suite.jobs}) == len(suite.jobs)


def test_results_suite_is_the_matrix_of_the_results_tables() -> None:
    jobs = load_suite("results").jobs
    assert len(jobs) == 12 * (3 * 3 + 2)
    assert {job.algorithm for job in jobs} == set(ALGORITHMS)
    assert {(job.run.total_steps, job.run.cost_limit, job.run.eval_episodes) for job in jobs} == {(300_000, 25.0, 20)}


def test_multi_agent_suite_trains_teams_and_one_agent_on_the_same_robots() -> None:
    jobs = load_suite("multi_agent").jobs
    teams = [job for job in jobs if job.algorithm in TEAM_ALGORITHMS]
    assert len(teams) == 4 * 3 * 2 and {job.algorithm for job in teams} == set(TEAM_ALGORITHMS)
    assert {job.algorithm for job in jobs if job not in teams} == {"ppo_lag"} and len(jobs) == len(teams) + 3 * 2
    assert len({(job.run.total_steps, job.run.steps_per_epoch, job.run.cost_limit) for job in jobs}) == 1


def test_safepo_suite_has_the_launchers_settings() -> None:
    jobs = load_suite("safepo").jobs
    assert len(jobs) == 8 * 3 * (5 * 4 * 2 + 6)
    doggo = {(j.run.total_steps, j.run.steps_per_epoch, j.run.num_envs) for j in jobs if "Doggo" in j.run.env_id}
    rest = {(j.run.total_steps, j.run.steps_per_epoch, j.run.num_envs) for j in jobs if "Doggo" not in j.run.env_id}
    assert doggo == {(100_000_000, 200_000, 20)} and rest == {(10_000_000, 20_000, 10)}


def test_axes_multiply_and_duplicates_merge(tmp_path: Path) -> None:
    path = write_suite(tmp_path, seeds=[0, 1, 1], total_steps=[400, 600], cost_limits=[10, 25], eval_episodes=0)
    jobs = load_suite(path).jobs
    assert len(jobs) == 2 * 2 * 2 * 2
    assert [job.run.seed for job in jobs] == [0] * 8 + [1] * 8  # everything once before anything twice
    text = path.read_text()
    path.write_text(text + text.replace("eval_episodes = 0", "eval_episodes = 7"))
    assert load_suite(path).jobs == jobs


def test_settings_reach_the_algorithms_that_have_them(tmp_path: Path) -> None:
    path = write_suite(tmp_path, algorithms=["ppo_lag", "cpo"], clip=0.1, preset="quick")
    path.write_text(path.read_text() + "[matrix.cpo]\ncritic_lr = 0.5\n")
    ppo_lag, cpo = load_suite(path).jobs
    given = {key: SMALL[key] for key in ("steps_per_epoch", "total_steps", "num_envs", "eval_episodes", "passes")}
    given |= {"env_id": TOY, "checkpoint_every": 1, "preset": "quick"}
    assert ppo_lag == make_config("ppo_lag", **given, clip=0.1)
    assert cpo == make_config("cpo", **given, critic_lr=0.5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithms": ["ppo_lagg"]}, "did you mean 'ppo_lag'"),
        ({"env_ids": ["SafetyPointGaol1-v0"]}, "did you mean 'SafetyPointGoal1-v0'"),
        ({"clipp": 0.1}, "did you mean 'clip'"),
        ({"seed": 3}, "did you mean 'seeds'"),
        ({"clip": 0.1, "algorithms": ["cpo"]}, "unknown key (settings of cpo) 'clip'"),
        ({"seeds": []}, "seeds is missing or empty"),
        ({"total_steps": 100}, "less than one epoch"),
        ({"cost_limits": [-1]}, "cost_limit"),
        ({"preset": "quik"}, "did you mean 'quick'"),
    ],
)
def test_wrong_suites(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        load_suite(write_suite(tmp_path, **changes))
    assert message in str(error.value) and "suite 'small', matrix 1" in str(error.value)


def test_wrong_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"did you mean 'quick'.*known: .*navigation, quick"):
        load_suite("quik")
    with pytest.raises(UserError, match="No such file"):
        load_suite(tmp_path / "no.toml")
    wrong = tmp_path / "wrong.toml"
    for text, message in (
        ("a = ", "not valid TOML"),
        ("matrx = 1", "did you mean 'matrix'"),
        ("", r"tables \[\[matrix"),
    ):
        wrong.write_text(text)
        with pytest.raises(UserError, match=message):
            load_suite(wrong)
