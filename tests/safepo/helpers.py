"""Small networks, batches and algorithms, and slow independent references: plain MLPs and torch.distributions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Distribution as TorchDistribution
from torch.distributions import Normal, kl_divergence

from safepo.algorithms import algorithm_info
from safepo.algorithms.base import Algorithm, Problem
from safepo.config import make_config
from safepo.distributions import Categorical, Distribution, Gaussian, Params
from safepo.networks import ACTOR, ActorCritic
from safepo.observations import ObsMap
from safepo.rollout import Batch

DISTRIBUTIONS = {
    "gaussian-1": Gaussian(1),
    "gaussian-3": Gaussian(3),
    "discrete-4": Categorical((4,)),
    "multi-discrete": Categorical((3, 2, 5)),
}


def make_net(
    nobs: int = 5, dist: Distribution | None = None, hidden: tuple[int, ...] = (8, 6), ncost: int = 1
) -> ActorCritic:
    return ActorCritic(nobs, dist or Gaussian(2), hidden, "cpu", torch.Generator().manual_seed(0), ncost)


def make_batch(net: ActorCritic, n: int = 100, episode_cost: float | list[float] = 30.0, **fields: Any) -> Batch:
    """Random data for a network; advantages have the forms that `rollout.make_batch` gives them."""
    g = torch.Generator().manual_seed(1)
    obs = fields.get("obs", torch.randn(n, net.nobs, generator=g))
    action, logp, _ = net.act(obs, net.dist.noise(n, g))
    reward = torch.randn(n, generator=g)
    costs = 2 * torch.randn(net.ncost, n, generator=g)
    values = {
        "obs": obs,
        "action": action,
        "logp": logp,
        "reward_advantage": (reward - reward.mean()) / reward.std(),
        "cost_advantage": costs - costs.mean(1, keepdim=True),
        "targets": torch.randn(1 + net.ncost, n, generator=g),
        "episode_cost": np.full(net.ncost, episode_cost),
        "episode_length": 50.0,
        "progress": 0.0,
    }
    return Batch(**{**values, **fields})


def make_algorithm(
    name: str,
    dist: Distribution | None = None,
    limits: dict[str, float] | None = None,
    nobs: int = 5,
    shuffle_seed: int = 1,
    **settings: Any,
) -> Algorithm[Any]:
    """An algorithm of the table with networks of hidden sizes (8, 6), unless `settings` say otherwise."""
    kind, _ = algorithm_info(name).load()
    config = make_config(name, tuned=False, **{"hidden": (8, 6), **settings})
    problem = Problem(ObsMap.vector(nobs), dist or Gaussian(2), limits or {"cost": 25.0}, "cpu")
    return kind(config.settings, problem, 0, shuffle_seed)


def stir(net: ActorCritic, scale: float = 0.1, rows: slice = slice(None)) -> None:
    """Move the networks away from their initial values, free parameters included; padding stays 0."""
    noise = torch.randn(net.params.shape, generator=torch.Generator().manual_seed(9))
    noise[1:, net.params.shape[1] - net.dist.nfree :] = 0
    weight, bias = net.split(noise)[-1]
    weight[1:, :, 1:], bias[1:, :, 1:] = 0, 0
    net.params[rows] += scale * noise[rows]


# --- references -------------------------------------------------------------------------------------------------------


def plain_mlp(net: ActorCritic, row: Tensor, obs: Tensor) -> Tensor:
    """Outputs `(b, nout)` of the network whose parameters are `row (p,)`, layer by layer."""
    x = obs if net.encoder is None else net.encoder(row[None, net.encoded], obs)[0]
    layers = net.split(row.unsqueeze(0))
    for i, (weight, bias) in enumerate(layers):
        x = x @ weight[0] + bias[0]
        x = torch.tanh(x) if i < len(layers) - 1 else x
    return x


def plain_policy(net: ActorCritic, row: Tensor, obs: Tensor) -> Params:
    """The actor's distributions for parameters `row (p,)`."""
    return Params(plain_mlp(net, row, obs), row[len(row) - net.dist.nfree :])


def torch_distributions(dist: Distribution, params: Params) -> list[TorchDistribution]:
    """The independent parts of `params`' distributions, each of batch shape `(b,)`."""
    if isinstance(dist, Categorical):
        return [TorchCategorical(logits=part) for part in params.out.split(dist.sizes, 1)]
    return [Normal(params.out[:, i], params.free[i].exp()) for i in range(dist.nact)]


def torch_logp(dist: Distribution, params: Params, action: Tensor) -> Tensor:
    parts = torch_distributions(dist, params)
    return torch.stack([part.log_prob(action[:, i]) for i, part in enumerate(parts)]).sum(0)


def torch_kl(dist: Distribution, first: Params, second: Params) -> Tensor:
    pairs = zip(torch_distributions(dist, first), torch_distributions(dist, second), strict=True)
    return torch.stack([kl_divergence(p, q) for p, q in pairs]).sum(0)


def torch_entropy(dist: Distribution, params: Params) -> Tensor:
    return torch.stack([part.entropy() for part in torch_distributions(dist, params)]).sum(0)


def policy_ratio(net: ActorCritic, row: Tensor, batch: Batch) -> Tensor:
    """Probability ratios `(N,)` of the policy `row (p,)` against the behaviour policy."""
    return (torch_logp(net.dist, plain_policy(net, row, batch.obs), batch.action) - batch.logp).exp()


def actor_row(net: ActorCritic) -> Tensor:
    return net.params[ACTOR].clone()
