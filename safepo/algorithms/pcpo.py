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

from safepo.algorithms.cpo import CPO, CPOSettings
from safepo.trust_region import EPS


@dataclass(frozen=True)
class PCPOSettings(CPOSettings):
    """Settings of PCPO."""

    line_search_steps: int = 200
    """Most trials of the line search."""


class PCPO(CPO):
    """Reward step and projection."""

    def propose(self, g: Tensor, x: Tensor, b: Tensor, p: Tensor, c: float) -> tuple[Tensor, bool, dict[str, float]]:
        """Return the projected step, which may lower the reward."""
        step, nu = projected_step(g, x, b, p, c, self.settings.target_kl)
        return step, False, {"train/nu": nu}


def projected_step(g: Tensor, x: Tensor, b: Tensor, p: Tensor, c: float, delta: float) -> tuple[Tensor, float]:
    """Return the step `(p,)` and the weight of its projection, for `x = H^-1 g` and `p = H^-1 b`."""
    q, r, s = (x @ g).item(), (p @ g).item(), (p @ b).item()
    size = math.sqrt(2 * delta / (max(q, 0.0) + EPS))
    nu = max(0.0, (size * r + c) / (s + EPS))
    return size * x - nu * p, nu
