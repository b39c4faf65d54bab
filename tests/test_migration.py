"""Code written for the reference suite: client programs with its recorded results, and the faces they use."""

from __future__ import annotations

import copy
import importlib
import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import safety_gym as safety_gymnasium
from safety_gym import registry
from safety_gym.builder import Builder
from safety_gym.rendering import GLUnavailable, select_backend
from safety_gym.utils import registration
from safety_gym.vector import SafetyAsyncVectorEnv, SafetySyncVectorEnv
from safety_gym.wrappers import CostStep, SafeAutoResetWrapper
from tests.clients import record
from tests.helpers import PLAIN, actions, assert_same, easy

GOAL = "SafetyPointGoal1-v0"
RECORDED = json.loads((Path(record.FOLDER) / "reference.json").read_text())
NAVIGATION = [i for i in PLAIN if registry.parse(i).task != registry.VELOCITY]
RICHEST = [i for i in NAVIGATION if i.endswith(("2-v0", "Run0-v0"))]
"""The level with the most objects of each task and robot."""


# --- client programs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", record.names())
def test_client_programs_return_what_they_return_in_the_reference_suite(name: str) -> None:
    if name == "record_frames":
        try:
            select_backend()
        except GLUnavailable as error:
            pytest.skip(f"no OpenGL backend: {error}")
    client = importlib.import_module(f"tests.clients.{name}")
    assert record.plain(client.main()) == RECORDED[name]


@pytest.fixture(autouse=True)
def clean_registry() -> Iterator[None]:
    """Forget what a test registered."""
    before, mine = dict(gymnasium.registry), dict(registration._autoreset)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)
    registration._autoreset.clear()
    registration._autoreset.update(mine)


# --- make -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", ["SafetyCarGoal2-v0", "SafetyHopperVelocity-v1"])
def test_autoreset_is_stepping_and_resetting_by_hand(env_id: str) -> None:
    auto, hand = (safety_gymnasium.make(id=env_id, max_episode_steps=4, autoreset=flag) for flag in (True, False))
    assert_same(auto.reset(seed=3), hand.reset(seed=3))
    for action in actions(0, 9, *auto.action_space.shape):
        obs, reward, cost, terminated, truncated, info = hand.step(action)
        got = auto.step(action)
        assert_same(got[1:5], (reward, cost, terminated, truncated))
        if terminated or truncated:
            assert_same(got[5]["final_observation"], obs)
            assert_same(got[5]["final_info"], info)
            obs, info = hand.reset()
            assert set(got[5]) - set(info) == {"final_observation", "final_info"}
        assert_same(got[0], obs)


def test_make_takes_what_the_reference_takes() -> None:
    env = safety_gymnasium.make(
        GOAL, 7, None, None, True, render_mode=None, width=64, height=32, camera_name="track", camera_id=None
    )
    assert isinstance(env, CostStep) and env.spec.max_episode_steps == 7
    again = safety_gymnasium.make(env.spec)
    assert again.spec.max_episode_steps == 7 and len(again.spec.additional_wrappers) == 1
    assert_same(env.reset(seed=0), again.reset(seed=0))
    with pytest.raises(ValueError, match="camera_name"):
        safety_gymnasium.make(GOAL, camera_id=1)
    with pytest.raises(ValueError, match="apply_api_compatibility"):
        safety_gymnasium.make(GOAL, apply_api_compatibility=True)
    with pytest.raises(ValueError, match="did you mean 'SafetyPointGoal1-v0'"):
        safety_gymnasium.make("SafetyPointGaol1-v0")
    with pytest.raises(ValueError, match="CartPole"):
        safety_gymnasium.make("CartPole-v1")


def test_names_of_the_reference_suite_are_there() -> None:
    assert safety_gymnasium.gymnasium_make is gymnasium.make
    assert safety_gymnasium.gymnasium_register is gymnasium.register
    for module, names in {
        "safety_gym.vector.async_vector_env": ["SafetyAsyncVectorEnv"],
        "safety_gym.vector.sync_vector_env": ["SafetySyncVectorEnv"],
        "safety_gym.utils.registration": ["make", "register", "safe_registry", "spec", "namespace"],
    }.items():
        assert all(hasattr(importlib.import_module(module), name) for name in names)
    with pytest.raises(ImportError):
        from safety_gym.utils.registration import nothing  # type: ignore[attr-defined]  # noqa: F401


# --- register ---------------------------------------------------------------------------------------------------------


def corridor(**kwargs: Any) -> Any:
    """An entry point as a function."""
    return importlib.import_module("tests.clients.custom_registration").Corridor(**kwargs)


@pytest.mark.parametrize("entry_point", [corridor, "tests.clients.custom_registration:Corridor"])
def test_register_makes_the_id_and_its_gymnasium_twin(entry_point: Any) -> None:
    safety_gymnasium.register(id="my/Lane-v3", entry_point=entry_point, kwargs={"limit": 0.2}, max_episode_steps=2)
    assert "my/Lane-v3" in registration.safe_registry
    six = safety_gymnasium.make("my/Lane-v3")
    six.reset(seed=0)
    assert six.step(np.array([0.5]))[2:5] == (1.0, False, False)
    assert six.limit == 0.2
    for name in ("my/LaneGymnasium-v3", "my/Lane-v3"):
        five = gymnasium.make(name, limit=0.9)
        five.reset(seed=0)
        _, reward, terminated, truncated, info = five.step(np.array([0.5]))
        assert (reward, terminated, truncated, info["cost"]) == (0.5, False, False, 0.0)
    assert pickle.loads(pickle.dumps(gymnasium.spec("my/Lane-v3"))).kwargs == {"limit": 0.2}


def test_register_refuses() -> None:
    for taken in (GOAL, "SafetyPointGoal1Gymnasium-v0", "CartPole-v1"):
        with pytest.raises(ValueError, match="exists already"):
            safety_gymnasium.register(id=taken, entry_point=corridor)
    with pytest.raises(ValueError, match="apply_api_compatibility"):
        safety_gymnasium.register(id="Lane-v0", entry_point=corridor, apply_api_compatibility=True)
    safety_gymnasium.register(id="Five-v0", entry_point="gymnasium.envs.classic_control:CartPoleEnv")
    env = safety_gymnasium.make("Five-v0")
    env.reset()
    with pytest.raises(ValueError, match="5 values"):
        env.step(0)


def test_registered_autoreset_is_the_default_of_make() -> None:
    safety_gymnasium.register(id="Lane-v0", entry_point=corridor, autoreset=True, max_episode_steps=1)
    env = safety_gymnasium.make("Lane-v0")
    assert isinstance(env, SafeAutoResetWrapper)
    env.reset(seed=0)
    obs, _, _, _, truncated, info = env.step(np.array([0.5]))
    assert (obs, truncated, info["final_observation"]) == (0.0, True, 0.5)
    assert isinstance(safety_gymnasium.make("Lane-v0", autoreset=False), CostStep)


def test_builder_entry_points_of_the_reference_suite() -> None:
    config = {
        "agent_name": "Point",
        "lidar_conf.num_bins": 8,
        "Hazards": {"num": 1, "size": 0.7, "locations": [(0, 0)], "is_constrained": True, "keepout": 0.705},
        "Goal": {"keepout": 0.305, "size": 0.3, "locations": [(1.1, 1.1)]},
    }
    safety_gymnasium.register(
        id="SafetyPointPit-v0",
        entry_point="safety_gymnasium.builder:Builder",
        kwargs={"config": config, "task_id": "SafetyPointGoalBase-v0"},
        max_episode_steps=3,
    )
    made = safety_gymnasium.make("SafetyPointPit-v0")
    assert_same(made.reset(seed=0), Builder("SafetyPointGoalBase-v0", config).reset(seed=0))
    np.testing.assert_allclose(made.task.goal.pos[:2], (1.1, 1.1), rtol=0, atol=1e-8)
    assert [made.step(np.zeros(2))[4] for _ in range(3)] == [False, False, True]


# --- vector environments ----------------------------------------------------------------------------------------------


def make_vector(form: str, env_id: str, **options: Any) -> Any:
    """Return three environments in one of the forms; all of them do the same."""
    if form in ("sync", "async"):
        return (SafetySyncVectorEnv if form == "sync" else SafetyAsyncVectorEnv)(
            [lambda: safety_gymnasium.make(env_id, **options)] * 3
        )
    wrappers = [] if form == "no wrappers" else None
    asynchronous = form != "wrapped"
    if form == "wrapped":
        wrappers = [lambda env: gymnasium.Wrapper(env)]
    return safety_gymnasium.vector.make(
        env_id=env_id, num_envs=3, asynchronous=asynchronous, wrappers=wrappers, autoreset=True, **options
    )


@pytest.mark.parametrize("form", ["native", "no wrappers", "wrapped", "sync", "async"])
def test_vector_environments_are_single_ones_with_autoreset(form: str) -> None:
    """Bit for bit, with episodes that end at different times, in every form there is."""
    options = {"continue_goal": False, "goal": {"size": 0.8}}
    envs = make_vector(form, GOAL, max_episode_steps=9, **options)
    singles = [safety_gymnasium.make(GOAL, autoreset=True, max_episode_steps=9, **options) for _ in range(3)]
    assert envs.num_envs == 3 and envs.is_vector_env
    assert envs.single_observation_space == singles[0].observation_space
    assert envs.single_action_space == singles[0].action_space
    assert_same(envs.reset(seed=5)[0], np.stack([env.reset(seed=5 + i)[0] for i, env in enumerate(singles)]))
    patterns = set()
    for action in actions(1, 40, 3, 2):
        *batch, info = envs.step(action)
        rows = [env.step(a) for env, a in zip(singles, action, strict=True)]
        assert_same(batch, [np.stack([row[k] for row in rows]) for k in range(5)])
        over = np.array([row[3] or row[4] for row in rows])
        patterns.add(tuple(over.tolist()))
        assert ("final_observation" in info) == ("final_info" in info) == over.any()
        for i in np.flatnonzero(over):
            assert_same(info["final_observation"][i], rows[i][5]["final_observation"])
            assert_same(info["final_info"][i], rows[i][5]["final_info"])
        if over.any():
            for key in ("final_observation", "final_info"):
                assert info[f"_{key}"].tolist() == over.tolist()
                assert [x is None for x in info[key]] == (~over).tolist()
    envs.close()
    assert len(patterns) >= 4, "too few ways for episodes to end"


@pytest.mark.parametrize("form", ["native", "sync"])
def test_final_infos_lack_what_the_single_environment_lacks(form: str) -> None:
    """No `cost_buttons` while the timer runs, which is for ten steps."""
    envs = make_vector(form, "SafetyPointButton1-v0", max_episode_steps=4)
    single = safety_gymnasium.make("SafetyPointButton1-v0")
    envs.reset(seed=0)
    single.reset(seed=0)
    for _ in range(4):
        info, alone = envs.step(np.zeros((3, 2)))[5], single.step(np.zeros(2))[5]
    assert "cost_buttons" not in alone
    assert_same(info["final_info"][0], alone)


def test_pictures_are_tiled_in_rows() -> None:
    """Five frames of 2 x 3 pixels with a border of five: three rows, two columns, the last place black."""

    class Painted(importlib.import_module("tests.clients.custom_registration").Corridor):
        def __init__(self, shade: int) -> None:
            super().__init__(render_mode="rgb_array")
            self.shade = shade

        def render(self) -> Any:
            return np.full((2, 3, 3), self.shade, np.uint8)

    envs = SafetySyncVectorEnv([lambda i=i: Painted(i) for i in range(1, 6)])
    picture = envs.render()
    assert picture.shape == (3 * 12, 2 * 13, 3) and picture.dtype == np.uint8
    assert picture[6::12, 6::13, 0].tolist() == [[1, 2], [3, 4], [5, 0]]
    assert np.count_nonzero(picture) == 5 * 2 * 3 * 3


def test_final_observations_are_copies_of_final_obs() -> None:
    envs = safety_gymnasium.vector.make(GOAL, num_envs=2, max_episode_steps=1)
    envs.reset(seed=0)
    info = envs.step(np.zeros((2, 2)))[5]
    assert_same(np.stack(info["final_observation"]), info["final_obs"])
    assert not np.may_share_memory(info["final_observation"][0], info["final_obs"])
    assert not np.may_share_memory(info["_final_observation"], info["_final_obs"])


def test_final_observations_by_key() -> None:
    envs = safety_gymnasium.vector.make(GOAL, num_envs=2, max_episode_steps=1, observation_flatten=False)
    envs.reset(seed=0)
    final = envs.step(np.zeros((2, 2)))[5]["final_observation"]
    assert [list(x) for x in final] == [list(envs.single_observation_space)] * 2
    assert final[1]["accelerometer"].shape == (3,)


@pytest.mark.parametrize("asynchronous", [True, False])
def test_registered_ids_become_vector_environments(asynchronous: bool) -> None:
    safety_gymnasium.register(id="Lane-v0", entry_point=corridor, max_episode_steps=2)
    envs = safety_gymnasium.vector.make("Lane-v0", num_envs=2, asynchronous=asynchronous, limit=0.25)
    envs.reset(seed=0)
    _, reward, cost, _, truncated, _ = envs.step(np.array([[0.1], [0.5]]))
    assert (reward.tolist(), cost.tolist(), truncated.tolist()) == ([0.1, 0.5], [0.0, 1.0], [False, False])
    _, _, cost, _, truncated, info = envs.step(np.array([[0.5], [0.1]]))
    assert (cost.tolist(), truncated.tolist()) == ([1.0, 0.0], [True, True])
    assert np.stack(info["final_observation"]).tolist() == [[0.6], [0.6]]
    assert info["final_info"][1] == {"speed": 0.1, "cost": 0.0}
    envs.close()


def test_vector_environments_refuse() -> None:
    with pytest.raises(ValueError, match="observation_space"):
        SafetySyncVectorEnv([], observation_space=gymnasium.spaces.Discrete(2))
    with pytest.raises(ValueError, match="colour"):
        safety_gymnasium.vector.make(GOAL, num_envs=2, colour="red")
    with pytest.raises((ValueError, gymnasium.error.NameNotFound), match="SafetyPointGaol1"):
        safety_gymnasium.vector.make("SafetyPointGaol1-v0", num_envs=2)


# --- views of the task ------------------------------------------------------------------------------------------------


def where(env: Any) -> dict[str, Any]:
    """Return the horizontal positions that the views show, in the form of `layout`."""
    task, layout = env.unwrapped.task, env.unwrapped.layout
    shown: dict[str, Any] = {}
    for kind in layout:
        pos = getattr(task, kind).pos
        shown[kind] = [p[:2] for p in pos] if isinstance(pos, list) else pos[:2]
    return shown


def assert_shows_the_layout(env: Any) -> None:
    driven = "gremlins" if hasattr(env.unwrapped.task, "gremlins") else None  # the layout holds their centres
    for kind, points in where(env).items():
        expected = env.unwrapped.layout[kind]
        expected = [p[:2] for p in expected] if isinstance(expected, list) else expected[:2]
        tolerance = 0.5 if kind == driven else 1e-12
        np.testing.assert_allclose(points, expected, rtol=0, atol=tolerance, err_msg=kind)


@pytest.mark.parametrize("env_id", RICHEST)
def test_positions_follow_resets_steps_and_hands(env_id: str) -> None:
    env = safety_gymnasium.make(env_id)
    for seed in (0, 1):
        env.reset(seed=seed)
        assert_shows_the_layout(env)
        for action in actions(seed, 5, *env.action_space.shape):
            env.step(action)
        assert_shows_the_layout(env)
    if hasattr(env.task, "hazards"):
        env.unwrapped.place("hazard1", (0.3, -0.4))
        np.testing.assert_allclose(env.task.hazards.pos[1][:2], (0.3, -0.4), rtol=0, atol=1e-12)
    agent = env.task.agent
    np.testing.assert_allclose(agent.mat @ agent.mat.T, np.eye(3), rtol=0, atol=1e-9)


@pytest.mark.parametrize("env_id", ["SafetyPointGoal1-v0", "SafetyCarButton1-v0", "SafetyPointPush1-v0"])
def test_positions_follow_new_goals(env_id: str) -> None:
    env = safety_gymnasium.make(env_id, **easy(env_id))
    env.reset(seed=0)
    places = {tuple(env.task.goal.pos)}
    met = 0
    for action in actions(2, 60, 2):
        met += env.step(action)[5].get("goal_met", False)
        places.add(tuple(env.task.goal.pos))
        assert_shows_the_layout(env)
    assert met >= 2 and len(places) >= 2


@pytest.mark.parametrize("robot", ["Point", "Car"])
def test_velocity_is_what_a_sensor_in_the_body_frame_measures(robot: str) -> None:
    """The velocimeters of these two sit at the body's origin."""
    env = safety_gymnasium.make(f"Safety{robot}Goal0-v0", observation_flatten=False)
    env.reset(seed=0)
    for action in actions(3, 20, 2):
        obs = env.step(action)[0]
        agent = env.task.agent
        np.testing.assert_allclose(agent.mat.T @ agent.vel, obs["velocimeter"], rtol=0, atol=1e-12)
    assert np.linalg.norm(agent.vel) > 0.05


def test_views_are_copies_and_cannot_be_set() -> None:
    env = safety_gymnasium.make("SafetyPointGoal2-v0")
    env.reset(seed=0)
    env.step(np.ones(2))
    task = env.task
    values = [task.agent.pos, task.agent.vel, task.agent.mat, task.goal.pos, *task.hazards.pos, *task.vases.pos]
    state = env.unwrapped.vec.sim.world.batch.state.copy()
    for value in values:
        value[...] = 17.0
    np.testing.assert_array_equal(env.unwrapped.vec.sim.world.batch.state, state)
    assert not any(np.any(x == 17.0) for x in (task.agent.pos, task.goal.pos, task.hazards.pos, task.vases.pos))
    for view, name in (
        (task, "num_steps"),
        (task, "goal"),
        (task.goal, "pos"),
        (task.goal, "size"),
        (task.hazards, "num"),
        (task.agent, "pos"),
        (task.lidar_conf, "num_bins"),
    ):
        with pytest.raises(AttributeError, match=f"{name} is a read-only view"):
            setattr(view, name, 1.0)


def test_options_are_shown() -> None:
    env = safety_gymnasium.make(GOAL, hazards={"num": 3, "size": 0.1}, lidar_num_bins=12, num_steps=70, margin=0.01)
    task = env.unwrapped.task
    assert (task.hazards.num, task.hazards.size, len(task.hazards.pos), task.hazards.name) == (3, 0.1, 3, "hazards")
    assert (task.lidar_conf.num_bins, task.placements_conf.margin, task.num_steps) == (12, 0.01, 70)
    assert safety_gymnasium.make("SafetyPointCircle1-v0").task.num_steps == 500
    assert {"goal", "hazards", "agent", "lidar_conf"} <= set(dir(task))
    assert list(env.obs_space_dict) == [term.key for term in env.unwrapped.vec.sim.observer.terms]
    assert gymnasium.spaces.flatten_space(env.obs_space_dict) == env.observation_space


def test_what_has_no_view_says_so() -> None:
    env = safety_gymnasium.make("SafetyPointGoal0-v0")
    for name, words in {"hazards": "there are agent, goal", "world_info": "use env.unwrapped.layout"}.items():
        assert not hasattr(env.task, name)
        with pytest.raises(AttributeError, match=words):
            getattr(env.task, name)
    with pytest.raises(AttributeError, match="there are pos, num"):
        env.task.goal.mass
    velocity = safety_gymnasium.make("SafetyHopperVelocity-v1")
    assert not hasattr(velocity, "task") and not hasattr(velocity.unwrapped, "task")
    with pytest.raises(AttributeError, match="SafetyHopperVelocity-v1 has no robot among objects"):
        velocity.task


def test_copies_have_their_own_task() -> None:
    env = safety_gymnasium.make(GOAL, autoreset=True)
    env.reset(seed=0)
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        np.testing.assert_array_equal(twin.task.goal.pos, env.task.goal.pos)
        twin.unwrapped.place("goal", (0.123, 0.456))
        assert not np.array_equal(twin.task.goal.pos, env.task.goal.pos)
