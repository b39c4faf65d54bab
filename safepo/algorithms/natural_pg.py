"""NaturalPG: one natural-gradient step per epoch. Ignores the cost (its critic is trained and logged).

Kakade 2001 (A Natural Policy Gradient): the step is `sqrt(2 delta / (x.Hx)) x` with `x = H^-1 g`, `g` the gradient of
`mean(rho A)` and `H` the Hessian of the KL divergence, so that its quadratic model of the KL is `delta`.

Differs from the paper in: the step size follows from the radius of a trust region; conjugate gradients with damping;
observations are normalised by running statistics.
Differs from SafePO in: the gradients of the critics are clipped per network, not together (`clip_mode`); the critics
see the *normalised* final observation when they bootstrap a truncated episode.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor

from safepo.algorithms.base import Algorithm
from safepo.algorithms.settings import TrustRegionSettings
from safepo.first_order import Fitter, value_losses
from safepo.networks import ACTOR, CRITICS
from safepo.rollout import Batch
from safepo.trust_region import EPS, Trial, TrustRegion


@dataclass(frozen=True)
class NaturalPGSettings(TrustRegionSettings):
    """Settings of NaturalPG."""


class NaturalPG(Algorithm[NaturalPGSettings]):
    """Full natural step on the reward advantage."""

    rows = CRITICS

    def climb(self, batch: Batch, advantage: Tensor) -> dict[str, float]:
        """Take the full step for `advantage (N,)`, then fit the critics."""
        region = TrustRegion(self.settings, self.net, batch, self.group)
        step, metrics = natural_step(region, advantage)
        trial = region.try_step(step, advantage)
        if not trial.finite:
            raise FloatingPointError(
                f"the natural step diverged (KL is {trial.kl}); raise cg_damping or lower target_kl"
            )
        return {**metrics, **finish(self.fitter, region, trial)}


def natural_step(region: TrustRegion, advantage: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Return the step `(p,)` to the border of the trust region along the natural gradient, and metrics."""
    gradient = region.gradient(advantage)
    direction = region.solve(gradient)
    curvature = (direction @ region.fisher_product(direction)).item()
    alpha = math.sqrt(2 * region.settings.target_kl / (max(curvature, 0.0) + EPS))
    metrics = {"train/alpha": alpha, "train/xHx": curvature, "train/gradient_norm": gradient.norm().item()}
    return alpha * direction, metrics


def finish(fitter: Fitter, region: TrustRegion, trial: Trial) -> dict[str, float]:
    """Fit the critics and return the metrics all trust-region methods share.

    `train/kl` is averaged over action dimensions, as the radius is; `train/step_norm` is that of the step taken.
    """
    net, batch = region.net, region.batch
    moved = (net.params[ACTOR] - region.start).norm().item()
    region.forget()
    fitter.run_critics(batch)
    return {
        "loss/policy": -trial.reward,
        **value_losses(net, batch),
        "train/kl": trial.kl,
        "train/step_norm": moved,
        "train/std": net.dist.spread(net.policy(batch.obs)),
    }
