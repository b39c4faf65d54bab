"""Running mean and variance of observations."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-8
"""Added to the variance."""


class ObsNormalizer:
    """Normalises `(n, o)` observations to `(x - mean) / sqrt(var + 1e-8)`, unclipped, as float32.

    Statistics merge batch by batch (Chan et al. parallel variance) from count 1e-4, mean 0, variance 1 in float64.
    Call `update` with every observation that the policy will act on, then normalise; final observations of
    truncated episodes and all evaluation data are normalised with the statistics frozen.
    """

    def __init__(self, nobs: int, learns: bool = True) -> None:
        """Without `learns` the statistics never move."""
        self.mean = np.zeros(nobs)
        self.var = np.ones(nobs)
        self.count = 1e-4
        self._learns = learns

    def update(self, obs: NDArray[np.floating]) -> None:
        """Merge the mean and (population) variance of a batch `(n, o)`."""
        if not self._learns:
            return
        obs = np.asarray(obs, dtype=np.float64)
        n = len(obs)
        batch_mean, batch_var = obs.mean(axis=0), obs.var(axis=0)
        total = self.count + n
        delta = batch_mean - self.mean
        self.var = (self.var * self.count + batch_var * n + delta**2 * (self.count * n / total)) / total
        self.mean = self.mean + delta * (n / total)
        self.count = total

    def __call__(self, obs: NDArray[np.floating]) -> NDArray[np.float32]:
        return ((obs - self.mean) / np.sqrt(self.var + EPSILON)).astype(np.float32)

    def copy(self) -> ObsNormalizer:
        """Return an independent copy (frozen statistics for evaluation)."""
        other = ObsNormalizer(len(self.mean), self._learns)
        other.load_state_dict(self.state_dict())
        return other

    def state_dict(self) -> dict:
        return {"mean": self.mean.copy(), "var": self.var.copy(), "count": self.count}

    def load_state_dict(self, state: dict) -> None:
        self.mean, self.var = np.array(state["mean"]), np.array(state["var"])
        self.count = float(state["count"])
