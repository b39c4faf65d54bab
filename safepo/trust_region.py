"""Natural gradients: Fisher-vector products, conjugate gradients, surrogates and the backtracking line search.

KL divergences are averaged over samples *and* action dimensions here (first-order methods sum over dimensions): a
radius of 0.01 allows a summed KL of 0.01 times the number of action dimensions, as in SafePO and OmniSafe.
Everything works on the actor's row of parameters, flat `(p,)`, with all samples of an epoch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from safepo.algorithms.settings import TrustRegionSettings
from safepo.distributions import Params
from safepo.networks import ACTOR, ACTOR_ONLY, ActorCritic, chunk
from safepo.parallel import ALONE, Group
from safepo.rollout import Batch

CG_TOLERANCE = 1e-10
"""Of the squared norm of the residual."""
EPS = 1e-8


@dataclass(frozen=True)
class Trial:
    """What a candidate step does, on all samples: changes of the surrogates `mean(rho A) - mean(A)`, and the KL."""

    reward: float
    cost: float
    kl: float

    @property
    def finite(self) -> bool:
        return all(map(math.isfinite, (self.reward, self.cost, self.kl)))


class TrustRegion:
    """The local model of the policy at the parameters it is made with."""

    def __init__(self, settings: TrustRegionSettings, net: ActorCritic, batch: Batch, group: Group = ALONE) -> None:
        self.settings, self.net, self.batch, self.group = settings, net, batch, group
        self.start = net.params[ACTOR].clone()
        self.old = net.policy(batch.obs)
        self._all = self._parts(1)
        self._sample = self._all if settings.fisher_every == 1 else self._parts(settings.fisher_every)

    def _parts(self, every: int) -> list[tuple[slice, list[Tensor] | None]]:
        """This process's samples, or each so many-th of them, in parts; with the actor's activations, which every
        Fisher product needs, but for encoders, whose graph would take too much memory."""
        obs, mine = self.batch.obs, self.group.share(len(self.batch.obs))
        span = every * chunk(obs, 4096)
        first = -(-mine.start // every) * every
        rows = [slice(i, min(i + span, mine.stop), every) for i in range(first, mine.stop, span)]
        return [(part, self._forward(part) if self.net.encoder is None else None) for part in rows]

    def _forward(self, rows: slice) -> list[Tensor]:
        return self.net.forward(self.batch.obs[rows], ACTOR_ONLY, record=True)

    def _local(self, parts: list[tuple[slice, list[Tensor] | None]]) -> Iterator[tuple[slice, list[Tensor]]]:
        """The actor's activations at the old parameters, part by part."""
        for rows, acts in parts:
            yield rows, self._forward(rows) if acts is None else acts

    @torch.no_grad()
    def gradient(self, advantage: Tensor) -> Tensor:
        """Return the gradient `(p,)` of `mean(rho A)` at the old policy, for `advantage (N,)`."""
        n = len(advantage)
        grad = torch.zeros_like(self.start)
        for rows, acts in self._local(self._all):
            params = Params(acts[-1][0], self.old.free)
            out, free = self.net.dist.logp_backward(params, self.batch.action[rows], advantage[rows] / n)
            grad += self._pull_back(acts, out, free)
        self.group.sum_(grad)
        return grad

    @torch.no_grad()
    def fisher_product(self, vector: Tensor) -> Tensor:
        """Return `(H + damping I) vector`, `H` the Hessian of the mean KL at the old policy, over all samples or each
        `fisher_every`-th; all `(p,)`.

        Exact, since the KL is flat at its minimum: `H = J^T F J` with the distribution's own Fisher matrix `F`.
        """
        dist, count = self.net.dist, -(-len(self.batch.obs) // self.settings.fisher_every)
        scale = 1 / (count * dist.ndim)
        product = torch.zeros_like(vector)
        free = vector[len(vector) - dist.nfree :]
        for _, acts in self._local(self._sample):
            moved = self.net.forward_mode(acts, vector)
            out, by_free = dist.fisher(Params(acts[-1][0], self.old.free), Params(moved, free))
            product += self._pull_back(acts, out * scale, by_free * scale)
        self.group.sum_(product)
        return product + self.settings.cg_damping * vector

    def _pull_back(self, acts: list[Tensor], out: Tensor, free: Tensor) -> Tensor:
        """Return the gradient `(p,)` that follows from those on outputs and free parameters."""
        self.net.backward(acts, out.unsqueeze(0), ACTOR_ONLY)
        self.net.free_grad.copy_(free)
        return self.net.grads[ACTOR].clone()

    def solve(self, vector: Tensor) -> Tensor:
        """Return `H^-1 vector` by conjugate gradients."""
        return conjugate_gradient(self.fisher_product, vector, self.settings.cg_iterations)

    @torch.no_grad()
    def try_step(self, step: Tensor, reward_advantage: Tensor, cost_advantage: Tensor | None = None) -> Trial:
        """Move the actor to the old parameters plus `step (p,)` and return what changed."""
        net, batch = self.net, self.batch
        net.params[ACTOR] = self.start + step
        policy = net.policy(batch.obs)
        change = (net.dist.logp(policy, batch.action) - batch.logp).exp() - 1
        cost = 0.0 if cost_advantage is None else (change * cost_advantage).mean().item()
        kl = net.dist.kl(self.old, policy).mean().item() / net.dist.ndim
        return Trial((change * reward_advantage).mean().item(), cost, kl)

    def line_search(
        self,
        step: Tensor,
        accept: Callable[[Trial], bool],
        reward_advantage: Tensor,
        cost_advantage: Tensor | None,
        trials: int,
        decay: float,
    ) -> tuple[Trial, int]:
        """Shrink `step` by `decay` until `accept`; without success the old parameters are restored.

        Returns the last trial and how many were made, 0 if none was accepted.
        """
        for k in range(trials):
            trial = self.try_step(decay**k * step, reward_advantage, cost_advantage)
            if trial.finite and trial.kl <= self.settings.target_kl and accept(trial):
                return trial, k + 1
        self.net.params[ACTOR] = self.start
        return Trial(0.0, 0.0, 0.0), 0

    def forget(self) -> None:
        """Drop the stored activations."""
        self._all = self._sample = []


def conjugate_gradient(product: Callable[[Tensor], Tensor], target: Tensor, iterations: int) -> Tensor:
    """Solve `H x = target` for a symmetric positive definite `H` given as `product`, starting at 0.

    It stops when the squared residual has fallen below `CG_TOLERANCE` of the squared target. No constants guard the
    denominators: with them the solution of a small target, such as the gradient of a rare cost, would be off.
    """
    x = torch.zeros_like(target)
    residual, direction = target.clone(), target.clone()
    squared = residual @ residual
    enough = CG_TOLERANCE * squared
    for _ in range(iterations):
        if squared <= enough:
            break
        along = product(direction)
        alpha = squared / (direction @ along)
        x += alpha * direction
        residual -= alpha * along
        previous, squared = squared, residual @ residual
        direction = residual + squared / previous * direction
    return x


@dataclass(frozen=True)
class Dual:
    """Solution of the linear-quadratic problem of CPO: the step is `(x - nu p) / lam`, or `case` 0's recovery."""

    case: int
    lam: float
    nu: float


def solve_dual(q: float, r: float, s: float, c: float, delta: float, cost_gradient: float = math.inf) -> Dual:
    """Solve `max g.d  s.t.  c + b.d <= 0,  d.H d / 2 <= delta` (Achiam et al. 2017, arXiv:1705.10528, theorem 2).

    `q = g.H^-1 g`, `r = g.H^-1 b`, `s = b.H^-1 b`; `c` is the constraint's value at the old policy and `cost_gradient`
    the square of the norm of `b`. Cases, as in the paper's code:

    4: the cost does not react and is below its limit; 3: the whole trust region is safe (both: a plain reward step);
    2: safe now, and the constraint cuts the region; 1: unsafe now, but the region holds safe points;
    0: no point of the region is safe (recovery: `d = -sqrt(2 delta / s) H^-1 b`).
    """
    plain = math.sqrt(max(q, EPS) / (2 * delta))
    if cost_gradient <= 1e-6 and c < 0:
        return Dual(4, plain, 0.0)
    room = 2 * delta - c * c / (s + EPS)
    if room < 0:
        return Dual(3, plain, 0.0) if c < 0 else Dual(0, 0.0, 0.0)
    a, r = max(q - r * r / (s + EPS), 0.0), -r  # the dual is stated for the gradient of the loss, -g
    split = r / c if c else math.copysign(math.inf, r)
    below, above = (0.0, split), (split, math.inf)
    active, idle = (below, above) if c < 0 else (above, below)
    lam_a = _project(math.sqrt(a / max(room, EPS)), *active)
    lam_b = _project(plain, *idle)
    f_a = -0.5 * (a / (lam_a + EPS) + room * lam_a) - r * c / (s + EPS)
    f_b = -0.5 * (q / (lam_b + EPS) + 2 * delta * lam_b)
    lam = lam_a if f_a >= f_b else lam_b
    return Dual(2 if c < 0 else 1, lam, max(0.0, lam * c - r) / (s + EPS))


def _project(value: float, low: float, high: float) -> float:
    """Nearest point of [low, high] cut at 0; an interval below 0 gives its lower end, which is 0 or above."""
    return max(low, 0.0, min(high, value))
