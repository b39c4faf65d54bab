"""Safe DreamerV3: distributions, losses, planner, replay, resuming, and that it learns."""

from __future__ import annotations

import copy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch

from safepo import cli, evaluation
from safepo.config import make_config
from safepo.dreamer.agent import Player, SafeDreamer, split
from safepo.dreamer.behaviour import AugmentedLagrangian, Behaviour, ReturnScale, imagine, lambda_returns
from safepo.dreamer.nets import SoftBins, TwoHot, mixed, sample_one_hot, symexp, symlog, vector_encoder
from safepo.dreamer.picture import open_loop_picture
from safepo.dreamer.planner import cost_budget, elites, plan
from safepo.dreamer.planner import evaluate as evaluate_plans
from safepo.dreamer.policy import DreamerPolicy
from safepo.dreamer.replay import Replay
from safepo.dreamer.settings import PRESETS, SafeDreamerSettings, Variant
from safepo.dreamer.world_model import Sequences, Shapes, State, WorldModel
from safepo.errors import UserError
from safepo.evaluation import both_modes, evaluate, write_json
from safepo.observations import ObsMap
from safepo.policy import describe
from safepo.teams import open_env
from safepo.trainer import make_trainer, resume, start
from safepo.view import View

VARIANTS: tuple[str, ...] = Variant.__args__  # type: ignore[attr-defined]
TOY = "tests.safepo.toy_point:RoundTheHazard-v0"


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def config(**changes: Any) -> Any:
    given: dict[str, Any] = {"preset": "debug", "env_id": TOY, "eval_episodes": 0, **changes}
    return make_config("safe_dreamer", **given)


# Distributions


@pytest.mark.parametrize("value_means", [False, True])
@pytest.mark.parametrize("x", [-1000.0, -1.0, 0.0, 0.3, 25.0, 1e5])
def test_two_hot_round_trip(x: float, value_means: bool) -> None:
    """The target is read off the gradient of the cross-entropy, softmax - target."""
    two_hot = TwoHot(255, 20.0, value_means)
    logits = torch.zeros(255, requires_grad=True)
    (grad,) = torch.autograd.grad(two_hot.loss(logits, torch.tensor(x)), logits)
    target = 1 / 255 - grad
    lower = int((symlog(torch.tensor(x)) + 20) / (40 / 254))
    assert target[lower : lower + 2].sum().item() == pytest.approx(1, abs=1e-5)
    target[target < 1e-6] = 0
    assert two_hot.mean(target.log()).item() == pytest.approx(x, rel=1e-4, abs=1e-5)
    assert symexp(symlog(torch.tensor(x))).item() == pytest.approx(x, rel=1e-5)


def test_two_hot_by_hand() -> None:
    """Bins for -9, 0 and 9: half of 0 and half of 9 is 4.5, or 10 ** 0.5 - 1 by symlogs; targets are alike."""
    log10 = float(np.log(10))
    logits = torch.tensor([0.0, 0.5, 0.5]).log()
    uneven = torch.tensor([0.2, 0.3, 0.5]).log()
    half = -0.5 * (np.log(0.3) + np.log(0.5))
    for value_means, mean in ((False, 10**0.5 - 1), (True, 4.5)):
        two_hot = TwoHot(3, log10, value_means)
        assert two_hot.mean(logits).item() == pytest.approx(mean, rel=1e-5)
        assert two_hot.loss(uneven, torch.tensor(mean)).item() == pytest.approx(half, rel=1e-5)


@pytest.mark.parametrize("bins", [40, 41, 255])
def test_bins_of_either_sign_cancel(bins: int) -> None:
    """An untrained head says 0, though the outer bins stand for hundreds of millions."""
    assert TwoHot(bins, 20.0, value_means=True).mean(torch.zeros(bins)).item() == 0


def test_two_hot_beyond_its_bins_is_the_last_bin() -> None:
    two_hot = TwoHot(41, 5.0)
    logits = torch.zeros(41)
    logits[-1] = 30.0
    assert two_hot.loss(logits, torch.tensor(1e9)).item() == pytest.approx(0.0, abs=1e-5)


def test_unimix_keeps_every_class_possible() -> None:
    probs = mixed(torch.tensor([100.0, 0.0, 0.0, 0.0]), 0.01)
    assert torch.allclose(probs, torch.tensor([0.9925, 0.0025, 0.0025, 0.0025]))


# Losses


def make_model(nvector: int = 3, nact: int = 1, **changes: Any) -> WorldModel:
    values = {k: v for k, v in PRESETS["debug"].items() if hasattr(SafeDreamerSettings, k)}
    return WorldModel(SafeDreamerSettings(**{**values, **changes}), Shapes(nvector, 0, 0), nact, generator())


def linear_system(length: int, batch: int, nact: int = 1, seed: int = 0) -> Sequences:
    """x' = x + 0.3 a from x = 0; observed are x, -x and 1; reward is x, cost 1 where x > 0.5."""
    action = torch.rand((length, batch, nact), generator=generator(seed)) * 2 - 1
    x = torch.cat([torch.zeros(1, batch), 0.3 * action[:-1, :, 0].cumsum(0)])
    first = torch.zeros(length, batch)
    first[0] = 1
    image = torch.zeros(length, batch, 0, 0, 0, dtype=torch.uint8)
    return Sequences(
        torch.stack([x, -x, torch.ones_like(x)], -1), image, action, x, (x > 0.5).float(), first, torch.zeros_like(x)
    )


def test_equal_prior_and_posterior_cost_the_free_nats() -> None:
    model = make_model()
    for part in (model.rssm.prior, model.rssm.posterior):
        torch.nn.init.zeros_(part[1].weight)
        torch.nn.init.zeros_(part[1].bias)
    _, _, parts = model.loss(linear_system(5, 2), generator())
    assert float((parts["dyn"] + parts["rep"]).detach()) == pytest.approx(0.6)


def test_vectors_are_reconstructed_as_symlogs() -> None:
    """A decoder that says 0 everywhere loses the squared symlogs, so that large entries do not drown small ones."""
    model = make_model(vector_scale=20.0)
    torch.nn.init.zeros_(model.decode_vector[1].weight)
    data = linear_system(5, 2)
    data.vector[:] = torch.tensor([np.e - 1, -(np.e**2 - 1), 0.0])
    _, _, parts = model.loss(data, generator())
    assert float(parts["vector"].detach()) == pytest.approx(20 * (1 + 4), rel=1e-5)


def test_soft_bins_by_hand() -> None:
    """Bins at -1, 0, 1; what lies beyond is in none, and keeps its value. As a target it is in the last."""
    x = torch.tensor([-0.25, 5.0])
    assert SoftBins(3)(x[None]).tolist() == pytest.approx(np.array([[-0.25, 5.0, 0.25, 0.75, 0, 0, 0, 0]]))
    logits = torch.tensor([[0.2, 0.3, 0.5]]).log().expand(2, -1)
    expected = [-0.25 * np.log(0.2) - 0.75 * np.log(0.3), -np.log(0.5)]
    assert SoftBins(3).loss(logits, x).tolist() == pytest.approx(expected)


def test_vectors_are_reconstructed_on_bins_too() -> None:
    """A decoder that says 0 everywhere believes in each of 8 bins alike."""
    model = make_model(vector_scale=2.0, vector_bins=8)
    torch.nn.init.zeros_(model.decode_vector[1].weight)
    data = linear_system(5, 2)
    data.vector[:] = torch.tensor([np.e - 1, -(np.e**2 - 1), 0.0])
    _, _, parts = model.loss(data, generator())
    assert float(parts["vector"].detach()) == pytest.approx(2 * (1 + 4 + 3 * np.log(8)), rel=1e-5)
    vector, image = model.decode(torch.zeros(4, 2, 32 + 16))
    assert vector is not None and vector.shape == (4, 2, 3) and image is None


class FirstEntry(torch.nn.Module):
    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return feature[..., :1]


def test_rewards_and_costs_are_foretold(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a perfect model of x' = x + 0.3 a, whose heads say x, the reward x is foretold without error, the cost c with
    (x - c)^2, at each of three decisions ahead, as far as they belong to the same episode."""
    model = make_model(overshoot=3, reward_scale=2.0, cost_scale=5.0, cost_weight=1.0)
    model.reward = model.cost = FirstEntry()
    monkeypatch.setattr(model.two_hot, "loss", lambda logits, x: (logits[..., 0] - x).square())
    monkeypatch.setattr(model.rssm, "imagine", lambda state, action, noise: State(state.h + 0.3 * action, state.z))
    data = linear_system(12, 2)
    x = data.reward
    state = State(x[..., None].expand(-1, -1, 32), torch.zeros(12, 2, 16))
    data.first[6, 0] = 1
    found = model._ahead(state, data, generator()).unflatten(1, (9, 2))
    for k in (1, 2, 3):
        for t in range(9):
            error = 5 * (x[t + k] - data.cost[t + k]).square()
            if t < 6 <= t + k:
                error[0] = 0
            assert torch.allclose(found[k - 1, t], error, atol=1e-5)
    missed = model._ahead(state, data._replace(reward=x + 1, cost=x), generator())
    assert missed.max() == pytest.approx(2, rel=1e-4)


def test_what_is_foretold_is_part_of_the_loss() -> None:
    model, data = make_model(overshoot=2), linear_system(5, 2)
    loss, _, parts = model.loss(data, generator())
    assert float(parts["ahead"].detach()) > 0
    assert float(loss.detach()) == pytest.approx(sum(float(x.detach()) for x in parts.values()), rel=1e-5)
    (grad,) = torch.autograd.grad(parts["ahead"], model.rssm.gru.weight)
    assert grad.abs().sum() > 0
    assert "ahead" not in make_model(overshoot=0).loss(data, generator())[2]


def test_bins_tell_what_lies_behind_a_threshold() -> None:
    """Inside is where one of four readings exceeds 0.97; twelve others do not matter. 2,000 rows teach it with bins."""
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.uniform(0, 1, (3000, 16)) ** 0.25).float()
    inside = (x[:, :4].max(1).values > 0.97).float()
    right = []
    for bins in (0, 64):
        net = torch.nn.Sequential(vector_encoder(16, bins, 1, 32, generator()), torch.nn.Linear(32, 1))
        optimizer = torch.optim.Adam(net.parameters(), 3e-3)
        for k in range(300):
            rows = slice(200 * (k % 10), 200 * (k % 10 + 1))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(net(symlog(x[rows]))[:, 0], inside[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            right.append(((net(symlog(x[2000:]))[:, 0] > 0) == (inside[2000:] > 0)).float().mean().item())
    assert right[1] > 0.8 > right[0], right


def test_weights_of_rewards_and_costs() -> None:
    data = linear_system(12, 8)
    assert 0 < data.cost.mean() < 1
    plain = make_model(cost_weight=1.0).loss(data, generator())[2]["cost"]
    heavy = make_model(cost_weight=10.0).loss(data, generator())[2]["cost"]
    assert heavy > plain
    data.cost[:] = 0.5
    plain = make_model(cost_weight=1.0).loss(data, generator())[2]["cost"]
    assert make_model(cost_weight=10.0).loss(data, generator())[2]["cost"] == plain, "costs below 1 do not"
    scaled = make_model(cost_weight=1.0, cost_scale=3.0).loss(data, generator())[2]["cost"]
    assert float(scaled.detach()) == pytest.approx(3 * float(plain.detach()), rel=1e-5)
    once, thrice = (make_model(reward_scale=k).loss(data, generator())[2]["reward"] for k in (1.0, 3.0))
    assert float(thrice.detach()) == pytest.approx(3 * float(once.detach()), rel=1e-5)


def test_samples_pass_gradients_to_their_probabilities() -> None:
    probs = torch.tensor([[0.2, 0.8]], requires_grad=True)
    hot = sample_one_hot(probs, torch.tensor([[1.0, 1.0]]))
    assert hot.tolist() == [[0.0, 1.0]]
    (hot * torch.tensor([3.0, 5.0])).sum().backward()
    assert probs.grad is not None
    assert probs.grad.tolist() == [[3.0, 5.0]]


def test_first_forgets_the_past() -> None:
    model, data = make_model(), linear_system(6, 2)
    data.first[3] = 1
    whole = model.observe(data, generator(1)).state
    other = data._replace(vector=data.vector.clone(), action=data.action.clone())
    other.vector[:3], other.action[:3] = 7.0, 0.5
    changed = model.observe(other, generator(1)).state
    assert not torch.equal(whole.h[2], changed.h[2])
    assert torch.equal(whole.h[3:], changed.h[3:])


def test_lambda_returns_by_hand() -> None:
    reward, discount, value = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 0.5]), torch.tensor([10.0, 20.0])
    last = 2 + 0.5 * 20
    assert lambda_returns(reward, discount, value, 0.9).tolist() == pytest.approx(
        [1 + 0.5 * (0.1 * 10 + 0.9 * last), last]
    )


def test_constant_returns_have_scale_one() -> None:
    scale = ReturnScale(0.99)
    assert [scale(torch.full((10,), 100.0)) for _ in range(5)] == [1.0] * 5
    spread = ReturnScale(0.0)
    assert spread(torch.linspace(0, 100, 101)) == pytest.approx(90.0)


@pytest.mark.parametrize(("g", "psi", "multiplier"), [(3.0, 0.345, 0.13), (-20.0, -0.5, 0.0)])
def test_augmented_lagrangian_by_hand(g: float, psi: float, multiplier: float) -> None:
    lagrangian = AugmentedLagrangian(SafeDreamerSettings(lagrange_init=0.1, penalty_init=0.01))
    x = torch.tensor(g, requires_grad=True)
    found = lagrangian(x)
    assert float(found.detach()) == pytest.approx(psi)
    assert lagrangian.multiplier == pytest.approx(multiplier)
    assert lagrangian.coefficient == pytest.approx(0.01 * (1 + 1e-5))


def test_the_actor_is_paid_for_cheaper_imagination() -> None:
    """A cost that grows with the action pushes the actor's mean down, a reward pushes it up."""
    for variant, sign in (("dreamer", 1), ("bsrp_lag", -1)):
        settings = SafeDreamerSettings(**{
            **{k: v for k, v in PRESETS["debug"].items() if hasattr(SafeDreamerSettings, k)},
            "variant": variant, "lagrange_init": 100.0, "entropy": 0.0,
        })  # fmt: skip
        behaviour = Behaviour(settings, 1, generator())
        line = Line(cost=lambda x: x)
        behaviour.actor.net = torch.nn.Linear(1, 2)
        behaviour.critic = behaviour.cost_critic = Zero()
        start = State(torch.zeros(4, 1), torch.zeros(4, 0))
        loss, _, _ = behaviour.losses(line, start, torch.ones(4), 0.0, generator())  # type: ignore[arg-type]
        (grad,) = torch.autograd.grad(loss, [behaviour.actor.net.bias])
        assert sign * grad[0] < 0, variant


def small(variant: str = "bsrp_lag", **changes: Any) -> tuple[WorldModel, Behaviour]:
    """A model of three numbers and a behaviour in it, with random weights."""
    model = make_model(variant=variant, **changes)
    return model, Behaviour(model.settings, 1, generator(1))


def begin(model: WorldModel, n: int = 6) -> State:
    start = model.observe(linear_system(3, n), generator()).state
    return State(*(x[-1].detach() for x in start))


def test_what_the_actor_sees_is_given() -> None:
    """Its first action does not pass gradients to the state that it sees; the state after it does."""
    model, behaviour = small()
    start = begin(model)
    start.h.requires_grad_()
    path = imagine(model, behaviour.actor, start, 2, generator())
    (grad,) = torch.autograd.grad(path.action[0].sum(), [start.h], retain_graph=True, allow_unused=True)
    assert grad is None
    (grad,) = torch.autograd.grad(path.feature[1].square().sum(), [start.h])
    assert grad.abs().max() > 0


def test_no_value_beyond_an_end() -> None:
    model, behaviour = small()
    feature = begin(model).feature.expand(4, -1, -1)
    torch.nn.init.zeros_(model.continues[1].weight)
    for bias, discount in ((5.0, model.settings.discount), (-5.0, 0.0)):
        torch.nn.init.constant_(model.continues[1].bias, bias)
        assert behaviour.signals(model, feature)[1].unique().tolist() == pytest.approx([discount])


def test_starts_that_are_ends_teach_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model, behaviour = small("bsrp_lag")
    start = begin(model)
    path = imagine(model, behaviour.actor, start, 3, generator(5))
    monkeypatch.setattr("safepo.dreamer.behaviour.imagine", lambda *_: path)

    def losses(goes_on: list[float]) -> list[float]:
        behaviour.lagrangian.multiplier = 0.0
        behaviour.lagrangian.coefficient = 0.0
        actor, critics, found = behaviour.losses(model, start, torch.tensor(goes_on), 0.0, generator())
        values = [actor, *(loss for _, loss in critics), torch.as_tensor(found["cost_return_imagined"])]
        return torch.stack(values).tolist()

    alone = [losses(torch.eye(6)[i].tolist()) for i in range(6)]
    assert losses([0.0] * 6) == [0.0] * 4
    assert losses([1.0] * 6)[:3] == pytest.approx(np.sum(alone, 0)[:3].tolist(), rel=1e-4)
    assert losses([1.0, 1.0, 0, 0, 0, 0])[3] == pytest.approx((alone[0][3] + alone[1][3]) / 2, rel=1e-4)


def test_the_slow_critic_follows() -> None:
    _, behaviour = small(slow_fraction=0.1, cost_slow_fraction=0.3)
    for critic, fraction in ((behaviour.critic, 0.1), (behaviour.cost_critic, 0.3)):
        torch.nn.init.ones_(critic.net[1].bias)
        critic.follow()
        assert critic.slow[1].bias.tolist() == pytest.approx([fraction] * len(critic.slow[1].bias))


# Agent


def make_agent(**changes: Any) -> SafeDreamer:
    trainer = make_trainer(config(**changes))
    trainer.close()
    return trainer.algorithm


def test_the_limit_of_discounted_returns() -> None:
    """At cost 0.5 a decision an episode of 20 costs 10; the discounted return of that is the limit."""
    agent = make_agent(variant="bsrp_lag", cost_limit=10.0, discount=0.9, action_repeat=2, cost_smoothing=0.0)
    agent.episode_ended(0.0, 39.0, False)
    assert agent.decisions == 20
    assert agent.discounted_limit() == pytest.approx(0.5 * 10)
    agent.episode_ended(0.0, 39.0, True)
    left = [0.5 * sum(0.9**k for k in range(m)) for m in range(1, 21)]
    assert agent.discounted_limit() == pytest.approx(np.mean(left))


def test_the_budget_of_a_plan() -> None:
    settings = SafeDreamerSettings(plan_horizon=10)
    assert cost_budget(settings, 40.0, 200) == pytest.approx(2.0), "its share of an episode"
    assert cost_budget(settings, 3.0, 5) == 3.0, "all of a shorter one"
    assert cost_budget(settings, 0.0, 200) == pytest.approx(0.1), "next to none"
    assert cost_budget(SafeDreamerSettings(variant="cem"), 1.0, 200) == np.inf


def test_the_multiplier_waits_and_moves() -> None:
    agent = make_agent(variant="osrp_lag", multiplier_start=1000, cost_limit=1.0, cost_smoothing=0.5)
    assert agent.constraint() == {}
    agent.taken = 999
    agent.episode_ended(9.0, 40.0, False)
    assert agent.multiplier == 0.0
    assert agent.constraint() == {"train/cost_smoothed": 9.0}, "the first episode's"
    agent.taken = 1000
    for _ in range(3):
        agent.episode_ended(5.0, 40.0, False)
    assert agent.smoothed_cost == pytest.approx(5.5)
    assert 0 < agent.multiplier <= agent.settings.pid_max


def test_a_limit_that_falls() -> None:
    """It is the limit of plans, of the constraint in imagination and of the multiplier, until it is the run's own."""
    agent = make_agent(variant="osrp_lag", cost_limit=10.0, limit_start=50.0, limit_decisions=200, multiplier_start=0)
    found = []
    for agent.taken in (0, 100, 200, 1000):
        assert agent.frozen().limit == agent.limit
        found.append((agent.limit, agent.discounted_limit() / agent.cost_limit, agent.constraint()["train/cost_limit"]))
    whole = found[-1][1]
    assert found == [(x, pytest.approx(x / 10 * whole), x) for x in (50.0, 30.0, 10.0, 10.0)]
    budgets = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("safepo.dreamer.agent.cost_budget", lambda *args: budgets.append(args[1]) or cost_budget(*args))
        for agent.taken in (0, 200):
            Player(agent, 1, generator(0))(np.zeros((1, 6)))
    assert budgets == [50.0, 10.0]
    for agent.taken, moved in ((0, False), (200, True)):
        agent.episode_ended(40.0, 40.0, False)
        assert (agent.multiplier > 0) is moved
    assert "train/cost_limit" not in make_agent().constraint()


def test_costs_weigh_in_the_score_of_a_plan() -> None:
    model, behaviour = small("osrp_lag")
    plans = torch.zeros(4, 6, 1)
    scores, costs = zip(
        *(evaluate_plans(model, behaviour, begin(model), plans, m, generator(3)) for m in (0.0, 2.0, 4.0)), strict=True
    )
    assert torch.equal(costs[0], costs[2])
    assert (scores[0] - scores[1]).abs().min() > 0
    assert torch.allclose(scores[0] - scores[2], 2 * (scores[0] - scores[1]), atol=1e-5)


class Recorder:
    """Stands for `plan`: remembers the guesses it is given, returns the plan 1, 2, 3, ... of decisions."""

    def __init__(self) -> None:
        self.guesses: list[list[float]] = []

    def __call__(self, model: Any, behaviour: Any, state: State, mean: torch.Tensor, *_: Any) -> Any:
        self.guesses.append(mean[:, 0, 0].tolist())
        return torch.arange(1.0, len(mean) + 1)[:, None, None].expand_as(mean) / 10, {}


def test_plans_are_shifted_and_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    monkeypatch.setattr("safepo.dreamer.agent.plan", recorder)
    player = Player(make_agent(variant="osrp"), 1, generator())
    rows = np.zeros((1, 6))
    player(rows)
    player(rows)
    player.begin(np.array([True]))
    player(rows)
    assert recorder.guesses == pytest.approx(np.array([[0, 0, 0], [0.2, 0.3, 0.3], [0, 0, 0]]))


def test_beliefs_are_forgotten() -> None:
    """After `begin` it does not matter what was seen and done before."""
    agent = make_agent(variant="dreamer")
    rows = np.random.default_rng(0).normal(size=(3, 1, 6))
    found = []
    for past in (rows[0], rows[1]):
        player = Player(agent, 1, generator())
        player(past)
        player.begin(np.array([True]))
        player.generator.manual_seed(7)
        player(rows[2])
        found.append(player.state.h.clone())
        player(rows[2])
    assert torch.equal(*found)
    assert not torch.equal(found[0], player.state.h)


def test_policies_hold_their_actions_until_an_episode_begins() -> None:
    agent = make_agent(variant="dreamer", action_repeat=3)
    policy = DreamerPolicy(agent, describe(open_env(TOY, 1)))
    rng = np.random.default_rng(0)

    def act(n: int) -> list[list[float]]:
        return [policy.predict(rng.normal(size=6), deterministic=False).tolist() for _ in range(n)]

    found = act(4)
    assert found[0] == found[1] == found[2] != found[3]
    policy.begin(np.array([True]))
    again = act(3)
    assert found[3] != again[0] == again[1] == again[2]


def test_deterministic_is_the_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = make_agent(variant="dreamer")
    fixed = (torch.tensor([[0.3, -0.3]]), torch.tensor([[0.5, 0.5]]))
    monkeypatch.setattr(agent.behaviour.actor, "forward", lambda feature: fixed)
    policy = DreamerPolicy(agent, describe(open_env(TOY, 1)))
    assert policy.predict(np.zeros(6)).tolist() == pytest.approx([0.3, -0.3])
    assert abs(policy.predict(np.zeros(6), deterministic=False) - [0.3, -0.3]).min() > 1e-3


@pytest.mark.parametrize("variant", VARIANTS)
def test_planners_are_evaluated_once(variant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their deterministic and stochastic episodes are the same, and take long."""
    policy = DreamerPolicy(make_agent(variant=variant), describe(open_env(TOY, 1)))
    modes = {True: "deterministic", False: "stochastic"}
    each = {name: evaluate(policy, TOY, 2, 5, deterministic) for deterministic, name in modes.items()}
    assert policy.single_mode == (each["deterministic"]["return"] == each["stochastic"]["return"])
    asked = []

    def counted(*args: Any, deterministic: bool) -> dict[str, Any]:
        asked.append(deterministic)
        return each[modes[deterministic]]

    monkeypatch.setattr(evaluation, "evaluate", counted)
    assert both_modes(policy, TOY, 2, 5) == each
    assert asked == ([True] if policy.single_mode else [True, False])


def test_policies_stay_as_they_are_while_training_goes_on() -> None:
    trainer = make_trainer(config(variant="dreamer", prefill=150))
    trainer.start()
    policy = trainer.policy()
    before = [x.clone() for x in policy.agent.model.parameters()]
    trainer.run_epoch()
    assert not all(torch.equal(a, b) for a, b in zip(before, trainer.algorithm.model.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b in zip(before, policy.agent.model.parameters(), strict=True))
    trainer.close()


# Planner


class Line:
    """A point at h that an action moves by 0.1; the reward is its place."""

    follow = WorldModel.follow

    def __init__(self, cost: Any) -> None:
        self.rssm = SimpleNamespace(imagine=self.imagine, shape=(1, 1), nact=1)
        self.two_hot = SimpleNamespace(mean=lambda x: x[..., 0])
        self.reward, self.cost = lambda x: x, cost

    def continues(self, feature: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(feature)

    def imagine(self, state: State, action: torch.Tensor, noise: torch.Tensor) -> State:
        return State(state.h + 0.1 * action, state.z)


class Zero(torch.nn.Module):
    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(feature[..., 0])

    def loss(self, *args: torch.Tensor) -> torch.Tensor:
        return torch.zeros(())


@pytest.mark.parametrize(("goes_on", "cost"), [(1.0, 0.1 + 0.2 + 0.3 + 0.4), (-1.0, 0.1)])
def test_costs_of_a_plan_end_with_the_episode(goes_on: float, cost: float) -> None:
    settings = SafeDreamerSettings(variant="osrp")
    behaviour = SimpleNamespace(settings=settings, critic=Zero(), cost_critic=None)
    behaviour.signals = lambda model, feature: Behaviour.signals(behaviour, model, feature)  # type: ignore[arg-type]
    line = Line(cost=lambda x: x)
    line.continues = lambda feature: goes_on * torch.ones_like(feature)  # type: ignore[method-assign]
    start = State(torch.zeros(1, 1), torch.zeros(1, 0))
    _, found = evaluate_plans(line, behaviour, start, torch.ones(4, 1, 1), 0.0, generator())  # type: ignore[arg-type]
    assert found.tolist() == pytest.approx([cost])


@pytest.mark.parametrize("n", [1, 3])
def test_planner_stops_before_a_forbidden_interval(n: int) -> None:
    """The best plan without cost comes close to 0.35 and stays; without a budget the planner drives on."""
    settings = SafeDreamerSettings(
        deter=1, units=4, stoch=1, classes=2, head_layers=1, plan_samples=200, plan_elites=20, plan_iterations=12,
        plan_actor_share=0.0, plan_horizon=8, variant="osrp",
    )  # fmt: skip
    behaviour = Behaviour(settings, 1, generator())
    behaviour.critic = Zero()  # type: ignore[assignment]
    line = Line(cost=lambda x: ((x > 0.35) & (x < 2.0)).float())
    state = State(torch.zeros(n, 1), torch.zeros(n, 0))
    for budget, reached in ((0.0, 0.35), (float("inf"), 0.8)):
        found, metrics = plan(line, behaviour, state, torch.zeros(8, n, 1), budget, 0.0, generator())  # type: ignore[arg-type]
        path = 0.1 * found[..., 0].clamp(-1, 1).cumsum(0)
        assert path.max(0).values.tolist() == pytest.approx([reached] * n, abs=0.05)
        assert path[:3, 0].tolist() == pytest.approx([0.1, 0.2, 0.3], abs=0.03), "at full speed first"
        assert (metrics["plan/cost"] == 0.0) == (budget == 0.0)


def test_planner_takes_the_least_cost_where_nothing_is_feasible() -> None:
    settings = SafeDreamerSettings(
        deter=1, units=4, stoch=1, classes=2, head_layers=1, plan_samples=100, plan_elites=10, plan_iterations=6,
        plan_actor_share=0.0, plan_horizon=4, variant="osrp",
    )  # fmt: skip
    behaviour = Behaviour(settings, 1, generator())
    behaviour.critic = Zero()  # type: ignore[assignment]
    line = Line(cost=lambda x: 1 + x)
    state = State(torch.zeros(1, 1), torch.zeros(1, 0))
    found, _ = plan(line, behaviour, state, torch.zeros(4, 1, 1), 0.0, 0.0, generator())  # type: ignore[arg-type]
    assert (found < -0.8).all()


def brute_force(score: Any, cost: Any, budget: float, count: int) -> list[int]:
    feasible = [i for i in range(len(score)) if cost[i] <= budget]
    if len(feasible) >= count:
        return sorted(feasible, key=lambda i: (-score[i], cost[i], i))[:count]
    return sorted(range(len(score)), key=lambda i: (cost[i], -score[i], i))[:count]


def test_elites_against_brute_force() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        score, cost = rng.integers(0, 4, (2, 12)), rng.integers(0, 4, (2, 12))
        budget, count = float(rng.integers(-1, 4)), int(rng.integers(1, 8))
        found = elites(torch.tensor(score).float(), torch.tensor(cost).float(), budget, count)
        assert found.tolist() == [brute_force(s, c, budget, count) for s, c in zip(score, cost, strict=True)]


# Replay


def make_replay(num_envs: int, capacity: int, folder: Path | None = None) -> Replay:
    return Replay({"x": ((), np.int64), "first": ((), np.bool_)}, num_envs, capacity, folder)


def fill(replay: Replay, n: int, begin: int = 0) -> None:
    ids = np.arange(replay.num_envs)
    for k in range(begin, begin + n):
        replay.add(ids, {"x": 1000 * ids + k, "first": np.full(len(ids), k % 5 == 0)})


def test_replay_draws_every_sequence_equally_often() -> None:
    replay = make_replay(2, 20)
    fill(replay, 13)
    assert len(replay) == 20
    assert replay.starts(4).tolist() == [7, 7]
    data = replay.sample(7000, 4, np.random.default_rng(0))
    assert (np.diff(data["x"], axis=0) == 1).all(), "consecutive decisions of one environment"
    begins, counts = np.unique(data["x"][0], return_counts=True)
    assert begins.tolist() == [*range(3, 10), *range(1003, 1010)]
    assert abs(counts - 500).max() < 100
    assert data["first"][0].all()
    assert (data["first"][1:] == (data["x"][1:] % 1000 % 5 == 0)).all()


def test_replay_in_files_survives_a_kill(tmp_path: Path) -> None:
    replay = make_replay(1, 10, tmp_path)
    fill(replay, 12)
    saved = replay.state_dict()
    assert "arrays" not in saved
    fill(replay, 3, begin=12)  # lost: the process is killed here
    again = make_replay(1, 10, tmp_path)
    assert not again.load_state_dict(saved), "2, 3 and 4 were overwritten"
    assert sorted(set(again.sample(500, 1, np.random.default_rng(0))["x"][0])) == list(range(5, 12))
    fill(again, 1, begin=12)
    assert sorted(set(again.sample(500, 1, np.random.default_rng(0))["x"][0])) == list(range(5, 13))


def test_a_kill_after_more_than_a_whole_ring(tmp_path: Path) -> None:
    """Nothing of the checkpoint is left; what is written after it is used at once."""
    replay = make_replay(1, 10, tmp_path)
    fill(replay, 3)
    saved = replay.state_dict()
    fill(replay, 32, begin=3)
    again = make_replay(1, 10, tmp_path)
    assert not again.load_state_dict(saved)
    assert len(again) == 0
    for k in range(1, 6):
        fill(again, 1, begin=2 + k)
        assert len(again) == k
    assert sorted(set(again.sample(500, 1, np.random.default_rng(0))["x"][0])) == [3, 4, 5, 6, 7]


def test_a_replay_whose_files_are_missing_is_refused(tmp_path: Path) -> None:
    replay = make_replay(1, 10, tmp_path / "there")
    fill(replay, 3)
    saved = replay.state_dict()
    with pytest.raises(UserError, match="lacks records of the checkpoint's 3"):
        make_replay(1, 10, tmp_path / "elsewhere").load_state_dict(saved)
    assert make_replay(1, 10, tmp_path / "there").load_state_dict(saved), "nothing is missing here"


def test_replay_in_memory_is_part_of_the_checkpoint() -> None:
    replay = make_replay(2, 20)
    fill(replay, 13)
    again = make_replay(2, 20)
    again.load_state_dict(replay.state_dict())
    here, there = (r.sample(9, 3, np.random.default_rng(1)) for r in (replay, again))
    assert all(np.array_equal(here[name], there[name]) for name in here)


# Training


@pytest.mark.parametrize(("env_id", "terminal"), [("Truncating-v0", False), ("Terminating-v0", True)])
def test_only_true_ends_are_terminal(env_id: str, terminal: bool) -> None:
    from tests.safepo.toy import Clock

    if env_id not in gymnasium.registry:
        limit = {"max_episode_steps": 10} if not terminal else {}
        gymnasium.register(env_id, lambda: Clock(10 if terminal else 1000), **limit)  # type: ignore[arg-type]
    trainer = make_trainer(config(env_id=env_id, action_repeat=4, num_envs=1, steps_per_epoch=40))
    trainer.start()
    trainer.run_epoch()
    replay, n = trainer.collector.replay, 4
    data = {name: array[0, : 2 * n] for name, array in replay.arrays.items()}
    assert data["vector"][:, 0].tolist() == [0, 4, 8, 10, 0, 4, 8, 10], "decisions of 4, 4, 2 steps and the last sight"
    assert data["reward"].tolist() == [0, 1 + 2 + 3 + 4, 5 + 6 + 7 + 8, 9 + 10] * 2
    assert data["cost"].tolist() == [0, 100, 260, 190] * 2
    assert data["first"].tolist() == [True, False, False, False] * 2
    assert data["terminal"].tolist() == [False, False, False, terminal] * 2
    trainer.close()


def test_updates_follow_the_train_ratio() -> None:
    trainer = make_trainer(config(train_ratio=24.0, prefill=50))
    trainer.start()
    metrics = trainer.run_epoch()
    assert metrics["train/updates"] == int((metrics["train/decisions"] - 50) * 24 / (8 * 12))
    assert metrics["train/decisions"] == 200
    trainer.close()


def test_an_epoch_in_which_no_episode_ends() -> None:
    trainer = make_trainer(config(steps_per_epoch=40, env_id="SafetyPointGoal1-v0", prefill=20))
    trainer.start()
    metrics = trainer.run_epoch()
    assert np.isnan(metrics["ep/return"])
    assert "cost/hazards" in metrics
    assert metrics["ep/count"] == 0
    trainer.close()


@pytest.mark.parametrize("variant", ["osrp_lag", "bsrp_lag"])
def test_mixed_precision_runs_and_stays_close(variant: str) -> None:
    found = []
    for precision in ("float32", "bfloat16"):
        trainer = make_trainer(config(variant=variant, precision=precision, prefill=186, multiplier_start=0))
        trainer.start()
        metrics = trainer.run_epoch()
        assert metrics["train/updates"] == 1
        found.append({name: value for name, value in metrics.items() if name.startswith("train/loss")})
        trainer.close()
    assert found[0] != found[1]
    assert found[1] == pytest.approx(found[0], rel=0.05, abs=0.01)


def test_compiled_steps_compute_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The graphs are captured and run without a code generator, which would take minutes."""
    found, compiled = [], torch.compile
    calls = []
    monkeypatch.setattr(torch, "compile", lambda f: calls.append(f) or compiled(f, backend="eager"))
    for chosen in (False, True):
        trainer = make_trainer(config(compile=chosen, variant="bsrp_lag", prefill=150))
        trainer.start()
        found.append({name: value for name, value in trainer.run_epoch().items() if name.startswith("train/")})
        trainer.close()
    assert [f.__name__ for f in calls] == ["observe", "imagine"]
    assert found[1] == pytest.approx(found[0], rel=1e-4, abs=1e-5)


def weights(trainer: Any) -> list[torch.Tensor]:
    agent = trainer.algorithm
    return [*agent.model.state_dict().values(), *agent.behaviour.state_dict().values()]


@pytest.mark.parametrize("variant", VARIANTS)
def test_resuming_changes_nothing(variant: str) -> None:
    one = make_trainer(config(variant=variant, multiplier_start=0, limit_decisions=400, steps_per_epoch=150))
    one.start()
    one.run_epoch()
    state = one.state_dict()
    other = make_trainer(config(variant=variant, multiplier_start=0, limit_decisions=400, steps_per_epoch=150))
    assert other.load_state_dict(state)
    first, second = one.run_epoch(), other.run_epoch()
    assert {k: v for k, v in first.items() if not k.startswith("time/")} == pytest.approx(
        {k: v for k, v in second.items() if not k.startswith("time/")}, nan_ok=True, rel=0, abs=0
    )
    assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))
    assert one.algorithm.state_dict()["numbers"] == other.algorithm.state_dict()["numbers"]


@pytest.mark.parametrize("variant", ["osrp_lag", "dreamer"])
def test_resuming_while_actions_are_held_from_files(variant: str, tmp_path: Path) -> None:
    """An epoch ends 31 steps into an episode of actions of 3 steps; the replay in files is moved along with the run."""
    import shutil

    settings = {"variant": variant, "action_repeat": 3, "steps_per_epoch": 142, "multiplier_start": 0, "prefill": 24}
    one = make_trainer(config(**settings))
    one.start()
    assert one.state_dict()["collector"]["replay"] == {}, "no memory is taken before the files are open"
    one.settle(tmp_path / "one")
    one.run_epoch()
    assert one.collector.player.hold.any()
    state = one.state_dict()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    other = make_trainer(config(**settings))
    assert other.load_state_dict(state)
    other.settle(tmp_path / "two")
    first, second = one.run_epoch(), other.run_epoch()
    assert first["train/updates"] > 0
    assert {k: v for k, v in first.items() if not k.startswith("time/")} == pytest.approx(
        {k: v for k, v in second.items() if not k.startswith("time/")}, nan_ok=True, rel=0, abs=0
    )
    assert all(torch.equal(a, b) for a, b in zip(weights(one), weights(other), strict=True))


def test_a_run_from_start_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Train, stop, resume, evaluate, load; the replay of a finished run is gone."""
    import safepo
    from safepo import trainer as loop
    from safepo.dreamer.trainer import DreamerTrainer

    chosen = config(log_dir=str(tmp_path), total_steps=600, eval_episodes=2, checkpoint_every=1, variant="osrp_lag")
    epochs = []
    run_epoch = DreamerTrainer.run_epoch

    def killed(self: DreamerTrainer, progress: Any = None) -> dict[str, float]:
        if len(epochs) == 1:
            raise KeyboardInterrupt
        epochs.append(1)
        return run_epoch(self, progress)

    monkeypatch.setattr(DreamerTrainer, "run_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        start(chosen)
    monkeypatch.setattr(DreamerTrainer, "run_epoch", run_epoch)
    assert (chosen.run_dir() / "replay" / "vector.bin").exists()
    write_json(chosen.run_dir() / "status.json", {"status": "interrupted"})  # its process is this one
    run = resume(chosen.run_dir())
    assert loop.run_status(run) == "finished"
    assert not (run / "replay").exists()
    assert (run / "open_loop.png").stat().st_size > 100
    assert (run / "eval.json").exists()
    result = safepo.evaluate(run, episodes=4)
    assert result["deterministic"]["episodes"] == 4
    policy = safepo.load(run)
    policy.seed(0)
    first = policy.predict(np.zeros(6))
    assert first.shape == (2,)
    assert abs(first).max() <= 1
    whole = make_trainer(config(log_dir=str(tmp_path / "other"), total_steps=600, checkpoint_every=1))
    whole.start()
    for _ in range(3):
        whole.run_epoch()
    resumed = safepo.load(run)
    assert all(
        torch.equal(a, b)
        for a, b in zip(weights(whole), weights(SimpleNamespace(algorithm=resumed.agent)), strict=True)
    )


def test_images_and_vectors_together() -> None:
    camera = gymnasium.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    lidar = gymnasium.spaces.Box(0, 1, (5,), np.float64)
    space = gymnasium.spaces.Dict({"back": camera, "front": camera, "lidar": lidar})
    assert Shapes.of(ObsMap.of("x", space)) == Shapes(5, 6, 16)
    assert Shapes.of(ObsMap.of("x", space, View(keys=("lidar",)))) == Shapes(5, 0, 0)
    assert Shapes.of(ObsMap.of("x", space, View(keys=("front",)))) == Shapes(0, 3, 16)
    obs = ObsMap.of("x", space)
    given = {"back": np.full((2, 16, 16, 3), 7), "front": np.full((2, 16, 16, 3), 9), "lidar": np.full((2, 5), 0.5)}
    seen = split(obs.flatten(given), obs, Shapes.of(obs))
    np.testing.assert_array_equal(seen["vector"], given["lidar"])
    np.testing.assert_array_equal(seen["image"], np.concatenate([given["back"], given["front"]], axis=-1))
    wide = gymnasium.spaces.Box(0, 255, (16, 32, 3), np.uint8)
    with pytest.raises(UserError, match="square"):
        Shapes.of(ObsMap.of("x", wide))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"env_id": "tests.safepo.toy:ToyDiscrete-v0"}, "Box"),
        ({"cost_limit": "cost_hazards=1,cost_vases=2", "env_id": "SafetyPointGoal1-v0"}, "one limit"),
        ({"plan_elites": 1000}, "exceeds plan_samples"),
        ({"replay_size": 20, "num_envs": 4}, "do not hold a sequence of batch_length 12"),
        ({"discount": 1.0}, "discount must be below 1"),
        ({"overshoot": 12}, "overshoot 12 must be less than batch_length 12"),
        ({"overshoot": -1}, "overshoot must not be negative"),
        ({"limit_decisions": -1}, "limit_decisions must not be negative"),
        ({"limit_decisions": 9, "limit_start": 5.0, "cost_limit": 8}, "limit_start 5.0: .* falls to cost_limit 8"),
        ({"unimix": 0.0}, "unimix must lie between 0 and 1"),
        ({"variant": "ocrp"}, "bsrp_lag"),
        ({"preset": "quick"}, "tiny_plus"),
    ],
)
def test_what_cannot_work_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        make_trainer(config(**changes))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_valid(preset: str) -> None:
    assert config(preset=preset).run.num_envs >= 1


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = [
        "--preset",
        "debug",
        "--variant",
        "bsrp_lag",
        "--env-id",
        TOY,
        "--total-steps",
        "200",
        "--eval-episodes",
        "0",
    ]
    assert cli.main(["train", "safe_dreamer", *args, "--log-dir", str(tmp_path)]) == 0
    assert "preset debug: deter 32" in capsys.readouterr().out
    assert cli.main(["list"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "safe_dreamer: presets debug, tiny, tiny_plus" in told
    assert "variants osrp, osrp_lag, bsrp_lag" in told


# Learning


def test_the_model_learns_a_linear_system() -> None:
    """It fits a batch, and predicts unseen sequences from their actions alone."""
    model = make_model(deter=64, units=32, stoch=8, classes=8, mlp_units=32, free_nats=0.1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3, fused=True)
    noise, before = generator(1), None
    for k in range(250):
        loss, _, _ = model.loss(linear_system(12, 16, seed=k % 20), noise)
        before = before or float(loss.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(loss.detach()) < 0.3 * before
    unseen = linear_system(12, 64, seed=99)
    with torch.no_grad():
        feature, reward, _ = model.open_loop(unseen, 3, noise)
        vector, _ = model.decode(feature)
    assert vector is not None
    truth = symlog(unseen.vector[..., 0])
    error = (vector[3:, :, 0] - truth[3:]).square().mean()
    spread = (truth[3:] - truth[2]).square().mean()
    assert error < 0.3 * spread, "better than to believe that nothing moves"
    assert (reward[3:] - unseen.reward[3:]).square().mean() < 0.5 * spread
    picture = open_loop_picture(model, unseen, 3)
    block = 12 * 6
    assert picture.shape == (3 * 6 + 8, 3 * (block + 12), 3), "truth, prediction and difference of three numbers"
    x = unseen.vector[:, 0, 0].numpy()
    assert picture[0, np.argmin(x) * 6].max() == 0 and picture[0, np.argmax(x) * 6].min() == 255
    assert picture[12:18, 2 * (block + 12) : -12].mean() < 30, "the constant entry is not all noise"


def moving_square(length: int, batch: int, seed: int = 0) -> Sequences:
    """Images 16 x 16 of a white square that the action moves up or down by two pixels; it begins anywhere."""
    rng = np.random.default_rng(seed)
    action = rng.choice([-1.0, 1.0], (length, batch, 1))
    row = 6 + 2 * rng.integers(-1, 2, batch) + np.concatenate([np.zeros((1, batch)), 2 * action[:-1, :, 0].cumsum(0)])
    row = row.astype(int) % 16
    image = np.zeros((length, batch, 3, 16, 16), np.uint8)
    for t, b in np.ndindex(length, batch):
        image[t, b, :, np.arange(row[t, b], row[t, b] + 4) % 16, 6:10] = 255
    first = torch.zeros(length, batch)
    first[0] = 1
    zero = torch.zeros(length, batch)
    actions = torch.from_numpy(action).float()
    return Sequences(torch.zeros(length, batch, 0), torch.from_numpy(image), actions, zero, zero, first, zero)


def test_the_model_learns_to_see() -> None:
    """It fits a batch of images, and predicts most of it from the actions alone; the picture shows both."""
    values = {k: v for k, v in PRESETS["debug"].items() if hasattr(SafeDreamerSettings, k)}
    settings = SafeDreamerSettings(**{**values, "deter": 64, "units": 64, "stoch": 8, "classes": 8, "free_nats": 0.1})
    model, data, noise = WorldModel(settings, Shapes(0, 3, 16), 1, generator()), moving_square(6, 12), generator(1)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3, fused=True)
    for _ in range(220):
        loss, _, parts = model.loss(data, noise)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    seen = data.image.float() / 255
    spread = (seen - seen.mean((0, 1))).square().sum((-1, -2, -3)).mean()
    assert parts["image"] < 0.2 * spread
    with torch.no_grad():
        feature, _, _ = model.open_loop(data, 3, noise)
        _, image = model.decode(feature)
    assert image is not None
    assert (image[3:] - seen[3:]).square().sum((-1, -2, -3)).mean() < 0.5 * spread
    picture = open_loop_picture(model, data, 3)
    assert picture.shape == (3 * 18 + 8, 4 * 18, 3)
    assert abs(picture[:16, :16].astype(float) / 255 - seen[2, 0].movedim(0, -1).numpy()).max() < 0.01


def test_a_step_is_adam_s_whatever_the_layout_of_gradients() -> None:
    """Gradients of convolutions come channels last; the step equals that of backward and a plain Adam."""
    camera = gymnasium.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    values = {k: v for k, v in PRESETS["debug"].items() if hasattr(SafeDreamerSettings, k)}
    agent = SafeDreamer(SafeDreamerSettings(**values), ObsMap.of("x", camera), 1, 1.0, "cpu", 0)
    data, other = moving_square(6, 12), copy.deepcopy(agent.model)
    agent._step("model", agent.model, agent.model.loss(data, generator(3))[0], 1000.0)
    optimizer = torch.optim.Adam(other.parameters(), agent.settings.model_lr, eps=1e-8)
    other.loss(data, generator(3))[0].backward()
    torch.nn.utils.clip_grad_norm_(other.parameters(), 1000.0)
    optimizer.step()
    for (name, a), b in zip(agent.model.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-6, msg=name)


# Learning the toy

LIMITS = {"dreamer": 0.16, "bsrp_lag": 0.16, "osrp": 3.33, "osrp_lag": 3.33}
"""Costs of an episode: a discounted return of 0.2, and 0.5 on the planner's horizon."""


def train_toy(variant: str, seed: int, updates: int) -> dict[str, float]:
    """Return and cost of 64 episodes after so many updates, of which preset `tiny` makes one in 4 decisions."""
    steps = 480 + 4 * updates
    limit = LIMITS[variant]
    trainer = make_trainer(config(preset="tiny", variant=variant, seed=seed, cost_limit=limit, steps_per_epoch=steps))
    trainer.start()
    assert trainer.run_epoch()["train/updates"] == updates
    result = evaluate(trainer.policy(), TOY, 64, seed=5, deterministic=True)
    trainer.close()
    return {name: result[name]["mean"] for name in ("return", "cost")}


def test_the_actor_finds_the_goal() -> None:
    """A short version of the next; a random policy has return -0.7."""
    assert train_toy("dreamer", 0, 800)["return"] > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "updates", "most", "least"),
    [
        ("dreamer", 2000, np.inf, 12.0),
        ("bsrp_lag", 2000, 0.3, 3.0),
        ("osrp", 1400, LIMITS["osrp"], 5.0),
        ("osrp_lag", 1400, LIMITS["osrp_lag"], 5.0),
    ],
)
def test_the_toy_is_learnt(variant: str, updates: int, most: float, least: float) -> None:
    """At most such a cost and at least such a return, means over three seeds; ignoring costs costs 4.2."""
    found = [train_toy(variant, seed, updates) for seed in range(3)]
    print(variant, found)
    cost, return_ = (np.mean([x[name] for x in found]) for name in ("cost", "return"))
    assert cost <= most, found
    assert return_ >= least, found
