"""A training loop with the machinery that the reference implementation (SafePO) uses, to measure ours against.

The mathematics is ours with `clip_mode="joint"`, which a test checks; what differs is how it is computed:

* a buffer of tensors for each environment, written entry by entry at every step; a path is finished per environment,
  its discounted sums run backwards over a tensor in Python;
* a `torch.nn.Sequential` for the actor's mean and for each of the two critics, `torch.distributions.Normal`, autograd;
* minibatches from a shuffling `DataLoader` over a `TensorDataset`, an Adam for each network, weight penalties in the
  graph, one gradient norm over all networks, `.item()` of each loss at every minibatch;
* second order: Fisher-vector products by differentiating the KL divergence twice, forward passes included.

Written for this benchmark. Environments, observation normaliser, Lagrange multiplier, the loop of conjugate gradients
around the products and the solution of CPO's dual problem are ours: their share of the time is small or, for the
environments, measured apart.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import mse_loss
from torch.nn.utils import clip_grad_norm_, parameters_to_vector, vector_to_parameters
from torch.utils.data import DataLoader, TensorDataset

from safepo.algorithms.cpo import CPOSettings, recovery
from safepo.algorithms.ppo_lag import PPOLagSettings
from safepo.algorithms.settings import OnPolicySettings
from safepo.envs import VectorEnv
from safepo.multiplier import AdamMultiplier
from safepo.normalize import ObsNormalizer
from safepo.rollout import WINDOW
from safepo.trust_region import EPS, conjugate_gradient, solve_dual

ARRAYS = ("obs", "action", "logp", "reward", "cost", "reward_value", "cost_value")
COMPUTED = ("reward_advantage", "cost_advantage", "reward_target", "cost_target")
Data = dict[str, Tensor]


class Actor(nn.Module):
    """Mean by a network, one log standard deviation for all states."""

    def __init__(self, nobs: int, nact: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.mean = mlp(nobs, hidden, nact)
        self.log_std = nn.Parameter(torch.zeros(nact))

    def forward(self, obs: Tensor) -> Normal:
        return Normal(self.mean(obs), self.log_std.exp())


class Networks(nn.Module):
    """Actor, reward critic and cost critic; obs are `(..., nobs)`."""

    def __init__(self, nobs: int, nact: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.actor = Actor(nobs, nact, hidden)
        self.reward_critic, self.cost_critic = mlp(nobs, hidden, 1), mlp(nobs, hidden, 1)

    def policy(self, obs: Tensor) -> Normal:
        return self.actor(obs)

    def reward_value(self, obs: Tensor) -> Tensor:
        return self.reward_critic(obs).squeeze(-1)

    def cost_value(self, obs: Tensor) -> Tensor:
        return self.cost_critic(obs).squeeze(-1)


def mlp(nin: int, hidden: Sequence[int], nout: int) -> nn.Sequential:
    """Linear layers with tanh between them."""
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(nin, width), nn.Tanh()]
        nin = width
    return nn.Sequential(*layers, nn.Linear(nin, nout))


class PathBuffer:
    """One environment's epoch."""

    def __init__(self, length: int, nobs: int, nact: int, settings: OnPolicySettings) -> None:
        width = {"obs": (nobs,), "action": (nact,)}
        self.data = {name: torch.zeros(length, *width.get(name, ())) for name in (*ARRAYS, *COMPUTED)}
        self.settings = settings
        self.at = self.start = 0

    def store(self, **entries: Tensor) -> None:
        """Write one step."""
        for name, value in entries.items():
            self.data[name][self.at] = value
        self.at += 1

    def finish_path(self, reward_value: Tensor, cost_value: Tensor) -> None:
        """Estimate advantages and targets since the last call; the values `(1,)` are those after the last step."""
        cfg, path = self.settings, slice(self.start, self.at)
        for signal, last, lam in (
            ("reward", reward_value, cfg.gae_lambda),
            ("cost", cost_value, cfg.cost_gae_lambda),
        ):
            values = torch.cat([self.data[f"{signal}_value"][path], last])
            delta = self.data[signal][path] + cfg.gamma * values[1:] - values[:-1]
            advantage = discounted_sums(delta, cfg.gamma * lam)
            self.data[f"{signal}_advantage"][path] = advantage
            self.data[f"{signal}_target"][path] = advantage + values[:-1]
        self.start = self.at

    def clear(self) -> None:
        self.at = self.start = 0


def discounted_sums(x: Tensor, discount: float) -> Tensor:
    """Return `y_t = x_t + discount y_(t+1)` for `x (t,)`."""
    out = x.double()
    total = torch.zeros((), dtype=torch.float64)
    for t in range(len(out) - 1, -1, -1):
        total = out[t] + discount * total
        out[t] = total
    return out.float()


class Yardstick(ABC):
    """Collecting and logging; an algorithm adds `update`.

    `env` takes actions in [-1, 1] and restarts ended episodes by itself. `horizon` is the number of vector steps of an
    epoch. Randomness comes from torch's global generator.
    """

    def __init__(self, settings: Any, env: VectorEnv, horizon: int, limit: float = 25.0) -> None:
        self.settings, self.env, self.horizon, self.limit = settings, env, horizon, limit
        self.net = Networks(env.nobs, env.nact, settings.hidden)
        self.critic_optimisers = [
            torch.optim.Adam(critic.parameters(), lr=settings.critic_lr)
            for critic in (self.net.reward_critic, self.net.cost_critic)
        ]
        self.normalizer = ObsNormalizer(env.nobs)
        self.buffers = [PathBuffer(horizon, env.nobs, env.nact, settings) for _ in range(env.num_envs)]
        self.running = np.zeros((3, env.num_envs))  # return, cost, length
        self.finished: deque[np.ndarray] = deque(maxlen=WINDOW)
        self.log: dict[str, list[float]] = defaultdict(list)
        self.obs = torch.zeros(env.num_envs, env.nobs)

    def reset(self, seed: int) -> None:
        """Start fresh episodes."""
        self.obs = self._observe(self.env.reset(seed))

    def collect(self) -> None:
        """Take `horizon` steps in each environment."""
        for t in range(self.horizon):
            action, logp, reward_value, cost_value = self._act(self.obs)
            step = self.env.step(action.numpy())
            self.running += np.stack([step.reward, step.cost, np.ones(self.env.num_envs)])
            reward, cost, terminated, truncated = (
                torch.as_tensor(x, dtype=torch.float32)
                for x in (step.reward, step.cost, step.terminated, step.truncated)
            )
            rows = (self.obs, action, logp, reward, cost, reward_value, cost_value)
            for i, buffer in enumerate(self.buffers):
                buffer.store(**{name: row[i] for name, row in zip(ARRAYS, rows, strict=True)})
            self.obs = self._observe(step.obs)
            last = t == self.horizon - 1
            for i, (died, cut) in enumerate(zip(terminated, truncated, strict=True)):
                if last or died or cut:
                    after = self.obs[i] if step.final_obs is None or not cut else self._frozen(step.final_obs[i])
                    self._finish_path(i, after, bool(died), bool(died or cut))

    def _act(self, obs: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        with torch.no_grad():
            policy = self.net.policy(obs)
            action = policy.rsample()
            logp = policy.log_prob(action).sum(-1)
            return action, logp, self.net.reward_value(obs), self.net.cost_value(obs)

    def _observe(self, obs: np.ndarray) -> Tensor:
        self.normalizer.update(obs)
        return self._frozen(obs)

    def _frozen(self, obs: np.ndarray) -> Tensor:
        return torch.as_tensor(self.normalizer(obs), dtype=torch.float32)

    def _finish_path(self, i: int, after: Tensor, terminated: bool, ended: bool) -> None:
        values = (torch.zeros(1), torch.zeros(1))
        if not terminated:
            _, _, reward_value, cost_value = self._act(after)
            values = (reward_value.unsqueeze(0), cost_value.unsqueeze(0))
        if ended:
            self.finished.append(self.running[:, i].copy())
            for name, value in zip(("return", "cost", "length"), np.mean(self.finished, axis=0), strict=True):
                self.log[name].append(value)
            self.running[:, i] = 0
        self.buffers[i].finish_path(*values)

    def _data(self) -> Data:
        """Join the environments' buffers; standardise reward advantages and centre cost advantages."""
        data = {name: torch.cat([buffer.data[name] for buffer in self.buffers]) for name in (*ARRAYS, *COMPUTED)}
        for buffer in self.buffers:
            buffer.clear()
        advantage = data["reward_advantage"]
        data["reward_advantage"] = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        data["cost_advantage"] = data["cost_advantage"] - data["cost_advantage"].mean()
        return data

    def update(self) -> None:
        """Improve the policy with the epoch that was collected."""
        episode_cost = float(np.mean(self.log["cost"])) if self.log["cost"] else math.nan
        length = float(np.mean(self.log["length"])) if self.log["length"] else math.nan
        self.log.clear()
        self.improve(self._data(), episode_cost, length)

    @abstractmethod
    def improve(self, data: Data, episode_cost: float, episode_length: float) -> None:
        """Improve the policy with `data`; the episode's cost and length are NaN until one has ended."""

    @abstractmethod
    def fit(self, *columns: Tensor) -> None:
        """Make all passes over the minibatches; a method of its own so that it can be timed."""

    def _loader(self, columns: Sequence[Tensor]) -> DataLoader:
        return DataLoader(TensorDataset(*columns), batch_size=self.settings.batch_size, shuffle=True)

    def _value_losses(self, obs: Tensor, reward_target: Tensor, cost_target: Tensor) -> list[Tensor]:
        """Mean squared errors with penalties on the weights, in the graph."""
        losses = [
            mse_loss(self.net.reward_value(obs), reward_target),
            mse_loss(self.net.cost_value(obs), cost_target),
        ]
        for k, critic in enumerate((self.net.reward_critic, self.net.cost_critic)):
            for parameter in critic.parameters():
                losses[k] = losses[k] + self.settings.critic_l2 * parameter.pow(2).sum()
        return losses

    def _descend(
        self, losses: Sequence[Tensor], optimisers: Sequence[torch.optim.Optimizer], parameters: Sequence[nn.Parameter]
    ) -> None:
        for optimiser in optimisers:
            optimiser.zero_grad()
        torch.stack(list(losses)).sum().backward()
        clip_grad_norm_(parameters, self.settings.max_grad_norm)
        for optimiser in optimisers:
            optimiser.step()
        for k, loss in enumerate(losses):
            self.log[f"loss {k}"].append(loss.mean().item())


class YardstickPPOLag(Yardstick):
    """PPO-Lag."""

    settings: PPOLagSettings

    def __init__(self, settings: PPOLagSettings, env: VectorEnv, horizon: int, limit: float = 25.0) -> None:
        super().__init__(settings, env, horizon, limit)
        self.actor_optimiser = torch.optim.Adam(self.net.actor.parameters(), lr=settings.actor_lr)
        self.multiplier = AdamMultiplier(settings)

    def improve(self, data: Data, episode_cost: float, episode_length: float) -> None:
        self.multiplier.update(np.array([episode_cost]), np.array([self.limit]))
        weight = float(self.multiplier.values[0])
        advantage = (data["reward_advantage"] - weight * data["cost_advantage"]) / (1 + weight)
        self.fit(*(data[k] for k in ("obs", "action", "logp", "reward_target", "cost_target")), advantage)

    def fit(self, *columns: Tensor) -> None:
        """Measures KL(old || new) on all data after each pass, but does not stop by it: all passes are timed."""
        net, clip, obs, loader = self.net, self.settings.clip, columns[0], self._loader(columns)
        optimisers, parameters = [*self.critic_optimisers, self.actor_optimiser], list(net.parameters())
        before = net.policy(obs)
        for _ in range(self.settings.passes):
            for obs_b, action, old_logp, reward_target, cost_target, advantage in loader:
                losses = self._value_losses(obs_b, reward_target, cost_target)
                ratio = torch.exp(net.policy(obs_b).log_prob(action).sum(-1) - old_logp)
                clipped = torch.clamp(ratio, 1 - clip, 1 + clip)
                losses.append(-torch.min(ratio * advantage, clipped * advantage).mean())
                self._descend(losses, optimisers, parameters)
            self.log["kl"].append(kl_divergence(before, net.policy(obs)).sum(-1).mean().item())


class YardstickCPO(Yardstick):
    """CPO."""

    settings: CPOSettings

    def improve(self, data: Data, episode_cost: float, episode_length: float) -> None:
        cfg, obs = self.settings, data["obs"]
        start = parameters_to_vector(self.net.actor.parameters()).detach()
        old = self.net.policy(obs)
        c = 0.0 if math.isnan(episode_cost) else (episode_cost - self.limit) / episode_length
        g, b = self._gradient(data, "reward"), self._gradient(data, "cost")
        x, p = (conjugate_gradient(lambda v: self._fisher(obs, v), y, cfg.cg_iterations) for y in (g, b))
        q, r, s = x.dot(g).item(), p.dot(g).item(), p.dot(b).item()
        dual = solve_dual(q, r, s, c, cfg.target_kl, b.dot(b).item())
        step = recovery(p, s, cfg.target_kl) if dual.case == 0 else (x - dual.nu * p) / (dual.lam + EPS)
        self.trials = 0
        for k in range(cfg.line_search_steps):
            self.trials += 1
            vector_to_parameters(start + cfg.line_search_decay**k * step, self.net.actor.parameters())
            with torch.no_grad():
                reward = self._surrogate(data, "reward").item() - data["reward_advantage"].mean().item()
                cost = self._surrogate(data, "cost").item() - data["cost_advantage"].mean().item()
                kl = kl_divergence(old, self.net.policy(obs)).mean().item()
            if kl <= cfg.target_kl and (dual.case <= 1 or reward >= 0) and cost <= max(-c, 0.0):
                break
        else:
            vector_to_parameters(start, self.net.actor.parameters())
        self.fit(obs, data["reward_target"], data["cost_target"])

    def fit(self, *columns: Tensor) -> None:
        parameters = [*self.net.reward_critic.parameters(), *self.net.cost_critic.parameters()]
        loader = self._loader(columns)
        for _ in range(self.settings.passes):
            for batch in loader:
                self._descend(self._value_losses(*batch), self.critic_optimisers, parameters)

    def _surrogate(self, data: Data, signal: str) -> Tensor:
        ratio = torch.exp(self.net.policy(data["obs"]).log_prob(data["action"]).sum(-1) - data["logp"])
        return (ratio * data[f"{signal}_advantage"]).mean()

    def _gradient(self, data: Data, signal: str) -> Tensor:
        self.net.actor.zero_grad()
        self._surrogate(data, signal).backward()
        return torch.cat([grad.flatten() for p in self.net.actor.parameters() if (grad := p.grad) is not None])

    def _fisher(self, obs: Tensor, vector: Tensor) -> Tensor:
        """Differentiate the mean KL divergence from the present policy twice."""
        parameters = tuple(self.net.actor.parameters())
        with torch.no_grad():
            here = self.net.policy(obs)
        kl = kl_divergence(here, self.net.policy(obs)).mean()
        first = torch.cat([x.flatten() for x in torch.autograd.grad(kl, parameters, create_graph=True)])
        second = torch.autograd.grad((first * vector).sum(), parameters)
        return torch.cat([x.flatten() for x in second]) + self.settings.cg_damping * vector


YARDSTICKS: dict[str, type[Yardstick]] = {"ppo_lag": YardstickPPOLag, "cpo": YardstickCPO}
