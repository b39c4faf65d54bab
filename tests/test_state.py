"""Saving and restoring worlds: exact continuation, plain data, random streams."""

from __future__ import annotations

import json
from typing import Any

import gymnasium
import numpy as np
import pytest

import safety_gym
from tests.helpers import PLAIN, actions, assert_same, easy, moves, single

# Every kind of hidden state: pushed and sleeping vases, boxes and pillars in contact, moving gremlins, button timers.
CASES = [
    "SafetyPointGoal0-v0", "SafetyPointGoal1-v0", "SafetyPointGoal2-v0", "SafetyCarGoal2-v0", "SafetyPointButton0-v0",
    "SafetyPointButton1-v0", "SafetyCarButton2-v0", "SafetyPointPush1-v0", "SafetyPointPush2-v0", "SafetyCarPush2-v0",
    "SafetyPointCircle2-v0", "SafetyCarRun0-v0",
]  # fmt: skip


def plain(value: Any) -> bool:
    """Tell whether something is made of numbers, text, lists and dicts with text keys alone."""
    if isinstance(value, dict):
        return all(isinstance(k, str) and plain(v) for k, v in value.items())
    if isinstance(value, list | tuple):
        return all(map(plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "biuf" and value.dtype.names is None
    return type(value) in (int, float, str, bool)


def listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: listed(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [listed(v) for v in value]
    return value.tolist() if isinstance(value, np.ndarray) else value


def contacts(env: Any) -> int:
    """Return the number of contact points of all simulations."""
    world = env.unwrapped.sim.world
    return int(sum(world.contacts(k).sum() for k, slot in world.scene.slots.items() if slot.contact is not None))


def continue_and_restore(env_id: str, seed: int, before: int, after: int, **options: Any) -> None:
    """Within one environment, in another one, and in one that has never run, through new goals and autoreset."""
    envs, used, fresh = (gymnasium.make_vec(env_id, num_envs=3, **options) for _ in range(3))
    given = moves(envs.single_action_space, seed, before + after, 3)
    envs.reset(seed=seed)
    used.reset(seed=99)
    for action in given[:before]:
        envs.step(action)
        used.step(-action)
    state = envs.unwrapped.get_state()
    want = [envs.step(action) for action in given[before:]]
    for other in (envs, used, fresh):
        other.unwrapped.set_state(state)
        for t, action in enumerate(given[before:]):
            assert_same(want[t], other.step(action), f"step {t}")
    assert_same(envs.reset(), used.reset())
    assert_same(envs.unwrapped.layout, used.unwrapped.layout)


@pytest.mark.parametrize("env_id", PLAIN)
def test_every_environment_continues_as_restored(env_id: str) -> None:
    continue_and_restore(env_id, 2, 6, 5, max_episode_steps=8, **easy(env_id))


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("env_id", CASES)
def test_continuing_and_restoring_are_identical(env_id: str, seed: int) -> None:
    before = int(np.random.default_rng(seed).integers(3, 45))
    continue_and_restore(env_id, seed, before, 30, max_episode_steps=50, **(easy(env_id) if seed else {}))


def test_the_cases_contain_what_they_should() -> None:
    """Pushing contact, sleeping vases and running timers exist at the moment of saving."""
    env = single("SafetyPointGoal2-v0")
    env.reset(options={"layout": pushing_layout()})
    world = env.unwrapped.vec.sim.world
    touched, speed = 0.0, 0.0
    for _ in range(35):
        env.step(np.array([1.0, 0.0]))
        touched += world.contacts("vases")[0, 0, 0]
        speed = max(speed, np.abs(world.linvel("vases")[0, 0]).max())
    assert touched > 2 and speed > 0.1
    assert (world.linvel("vases")[0, 5:] == 0).all(), "resting vases sleep: their velocity is exactly zero"


def pushing_layout() -> dict[str, Any]:
    vases = [(0.3, 0.0), *((1.5, -1.8 + 0.4 * i) for i in range(9))]
    hazards = [(-1.8, -1.8 + 0.38 * i) for i in range(10)]
    return {"agent": (0, 0, 0), "goal": (0, 1.8), "hazards": hazards, "vases": vases}


@pytest.mark.parametrize("steps", [0, 1, 12, 25, 60])
def test_pushing_contacts_are_restored(steps: int) -> None:
    """While the robot pushes a vase into others; the solver's warm start belongs to the state."""
    env, other = single("SafetyPointGoal2-v0"), single("SafetyPointGoal2-v0")
    env.reset(options={"layout": pushing_layout()})
    for _ in range(steps):
        env.step(np.array([1.0, 0.05]))
    state = env.unwrapped.get_state()
    other.reset(seed=0)
    other.unwrapped.set_state(state)
    for _ in range(40):
        assert_same(env.step(np.array([1.0, -0.1])), other.step(np.array([1.0, -0.1])))


@pytest.mark.parametrize("env_id", ["SafetyPointGoal2-v0", "SafetyCarButton2-v0", "SafetyCarPush1-v0"])
def test_states_are_plain_data(env_id: str) -> None:
    envs = safety_gym.make_vec(env_id, num_envs=2)
    envs.reset(seed=0)
    for action in actions(0, 15, 2, 2):
        envs.step(action)
    state = envs.unwrapped.get_state()
    assert plain(state)
    # Through JSON and back: floats and integers of any size survive.
    restored = json.loads(json.dumps(listed(state)))
    want = [envs.step(action) for action in actions(1, 10, 2, 2)]
    other = safety_gym.make_vec(env_id, num_envs=2)
    other.unwrapped.set_state(restored)
    for action, row in zip(actions(1, 10, 2, 2), want, strict=True):
        assert_same(row, other.step(action))


def test_states_are_copies() -> None:
    """A state does not change while the environment runs on, and the environment not while it is written to."""
    envs = gymnasium.make_vec("SafetyPointButton1-v0", num_envs=2)
    envs.reset(seed=0)
    state = envs.unwrapped.get_state()
    saved = json.dumps(listed(state))
    for action in actions(2, 15, 2, 2):
        envs.step(action)
    envs.reset()
    assert json.dumps(listed(state)) == saved
    envs.unwrapped.set_state(state)
    obs = envs.step(np.ones((2, 2)))[0]
    assert json.dumps(listed(state)) == saved
    envs.unwrapped.set_state(state)
    for array in (state["world"]["rows"], *state["world"]["memory"].values()):
        array[...] = 0
    np.testing.assert_array_equal(envs.step(np.ones((2, 2)))[0], obs)


def test_taking_a_state_twice_changes_nothing() -> None:
    envs = gymnasium.make_vec("SafetyCarGoal2-v0", num_envs=2)
    envs.reset(seed=0)
    for action in actions(3, 10, 2, 2):
        envs.step(action)
    first, second = envs.unwrapped.get_state(), envs.unwrapped.get_state()
    assert_same(first, second)
    envs.unwrapped.set_state(first)
    assert_same(envs.unwrapped.get_state(), first)


def test_random_streams_are_restored() -> None:
    """Layouts, goals and action noise drawn after a restore are the same."""
    options: dict[str, Any] = {"num_envs": 2, "action_noise": 0.1, "goal": {"size": 2.0}}
    envs = gymnasium.make_vec("SafetyPointGoal1-v0", **options)
    envs.reset(seed=0)
    envs.step(np.zeros((2, 2)))
    state = envs.unwrapped.get_state()
    want = [envs.step(np.zeros((2, 2))) for _ in range(5)], envs.reset(), envs.unwrapped.layout
    envs.reset(seed=8)
    envs.unwrapped.set_state(state)
    assert_same(want, ([envs.step(np.zeros((2, 2))) for _ in range(5)], envs.reset(), envs.unwrapped.layout))


def test_restored_streams_survive_a_reset_without_a_seed() -> None:
    """An environment that was never seeded goes on with the streams it was given."""
    envs, fresh = (gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=2) for _ in range(2))
    envs.reset(seed=0)
    fresh.unwrapped.set_state(envs.unwrapped.get_state())
    assert_same(envs.reset(), fresh.reset())
    assert_same(envs.reset(), fresh.reset())


@pytest.mark.parametrize("mode", ["NextStep", "Disabled"])
def test_ended_episodes_stay_ended(mode: str) -> None:
    envs, other = (
        gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=2, autoreset_mode=mode, max_episode_steps=2)
        for _ in range(2)
    )
    envs.reset(seed=0)
    for _ in range(2):
        step = envs.step(np.zeros((2, 2)))
    assert step[3].all()
    other.unwrapped.set_state(envs.unwrapped.get_state())
    if mode == "Disabled":
        for env in (envs, other):
            with pytest.raises(gymnasium.error.ResetNeeded):
                env.step(np.zeros((2, 2)))
    else:
        assert_same(envs.step(np.zeros((2, 2))), other.step(np.zeros((2, 2))))


def test_states_of_single_environments() -> None:
    env = safety_gym.make("SafetyPointButton1-v0")
    env.reset(seed=1)
    for _ in range(4):
        env.step(np.ones(2))
    state = env.unwrapped.get_state()
    want = [env.step(np.ones(2)) for _ in range(12)]
    env.unwrapped.set_state(state)
    assert_same(want, [env.step(np.ones(2)) for _ in range(12)])
    assert ["cost_buttons" in row[-1] for row in want] == [False] * 6 + [True] * 6  # the timer is part of it


def test_a_state_of_row_one_of_a_batch_is_not_accepted_elsewhere() -> None:
    """States fit environments of the same id, options and number; others are refused without harm."""
    envs = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=2)
    envs.reset(seed=0)
    state = envs.unwrapped.get_state()
    for other in (
        gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=3),
        gymnasium.make_vec("SafetyPointGoal2-v0", num_envs=2),
        gymnasium.make_vec("SafetyCarGoal1-v0", num_envs=2),
        gymnasium.make_vec("SafetyPointButton1-v0", num_envs=2),
    ):
        twin = gymnasium.make_vec(other.spec.id, num_envs=other.num_envs)
        other.reset(seed=3)
        twin.reset(seed=3)
        with pytest.raises(ValueError, match="state"):
            other.unwrapped.set_state(state)
        action = np.ones((other.num_envs, 2))
        assert_same(twin.step(action), other.step(action))


@pytest.mark.parametrize(("source", "target"), [("Goal0", "Circle0"), ("Circle0", "Goal0")])
def test_equal_rows_of_different_tasks_are_not_exchanged(source: str, target: str) -> None:
    """Both are one zone and one robot; only their task memory differs."""
    first, second, twin = (single(f"SafetyPoint{task}-v0") for task in (source, target, target))
    first.reset(seed=0)
    second.reset(seed=1)
    twin.reset(seed=1)
    first.step(np.ones(2))
    state = first.unwrapped.get_state()
    assert state["world"]["rows"].shape == second.unwrapped.get_state()["world"]["rows"].shape
    twin.unwrapped.get_state()
    with pytest.raises(ValueError, match="state"):
        second.unwrapped.set_state(state)
    assert_same(second.step(np.ones(2)), twin.step(np.ones(2)))


@pytest.mark.parametrize("wrong", [{}, {"world": {}}, None, 3])
def test_wrong_states_are_refused(wrong: Any) -> None:
    env = single("SafetyPointGoal1-v0")
    env.reset(seed=0)
    with pytest.raises((ValueError, TypeError), match="state"):
        env.unwrapped.set_state(wrong)
