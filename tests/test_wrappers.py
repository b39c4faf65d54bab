"""Wrappers, on our environments and on foreign ones that report a cost now and then."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import safety_gym
from safety_gym.wrappers import (
    CostInReward,
    CostStep,
    CostStepVector,
    CostTerminates,
    RecordEpisodeCost,
    RecordEpisodeCostVector,
    vector_cost,
)
from tests.helpers import actions, assert_same


class Scripted(gymnasium.Env[Any, Any]):
    """A foreign environment that plays back costs; None: no cost is reported at that step. Reward 10, 20, 30, ..."""

    observation_space = gymnasium.spaces.Box(-1, 100, (1,))
    action_space = gymnasium.spaces.Discrete(2)

    def __init__(self, costs: list[Any]) -> None:
        self.costs, self.step_count = costs, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.step_count = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: Any) -> Any:
        cost = self.costs[self.step_count]
        self.step_count += 1
        info = {} if cost is None else {"cost": cost}
        over = self.step_count == len(self.costs)
        return np.full(1, self.step_count, np.float32), 10.0 * self.step_count, over, False, info


def play(env: Any, steps: int) -> list[Any]:
    env.reset(seed=0)
    return [env.step(0) for _ in range(steps)]


# --- six values -------------------------------------------------------------------------------------------------------


def test_cost_step_on_a_foreign_environment() -> None:
    env = CostStep(Scripted([0.5, None, np.float32(2.0), True]))
    rows = play(env, 4)
    assert all(len(row) == 6 for row in rows)
    assert [row[2] for row in rows] == [0.5, 0.0, 2.0, 1.0]
    assert all(type(row[2]) is float for row in rows)
    assert [row[3] for row in rows] == [False, False, False, True]
    assert env.cost_names == ()


def test_cost_step_on_an_environment_without_costs() -> None:
    env = CostStep(gymnasium.make("CartPole-v1"))
    env.reset(seed=0)
    assert env.step(0)[2] == 0.0


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_cost_step_on_foreign_vector_environments(mode: AutoresetMode) -> None:
    """Costs of last transitions are found where Gymnasium's own same-step autoreset puts them."""
    makers = [lambda: Scripted([1.0, None, 3.0]), lambda: Scripted([0.25, 0.5])]
    envs = CostStepVector(SyncVectorEnv(makers, autoreset_mode=mode))
    envs.reset(seed=0)
    rows = [envs.step(np.zeros(2, int)) for _ in range(2)]
    assert rows[0][2].tolist() == [1.0, 0.25]
    assert rows[1][2].tolist() == [0.0, 0.5]
    assert rows[1][3].tolist() == [False, True]
    assert all(row[2].dtype == np.float64 and row[2].shape == (2,) for row in rows)
    if mode is AutoresetMode.DISABLED:
        envs.reset(options={"reset_mask": np.array([False, True])})
    step = envs.step(np.zeros(2, int))
    assert step[2].tolist() == [3.0, 0.0 if mode is AutoresetMode.NEXT_STEP else 0.25]
    assert step[3].tolist() == [True, False]


def test_cost_step_on_a_vector_environment_without_costs() -> None:
    envs = CostStepVector(gymnasium.make_vec("CartPole-v1", num_envs=2, vectorization_mode="sync"))
    envs.reset(seed=0)
    assert envs.step(np.zeros(2, int))[2].tolist() == [0.0, 0.0]


def test_cost_step_around_ours() -> None:
    ours = safety_gym.make_vec("SafetyPointGoal2-v0", num_envs=2)
    by_hand = CostStepVector(gymnasium.make_vec("SafetyPointGoal2-v0", num_envs=2))
    sync = CostStepVector(gymnasium.make_vec("SafetyPointGoal2-v0", num_envs=2, vectorization_mode="sync"))
    assert by_hand.cost_names == ours.cost_names
    for envs in (ours, by_hand, sync):
        envs.reset(seed=0)
    for action in actions(0, 5, 2, 2):
        want = ours.step(action)
        assert_same(by_hand.step(action), want)
        np.testing.assert_array_equal(sync.step(action)[2], want[2])


def test_vector_cost_by_hand() -> None:
    assert vector_cost({}, 3).tolist() == [0.0, 0.0, 0.0]
    info = {"cost": np.array([1.0, 2.0, 3.0]), "_cost": np.array([True, False, True])}
    assert vector_cost(info, 3).tolist() == [1.0, 0.0, 3.0]
    info["final_info"] = {"cost": np.array([9.0, 8.0, 7.0]), "_cost": np.array([False, True, True])}
    info["_final_info"] = np.array([True, True, False])
    assert vector_cost(info, 3).tolist() == [1.0, 8.0, 3.0]
    assert vector_cost({"cost": np.array([1.0, 2.0])}, 2).tolist() == [1.0, 2.0]


# --- for libraries without constraints --------------------------------------------------------------------------------


def test_cost_in_reward() -> None:
    rows = play(CostInReward(Scripted([0.5, None, 2.0]), weight=4.0), 3)
    assert [row[1] for row in rows] == [8.0, 20.0, 22.0]
    assert [row[4]["reward"] for row in rows] == [10.0, 20.0, 30.0]
    assert [row[4].get("cost") for row in rows] == [0.5, None, 2.0]
    assert [row[1] for row in play(CostInReward(Scripted([5.0]), weight=0), 1)] == [10.0]
    for wrong in (-1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="weight"):
            CostInReward(Scripted([]), weight=wrong)


def test_cost_in_reward_keeps_the_episode_statistics() -> None:
    """`info["episode"]` of the statistics inside holds the unpenalised return and the summed cost."""
    inner = RecordEpisodeCost(gymnasium.wrappers.RecordEpisodeStatistics(Scripted([0.5, None, 2.0])))
    env = CostInReward(inner, weight=1.0)
    for _ in range(2):
        episode = play(env, 3)[-1][4]["episode"]
        assert (episode["r"], episode["l"], episode["c"]) == (60.0, 3, 2.5)


def test_six_values_are_refused() -> None:
    for wrap in (lambda env: CostInReward(env, 1.0), lambda env: CostTerminates(env, 1.0), RecordEpisodeCost):
        with pytest.raises(TypeError, match="six values"):
            wrap(CostStep(Scripted([])))


def test_cost_terminates() -> None:
    env = CostTerminates(Scripted([1.0, None, 1.0, 0.5, 0.0, 0.0]), budget=2.0)
    assert [row[2] for row in play(env, 5)] == [False, False, False, True, True]
    assert [row[2] for row in play(env, 4)] == [False, False, False, True], "the sum starts again with the episode"
    assert [row[2] for row in play(CostTerminates(Scripted([0.0, 1.0, 0.0]), budget=0), 2)] == [False, True]
    for wrong in (-1.0, np.nan):
        with pytest.raises(ValueError, match="budget"):
            CostTerminates(Scripted([]), budget=wrong)


def test_cost_terminates_ours() -> None:
    env = CostTerminates(gymnasium.make("SafetyPointRun0-v0"), budget=3)
    env.reset(seed=0)
    env.unwrapped.place("agent", (2.0, 16.5))
    assert [env.step(np.zeros(2))[2] for _ in range(4)] == [False, False, False, True]


def test_record_episode_cost() -> None:
    env = RecordEpisodeCost(Scripted([1.0, None, 2.5]))
    for _ in range(2):
        rows = play(env, 3)
        assert ["episode" in row[4] for row in rows] == [False, False, True]
        assert rows[-1][4]["episode"] == {"c": 3.5}
    rows = play(RecordEpisodeCost(gymnasium.wrappers.RecordEpisodeStatistics(Scripted([1.0, 2.0]))), 2)
    episode = rows[-1][4]["episode"]
    assert (episode["r"], episode["l"], episode["c"]) == (30.0, 2, 3.0)


@pytest.mark.parametrize("mode", list(AutoresetMode))
def test_record_episode_cost_of_vector_environments(mode: AutoresetMode) -> None:
    makers = [lambda: Scripted([1.0, None, 3.0]), lambda: Scripted([0.25, 0.5])]
    envs = RecordEpisodeCostVector(SyncVectorEnv(makers, autoreset_mode=mode))
    envs.reset(seed=0)
    found = []
    for step in range(8):
        _, _, terminated, truncated, info = envs.step(np.zeros(2, int))
        over = terminated | truncated
        assert ("episode" in info) == over.any()
        if over.any():
            assert info["_episode"].tolist() == info["episode"]["_c"].tolist() == over.tolist()
            found += [(step, int(i), float(info["episode"]["c"][i])) for i in np.flatnonzero(over)]
            if mode is AutoresetMode.DISABLED:
                envs.reset(options={"reset_mask": over})
    pause = mode is AutoresetMode.NEXT_STEP  # a step for the reset
    want = [(2 + k * (3 + pause), 0, 4.0) for k in range(3)] + [(1 + k * (2 + pause), 1, 0.75) for k in range(4)]
    assert sorted(found) == sorted(row for row in want if row[0] < 8)


@pytest.mark.parametrize("mode", ["SameStep", "NextStep"])
def test_record_episode_cost_of_our_vector_environments(mode: str) -> None:
    """The sum of what the six-value step returned, last transition included."""
    args: dict[str, Any] = {"num_envs": 3, "max_episode_steps": 6, "autoreset_mode": mode}
    plain = safety_gym.make_vec("SafetyPointGoal1-v0", **args)
    envs = RecordEpisodeCostVector(gymnasium.make_vec("SafetyPointGoal1-v0", **args))
    for env in (plain, envs):
        env.reset(seed=0)
        for i in range(2):
            x, y, _ = env.unwrapped.layout[i]["agent"]
            env.unwrapped.place("hazard0", (x, y), ids=[i])
    total = np.zeros(3)
    for step in range(6):
        total += plain.step(np.zeros((3, 2)))[2]
        info = envs.step(np.zeros((3, 2)))[4]
        assert ("episode" in info) == (step == 5)
    assert info["episode"]["c"].tolist() == total.tolist() == [6.0, 6.0, 0.0]


def test_wrappers_stack() -> None:
    """The six-value face goes outside; Gymnasium's own wrappers inside."""
    env = gymnasium.make("SafetyPointGoal1-v0", max_episode_steps=3)
    env = CostStep(RecordEpisodeCost(CostTerminates(gymnasium.wrappers.RecordEpisodeStatistics(env), budget=25.0)))
    env.reset(seed=0)
    rows = [env.step(np.zeros(2)) for _ in range(3)]
    assert len(rows[-1]) == 6 and rows[-1][4]
    assert {"r", "l", "c"} <= set(rows[-1][5]["episode"])
    assert env.cost_names == ("cost_hazards",)
