"""The collector: path ends, bootstrap values, normalised final observations, counters across epochs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from safepo.advantages import gae
from safepo.algorithms.settings import OnPolicySettings
from safepo.envs import ActionMap, VectorEnv, action_map
from safepo.errors import UserError
from safepo.networks import ActorCritic
from safepo.normalize import ObsNormalizer
from safepo.rollout import Batch, Collector, make_batch


def collector(env_id: str, num_envs: int, limits: dict[str, float] | None = None) -> tuple[Collector, ActorCritic]:
    env, limits = VectorEnv(env_id, num_envs), limits or {"cost": 25.0}
    c = Collector(env, ObsNormalizer(env.nobs), torch.Generator().manual_seed(0), limits)
    c.reset(0)
    return c, ActorCritic(env.nobs, env.dist, (8,), "cpu", torch.Generator().manual_seed(0), len(limits))


def test_termination_bootstraps_zero() -> None:
    c, net = collector("ToyClockEnds-v0", 2)
    data = c.collect(net, 6)
    assert data["ends"][:, 0].tolist() == [False, False, False, True, False, True]
    np.testing.assert_array_equal(data["next_values"][3], 0)
    np.testing.assert_array_equal(data["next_values"][:3], data["values"][1:4])
    np.testing.assert_array_equal(data["rewards"][:, 0], [[1, 10], [2, 20], [3, 30], [4, 40], [1, 10], [2, 20]])


def test_truncation_bootstraps_the_normalised_final_observation() -> None:
    """SafePO feeds the raw final observation to critics trained on normalised ones; here it is normalised, with the
    statistics of that moment, and does not enter them."""
    c, net = collector("ToyClockCut-v0", 1)
    seen: list[ObsNormalizer] = []
    data = None
    inner = c.normalizer

    def spy(obs: np.ndarray) -> np.ndarray:
        if obs[0, 0] == 4.0:
            seen.append(inner.copy())
        return ObsNormalizer.__call__(inner, obs)

    spy.update = inner.update  # type: ignore[attr-defined]
    c.normalizer = spy  # type: ignore[assignment]
    data = c.collect(net, 6)
    assert len(seen) == 1
    expected = net.values(torch.from_numpy(seen[0](np.array([[4.0]])))).numpy()
    np.testing.assert_array_equal(data["next_values"][3], expected)
    assert inner.count == pytest.approx(7 + 1e-4), "first observation and six steps, final observation not counted"


def test_truncation_wins_over_the_epoch_end() -> None:
    c, net = collector("ToyClockCut-v0", 1)
    data = c.collect(net, 4)
    final = net.values(torch.from_numpy(c.normalizer(np.array([[4.0]])))).numpy()
    new_episode = net.values(torch.from_numpy(c.obs)).numpy()
    assert not np.allclose(data["next_values"][3], new_episode)
    assert data["next_values"][3].shape == final.shape


def test_epoch_cut_bootstraps_the_current_observation_and_episodes_continue() -> None:
    c, net = collector("ToyClockLong-v0", 3)
    first = c.collect(net, 5)
    np.testing.assert_array_equal(first["next_values"][-1], net.values(torch.from_numpy(c.obs)).numpy())
    second = c.collect(net, 2)
    np.testing.assert_array_equal(second["rewards"][:, 0, 0], [6, 7])
    assert c.sums.values[0].tolist() == [28, 280, 7]


def test_epoch_without_finished_episode_keeps_the_last_cost() -> None:
    c, net = collector("ToyClockCut-v0", 2)
    assert math.isnan((c.collect(net, 3), c.stats.close_epoch())[1]["ep/cost"])
    assert (c.collect(net, 2), c.stats.close_epoch())[1] == {"ep/return": 10.0, "ep/cost": 100.0, "ep/length": 4.0}
    assert (c.collect(net, 1), c.stats.close_epoch())[1]["ep/cost"] == 100.0


def batch_of(data: dict[str, np.ndarray], ncost: int = 1) -> tuple[Batch, dict[str, float]]:
    return make_batch(data, OnPolicySettings(), np.zeros(ncost), 4.0, 0.0, torch.device("cpu"))


@pytest.mark.parametrize(
    ("env_id", "num_envs", "nact"),
    [
        ("ToySpeed-v0", 1, 1),
        ("ToySpeedTwo-v0", 1, 2),
        ("ToySpeed-v0", 3, 1),
        ("ToyDiscrete-v0", 1, 1),
        ("ToyMultiDiscrete-v0", 3, 2),
    ],
)
def test_shapes_are_explicit(env_id: str, num_envs: int, nact: int) -> None:
    """One action dimension, one environment and one cost keep their axes."""
    c, net = collector(env_id, num_envs)
    batch, _ = batch_of(c.collect(net, 7))
    n = 7 * num_envs
    fields = (batch.obs, batch.action, batch.logp, batch.reward_advantage, batch.cost_advantage, batch.targets)
    shapes = [tuple(x.shape) for x in fields]
    assert shapes == [(n, 3), (n, nact), (n,), (n,), (1, n), (2, n)]
    assert batch.obs.dtype == batch.targets.dtype == torch.float32


def test_reward_advantage_is_standardised_and_cost_advantage_only_centred() -> None:
    c, net = collector("ToyClockCut-v0", 2)
    batch, raw = batch_of(c.collect(net, 20))
    assert batch.reward_advantage.mean().item() == pytest.approx(0, abs=1e-6)
    assert batch.reward_advantage.std().item() == pytest.approx(1, rel=1e-5)
    assert batch.cost_advantage.mean().item() == pytest.approx(0, abs=1e-4)
    assert batch.cost_advantage.std().item() > 10
    assert raw["value/cost_adv"] > 10


def test_reward_and_costs_have_lambdas_of_their_own() -> None:
    c, net = collector("ToyClockCut-v0", 2)
    data = c.collect(net, 10)
    settings = OnPolicySettings(gamma=0.9, gae_lambda=0.7, cost_gae_lambda=0.2)
    batch, raw = make_batch(data, settings, np.zeros(1), 4.0, 0.0, torch.device("cpu"))
    parts = (data["rewards"], data["values"], data["next_values"], data["ends"])
    for column, lam, centred in ((0, 0.7, batch.reward_advantage), (1, 0.2, batch.cost_advantage[0])):
        advantage, target = gae(*parts, 0.9, np.array([lam, lam]))
        expected = advantage[:, :, column].reshape(-1)
        assert list(raw.values())[column] == pytest.approx(expected.mean())
        expected = (expected - expected.mean()) / (expected.std(ddof=1) if column == 0 else 1.0)
        np.testing.assert_allclose(centred.numpy(), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(batch.targets[column].numpy(), target[:, :, column].reshape(-1), rtol=1e-5)


def test_fresh_episodes_start_fresh_statistics() -> None:
    """Sums and running violations of the episodes given up are forgotten, what is known for good is kept."""
    c, net = collector("ToyClockLong-v0", 2)
    c.collect(net, 5)
    assert c.safety.streak.tolist() == [5, 5] and c.sums.values[0, 2] == 5
    c.reset(1)
    assert not c.safety.streak.any() and not c.sums.values.any()
    c.collect(net, 3)
    assert c.safety.metrics()["safety/longest_violation"] == 5 and c.safety.nstep == 16


def test_actions_are_mapped_but_not_clipped() -> None:
    low, high = np.array([-2.0, 0.0, -np.inf]), np.array([2.0, 1.0, np.inf])
    middle, half = action_map(low, high)
    np.testing.assert_allclose(middle + half * np.array([1.5, -1.0, 7.0]), [3.0, 0.0, 7.0])
    np.testing.assert_allclose(ActionMap(low, high)(np.array([[1.5, -1.0, 7.0]])), [[3.0, 0.0, 7.0]])


def test_environment_state_round_trip_is_exact() -> None:
    env = VectorEnv("ToySpeedEnds-v0", 3)
    env.reset(5)
    actions = np.random.default_rng(0).uniform(-1, 1, (80, 3, 1))
    for a in actions[:30]:
        env.step(a)
    state = env.get_state()
    assert state is not None
    first = [env.step(a) for a in actions[30:]]
    other = VectorEnv("ToySpeedEnds-v0", 3)
    other.reset(99)
    other.set_state(state)
    for a, expected in zip(actions[30:], first, strict=True):
        step = other.step(a)
        np.testing.assert_array_equal(step.obs, expected.obs)
        np.testing.assert_array_equal(step.truncated | step.terminated, expected.truncated | expected.terminated)


def test_unknown_id_suggests() -> None:
    with pytest.raises(UserError, match=r"ToySpede-v0.*did you mean 'ToySpeed"):
        VectorEnv("ToySpede-v0", 1)


def test_environment_without_cost_has_cost_zero() -> None:
    env = VectorEnv("Pendulum-v1", 2)
    env.reset(0)
    assert env.step(np.zeros((2, 1))).cost.tolist() == [0.0, 0.0]
