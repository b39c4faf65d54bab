"""Every algorithm of the table: settings, columns, resuming, evaluation, divergence."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import safepo
from safepo import checkpoint, cli
from safepo.algorithms import ALGORITHMS
from safepo.algorithms.settings import FirstOrderSettings
from safepo.config import make_config
from safepo.errors import UserError
from safepo.logger import read_rows
from safepo.trainer import Trainer, resume
from tests.safepo.conftest import SMALL
from tests.safepo.helpers import make_algorithm, make_batch
from tests.safepo.test_train import assert_equal, final_state, partial_run

Small = Callable[..., Path]
EACH = pytest.mark.parametrize("name", ALGORITHMS)
TWO_EPOCHS = {"steps_per_epoch": 120, "total_steps": 240, "eval_episodes": 0}

# --- settings ---------------------------------------------------------------------------------------------------------

POSITIVE, NOT_NEGATIVE = (0, -1), (-1,)
REFUSED: dict[str, tuple[Any, ...]] = {
    "gamma": (-0.1, 1.1),
    "gae_lambda": (-0.1, 1.1),
    "cost_gae_lambda": (-0.1, 1.1),
    "hidden": ((), (0,), (8, -1)),
    "encoder": ("gur", "", ":Net", "net:"),
    "encoder_size": POSITIVE,
    "encoder_width": POSITIVE,
    "observe": ("", "vision,"),
    "image_size": NOT_NEGATIVE,
    "augment": NOT_NEGATIVE,
    "fisher_every": POSITIVE,
    "frames": POSITIVE,
    "critic_lr": POSITIVE,
    "critic_l2": NOT_NEGATIVE,
    "batch_size": POSITIVE,
    "passes": POSITIVE,
    "max_grad_norm": POSITIVE,
    "clip_mode": ("both",),
    "actor_lr": POSITIVE,
    "lr_decay": (1,),
    "target_kl": POSITIVE,
    "cg_iterations": POSITIVE,
    "cg_damping": NOT_NEGATIVE,
    "line_search_steps": POSITIVE,
    "line_search_decay": (0, 1, -0.5, 1.5),
    "clip": (0, 1, -0.2, 1.5),
    "cost_scale": ("thousand",),
    "temperature": POSITIVE,
    "multiplier_init": NOT_NEGATIVE,
    "multiplier_lr": NOT_NEGATIVE,
    "multiplier_max": NOT_NEGATIVE,
    "pid_kp": NOT_NEGATIVE,
    "pid_ki": NOT_NEGATIVE,
    "pid_kd": NOT_NEGATIVE,
    "pid_init": NOT_NEGATIVE,
    "pid_delay": POSITIVE,
    "pid_smoothing": (-0.1, 1.0),
    "pid_max": NOT_NEGATIVE,
}
"""Values that each setting refuses; every field of every algorithm has a row."""


@EACH
def test_settings_refuse_what_cannot_work_and_name_it(name: str) -> None:
    for field in dataclasses.fields(make_config(name).settings):
        refused = REFUSED[field.name]
        if isinstance(field.default, float):
            refused = (*refused, math.nan)
        for value in refused:
            with pytest.raises(UserError, match=rf"{field.name} must") as error:
                make_config(name, **{field.name: value})
            assert repr(float(value) if isinstance(field.default, float) else value) in str(error.value)


@EACH
def test_settings_accept_the_edges(name: str) -> None:
    edges = {"gamma": 0.0, "gae_lambda": 1.0, "cost_gae_lambda": 0.0, "critic_l2": 0, "hidden": [1], "multiplier_lr": 0}
    edges |= {"multiplier_max": "inf", "pid_max": 0.0, "pid_smoothing": 0.0, "cg_damping": 0.0, "clip_mode": "joint"}
    fields = {field.name for field in dataclasses.fields(make_config(name).settings)}
    make_config(name, **{key: value for key, value in edges.items() if key in fields})


def test_every_refused_setting_exists() -> None:
    fields = {f.name for name in ALGORITHMS for f in dataclasses.fields(make_config(name).settings)}
    assert fields == set(REFUSED)


# --- runs -------------------------------------------------------------------------------------------------------------

COMMON = {
    *("step", "ep/return", "ep/cost", "ep/length", "ep/count"),
    *("safety/cost_rate", "safety/violating_episodes", "safety/longest_violation", "safety/cost_regret"),
    *("loss/policy", "loss/reward_critic", "loss/cost_critic", "train/kl", "train/std", "train/epoch"),
    *("value/reward_adv", "value/cost_adv", "time/rollout", "time/update", "time/total", "time/steps_per_s"),
}
PASSES, MULTIPLIER = {"train/passes", "train/lr"}, {"train/multiplier"}
NATURAL = {"train/alpha", "train/xHx", "train/gradient_norm", "train/step_norm"}
CONSTRAINED = {"train/gradient_norm", "train/step_norm", "train/excess", "train/nu", "train/line_search"}
COLUMNS: dict[str, set[str]] = {
    "pg": PASSES,
    "ppo": PASSES,
    "ppo_lag": PASSES | MULTIPLIER,
    "cppo_pid": PASSES | MULTIPLIER,
    "focops": PASSES | MULTIPLIER,
    "cup": PASSES | MULTIPLIER | {"train/projection_kl", "train/projection_passes"},
    "natural_pg": NATURAL,
    "rcpo": NATURAL | MULTIPLIER,
    "trpo": NATURAL | {"train/line_search"},
    "trpo_lag": NATURAL | {"train/line_search"} | MULTIPLIER,
    "cpo": CONSTRAINED | {"train/case"},
    "pcpo": CONSTRAINED,
}
"""What `metrics.csv` holds beside the columns common to all."""


@EACH
@pytest.mark.parametrize("env_id", ["ToySpeedEnds-v0", "ToyMultiDiscrete-v0"])
def test_resuming_after_one_epoch_equals_two_straight(small: Small, tmp_path: Path, name: str, env_id: str) -> None:
    """To the bit: parameters, optimisers, multipliers, statistics, random streams, logged numbers."""
    straight = small(name, **TWO_EPOCHS, env_id=env_id)
    other = partial_run(1, name, **TWO_EPOCHS, env_id=env_id, log_dir=str(tmp_path / "other"))
    resume(other)
    assert_equal(final_state(straight), final_state(other))
    rows = [read_rows(run / "metrics.csv")[-1] for run in (straight, other)]
    same = [key for key in rows[0] if not key.startswith("time/")]
    assert [rows[0][key] for key in same] == [rows[1][key] for key in same]
    assert set(rows[0]) == COMMON | COLUMNS[name]
    assert all(math.isfinite(float(value)) for value in rows[0].values())


@EACH
@pytest.mark.parametrize(("env_id", "nact"), [("ToySpeedTwo-v0", 2), ("ToyDiscrete-v0", 1)])
def test_runs_are_evaluated_and_loaded(small: Small, name: str, env_id: str, nact: int) -> None:
    run = small(name, **TWO_EPOCHS, env_id=env_id)
    result = safepo.evaluate(run, episodes=3)
    for mode in ("deterministic", "stochastic"):
        assert result[mode]["episodes"] == 3 and result[mode]["length"]["mean"] == 50
        assert math.isfinite(result[mode]["return"]["mean"]) and result[mode]["cost"]["mean"] >= 0
    assert json.loads((run / "eval.json").read_text()) == result
    policy = safepo.load(run)
    obs = np.random.default_rng(0).normal(5.0, 3.0, (40, 3))
    actions = policy.predict(obs)
    assert actions.shape == (40, nact) and policy.predict(obs[0]).shape == (nact,)
    np.testing.assert_allclose(policy.predict(obs[3]), actions[3], rtol=1e-5)
    assert np.ptp(policy.predict(obs, deterministic=False)) > 0
    trained, start = (checkpoint.load(checkpoint.path_of(run, epoch))["algorithm"]["net"]["params"] for epoch in (2, 0))
    assert (trained != start).any(dim=1).all(), "actor and both critics moved"


@EACH
def test_a_seed_gives_one_result(small: Small, tmp_path: Path, name: str) -> None:
    first = final_state(small(name, **TWO_EPOCHS))
    assert_equal(first, final_state(small(name, **TWO_EPOCHS, log_dir=str(tmp_path / "again"))))
    other = final_state(small(name, **TWO_EPOCHS, seed=1))["algorithm"]["net"]["params"]
    assert not torch.equal(first["algorithm"]["net"]["params"], other)


@EACH
def test_the_state_of_an_algorithm_is_complete(name: str) -> None:
    """A second algorithm with the first one's state continues like it, update by update."""
    limits = {"cost_a": 20.0, "cost_b": 40.0} if not ALGORITHMS[name].load()[0].scalar else None
    first = make_algorithm(name, limits=limits, passes=2)
    second = make_algorithm(name, limits=limits, passes=2, shuffle_seed=5)
    costs = [[30.0, 35.0], [10.0, 50.0], [25.0, 45.0]]
    batches = [make_batch(first.net, 70, episode_cost=cost[: first.net.ncost]) for cost in costs]
    first.update(batches[0])
    second.load_state_dict(first.state_dict())
    for batch in batches[1:]:
        assert first.update(batch) == second.update(batch)
        assert torch.equal(first.net.params, second.net.params)


@EACH
def test_saved_state_does_not_move_with_training(name: str) -> None:
    algorithm = make_algorithm(name, passes=1)
    batch = make_batch(algorithm.net, 70)
    algorithm.update(batch)
    state = algorithm.state_dict()
    twin = make_algorithm(name, passes=1)
    twin.load_state_dict(state)
    expected = twin.update(batch)
    algorithm.update(batch)
    again = make_algorithm(name, passes=1)
    again.load_state_dict(state)
    assert again.update(batch) == expected


@EACH
@pytest.mark.filterwarnings("ignore:.*reward is a NaN value")
def test_divergence_stops_the_run_in_words(name: str) -> None:
    trainer = Trainer(make_config(name, **{**SMALL, "env_id": "ToyBroken-v0"}))
    trainer.start()
    with pytest.raises(FloatingPointError, match=r"diverged.*check the environment's rewards|raise cg_damping"):
        trainer.run_epoch()
    trainer.close()


@pytest.mark.filterwarnings("ignore:.*reward is a NaN value")
def test_divergence_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--env-id", "ToyBroken-v0", "--steps-per-epoch", "100", "--total-steps", "200", "--num-envs", "2"]
    assert cli.main(["train", "trpo", *options, "--log-dir", str(tmp_path), "--device", "cpu"]) == 1
    assert "safepo: error: training diverged" in capsys.readouterr().err


@EACH
def test_before_any_episode_has_ended_training_goes_on(name: str) -> None:
    """Episodes of 1000 steps, epochs of 20: no cost is known, multipliers stay, metrics are finite but for episodes."""
    trainer = Trainer(make_config(name, **{**SMALL, "env_id": "ToyClockLong-v0", "steps_per_epoch": 80}))
    trainer.start()
    for _ in range(2):
        metrics = trainer.run_epoch()
        unknown = {key for key, value in metrics.items() if not math.isfinite(value)}
        assert unknown == {"ep/return", "ep/cost", "ep/length"}
    if "train/multiplier" in metrics:
        assert metrics["train/multiplier"] == 0.001
    trainer.close()


@EACH
def test_episode_costs_reach_the_update(name: str) -> None:
    """Only the constrained methods care: with other measured costs, others end in the same parameters."""
    ends = []
    for cost in (5.0, 500.0):
        algorithm = make_algorithm(
            name, passes=2, target_kl=1e6 if name in COLUMNS and COLUMNS[name] >= PASSES else 0.01
        )
        batch = make_batch(algorithm.net, 70, episode_cost=cost)
        for _ in range(2):
            algorithm.update(batch)
        ends.append(algorithm.net.params[0].clone())
    assert torch.equal(*ends) != ALGORITHMS[name].constrained


def test_families() -> None:
    """Group A descends sampled losses, group B steps in a trust region; the defaults are those of the reference."""
    for name in ALGORITHMS:
        settings = make_config(name).settings
        shared = (settings.gamma, settings.gae_lambda, settings.cost_gae_lambda, settings.hidden, settings.critic_l2)
        assert shared == (0.99, 0.95, 0.95, (64, 64), 1e-3) and settings.max_grad_norm == 40
        own = (settings.target_kl, settings.batch_size, settings.passes, settings.critic_lr)
        if COLUMNS[name] >= PASSES:
            assert isinstance(settings, FirstOrderSettings)
            assert own == (0.02, 64, 40, 3e-4) and settings.actor_lr == 3e-4 and settings.lr_decay
        else:
            assert own == (0.01, 128, 10, 1e-3) and (settings.cg_iterations, settings.cg_damping) == (15, 0.1)
        if "train/line_search" in COLUMNS[name]:
            steps = 200 if name == "pcpo" else 15
            assert (settings.line_search_steps, settings.line_search_decay) == (steps, 0.8)
