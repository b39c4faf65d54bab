"""Wrappers that rescale, on a scripted environment: their numbers are the reference suite's."""

import gymnasium
import numpy as np

from safety_gym.vector import SafetySyncVectorEnv
from safety_gym.wrappers import (
    SafeAutoResetWrapper,
    SafeNormalizeCost,
    SafeNormalizeObservation,
    SafeNormalizeReward,
    SafeRescaleAction,
    SafeTimeLimit,
    SafeUnsqueeze,
)


class Line(gymnasium.Env):
    """Position is the sum of actions; the reward is the action, the cost its square."""

    metadata = {"render_modes": []}
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gymnasium.spaces.Box(-3.0, 1.0, (1,), np.float64)

    def __init__(self, start=0.0):
        self.start = start

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x, self.steps = self.start, 0
        return np.array([self.x, 1.0]), {"extra": np.zeros(3)}

    def step(self, action):
        self.x += float(action[0])
        self.steps += 1
        reward = float(action[0])
        return np.array([self.x, self.steps]), reward, reward**2, self.steps == 4, False, {"extra": np.full(3, reward)}


ACTIONS = [0.5, -1.0, 0.25, 1.0, -0.5, 0.75, 0.0, 1.0, -1.0]


def plain(value):
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(x) for x in value]
    return round(float(value), 9)


def single(wrap):
    env = wrap(SafeAutoResetWrapper(Line()))
    rows = [plain(env.reset(seed=0)[0])]
    for a in ACTIONS:
        obs, reward, cost, terminated, truncated, _ = env.step(np.array([a]))
        rows.append([plain(obs), plain(reward), plain(cost), plain(terminated), plain(truncated)])
    return rows


def vector(wrap):
    env = wrap(SafetySyncVectorEnv([lambda: Line(0.0), lambda: Line(0.5)]))
    rows = [plain(env.reset(seed=0)[0])]
    for a in ACTIONS[:4]:
        obs, reward, cost, terminated, _, _ = env.step(np.array([[a], [-a]]))
        rows.append([plain(obs), plain(reward), plain(cost), plain(terminated)])
    env.close()
    return rows


def main():
    limited = SafeTimeLimit(Line(), max_episode_steps=2)
    limited.reset(seed=0)
    unsqueezed = SafeUnsqueeze(Line())
    obs, info = unsqueezed.reset(seed=0)
    shapes = [obs.shape, info["extra"].shape]
    step = unsqueezed.step(np.array([0.5]))
    shapes += [np.shape(x) for x in step[:5]] + [step[5]["extra"].shape]
    return {
        "rescale": single(lambda env: SafeRescaleAction(env, -1.0, 1.0)),
        "rescale_arrays": single(lambda env: SafeRescaleAction(env, np.array([-2.0]), np.array([2.0]))),
        "reward": single(SafeNormalizeReward),
        "cost": single(lambda env: SafeNormalizeCost(env, gamma=0.9, epsilon=1e-6)),
        "limit": [bool(limited.step(np.zeros(1))[4]) for _ in range(2)],
        "unsqueeze": shapes,
        "vector_rescale": vector(lambda env: SafeRescaleAction(env, -1.0, 1.0)),
        "vector_reward": vector(SafeNormalizeReward),
        "vector_cost": vector(SafeNormalizeCost),
        "observation": single(SafeNormalizeObservation)[:4],
        "vector_observation": vector(SafeNormalizeObservation)[:4],
    }
