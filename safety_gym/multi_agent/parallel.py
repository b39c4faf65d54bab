"""PettingZoo's faces of multi-agent environments: views of `MultiAgentVectorEnv` with one simulation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray
from pettingzoo import ParallelEnv
from pettingzoo.utils import BaseParallelWrapper

from safety_gym.multi_agent.vector import MultiAgentVectorEnv
from safety_gym.vector_env import RENDER_MODES

Dicts = tuple[dict[str, Any], dict[str, float], dict[str, bool], dict[str, bool], dict[str, dict[str, Any]]]


class SafetyParallelEnv(ParallelEnv):  # type: ignore[misc]
    """One simulation of a multi-agent id. `infos[agent]` holds `cost`, its parts `cost_*` and `goal_met`.

    Each agent has an `infos` entry of its own. An episode ends for all agents at once; `agents` is empty then, and the
    next call must be `reset`. Arguments are those of `MultiAgentVectorEnv`.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES[:2]), "render_fps": 30, "is_parallelizable": True}

    def __init__(self, env_id: str, *, render_mode: str | None = None, **options: Any) -> None:
        self._args = {"render_mode": render_mode, **options}
        if "num_envs" in options:
            raise ValueError("num_envs: this is a single simulation; use safety_gym.make_vec() for several")
        self.vec = MultiAgentVectorEnv(
            env_id, 1, autoreset_mode=AutoresetMode.DISABLED, num_threads=1, render_mode=render_mode, **options
        )
        self.env_id, self.render_mode = self.vec.env_id, render_mode
        self.metadata = {
            **type(self).metadata, "name": self.env_id, "render_fps": self.vec.metadata["render_fps"],
        }  # fmt: skip
        self.possible_agents = list(self.vec.possible_agents)
        self.agents: list[str] = []
        self.observation_spaces, self.action_spaces = self.vec.observation_spaces, self.vec.action_spaces
        self.state_space = self.vec.state_space
        self.cost_names = self.vec.cost_names

    def observation_space(self, agent: str) -> gymnasium.Space[Any]:
        """Return the space of an agent's observation, the same object at each call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> gymnasium.Space[Any]:
        """Return the space of an agent's action, the same object at each call."""
        return self.action_spaces[agent]

    # --- what lies underneath -----------------------------------------------------------------------------------------

    @property
    def layout(self) -> dict[str, Any]:
        """Where everything is, in the form `reset(options={"layout": ...})` takes."""
        return self.vec.layout[0]

    def get_state(self) -> dict[str, Any]:
        """Return the world, task memory and random streams as plain numbers; see `BatchEnv.get_state`."""
        return {"vec": self.vec.get_state(), "agents": list(self.agents)}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Restore what `get_state` returned; ValueError if it is another environment's."""
        if set(state) != {"vec", "agents"}:
            raise ValueError(f"state: expected what get_state() returned, got {sorted(state)}")
        self.vec.set_state(state["vec"])
        self.agents = list(state["agents"])

    # --- PettingZoo ---------------------------------------------------------------------------------------------------

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
        """Start a new episode. `options["layout"]` gives an explicit layout; other options are ignored."""
        obs, _ = self.vec.reset(seed=seed, options={"layout": (options or {}).get("layout")})
        self.agents = list(self.possible_agents)
        return self._first(obs), {agent: {"cost": 0.0} for agent in self.agents}

    def step(self, actions: Mapping[str, Any]) -> Dicts:
        """Advance by one control step; `actions[agent]` (u,) is clipped to the control range.

        Raises:
            ValueError: an agent misses, a wrong shape, or NaN; nothing has moved then.
            gymnasium.error.ResetNeeded: the episode is over.
        """
        if not self.agents:
            raise gymnasium.error.ResetNeeded("call reset() before step(): no episode is running")
        self.vec._check_names(actions)
        rows = {agent: np.asarray(action)[None] for agent, action in actions.items()}
        obs, reward, _, terminated, truncated, info = self.vec.step(rows)
        agents = self.agents
        values: Dicts = (
            self._first(obs),
            {agent: float(reward[0, j]) for j, agent in enumerate(agents)},
            dict.fromkeys(agents, bool(terminated[0])),
            dict.fromkeys(agents, bool(truncated[0])),
            {agent: self._info(info, j) for j, agent in enumerate(agents)},
        )
        if terminated[0] or truncated[0]:
            self.agents = []
        return values

    def state(self) -> NDArray[np.float64]:
        """Return what a centralised critic sees, (s,); see `MultiAgentVectorEnv.state`."""
        return self.vec.state()[0]

    def render(self) -> Any:
        """Return a frame (height, width, 3) uint8, or depth in metres (height, width)."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() needs a render_mode, e.g. parallel_env(id, render_mode='rgb_array')")
            return None
        return self.vec.frame(0)

    def close(self) -> None:
        """Release the renderer."""
        self.vec.close()

    # --- details ------------------------------------------------------------------------------------------------------

    @staticmethod
    def _first(obs: dict[str, Any]) -> dict[str, Any]:
        return {a: {k: v[0] for k, v in o.items()} if isinstance(o, dict) else o[0] for a, o in obs.items()}

    def _info(self, info: dict[str, Any], j: int) -> dict[str, Any]:
        """Return the entries of agent `j`, those of the simulation included."""
        row: dict[str, Any] = {}
        if self.vec.sim.task.has_goal:
            row["goal_met"] = "goal_met" in info and bool(info["goal_met"][0, j])
        for key, value in info.items():
            if key[0] != "_" and key != "goal_met" and info[f"_{key}"][0]:
                row[key] = float(value[0, j] if value.ndim == 2 else value[0])
        return row

    def __getstate__(self) -> dict[str, Any]:
        return {"env_id": self.env_id, "args": self._args, "state": self.get_state()}

    def __setstate__(self, saved: dict[str, Any]) -> None:
        self.__init__(saved["env_id"], **saved["args"])  # type: ignore[misc]
        self.set_state(saved["state"])


class CostParallelEnv(BaseParallelWrapper):  # type: ignore[misc]
    """Six dicts from `step`: obs, rewards, costs, terminations, truncations, infos.

    Around any `ParallelEnv` that reports `infos[agent]["cost"]`; an entry without it costs 0. PettingZoo's own wrappers
    unpack five values: put them inside.
    """

    def step(self, actions: Mapping[str, Any]) -> Any:
        obs, rewards, terminations, truncations, infos = self.env.step(actions)
        costs = {agent: float(infos[agent].get("cost", 0.0)) for agent in rewards}
        return obs, rewards, costs, terminations, truncations, infos
