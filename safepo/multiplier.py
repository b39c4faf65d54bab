"""Lagrange multipliers: how strongly cost weighs against reward, adapted once per epoch."""

from __future__ import annotations

import math


class AdamMultiplier:
    """Naive multiplier: Adam on the loss `-m (Jc - limit)`, clamped to [0, upper] after each step.

    Adam makes a step about `lr` whatever the size of the violation (Ray, Achiam, Amodei 2019 use it so, too).
    """

    def __init__(self, init: float, lr: float, upper: float = math.inf) -> None:
        self.value = min(max(init, 0.0), upper)
        self.lr, self.upper = lr, upper
        self.mean = self.square = 0.0
        self.nstep = 0

    def update(self, episode_cost: float, limit: float) -> None:
        """Step with the mean undiscounted episode cost `Jc`; NaN (no episode has finished yet) changes nothing."""
        if math.isnan(episode_cost):
            return
        grad = -(episode_cost - limit)
        self.nstep += 1
        self.mean = 0.9 * self.mean + 0.1 * grad
        self.square = 0.999 * self.square + 0.001 * grad * grad
        mean_hat = self.mean / (1 - 0.9**self.nstep)
        square_hat = self.square / (1 - 0.999**self.nstep)
        value = self.value - self.lr * mean_hat / (math.sqrt(square_hat) + 1e-8)
        self.value = min(max(value, 0.0), self.upper)

    def state_dict(self) -> dict[str, float]:
        return {"value": self.value, "mean": self.mean, "square": self.square, "nstep": self.nstep}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.value, self.mean, self.square = state["value"], state["mean"], state["square"]
        self.nstep = int(state["nstep"])
