"""PCPO: projection-based constrained policy optimisation.

Yang, Rosca, Narasimhan, Ramadge 2020, arXiv:2010.03152. A natural step for the reward is projected, in the KL metric,
onto the half-space where the linearised cost keeps its limit:

    d = sqrt(2 delta / q) H^-1 g - max(0, (sqrt(2 delta / q) r + c) / s) H^-1 b

with q = g.H^-1 g, r = g.H^-1 b, s = b.H^-1 b. A line search shrinks the step until the mean KL is within the radius and
the cost surrogate changes by at most `max(-c, 0)`. `c` and `cost_scale` are those of `cpo.py`.

Differs from the paper in: the line search; the projection is the one in the KL metric only; the points listed in
`natural_pg.py`.
Differs from SafePO in: the first term takes `H^-1 g` (SafePO takes `g` itself); the default of `cost_scale`; a trial
with a non-finite KL shrinks the step (SafePO repeats it); the first epoch sees the measured cost (SafePO reads 0), and
until an episode has finished `c` is 0; the points listed in `natural_pg.py`.

One limit only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from safepo.algorithms.base import Algorithm
from safepo.algorithms.cpo import CPOSettings, excess
from safepo.algorithms.natural_pg import finish
from safepo.first_order import Fitter
from safepo.networks import CRITICS
from safepo.rollout import Batch
from safepo.trust_region import EPS, TrustRegion


@dataclass(frozen=True)
class PCPOSettings(CPOSettings):
    """Settings of PCPO."""

    line_search_steps: int = 200
    """Most trials of the line search."""


class PCPO(Algorithm[PCPOSettings]):
    """Reward step and projection."""

    scalar = True
    parts: tuple[str, ...] = ("fitter",)

    def setup(self) -> None:
        self.fitter = Fitter(self.settings, self.net, self.shuffle_generator, CRITICS, self.group)

    def update(self, batch: Batch) -> dict[str, float]:
        """Take the projected step, search along it, then fit the critics."""
        cfg, region = self.settings, TrustRegion(self.settings, self.net, batch, self.group)
        costs = batch.cost_advantage[0]
        c = excess(cfg.cost_scale, cfg.gamma, batch, float(self.cost_limit[0]))
        g, b = region.gradient(batch.reward_advantage), region.gradient(costs)
        step, nu = projected_step(g, region.solve(g), b, region.solve(b), c, cfg.target_kl)
        trial, used = region.line_search(
            step,
            lambda t: t.cost <= max(-c, 0.0),
            batch.reward_advantage,
            costs,
            cfg.line_search_steps,
            cfg.line_search_decay,
        )
        metrics = {"train/nu": nu, "train/excess": c, "train/line_search": used}
        return {**metrics, "train/gradient_norm": g.norm().item(), **finish(self.fitter, region, trial)}


def projected_step(g: Tensor, x: Tensor, b: Tensor, p: Tensor, c: float, delta: float) -> tuple[Tensor, float]:
    """Return the step `(p,)` and the weight of its projection, for `x = H^-1 g` and `p = H^-1 b`."""
    q, r, s = (x @ g).item(), (p @ g).item(), (p @ b).item()
    size = math.sqrt(2 * delta / (max(q, 0.0) + EPS))
    nu = max(0.0, (size * r + c) / (s + EPS))
    return size * x - nu * p, nu
