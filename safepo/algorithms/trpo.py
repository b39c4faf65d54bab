"""TRPO: trust region policy optimisation. Ignores the cost (its critic is trained and logged).

Schulman et al. 2015, arXiv:1502.05477: the natural step of `natural_pg.py`, shrunk until the surrogate `mean(rho A)`
does not fall and the mean KL is within the radius; without such a step the policy stays.

Differs from the paper in: the points listed in `natural_pg.py`; all samples are used for the Fisher matrix.
Differs from SafePO in: a trial whose KL is not a number is refused; the points listed in `natural_pg.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from safepo.algorithms.base import Algorithm
from safepo.algorithms.natural_pg import finish, natural_step
from safepo.algorithms.settings import LineSearchSettings
from safepo.networks import CRITICS
from safepo.rollout import Batch
from safepo.trust_region import TrustRegion


@dataclass(frozen=True)
class TRPOSettings(LineSearchSettings):
    """Settings of TRPO."""


class TRPO(Algorithm[TRPOSettings]):
    """Line-searched natural step on the reward advantage."""

    rows = CRITICS

    def climb(self, batch: Batch, advantage: Tensor) -> dict[str, float]:
        """Take the line-searched step for `advantage (N,)`, then fit the critics."""
        cfg, region = self.settings, TrustRegion(self.settings, self.net, batch, self.group)
        step, metrics = natural_step(region, advantage)
        trial, used = region.line_search(
            step, lambda t: t.reward >= 0, advantage, None, cfg.line_search_steps, cfg.line_search_decay
        )
        return {**metrics, "train/line_search": used, **finish(self.fitter, region, trial)}
