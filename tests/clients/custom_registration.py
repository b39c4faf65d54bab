"""Environments of one's own: a class with the six-value step, levels from a configuration, the Gymnasium twin."""

import gymnasium
import numpy as np

import safety_gym as safety_gymnasium
from safety_gym.utils.registration import make, register

CONFIG = {"agent_name": "Point", "observation_flatten": False, "floor_conf.size": (4.0, 4.0, 0.1)}


class Corridor(gymnasium.Env):
    """Drive to the right; going faster than a limit costs."""

    metadata = {"render_modes": []}
    observation_space = gymnasium.spaces.Box(-10.0, 10.0, (1,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float64)

    def __init__(self, limit=0.5, render_mode=None):
        self.limit, self.render_mode = limit, render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = 0.0
        return np.array([self.x]), {}

    def step(self, action):
        speed = float(action[0])
        self.x += speed
        cost = float(speed > self.limit)
        return np.array([self.x]), speed, cost, self.x > 4, False, {"speed": speed}


def run(env, action, steps=3):
    env.reset(seed=0)
    rows = [env.step(np.full(env.action_space.shape, action)) for _ in range(steps)]
    obs = rows[-1][0]
    shapes = {key: value.shape for key, value in obs.items()} if isinstance(obs, dict) else obs.shape
    return shapes, [row[2] for row in rows], [bool(row[4]) for row in rows]


def main():
    register(id="Corridor-v0", entry_point=Corridor, kwargs={"limit": 0.25}, max_episode_steps=3)
    own = make("Corridor-v0")
    fast = make("Corridor-v0", limit=0.9, max_episode_steps=2)
    vector = safety_gymnasium.vector.make("Corridor-v0", num_envs=2, asynchronous=False)
    vector.reset(seed=0)
    batch = vector.step(np.array([[0.1], [0.5]]))
    vector.close()

    configured = safety_gymnasium.make("SafetyPointGoal1-v0", config=CONFIG)
    register(
        id="SafetyPointCoarse-v0",
        entry_point="safety_gym.builder:Builder",
        kwargs={"config": CONFIG, "task_id": "SafetyPointGoal1-v0"},
        max_episode_steps=3,
    )
    coarse = safety_gymnasium.make("SafetyPointCoarse-v0")
    return {
        "own": run(own, 0.5),
        "fast": run(fast, 0.5, steps=2),
        "vector": [batch[1].tolist(), batch[2].tolist()],
        "configured": run(configured, 0.0),
        "coarse": run(coarse, 0.0),
    }
