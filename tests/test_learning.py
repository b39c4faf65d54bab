"""Learning runs of minutes, run by `make regression`: the quick preset learns, and the multiplier lowers the cost."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from safepo.envs import VectorEnv
from safepo.evaluation import evaluate
from safepo.policy import Policy, RandomPolicy, describe
from safepo.trainer import train

pytestmark = pytest.mark.slow

ENV = "SafetyPointGoal1-v0"
EPISODES = 100


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Stochastic evaluations of a random policy, PPO and PPO-Lag after the quick preset, one seed each."""
    folder: Path = tmp_path_factory.mktemp("runs")
    found = {"random": evaluate(RandomPolicy(describe(VectorEnv(ENV, 1))), ENV, EPISODES, seed=7, deterministic=False)}
    for name in ("ppo", "ppo_lag"):
        run = train(name, preset="quick", env_id=ENV, log_dir=str(folder), eval_episodes=0)
        found[name] = evaluate(Policy.load(run), ENV, EPISODES, seed=7, deterministic=False)
    return found


@pytest.mark.parametrize("name", ["ppo", "ppo_lag"])
def test_the_return_beats_a_random_policy(results: dict[str, dict[str, Any]], name: str) -> None:
    random, trained = results["random"]["return"], results[name]["return"]
    error = (random["stderr"] ** 2 + trained["stderr"] ** 2) ** 0.5
    assert trained["mean"] > random["mean"] + 3 * error


def test_the_multiplier_lowers_the_cost(results: dict[str, dict[str, Any]]) -> None:
    free, bound = results["ppo"]["cost"], results["ppo_lag"]["cost"]
    error = (free["stderr"] ** 2 + bound["stderr"] ** 2) ** 0.5
    assert bound["mean"] < free["mean"] - error
