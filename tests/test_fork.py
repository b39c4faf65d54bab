"""Environments and processes: forked children, workers of Gymnasium's asynchronous vector, spawned copies."""

from __future__ import annotations

import multiprocessing
import pickle
import sys
from typing import Any

import gymnasium
import numpy as np
import pytest

import safety_gym
from tests.helpers import actions

TIMEOUT = 20
needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason=f"no fork on {sys.platform}"
)


def in_child(method: str, target: Any, *args: Any) -> Any:
    """Run `target(*args)` in a child process and return its result; a child that hangs fails the test."""
    context = multiprocessing.get_context(method)
    receive, send = context.Pipe(duplex=False)
    process = context.Process(target=_report, args=(send, target, args), daemon=True)
    process.start()
    send.close()
    try:
        assert receive.poll(TIMEOUT), f"the child did not answer within {TIMEOUT} s"
        kind, value = receive.recv()
        assert kind == "result", value
        return value
    finally:
        process.kill()
        process.join()


def _report(send: Any, target: Any, args: Any) -> None:
    try:
        send.send(("result", target(*args)))
    except BaseException as error:
        send.send(("error", repr(error)))


def run(envs: Any, given: np.ndarray[Any, Any], seed: int | None = None) -> np.ndarray[Any, Any]:
    if seed is not None:
        envs.reset(seed=seed)
    return np.stack([envs.step(action)[0] for action in given])


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("env_id", ["SafetyPointGoal2-v0", "SafetyCarButton1-v0"])
def test_an_environment_of_the_parent_steps_in_a_forked_child(env_id: str) -> None:
    """The batch's threads do not survive a fork; a new batch goes on where the old one was."""
    envs = safety_gym.make_vec(env_id, num_envs=8, num_threads=2)
    envs.reset(seed=0)
    given = actions(0, 12, 8, 2)
    for action in given[:4]:
        envs.step(action)
    child = in_child("fork", run, envs, given[4:])
    assert child.shape == (8, 8, envs.single_observation_space.shape[0])
    # The child's start equals a restored state, the parent's own continuation differs from it by rounding at most.
    np.testing.assert_allclose(child[0], run(envs, given[4:5])[0], rtol=0, atol=1e-6)
    # The parent is not disturbed.
    run(envs, given[5:])


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_continues_like_a_restored_state() -> None:
    envs = safety_gym.make_vec("SafetyPointGoal2-v0", num_envs=4, num_threads=2)
    envs.reset(seed=0)
    given = actions(1, 15, 4, 2)
    for action in given[:5]:
        envs.step(action)
    state = envs.unwrapped.get_state()
    child = in_child("fork", run, envs, given[5:])
    envs.unwrapped.set_state(state)
    np.testing.assert_array_equal(child, run(envs, given[5:]))


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_reset_in_a_forked_child_is_the_same_episode() -> None:
    envs = safety_gym.make_vec("SafetyCarPush1-v0", num_envs=4, num_threads=2)
    given = actions(2, 6, 4, 2)
    want = run(envs, given, 3)
    np.testing.assert_array_equal(in_child("fork", run, envs, given, 3), want)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_an_environment_made_in_a_forked_child() -> None:
    parent = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=4, num_threads=2)
    given = actions(3, 5, 4, 2)
    want = run(parent, given, 1)
    np.testing.assert_array_equal(in_child("fork", made_and_run, given), want)


def made_and_run(given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return run(safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=4, num_threads=2), given, 1)


def unpickled_and_run(data: bytes, given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return run(pickle.loads(data), given)


def test_a_pickled_environment_continues_in_a_spawned_process() -> None:
    envs = safety_gym.make_vec("SafetyPointGoal2-v0", num_envs=2)
    envs.reset(seed=0)
    given = actions(4, 8, 2, 2)
    envs.step(given[0])
    data = pickle.dumps(envs)
    np.testing.assert_array_equal(in_child("spawn", unpickled_and_run, data, given[1:]), run(envs, given[1:]))


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("context", ["fork", "spawn", "forkserver"])
def test_gymnasiums_asynchronous_vector(context: str) -> None:
    if context not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {context} here")
    makers = [lambda: gymnasium.make("SafetyPointGoal1-v0", max_episode_steps=4)] * 2
    if context != "fork":  # lambdas travel by cloudpickle; the registration must happen in the worker
        makers = [
            lambda: (
                __import__("safety_gym") and __import__("gymnasium").make("SafetyPointGoal1-v0", max_episode_steps=4)
            )
        ] * 2
    given = actions(5, 6, 2, 2)
    ours = gymnasium.make_vec("SafetyPointGoal1-v0", num_envs=2, max_episode_steps=4, autoreset_mode="NextStep")
    envs = gymnasium.vector.AsyncVectorEnv(makers, context=context)
    try:
        np.testing.assert_array_equal(envs.reset(seed=0)[0], ours.reset(seed=0)[0])
        for action in given:
            want = ours.step(action)
            envs.step_async(action)
            got = envs.step_wait(timeout=TIMEOUT)
            for a, b in zip(want[:4], got[:4], strict=True):
                np.testing.assert_array_equal(a, b)
    finally:
        envs.close(terminate=True)


def test_make_vec_async() -> None:
    envs = gymnasium.make_vec("SafetyCarGoal1-v0", num_envs=2, vectorization_mode="async")
    try:
        obs, _ = envs.reset(seed=0)
        assert obs.shape == (2, 72)
        info = envs.step(np.zeros((2, 2)))[4]
        assert info["cost"].shape == (2,)
    finally:
        envs.close(terminate=True)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_may_drop_environments_of_the_parent() -> None:
    """Also those it never stepped: their threads are not there to be joined."""
    HELD.append(safety_gym.make_vec("SafetyPointGoal2-v0", num_envs=4, num_threads=2))
    HELD[0].reset(seed=0)
    HELD[0].step(np.zeros((4, 2)))
    assert in_child("fork", dropped_and_made_anew) == (3, 60)
    HELD.clear()


HELD: list[Any] = []


def dropped_and_made_anew() -> tuple[int, ...]:
    import gc

    HELD.clear()
    gc.collect()
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=3, num_threads=2)
    return envs.reset(seed=0)[0].shape
