"""Toy environments with closed-form optima, reporting `info["cost"]`; they can save and restore their state."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np


class SpeedLimit(gymnasium.Env):
    """Reward is the (clipped) action, cost 1 whenever it exceeds 0.2 on average noise: fast is good but forbidden.

    A policy that ignores cost pushes the action to its upper bound; the constrained optimum stays slow.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}

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


class Opaque(SpeedLimit):
    """The same without a state that can be saved."""

    get_state = None  # type: ignore[assignment]
    set_state = None  # type: ignore[assignment]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def register() -> None:
    """Register the toys with Gymnasium (idempotent)."""
    for env_id, kwargs in {
        "ToySpeed-v0": {},
        "ToySpeedEnds-v0": {"terminates": True},
        "ToySpeedTwo-v0": {"nact": 2},
    }.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, "tests.safepo.toy:SpeedLimit", max_episode_steps=50, kwargs=kwargs)


register()
