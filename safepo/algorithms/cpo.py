"""CPO: constrained policy optimisation.

Achiam et al. 2017, arXiv:1705.10528. The step maximises the linearised reward surrogate under the linearised cost
limit and the quadratic KL model (`solve_dual`); where no step of the trust region is safe it lowers the cost as fast
as it can. A line search then wants: reward surrogate not falling (unless the start is unsafe), cost surrogate change
at most `max(-c, 0)`, mean KL within the radius.

`c = (Jc - limit) x scale` is compared with per-step cost surrogates. `cost_scale` says how an episode's cost becomes
one of a step: `episode_length` (default) divides by the mean episode length, as the starter agents of the authors do;
`one_minus_gamma` multiplies by 1 - gamma; `none`, which published SafePO and OmniSafe curves rest on, leaves `c` about
a thousand times too large, so that every step is either plain TRPO or pure recovery.

Differs from the paper in: the points listed in `natural_pg.py`.
Differs from SafePO in: the dual is solved in its correct form (SafePO has the sign of r = g.H^-1 b wrong and clamps
into empty intervals); the default of `cost_scale`; a trial with a non-finite KL shrinks the step (SafePO repeats it);
the first epoch sees the measured cost (SafePO reads 0), and until an episode has finished `c` is 0; the points listed
in `natural_pg.py`.

One limit only.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from safepo.algorithms.base import Algorithm
from safepo.algorithms.natural_pg import finish
from safepo.algorithms.settings import LineSearchSettings
from safepo.errors import UserError
from safepo.networks import CRITICS
from safepo.rollout import Batch
from safepo.trust_region import EPS, TrustRegion, solve_dual

CostScale = Literal["episode_length", "one_minus_gamma", "none"]


@dataclass(frozen=True)
class CPOSettings(LineSearchSettings):
    """Settings of CPO."""

    cost_scale: CostScale = "episode_length"
    """What turns the excess of an episode's cost into one of a step: episode_length, one_minus_gamma or none
    (SafePO)."""

    def check(self) -> None:
        super().check()
        if self.cost_scale not in ("episode_length", "one_minus_gamma", "none"):
            raise UserError(f"cost_scale must be episode_length, one_minus_gamma or none, got {self.cost_scale!r}")


class CPO(Algorithm[CPOSettings]):
    """Dual step and line search."""

    scalar = True
    rows = CRITICS

    def update(self, batch: Batch) -> dict[str, float]:
        """Find the step, search along it, then fit the critics."""
        cfg, region = self.settings, TrustRegion(self.settings, self.net, batch, self.group)
        costs = batch.cost_advantage[0]
        c = excess(cfg.cost_scale, cfg.gamma, batch, float(self.cost_limit[0]))
        g, b = region.gradient(batch.reward_advantage), region.gradient(costs)
        step, keeps_reward, metrics = self.propose(g, region.solve(g), b, region.solve(b), c)
        trial, used = region.line_search(
            step,
            lambda t: (not keeps_reward or t.reward >= 0) and t.cost <= max(-c, 0.0),
            batch.reward_advantage,
            costs,
            cfg.line_search_steps,
            cfg.line_search_decay,
        )
        metrics = {**metrics, "train/excess": c, "train/line_search": used}
        return {**metrics, "train/gradient_norm": g.norm().item(), **finish(self.fitter, region, trial)}

    def propose(self, g: Tensor, x: Tensor, b: Tensor, p: Tensor, c: float) -> tuple[Tensor, bool, dict[str, float]]:
        """Return the step `(p,)`, whether its reward surrogate must not fall, and metrics, for `x = H^-1 g` and
        `p = H^-1 b`."""
        q, r, s = (x @ g).item(), (p @ g).item(), (p @ b).item()
        delta = self.settings.target_kl
        dual = solve_dual(q, r, s, c, delta, (b @ b).item())
        step = recovery(p, s, delta) if dual.case == 0 else (x - dual.nu * p) / (dual.lam + EPS)
        return step, dual.case > 1, {"train/case": dual.case, "train/nu": dual.nu}


def recovery(direction: Tensor, s: float, delta: float) -> Tensor:
    """Return the step `-sqrt(2 delta / s) H^-1 b` that lowers the cost most."""
    return -math.sqrt(2 * delta / (s + EPS)) * direction


def excess(scale: CostScale, gamma: float, batch: Batch, limit: float) -> float:
    """Return `c`, how far the measured cost is above the limit, on the scale of a step; 0 until one is measured."""
    c = float(batch.episode_cost[0]) - limit
    if math.isnan(c):
        return 0.0
    if scale == "episode_length":
        return c / batch.episode_length
    return c * (1 - gamma) if scale == "one_minus_gamma" else c
