"""Toy games of several agents: a constrained one with a known optimum, and one with agents of different sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.spaces import Box
from pettingzoo import ParallelEnv


class Pull(ParallelEnv):
    """Two agents pull a load together (see `test_teams.py`).

    The load is worth w, 2 or 4, each in half of an episode's ten steps, in random order; agent i pulls with speed v_i,
    its action held within [-8, 8]. With u = v_0 + v_1 both earn w u - u^2 / 4; each pays v_i^2. An agent sees w and its
    own last speed, the state holds w and both speeds. Then the episode is cut.
    """

    metadata: dict[str, Any] = {"name": "pull", "render_modes": []}
    WORTH = (2.0, 4.0)
    STEPS = 10
    TOP = 8.0

    def __init__(self) -> None:
        self.possible_agents = ["left", "right"]
        self.agents: list[str] = []
        self._observed, self._action = Box(-np.inf, np.inf, (2,), np.float64), Box(-np.inf, np.inf, (1,), np.float64)
        self.rng = np.random.default_rng()
        self.speed, self.worth, self.t = np.zeros(2), np.zeros(self.STEPS), 0

    def observation_space(self, agent: str) -> Box:
        return self._observed

    def action_space(self, agent: str) -> Box:
        return self._action

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        if seed is not None:
            self.rng = np.random.default_rng(seed)
        self.agents = list(self.possible_agents)
        self.worth = self.rng.permutation(np.repeat(self.WORTH, self.STEPS // 2))
        self.speed, self.t = np.zeros(2), 0
        return self._obs(), {name: {} for name in self.agents}

    def _obs(self) -> dict[str, np.ndarray]:
        worth = self.worth[self.t % self.STEPS]
        return {name: np.array([worth, self.speed[i]]) for i, name in enumerate(self.possible_agents)}

    def state(self) -> np.ndarray:
        return np.array([self.worth[self.t % self.STEPS], *self.speed])

    def step(self, actions: dict[str, np.ndarray]) -> tuple[dict, dict, dict, dict, dict]:
        names, worth = self.possible_agents, self.worth[self.t]
        self.speed = np.clip([float(actions[name][0]) for name in names], -self.TOP, self.TOP)
        total = self.speed.sum()
        self.t += 1
        cut = self.t == self.STEPS
        infos = {name: {"cost": self.speed[i] ** 2} for i, name in enumerate(names)}
        self.agents = [] if cut else self.agents
        earned = dict.fromkeys(names, worth * total - total**2 / 4)
        return self._obs(), earned, dict.fromkeys(names, False), dict.fromkeys(names, cut), infos

    def get_state(self) -> dict[str, Any]:
        return {
            "rng": self.rng.bit_generator.state,
            "speed": self.speed.copy(),
            "worth": self.worth.copy(),
            "t": self.t,
        }

    def set_state(self, state: dict[str, Any]) -> None:
        self.agents = list(self.possible_agents)
        self.rng.bit_generator.state = state["rng"]
        self.speed, self.worth, self.t = np.array(state["speed"]), np.array(state["worth"]), state["t"]


class Echo(Pull):
    """Each agent sees a number, -1 or 1, drawn anew at each step, and loses the squared distance of its action to what
    it saw two steps ago. Without a memory nothing is better than 0, which loses 1 in each but the first two steps."""

    def __init__(self) -> None:
        super().__init__()
        self._observed = Box(-1, 1, (1,), np.float64)
        self.said = np.zeros((self.STEPS + 3, 2))

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        super().reset(seed, options)
        self.said[2:] = self.rng.choice([-1.0, 1.0], (self.STEPS + 1, 2))
        return self._obs(), {name: {} for name in self.agents}

    def _obs(self) -> dict[str, np.ndarray]:
        return {name: self.said[self.t + 2, i : i + 1] for i, name in enumerate(self.possible_agents)}

    def state(self) -> np.ndarray:
        return self.said[self.t : self.t + 3].ravel()

    def step(self, actions: dict[str, np.ndarray]) -> tuple[dict, dict, dict, dict, dict]:
        due = self.said[self.t]
        earned = {name: -float((actions[name][0] - due[i]) ** 2) for i, name in enumerate(self.possible_agents)}
        self.t += 1
        cut = self.t == self.STEPS
        infos = {name: {"cost": 0.0} for name in earned}
        return self._obs(), earned, dict.fromkeys(earned, False), dict.fromkeys(earned, cut), infos


class Uneven(Pull):
    """Three agents with observations of 1, 2, 3 and actions of 1, 3, 2 numbers; each earns the sum of its action less
    its square, of which agent 2 pays 1 where the sum is positive. Episodes terminate at random."""

    SIZES = {"a": (1, 1), "b": (2, 3), "c": (3, 2)}

    def __init__(self) -> None:
        super().__init__()
        self.possible_agents = list(self.SIZES)
        self.spaces = {name: (Box(-9, 9, (o,)), Box(-2.0, 1.0, (u,))) for name, (o, u) in self.SIZES.items()}

    def observation_space(self, agent: str) -> Box:
        return self.spaces[agent][0]

    def action_space(self, agent: str) -> Box:
        return self.spaces[agent][1]

    def _obs(self) -> dict[str, np.ndarray]:
        return {name: self.rng.normal(size=o) for name, (o, _) in self.SIZES.items()}

    def state(self) -> np.ndarray:
        return np.array([float(self.t)])

    def step(self, actions: dict[str, np.ndarray]) -> tuple[dict, dict, dict, dict, dict]:
        for name, action in actions.items():
            assert self.spaces[name][1].contains(action), (name, action)
        self.t += 1
        earned = {name: float((action - action**2).sum()) for name, action in actions.items()}
        infos = {name: {"cost": float(name == "c" and action.sum() > 0)} for name, action in actions.items()}
        over = bool(self.rng.random() < 0.1)
        return self._obs(), earned, dict.fromkeys(actions, over), dict.fromkeys(actions, False), infos
