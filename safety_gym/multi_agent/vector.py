"""`MultiAgentVectorEnv`: the native vector form of multi-agent environments.

    envs = safety_gym.make_vec("SafetyPointMultiGoal1-v0", num_envs=64)
    obs, info = envs.reset(seed=0)                                  # {"agent_0": (64, o_0), "agent_1": (64, o_1)}
    obs, reward, cost, terminated, truncated, info = envs.step(actions)
    envs.state()                                                    # (64, s), for centralised critics

`n` simulations, `a` agents; agent `j` observes `o_j` and has `u_j` numbers of action. Rewards and costs are (n, a). An
episode begins and ends for all agents of a simulation at once: `terminated` and `truncated` are (n,).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from safety_gym.multi_agent import ids
from safety_gym.robots import Robot
from safety_gym.task import Task
from safety_gym.tasks.multi_goal import MultiGoalTask
from safety_gym.tasks.multi_velocity import DividedObserver, DividedTask, driven_joints
from safety_gym.vector_env import BatchEnv
from safety_gym.world import Array

MAX_EPISODE_STEPS = 1000


class MultiAgentVectorEnv(BatchEnv):
    """`num_envs` simulations of one multi-agent id, stepped together. Arguments are those of `BatchEnv`.

    `info` holds `cost` and the parts `cost_*`, each (n, a), `goal_met` (n, a) in steps where a goal was met, and of
    divided walkers what Gymnasium's environments report, (n,). Where episodes ended (same-step autoreset) `final_obs`
    (as `obs`) and `final_state` (n, s) are what followed the last action, rows of `_final_obs`; `final_info` is the
    step's `info`.
    """

    control_ids: list[NDArray[np.intp]]
    """Which of the engine's controls the actions of each agent are."""

    def _resolve(self, env_id: str, options: dict[str, Any]) -> tuple[type[Task], Any, tuple[Robot, ...], int]:
        self.parsed_id, task, config, robots = ids.resolve(env_id, options)
        self.env_id = self.parsed_id.canonical
        return task, config, robots, MAX_EPISODE_STEPS

    def _make_spaces(self) -> None:
        task, observer, sim = self.sim.task, self.sim.observer, self.sim
        self._divided = observer if isinstance(observer, DividedObserver) else None
        space = sim.action_space()
        if isinstance(task, DividedTask):
            controls = driven_joints(sim.scene.model)
            self.control_ids = [np.array([controls[joint] for joint in own]) for own in task.partition]
            sizes = [len(own) for own in self.control_ids]
            low, high = float(space.low[0]), float(space.high[0])
            actions: list[gymnasium.spaces.Box] = [
                gymnasium.spaces.Box(low, high, (size,), np.float32) for size in sizes
            ]
        else:
            assert isinstance(task, MultiGoalTask)
            self.control_ids = list(task.controls(sim.nact))
            actions = [sim.action_space() for _ in range(sim.nagent)]
        self.possible_agents: tuple[str, ...] = ids.names(len(actions))
        """Names of the agents, in the order of every agent axis."""
        self.action_spaces = dict(zip(self.possible_agents, actions, strict=True))
        """Of one simulation, by agent."""
        self.observation_spaces = {name: self._space_of(j) for j, name in enumerate(self.possible_agents)}
        """Of one simulation, by agent."""
        size = observer.size * sim.nagent if self._divided is None else self._divided.state.stop
        self.state_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float64)
        """Of one simulation's `state`."""

    def _space_of(self, j: int) -> gymnasium.Space[Any]:
        if self._divided is not None:
            columns = self._divided.columns[j]
            return gymnasium.spaces.Box(-np.inf, np.inf, (columns.stop - columns.start,), np.float64)
        space = self.sim.observer.space()
        if not self._full:
            return space
        assert isinstance(space, gymnasium.spaces.Box)
        low, high = (np.tile(bound, self.sim.nagent) for bound in (space.low, space.high))
        return gymnasium.spaces.Box(low, high, dtype=np.float64)

    # --- what lies underneath -----------------------------------------------------------------------------------------

    @property
    def num_agents(self) -> int:
        """Number of agents, `a`."""
        return len(self.possible_agents)

    @property
    def unwrapped(self) -> MultiAgentVectorEnv:
        """This environment, as Gymnasium's have it."""
        return self

    @property
    def _full(self) -> bool:
        return bool(self.sim.config.full_observation)  # type: ignore[attr-defined]

    # --- the loop -----------------------------------------------------------------------------------------------------

    def step(
        self, actions: Any
    ) -> tuple[dict[str, Any], Array, Array, NDArray[np.bool_], NDArray[np.bool_], dict[str, Any]]:
        """Advance every simulation by one control step.

        Args:
            actions: by agent (n, u_j); or one array (n, a, u) where all agents have actions of one size.

        Returns:
            obs (by agent, (n, o_j)), reward (n, a), cost (n, a), terminated (n,), truncated (n,), info.

        Raises:
            ValueError: an agent misses, a wrong shape, or NaN; nothing has moved then.
            gymnasium.error.ResetNeeded: before the first reset, or for ended episodes in the disabled autoreset mode.
        """
        return self._advance(self.sim.check_action(self._by_robot(actions)))

    def state(self) -> Array:
        """Return what a centralised critic sees, (n, s), fresh.

        Several robots: the observations of all, robot after robot. Divided walkers: what the undivided one observes.
        """
        return self._state(self.sim.last_observation)

    def close(self) -> None:
        """Release the renderer."""
        self.close_extras()

    def controls(self, actions: Any) -> Array:
        """Return the numbers (n, u) that actions are to the physics engine, in the order of its controls, unclipped."""
        return self._by_robot(actions).reshape(self.num_envs, -1)

    # --- details ------------------------------------------------------------------------------------------------------

    def _by_robot(self, actions: Any) -> Array:
        """Return the controls of all agents, (n, r, u) for `r` robots."""
        sim, n = self.sim, self.num_envs
        if not isinstance(actions, Mapping):
            array = np.asarray(actions)
            sizes = {len(own) for own in self.control_ids}
            if len(sizes) > 1:
                raise ValueError("actions: agents differ in their number of actions; give a dict of arrays by agent")
            if array.shape != (n, self.num_agents, *sizes):
                raise ValueError(
                    f"actions have shape {array.shape}; expected {(n, self.num_agents, *sizes)}, or a dict by agent"
                )
            actions = {name: array[:, j] for j, name in enumerate(self.possible_agents)}
        self._check_names(actions)
        given = [np.asarray(actions[name]) for name in self.possible_agents]
        for name, array, own in zip(self.possible_agents, given, self.control_ids, strict=True):
            if array.shape != (n, len(own)):
                raise ValueError(f"action of {name} has shape {array.shape}; expected {(n, len(own))}")
        joined = np.empty((n, sim.nagent * sim.nact), np.result_type(*given))
        for own, array in zip(self.control_ids, given, strict=True):
            joined[:, own] = array
        return joined.reshape(n, sim.nagent, sim.nact)

    def _check_names(self, actions: Mapping[str, Any]) -> None:
        if set(actions) != set(self.possible_agents):
            raise ValueError(
                f"actions: expected one for each of {', '.join(self.possible_agents)}, got {sorted(map(str, actions))}"
            )

    def _observed(self, obs: Array) -> dict[str, Any]:
        if self._divided is not None:
            parts = [obs[:, 0, columns].copy() for columns in self._divided.columns]
        elif self._full:
            parts = [self._state(obs) for _ in self.possible_agents]
        else:
            parts = [self.sim.observer.split(obs[:, j].copy()) for j in range(self.num_agents)]
        return dict(zip(self.possible_agents, parts, strict=True))

    def _state(self, obs: Array) -> Array:
        if self._divided is not None:
            return obs[:, 0, self._divided.state].copy()
        return obs.reshape(self.num_envs, -1).copy()

    def _shown(self, values: NDArray[Any]) -> NDArray[Any]:
        return values if self._divided is None else np.repeat(values, self.num_agents, axis=1)

    def _final(self, obs: Array, over: NDArray[np.bool_]) -> dict[str, Any]:
        return {"final_obs": self._observed(obs), "final_state": self._state(obs), "_final_state": over.copy()}
