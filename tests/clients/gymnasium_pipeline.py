"""Gymnasium's wrappers around an environment with costs, there and back; the twin ids of Gymnasium."""

import functools

import gymnasium
import numpy as np

import safety_gym as safety_gymnasium
from safety_gym.wrappers import Gymnasium2SafetyGymnasium, SafetyGymnasium2Gymnasium, with_gymnasium_wrappers


def main():
    env = with_gymnasium_wrappers(
        safety_gymnasium.make("SafetyPointGoal1-v0"),
        functools.partial(gymnasium.wrappers.RescaleAction, min_action=-2.0, max_action=2.0),
        functools.partial(gymnasium.wrappers.TimeLimit, max_episode_steps=3),
        gymnasium.wrappers.RecordEpisodeStatistics,
    )
    env.reset(seed=0)
    steps = [env.step(np.ones(2)) for _ in range(3)]
    length = int(np.ravel(steps[-1][5]["episode"]["l"])[0])

    five = SafetyGymnasium2Gymnasium(safety_gymnasium.make("SafetyPointGoal1-v0"))
    five.reset(seed=0)
    *_, info = five.step(np.zeros(2))
    six = Gymnasium2SafetyGymnasium(five)

    twin = gymnasium.make("SafetyPointGoal1Gymnasium-v0")
    twin.reset(seed=0)
    twin_step = twin.step(np.zeros(2))

    no_cost = Gymnasium2SafetyGymnasium(gymnasium.make("CartPole-v1"))
    no_cost.reset(seed=0)
    try:
        no_cost.step(0)
        refused = False
    except ValueError:
        refused = True
    return {
        "lengths": [len(step) for step in steps],
        "episode": length,
        "truncated": [bool(step[4]) for step in steps],
        "five": [isinstance(info["cost"], float), sorted(k for k in info if k.startswith("cost_"))],
        "six": len(six.step(np.zeros(2))),
        "twin": [len(twin_step), isinstance(twin_step[4]["cost"], float)],
        "refused": refused,
    }
