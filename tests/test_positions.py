"""The option `observe_positions`: places of the objects in the robot's frame, against ones computed by hand."""

from __future__ import annotations

import numpy as np
import pytest

import safety_gym
from safepo.envs import VectorEnv
from safepo.errors import UserError
from safepo.view import View

TASKS = ("SafetyPointGoal1-v0", "SafetyCarButton2-v0", "SafetyPointPush1-v0", "SafetyRacecarCircle1-v0")


@pytest.mark.parametrize("env_id", TASKS)
def test_positions_come_after_all_else(env_id: str) -> None:
    plain = safety_gym.make_vec(env_id, num_envs=2)
    more = safety_gym.make_vec(env_id, num_envs=2, observe_positions=True)
    a, b = plain.reset(seed=3)[0], more.reset(seed=3)[0]
    n = a.shape[1]
    np.testing.assert_array_equal(b[:, :n], a)
    for _ in range(5):
        action = plain.action_space.sample()
        a, b = plain.step(action)[0], more.step(action)[0]
        np.testing.assert_array_equal(b[:, :n], a)
    assert more.single_observation_space.contains(b[0])


def test_positions_by_hand() -> None:
    env = safety_gym.make(
        "SafetyPointGoal1-v0", observe_positions=True, observation_flatten=False,
        agent={"locations": ((1.0, 2.0),), "rot": np.pi / 2}, extents=(-4, -4, 4, 4),
        goal={"locations": ((1.0, 3.5),)}, hazards={"num": 2, "locations": ((0.0, 2.0), (2.0, 1.0))},
    )  # fmt: skip
    obs, _ = env.reset(seed=0)
    assert list(obs)[-5:] == [
        "goal_positions",
        "hazards_positions",
        "vases_positions",
        "robot_rotation",
        "robot_position",
    ]
    # The robot looks along the world's y: ahead is +y, left of it is -x.
    np.testing.assert_allclose(obs["goal_positions"], [[1.5, 0.0]], atol=1e-3)
    np.testing.assert_allclose(obs["hazards_positions"], [[0.0, 1.0], [-1.0, -1.0]], atol=1e-3)
    np.testing.assert_allclose(obs["robot_rotation"], [0.0, -1.0], atol=1e-3)
    np.testing.assert_allclose(obs["robot_position"], [1.0, 2.0], atol=1e-3)
    env.close()


def test_training_sees_them_by_name() -> None:
    """The observation of SafeDreamer's vector tasks."""
    keys = ("velocimeter", "accelerometer", "gyro", "magnetometer", "goal_positions", "hazards_positions", "robot_*")
    env = VectorEnv("SafetyPointGoal1-v0", 2, view=View(keys=keys))
    assert env.nobs == 12 + 2 + 16 + 4
    again = VectorEnv("SafetyPointGoal1-v0", 2, view=env.obs.view)
    assert str(again.obs) == str(env.obs)
    np.testing.assert_array_equal(env.reset(0), again.reset(0))
    few = VectorEnv("SafetyPointGoal1-v0", 2, view=View(keys=("!*_lidar",)))
    assert few.nobs == 12
    with pytest.raises(UserError, match="hazard_positions"):
        VectorEnv("SafetyPointGoal1-v0", 2, view=View(keys=("hazard_positions",)))
    for other in (env, again, few):
        other.close()
