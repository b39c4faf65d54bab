"""Every algorithm learns: on a small constrained problem with a known optimum.

`toy.Budget`: speed v in steps of worth w (2 or 4, equally often in each episode of T = 10 steps) earns w v - v^2 / 2
and costs v^2. One push reaches any speed, so the best speeds of an episode do not depend on its past. For every policy

    mean(w v - v^2 / 2) <= sqrt(mean(w^2) mean(v^2)) - mean(v^2) / 2

by Cauchy and Schwarz, with equality where v is in proportion to w, and the right side grows until mean(v^2) reaches
mean(w^2) = 10, the unconstrained optimum v = w. Under the limit mean(v^2) <= L = 3 the best is v = w sqrt(L / 10): a
return of T (sqrt(10 L) - L / 2) = 39.8 at the cost T L = 30. The unconstrained optimum earns 50 and costs 100. A single
speed for both worths earns at most T (3 sqrt(L) - L / 2) = 37.0 under the limit, 93 %: the right speeds are wanted.

The settings are not those of long runs: epochs of 1000 steps instead of 20,000, hence multipliers that move less per
epoch; step sizes ten times as large for networks of 16 units; gamma 0.5, since no choice matters for longer than two
steps. What is evaluated is the last policy, with its noise, on episodes of its own.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from safepo.algorithms import ALGORITHMS
from safepo.config import make_config
from safepo.evaluation import evaluate
from safepo.policy import Policy, describe
from safepo.trainer import Trainer
from tests.safepo.toy import Budget

ENV = "ToyBudget-v0"
STEPS, LIMIT = Budget.STEPS, 3.0 * Budget.STEPS
BEST = STEPS * (math.sqrt(10 * LIMIT / STEPS) - LIMIT / STEPS / 2)
SEEDS = range(3)

COMMON = {
    "env_id": ENV,
    "num_envs": 100,
    "steps_per_epoch": 1000,
    "cost_limit": LIMIT,
    "device": "cpu",
    "hidden": (16,),
    "gamma": 0.5,
    "batch_size": 500,
    "tuned": False,
}
FIRST_ORDER = {"actor_lr": 5e-3, "critic_lr": 3e-3, "passes": 10}
TRUST_REGION = {"target_kl": 0.02, "passes": 5}
MULTIPLIER = {"multiplier_lr": 0.01}

SETTINGS: dict[str, tuple[int, dict[str, Any]]] = {
    "pg": (30, FIRST_ORDER),
    "ppo": (30, FIRST_ORDER),
    "natural_pg": (30, TRUST_REGION),
    "trpo": (30, TRUST_REGION),
    "cpo": (50, TRUST_REGION),
    "pcpo": (50, TRUST_REGION),
    "trpo_lag": (80, {**TRUST_REGION, **MULTIPLIER}),
    "rcpo": (80, {**TRUST_REGION, **MULTIPLIER}),
    "ppo_lag": (80, {**FIRST_ORDER, **MULTIPLIER}),
    "focops": (80, {**FIRST_ORDER, **MULTIPLIER}),
    "cup": (80, {**FIRST_ORDER, **MULTIPLIER, "target_kl": 0.05, "lr_decay": False}),
    "cppo_pid": (80, {**FIRST_ORDER, "pid_ki": 3e-3, "pid_kp": 0.02}),
}
"""Epochs and settings that differ from the defaults."""


def learn(name: str, seed: int) -> tuple[float, float]:
    """Mean return and cost of the trained, still random policy."""
    epochs, settings = SETTINGS[name]
    trainer = Trainer(make_config(name, **COMMON, **settings, seed=seed, total_steps=1000 * epochs))
    trainer.start()
    for _ in range(epochs):
        trainer.run_epoch()
    policy = Policy(trainer.algorithm.net, trainer.collector.normalizer, describe(trainer.env))
    result = evaluate(policy, ENV, episodes=500, seed=1000 + seed, deterministic=False)
    trainer.close()
    return result["return"]["mean"], result["cost"]["mean"]


def test_the_optimum_is_what_the_docstring_says() -> None:
    assert pytest.approx(39.77, abs=0.01) == BEST and LIMIT == 30
    assert set(SETTINGS) == set(ALGORITHMS)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [name for name, info in ALGORITHMS.items() if info.constrained])
def test_constrained_methods_find_the_constrained_optimum(name: str, seed: int) -> None:
    earned, paid = learn(name, seed)
    assert earned >= 0.95 * BEST and paid <= 1.05 * LIMIT, (earned / BEST, paid / LIMIT)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", [name for name, info in ALGORITHMS.items() if not info.constrained])
def test_unconstrained_methods_break_the_limit(name: str, seed: int) -> None:
    earned, paid = learn(name, seed)
    assert paid > 1.5 * LIMIT and earned > 1.15 * BEST, (earned / BEST, paid / LIMIT)
