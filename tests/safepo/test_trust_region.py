"""Natural gradients, the dual of CPO, the projection of PCPO and line searches, against dense algebra on small nets."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from safepo.algorithms.base import Algorithm
from safepo.algorithms.cpo import excess
from safepo.algorithms.pcpo import projected_step
from safepo.algorithms.settings import LineSearchSettings
from safepo.distributions import Distribution
from safepo.networks import ACTOR, ActorCritic
from safepo.rollout import Batch
from safepo.trust_region import Trial, TrustRegion, conjugate_gradient, solve_dual
from tests.safepo.helpers import (
    DISTRIBUTIONS,
    actor_row,
    make_algorithm,
    make_batch,
    make_net,
    plain_policy,
    policy_ratio,
    stir,
    torch_kl,
)

pytestmark = pytest.mark.usefixtures("double")

Floats = NDArray[np.float64]
DIST = pytest.mark.parametrize("dist", DISTRIBUTIONS.values(), ids=DISTRIBUTIONS.keys())


def make_region(dist: Distribution, n: int = 60, **settings: Any) -> tuple[TrustRegion, ActorCritic, Batch]:
    net = make_net(4, dist, (6,))
    stir(net, 0.3)
    batch = make_batch(net, n)
    return TrustRegion(LineSearchSettings(**settings), net, batch), net, batch


def mean_kl(net: ActorCritic, start: Tensor, batch: Batch) -> Callable[[Tensor], Tensor]:
    """Mean over samples and action dimensions of KL(old || new) as a function of the actor's row."""
    old = plain_policy(net, start, batch.obs)

    def kl(row: Tensor) -> Tensor:
        return torch_kl(net.dist, old, plain_policy(net, row, batch.obs)).mean() / net.dist.nact

    return kl


def dense_hessian(net: ActorCritic, start: Tensor, batch: Batch, damping: float) -> Tensor:
    hessian = torch.autograd.functional.hessian(mean_kl(net, start, batch), start)
    return hessian + damping * torch.eye(len(start))


def surrogate_gradient(net: ActorCritic, start: Tensor, batch: Batch, advantage: Tensor) -> Tensor:
    row = start.clone().requires_grad_()
    (gradient,) = torch.autograd.grad((policy_ratio(net, row, batch) * advantage).mean(), row)
    return gradient


# --- derivatives ------------------------------------------------------------------------------------------------------


@DIST
def test_gradient_equals_autograd(dist: Distribution) -> None:
    region, net, batch = make_region(dist)
    expected = surrogate_gradient(net, actor_row(net), batch, batch.reward_advantage)
    torch.testing.assert_close(region.gradient(batch.reward_advantage), expected)


@DIST
@pytest.mark.parametrize("damping", [0.0, 0.1])
def test_fisher_product_equals_the_dense_hessian_of_the_mean_kl(dist: Distribution, damping: float) -> None:
    region, net, batch = make_region(dist, cg_damping=damping)
    start = actor_row(net)
    hessian = dense_hessian(net, start, batch, damping)
    identity = torch.eye(len(start))
    found = torch.stack([region.fisher_product(column) for column in identity])
    torch.testing.assert_close(found, hessian, rtol=1e-7, atol=1e-9)


def test_more_samples_than_one_part_are_summed() -> None:
    """The policy is differentiated in parts of 4096 samples."""
    region, net, batch = make_region(DISTRIBUTIONS["gaussian-3"], 4200)
    start, vector = actor_row(net), torch.randn(len(actor_row(net)))
    torch.testing.assert_close(
        region.gradient(batch.reward_advantage), surrogate_gradient(net, start, batch, batch.reward_advantage)
    )
    _, product = torch.autograd.functional.hvp(mean_kl(net, start, batch), start, vector)
    torch.testing.assert_close(region.fisher_product(vector), product + 0.1 * vector, rtol=1e-7, atol=1e-9)


@DIST
def test_a_trial_reports_the_true_changes(dist: Distribution) -> None:
    region, net, batch = make_region(dist)
    start = actor_row(net)
    step = 0.05 * torch.randn(len(start), generator=torch.Generator().manual_seed(2))
    trial = region.try_step(step, batch.reward_advantage, batch.cost_advantage[0])
    change = policy_ratio(net, start + step, batch) - policy_ratio(net, start, batch)
    assert trial.reward == pytest.approx((change * batch.reward_advantage).mean().item())
    assert trial.cost == pytest.approx((change * batch.cost_advantage[0]).mean().item())
    assert trial.kl == pytest.approx(mean_kl(net, start, batch)(start + step).item())
    assert torch.equal(net.params[ACTOR], start + step)


# --- conjugate gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 5, 30])
@pytest.mark.parametrize("scale", [1.0, 1e-5])
def test_conjugate_gradient_equals_a_dense_solve(n: int, scale: float) -> None:
    """Also of a small target, such as the gradient of a rare cost."""
    g = torch.Generator().manual_seed(n)
    for _ in range(20):
        root = torch.randn(n, n, generator=g)
        matrix, target = root @ root.T / n + 0.1 * torch.eye(n), scale * torch.randn(n, generator=g)
        found = conjugate_gradient(lambda v, matrix=matrix: matrix @ v, target, 3 * n)
        # The method stops where the residual is 1e-5 of the target; the smallest eigenvalue is at least 0.1.
        assert (matrix @ found - target).norm() <= 1e-5 * target.norm()
        assert (found - torch.linalg.solve(matrix, target)).norm() <= 1e-4 * target.norm()


def test_conjugate_gradient_of_nothing_is_nothing() -> None:
    assert not conjugate_gradient(lambda v: 2 * v, torch.zeros(3), 10).any()


def test_few_iterations_already_descend() -> None:
    """Every iterate lowers the quadratic x.Hx / 2 - x.g."""
    g = torch.Generator().manual_seed(0)
    root, target = torch.randn(20, 20, generator=g), torch.randn(20, generator=g)
    matrix = root @ root.T + 0.1 * torch.eye(20)
    values = []
    for k in range(15):
        x = conjugate_gradient(lambda v: matrix @ v, target, k)
        values.append((x @ matrix @ x / 2 - x @ target).item())
    assert values[0] == 0 and all(b < a for a, b in pairwise(values))


# --- the dual of CPO --------------------------------------------------------------------------------------------------


def best_step(g: Floats, b: Floats, hessian: Floats, c: float, delta: float) -> Floats | None:
    """Maximise g.d under c + b.d <= 0 and d.H d / 2 <= delta by geometry; None where no d keeps the limit.

    With H = L L^T and z = L^T d the region is a ball of radius R = sqrt(2 delta). The ball's best point is R g/|g|;
    where it is unsafe, the best safe point lies on the plane: its foot, then along g's part within the plane up to the
    sphere.
    """
    root = np.linalg.cholesky(hessian)
    g, b = np.linalg.solve(root, g), np.linalg.solve(root, b)
    radius = math.sqrt(2 * delta)
    z = radius * g / np.linalg.norm(g)
    if c + b @ z > 0:
        foot = -c * b / (b @ b)
        left = radius**2 - foot @ foot
        if left < 0:
            return None
        along = g - (g @ b) / (b @ b) * b
        z = foot + math.sqrt(left) * along / np.linalg.norm(along)
    return np.linalg.solve(root.T, z)


def random_quadratic(rng: np.random.Generator, n: int = 6) -> tuple[Floats, Floats, Floats]:
    root = rng.normal(size=(n, n))
    return rng.normal(size=n), rng.normal(size=n), root @ root.T + 0.5 * np.eye(n)


def test_the_dual_solves_random_problems_exactly() -> None:
    """All cases: `c` reaches from far below to far above what the trust region can change."""
    rng, delta = np.random.default_rng(0), 0.01
    seen = dict.fromkeys(range(4), 0)
    for _ in range(6000):
        g, b, hessian = random_quadratic(rng)
        x, p = np.linalg.solve(hessian, g), np.linalg.solve(hessian, b)
        q, r, s = g @ x, g @ p, b @ p
        c = rng.uniform(-1.5, 1.5) * math.sqrt(2 * delta * s)
        dual = solve_dual(q, r, s, c, delta, b @ b)
        seen[dual.case] += 1
        expected = best_step(g, b, hessian, c, delta)
        if expected is None:
            assert dual.case == 0
            continue
        assert dual.lam > 0 and dual.nu >= 0
        step = (x - dual.nu * p) / dual.lam
        np.testing.assert_allclose(step, expected, rtol=0, atol=1e-5)
        assert c + b @ step <= 1e-6 and step @ hessian @ step / 2 <= delta * (1 + 1e-5)
        if dual.case == 3:
            assert dual.nu == 0 and c + b @ step < 0
    assert min(seen.values()) > 500, seen


def test_a_cost_that_does_not_react_leaves_the_reward_step() -> None:
    """Case 4: the squared norm of the cost gradient is below 1e-6 and the policy is safe."""
    rng, delta = np.random.default_rng(1), 0.01
    g, b, hessian = random_quadratic(rng)
    b *= 1e-4 / np.linalg.norm(b)
    x, p = np.linalg.solve(hessian, g), np.linalg.solve(hessian, b)
    dual = solve_dual(g @ x, g @ p, b @ p, -1e-7, delta, b @ b)
    assert dual.case == 4 and dual.nu == 0
    step = x / dual.lam
    assert step @ hessian @ step / 2 == pytest.approx(delta)
    assert solve_dual(g @ x, g @ p, b @ p, 1e-7, delta, b @ b).case != 4


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_dual_at_the_limit_itself(sign: int) -> None:
    """c = 0: a reward step that lowers the cost is taken whole, another slides along the limit."""
    g, b, hessian = np.array([1.0, 0.0]), np.array([sign * 1.0, 2.0]), np.eye(2)
    dual = solve_dual(1.0, float(sign), 5.0, 0.0, 0.01, 5.0)
    step = (g - dual.nu * b) / dual.lam
    expected = best_step(g, b, hessian, 0.0, 0.01)
    np.testing.assert_allclose(step, expected, atol=1e-6)
    assert (dual.nu == 0) == (sign < 0)


def test_hand_worked_dual() -> None:
    """H = I, g = (1, 0), b = (1, 0) + (0, 1), delta = 1/2 (unit ball), c = 0: the plane d_x + d_y = 0 cuts the ball.

    Best d = (1, -1) / sqrt(2). Stationarity g - nu b = lam d: -nu = -lam / sqrt(2), 1 - nu = lam / sqrt(2):
    nu = 1/2, lam = 1/sqrt(2).
    """
    dual = solve_dual(1.0, 1.0, 2.0, 0.0, 0.5, 2.0)
    assert (dual.case, dual.nu) == (1, pytest.approx(0.5)) and dual.lam == pytest.approx(math.sqrt(0.5))


# --- whole updates ----------------------------------------------------------------------------------------------------


def capture_step(algorithm: Algorithm[Any], batch: Batch, monkeypatch: pytest.MonkeyPatch) -> tuple[Tensor, dict]:
    """The step that a method hands to its line search (or takes at once), and the metrics."""
    steps: list[Tensor] = []
    inner = TrustRegion.try_step

    def spy(self: TrustRegion, step: Tensor, *args: Any) -> Trial:
        steps.append(step.clone())
        return inner(self, step, *args)

    monkeypatch.setattr(TrustRegion, "try_step", spy)
    metrics = algorithm.update(batch)
    return steps[0], metrics


def small(name: str, **settings: Any) -> tuple[Algorithm[Any], Batch]:
    """An algorithm with a policy of 34 parameters, conjugate gradients converged, critics nearly left alone."""
    algorithm = make_algorithm(name, nobs=3, hidden=(4,), cg_iterations=200, passes=1, **settings)
    stir(algorithm.net, 0.3)
    return algorithm, make_batch(algorithm.net, 80)


def test_the_natural_step_reaches_the_radius(monkeypatch: pytest.MonkeyPatch) -> None:
    """sqrt(2 delta / g.H^-1 g) H^-1 g, with the Hessian built densely."""
    algorithm, batch = small("natural_pg")
    net, start = algorithm.net, actor_row(algorithm.net)
    hessian = dense_hessian(net, start, batch, 0.1)
    g = surrogate_gradient(net, start, batch, batch.reward_advantage)
    x = torch.linalg.solve(hessian, g)
    step, metrics = capture_step(algorithm, batch, monkeypatch)
    torch.testing.assert_close(step, math.sqrt(2 * 0.01 / (g @ x)) * x, rtol=0, atol=1e-5)
    assert torch.equal(net.params[ACTOR], start + step), "no line search"
    assert metrics["train/xHx"] == pytest.approx((x @ g).item(), rel=1e-3)
    assert (step @ hessian @ step / 2).item() == pytest.approx(0.01, rel=1e-3)


EXCESS = {0: 50.0, 1: 0.001, 2: -0.001, 3: -50.0}
"""Case -> excess of the mean episode cost per step that leads to it on the data below."""


@pytest.mark.parametrize("case", EXCESS)
def test_cpo_takes_the_best_safe_step(case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm, batch = small("cpo", target_kl=0.01)
    batch = make_batch(algorithm.net, 80, episode_cost=25.0 + 50.0 * EXCESS[case])
    net, start, costs = algorithm.net, actor_row(algorithm.net), batch.cost_advantage[0]
    hessian = dense_hessian(net, start, batch, 0.1).numpy()
    g = surrogate_gradient(net, start, batch, batch.reward_advantage).numpy()
    b = surrogate_gradient(net, start, batch, costs).numpy()
    step, metrics = capture_step(algorithm, batch, monkeypatch)
    assert metrics["train/case"] == case and metrics["train/excess"] == pytest.approx(EXCESS[case])
    expected = best_step(g, b, hessian, EXCESS[case], 0.01)
    if case == 0:
        assert expected is None
        p = np.linalg.solve(hessian, b)
        expected = -math.sqrt(2 * 0.01 / (b @ p)) * p
    assert expected is not None
    np.testing.assert_allclose(step.numpy(), expected, rtol=0, atol=1e-5)
    assert metrics["train/line_search"] >= 1
    cost = (policy_ratio(net, actor_row(net), batch) * costs).mean().item()
    assert cost <= max(-EXCESS[case], 0.0) + 1e-12
    if case == 0:
        assert cost < -1e-3, "recovery lowers the cost surrogate"
    assert mean_kl(net, start, batch)(actor_row(net)).item() <= 0.01
    if case > 1:
        assert (policy_ratio(net, actor_row(net), batch) * batch.reward_advantage).mean().item() >= 0


@pytest.mark.parametrize("name", ["cpo", "pcpo"])
@pytest.mark.parametrize("unit", [0.01, 100.0])
@pytest.mark.parametrize("case", EXCESS)
def test_the_unit_of_cost_does_not_matter(name: str, unit: float, case: int, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = []
    for k in (1.0, unit):
        algorithm, batch = small(name, limits={"cost": 25.0 * k})
        costs, measured = k * batch.cost_advantage, k * (25.0 + 50.0 * EXCESS[case])
        batch = make_batch(algorithm.net, 80, episode_cost=measured, cost_advantage=costs)
        with monkeypatch.context() as patch:
            steps.append(capture_step(algorithm, batch, patch)[0])
    torch.testing.assert_close(steps[1], steps[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("sign", [-1, 1])
def test_cpo_when_costs_are_rewards(sign: int) -> None:
    """The gradients are parallel, and the problem loses a dimension: the step still ends at the limit."""
    torch.set_default_dtype(torch.float32)  # where rounding hits hardest
    algorithm, batch = small("cpo")
    costs = 2 * batch.reward_advantage.unsqueeze(0)
    batch = make_batch(algorithm.net, 80, episode_cost=25 + sign * 0.5, cost_advantage=costs)
    metrics = algorithm.update(batch)
    change = ((policy_ratio(algorithm.net, actor_row(algorithm.net), batch) - 1) * costs[0]).mean().item()
    assert metrics["train/line_search"] >= 1
    assert 0.0075 < -sign * change < 0.0115, "the excess was 0.01 per step either way"


def test_pcpo_projects_onto_the_limit() -> None:
    """Against the projection in whitened coordinates; active projections satisfy the linearised limit."""
    rng, delta, active = np.random.default_rng(3), 0.01, 0
    for _ in range(1000):
        g, b, hessian = random_quadratic(rng)
        x, p = np.linalg.solve(hessian, g), np.linalg.solve(hessian, b)
        c = rng.uniform(-2, 2) * math.sqrt(2 * delta * (b @ p))
        step, nu = projected_step(*map(torch.from_numpy, (g, x, b, p)), c, delta)
        root = np.linalg.cholesky(hessian)
        white_b = np.linalg.solve(root, b)
        z = np.linalg.solve(root, g)
        z *= math.sqrt(2 * delta) / np.linalg.norm(z)
        z = z - max(0.0, c + white_b @ z) / (white_b @ white_b) * white_b
        np.testing.assert_allclose(step.numpy(), np.linalg.solve(root.T, z), rtol=0, atol=1e-6)
        if nu > 0:
            active += 1
            assert abs(c + b @ step.numpy()) <= 1e-6
        else:
            assert c + b @ step.numpy() <= 0
    assert 200 < active < 800


@pytest.mark.parametrize("unsafe", [False, True])
def test_pcpo_takes_the_projected_step(unsafe: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    algorithm, _ = small("pcpo")
    c = 0.1 if unsafe else -50.0
    batch = make_batch(algorithm.net, 80, episode_cost=25.0 + 50.0 * c)
    net, start, costs = algorithm.net, actor_row(algorithm.net), batch.cost_advantage[0]
    hessian = dense_hessian(net, start, batch, 0.1)
    g = surrogate_gradient(net, start, batch, batch.reward_advantage)
    b = surrogate_gradient(net, start, batch, costs)
    x, p = torch.linalg.solve(hessian, g), torch.linalg.solve(hessian, b)
    plain = math.sqrt(2 * 0.01 / (g @ x)) * x
    step, metrics = capture_step(algorithm, batch, monkeypatch)
    assert (c + b @ plain > 0) == unsafe == (metrics["train/nu"] > 0)
    torch.testing.assert_close(step, plain - max(0.0, (c + b @ plain).item()) / (b @ p) * p, rtol=0, atol=1e-5)
    if unsafe:
        assert abs((c + b @ step).item()) < 1e-6


@pytest.mark.parametrize("name", ["trpo", "trpo_lag", "cpo", "pcpo"])
@pytest.mark.parametrize("dist", ["gaussian-3", "multi-discrete"])
def test_accepted_steps_stay_in_the_trust_region(name: str, dist: str) -> None:
    for delta in (0.001, 0.3):
        algorithm = make_algorithm(name, DISTRIBUTIONS[dist], target_kl=delta, passes=1)
        batch = make_batch(algorithm.net, 200)
        start = actor_row(algorithm.net)
        metrics = algorithm.update(batch)
        kl = mean_kl(algorithm.net, start, batch)(actor_row(algorithm.net)).item()
        assert metrics["train/line_search"] >= 1 and 0 < kl <= delta
        assert metrics["train/kl"] == pytest.approx(kl, rel=1e-6)


def test_trpo_improves_its_surrogate() -> None:
    algorithm = make_algorithm("trpo", passes=1)
    batch = make_batch(algorithm.net, 200)
    metrics = algorithm.update(batch)
    gain = ((policy_ratio(algorithm.net, actor_row(algorithm.net), batch) - 1) * batch.reward_advantage).mean().item()
    assert gain > 0 and metrics["loss/policy"] == pytest.approx(-gain)


@pytest.mark.parametrize("name", ["trpo", "trpo_lag", "cpo", "pcpo"])
def test_a_failed_line_search_leaves_the_policy_to_the_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A radius of 50 asks for steps whose true KL is far above it; one trial is all they get."""
    algorithm = make_algorithm(name, passes=1, line_search_steps=1, target_kl=50.0)
    stir(algorithm.net, 0.3)
    batch, start = make_batch(algorithm.net, episode_cost=0.0), actor_row(algorithm.net)
    metrics = algorithm.update(batch)
    assert metrics["train/line_search"] == 0 and metrics["train/kl"] == 0
    assert torch.equal(algorithm.net.params[ACTOR], start)


def test_the_line_search_shrinks_until_accepted() -> None:
    region, net, batch = make_region(DISTRIBUTIONS["gaussian-3"], target_kl=1e9)
    start, tried = actor_row(net), list[float]()
    step = torch.full_like(start, 1e-3)

    def third_time(trial: Trial) -> bool:
        tried.append((net.params[ACTOR] - start).norm().item())
        return len(tried) == 3

    trial, used = region.line_search(step, third_time, batch.reward_advantage, None, 10, 0.5)
    assert used == 3 and trial.cost == 0
    assert tried == pytest.approx([step.norm().item() * f for f in (1, 0.5, 0.25)])
    torch.testing.assert_close(net.params[ACTOR], start + 0.25 * step)
    _, used = region.line_search(step, lambda trial: False, batch.reward_advantage, None, 10, 0.5)
    assert used == 0 and torch.equal(net.params[ACTOR], start)


def test_trials_that_are_not_finite_shrink_the_step() -> None:
    """The reference repeats the same trial for ever; here the search comes back from overflow."""
    region, net, batch = make_region(DISTRIBUTIONS["gaussian-3"])
    start = actor_row(net)
    step = 1e6 * region.gradient(batch.reward_advantage)
    assert not region.try_step(step, batch.reward_advantage).finite
    trial, used = region.line_search(step, lambda t: t.reward >= 0, batch.reward_advantage, None, 60, 0.5)
    assert used > 5 and trial.finite and 0 < trial.kl <= 0.01
    assert torch.isfinite(net.params[ACTOR]).all() and not torch.equal(net.params[ACTOR], start)


# --- the scale of the excess ------------------------------------------------------------------------------------------


def test_cost_scales_by_hand() -> None:
    """Cost 35 against 25 in episodes of 50 steps: 10 / 50, 10 (1 - 0.99), 10."""
    batch = make_batch(make_net(), 4, episode_cost=35.0)
    assert excess("episode_length", 0.99, batch, 25.0) == pytest.approx(0.2)
    assert excess("one_minus_gamma", 0.99, batch, 25.0) == pytest.approx(0.1)
    assert excess("none", 0.99, batch, 25.0) == pytest.approx(10.0)


@pytest.mark.parametrize("scale", ["episode_length", "one_minus_gamma", "none"])
@pytest.mark.parametrize("name", ["cpo", "pcpo"])
def test_before_any_episode_the_cost_must_not_rise(name: str, scale: str) -> None:
    algorithm = make_algorithm(name, cost_scale=scale, passes=1)
    batch = make_batch(algorithm.net, episode_cost=math.nan, episode_length=math.nan)
    metrics = algorithm.update(batch)
    assert metrics["train/excess"] == 0 and all(map(math.isfinite, metrics.values()))
    cost = (policy_ratio(algorithm.net, actor_row(algorithm.net), batch) * batch.cost_advantage[0]).mean()
    assert metrics["train/line_search"] >= 1 and cost <= 1e-12


@pytest.mark.parametrize(("scale", "expected"), [("episode_length", 0.4), ("one_minus_gamma", 0.2), ("none", 20.0)])
def test_the_scale_reaches_the_update(scale: str, expected: float) -> None:
    for name in ("cpo", "pcpo"):
        algorithm = make_algorithm(name, cost_scale=scale, passes=1)
        assert algorithm.update(make_batch(algorithm.net, episode_cost=45.0))["train/excess"] == pytest.approx(expected)
