"""Toy environments with known optima, reporting `info["cost"]`; some can save their state."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from gymnasium.vector import AutoresetMode


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


class Sources(gymnasium.Env):
    """Several cost entries that follow from the step number t = 1, 2, ... alone; absent from `info` where they are 0.

    cost_hazards is 1 at odd t, cost_vases_contact 2 at every third, cost_vases_velocity 0.5 at every fourth; `cost` is
    their sum. Over six steps: 3 + 4 + 0.5 = 7.5, and three steps (3, 4, 6) with a cost of vases. The reward is 0.
    """

    metadata: dict[str, Any] = {"render_modes": []}
    cost_names = ("cost_hazards", "cost_vases_contact", "cost_vases_velocity")

    def __init__(self) -> None:
        self.observation_space, self.action_space = Box(-np.inf, np.inf, (2,)), Box(-1.0, 1.0, (1,))
        self.t = 0

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        self.t = 0
        return self._obs(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        self.t += 1
        costs = {"cost_hazards": float(self.t % 2 == 1)}
        costs |= {"cost_vases_contact": 2.0} if self.t % 3 == 0 else {}
        costs |= {"cost_vases_velocity": 0.5} if self.t % 4 == 0 else {}
        return self._obs(), 0.0, False, False, {"cost": sum(costs.values()), **costs}

    def _obs(self) -> np.ndarray:
        return np.array([self.t, self.np_random.normal()], np.float32)

    def get_state(self) -> dict[str, Any]:
        return {"t": self.t, "rng": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.t, self.np_random.bit_generator.state = state["t"], state["rng"]


class Choices(SpeedLimit):
    """`SpeedLimit` with whole speeds from -2 to 2; the two entries of a MultiDiscrete action are added."""

    def __init__(self, multi: bool = False) -> None:
        super().__init__()
        self.action_space = MultiDiscrete([4, 2], start=[-2, 0]) if multi else Discrete(5, start=-2)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict]:
        assert self.action_space.contains(action), action
        return super().step(np.array([np.sum(action)], np.float64))


class Lamp(gymnasium.Env):
    """A picture of 8 x 8 pixels whose left or right half is bright, and the time; the half changes at random.

    Reward 1 for naming (0 left, 1 right) the half that was bright `delay` steps ago, cost 1 for naming the right one.
    Without looking, or with too short a memory, nothing better than half of the episode's reward can be had.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, delay: int = 0, vector: bool = False, render_mode: str | None = None) -> None:
        self.picture, self.clock = Box(0, 255, (8, 8, 3), np.uint8), Box(0, 1, (1,), np.float64)
        self.observation_space = Box(-1, 1, (1,)) if vector else Dict(picture=self.picture, clock=self.clock)
        self.action_space, self.delay, self.vector, self.render_mode = Discrete(2), delay, vector, render_mode
        self.sides: list[int] = []

    def _obs(self) -> Any:
        if self.vector:
            return np.array([2.0 * self.sides[-1] - 1], np.float32)
        picture = np.full((8, 8, 3), 10, np.uint8)
        picture[:, 4 * self.sides[-1] : 4 * self.sides[-1] + 4] = 200
        return {"clock": np.array([len(self.sides) / 20]), "picture": picture}

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[Any, dict]:
        super().reset(seed=seed)
        self.sides = [int(self.np_random.integers(2))]
        return self._obs(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict]:
        right = action == self.sides[max(len(self.sides) - 1 - self.delay, 0)]
        self.sides.append(int(self.np_random.integers(2)))
        return self._obs(), float(right), False, False, {"cost": float(action)}

    def render(self) -> np.ndarray:
        return np.full((64, 64, 3), 128, np.uint8)

    def get_state(self) -> dict[str, Any]:
        return {"sides": list(self.sides), "rng": self.np_random.bit_generator.state}

    def set_state(self, state: dict[str, Any]) -> None:
        self.sides, self.np_random.bit_generator.state = list(state["sides"]), state["rng"]


class Broken(SpeedLimit):
    """Pays a reward that is not a number."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict]:
        obs, _, *rest = super().step(action)
        return obs, np.nan, *rest


class Spaces(gymnasium.Env):
    """Has the spaces that it is given."""

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, observation: gymnasium.Space | None = None, action: gymnasium.Space | None = None) -> None:
        self.observation_space, self.action_space = observation or Box(-1, 1, (2,)), action or Box(-1, 1, (2,))


class Budget(gymnasium.vector.VectorEnv):
    """A constrained problem with a known optimum (see `test_learning.py`), natively vectorised.

    State: worth w and speed v. The action is a push a: v' = v / 2 + a, held within [-8, 8]. Reward w v' - v'^2 / 2,
    cost v'^2. Half of an episode's ten steps have worth 2, half 4, in random order; then the episode is cut.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
    WORTH = (2.0, 4.0)
    STEPS = 10
    TOP = 8.0

    def __init__(self, num_envs: int = 1) -> None:
        self.num_envs = num_envs
        self.single_observation_space = Box(-np.inf, np.inf, (2,), np.float64)
        self.single_action_space = Box(-np.inf, np.inf, (1,), np.float64)
        self.observation_space = gymnasium.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gymnasium.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple[np.ndarray, dict]:
        super().reset(seed=seed)
        deck = np.tile(np.repeat(self.WORTH, self.STEPS // 2), (self.num_envs, 1))
        self.worth = self.np_random.permuted(deck, axis=1)
        self.t, self.speed = 0, np.zeros(self.num_envs)
        return self._obs(), {}

    def _obs(self) -> np.ndarray:
        """Return worth and speed; after the last step the worth is that of the first, as good as any."""
        return np.stack([self.worth[:, self.t % self.STEPS], self.speed], axis=1)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict]:
        self.speed = np.clip(0.5 * self.speed + action[:, 0], -self.TOP, self.TOP)
        reward = self.worth[:, self.t] * self.speed - 0.5 * self.speed**2
        info = {"cost": self.speed**2}
        self.t += 1
        obs, cut = self._obs(), np.full(self.num_envs, self.t == self.STEPS)
        if cut.all():
            info["final_obs"] = obs
            obs, _ = self.reset()
        return obs, reward, np.zeros(self.num_envs, bool), cut, info


def register() -> None:
    """Register the toys with Gymnasium (idempotent)."""
    for env_id, (name, limit, kwargs) in TOYS.items():
        if env_id not in gymnasium.registry:
            gymnasium.register(env_id, f"tests.safepo.toy:{name}", max_episode_steps=limit, kwargs=kwargs)
    if "ToyBudget-v0" not in gymnasium.registry:
        gymnasium.register("ToyBudget-v0", vector_entry_point="tests.safepo.toy:Budget")


TOYS: dict[str, tuple[str, int, dict[str, Any]]] = {
    "ToySpeed-v0": ("SpeedLimit", 50, {}),
    "ToySpeedEnds-v0": ("SpeedLimit", 50, {"terminates": True}),
    "ToySpeedTwo-v0": ("SpeedLimit", 50, {"nact": 2}),
    "ToyOpaque-v0": ("Opaque", 50, {}),
    "ToyClockEnds-v0": ("Clock", 100, {"length": 4}),
    "ToyClockCut-v0": ("Clock", 4, {}),
    "ToyClockLong-v0": ("Clock", 1000, {}),
    "ToySources-v0": ("Sources", 6, {}),
    "ToyDiscrete-v0": ("Choices", 50, {}),
    "ToyMultiDiscrete-v0": ("Choices", 50, {"multi": True}),
    "ToyBroken-v0": ("Broken", 50, {}),
    "ToyBinaryAction-v0": ("Spaces", 50, {"action": MultiBinary(3)}),
    "ToyGridAction-v0": ("Spaces", 50, {"action": Box(-1, 1, (2, 2))}),
    "ToyDictAction-v0": ("Spaces", 50, {"action": Dict(a=Discrete(2))}),
    "ToyNestedObservation-v0": ("Spaces", 50, {"observation": Dict(a=Dict(b=Box(-1, 1, (2,))))}),
    "ToyMixedObservation-v0": ("Spaces", 50, {"observation": Dict(a=Box(-1, 1, (2,)), b=Discrete(3))}),
    "ToyLamp-v0": ("Lamp", 20, {}),
    "ToyLampLate-v0": ("Lamp", 20, {"delay": 1, "vector": True}),
    "ToyLampFilm-v0": ("Lamp", 20, {"delay": 1}),
}

register()
