"""A point that must go round a hazard to its goal: small enough for a world model to learn in minutes on a CPU."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

STEP, RADIUS, DISTANCE, NEAR, LENGTH = 0.12, 0.3, 1.2, 0.2, 40


class RoundTheHazard(gymnasium.Env):
    """Episodes of 40 steps. The goal lies 1.2 from the start in a random direction, a hazard of radius 0.3 near the
    middle (+- 0.1). Reward is 5 x the decrease of the distance, and 0.3 a step within 0.2 of the goal; cost 1 a step in
    the hazard.

    Observed are the position and the offsets of goal and hazard (6,); an action moves by at most 0.12 on each axis.
    """

    metadata: dict[str, Any] = {"render_modes": []}
    observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (6,), np.float64)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)

    def __init__(self) -> None:
        self.place, self.goal, self.hazard = np.zeros(2), np.zeros(2), np.zeros(2)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[NDArray, dict]:
        super().reset(seed=seed)
        angle = self.np_random.uniform(0, 2 * np.pi)
        self.place = np.zeros(2)
        self.goal = DISTANCE * np.array([np.cos(angle), np.sin(angle)])
        self.hazard = self.goal / 2 + self.np_random.uniform(-0.1, 0.1, 2)
        return self._obs(), {}

    def _obs(self) -> NDArray:
        return np.concatenate([self.place, self.goal - self.place, self.hazard - self.place])

    def step(self, action: NDArray) -> tuple[NDArray, float, bool, bool, dict]:
        before = np.linalg.norm(self.goal - self.place)
        self.place = self.place + STEP * np.clip(np.asarray(action, np.float64), -1, 1)
        after = np.linalg.norm(self.goal - self.place)
        cost = float(np.linalg.norm(self.hazard - self.place) < RADIUS)
        return self._obs(), float(5 * (before - after) + 0.3 * (after < NEAR)), False, False, {"cost": cost}

    def get_state(self) -> dict[str, Any]:
        return {"place": np.stack([self.place, self.goal, self.hazard]), "rng": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.place, self.goal, self.hazard = np.array(state["place"])
        self.np_random.bit_generator.state = state["rng"]


gymnasium.register("RoundTheHazard-v0", RoundTheHazard, max_episode_steps=LENGTH, order_enforce=False)
