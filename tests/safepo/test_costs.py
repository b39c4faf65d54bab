"""Limits by name, their parsing, what they mean at a step and for an episode, and the statistics of unsafe training."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from safepo import cli
from safepo.algorithms import ALGORITHMS
from safepo.algorithms.settings import OnPolicySettings
from safepo.config import config_from_dict, make_config
from safepo.errors import UserError
from safepo.logger import read_rows
from safepo.rollout import CostSignals, SafetyRecord, make_batch
from safepo.trainer import Trainer, resume
from tests.safepo.conftest import SMALL
from tests.safepo.test_rollout import batch_of, collector
from tests.safepo.test_train import assert_equal, final_state, partial_run

Small = Callable[..., Path]
NAMES = ("cost_hazards", "cost_vases_contact", "cost_vases_velocity")
SCALAR = ("cpo", "pcpo")
SOURCES = {**SMALL, "env_id": "ToySources-v0", "steps_per_epoch": 48, "total_steps": 144}


# --- parsing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (25, {"cost": 25.0}),
        (7.5, {"cost": 7.5}),
        ("7.5", {"cost": 7.5}),
        ("cost=10", {"cost": 10.0}),
        ("cost_hazards=10,cost_vases_contact=5", {"cost_hazards": 10.0, "cost_vases_contact": 5.0}),
        (" cost_a = 1 , cost = 0 ", {"cost_a": 1.0, "cost": 0.0}),
        ({"cost_a": 1, "cost_b": 2.5}, {"cost_a": 1.0, "cost_b": 2.5}),
        ({"cost_a": np.float64(3)}, {"cost_a": 3.0}),
        ({"cost": 3}, {"cost": 3.0}),
    ],
)
def test_limits_are_parsed_in_the_order_given(given: Any, expected: dict[str, float]) -> None:
    config = make_config("ppo_lag", cost_limit=given)
    limits = config.run.cost_limits()
    assert limits == expected and list(limits) == list(expected)
    assert config_from_dict(config.to_dict()).run.cost_limits() == expected


@pytest.mark.parametrize(
    "given",
    [
        -1.0,
        math.nan,
        "lots",
        "cost_a=",
        "cost_a=x",
        "cost_a=-1",
        "cost_a=nan",
        "cost_a=1,cost_a=2",
        "cost_a=1,,cost_b=2",
        "1,2",
        "",
        {},
        {"cost_a": -1},
        {"cost_a": "x"},
        {"cost_a": None},
    ],
)
def test_nonsense_is_refused_with_an_example(given: Any) -> None:
    with pytest.raises(UserError, match=r"cost_limit.*cost_hazards=10,cost_vases_contact=5"):
        make_config("ppo_lag", cost_limit=given)


@pytest.mark.parametrize("given", [[1, 2], None, True])
def test_other_types_are_refused(given: Any) -> None:
    with pytest.raises(UserError, match="cost_limit must be a number"):
        make_config("ppo_lag", cost_limit=given)


def test_the_command_line_and_a_file_give_the_same(tmp_path: Path) -> None:
    text = "cost_hazards=10,cost_vases_contact=5"
    expected = make_config("ppo_lag", cost_limit={"cost_hazards": 10, "cost_vases_contact": 5}).run.cost_limits()
    assert cli.parse_train("ppo_lag", ["--cost-limit", text])[0].run.cost_limits() == expected
    assert cli.parse_train("ppo_lag", [f"--cost-limit={text}"])[0].run.cost_limits() == expected
    for line in (f'cost_limit = "{text}"', "cost_limit = {cost_hazards = 10, cost_vases_contact = 5}"):
        (tmp_path / "c.toml").write_text(line)
        assert make_config("ppo_lag", file=tmp_path / "c.toml").run.cost_limits() == expected
        assert cli.parse_train("ppo_lag", ["--config", str(tmp_path / "c.toml")])[0].run.cost_limits() == expected
    number = cli.parse_train("ppo_lag", ["--cost-limit", "12"])[0]
    assert number == make_config("ppo_lag", cost_limit=12) and number.run.cost_limit == 12.0


def test_the_command_line_says_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "ppo_lag", "--cost-limit", "cost_hazards=few"]) == 2
    assert "cost_limit='cost_hazards=few': expected a number >= 0, or limits by name" in capsys.readouterr().err


# --- what is limited at a step ----------------------------------------------------------------------------------------


def test_signals_by_hand() -> None:
    """Three environments: nothing, hazards and a slow vase, both vase entries."""
    cost = np.array([0.0, 1.5, 2.5])
    entries = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.5], [0.0, 2.0, 0.5]])
    signals = CostSignals(("cost_vases", "cost", "cost_vases_velocity", "cost_hazards"), NAMES)
    np.testing.assert_array_equal(signals(cost, entries), [[0, 0.0, 0.0, 0.0], [1, 1.5, 0.5, 1.0], [1, 2.5, 0.5, 0.0]])
    assert signals.groups == ["cost_vases"]


def test_a_group_is_the_indicator_of_a_sum_above_zero() -> None:
    signals = CostSignals(("cost_vases",), NAMES)
    entries = np.array([[9.0, 1.0, -1.0], [0.0, 1.0, -0.5], [5.0, 0.0, 0.0], [0.0, 0.0, 1e-9]])
    np.testing.assert_array_equal(signals(np.zeros(4), entries)[:, 0], [0, 1, 0, 1])


def test_a_prefix_ends_at_an_underscore() -> None:
    with pytest.raises(UserError, match="unknown cost 'cost_vas'"):
        CostSignals(("cost_vas",), NAMES)
    exact = CostSignals(("cost_vases",), ("cost_vases", "cost_vases_contact"))
    assert exact.groups == [], "an entry of that very name is meant itself"


@pytest.mark.parametrize("wrong", ["cost_hazard", "hazards", "cost_", "costs", ""])
def test_unknown_names_list_the_known(wrong: str) -> None:
    with pytest.raises(UserError) as error:
        CostSignals(("cost", wrong), NAMES)
    assert repr(wrong) in str(error.value) and "cost, " + ", ".join(NAMES) in str(error.value)


def test_an_environment_without_entries_knows_cost_alone() -> None:
    with pytest.raises(UserError, match="unknown cost 'cost_hazards'; this environment has cost"):
        Trainer(make_config("ppo_lag", **SMALL, cost_limit="cost_hazards=10"))


def test_the_suites_entries_can_be_limited() -> None:
    """What is limited is what is counted as `cost/hazards` and so on; vases cost at most 1 a step together."""
    limits = {"cost_hazards": 10.0, "cost_vases_contact": 5.0, "cost_vases": 5.0, "cost": 25.0}
    c, net = collector("safety_gym:SafetyPointGoal2-v0", 16, limits)
    net.params *= 3  # bold actions, so that every cost occurs
    signals = c.collect(net, 250)["rewards"][:, :, 1:]
    names = list(c.stats.names)
    columns = [names.index(name) for name in ("cost/hazards", "cost/vases_contact", "cost/vases", "ep/cost")]
    np.testing.assert_allclose(signals.sum(axis=0), c.sums.values[:, columns])
    assert (signals.sum(axis=(0, 1)) > 0).all() and set(np.unique(signals[:, :, 2])) == {0.0, 1.0}
    c.env.close()


# --- episodes ---------------------------------------------------------------------------------------------------------

LIMITS = {"cost_vases": 2.0, "cost_hazards": 5.0, "cost": 7.0, "cost_vases_contact": 3.0}


def test_collected_signals_and_episode_sums_by_hand() -> None:
    """Episodes of six steps (see `toy.Sources`); absent entries count 0, also in the step that ends an episode."""
    c, net = collector("ToySources-v0", 2, LIMITS)
    data = c.collect(net, 7)
    vases, hazards, contact = [0, 0, 1, 1, 0, 1, 0], [1, 0, 1, 0, 1, 0, 1], [0, 0, 2, 0, 0, 2, 0]
    total = [1, 0, 3, 0.5, 1, 2, 1]
    for i in range(2):
        np.testing.assert_array_equal(data["rewards"][:, i], np.transpose([[0] * 7, vases, hazards, total, contact]))
    episode = c.stats.close_epoch()
    expected = {
        "ep/return": 0,
        "ep/cost": 7.5,
        "ep/length": 6,
        "cost/hazards": 3,
        "cost/vases_contact": 4,
        "cost/vases_velocity": 0.5,
        "cost/vases": 3,
    }
    assert episode == expected
    np.testing.assert_array_equal(c.episode_costs(episode), [3, 3, 7.5, 4])
    batch, _ = batch_of(data, 4)
    assert batch.cost_advantage.shape == (4, 14) and batch.targets.shape == (5, 14)


def test_every_signal_has_its_own_advantage() -> None:
    """The cost critics' targets follow their own signals: with gamma 0 they are the step costs themselves."""
    c, net = collector("ToySources-v0", 2, LIMITS)
    data = c.collect(net, 6)
    batch, raw = make_batch(data, OnPolicySettings(gamma=0.0), np.zeros(4), 6.0, 0.0, torch.device("cpu"))
    signals = torch.from_numpy(data["rewards"].reshape(12, 5).T).float()
    torch.testing.assert_close(batch.targets, signals)
    advantage = signals[1:] - torch.from_numpy(data["values"].reshape(12, 5).T[1:]).float()
    torch.testing.assert_close(batch.cost_advantage, advantage - advantage.mean(1, keepdim=True))
    assert raw["value/cost_adv"] == pytest.approx(advantage.mean().item(), rel=1e-5)


# --- statistics of unsafe training ------------------------------------------------------------------------------------


def test_safety_statistics_by_hand() -> None:
    """Two environments, limits 2 and 1.

    Environment 0 pays at steps 1 to 3 and 5, its episode ends after step 3; environment 1 pays at steps 2 to 5 (two
    different costs) and goes on. The longest run of unsafe steps is 4. Costs: 3 + 1 + 4 = 8 over 10 steps.
    """
    record = SafetyRecord(np.array([2.0, 1.0]), 2)
    costs = np.zeros((5, 2, 2))
    costs[[0, 1, 2, 4], 0, 0] = 1
    costs[1:3, 1, 0], costs[3:, 1, 1] = 1, 1
    ends = np.zeros((5, 2), bool)
    ends[2, 0] = True
    record.add(costs, ends)
    record.add_episode(np.array([3.0, 0.0]))
    assert record.metrics() == {
        "safety/cost_rate": 0.8,
        "safety/violating_episodes": 1.0,
        "safety/longest_violation": 4,
        "safety/cost_regret": 1.0,
    }
    record.add(np.concatenate([np.ones((1, 2, 2)), np.zeros((4, 2, 2))]), np.zeros((5, 2), bool))  # a run of 5 in total
    for episode in ([2.0, 1.0], [4.0, 2.5], [0.0, 0.0]):  # at the limit is not above it; excess 2 + 1.5
        record.add_episode(np.array(episode))
    assert record.metrics() == {
        "safety/cost_rate": 12 / 20,
        "safety/violating_episodes": 0.5,
        "safety/longest_violation": 5,
        "safety/cost_regret": 4.5,
    }


def test_before_anything_happened_nothing_is_unsafe() -> None:
    assert set(SafetyRecord(np.array([1.0]), 3).metrics().values()) == {0.0}


def test_statistics_of_a_run_by_hand(small: Small) -> None:
    """Four environments, 12 steps each an epoch: two episodes of six steps each; limits 2 (cost 3) and 4 (cost 4).

    Steps with a vase cost: 3, 4, 6 of 6; hazards: 1, 3, 5: only step 2 is safe, the longest run is 3, 4, 5, 6 = 4 (an
    episode's end cuts it). A step's limited costs are 0.5 (hazards) + 0.5 (vases) on average.
    """
    rows = read_rows(small(**SOURCES, cost_limit="cost_vases=2,cost_hazards=4") / "metrics.csv")
    for epoch, row in enumerate(rows, 1):
        assert float(row["safety/cost_rate"]) == 1.0
        assert float(row["safety/violating_episodes"]) == 1.0
        assert float(row["safety/longest_violation"]) == 4
        assert float(row["safety/cost_regret"]) == epoch * 8 * 1.0, "cost_vases is 1 above its limit, hazards below"
        assert float(row["ep/count"]) == epoch * 8


# --- whole runs -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n, info in ALGORITHMS.items() if info.constrained and n not in SCALAR])
def test_metrics_per_multiplier(small: Small, name: str) -> None:
    """The cost above its limit drives its multiplier up, the other stays at 0 or falls there."""
    rows = read_rows(small(name, **SOURCES, cost_limit="cost_vases=2,cost_hazards=4") / "metrics.csv")
    vases, hazards = ([float(row[f"train/multiplier/{key}"]) for row in rows] for key in ("vases", "hazards"))
    assert vases == sorted(vases) and vases[-1] > vases[0] > 0.001
    assert hazards[-1] == 0
    assert "train/multiplier" not in rows[0]
    assert float(rows[0]["cost/vases"]) == 3 and float(rows[0]["ep/cost"]) == 7.5


@pytest.mark.parametrize("name", SCALAR)
def test_scalar_methods_refuse_several_limits(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    symbol = ALGORITHMS[name].symbol
    with pytest.raises(UserError, match=rf"{symbol} holds one cost limit, got 2 \(cost_vases, cost_hazards\).*ppo_lag"):
        Trainer(make_config(name, **SOURCES, cost_limit="cost_vases=2,cost_hazards=4"))


@pytest.mark.parametrize("name", SCALAR)
def test_scalar_methods_hold_one_named_limit(small: Small, name: str) -> None:
    """The excess is that of the named cost: (3 - 2) / 6 steps."""
    rows = read_rows(small(name, **SOURCES, cost_limit="cost_vases=2") / "metrics.csv")
    assert [float(row["train/excess"]) for row in rows] == pytest.approx([1 / 6] * 3)


def test_unconstrained_methods_take_several_limits_for_the_record(small: Small) -> None:
    rows = read_rows(small("ppo", **SOURCES, cost_limit="cost_vases=2,cost_hazards=4") / "metrics.csv")
    assert float(rows[-1]["safety/cost_regret"]) == 24 and not any("multiplier" in key for key in rows[0])


def test_a_run_with_several_limits_resumes_exactly(small: Small, tmp_path: Path) -> None:
    """Two epochs of 10 steps each: the second resumes in the middle of episodes."""
    options = {**SOURCES, "steps_per_epoch": 40, "total_steps": 80, "eval_episodes": 0}
    options["cost_limit"] = "cost_vases=2,cost_hazards=4,cost=5"
    straight = small("ppo_lag", **options)
    other = partial_run(1, "ppo_lag", **options, log_dir=str(tmp_path / "other"))
    resume(other)
    assert_equal(final_state(straight), final_state(other))
    assert len(final_state(other)["algorithm"]["multiplier"]["values"]) == 3
    assert len(final_state(other)["algorithm"]["net"]["params"]) == 5, "actor, reward critic, three cost critics"
