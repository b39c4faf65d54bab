"""Advantages, normaliser, multiplier, optimiser and hand-written gradients against hand-worked or slow references."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from safepo.advantages import gae
from safepo.algorithms.base import Problem
from safepo.algorithms.ppo import PPO, PPOSettings, clipped_loss
from safepo.algorithms.ppo_lag import PPOLag, PPOLagSettings, lagrangian_advantage
from safepo.first_order import FirstOrderSettings, FirstOrderUpdate, FlatAdam, Minibatch, clip_rows
from safepo.multiplier import AdamMultiplier
from safepo.networks import ACTOR, COST_CRITIC, CRITICS, REWARD_CRITIC, ActorCritic, gaussian_kl, gaussian_logp
from safepo.normalize import ObsNormalizer
from safepo.rollout import Batch, EpisodeStats


def make_net(nobs: int = 5, nact: int = 2, hidden: tuple[int, ...] = (8, 6)) -> ActorCritic:
    return ActorCritic(nobs, nact, hidden, "cpu", torch.Generator().manual_seed(0))


def make_batch(net: ActorCritic, n: int = 100, episode_cost: float = 30.0, **fields: object) -> Batch:
    g = torch.Generator().manual_seed(1)
    obs = torch.randn(n, net.nobs, generator=g)
    action, logp, _ = net.act(obs, torch.randn(n, net.nact, generator=g))
    values = {
        "obs": obs,
        "action": action,
        "logp": logp,
        "reward_advantage": torch.randn(n, generator=g),
        "cost_advantage": torch.randn(n, generator=g),
        "targets": torch.randn(2, n, generator=g),
        "episode_cost": episode_cost,
        "progress": 0.0,
    }
    return Batch(**{**values, **fields})  # type: ignore[arg-type]


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


def test_multiplier_rises_by_its_step_size_and_stays_at_zero() -> None:
    rising, falling = AdamMultiplier(0.001, 0.035), AdamMultiplier(0.001, 0.035)
    for k in range(1, 6):
        rising.update(35.0, 25.0)
        falling.update(15.0, 25.0)
        assert rising.value == pytest.approx(0.001 + 0.035 * k, rel=1e-3)
        assert falling.value == 0.0


def test_multiplier_equals_torch_adam_and_respects_bound() -> None:
    parameter = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    adam, ours = torch.optim.Adam([parameter], lr=0.035), AdamMultiplier(0.5, 0.035)
    for cost in (30.0, 60.0, 10.0, 28.0):
        adam.zero_grad()
        (-parameter * (cost - 25.0)).backward()
        adam.step()
        ours.update(cost, 25.0)
        assert ours.value == pytest.approx(parameter.item(), rel=1e-9)
    bounded = AdamMultiplier(0.0, 1.0, upper=1.5)
    for _ in range(5):
        bounded.update(100.0, 25.0)
    assert bounded.value == 1.5


def test_multiplier_ignores_epochs_before_any_episode() -> None:
    multiplier = AdamMultiplier(0.2, 0.035)
    multiplier.update(math.nan, 25.0)
    assert multiplier.value == 0.2 and multiplier.nstep == 0


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


def test_networks_equal_a_plain_mlp() -> None:
    """The stacked forward is tanh MLPs, and padding of the critics stays 0."""
    net = make_net()
    obs = torch.randn(7, 5, generator=torch.Generator().manual_seed(3))
    for row in (ACTOR, REWARD_CRITIC, COST_CRITIC):
        x = obs
        for i, (weight, bias) in enumerate(net.layers):
            x = x @ weight[row] + bias[row]
            x = x.tanh() if i < len(net.layers) - 1 else x
        expected = net.mean(obs) if row == ACTOR else net.values(obs)[:, row - 1]
        torch.testing.assert_close(x if row == ACTOR else x[:, 0], expected, rtol=1e-5, atol=1e-6)
    weight, bias = net.layers[-1]
    assert not weight[CRITICS, :, 1:].any() and not bias[CRITICS, :, 1:].any()


def test_initial_weights_follow_the_linear_default() -> None:
    net = ActorCritic(60, 2, (64, 64), "cpu", torch.Generator().manual_seed(0))
    bound = 1 / math.sqrt(60)
    weight = net.layers[0][0]
    assert weight.abs().max() <= bound and weight.std() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert not net.log_std.any()


@pytest.mark.parametrize("nact", [1, 3])
def test_hand_written_gradient_equals_autograd(nact: int) -> None:
    """PPO loss + both value losses + L2, differentiated by autograd through the same networks."""
    problem = Problem(nobs=5, nact=nact, cost_limit=25.0, device="cpu")
    ppo = PPO(PPOSettings(hidden=(8, 6), max_grad_norm=1e9), problem, 0, 1)
    net, batch = ppo.net, make_batch(ppo.net, 50)
    net.params[:, :-nact] += 0.1 * torch.randn(
        3, net.params.shape[1] - nact, generator=torch.Generator().manual_seed(9)
    )
    weight, bias = net.layers[-1]
    weight[CRITICS, :, 1:], bias[CRITICS, :, 1:] = 0, 0
    net.log_std += 0.3
    params = net.params.clone().requires_grad_()
    out = net.forward(batch.obs, layers=net.split(params))[-1]
    log_std = params[ACTOR, -nact:]
    logp, _ = gaussian_logp(batch.action, out[ACTOR], log_std)
    ratio = (logp - batch.logp).exp()
    assert (ratio > 1.2).any() and (ratio < 0.8).any(), "the test needs clipped samples"
    loss = clipped_loss(ratio, batch.reward_advantage, 0.2)
    loss = loss + ((out[CRITICS, :, 0] - batch.targets) ** 2).mean(1).sum() + 1e-3 * (params[CRITICS] ** 2).sum()
    loss.backward()

    with torch.no_grad():
        minibatch = Minibatch(batch.obs, batch.action, batch.logp, batch.reward_advantage, batch.targets)
        ppo.first_order._step(minibatch, ppo.policy_gradient)
    torch.testing.assert_close(net.grads, params.grad, rtol=1e-4, atol=1e-6)
    assert not net.layers[-1][0][CRITICS, :, 1:].any(), "padding moved"


def test_gaussian_formulas_equal_torch_distributions() -> None:
    g = torch.Generator().manual_seed(0)
    mean, other, action = (torch.randn(6, 3, generator=g) for _ in range(3))
    log_std, other_log_std = torch.randn(3, generator=g), torch.randn(3, generator=g)
    p = torch.distributions.Normal(mean, log_std.exp())
    q = torch.distributions.Normal(other, other_log_std.exp())
    torch.testing.assert_close(gaussian_logp(action, mean, log_std)[0], p.log_prob(action).sum(1))
    kl = torch.distributions.kl_divergence(p, q).sum(1)
    torch.testing.assert_close(gaussian_kl(mean, log_std, other, other_log_std), kl)


def test_action_log_probability_agrees() -> None:
    net = make_net()
    net.log_std += torch.tensor([0.5, -1.0])
    obs = torch.randn(4, 5)
    action, logp, values = net.act(obs, torch.randn(4, 2))
    torch.testing.assert_close(logp, gaussian_logp(action, net.mean(obs), net.log_std)[0])
    torch.testing.assert_close(values, net.values(obs))


def test_early_stop_by_kl_of_the_whole_epoch() -> None:
    problem = Problem(5, 2, 25.0, "cpu")
    eager = PPO(PPOSettings(hidden=(8,), actor_lr=0.05, passes=30), problem, 0, 1)
    metrics = eager.update(make_batch(eager.net))
    assert metrics["train/passes"] < 30 and metrics["train/kl"] > 0.02
    calm = PPO(PPOSettings(hidden=(8,), actor_lr=1e-6, passes=7), problem, 0, 1)
    metrics = calm.update(make_batch(calm.net))
    assert metrics["train/passes"] == 7 and metrics["train/kl"] < 0.02


def test_reported_kl_is_that_of_the_epoch() -> None:
    ppo = PPO(PPOSettings(hidden=(8,), passes=2), Problem(5, 2, 25.0, "cpu"), 0, 1)
    batch = make_batch(ppo.net)
    old_mean, old_log_std = ppo.net.mean(batch.obs), ppo.net.log_std.clone()
    metrics = ppo.update(batch)
    kl = gaussian_kl(old_mean, old_log_std, ppo.net.mean(batch.obs), ppo.net.log_std).mean().item()
    assert metrics["train/kl"] == pytest.approx(kl) and kl > 0


def test_step_size_decays_linearly_with_progress() -> None:
    ppo = PPO(PPOSettings(hidden=(8,), passes=1), Problem(5, 2, 25.0, "cpu"), 0, 1)
    rates = [ppo.update(make_batch(ppo.net, progress=p))["train/lr"] for p in (0.0, 0.25, 0.5)]
    assert rates == pytest.approx([3e-4, 2.25e-4, 1.5e-4])
    constant = PPO(PPOSettings(hidden=(8,), passes=1, lr_decay=False), Problem(5, 2, 25.0, "cpu"), 0, 1)
    assert constant.update(make_batch(constant.net, progress=0.5))["train/lr"] == pytest.approx(3e-4)


def test_every_sample_is_seen_once_a_pass() -> None:
    net = make_net()
    update = FirstOrderUpdate(FirstOrderSettings(batch_size=32), net, torch.Generator().manual_seed(0))
    batch = make_batch(net, 100)
    parts = list(update._shuffled(batch, batch.reward_advantage))
    assert [len(p.obs) for p in parts] == [32, 32, 32, 4]
    joined = torch.cat([p.advantage for p in parts])
    assert not torch.equal(joined, batch.reward_advantage)
    torch.testing.assert_close(joined.sort().values, batch.reward_advantage.sort().values)
    for p in parts:  # columns stay together
        for k in range(len(p.obs)):
            i = (batch.reward_advantage == p.advantage[k]).nonzero().item()
            assert torch.equal(batch.obs[i], p.obs[k]) and torch.equal(batch.targets[:, i], p.targets[:, k])


def test_lagrangian_advantage() -> None:
    mixed = lagrangian_advantage(torch.tensor([1.0, 2.0]), torch.tensor([4.0, -1.0]), 0.25)
    torch.testing.assert_close(mixed, torch.tensor([0.0, 1.8]))


def test_first_epoch_sees_its_real_cost() -> None:
    """SafePO reads 0 in the first epoch and lowers the multiplier; here it rises at once."""
    lag = PPOLag(PPOLagSettings(hidden=(8,), passes=1), Problem(5, 2, 25.0, "cpu"), 0, 1)
    metrics = lag.update(make_batch(lag.net, episode_cost=98.0))
    assert metrics["train/multiplier"] == pytest.approx(0.036, rel=1e-3)


def test_divergence_is_reported_in_words() -> None:
    ppo = PPO(PPOSettings(hidden=(8,)), Problem(5, 2, 25.0, "cpu"), 0, 1)
    bad = torch.full((100,), math.nan)
    with pytest.raises(FloatingPointError, match="diverged"):
        ppo.update(make_batch(ppo.net, reward_advantage=bad))


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
