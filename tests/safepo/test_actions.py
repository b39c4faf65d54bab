"""Action spaces: how the policy's actions become the environment's, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from gymnasium.vector import AutoresetMode

import safepo
from safepo.distributions import Categorical, Gaussian
from safepo.envs import ActionMap, VectorEnv
from safepo.errors import UserError
from safepo.evaluation import evaluate, evaluate_random
from safepo.policy import RandomPolicy, describe
from tests.safepo.toy import Budget

Small = Callable[..., Path]

SPACES = {
    "box": (Box(np.array([-2.0, 0.0]), np.array([2.0, 1.0])), Gaussian, [[-1, 1], [0.5, 0]], [[-2, 1], [1, 0.5]]),
    "unbounded": (Box(-np.inf, np.inf, (2,)), Gaussian, [[-3, 7]], [[-3, 7]]),
    "discrete": (Discrete(4), Categorical, [[0], [3]], [[0], [3]]),
    "discrete-start": (Discrete(5, start=-2), Categorical, [[0], [4]], [[-2], [2]]),
    "multi-discrete": (MultiDiscrete([3, 2]), Categorical, [[0, 1], [2, 0]], [[0, 1], [2, 0]]),
    "multi-discrete-start": (MultiDiscrete([4, 2], start=[-2, 5]), Categorical, [[0, 0], [3, 1]], [[-2, 5], [1, 6]]),
}


@pytest.mark.parametrize(("space", "family", "actions", "expected"), SPACES.values(), ids=SPACES.keys())
def test_actions_are_mapped_to_the_space(
    space: gymnasium.Space, family: type, actions: list[list[float]], expected: list[list[float]]
) -> None:
    action = ActionMap.of("Toy-v0", space)
    assert isinstance(action.distribution(), family) and action.distribution().nact == len(actions[0])
    np.testing.assert_allclose(action(np.array(actions, float)), expected)
    again = ActionMap.from_dict(action.to_dict())
    np.testing.assert_array_equal(again(np.array(actions, float)), action(np.array(actions, float)))
    assert again.sizes == action.sizes


@pytest.mark.parametrize(("space", "family", "actions", "expected"), SPACES.values(), ids=SPACES.keys())
def test_random_actions_cover_the_space(
    space: gymnasium.Space, family: type, actions: list[list[float]], expected: list[list[float]]
) -> None:
    policy = RandomPolicy({"id": "Toy-v0", "action": ActionMap.of("Toy-v0", space).to_dict()})
    drawn = policy.predict(np.zeros((2000, 3)))
    assert drawn.shape == (2000, len(actions[0]))
    if family is Gaussian:
        low, high = (-1.0, 1.0) if space.low.min() == -np.inf else (space.low, space.high)  # type: ignore[attr-defined]
        assert (drawn >= low).all() and (drawn <= high).all()
        np.testing.assert_allclose(drawn.mean(axis=0), (np.asarray(low) + high) / 2, atol=0.1)
        return
    for column, (low, n) in zip(drawn.T, zip(*_first_and_count(space), strict=True), strict=True):
        values, counts = np.unique(column, return_counts=True)
        np.testing.assert_array_equal(values, low + np.arange(n))
        assert counts.min() > 0.8 * 2000 / n


def _first_and_count(space: gymnasium.Space) -> tuple[list[int], list[int]]:
    if isinstance(space, Discrete):
        return [int(space.start)], [int(space.n)]
    assert isinstance(space, MultiDiscrete)
    return space.start.tolist(), space.nvec.tolist()


@pytest.mark.parametrize(
    ("env_id", "given", "speeds"),
    [
        ("ToyDiscrete-v0", [[0], [2], [4]], [-2, 0, 2]),
        ("ToyMultiDiscrete-v0", [[0, 0], [0, 1], [3, 1]], [-2, -1, 2]),
    ],
)
def test_the_environment_gets_whole_numbers_of_its_own(env_id: str, given: list[list[int]], speeds: list[int]) -> None:
    """The toy asserts that its space contains the action; its reward is the speed."""
    env = VectorEnv(env_id, 3)
    env.reset(0)
    np.testing.assert_array_equal(env.step(np.array(given, np.float32)).reward, speeds)
    env.close()


@pytest.mark.parametrize("env_id", ["ToyDiscrete-v0", "ToyMultiDiscrete-v0"])
@pytest.mark.parametrize("name", ["ppo", "trpo"])
def test_discrete_choices_are_learnt(small: Small, env_id: str, name: str) -> None:
    """The fastest speed is 2, which a policy that ignores cost chooses nearly always: 100 an episode."""
    fast = {"actor_lr": 0.01, "passes": 10} if name == "ppo" else {"target_kl": 0.05, "passes": 5}
    run = small(name, env_id=env_id, steps_per_epoch=400, total_steps=8000, gamma=0.0, eval_episodes=0, **fast)
    result = safepo.evaluate(run, episodes=5)
    assert result["deterministic"]["return"]["mean"] == 100
    assert result["stochastic"]["return"]["mean"] > 80
    actions = safepo.load(run).predict(np.zeros((4, 3)) + 5.0)
    expected = [2] if env_id == "ToyDiscrete-v0" else [1, 1]
    np.testing.assert_array_equal(actions, [expected] * 4)


def test_gymnasiums_own_discrete_environment() -> None:
    """CartPole has a vector form of its own, which resets one step late: it is not used."""
    env = VectorEnv("CartPole-v1", 2)
    assert env.env.unwrapped.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    result = evaluate_random("CartPole-v1", 10)
    assert 10 < result["length"]["mean"] < 40 and result["return"] == result["length"]
    env.close()


def test_a_vector_form_that_resets_in_the_same_step_is_used() -> None:
    env = VectorEnv("ToyBudget-v0", 7)
    assert isinstance(env.env.unwrapped, Budget) and env.num_envs == 7
    assert evaluate(RandomPolicy(describe(env)), "ToyBudget-v0", 20)["length"]["std"] == 0
    env.close()


@pytest.mark.parametrize(
    ("env_id", "message"),
    [
        (
            "ToyBinaryAction-v0",
            "the action space MultiBinary.*one-dimensional Box, Discrete and one-dimensional MultiD",
        ),
        ("ToyGridAction-v0", r"the action space Box.*\(2, 2\).*one-dimensional Box, Discrete and"),
        ("ToyDictAction-v0", "the action space Dict.*one-dimensional Box, Discrete and"),
        ("ToyNestedObservation-v0", "the observation space Dict.*on Box and on Dict of Box only.*'a' is Dict"),
        ("ToyMixedObservation-v0", "the observation space Dict.*on Box and on Dict of Box only.*'b' is Discrete"),
        ("FrozenLake-v1", "the observation space Discrete.*on Box and on Dict of Box only"),
    ],
)
def test_unsupported_spaces_are_refused(env_id: str, message: str) -> None:
    with pytest.raises(UserError, match=f"{env_id} has {message}"):
        VectorEnv(env_id, 1)


def test_a_checkpoint_does_not_fit_other_actions(small: Small) -> None:
    run = small(env_id="ToyDiscrete-v0", eval_episodes=0)
    for other in ("ToyMultiDiscrete-v0", "ToySpeed-v0"):
        with pytest.raises(UserError, match=f"ToyDiscrete-v0.*does not fit {other}"):
            safepo.evaluate(run, 1, env_id=other)
