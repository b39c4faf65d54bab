"""Constrained cross-entropy planning in the world model (Huang et al. 2024, arXiv:2307.07176, algorithm 1).

Differs from the paper's code in: with enough feasible plans only these can be elites (there, plan 0 fills places that
are left); plans at the limit count as feasible, and so do costs that are next to none, so a limit of 0 can be met;
costs are compared per decision of an episode, not per environment step, up to where the episode is believed to end;
the solution of the last decision is forgotten when an episode ends.
"""

from __future__ import annotations

import torch
from torch import Tensor

from safepo.dreamer.behaviour import Behaviour, imagine, lambda_returns
from safepo.dreamer.settings import SafeDreamerSettings
from safepo.dreamer.world_model import State, WorldModel

NEXT_TO_NONE = 0.01
"""A predicted cost per decision that counts as none: the mean of a distribution over bins is never exactly 0."""


@torch.no_grad()
def plan(
    model: WorldModel,
    behaviour: Behaviour,
    state: State,
    mean: Tensor,
    budget: float,
    multiplier: float,
    generator: torch.Generator,
) -> tuple[Tensor, dict[str, float]]:
    """Plan for n beliefs `state`, from guesses `mean` (H, n, u) in [-1, 1]; returns plans (H, n, u) and metrics.

    A plan is feasible if its predicted costs of H decisions sum to at most `budget` (infinity: all are). The elites are
    the feasible plans of largest `reward return - multiplier * cost return`, or, if there are fewer of them than
    elites, the plans of least cost.
    """
    s = behaviour.settings
    horizon, n, nact = mean.shape
    guided = round(s.plan_actor_share * s.plan_samples)
    actor_plans = _actor_plans(model, behaviour, state, horizon, guided, generator)
    std = torch.ones_like(mean)
    samples = s.plan_samples - guided
    wide = State(*(x.repeat_interleave(s.plan_samples, 0) for x in state))
    for _ in range(s.plan_iterations):
        noise = torch.randn((horizon, n, samples, nact), generator=generator, device=generator.device)
        plans = (mean[:, :, None] + std[:, :, None] * noise).clamp(-1, 1)
        plans = torch.cat([actor_plans, plans], 2)
        score, cost = evaluate(model, behaviour, wide, plans.flatten(1, 2), multiplier, generator)
        score, cost = score.unflatten(0, (n, -1)), cost.unflatten(0, (n, -1))
        best = elites(score, cost, budget, s.plan_elites)
        chosen = torch.gather(plans, 2, best[None, :, :, None].expand(horizon, -1, -1, nact))
        mean = torch.lerp(chosen.mean(2), mean, s.plan_momentum)
        std = chosen.std(2, correction=0)
    top = best[:, :1]
    return mean, {
        "plan/feasible": float((cost <= budget).float().mean()),
        "plan/return": float(score.gather(1, top).mean()),
        "plan/cost": float(cost.gather(1, top).mean()),
    }


def elites(score: Tensor, cost: Tensor, budget: float, count: int) -> Tensor:
    """Return the places (n, count) of the elites among plans of `score` and `cost` (n, k), best first; see `plan`.

    Ties are broken by the other quantity.
    """
    feasible = cost <= budget
    enough = feasible.sum(1, keepdim=True) >= count
    by_score = torch.where(feasible, score, -torch.inf)
    first = torch.where(enough, by_score, -cost)
    second = torch.where(enough, -cost, score)
    order = torch.argsort(second, dim=1, descending=True, stable=True)
    order = order.gather(1, torch.argsort(first.gather(1, order), dim=1, descending=True, stable=True))
    return order[:, :count]


def evaluate(
    model: WorldModel,
    behaviour: Behaviour,
    state: State,
    plans: Tensor,
    multiplier: float,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Score (k,) and summed predicted costs (k,) of plans (H, k, u) from `state` (k, ...).

    The score is the lambda-return of rewards with the critic's value of the last state, less `multiplier` times that of
    costs where there is a cost critic.
    """
    s = behaviour.settings
    feature = torch.cat([state.feature[None], model.follow(state, plans, generator)])
    reward, discount = behaviour.signals(model, feature)
    goes_on = (discount > 0).to(discount.dtype)
    alive = torch.cat([torch.ones_like(goes_on[:1]), goes_on[:-1]]).cumprod(0)
    cost = alive * model.two_hot.mean(model.cost(feature[1:]))
    score = lambda_returns(reward, discount, behaviour.critic(feature[1:]), s.return_lambda)[0]
    if multiplier and behaviour.cost_critic is not None:
        value = behaviour.cost_critic(feature[1:])
        score = score - multiplier * lambda_returns(cost, discount, value, s.return_lambda)[0]
    return score, cost.sum(0)


def _actor_plans(
    model: WorldModel, behaviour: Behaviour, state: State, horizon: int, count: int, generator: torch.Generator
) -> Tensor:
    """Plans (H, n, count, u) that the actor follows in imagination."""
    n = len(state.h)
    if not count:
        return torch.zeros((horizon, n, 0, model.rssm.nact), device=state.h.device)
    wide = State(*(x.repeat_interleave(count, 0) for x in state))
    return imagine(model, behaviour.actor, wide, horizon, generator).action.clamp(-1, 1).unflatten(1, (n, count))


def cost_budget(settings: SafeDreamerSettings, cost_limit: float, decisions: float) -> float:
    """The share of an episode's cost limit that falls on the planner's horizon; `decisions` are those of an episode."""
    if settings.variant == "cem":
        return float("inf")
    share = cost_limit * settings.plan_horizon / max(decisions, settings.plan_horizon)
    return max(share, NEXT_TO_NONE * settings.plan_horizon)
