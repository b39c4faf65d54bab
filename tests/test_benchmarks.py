"""The training benchmark compares like with like, and runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import training
from benchmarks.yardstick import YARDSTICKS, Networks, PathBuffer, Yardstick
from safepo.advantages import gae
from safepo.algorithms import algorithm_info
from safepo.algorithms.base import Algorithm, Problem
from safepo.distributions import Gaussian
from safepo.networks import ActorCritic
from safepo.observations import ObsMap
from safepo.rollout import Batch

NOBS, NACT, N, LIMIT = 5, 2, 48, 25.0
COMMON: dict[str, Any] = {"batch_size": N, "passes": 3, "max_grad_norm": 1.0, "clip_mode": "joint", "hidden": (8, 7)}
"""One minibatch a pass, so that the order of samples does not matter; the clip acts."""


@pytest.fixture
def double() -> Iterator[None]:
    """Both in double precision: 15 steps of conjugate gradients amplify the rounding of single precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def random_batch(net: ActorCritic, episode_cost: float, noise: float) -> Batch:
    """Samples of the policy of `net`; `noise` disturbs their log-probabilities."""
    rng = torch.Generator().manual_seed(1)
    obs = torch.randn(N, NOBS, generator=rng)
    action, logp, _ = net.act(obs, torch.randn(N, NACT, generator=rng))
    return Batch(
        obs=obs,
        action=action,
        logp=logp + noise * torch.randn(N, generator=rng),
        reward_advantage=torch.randn(N, generator=rng),
        cost_advantage=torch.randn(1, N, generator=rng),
        targets=2 * torch.randn(2, N, generator=rng),
        episode_cost=np.array([episode_cost]),
        episode_length=1000.0,
        progress=0.0,
    )


def pairs(net: ActorCritic, other: Networks) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Corresponding parameters of both, as views."""
    found: list[tuple[torch.Tensor, torch.Tensor]] = [(net.free, other.actor.log_std)]
    for row, mlp in enumerate((other.actor.mean, other.reward_critic, other.cost_critic)):
        linear = [layer for layer in mlp if isinstance(layer, torch.nn.Linear)]
        for (weight, bias), layer in zip(net.layers, linear, strict=True):
            nout = layer.out_features
            found += [(weight[row].T[:nout], layer.weight), (bias[row, 0, :nout], layer.bias)]
    return found


def both(name: str, **changes: Any) -> tuple[Algorithm, Yardstick]:
    """The algorithm and its yardstick with the same parameters."""
    kind, settings_type = algorithm_info(name).load()
    settings = settings_type(**COMMON, **changes)
    ours = kind(settings, Problem(ObsMap.vector(NOBS), Gaussian(NACT), {"cost": LIMIT}, "cpu"), 0, 0)
    env: Any = SimpleNamespace(nobs=NOBS, nact=NACT, num_envs=1)
    yardstick = YARDSTICKS[name](settings, env, horizon=N, limit=LIMIT)
    with torch.no_grad():
        for mine, other in pairs(ours.net, yardstick.net):
            other.copy_(mine)
    return ours, yardstick


@pytest.mark.parametrize(
    ("name", "noise", "changes"),
    [("ppo_lag", 0.3, {"target_kl": training.NEVER}), ("cpo", 0.0, {})],  # ratios that PPO clips; CPO's start at 1
)
@pytest.mark.parametrize("episode_cost", [20.0, 60.0])
@pytest.mark.usefixtures("double")
def test_yardstick_computes_what_ours_computes(
    name: str, noise: float, changes: dict[str, Any], episode_cost: float
) -> None:
    ours, yardstick = both(name, **changes)
    batch, start = random_batch(ours.net, episode_cost, noise), ours.net.params.clone()
    ours.update(batch)
    data = {
        "obs": batch.obs,
        "action": batch.action,
        "logp": batch.logp,
        "reward_advantage": batch.reward_advantage,
        "cost_advantage": batch.cost_advantage[0],
        "reward_target": batch.targets[0],
        "cost_target": batch.targets[1],
    }
    yardstick.improve(data, episode_cost, batch.episode_length)
    moved = (ours.net.params - start).abs().amax(1)
    assert (moved > 5e-4).all()
    for mine, other in pairs(ours.net, yardstick.net):
        torch.testing.assert_close(mine, other.detach(), atol=1e-9, rtol=1e-7)


def test_yardstick_estimates_what_ours_estimates() -> None:
    rng, length = np.random.default_rng(0), 7
    rewards, values, after = (rng.normal(size=(length, 1, 2)) for _ in range(3))
    ends = np.zeros((length, 1), bool)
    ends[[3, 6]] = True
    after[:-1][~ends[:-1, 0]] = values[1:][~ends[:-1, 0]]
    _, settings_type = algorithm_info("ppo_lag").load()
    settings = settings_type(cost_gae_lambda=0.9)
    lam = np.array([settings.gae_lambda, settings.cost_gae_lambda])
    advantages, targets = gae(rewards, values, after, ends, settings.gamma, lam)
    buffer = PathBuffer(length, NOBS, NACT, settings)
    for t in range(length):
        reward, cost, reward_value, cost_value = torch.tensor([*rewards[t, 0], *values[t, 0]])
        buffer.store(reward=reward, cost=cost, reward_value=reward_value, cost_value=cost_value)
        if ends[t]:
            buffer.finish_path(*torch.tensor(after[t, 0], dtype=torch.float32).split(1))
    for k, signal in enumerate(("reward", "cost")):
        np.testing.assert_allclose(buffer.data[f"{signal}_advantage"], advantages[:, 0, k], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(buffer.data[f"{signal}_target"], targets[:, 0, k], rtol=1e-5, atol=1e-6)


def test_training_benchmark_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "training.json"
    sizes = ("--steps-per-epoch", "80", "--num-envs", "8", "--passes", "2", "--threads", "1", "--repeats", "2")
    training.main([*sizes, "--json", str(file)])
    report = json.loads(file.read_text())
    assert [result["algorithm"] for result in report["results"]] == ["ppo_lag", "cpo"]
    for result, nbatch in zip(report["results"], (2 * 2, 2 * 1), strict=True):
        assert result["minibatches"] == nbatch
        assert len(result["repeats"]) == 2
        ours, yardstick = result["rows"]["ours"], result["rows"]["yardstick"]
        for row in (ours, yardstick):
            assert row["epoch_s"] > row["rollout_s"] > row["environment_s"] > 0
            assert row["update_s"] > row["passes_s"] > 0
        first = result["repeats"][0]
        assert first["ratio"]["epoch_s"] == first["yardstick"]["epoch_s"] / first["ours"]["epoch_s"]
    assert "ratio" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("ppo_lagg",), "ppo_lagg"),
        (("--env-id", "SafetyPointGaol1-v0"), "SafetyPointGaol1-v0"),
        (("--steps-per-epoch", "100", "--num-envs", "16"), "multiple"),
        (("--reference-python", "no-such-python"), "no-such-python"),
    ],
)
def test_wrong_arguments(
    arguments: tuple[str, ...], message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with pytest.raises(SystemExit):
        training.main([*arguments, "--json", str(tmp_path / "x.json")])
    assert message in capsys.readouterr().err
