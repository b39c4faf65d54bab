"""Several agents: joint rows, what each network sees, the sequential factor, PopArt, and a game with a known optimum.

`toy_team.Pull`: u = v_0 + v_1, both earn w u - u^2 / 4 in steps of worth w, 2 or 4 equally often, T = 10 steps. As in
`test_learning.py`, mean(w u - u^2 / 4) <= sqrt(10 mean(u^2)) - mean(u^2) / 4, with equality where u is in proportion to
w. Each agent's cost mean(v_i^2) is limited to L = 3, hence mean(u^2) <= 4 L, with equality where v_0 = v_1: the best
return is T (2 sqrt(10 L) - L) = 79.5 at the cost T L = 30 for each. Without limit u = 2 w earns 100, at a mean cost of
at least 100 (more where the agents pull unequally). An agent that pulls alone under its limit earns
T (sqrt(10 L) - L / 4) = 47.3: both are needed.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import safepo
from safepo import cli
from safepo.algorithms import ALGORITHMS, TEAM_ALGORITHMS
from safepo.algorithms.mappo import MAPPOSettings
from safepo.algorithms.team import Team, ValueNormalizer, Views
from safepo.config import make_config
from safepo.errors import UserError
from safepo.evaluation import evaluate
from safepo.logger import read_rows
from safepo.networks import ActorCritic
from safepo.observations import ObsMap, Part
from safepo.policy import Policy, describe
from safepo.teams import TeamEnv, is_team
from safepo.trainer import Trainer, resume
from tests.safepo.helpers import make_net
from tests.safepo.test_train import assert_equal, final_state, partial_run
from tests.safepo.toy_team import Pull, Uneven

Small = Callable[..., Path]

PULL, UNEVEN, ECHO = (f"tests.safepo.toy_team:{name}" for name in ("Pull", "Uneven", "Echo"))
STEPS, LIMIT = Pull.STEPS, 3.0 * Pull.STEPS
BEST = STEPS * (2 * math.sqrt(10 * LIMIT / STEPS) - LIMIT / STEPS)
EACH = pytest.mark.parametrize("name", TEAM_ALGORITHMS)


# --- environments -----------------------------------------------------------------------------------------------------


def test_rows_hold_what_agents_see_and_the_state() -> None:
    env, single = TeamEnv(UNEVEN, 2), [Uneven() for _ in range(2)]
    rows = env.reset(5)
    expected = []
    for i, one in enumerate(single):
        obs, _ = one.reset(seed=5 + i)
        expected.append(np.concatenate([*obs.values(), one.state()]))
    np.testing.assert_array_equal(rows, np.array(expected, np.float64))
    assert env.nobs == 1 + 2 + 3 + 1 and env.nact == 6 and env.nagent == 3
    assert env.cost_names == ("cost_a", "cost_b", "cost_c")
    ends = 0
    for _ in range(30):
        step = env.step(np.tile([0.0, 1.0, -1.0, 0.5, 1.0, 1.0], (2, 1)))
        # actions in [-2, 1]: 0 -> -0.5, 1 -> 1, -1 -> -2, 0.5 -> 0.25
        np.testing.assert_allclose(step.rewards, [[-0.75, 0 - 6 + 0.1875, 0.0]] * 2)
        np.testing.assert_allclose(step.reward, step.rewards.mean(axis=1))
        np.testing.assert_array_equal(step.costs, [[0, 0, 1]] * 2)
        ends += step.terminated.sum()
        assert (step.final_obs is None) == (not step.terminated.any())
    assert ends > 0
    env.close()


def test_ids_of_teams() -> None:
    assert is_team(PULL) and not is_team("ToySpeed-v0") and not is_team("tests.safepo.toy:ToySpeed-v0")
    assert not is_team("no_such_module:Team") and not is_team("SafetyPointGoal1-v0")


# --- what networks see ------------------------------------------------------------------------------------------------

OBS = ObsMap((Part("a", (1,)), Part("b", (2,)), Part("state", (3,))), frames=2)
ROW = torch.arange(12.0)[None]  # a 0 | b 1 2 | state 3 4 5, then the same of the newer frame: 6 | 7 8 | 9 10 11


@pytest.mark.parametrize(
    ("policy_input", "expected"),
    [
        ("own", ([0, 6, 9, 10, 11], [1, 2, 7, 8, 9, 10, 11])),
        ("state", ([3, 4, 5, 9, 10, 11, 9, 10, 11], [3, 4, 5, 9, 10, 11, 9, 10, 11])),
    ],
)
def test_views(policy_input: Any, expected: tuple[list[float], list[float]]) -> None:
    views = Views(OBS, MAPPOSettings(policy_input=policy_input))
    assert views.nstate == 3
    for i, row in enumerate(expected):
        assert views.of(i, ROW).tolist() == [row]
        assert views.own[i].size + 3 == len(row)


def test_shared_views_carry_a_code() -> None:
    obs = ObsMap((Part("a", (2,)), Part("b", (2,)), Part("state", (1,))))
    views = Views(obs, MAPPOSettings(share_parameters=True))
    row = torch.tensor([[5.0, 6.0, 7.0, 8.0, 9.0]])
    assert views.of(0, row).tolist() == [[5, 6, 1, 0, 9]]
    assert views.of(1, row).tolist() == [[7, 8, 0, 1, 9]]


def test_safepo_views_are_the_state_and_a_code_standardized_by_themselves() -> None:
    views = Views(OBS, MAPPOSettings(policy_input="safepo"))
    rows = torch.cat([ROW, ROW**2])
    for i, code in enumerate(([1, 0], [0, 1])):
        for row, seen in zip(rows.tolist(), views.of(i, rows).tolist(), strict=True):
            states = [[*row[3:6], *code], [*row[9:12], *code], row[9:12]]
            expected = [(np.array(x) - np.mean(x)) / np.std(x) for x in states]
            np.testing.assert_allclose(seen, np.concatenate(expected), rtol=1e-5, atol=1e-6)
        assert views.own[i].size + views.nstate == len(seen)


def test_safepo_input_comes_without_running_statistics() -> None:
    trainer = trained_team("happo", policy_input="safepo")
    assert (trainer.collector.normalizer.mean == 0).all() and (trainer.collector.normalizer.var == 1).all()
    np.testing.assert_array_equal(
        trainer.collector.obs[:, 0], trainer.collector.obs[:, 4]
    )  # the load's worth, as it is
    assert set(trainer.collector.obs[:, 0]) == {2.0, 4.0}
    trainer.close()


@pytest.mark.parametrize("name", ["mappo", "happo", "mappo_lag"])
def test_an_entropy_bonus_widens_the_policies(name: str) -> None:
    plain, paid = (trained_team(name, 2, entropy_coef=weight, target_kl=1.0) for weight in (0.0, 10.0))
    steps = 2 * 2  # passes of one minibatch, each moves Adam by about actor_lr
    for before, after in zip(plain.algorithm.net.nets, paid.algorithm.net.nets, strict=True):
        assert after.free.item() > max(before.free.item(), 0.5 * steps * 5e-4)
    with pytest.raises(UserError, match="entropy_coef must not be negative, got -1"):
        make_config(name, entropy_coef=-1.0)
    plain.close()
    paid.close()


def test_actor_and_critics_see_their_own_part() -> None:
    net = ActorCritic(5, make_net().dist, (8,), "cpu", torch.Generator().manual_seed(0), split_at=2)
    rows = torch.randn(4, 5)
    mean, values = net.policy(rows).out, net.values(rows)
    other = rows.clone()
    other[:, 2:] = 0
    assert torch.equal(net.policy(other).out, mean) and not torch.equal(net.values(other), values)
    other = rows.clone()
    other[:, :2] = 0
    assert torch.equal(net.values(other), values) and not torch.equal(net.policy(other).out, mean)


@pytest.mark.usefixtures("double")
def test_backward_with_separate_inputs_equals_autograd() -> None:
    net = ActorCritic(7, make_net().dist, (8,), "cpu", torch.Generator().manual_seed(0), 2, split_at=2)
    rows = torch.randn(6, 7)
    acts = net.forward(rows, record=True)
    weights = torch.randn(acts[-1].shape)
    net.backward(acts, weights)
    params = net.params.clone().requires_grad_()
    out = []
    for i, row in enumerate(params):
        x = torch.cat([rows[:, :2], torch.zeros(6, 3)], 1) if i == 0 else rows[:, 2:]
        (w0, b0), (w1, b1) = net.split(row[None])
        out.append(torch.tanh(x @ w0[0] + b0[0]) @ w1[0] + b1[0])
    (expected,) = torch.autograd.grad((torch.stack(out) * weights).sum(), params)
    torch.testing.assert_close(net.grads, expected, rtol=1e-6, atol=1e-6)
    assert net.grads[0].view(-1)[2 * 8 : 5 * 8].abs().max() == 0  # weights of the padding


# --- values and the factor --------------------------------------------------------------------------------------------


def test_value_normalisation_keeps_values() -> None:
    """PopArt: statistics are the debiased means; critics rescaled by hand give the same values."""
    net, normalizer = make_net(ncost=1), ValueNormalizer(2)
    obs = torch.randn(50, net.nobs)
    for targets in (np.array([[10.0, 14.0], [100.0, 100.0]]), np.array([[0.0, 4.0], [300.0, 100.0]])):
        before = net.values(obs).double().numpy() * normalizer.std + normalizer.mean
        normalizer.update(targets, net)
        after = net.values(obs).double().numpy() * normalizer.std + normalizer.mean
        np.testing.assert_allclose(after, before, rtol=1e-4, atol=1e-3)
    # means 12 and 2, of squares 148 and 8: mean 7, variance 78 - 49 (the decay is 1 - 1e-5); second: 150, 30000
    np.testing.assert_allclose(normalizer.mean, [7, 150], rtol=1e-4)
    np.testing.assert_allclose(normalizer.std, [math.sqrt(29), math.sqrt(30_000 - 22_500)], rtol=1e-4)


def trained_team(name: str, epochs: int = 1, **settings: Any) -> Trainer:
    common = {"env_id": PULL, "num_envs": 20, "steps_per_epoch": 200, "passes": 2, "device": "cpu", "hidden": (8,)}
    trainer = Trainer(make_config(name, **{**common, "total_steps": 2000, "tuned": False, **settings}))
    trainer.start()
    for _ in range(epochs):
        trainer.run_epoch()
    return trainer


@pytest.mark.parametrize("name", ["happo", "mappo_lag", "macpo", "mappo"])
def test_the_factor_is_the_product_of_the_ratios_before(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each member gets is its own advantage times the joint ratio of those updated before it; MAPPO's is plain."""
    trainer = trained_team(name)
    team: Team = trainer.algorithm
    seen: list[tuple[int, Any, Any]] = []
    for i, member in enumerate(team.members):

        def record(batch: Any, i: int = i, update: Any = member.update, member: Any = member) -> dict[str, float]:
            metrics = update(batch)
            ratio = (member.net.dist.logp(member.net.policy(batch.obs), batch.action) - batch.logp).exp()
            seen.append((i, batch, ratio))
            return metrics

        monkeypatch.setattr(member, "update", record)
    plain: list[Any] = []
    update = team.update
    monkeypatch.setattr(team, "update", lambda batches: plain.extend(batches) or update(batches))
    trainer.run_epoch()
    (first, one, ratio), (second, two, _) = seen
    assert {first, second} == {0, 1}
    torch.testing.assert_close(one.reward_advantage, plain[first].reward_advantage)
    factor = torch.ones_like(ratio) if name == "mappo" else ratio
    torch.testing.assert_close(two.reward_advantage, plain[second].reward_advantage * factor)
    torch.testing.assert_close(two.cost_advantage, plain[second].cost_advantage * factor)
    assert (ratio - 1).abs().max() > 1e-3
    trainer.close()


def test_agents_take_turns_in_random_order() -> None:
    trainer = trained_team("happo")
    orders = {tuple(torch.randperm(2, generator=trainer.algorithm.order).tolist()) for _ in range(20)}
    assert len(orders) == 2
    trainer.close()


# --- learning ---------------------------------------------------------------------------------------------------------

COMMON = {
    "env_id": PULL,
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
SETTINGS: dict[str, tuple[int, dict[str, Any]]] = {
    "mappo": (30, FIRST_ORDER),
    "happo": (30, FIRST_ORDER),
    "mappo_lag": (80, {**FIRST_ORDER, "multiplier_lr": 0.01}),
    "macpo": (60, {"target_kl": 0.02, "passes": 5}),
}


def learn(name: str, seed: int, **further: Any) -> tuple[float, np.ndarray]:
    """Mean return, and each agent's cost, of the trained, still random policy."""
    epochs, settings = SETTINGS[name]
    trainer = Trainer(make_config(name, **COMMON, **settings, **further, seed=seed, total_steps=1000 * epochs))
    trainer.start()
    for _ in range(epochs):
        trainer.run_epoch()
    policy = Policy(trainer.algorithm.net, trainer.collector.normalizer, describe(trainer.env))
    result = evaluate(policy, PULL, episodes=300, seed=1000 + seed, deterministic=False)
    trainer.close()
    return result["return"]["mean"], np.array([result[f"cost/{agent}"]["mean"] for agent in ("left", "right")])


def test_the_optimum_is_what_the_docstring_says() -> None:
    assert pytest.approx(79.54, abs=0.01) == BEST and set(SETTINGS) == set(TEAM_ALGORITHMS)


@pytest.mark.parametrize("seed", range(3))
@EACH
def test_teams_find_the_optimum(name: str, seed: int) -> None:
    earned, paid = learn(name, seed)
    if TEAM_ALGORITHMS[name].constrained:
        assert earned >= 0.95 * BEST and (paid <= 1.05 * LIMIT).all(), (earned / BEST, paid / LIMIT)
    else:
        assert earned > 1.15 * BEST and paid.mean() > 1.5 * LIMIT, (earned / BEST, paid / LIMIT)


def test_policies_with_a_memory_remember() -> None:
    """Who only sees the present loses 8 of an episode; with a GRU over three steps little, at the start alone."""
    returns = {}
    for encoder in ("mlp", "gru"):
        memory = {"encoder": "gru", "frames": 3, "encoder_size": 16} if encoder == "gru" else {}
        common = {**COMMON, "env_id": ECHO, "num_envs": 50, "steps_per_epoch": 500, "batch_size": 250}
        settings = {**common, **FIRST_ORDER, **memory, "actor_lr": 1e-2, "target_kl": 0.2, "total_steps": 500 * 15}
        trainer = Trainer(make_config("happo", **settings))
        trainer.start()
        for _ in range(15):
            trainer.run_epoch()
        returns[encoder] = evaluate(trainer.policy(), ECHO, episodes=100, seed=1)["return"]["mean"]
        trainer.close()
    assert returns["mlp"] < -7 and returns["gru"] > -1.5, returns


def test_shared_parameters_learn() -> None:
    earned, paid = learn("mappo", 0, share_parameters=True)
    assert earned > 1.15 * BEST and paid.mean() > 1.5 * LIMIT


# --- runs -------------------------------------------------------------------------------------------------------------


@EACH
def test_train_resume_evaluate(name: str, small: Small, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = {"env_id": PULL, "hidden": (8,), "eval_episodes": 2}
    straight = small(name, **given)
    other = partial_run(2, algorithm=name, **given, log_dir=str(tmp_path / "other"))
    assert resume(other) == other
    assert_equal(final_state(straight), final_state(other))
    assert safepo.evaluate(straight, episodes=2) == safepo.evaluate(other, episodes=2)
    row = read_rows(straight / "metrics.csv")[-1]
    assert {"ep/return", "ep/cost", "cost/left", "cost/right", "train/kl", "safety/cost_rate"} <= set(row)
    assert ("train/multiplier/left" in row) == (name == "mappo_lag")
    assert float(row["ep/cost"]) == pytest.approx((float(row["cost/left"]) + float(row["cost/right"])) / 2)
    assert cli.main(["eval", str(straight), "--episodes", "2"]) == 0
    assert "cost/left" in capsys.readouterr().out


@EACH
@pytest.mark.parametrize(
    "settings",
    [{"policy_input": "state"}, {"policy_input": "safepo"}, {"encoder": "gru", "frames": 3, "encoder_size": 4}],
)
def test_agents_of_different_sizes(name: str, settings: dict[str, Any], small: Small) -> None:
    run = small(name, env_id=UNEVEN, hidden=(8,), total_steps=400, **settings)
    policy = safepo.load(run)
    actions = policy.predict(np.zeros((5, policy.obs.size)))
    assert actions.shape == (5, 6)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({"algorithm": "ppo", "env_id": PULL}, "several agents, which ppo is not for; use one of mappo, happo"),
        ({"algorithm": "mappo", "env_id": "ToySpeed-v0"}, "one agent, which mappo is not for; use one of pg"),
        ({"algorithm": "mappo", "env_id": PULL, "cost_limit": "cost_hazards=1"}, "one number limits each agent's cost"),
        ({"algorithm": "happo", "env_id": PULL, "share_parameters": True}, "one agent after the other.*MAPPO can"),
        ({"algorithm": "mappo", "env_id": UNEVEN, "share_parameters": True}, "1, 2, 3 numbers and give 1, 3, 2 .a, b"),
    ],
)
def test_what_does_not_fit_is_refused(args: dict[str, Any], message: str, small: Small) -> None:
    with pytest.raises(UserError, match=message):
        small(**args)


def test_tables_are_apart() -> None:
    assert not set(ALGORITHMS) & set(TEAM_ALGORITHMS)
