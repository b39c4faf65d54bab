"""Wrong arguments are named, with what is accepted; nothing moves and everything stays usable."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest

import safety_gym
from tests.helpers import actions, assert_same, single

GOAL = "SafetyPointGoal1-v0"


# --- actions ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "says"),
    [
        (np.zeros((3, 3)), r"shape \(3, 3\); expected \(4, 2\)"),
        (np.zeros((4, 2, 1)), r"shape \(4, 2, 1\)"),
        (np.zeros(8), r"shape \(8,\)"),
        (np.zeros((2, 4)), r"shape \(2, 4\)"),
        (np.float64(0), r"shape \(\)"),
        (None, "action"),
        ("forward", "action"),
        ([[0, 0], [0, 0], [0, 0], [0]], "action"),
    ],
)
def test_wrong_shapes_are_refused(action: Any, says: str) -> None:
    envs = gymnasium.make_vec(GOAL, num_envs=4)
    envs.reset(seed=0)
    with pytest.raises(ValueError, match=says):
        envs.step(action)


@pytest.mark.parametrize(
    "action", [np.zeros(3), np.zeros((1, 2)), 0.5, None, "forward", np.zeros((2, 1)), [[0.0], [0.0]]]
)
def test_wrong_shapes_of_single_environments_are_refused(action: Any) -> None:
    for env in (single(GOAL), safety_gym.make(GOAL, disable_env_checker=True)):
        env.reset(seed=0)
        with pytest.raises(ValueError, match="action"):
            env.step(action)
        env.step(np.zeros(2))


@pytest.mark.parametrize("env_id", [GOAL, "SafetyCarButton1-v0"])
def test_nan_names_its_rows_and_nothing_moves(env_id: str) -> None:
    """A refused action leaves no trace: the trajectory goes on as if it had never been given."""
    envs, twin = (gymnasium.make_vec(env_id, num_envs=4, action_noise=0.01) for _ in range(2))
    envs.reset(seed=0)
    twin.reset(seed=0)
    for k, action in enumerate(actions(0, 8, 4, 2)):
        wrong = action.copy()
        wrong[[1, 3], k % 2] = np.nan
        before = envs.unwrapped.batch.state.copy()
        with pytest.raises(ValueError, match=r"NaN in rows \[1, 3\]"):
            envs.step(wrong)
        np.testing.assert_array_equal(envs.unwrapped.batch.state, before)
        with pytest.raises(ValueError, match="shape"):
            envs.step(action[:2])
        assert_same(twin.step(action), envs.step(action))


def test_nan_of_a_single_environment() -> None:
    env = single(GOAL)
    env.reset(seed=0)
    with pytest.raises(ValueError, match="NaN"):
        env.step(np.array([0.0, np.nan]))
    env.step(np.zeros(2))


def test_other_numbers_are_actions() -> None:
    """Lists, integers, 32-bit floats are fine; values outside the range, infinite ones too, are clipped."""
    rows = []
    for given in (
        np.ones((2, 2)),
        [[1, 1], [1, 1]],
        np.ones((2, 2), np.float32),
        np.full((2, 2), 7.5),
        np.full((2, 2), np.inf),
    ):
        envs = gymnasium.make_vec(GOAL, num_envs=2)
        envs.reset(seed=0)
        rows.append(envs.step(given)[0])
    for row in rows[1:]:
        np.testing.assert_array_equal(row, rows[0])


# --- order of calls ---------------------------------------------------------------------------------------------------


def test_a_step_before_the_first_reset() -> None:
    for env in (gymnasium.make(GOAL), safety_gym.make(GOAL), gymnasium.make(GOAL).unwrapped):
        with pytest.raises(gymnasium.error.ResetNeeded):
            env.step(np.zeros(2))
    for envs in (gymnasium.make_vec(GOAL, num_envs=2), safety_gym.make_vec(GOAL, num_envs=2)):
        with pytest.raises(gymnasium.error.ResetNeeded, match=r"reset\(\)"):
            envs.step(np.zeros((2, 2)))
        envs.reset(seed=0)
        envs.step(np.zeros((2, 2)))


def test_a_step_after_the_end() -> None:
    env = single(GOAL, num_steps=2)
    env.reset(seed=0)
    env.step(np.zeros(2))
    assert env.step(np.zeros(2))[3]
    with pytest.raises(gymnasium.error.ResetNeeded):
        env.step(np.zeros(2))
    env.reset()
    env.step(np.zeros(2))


# --- seeds and reset options ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 1.5, "1", True, [1, 2, 3], [1], [0, -4], [0, 1.5]])
def test_wrong_seeds(seed: Any) -> None:
    envs = gymnasium.make_vec(GOAL, num_envs=2)
    with pytest.raises((ValueError, TypeError), match="seed"):
        envs.reset(seed=seed)
    envs.reset(seed=0)


@pytest.mark.parametrize("seed", [-1, 1.5, "1", [1, 2]])
def test_wrong_seeds_of_single_environments(seed: Any) -> None:
    env = single(GOAL)
    with pytest.raises((ValueError, TypeError, gymnasium.error.Error), match="seed"):
        env.reset(seed=seed)
    env.reset(seed=0)


def test_a_wrong_seed_leaves_the_streams_alone() -> None:
    envs, twin = (gymnasium.make_vec(GOAL, num_envs=2) for _ in range(2))
    envs.reset(seed=0)
    twin.reset(seed=0)
    with pytest.raises(ValueError, match="seed"):
        envs.reset(seed=[5, -1])
    np.testing.assert_array_equal(envs.reset()[0], twin.reset()[0])


@pytest.mark.parametrize(
    "mask",
    [np.zeros(2, bool), np.ones(3, bool), np.array([1, 0]), np.array([0.5, 1.0]), True, "all", np.ones((2, 1), bool)],
)
def test_wrong_masks(mask: Any) -> None:
    envs = gymnasium.make_vec(GOAL, num_envs=2, autoreset_mode="Disabled")
    envs.reset(seed=0)
    with pytest.raises(ValueError, match="reset_mask"):
        envs.reset(options={"reset_mask": mask})


# --- making -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("num_envs", [0, -3, 1.5, True, "2", None])
def test_wrong_numbers_of_simulations(num_envs: Any) -> None:
    for maker in (gymnasium.make_vec, safety_gym.make_vec):
        with pytest.raises(ValueError, match="num_envs"):
            maker(GOAL, num_envs=num_envs)


def test_num_envs_of_a_single_environment() -> None:
    with pytest.raises((ValueError, TypeError), match="num_envs"):
        safety_gym.make(GOAL, num_envs=3)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"hazrads": {"num": 3}}, r"unknown option 'hazrads'; did you mean 'hazards'"),
        ({"lidar_numbins": 3}, r"unknown option 'lidar_numbins'; did you mean 'lidar_num_bins'"),
        ({"lidar_conf.num_bin": 3}, r"did you mean 'lidar_conf.num_bins'"),
        ({"agent.keepuot": 3}, r"did you mean 'agent.keepout'"),
        ({"hazards": {"nmu": 3}}, r"unknown field of hazards 'nmu'; did you mean 'num'"),
        ({"agent": {"keepuot": 3}}, r"unknown agent option 'keepuot'; did you mean 'keepout'"),
        ({"qqqqqq": 3}, r"unknown option 'qqqqqq'; known: .*extents"),
        ({"objects": ()}, r"unknown option 'objects'"),
        ({"hazards": 3}, r"hazards=3"),
        ({"hazards": [1, 2]}, r"hazards=\[1, 2\]"),
        ({"agent": 3}, r"agent"),
        ({"config": {"Hazrads": {}}}, r"Hazrads.*did you mean '[hH]azards'"),
        ({"config": 3}, r"config"),
        ({"extents": (1, 1, -1, -1)}, r"extents=\(1, 1, -1, -1\)"),
        ({"extents": (-1, 1)}, r"extents"),
        ({"extents": 5}, r"extents=5"),
        ({"extents": None}, r"extents"),
        ({"extents": (-1, -1, np.nan, 1)}, r"extents"),
        ({"margin": -0.1}, r"margin"),
        ({"lidar_type": "laser"}, r"lidar_type='laser'"),
        ({"lidar_num_bins": 0}, r"lidar_num_bins=0"),
        ({"lidar_num_bins": 2.5}, r"lidar_num_bins=2.5"),
        ({"lidar_num_bins": "many"}, r"lidar_num_bins='many'"),
        ({"lidar_max_dist": 0}, r"lidar_max_dist=0"),
        ({"lidar_max_dist": -2.0}, r"lidar_max_dist=-2.0"),
        ({"lidar_max_dist": "far"}, r"lidar_max_dist='far'"),
        ({"lidar_max_dist": np.nan}, r"lidar_max_dist"),
        ({"compass_shape": 4}, r"compass_shape=4"),
        ({"num_steps": 0}, r"num_steps=0"),
        ({"num_steps": 1.5}, r"num_steps=1.5"),
        ({"action_noise": -1}, r"action_noise=-1"),
        ({"reward_clip": 0}, r"reward_clip=0"),
        ({"reward_clip": -1.0}, r"reward_clip=-1.0"),
        ({"floor_size": (1.0, 1.0)}, r"floor_size"),
        ({"floor_size": (0.0, 1.0, 0.1)}, r"floor_size"),
        ({"hazards": {"num": -1}}, r"hazards.num=-1"),
        ({"hazards": {"num": 2.5}}, r"hazards.num=2.5"),
        ({"hazards": {"num": "8"}}, r"hazards.num='8'"),
        ({"hazards": {"num": 100_000}}, r"hazards.num=100000"),
        ({"hazards": {"size": 0}}, r"hazards.size=0"),
        ({"hazards": {"size": "big"}}, r"hazards.size='big'"),
        ({"hazards": {"keepout": -0.1}}, r"hazards.keepout=-0.1"),
        ({"hazards": {"keepout": np.nan}}, r"hazards.keepout"),
        ({"hazards": {"keepout": None}}, r"hazards.keepout=None"),
        ({"hazards": {"locations": [(0, 0, 0)]}}, r"hazards.locations"),
        ({"hazards": {"locations": [(0.0, 0.0)] * 9}}, r"hazards.locations"),
        ({"hazards": {"placements": [(1, 1, 0)]}}, r"hazards.placements"),
        ({"agent": {"keepout": -1.0}}, r"agent.*keepout"),
        ({"agent": {"placements": [(0, 0)]}}, r"agent.*placements"),
        ({"goal": {"num": 2}}, r"goal.num=2"),
        ({"sigwalls": {"num": 3}}, r"sigwalls.num=3"),
        ({"goal": None}, r"needs 'goal'"),
        ({"circle": {"radius": -1.0}}, r"circle.radius=-1.0"),
    ],
)
def test_wrong_options_are_named(options: dict[str, Any], says: str) -> None:
    for maker in (safety_gym.make, safety_gym.make_vec):
        with pytest.raises(ValueError, match=says):
            maker(GOAL, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"autoreset_mode": "sometimes"}, r"autoreset_mode='sometimes'.*SameStep"),
        ({"autoreset_mode": None}, r"autoreset_mode"),
        ({"max_episode_steps": 0}, r"max_episode_steps=0"),
        ({"max_episode_steps": -2}, r"max_episode_steps=-2"),
        ({"max_episode_steps": 2.5}, r"max_episode_steps=2.5"),
        ({"max_episode_steps": "5"}, r"max_episode_steps='5'"),
        ({"num_threads": 0}, r"num_threads=0"),
        ({"num_threads": 1.5}, r"num_threads=1.5"),
        ({"num_threads": True}, r"num_threads=True"),
        ({"render_mode": "ascii"}, r"render_mode='ascii'.*rgb_array"),
        ({"render_mode": "human"}, r"render_mode='human'"),
        ({"render_mode": "rgb_array", "camera_name": "sky"}, r"camera.*'sky'.*fixedfar"),
        ({"render_mode": "rgb_array", "width": 0}, r"width"),
        ({"render_mode": "rgb_array", "height": -5}, r"height"),
    ],
)
def test_wrong_arguments_of_vector_environments(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        safety_gym.make_vec(GOAL, num_envs=2, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"render_mode": "ascii"}, r"render_mode='ascii'"),
        ({"render_mode": "rgb_array", "camera_name": "sky"}, r"camera.*'sky'.*fixedfar"),
        ({"render_mode": "rgb_array", "width": 0}, r"width"),
        ({"render_mode": "rgb_array", "height": 2.5}, r"height"),
    ],
)
def test_wrong_pictures_of_single_environments(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        safety_gym.make(GOAL, **options)


@pytest.mark.parametrize("ids", [[4], [-1], "all", [0.5]])
def test_place_in_simulations_that_do_not_exist(ids: Any) -> None:
    envs = gymnasium.make_vec(GOAL, num_envs=4)
    envs.reset(seed=0)
    before = envs.unwrapped.layout
    with pytest.raises((ValueError, IndexError, TypeError), match="ids"):
        envs.unwrapped.place("goal", (0, 0), ids=ids)
    assert envs.unwrapped.layout == before


def test_rendering_without_a_mode_warns() -> None:
    env, envs = single(GOAL), gymnasium.make_vec(GOAL, num_envs=2)
    env.reset(seed=0)
    envs.reset(seed=0)
    for unwrapped in (env.unwrapped, envs.unwrapped):
        with pytest.warns(UserWarning, match="render_mode"):
            assert unwrapped.render() is None


def test_a_failed_make_leaves_nothing_behind() -> None:
    """The next environment is built as if the wrong one had never been asked for."""
    want = single(GOAL).reset(seed=0)[0]
    for _ in range(3):
        with pytest.raises(ValueError, match="hazards"):
            single(GOAL, hazards={"num": -1})
    np.testing.assert_array_equal(single(GOAL).reset(seed=0)[0], want)
