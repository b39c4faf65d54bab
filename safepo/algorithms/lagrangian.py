"""What the Lagrangian methods share: multipliers that move once per epoch, and an advantage mixed by them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from safepo.algorithms.base import Algorithm, S
from safepo.multiplier import AdamMultiplier, PIDMultiplier
from safepo.rollout import Batch

Multiplier = AdamMultiplier | PIDMultiplier


class Lagrangian(Algorithm[S]):
    """Put before a method that climbs an advantage: it climbs reward minus multipliers times costs instead."""

    controller: ClassVar[type[Any]] = AdamMultiplier
    parts: tuple[str, ...] = ("fitter", "multiplier")

    def setup(self) -> None:
        super().setup()
        self.multiplier: Multiplier = self.controller(self.settings, len(self.cost_names))

    def update(self, batch: Batch) -> dict[str, float]:
        """Step the multipliers with the measured episode costs, then improve the policy."""
        self.multiplier.update(batch.episode_cost, self.cost_limit)
        metrics = self.climb(batch, lagrangian_advantage(batch, self.multiplier.values))
        return {**metrics, **multiplier_metrics(self.multiplier, self.cost_names)}


def lagrangian_advantage(batch: Batch, multipliers: NDArray[np.float64]) -> Tensor:
    """`(Ar - sum_j m_j Ac_j) / (1 + sum_j m_j)` `(N,)`, not normalised again."""
    weights = torch.tensor(multipliers, dtype=batch.reward_advantage.dtype, device=batch.reward_advantage.device)
    return (batch.reward_advantage - weights @ batch.cost_advantage) / (1 + float(multipliers.sum()))


def multiplier_metrics(multiplier: Multiplier, names: tuple[str, ...]) -> dict[str, float]:
    """`train/multiplier`, or with several limits `train/multiplier/<name>` for each."""
    if len(names) == 1:
        return {"train/multiplier": float(multiplier.values[0])}
    shown = (name.removeprefix("cost_") for name in names)
    return {f"train/multiplier/{name}": float(v) for name, v in zip(shown, multiplier.values, strict=True)}
