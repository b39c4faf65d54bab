"""What the training loop needs from an algorithm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safepo.algorithms.settings import OnPolicySettings
from safepo.distributions import Distribution
from safepo.errors import UserError
from safepo.first_order import Fitter
from safepo.networks import ALL, make_network
from safepo.observations import ObsMap
from safepo.parallel import ALONE, Group
from safepo.rollout import Batch, make_batch


@dataclass(frozen=True)
class Problem:
    """Sizes and limits of the constrained problem."""

    obs: ObsMap
    dist: Distribution
    cost_limits: dict[str, float]
    """Limits on mean undiscounted episode costs by name; `cost` is the step cost itself."""
    device: str
    group: Group = ALONE
    """The processes that share the training."""
    nstate: int = 0
    """Length of the state that the critics see instead of the observations, behind them in each row; 0: none."""


S = TypeVar("S", bound=OnPolicySettings)


class Algorithm(Generic[S]):
    """Networks plus an update rule.

    A subclass implements `climb`, or `update` where one advantage is not all it needs, and extends `setup` by what it
    holds besides the fitter; the training loop collects the data, estimates advantages, logs the returned metrics and
    saves `state_dict`. `settings` is the algorithm's frozen dataclass. `parts` names attributes with a `state_dict` of
    their own.
    """

    scalar: ClassVar[bool] = False
    """True for methods that can only hold one cost limit."""
    rows: ClassVar[slice] = ALL
    """Networks that are fitted by gradient descent: all, or the critics alone where the actor takes natural steps."""
    parts: tuple[str, ...] = ("fitter",)

    def __init__(self, settings: S, problem: Problem, init_seed: int, shuffle_seed: int) -> None:
        self.settings, self.group = settings, problem.group
        self.cost_names = tuple(problem.cost_limits)
        if self.scalar and len(self.cost_names) > 1:
            names = ", ".join(self.cost_names)
            raise UserError(
                f"{type(self).__name__} holds one cost limit, got {len(self.cost_names)} ({names}); limit one of them, "
                "or use an algorithm with multipliers, such as ppo_lag"
            )
        self.cost_limit: NDArray[np.float64] = np.array(list(problem.cost_limits.values()))
        init = torch.Generator().manual_seed(init_seed)
        ncost = len(self.cost_names)
        self.net = make_network(problem.obs, problem.dist, settings, problem.device, init, ncost, problem.nstate)
        self.shuffle_generator = torch.Generator().manual_seed(shuffle_seed)
        self.setup()

    def setup(self) -> None:
        """Create what the update needs besides the networks; all of it is named in `parts`."""
        self.fitter = Fitter(self.settings, self.net, self.shuffle_generator, self.rows, self.group)

    def learn(
        self, data: dict[str, np.ndarray], episode_cost: NDArray[np.float64], episode_length: float, progress: float
    ) -> dict[str, float]:
        """Improve the policy with an epoch of the collector's `data`; return metrics to log.

        `episode_cost (k,)` and `episode_length` are the measured means, `progress` the share of training done.
        """
        batch, values = make_batch(data, self.settings, episode_cost, episode_length, progress, self.net.device)
        return {**self.update(batch), **values}

    def update(self, batch: Batch) -> dict[str, float]:
        """Improve the policy with one epoch of data; return metrics to log."""
        return self.climb(batch, batch.reward_advantage)

    def climb(self, batch: Batch, advantage: Tensor) -> dict[str, float]:
        """Improve the policy on `advantage (N,)` and fit the critics; return metrics to log."""
        raise NotImplementedError

    def state_dict(self) -> dict:
        """Everything that changes during training, as tensors, arrays and primitives."""
        own = {name: getattr(self, name).state_dict() for name in self.parts}
        return {"net": self.net.state_dict(), "shuffle": self.shuffle_generator.get_state(), **own}

    def load_state_dict(self, state: dict) -> None:
        self.net.load_state_dict(state["net"])
        self.shuffle_generator.set_state(state["shuffle"])
        for name in self.parts:
            getattr(self, name).load_state_dict(state[name])
