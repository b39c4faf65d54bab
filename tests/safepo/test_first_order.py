"""First-order updates against the written losses, differentiated by autograd and descended by torch.optim.Adam."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from safepo.algorithms.base import Algorithm
from safepo.algorithms.cup import coefficient, projection
from safepo.algorithms.focops import FOCOPS, focops_loss
from safepo.algorithms.lagrangian import lagrangian_advantage
from safepo.algorithms.ppo import clipped_loss
from safepo.distributions import Categorical, Distribution, Gaussian
from safepo.first_order import Sample
from safepo.networks import ACTOR, CRITICS, ActorCritic
from safepo.rollout import Batch
from tests.safepo.helpers import (
    make_algorithm,
    make_batch,
    plain_mlp,
    plain_policy,
    policy_ratio,
    stir,
    torch_kl,
)

Loss = Callable[[Tensor], Tensor]
"""Policy loss as a function of the actor's row of parameters."""


def descend(
    net: ActorCritic, params: Tensor, batch: Batch, loss: Loss | None, critics: bool, passes: int, settings: Any
) -> tuple[Tensor, Tensor]:
    """Full-batch passes from `params (2 + k, p)` with one torch.optim.Adam per network; returns parameters and the last
    clipped gradients, 0 for networks left out."""
    rows = [Parameter(row.clone()) for row in params]
    rates = [settings.actor_lr if loss is not None else 0.0, *[settings.critic_lr] * (len(rows) - 1)]
    optimisers = [torch.optim.Adam([row], lr=lr) for row, lr in zip(rows, rates, strict=True)]
    taking_part = ([ACTOR] if loss is not None else []) + (list(range(1, len(rows))) if critics else [])
    for _ in range(passes):
        total = torch.zeros(())
        for i in taking_part:
            rows[i].grad = None
            if i == ACTOR:
                assert loss is not None
                total = total + loss(rows[i])
            else:
                value = plain_mlp(net, rows[i], batch.obs)[:, 0]
                total = total + ((value - batch.targets[i - 1]) ** 2).mean() + settings.critic_l2 * (rows[i] ** 2).sum()
        total.backward()
        part = [rows[i] for i in taking_part]
        groups = [part] if settings.clip_mode == "joint" else [[row] for row in part]
        for group in groups:
            torch.nn.utils.clip_grad_norm_(group, settings.max_grad_norm)
        for i in taking_part:
            optimisers[i].step()
    grads = [torch.zeros_like(row) if row.grad is None else row.grad for row in rows]
    return torch.stack([row.detach() for row in rows]), torch.stack(grads)


def prepared(
    name: str, dist: Distribution | None = None, limits: dict[str, float] | None = None, **settings: Any
) -> tuple[Algorithm[Any], Batch]:
    """An algorithm whose minibatch is the whole epoch, and data of a policy that differs from its own."""
    fixed = {"batch_size": 60, "passes": 3, "target_kl": 1e9, "actor_lr": 0.01, "critic_lr": 0.02}
    algorithm = make_algorithm(name, dist, limits, **{**fixed, **settings})
    stir(algorithm.net)
    k = algorithm.net.ncost
    batch = make_batch(algorithm.net, 60, episode_cost=[40.0, 3.0][:k])
    stir(algorithm.net, 0.2)
    return algorithm, batch


def mixed(batch: Batch, algorithm: Algorithm[Any]) -> Tensor:
    """The advantage that a Lagrangian method climbs, by the multipliers that it used."""
    m = algorithm.multiplier.values  # type: ignore[attr-defined]
    assert m.any(), "the test needs multipliers that are not 0"
    total = batch.reward_advantage.clone()
    for weight, costs in zip(m, batch.cost_advantage, strict=True):
        total -= weight * costs
    return total / (1 + m.sum())


def assert_trained_like(algorithm: Algorithm[Any], expected: tuple[Tensor, Tensor], rows: slice = slice(None)) -> None:
    params, grads = expected
    torch.testing.assert_close(algorithm.net.params, params, rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(algorithm.net.grads[rows], grads[rows], rtol=1e-6, atol=1e-9)


CASES = pytest.mark.parametrize(
    ("dist", "limits"),
    [
        (Gaussian(1), {"cost": 25.0}),
        (Gaussian(3), {"cost_a": 25.0, "cost_b": 4.0}),
        (Categorical((4,)), {"cost_a": 25.0, "cost_b": 2.0}),
        (Categorical((3, 2)), {"cost": 25.0}),
    ],
    ids=["gaussian-1", "gaussian-3-two-costs", "discrete-two-costs", "multi-discrete"],
)


@pytest.mark.usefixtures("double")
@CASES
@pytest.mark.parametrize("name", ["pg", "ppo", "ppo_lag", "cppo_pid", "focops", "cup"])
def test_an_epoch_descends_the_written_loss(name: str, dist: Distribution, limits: dict[str, float]) -> None:
    """Three full-batch passes equal autograd through plain MLPs, with torch's Adam, value losses, L2 and clipping."""
    extra = {"cppo_pid": {"pid_init": 0.3}, "pg": {}, "ppo": {}}.get(name, {"multiplier_init": 0.3})
    algorithm, batch = prepared(name, dist, limits, max_grad_norm=3.0, **extra)
    net, settings, start = algorithm.net, algorithm.settings, algorithm.net.params.clone()
    old = plain_policy(net, start[ACTOR], batch.obs)
    algorithm.update(batch)

    def loss(row: Tensor) -> Tensor:
        ratio = policy_ratio(net, row, batch)
        if name == "pg":
            return -(ratio * batch.reward_advantage).mean()
        if name == "focops":
            kl = torch_kl(dist, plain_policy(net, row, batch.obs), old)
            inside = (kl.detach() <= settings.target_kl).to(kl.dtype)
            return (inside * (kl - ratio * mixed(batch, algorithm) / settings.temperature)).mean()
        advantage = batch.reward_advantage if name in ("ppo", "cup") else mixed(batch, algorithm)
        return -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean()

    ratio = policy_ratio(net, start[ACTOR], batch)
    assert (ratio > 1.2).any() and (ratio < 0.8).any(), "the test needs clipped samples"
    expected = descend(net, start, batch, loss, True, settings.passes, settings)
    if name != "cup":
        assert_trained_like(algorithm, expected)
        return
    half = plain_policy(net, expected[0][ACTOR], batch.obs)
    charge = sum(m * costs for m, costs in zip(algorithm.multiplier.values, batch.cost_advantage, strict=True))  # type: ignore[attr-defined]

    def second_loss(row: Tensor) -> Tensor:
        scale = (1 - settings.gamma * settings.cost_gae_lambda) / (1 - settings.gamma)
        kl = torch_kl(dist, plain_policy(net, row, batch.obs), half)
        return (scale * policy_ratio(net, row, batch) * charge + kl).mean()

    projected = descend(net, expected[0], batch, second_loss, False, settings.passes, settings)
    assert_trained_like(algorithm, projected, slice(0, 1))
    torch.testing.assert_close(projected[0][CRITICS], expected[0][CRITICS])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("dist", [Gaussian(2), Categorical((3, 2))], ids=["gaussian", "multi-discrete"])
def test_focops_masks_single_samples(dist: Distribution) -> None:
    """With the trust region of the method's own size some samples lie outside after the first pass."""
    algorithm, batch = prepared("focops", dist, target_kl=0.01, actor_lr=0.006, multiplier_init=0.3)
    net, settings, start = algorithm.net, algorithm.settings, algorithm.net.params.clone()
    old = plain_policy(net, start[ACTOR], batch.obs)
    metrics = algorithm.update(batch)
    assert metrics["train/passes"] == 3, "the test needs all passes"
    outside: list[int] = []

    def loss(row: Tensor) -> Tensor:
        total = torch.zeros(())
        kl = torch_kl(dist, plain_policy(net, row, batch.obs), old)
        ratio, advantage = policy_ratio(net, row, batch), mixed(batch, algorithm)
        outside.append(int((kl > settings.target_kl).sum()))
        for s in range(len(kl)):
            if kl[s] <= settings.target_kl:
                total = total + kl[s] - ratio[s] * advantage[s] / settings.temperature
        return total / len(kl)

    expected = descend(net, start, batch, loss, True, 3, settings)
    assert outside[0] == 0 and 0 < outside[2] < 60, outside
    assert_trained_like(algorithm, expected)


def test_focops_loss_by_hand() -> None:
    """delta 0.02, temperature 1.5; the second sample lies outside:
    ((0.01 - 1.2 * 2 / 1.5) + 0 + (0.02 + 0.5 * 1 / 1.5)) / 3 = (-1.59 + 0 + 0.35333) / 3."""
    kl, ratio = torch.tensor([0.01, 0.05, 0.02]), torch.tensor([1.2, 0.9, 0.5])
    advantage = torch.tensor([2.0, -7.0, -1.0])
    assert focops_loss(ratio, kl, advantage, 0.02, 1.5).item() == pytest.approx((-1.59 + 0.353333) / 3, rel=1e-5)
    focops = make_algorithm("focops")
    assert isinstance(focops, FOCOPS)
    gradient = focops.loss(Sample(advantage, ratio, kl))
    torch.testing.assert_close(gradient.logp, torch.tensor([-0.8 * 2 / 3, 0.0, 1 / 9]))
    assert gradient.kl is not None
    torch.testing.assert_close(gradient.kl, torch.tensor([1 / 3, 0.0, 1 / 3]))


def test_the_masked_sample_moves_nothing() -> None:
    """Changing its advantage changes no gradient."""
    kl, ratio = torch.tensor([0.01, 0.05]), torch.tensor([1.2, 0.9])
    focops = make_algorithm("focops")
    assert isinstance(focops, FOCOPS)
    one, other = (focops.loss(Sample(torch.tensor([2.0, a]), ratio, kl)).logp for a in (1.0, 1000.0))
    assert torch.equal(one, other) and one[0] != 0


def test_ppo_clips_only_towards_the_advantage() -> None:
    """Ratios 1.5 and 0.5 with advantages of both signs: clipped samples 1.5 with A > 0, 0.5 with A < 0.

    loss = -(1.2 - 1.5 + 0.5 - 0.8) / 4 = 0.15
    """
    ratio, advantage = torch.tensor([1.5, 1.5, 0.5, 0.5]), torch.tensor([1.0, -1.0, 1.0, -1.0])
    assert clipped_loss(ratio, advantage, 0.2).item() == pytest.approx(0.15)
    ppo = make_algorithm("ppo")
    gradient = ppo.loss(Sample(advantage, ratio, None)).logp  # type: ignore[attr-defined]
    torch.testing.assert_close(gradient, torch.tensor([0.0, 1.5 / 4, -0.5 / 4, 0.0]))


def test_cup_coefficient() -> None:
    assert coefficient(0.99, 0.95) == pytest.approx(5.95)
    assert coefficient(0.9, 0.5) == pytest.approx(5.5)


def test_lagrangian_advantage_by_hand() -> None:
    """(1 - 0.25 * 4 - 0.5 * 2) / 1.75 and (2 - 0.25 * -1 - 0.5 * 0) / 1.75."""
    batch = make_batch(
        make_algorithm("ppo", limits={"cost_a": 1.0, "cost_b": 1.0}).net,
        2,
        reward_advantage=torch.tensor([1.0, 2.0]),
        cost_advantage=torch.tensor([[4.0, -1.0], [2.0, 0.0]]),
    )
    mixed = lagrangian_advantage(batch, np.array([0.25, 0.5]))
    torch.testing.assert_close(mixed, torch.tensor([-1 / 1.75, 2.25 / 1.75]))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("max_grad_norm", [0.1, 1e9])
@pytest.mark.parametrize("clip_mode", ["per_network", "joint"])
def test_clipping(clip_mode: str, max_grad_norm: float) -> None:
    """A cost critic that is far off shrinks the actor's gradient only when all networks are clipped together."""
    algorithm, batch = prepared("ppo", clip_mode=clip_mode, max_grad_norm=max_grad_norm, passes=1)
    batch.targets[1] += 100.0
    net, settings, start = algorithm.net, algorithm.settings, algorithm.net.params.clone()
    algorithm.update(batch)
    expected = descend(
        net,
        start,
        batch,
        lambda row: clipped_loss(policy_ratio(net, row, batch), batch.reward_advantage, 0.2),
        True,
        1,
        settings,
    )
    assert_trained_like(algorithm, expected)
    norms = net.grads.norm(dim=1)
    if max_grad_norm == 1e9:
        assert norms[2] > 100 * norms[0] > 0
    elif clip_mode == "joint":
        assert net.grads.norm().item() == pytest.approx(0.1, rel=1e-4) and norms[0] < 0.001
    else:
        assert norms[2].item() == pytest.approx(0.1, rel=1e-4) and norms[0] > 0.01


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("name", ["natural_pg", "trpo", "trpo_lag", "rcpo", "cpo", "pcpo"])
def test_trust_region_methods_fit_the_critics_alone(name: str) -> None:
    limits = {"cost": 25.0} if name in ("cpo", "pcpo") else {"cost_a": 25.0, "cost_b": 2.0}
    kind = make_algorithm(name, limits=limits, batch_size=60, passes=3, critic_lr=0.02, max_grad_norm=0.5)
    stir(kind.net)
    batch = make_batch(kind.net, 60)
    start = kind.net.params.clone()
    kind.update(batch)
    params, grads = descend(kind.net, start, batch, None, True, 3, kind.settings)
    torch.testing.assert_close(kind.net.params[CRITICS], params[CRITICS], rtol=1e-6, atol=1e-8)
    torch.testing.assert_close(kind.net.grads[CRITICS], grads[CRITICS], rtol=1e-6, atol=1e-9)
    assert not torch.equal(kind.net.params[ACTOR], start[ACTOR])


def test_rows_left_out_stay_to_the_bit() -> None:
    cpo, cup = make_algorithm("cpo", passes=2), make_algorithm("cup", passes=2)
    batch, before = make_batch(cpo.net), cpo.net.params.clone()
    cpo.fitter.run_critics(batch)  # type: ignore[attr-defined]
    assert torch.equal(cpo.net.params[ACTOR], before[ACTOR])
    assert (cpo.net.params[CRITICS] != before[CRITICS]).any(1).all()
    batch, before = make_batch(cup.net), cup.net.params.clone()
    half = cup.net.policy(batch.obs)
    cup.projector.run(batch, batch.cost_advantage[0], projection, reference=half, kl_from="reference")  # type: ignore[attr-defined]
    assert torch.equal(cup.net.params[CRITICS], before[CRITICS])
    assert not torch.equal(cup.net.params[ACTOR], before[ACTOR])


def test_early_stop_by_kl_of_the_whole_epoch() -> None:
    eager = make_algorithm("ppo", hidden=(8,), actor_lr=0.05, passes=30)
    metrics = eager.update(make_batch(eager.net))
    assert metrics["train/passes"] < 30 and metrics["train/kl"] > 0.02
    calm = make_algorithm("ppo", hidden=(8,), actor_lr=1e-6, passes=7)
    metrics = calm.update(make_batch(calm.net))
    assert metrics["train/passes"] == 7 and metrics["train/kl"] < 0.02
