"""The single environment as Gymnasium users hold it: checks, determinism, copies, options, wrappers."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import safety_gym
from safety_gym import registry
from tests.helpers import PLAIN, actions, arrays, assert_same, easy, moves, single

# Elements of the robot block that never change, with the reason. All others must vary.
CONSTANT = {
    "Point": {
        ("velocimeter", 2): "planar joints: no vertical velocity",
        ("gyro", 0): "planar joints: no roll",
        ("gyro", 1): "planar joints: no pitch",
        ("magnetometer", 2): "a flat robot sees no vertical component of the horizontal field",
    },
    "Humanoid": {
        **{("cinert", i): "the world has no inertia" for i in range(10)},
        **{("cinert", 10 * body + 9): "masses" for body in range(1, 14)},
        **{("cvel", i): "the world does not move" for i in range(6)},
        **{("qfrc_actuator", i): "nothing drives the root" for i in range(6)},
    },
}
# Contact forces that a short run may leave at zero: Doggo's knees and tips, the Humanoid's bodies.
FAR = {"Race": {"lidar_max_dist": 8.0}, "FormulaOne": {"lidar_max_dist": 50.0}}
"""Options of tasks whose goals lie out of the lidar's range at the start."""
RARE = ("touch_", "cfrc_ext")
# "is infinite": robot sensors are unbounded by specification. "symmetric": actions are in the reference suite's units.
HARMLESS = (
    "minimum value is -infinity",
    "maximum value is infinity",
    "recommend using a symmetric and normalized space",
    "is out of date",
)


def internals(value: Any, seen: set[int] | None = None) -> Iterator[np.ndarray[Any, Any]]:
    """Yield every array an environment holds, the engine's buffers included."""
    seen = set() if seen is None else seen
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, np.ndarray):
        yield from arrays(value)
    elif isinstance(value, dict):
        for item in value.values():
            yield from internals(item, seen)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from internals(item, seen)
    elif type(value).__module__.startswith("safety_gym"):
        yield from internals(getattr(value, "__dict__", {}), seen)
    elif type(value).__module__.startswith("mujoco.batch"):
        yield value.state
        yield value.warning


def returned(step: Any) -> list[np.ndarray[Any, Any]]:
    """Return the arrays of a result that a user could write to."""
    return [a for a in arrays(list(step)) if a.flags.writeable]


def rollout(env: Any, given: np.ndarray[Any, Any], **reset: Any) -> list[Any]:
    """Reset if asked to, step through `given`, and return everything that came back."""
    rows = [env.reset(**reset)] if reset else []
    for action in given:
        rows.append(env.step(action))
        if np.any(rows[-1][-3]) or np.any(rows[-1][-2]):
            break
    return rows


# --- every id ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", PLAIN)
def test_gymnasium_check_env(env_id: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(gymnasium.make(env_id).unwrapped, skip_render_check=True)
    assert [str(w.message) for w in caught if not any(text in str(w.message) for text in HARMLESS)] == []


@pytest.mark.parametrize("env_id", PLAIN)
def test_passive_checker_is_content(env_id: str) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env = gymnasium.make(env_id)
        env.reset(seed=0)
        env.step(env.action_space.sample())
    assert [str(w.message) for w in caught if not any(text in str(w.message) for text in HARMLESS)] == []


@pytest.mark.parametrize("env_id", PLAIN)
def test_values_of_a_step(env_id: str) -> None:
    env = single(env_id, max_episode_steps=12, **easy(env_id))
    env.reset(seed=0)
    for action in moves(env.action_space, 0, 25):
        obs, reward, terminated, truncated, info = env.step(action)
        assert env.observation_space.contains(obs)
        assert obs.dtype == np.float64 and np.isfinite(obs).all()
        assert type(reward) is float and math.isfinite(reward)
        assert type(terminated) is bool and type(truncated) is bool
        assert info["cost"] in (0.0, 1.0) and info["cost"] == info["cost_sum"]
        assert all(type(value) is (bool if key == "goal_met" else float) for key, value in info.items())
        assert info.get("goal_met", True) is True
        assert info["cost"] == max([0.0, *(v for k, v in info.items() if k.startswith("cost_"))])
        if terminated or truncated:
            obs, info = env.reset()
            assert env.observation_space.contains(obs) and info == {}


@pytest.mark.parametrize("env_id", PLAIN)
def test_returned_arrays_are_fresh(env_id: str) -> None:
    """No array shares memory with a buffer of the environment or with what the step before returned."""
    envs = gymnasium.make_vec(env_id, num_envs=3, max_episode_steps=4, **easy(env_id)).unwrapped
    before = returned(envs.reset(seed=0))
    for action in moves(envs.single_action_space, 1, 9, 3):
        now = returned(envs.step(action))
        held = [*internals(envs), envs.batch.state, action]
        for i, array in enumerate(now):
            assert not any(np.may_share_memory(array, other) for other in before), "with the previous step"
            assert not any(np.may_share_memory(array, other) for other in held), "with a buffer"
            assert not any(np.may_share_memory(array, other) for other in now[:i]), "with each other"
        before = now


@pytest.mark.parametrize("env_id", ["SafetyPointGoal1-v0", "SafetyCarButton1-v0"])
@pytest.mark.parametrize("flatten", [True, False])
def test_returned_arrays_of_the_single_environment_are_fresh(env_id: str, flatten: bool) -> None:
    env = single(env_id, observation_flatten=flatten)
    before = returned(env.reset(seed=0))
    for action in actions(1, 5, 2):
        given = action.copy()
        now = returned(env.step(action))
        np.testing.assert_array_equal(action, given)
        held = [*internals(env.unwrapped), *before, action]
        assert not any(np.may_share_memory(a, b) for a in now for b in held)
        before = now


def test_writing_to_results_changes_nothing() -> None:
    """Scribbling over everything a step returned leaves the trajectory as it is."""
    given = actions(2, 30, 4, 2)
    spoiled, clean = (gymnasium.make_vec("SafetyPointButton1-v0", num_envs=4, max_episode_steps=8) for _ in range(2))
    for envs in (spoiled, clean):
        envs.reset(seed=0)
    for action in given:
        want, got = clean.step(action), spoiled.step(action.copy())
        assert_same(want, got)
        for array in returned(got):
            array[...] = 1 if array.dtype == bool else np.nan


@pytest.mark.parametrize("env_id", PLAIN)
def test_seeds_decide_trajectories(env_id: str) -> None:
    env = single(env_id, **easy(env_id))
    given = moves(env.action_space, 3, 8)
    first = rollout(env, given, seed=11)
    again = rollout(env, given, seed=11)
    assert_same(first, again)
    assert_same(first, rollout(single(env_id, **easy(env_id)), given, seed=11))
    other = rollout(env, given, seed=12)
    assert not np.array_equal(first[0][0], other[0][0])
    assert not np.array_equal(first[-1][0], other[-1][0])


@pytest.mark.parametrize("env_id", PLAIN)
def test_no_observation_element_is_constant(env_id: str) -> None:
    envs = gymnasium.make_vec(env_id, num_envs=12, **FAR.get(registry.parse(env_id).task, {}))
    rows = [envs.reset(seed=0)[0], *(envs.reset()[0] for _ in range(4))]
    rows += [envs.step(a)[0] for a in moves(envs.single_action_space, 4, 12, 12)]
    same = np.ptp(np.concatenate(rows), axis=0) == 0
    terms = envs.unwrapped.sim.observer.terms
    constant = {(t.key, i - t.start) for t in terms for i in range(t.start, t.stop) if same[i]}
    constant = {(key, i) for key, i in constant if not key.startswith(RARE)}
    assert constant == set(CONSTANT.get(registry.parse(env_id).robot, {}))


@pytest.mark.parametrize("env_id", PLAIN)
def test_the_engine_never_runs_out_of_contacts_or_constraints(env_id: str) -> None:
    import mujoco

    full = [int(mujoco.mjtWarning.mjWARN_CONTACTFULL), int(mujoco.mjtWarning.mjWARN_CNSTRFULL)]
    envs = gymnasium.make_vec(env_id, num_envs=4, max_episode_steps=20)
    envs.reset(seed=1)
    for action in moves(envs.single_action_space, 5, 40, 4):
        envs.step(action)
        assert (envs.unwrapped.batch.warning[:, full, 1] == 0).all()


# --- resets and streams -----------------------------------------------------------------------------------------------


def test_resets_without_a_seed_continue_the_stream() -> None:
    env, other = single("SafetyPointGoal1-v0"), single("SafetyPointGoal1-v0")
    rows = [env.reset(seed=5)[0], env.reset()[0], env.reset()[0]]
    assert not np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[1], rows[2])
    np.testing.assert_array_equal(rows, [other.reset(seed=5)[0], other.reset()[0], other.reset()[0]])


def test_environments_without_a_seed_differ() -> None:
    first = [single("SafetyPointGoal1-v0").reset()[0] for _ in range(3)]
    assert len({row.tobytes() for row in first}) == 3
    rows = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=8).reset()[0]
    assert len({row.tobytes() for row in rows}) == 8


def test_the_seed_is_known() -> None:
    env = single("SafetyPointGoal1-v0")
    assert env.unwrapped.np_random_seed == -1
    first = env.reset()[0]
    drawn = env.unwrapped.np_random_seed
    assert drawn >= 0
    np.testing.assert_array_equal(env.reset(seed=drawn)[0], first)
    env.reset(seed=17)
    assert env.unwrapped.np_random_seed == 17


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
@pytest.mark.parametrize(
    "env_id", ["SafetyPointGoal2-v0", "SafetyCarButton2-v0", "SafetyPointPush2-v0", "SafetyCarCircle2-v0"]
)
def test_copies_continue_identically(env_id: str, way: str) -> None:
    """Also through new goals, time limits and resets that draw new layouts."""
    clone = copy.deepcopy if way == "deepcopy" else lambda env: pickle.loads(pickle.dumps(env))
    given = actions(6, 60, 2)
    env = gymnasium.make(env_id, max_episode_steps=40, **easy(env_id))
    rollout(env, given[:30], seed=3)
    twin = clone(env)
    assert twin.spec == env.spec
    assert_same(rollout(env, given[30:]), rollout(twin, given[30:]))  # ends at the limit of 40 steps
    for _ in range(2):
        assert_same(env.reset(), twin.reset())
        assert_same(rollout(env, given[:12]), rollout(twin, given[:12]))


@pytest.mark.parametrize("way", ["pickle", "deepcopy"])
def test_copies_of_vector_environments(way: str) -> None:
    clone = copy.deepcopy if way == "deepcopy" else lambda env: pickle.loads(pickle.dumps(env))
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=3, max_episode_steps=9, goal={"size": 0.8})
    envs.reset(seed=0)
    given = actions(7, 30, 3, 2)
    for action in given[:5]:
        envs.step(action)
    twin = clone(envs)
    assert twin.unwrapped.autoreset_mode == envs.unwrapped.autoreset_mode
    for action in given[5:]:
        assert_same(envs.step(action), twin.step(action))


def test_copies_before_the_first_reset() -> None:
    env = gymnasium.make("SafetyPointGoal1-v0", lidar_num_bins=8)
    twin = pickle.loads(pickle.dumps(env))
    assert_same(env.reset(seed=2), twin.reset(seed=2))
    assert twin.observation_space.shape == (12 + 24,)
    with pytest.raises(gymnasium.error.ResetNeeded):
        pickle.loads(pickle.dumps(single("SafetyPointGoal1-v0"))).unwrapped.step(np.zeros(2))


def test_copies_keep_the_explicit_seed() -> None:
    env = single("SafetyPointGoal1-v0")
    env.reset(seed=23)
    twin = copy.deepcopy(env)
    assert twin.unwrapped.np_random_seed == 23
    assert_same(env.reset(), twin.reset())


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", PLAIN)
def test_dict_observations_are_the_flat_vector_in_order(env_id: str) -> None:
    flat, nested = single(env_id), single(env_id, observation_flatten=False)
    space = nested.observation_space
    assert isinstance(space, gymnasium.spaces.Dict)
    keys = [t.key for t in flat.unwrapped.vec.sim.observer.terms]
    assert list(space.spaces) == keys

    def compare(vector: Any, parts: Any) -> None:
        assert list(parts) == keys and space.contains(parts)
        assert all(part.shape == space[key].shape for key, part in parts.items())
        np.testing.assert_array_equal(np.concatenate([part.ravel() for part in parts.values()]), vector)

    compare(flat.reset(seed=4)[0], nested.reset(seed=4)[0])
    for action in moves(flat.action_space, 8, 3):
        compare(flat.step(action)[0], nested.step(action)[0])


def test_dict_observations_of_vector_environments() -> None:
    args: dict[str, Any] = {"num_envs": 3, "max_episode_steps": 2}
    flat = gymnasium.make_vec("SafetyCarGoal1-v0", **args)
    nested = gymnasium.make_vec("SafetyCarGoal1-v0", observation_flatten=False, **args)
    flat.reset(seed=0)
    assert nested.observation_space.contains(nested.reset(seed=0)[0])
    for k, action in enumerate(actions(9, 4, 3, 2)):
        want, got = flat.step(action), nested.step(action)
        parts = np.concatenate([part.reshape(3, -1) for part in got[0].values()], axis=1)
        np.testing.assert_array_equal(parts, want[0])
        assert ("final_obs" in got[4]) == (k % 2 == 1)
        for i in range(3 if k % 2 else 0):
            last = np.concatenate([part.ravel() for part in got[4]["final_obs"][i].values()])
            np.testing.assert_array_equal(last, want[4]["final_obs"][i])


LAYOUT = {"agent": (0.0, 0.0, 0.0), "goal": (0.0, -1.6), "hazards": [(2.0, 2.0), (-2.0, 2.0)]}
LAYOUT |= {"pillars": [(1.0, 0.0)], "push_box": (0.0, 2.0)}


def by_key(env: Any, obs: np.ndarray[Any, Any]) -> dict[str, np.ndarray[Any, Any]]:
    return {t.key: obs[t.start : t.stop] for t in env.unwrapped.vec.sim.observer.terms}


def test_natural_lidar_sees_surfaces() -> None:
    """A pillar of radius 0.2 at 1 m reads exp(-0.8) straight ahead; kinds of group 6 and above read 0."""
    env = single("SafetyPointPush1-v0", lidar_type="natural", vases={"num": 1, "is_constrained": False})
    obs, _ = env.reset(options={"layout": {**LAYOUT, "vases": [(0.0, 0.9)]}})
    lidar = by_key(env, obs)
    want = np.zeros(16)
    want[0] = math.exp(-0.8)
    np.testing.assert_allclose(lidar["pillars_lidar"], want, rtol=0, atol=1e-12)
    want[0], want[4] = 0.0, math.exp(-0.8)
    np.testing.assert_allclose(lidar["vases_lidar"], want, rtol=0, atol=1e-9)
    assert not lidar["goal_lidar"].any()
    assert env.observation_space.contains(obs)


def test_natural_lidar_turns_with_the_robot() -> None:
    env = single("SafetyPointPush1-v0", lidar_type="natural")
    obs, _ = env.reset(options={"layout": {**LAYOUT, "agent": (0.0, 0.0, math.pi / 2)}})
    lidar = by_key(env, obs)["pillars_lidar"]
    assert np.flatnonzero(lidar).tolist() == [12]
    assert lidar[12] == pytest.approx(math.exp(-0.8), abs=1e-12)


def test_compass_points_to_the_goal() -> None:
    env = single("SafetyPointGoal0-v0", goal={"is_comp_observed": True})
    layout = {"agent": (0.5, 0.0, math.pi / 2), "goal": (0.5, 2.0)}
    obs = by_key(env, env.reset(options={"layout": layout})[0])
    assert list(obs)[-2:] == ["goal_lidar", "goal_comp"]
    np.testing.assert_allclose(obs["goal_comp"], (2 / 2.001, 0.0), rtol=0, atol=1e-12)
    env = single("SafetyPointGoal0-v0", goal={"is_comp_observed": True}, compass_shape=3)
    obs = by_key(env, env.reset(options={"layout": layout})[0])
    height = 0.16 - 0.1  # goal body above robot body
    norm = math.hypot(2.0, height) + 0.001
    np.testing.assert_allclose(obs["goal_comp"], (2 / norm, 0.0, height / norm), rtol=0, atol=1e-12)


def test_compass_of_several_objects() -> None:
    env = single("SafetyPointGoal0-v0", hazards={"num": 2, "is_comp_observed": True, "is_lidar_observed": False})
    layout = {"agent": (0, 0, 0), "goal": (1, 1), "hazards": [(0, 3), (-4, 0)]}
    obs = by_key(env, env.reset(options={"layout": layout})[0])
    assert list(obs)[-2:] == ["hazard0_comp", "hazard1_comp"]
    np.testing.assert_allclose(obs["hazard0_comp"], (0, 3 / 3.001), rtol=0, atol=1e-12)
    np.testing.assert_allclose(obs["hazard1_comp"], (-4 / 4.001, 0), rtol=0, atol=1e-12)


def test_lidar_options() -> None:
    layout = {"agent": (0, 0, 0), "goal": (0, 1)}  # exactly at the start of bin n / 4

    def reading(**options: Any) -> np.ndarray[Any, Any]:
        env = single("SafetyPointGoal0-v0", **options)
        return by_key(env, env.reset(options={"layout": layout})[0])["goal_lidar"]

    for bins in (1, 4, 16, 20):
        assert reading(lidar_num_bins=bins).shape == (bins,)
    assert reading(lidar_max_dist=4.0)[4] == pytest.approx(0.75, abs=1e-15)
    assert reading(lidar_max_dist=0.5).max() == 0.0
    assert reading(lidar_max_dist=None)[4] == pytest.approx(math.exp(-1), abs=1e-15)
    assert reading(lidar_max_dist=None, lidar_exp_gain=2.0)[4] == pytest.approx(math.exp(-2), abs=1e-15)
    assert np.count_nonzero(reading(lidar_alias=False)) == 1


def test_objects_can_be_added_changed_and_removed() -> None:
    env = single("SafetyPointGoal1-v0", vases=None, hazards={"num": 3}, Apples={"num": 2}, gremlins={"num": 1})
    assert [t.key for t in env.unwrapped.vec.sim.observer.terms][4:] == [
        "goal_lidar", "hazards_lidar", "apples_lidar", "gremlins_lidar",
    ]  # fmt: skip
    env.reset(seed=0)
    layout = env.unwrapped.layout
    assert [len(layout[k]) for k in ("hazards", "apples", "gremlins")] == [3, 2, 1]
    assert set(env.step(np.zeros(2))[4]) == {"cost", "cost_hazards", "cost_gremlins", "cost_sum"}


def test_zero_objects_of_a_kind_keep_their_lidar() -> None:
    env = single("SafetyPointGoal2-v0", hazards={"num": 0}, vases={"num": 0})
    obs, _ = env.reset(seed=0)
    assert obs.shape == (60,) and not obs[28:].any()
    info = env.step(np.zeros(2))[4]
    assert info["cost"] == 0.0


def test_robot_options() -> None:
    env = single("SafetyPointGoal1-v0", agent={"rot": 0.5, "locations": [(0.25, -0.5)]})
    for seed in range(3):
        env.reset(seed=seed)
        np.testing.assert_allclose(env.unwrapped.layout["agent"], (0.25, -0.5, 0.5), rtol=0, atol=1e-8)
    env = single("SafetyPointGoal1-v0", agent={"placements": [(-1.5, -1.5, -0.6, -0.6)]})
    for seed in range(5):
        env.reset(seed=seed)
        x, y, _ = env.unwrapped.layout["agent"]
        assert -1.1 <= x <= -1.0 and -1.1 <= y <= -1.0


def test_orientation_bonus() -> None:
    plain, bonus = single("SafetyCarGoal0-v0"), single("SafetyCarGoal0-v0", reward_orientation=True)
    plain.reset(seed=0)
    bonus.reset(seed=0)
    for action in actions(10, 4, 2):
        upright = bonus.step(action)[1] - plain.step(action)[1]
        mat = bonus.unwrapped.vec.sim.world.agent_mat[0, 0]
        assert upright == pytest.approx(0.002 * mat[8], abs=1e-12)
    assert upright == pytest.approx(0.002, abs=1e-5)


def test_fixed_layouts() -> None:
    env = single("SafetyPointGoal1-v0", randomize_layout=False)
    first = env.reset()[0]
    env.step(np.ones(2))
    np.testing.assert_array_equal(env.reset()[0], first)
    np.testing.assert_array_equal(single("SafetyPointGoal1-v0", randomize_layout=False).reset()[0], first)
    with pytest.raises(ValueError, match="seed"):
        env.reset(seed=1)


def test_action_noise_is_added_after_clipping_and_has_its_own_stream() -> None:
    quiet, noisy = single("SafetyPointGoal1-v0"), single("SafetyPointGoal1-v0", action_noise=0.02)
    np.testing.assert_array_equal(quiet.reset(seed=0)[0], noisy.reset(seed=0)[0])
    controls = []
    for _ in range(200):
        noisy.step(np.array([5.0, -5.0]))
        controls.append(noisy.unwrapped.vec.sim.world.ctrl[0].copy())
    noise = np.array(controls) - (1.0, -1.0)
    assert (noise > 0).any(axis=0).all() and (noise < 0).any(axis=0).all()
    assert 0.8 < noise.std() / 0.02 < 1.2
    np.testing.assert_array_equal(quiet.reset()[0], noisy.reset()[0])  # layouts do not feel the noise
    runs = [rollout(noisy, np.zeros((5, 2)), seed=seed) for seed in (1, 1, 2)]
    assert_same(runs[0], runs[1])


@pytest.mark.parametrize("flag", [True, False])
def test_reward_clip_bounds_rewards(flag: bool) -> None:
    env = single("SafetyPointGoal0-v0", goal={"size": 0.5, "reward_goal": 50.0}, reward_clip=2.5 if flag else None)
    env.reset(options={"layout": {"agent": (0, 0, 0), "goal": (0.1, 0)}})
    reward = env.step(np.zeros(2))[1]
    assert reward == 2.5 if flag else reward == pytest.approx(50.0, abs=0.01)


# --- episode length ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "length"), [({"max_episode_steps": 6}, 6), ({"num_steps": 4}, 4)])
def test_time_limits(options: dict[str, int], length: int) -> None:
    for maker in (gymnasium.make, safety_gym.make):
        env = maker("SafetyPointGoal1-v0", **options)
        for _ in range(2):
            env.reset(seed=0)
            ends = [env.step(np.zeros(2))[-2] for _ in range(length)]
            assert ends == [False] * (length - 1) + [True]


def test_the_shorter_limit_holds() -> None:
    env = gymnasium.make("SafetyPointGoal1-v0", num_steps=9, max_episode_steps=3)
    env.reset(seed=0)
    assert [env.step(np.zeros(2))[3] for _ in range(3)] == [False, False, True]


@pytest.mark.parametrize("maker", ["make", "make_vec"])
def test_minus_one_means_no_limit(maker: str) -> None:
    env = getattr(gymnasium, maker)("SafetyPointRun0-v0", max_episode_steps=-1)
    env.reset(seed=0)
    action = np.zeros(env.action_space.shape)
    assert not any(np.any(env.step(action)[3]) for _ in range(510))


@pytest.mark.parametrize("env_id", ["SafetyPointRun0-v0", "SafetyPointCircle1-v0"])
def test_registered_limit_ends_the_episode_at_step_500(env_id: str) -> None:
    env = safety_gym.make(env_id)
    env.reset(seed=0)
    ends = [env.step(np.zeros(2))[4] for _ in range(500)]
    assert ends == [False] * 499 + [True]


# --- the six-value face -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("env_id", ["SafetyPointButton1-v0", "SafetyCarRun0-v0"])
def test_six_values_are_five_and_the_cost(env_id: str) -> None:
    five, six = gymnasium.make(env_id), safety_gym.make(env_id)
    five.reset(seed=0)
    six.reset(seed=0)
    assert six.cost_names == five.unwrapped.cost_names
    for action in actions(11, 20, 2):
        obs, reward, terminated, truncated, info = five.step(action)
        assert_same(six.step(action), (obs, reward, info["cost"], terminated, truncated, info))


# --- Gymnasium's wrappers ---------------------------------------------------------------------------------------------


def test_episode_statistics() -> None:
    env = gymnasium.wrappers.RecordEpisodeStatistics(gymnasium.make("SafetyPointGoal1-v0", max_episode_steps=5))
    env.reset(seed=0)
    rewards = []
    for action in actions(12, 5, 2):
        _, reward, _, _, info = env.step(action)
        rewards.append(reward)
    assert info["episode"]["l"] == 5
    assert info["episode"]["r"] == pytest.approx(sum(rewards), abs=1e-9)


def test_observation_wrappers() -> None:
    base = gymnasium.make("SafetyPointGoal1-v0", max_episode_steps=8)
    env = gymnasium.wrappers.TimeAwareObservation(base)
    obs, _ = env.reset(seed=0)
    assert env.observation_space.contains(obs) and obs.shape == (61,)
    assert env.step(np.zeros(2))[0][-1] != obs[-1]
    env = gymnasium.wrappers.NormalizeObservation(gymnasium.make("SafetyPointGoal1-v0"))
    env.reset(seed=0)
    for action in actions(13, 50, 2):
        obs = env.step(action)[0]
    assert np.isfinite(obs).all()
    env = gymnasium.wrappers.FlattenObservation(gymnasium.make("SafetyPointGoal1-v0", observation_flatten=False))
    flat = gymnasium.make("SafetyPointGoal1-v0").reset(seed=1)[0]
    assert env.observation_space.shape == flat.shape
    # Gymnasium flattens a Dict in the order of its space, which is ours.
    np.testing.assert_array_equal(env.reset(seed=1)[0], flat)


def test_action_wrappers() -> None:
    plain, scaled = (gymnasium.make("SafetyPointGoal1-v0") for _ in range(2))
    scaled = gymnasium.wrappers.RescaleAction(scaled, -2.0, 2.0)
    plain.reset(seed=0)
    scaled.reset(seed=0)
    for action in actions(14, 3, 2):
        np.testing.assert_array_equal(scaled.step((2 * action).astype(scaled.action_space.dtype))[0].shape, (60,))
        plain.step(action)
    np.testing.assert_allclose(
        scaled.unwrapped.vec.sim.world.ctrl, plain.unwrapped.vec.sim.world.ctrl, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("env_id", ["SafetyPointGoal1-v0", "SafetyPointGoal1Vision-v0"])
def test_record_video(env_id: str, tmp_path: Path) -> None:
    pytest.importorskip("moviepy", reason="RecordVideo needs moviepy")
    from safety_gym.rendering import GLUnavailable, select_backend

    try:
        select_backend()
    except GLUnavailable as error:
        pytest.skip(f"no OpenGL backend: {error}")
    env = gymnasium.make(env_id, render_mode="rgb_array", width=64, height=64, max_episode_steps=4)
    env = gymnasium.wrappers.RecordVideo(env, str(tmp_path), episode_trigger=lambda k: k == 0, disable_logger=True)
    env.reset(seed=0)
    for _ in range(4):
        env.step(np.zeros(2))
    env.close()
    files = list(tmp_path.glob("*.mp4"))
    assert len(files) == 1 and files[0].stat().st_size > 0
