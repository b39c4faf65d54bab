"""Multipliers step by step, several constraints side by side, their state."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from safepo.multiplier import AdamMultiplier, MultiplierSettings, PIDMultiplier, PIDSettings
from tests.safepo.helpers import make_algorithm, make_batch

ONE = np.array([25.0])


def adam(ncost: int = 1, **settings: Any) -> AdamMultiplier:
    return AdamMultiplier(MultiplierSettings(**settings), ncost)


def pid(ncost: int = 1, **settings: Any) -> PIDMultiplier:
    return PIDMultiplier(PIDSettings(**settings), ncost)


def test_adam_rises_by_its_step_size_and_stays_at_zero() -> None:
    rising, falling = adam(), adam()
    for k in range(1, 6):
        rising.update(ONE + 10, ONE)
        falling.update(ONE - 10, ONE)
        assert rising.values[0] == pytest.approx(0.001 + 0.035 * k, rel=1e-3)
        assert falling.values[0] == 0.0


def test_adam_equals_torch_and_respects_its_bound() -> None:
    parameter = torch.nn.Parameter(torch.tensor(0.5, dtype=torch.float64))
    reference, ours = torch.optim.Adam([parameter], lr=0.035), adam(multiplier_init=0.5)
    for cost in (30.0, 60.0, 10.0, 28.0):
        reference.zero_grad()
        (-parameter * (cost - 25.0)).backward()
        reference.step()
        ours.update(np.array([cost]), ONE)
        assert ours.values[0] == pytest.approx(parameter.item(), rel=1e-9)
    bounded = adam(multiplier_init=0.0, multiplier_lr=1.0, multiplier_max=1.5)
    for _ in range(5):
        bounded.update(ONE + 75, ONE)
    assert bounded.values[0] == 1.5
    assert adam(multiplier_init=3.0, multiplier_max=1.5).values[0] == 1.5


@pytest.mark.parametrize("make", [adam, pid])
def test_constraints_are_independent(make: Any) -> None:
    """Each of three multipliers moves as if it were alone."""
    limits = np.array([25.0, 1.0, 100.0])
    together, alone = make(3), [make(1) for _ in range(3)]
    rng = np.random.default_rng(0)
    for _ in range(15):
        costs = limits * rng.uniform(0.5, 2.0, 3)
        together.update(costs, limits)
        for i, single in enumerate(alone):
            single.update(costs[i : i + 1], limits[i : i + 1])
        np.testing.assert_array_equal(together.values, [single.values[0] for single in alone])
    assert len(set(together.values)) == 3


@pytest.mark.parametrize("make", [adam, pid])
def test_nothing_changes_before_any_episode(make: Any) -> None:
    multiplier, untouched = make(), make()
    multiplier.update(np.array([math.nan]), ONE)
    assert multiplier.state_dict() == untouched.state_dict()


def test_pid_by_hand() -> None:
    """Jc = 50, limit 25, Kp = 0.1, Ki = Kd = 0.01, smoothing 0.95, integral from 0.001:

    1: P = 0.05 * 25 = 1.25, I = 0.001 + 0.25 = 0.251, C = 2.5, D = 2.5 - 0: m = 0.125 + 0.251 + 0.025 = 0.401
    2: P = 0.95 * 1.25 + 1.25 = 2.4375, I = 0.501, C = 2.375 + 2.5 = 4.875, D = 4.875: m = 0.24375 + 0.501 + 0.04875
    3 (Jc = 0): P = 2.315625 - 1.25 = 1.065625, I = 0.251, C = 4.63125, D = 4.63125: m = 0.1065625 + 0.251 + 0.0463125
    """
    multiplier = pid()
    assert multiplier.values[0] == 0.001
    for cost, expected in ((50.0, 0.401), (50.0, 0.7935), (0.0, 0.403875)):
        multiplier.update(np.array([cost]), ONE)
        assert multiplier.values[0] == pytest.approx(expected, rel=1e-12)


def test_integral_and_output_stay_at_zero_or_above() -> None:
    multiplier = pid()
    for _ in range(30):
        multiplier.update(np.array([0.0]), ONE)
    assert multiplier.values[0] == 0 and multiplier.integral[0] == 0
    multiplier.update(np.array([25.0]), ONE)
    assert multiplier.integral[0] == 0, "nothing was wound up below 0"


@pytest.mark.parametrize("delay", [1, 3, 10])
def test_the_derivative_looks_back_as_far_as_the_delay(delay: int) -> None:
    """Kp = Ki = 0, Kd = 1, no smoothing: the multiplier is the rise over `delay` epochs, against 0 until then."""
    multiplier = pid(pid_kp=0.0, pid_ki=0.0, pid_kd=1.0, pid_init=0.0, pid_smoothing=0.0, pid_delay=delay)
    costs = [float(k * k) for k in range(1, 16)]
    for t, cost in enumerate(costs):
        multiplier.update(np.array([cost]), ONE)
        before = costs[t - delay] if t >= delay else 0.0
        assert multiplier.values[0] == pytest.approx(cost - before), t
    multiplier.update(np.array([0.0]), ONE)
    assert multiplier.values[0] == 0, "a falling cost has derivative 0"


def test_the_bound_also_holds_the_integral() -> None:
    """Anti-windup: after a long violation the integral leaves its bound at the first safe epoch."""
    multiplier = pid(pid_max=0.5)
    for _ in range(50):
        multiplier.update(np.array([100.0]), ONE)
    assert multiplier.values[0] == 0.5 and multiplier.integral[0] == 0.5
    multiplier.update(np.array([5.0]), ONE)
    assert multiplier.integral[0] == pytest.approx(0.5 - 0.2)


@pytest.mark.parametrize("make", [adam, pid])
def test_state_continues_exactly(make: Any) -> None:
    limits, rng = np.array([25.0, 3.0]), np.random.default_rng(0)
    costs = limits * rng.uniform(0.5, 2.0, (30, 2))
    straight, first, second = make(2), make(2), make(2)
    for x in costs[:13]:
        straight.update(x, limits)
        first.update(x, limits)
    second.load_state_dict(first.state_dict())
    for x in costs[13:]:
        straight.update(x, limits)
        second.update(x, limits)
        np.testing.assert_array_equal(straight.values, second.values)


def test_saved_state_is_not_changed_by_going_on() -> None:
    multiplier = pid()
    multiplier.update(np.array([50.0]), ONE)
    state = multiplier.state_dict()
    kept = {k: [x.copy() for x in v] if k == "delayed" else v.copy() for k, v in state.items()}
    for _ in range(12):
        multiplier.update(np.array([90.0]), ONE)
    assert state == kept


@pytest.mark.parametrize("name", ["ppo_lag", "trpo_lag", "rcpo", "cup", "focops"])
def test_first_epoch_sees_its_real_cost(name: str) -> None:
    """SafePO reads 0 in the first epoch and lowers the multiplier; here it rises at once."""
    algorithm = make_algorithm(name, hidden=(8,), passes=1)
    metrics = algorithm.update(make_batch(algorithm.net, episode_cost=98.0))
    assert metrics["train/multiplier"] == pytest.approx(0.036, rel=1e-3)


@pytest.mark.parametrize(("name", "bound"), [("cup", 2.0), ("focops", 2.0), ("ppo_lag", math.inf)])
def test_default_bounds(name: str, bound: float) -> None:
    algorithm = make_algorithm(name, passes=1, multiplier_lr=5.0)
    metrics = {}
    for _ in range(3):
        metrics = algorithm.update(make_batch(algorithm.net, 20, episode_cost=98.0))
    assert metrics["train/multiplier"] == pytest.approx(min(bound, 15.001), rel=1e-3)


@pytest.mark.parametrize("name", ["ppo_lag", "trpo_lag", "rcpo", "cup", "focops", "cppo_pid"])
def test_each_limit_has_its_own_multiplier(name: str) -> None:
    """One cost above its limit, one below: the first multiplier rises, the second stays at or falls to 0."""
    algorithm = make_algorithm(name, limits={"cost_hazards": 10.0, "cost": 50.0}, passes=1)
    batch = make_batch(algorithm.net, 50, episode_cost=[30.0, 20.0])
    metrics = {}
    for _ in range(3):
        metrics = algorithm.update(batch)
    assert metrics["train/multiplier/hazards"] > 0.05 and metrics["train/multiplier/cost"] == 0
    assert "train/multiplier" not in metrics
