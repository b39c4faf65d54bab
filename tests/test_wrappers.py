"""Wrappers, on our environments and on foreign ones that report a cost now and then."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.vector import AutoresetMode, SyncVectorEnv

import safety_gym
from safety_gym import wrappers
from safety_gym.wrappers import (
    CostInReward,
    CostStep,
    CostStepVector,
    CostTerminates,
    Gymnasium2SafetyGymnasium,
    RecordEpisodeCost,
    RecordEpisodeCostVector,
    SafeAutoResetWrapper,
    SafeNormalizeCost,
    SafeNormalizeObservation,
    SafeNormalizeReward,
    SafePassiveEnvChecker,
    SafeRescaleAction,
    SafeTimeLimit,
    SafetyGymnasium2Gymnasium,
    SafeUnsqueeze,
    make_gymnasium_environment,
    vector_cost,
    with_gymnasium_wrappers,
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


# --- the reference suite's wrappers -----------------------------------------------------------------------------------

GOAL = "SafetyPointGoal1-v0"
BOTH: dict[str, Callable[[Any], Any]] = {
    "SafetyGymnasium2Gymnasium": SafetyGymnasium2Gymnasium,
    "SafeRescaleAction": lambda env: SafeRescaleAction(env, -1.0, 1.0),
    "SafeNormalizeObservation": SafeNormalizeObservation,
    "SafeNormalizeReward": SafeNormalizeReward,
    "SafeNormalizeCost": SafeNormalizeCost,
}
SINGLE: dict[str, Callable[[Any], Any]] = {
    "SafeAutoResetWrapper": SafeAutoResetWrapper,
    "SafePassiveEnvChecker": SafePassiveEnvChecker,
    "SafeTimeLimit": lambda env: SafeTimeLimit(env, 100),
    "SafeUnsqueeze": SafeUnsqueeze,
}


@pytest.mark.parametrize("name", BOTH)
def test_wrappers_take_their_vector_form_around_vector_environments(name: str) -> None:
    single, vector = BOTH[name](safety_gym.make(GOAL)), BOTH[name](safety_gym.make_vec(GOAL, num_envs=3))
    assert type(single) is getattr(wrappers, name)
    assert type(vector) is getattr(wrappers, f"{name}Vector")
    assert isinstance(vector, gymnasium.vector.VectorEnv) and vector.is_vector_env
    assert not hasattr(single, "is_vector_env")
    single.reset(seed=0)
    vector.reset(seed=0)
    want = single.step(np.ones(2))
    got = vector.step(np.ones((3, 2)))
    assert len(got) == len(want) == (5 if name == "SafetyGymnasium2Gymnasium" else 6)
    assert [np.shape(x) for x in got[:-1]] == [(3, *np.shape(x)) for x in want[:-1]]
    assert vector.observation_space.contains(got[0]) and vector.single_observation_space.contains(want[0])


@pytest.mark.parametrize("name", [*BOTH, *SINGLE])
def test_attributes_are_read_and_set_through_wrappers(name: str) -> None:
    env = (BOTH | SINGLE)[name](safety_gym.make(GOAL))
    env.reset(seed=0)
    assert env.cost_names == ("cost_hazards",)
    assert env.task.hazards.num == 8
    assert env.unwrapped is env.env.unwrapped
    with pytest.raises(AttributeError, match="colour"):
        env.colour
    with pytest.raises(AttributeError, match="_keys_warned"):
        env._keys_warned
    env.set_wrapper_attr("keyboard", True)
    assert env.unwrapped.keyboard is True and "keyboard" not in vars(env)
    env.set_wrapper_attr("brand_new", 1)
    assert vars(env)["brand_new"] == 1
    twin = copy.deepcopy(env)
    assert twin.unwrapped is not env.unwrapped and twin.cost_names == env.cost_names


@pytest.mark.parametrize("name", [*BOTH, *SINGLE])
def test_wrappers_say_how_many_values_they_take(name: str) -> None:
    """Six-value wrappers refuse five values at the step, five-value wrappers refuse six-value environments at once."""
    env = (BOTH | SINGLE)[name](gymnasium.make(GOAL))
    env.reset(seed=0)
    if name != "SafeRescaleAction":  # hands on whatever the environment returns
        with pytest.raises(ValueError, match="returned 5 values"):
            env.step(np.zeros(2))
    wrapped = (BOTH | SINGLE)[name](safety_gym.make(GOAL))
    if name == "SafetyGymnasium2Gymnasium":
        CostTerminates(wrapped, 1.0)
    else:
        with pytest.raises(TypeError, match="six values"):
            CostTerminates(wrapped, 1.0)


def test_there_and_back_changes_nothing() -> None:
    direct = safety_gym.make("SafetyPointGoal2-v0")
    around = with_gymnasium_wrappers(safety_gym.make("SafetyPointGoal2-v0"))
    assert type(around) is Gymnasium2SafetyGymnasium
    vector = with_gymnasium_wrappers(safety_gym.make_vec("SafetyPointGoal2-v0", num_envs=2))
    direct_vector = safety_gym.make_vec("SafetyPointGoal2-v0", num_envs=2)
    for env in (direct, around, vector, direct_vector):
        env.reset(seed=0)
    for action in actions(0, 5, 2, 2):
        assert_same(around.step(action[0]), direct.step(action[0]))
        assert_same(vector.step(action), direct_vector.step(action))
    with pytest.raises(TypeError, match="'TimeLimit'"):
        with_gymnasium_wrappers(safety_gym.make(GOAL), "TimeLimit")


def test_gymnasiums_twin_by_hand() -> None:
    env = make_gymnasium_environment("SafetyPointGoal1Gymnasium-v0", max_episode_steps=3)
    twin = gymnasium.make("SafetyPointGoal1Gymnasium-v0")
    assert_same(env.reset(seed=0), twin.reset(seed=0))
    assert_same(env.step(np.ones(2)), twin.step(np.ones(2)))
    with pytest.raises(ValueError, match="SafetyPointGoal1-v0"):
        make_gymnasium_environment(GOAL)


def test_rescaled_actions() -> None:
    plain, envs = safety_gym.make(GOAL), safety_gym.make_vec(GOAL, num_envs=2)
    scaled, many = SafeRescaleAction(plain, -3.0, 1.0), SafeRescaleAction(envs, np.array([-3.0, 0.0]), 1.0)
    assert (scaled.action_space.low.tolist(), scaled.action_space.high.tolist()) == ([-3.0, -3.0], [1.0, 1.0])
    assert many.action_space.low.tolist() == [[-3.0, 0.0]] * 2
    assert many.single_action_space.low.tolist() == [-3.0, 0.0]
    for env in (scaled, many):
        env.reset(seed=0)
    scaled.step(np.array([-1.0, -3.0]))
    many.step(np.array([[-1.0, 0.5], [1.0, 0.75]]))
    np.testing.assert_allclose(scaled.unwrapped.vec.sim.world.ctrl, [[0.0, -1.0]], rtol=0, atol=1e-15)
    np.testing.assert_allclose(many.unwrapped.sim.world.ctrl, [[0.0, 0.0], [1.0, 0.5]], rtol=0, atol=1e-15)


def test_normalised_observations_of_ended_episodes_do_not_count() -> None:
    """Three steps of two simulations that end at the third; the same numbers by hand."""
    raw = safety_gym.vector.make(GOAL, num_envs=2, max_episode_steps=3)
    env = SafeNormalizeObservation(safety_gym.vector.make(GOAL, num_envs=2, max_episode_steps=3))
    seen = [raw.reset(seed=0)[0]]
    env.reset(seed=0)
    for action in actions(0, 3, 2, 2):
        want, got = raw.step(action), env.step(action)
        seen.append(want[0])
    everything = np.concatenate(seen)
    assert env.obs_rms.count == pytest.approx(8, abs=1e-3)
    np.testing.assert_allclose(env.obs_rms.mean, everything.mean(axis=0), rtol=0, atol=1e-3)
    scale = np.sqrt(env.obs_rms.var + 1e-8)
    np.testing.assert_allclose(got[0], (want[0] - env.obs_rms.mean) / scale, rtol=0, atol=1e-12)
    for key in ("final_observation", "final_obs"):
        assert_same(got[5][f"original_{key}"], want[5][key])
        for i in range(2):
            by_hand = (want[5][key][i] - env.obs_rms.mean) / scale
            np.testing.assert_allclose(got[5][key][i], by_hand, rtol=0, atol=1e-12)


def test_normalised_observations_of_one_environment() -> None:
    env = SafeNormalizeObservation(SafeAutoResetWrapper(safety_gym.make(GOAL, max_episode_steps=3)))
    env.reset(seed=0)
    for _ in range(3):
        info = env.step(np.ones(2))[5]
    assert env.obs_rms.count == pytest.approx(4, abs=1e-3), "the last observation of the episode counts for nothing"
    by_hand = (info["original_final_observation"] - env.obs_rms.mean) / np.sqrt(env.obs_rms.var + 1e-8)
    np.testing.assert_array_equal(info["final_observation"], by_hand)


@pytest.mark.parametrize("wrap", [SafeNormalizeObservation, SafeNormalizeReward, SafeNormalizeCost])
def test_statistics_can_be_frozen(wrap: Any) -> None:
    for env in (wrap(safety_gym.make(GOAL)), wrap(safety_gym.make_vec(GOAL, num_envs=2))):
        env.reset(seed=0)
        action = np.ones(env.action_space.shape)
        env.step(action)
        statistics = env.obs_rms if wrap is SafeNormalizeObservation else env.return_rms
        before = statistics.count
        env.update_running_mean = False
        env.step(action)
        assert statistics.count == before
        env.update_running_mean = True
        env.step(action)
        assert statistics.count > before


def test_normalisers_refuse() -> None:
    env = safety_gym.make(GOAL)
    for wrap in (SafeNormalizeReward, SafeNormalizeCost):
        with pytest.raises(ValueError, match="gamma"):
            wrap(env, gamma=1.5)
        with pytest.raises(ValueError, match="epsilon"):
            wrap(env, epsilon=0.0)
    with pytest.raises(ValueError, match="epsilon"):
        SafeNormalizeObservation(env, epsilon=-1.0)
    with pytest.raises(ValueError, match="observation_flatten"):
        SafeNormalizeObservation(safety_gym.make(GOAL, observation_flatten=False))


def test_unsqueeze_is_for_single_environments() -> None:
    with pytest.raises(TypeError, match="single environment"):
        SafeUnsqueeze(safety_gym.make_vec(GOAL, num_envs=2))
