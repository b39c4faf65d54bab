"""Toy environments with known optima, reporting `info["cost"]`; some can save their state."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np


class SpeedLimit(gymnasium.Env):
    """Reward is the first action, clipped to [-2, 2]; cost 1 whenever it exceeds 1. Observations are mere noise.

    A policy that ignores cost drives at speed 2 and pays 1 a step; one that obeys the limit stays near 1 or below.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, nact: int = 1, terminates: bool = False, render_mode: str | None = None) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (3,), np.float64)
        self.action_space = gymnasium.spaces.Box(-2.0, 2.0, (nact,), np.float32)
        self.terminates, self.render_mode = terminates, render_mode
        self.state = np.zeros(3)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.state = self.np_random.normal(5.0, 3.0, 3)
        return self.state.copy(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        speed = float(np.clip(action, -2.0, 2.0)[0])
        self.state = 0.9 * self.state + self.np_random.normal(0.5, 1.0, 3)
        terminated = self.terminates and bool(self.np_random.random() < 0.05)
        return self.state.copy(), speed, terminated, False, {"cost": float(speed > 1.0)}

    def render(self) -> np.ndarray:
        return np.full((64, 64, 3), 128, np.uint8)

    def get_state(self) -> dict[str, Any]:
        return {"state": self.state.copy(), "rng": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.state = np.array(state["state"])
        self.np_random.bit_generator.state = state["rng"]


class Opaque(gymnasium.Env):
    """A `SpeedLimit` whose state cannot be saved."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self) -> None:
        self.inner = SpeedLimit()
        self.observation_space, self.action_space = self.inner.observation_space, self.inner.action_space

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        return self.inner.reset(seed=seed)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        return self.inner.step(action)


class Clock(gymnasium.Env):
    """Observation, reward and cost follow from the step number alone: obs = t, reward = t, cost = 10 t.

    Lasts `length` steps, then terminates; a `TimeLimit` around it truncates. Spaces have one dimension each.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, length: int = 1000) -> None:
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (1,), np.float64)
        self.action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
        self.length, self.t = length, 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.t += 1
        return np.full(1, float(self.t)), float(self.t), self.t == self.length, False, {"cost": 10.0 * self.t}


def register() -> None:
    """Register the toys with Gymnasium (idempotent)."""
    for env_id, (name, limit, kwargs) in TOYS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, f"tests.safepo.toy:{name}", max_episode_steps=limit, kwargs=kwargs)


TOYS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "ToySpeed-v0": ("SpeedLimit", 50, {}),
    "ToySpeedEnds-v0": ("SpeedLimit", 50, {"terminates": True}),
    "ToySpeedTwo-v0": ("SpeedLimit", 50, {"nact": 2}),
    "ToyOpaque-v0": ("Opaque", 50, {}),
    "ToyClockEnds-v0": ("Clock", 100, {"length": 4}),
    "ToyClockCut-v0": ("Clock", 4, {}),
    "ToyClockLong-v0": ("Clock", 1000, {}),
}

register()
