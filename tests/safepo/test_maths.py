"""Advantages, normaliser, optimiser, networks and minibatches against hand-worked or slow references."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from safepo.advantages import gae
from safepo.algorithms.pg import policy_gradient
from safepo.algorithms.settings import FirstOrderSettings
from safepo.distributions import Categorical, Distribution, Gaussian
from safepo.first_order import Fitter, FlatAdam, clip_rows
from safepo.networks import ACTOR, COST_CRITIC, CRITICS, REWARD_CRITIC, ActorCritic
from safepo.normalize import ObsNormalizer
from safepo.rollout import EpisodeStats
from tests.safepo.helpers import DISTRIBUTIONS, make_algorithm, make_batch, make_net, plain_mlp, torch_logp


def test_gae_terminal_truncated_cut() -> None:
    """Five steps, gamma = lam = 0.5: terminated after step 1, truncated after step 3 (final value 4), cut at value 8.

    reward r = 1 1 1 1 1, values V = 2 2 2 2 2
    step 4: delta = 1 + 0.5 * 8 - 2 = 3                A = 3
    step 3: delta = 1 + 0.5 * 4 - 2 = 1                A = 1        (path end: nothing from step 4)
    step 2: delta = 1 + 0.5 * 2 - 2 = 0                A = 0 + 0.25 * 1 = 0.25
    step 1: delta = 1 + 0.5 * 0 - 2 = -1               A = -1
    step 0: delta = 1 + 0.5 * 2 - 2 = 0                A = 0 + 0.25 * -1 = -0.25
    """
    ones = np.ones((5, 1, 1))
    after = np.array([2.0, 0.0, 2.0, 4.0, 8.0]).reshape(5, 1, 1)
    ends = np.array([[False], [True], [False], [True], [True]])
    advantages, targets = gae(ones, 2 * ones, after, ends, 0.5, np.array([0.5]))
    np.testing.assert_allclose(advantages[:, 0, 0], [-0.25, -1, 0.25, 1, 3], atol=1e-12)
    np.testing.assert_allclose(targets, advantages + 2)


def test_gae_signals_and_environments_are_independent() -> None:
    rng = np.random.default_rng(0)
    shape = (7, 3, 2)
    rewards, values, after = (rng.normal(size=shape) for _ in range(3))
    ends = rng.random((7, 3)) < 0.3
    ends[-1] = True
    lam = np.array([0.9, 0.3])
    whole, _ = gae(rewards, values, after, ends, 0.99, lam)
    for i in range(3):
        for c in range(2):
            part = np.s_[:, i : i + 1, c : c + 1]
            alone, _ = gae(rewards[part], values[part], after[part], ends[:, i : i + 1], 0.99, lam[c : c + 1])
            np.testing.assert_array_equal(whole[part], alone)


def test_normalizer_equals_numpy() -> None:
    rng = np.random.default_rng(0)
    data = rng.normal([1.0, -5.0, 0.0], [2.0, 0.1, 1.0], (60, 3))
    normalizer = ObsNormalizer(3)
    normalizer.count = 0.0
    for part in np.split(data, [1, 5, 40]):
        normalizer.update(part)
    np.testing.assert_allclose(normalizer.mean, data.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(normalizer.var, data.var(axis=0), rtol=1e-12)
    expected = (data - data.mean(axis=0)) / np.sqrt(data.var(axis=0) + 1e-8)
    np.testing.assert_allclose(normalizer(data), expected, rtol=1e-5)
    assert normalizer(data).dtype == np.float32


def test_normalizer_first_batch_counts_the_prior() -> None:
    """Count 1e-4 with mean 0 and variance 1: after one observation x = 10 the mean is 10 / (1 + 1e-4)."""
    normalizer = ObsNormalizer(1)
    normalizer.update(np.array([[10.0]]))
    assert normalizer.mean[0] == pytest.approx(10 / 1.0001)
    assert normalizer.var[0] == pytest.approx((1e-4 + 100 * 1e-4 / 1.0001) / 1.0001)


def test_clip_is_per_network() -> None:
    """A large cost-critic gradient leaves the others alone."""
    grads = torch.tensor([[3.0, 4.0], [0.0, 1.0], [300.0, 400.0]])
    clip_rows(grads, 40.0)
    torch.testing.assert_close(grads, torch.tensor([[3.0, 4.0], [0.0, 1.0], [24.0, 32.0]]))


def test_joint_clip_scales_all_rows_alike() -> None:
    """Norm sqrt(9 + 16 + 144) = 13, clipped to 6.5."""
    grads = torch.tensor([[3.0, 4.0], [0.0, 12.0]])
    clip_rows(grads, 6.5, joint=True)
    torch.testing.assert_close(grads, torch.tensor([[1.5, 2.0], [0.0, 6.0]]))
    clip_rows(grads, 100.0, joint=True)
    torch.testing.assert_close(grads, torch.tensor([[1.5, 2.0], [0.0, 6.0]]))


def test_flat_adam_equals_torch() -> None:
    g = torch.Generator().manual_seed(0)
    params = torch.randn(3, 10, generator=g)
    reference = [torch.nn.Parameter(row.clone()) for row in params]
    lrs = [1e-3, 1e-2, 3e-4]
    torch_adam = [torch.optim.Adam([p], lr=lr) for p, lr in zip(reference, lrs, strict=True)]
    grads = torch.zeros(3, 10)
    ours = FlatAdam(params, grads, lrs)
    for _ in range(5):
        grads.copy_(torch.randn(3, 10, generator=g))
        for p, row, optimiser in zip(reference, grads, torch_adam, strict=True):
            p.grad = row.clone()
            optimiser.step()
        ours.step()
    for p, row in zip(reference, params, strict=True):
        torch.testing.assert_close(row, p.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dist", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())
@pytest.mark.parametrize("ncost", [1, 3])
def test_networks_equal_plain_mlps(dist: Distribution, ncost: int) -> None:
    """The stacked forward is tanh MLPs, one per row, and padding of the critics is 0."""
    net = make_net(dist=dist, ncost=ncost)
    obs = torch.randn(7, 5, generator=torch.Generator().manual_seed(3))
    for row in range(2 + ncost):
        expected = net.policy(obs).out if row == ACTOR else net.values(obs)[:, row - 1 : row]
        plain = plain_mlp(net, net.params[row], obs)[:, : expected.shape[1]]
        torch.testing.assert_close(plain, expected, rtol=1e-5, atol=1e-6)
    assert net.values(obs).shape == (7, 1 + ncost) and (REWARD_CRITIC, COST_CRITIC) == (1, 2)
    weight, bias = net.layers[-1]
    assert not weight[CRITICS, :, 1:].any() and not bias[CRITICS, :, 1:].any()
    assert not net.params[CRITICS, net.params.shape[1] - dist.nfree :].any()


def test_networks_of_many_samples_are_evaluated_in_parts() -> None:
    net = make_net()
    obs = torch.randn(2500, 5, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(net.values(obs)[1020:1030], net.values(obs[1020:1030]))
    torch.testing.assert_close(net.policy(obs).out[2040:2060], net.policy(obs[2040:2060]).out)


def test_initial_weights_follow_the_linear_default() -> None:
    net = ActorCritic(60, Gaussian(2), (64, 64), "cpu", torch.Generator().manual_seed(0))
    bound = 1 / math.sqrt(60)
    weight = net.layers[0][0]
    assert weight.abs().max() <= bound and weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not net.free.any() and len(net.free) == 2


@pytest.mark.usefixtures("double")
def test_forward_mode_is_the_directional_derivative() -> None:
    net = make_net()
    obs, direction = torch.randn(7, 5), torch.randn(net.params.shape[1])
    _, expected = torch.autograd.functional.jvp(lambda row: plain_mlp(net, row, obs), net.params[ACTOR], direction)
    torch.testing.assert_close(net.forward_mode(net.forward(obs, slice(0, 1)), direction), expected)


@pytest.mark.parametrize("dist", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())
def test_sampled_actions_come_with_their_log_probability(dist: Distribution) -> None:
    net = make_net(dist=dist)
    net.free += torch.linspace(-1, 0.5, dist.nfree)
    obs = torch.randn(4, 5)
    noise = dist.noise(4, torch.Generator().manual_seed(0))
    action, logp, values = net.act(obs, noise)
    policy = net.policy(obs)
    torch.testing.assert_close(action, dist.sample(policy, noise))
    torch.testing.assert_close(logp, torch_logp(dist, policy, action))
    torch.testing.assert_close(values, net.values(obs))


def test_a_policy_that_was_asked_for_does_not_move_with_training() -> None:
    net = make_net()
    policy = net.policy(torch.randn(4, 5))
    before = policy.free.clone()
    net.params += 1
    assert torch.equal(policy.free, before)


def test_reported_kl_is_that_of_the_epoch() -> None:
    ppo = make_algorithm("ppo", hidden=(8,), passes=2)
    batch = make_batch(ppo.net)
    old = ppo.net.policy(batch.obs)
    metrics = ppo.update(batch)
    kl = ppo.net.dist.kl(old, ppo.net.policy(batch.obs)).mean().item()
    assert metrics["train/kl"] == pytest.approx(kl) and kl > 0


@pytest.mark.parametrize("name", ["pg", "ppo", "ppo_lag", "cppo_pid", "cup", "focops"])
def test_step_size_decays_linearly_with_progress(name: str) -> None:
    """Adam's first step of the actor is the step size in every parameter; the critics' stays."""

    def first_step(progress: float, row: int, **settings: Any) -> float:
        algorithm = make_algorithm(name, hidden=(8,), passes=1, batch_size=100, **settings)
        batch = make_batch(algorithm.net, progress=progress)
        before = algorithm.net.params[row].clone()
        algorithm.fitter.run(batch, batch.reward_advantage, policy_gradient)
        return (algorithm.net.params[row] - before).abs().max().item()

    assert [first_step(p, ACTOR) for p in (0.0, 0.25, 0.5)] == pytest.approx([3e-4, 2.25e-4, 1.5e-4], rel=1e-3)
    assert first_step(0.5, ACTOR, lr_decay=False) == pytest.approx(3e-4, rel=1e-3)
    assert first_step(0.5, REWARD_CRITIC) == pytest.approx(3e-4, rel=1e-3)


def test_every_sample_is_seen_once_a_pass() -> None:
    net = make_net(ncost=2)
    fitter = Fitter(FirstOrderSettings(batch_size=32), net, torch.Generator().manual_seed(0))
    batch = make_batch(net, 100)
    parts = list(fitter._shuffled([batch.obs, batch.reward_advantage], batch.targets))
    assert [len(obs) for (obs, _), *_ in parts] == [32, 32, 32, 4]
    joined = torch.cat([advantage for (_, advantage), *_ in parts])
    assert not torch.equal(joined, batch.reward_advantage)
    torch.testing.assert_close(joined.sort().values, batch.reward_advantage.sort().values)
    for (obs, advantage), targets, _ in parts:  # columns stay together
        for k in range(len(obs)):
            i = (batch.reward_advantage == advantage[k]).nonzero().item()
            assert torch.equal(batch.obs[i], obs[k]) and torch.equal(batch.targets[:, i], targets[:, k])


@pytest.mark.parametrize("dist", [Gaussian(2), Categorical((3,))], ids=["gaussian", "discrete"])
@pytest.mark.parametrize("name", ["pg", "ppo", "ppo_lag", "cppo_pid", "cup", "focops"])
def test_divergence_is_reported_in_words(name: str, dist: Distribution) -> None:
    algorithm = make_algorithm(name, dist, hidden=(8,))
    bad = torch.full((100,), math.nan)
    with pytest.raises(FloatingPointError, match="diverged"):
        algorithm.update(make_batch(algorithm.net, reward_advantage=bad))


def test_episode_statistics_window_and_empty_epochs() -> None:
    """Means of the running 50-episode window, averaged over the epoch; an empty epoch keeps the last value."""
    stats = EpisodeStats(("a",))
    assert math.isnan(stats.close_epoch()["a"])
    stats.add([10.0])
    stats.add([20.0])  # recorded: 10, 15
    assert stats.close_epoch()["a"] == 12.5
    assert stats.close_epoch()["a"] == 12.5
    for _ in range(60):
        stats.add([1.0])
    stats.close_epoch()
    stats.add([1.0])
    assert stats.close_epoch()["a"] == 1.0
