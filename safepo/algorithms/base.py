"""What the training loop needs from an algorithm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import torch

from safepo.networks import ActorCritic
from safepo.rollout import Batch


class OnPolicySettings(Protocol):
    """Settings that the training loop itself reads."""

    @property
    def gamma(self) -> float: ...
    @property
    def gae_lambda(self) -> float: ...
    @property
    def cost_gae_lambda(self) -> float: ...
    @property
    def hidden(self) -> tuple[int, ...]: ...
    def check(self) -> None: ...


@dataclass(frozen=True)
class Problem:
    """Sizes and limit of the constrained problem."""

    nobs: int
    nact: int
    cost_limit: float
    device: str


S = TypeVar("S", bound=OnPolicySettings)


class Algorithm(ABC, Generic[S]):
    """Networks plus an update rule.

    A subclass implements `setup` (optimisers, multiplier) and `update`; the training loop collects the data,
    estimates advantages, logs the returned metrics and saves `state_dict`. Class attribute `settings` is the
    algorithm's frozen dataclass.
    """

    def __init__(self, settings: S, problem: Problem, init_seed: int, shuffle_seed: int) -> None:
        self.settings = settings
        self.cost_limit = problem.cost_limit
        init = torch.Generator().manual_seed(init_seed)
        self.net = ActorCritic(problem.nobs, problem.nact, settings.hidden, problem.device, init)
        self.shuffle_generator = torch.Generator().manual_seed(shuffle_seed)
        self.setup()

    def setup(self) -> None:
        """Create what the update needs besides the networks."""

    @abstractmethod
    def update(self, batch: Batch) -> dict[str, float]:
        """Improve the policy with one epoch of data; return metrics to log."""

    def state_dict(self) -> dict:
        """Everything that changes during training, as tensors and primitives."""
        return {"net": self.net.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        self.net.load_state_dict(state["net"])
