"""Environments of several agents as training sees them: one row of observations, one row of actions for the team.

A row of observations holds what each agent sees, agent by agent, and then the state of the whole; a row of actions the
agents' actions, one after the other. In all else a `TeamEnv` is a `VectorEnv`. Its reward and cost are the means over
the agents; `Step.rewards` and `Step.costs` are those of each, the latter under the names `cost_<agent>`.

Any PettingZoo `ParallelEnv` whose infos report `cost` can be trained on: `module:function` names what makes one.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import gymnasium
import numpy as np

import safety_gym
from safepo.envs import ActionMap, Bools, Floats, Step, VectorEnv
from safepo.errors import UserError
from safepo.observations import History, ObsMap, Part
from safepo.view import View
from safety_gym.multi_agent import is_multi_agent

Spaces = Mapping[str, gymnasium.Space]
STATE = "state"
"""Key of the team's state among the parts of an observation."""


class Batch(Protocol):
    """`n` simulations of one team, which start new episodes within the step."""

    agents: tuple[str, ...]
    observation_spaces: Spaces
    action_spaces: Spaces
    nstate: int

    def reset(self, seed: int | None) -> dict[str, Floats]:
        """Observations `(n, o)` by agent, and the state `(n, s)`."""

    def step(
        self, actions: dict[str, np.ndarray]
    ) -> tuple[dict[str, Floats], Floats, Floats, Bools, Bools, dict[str, Floats] | None]:
        """Observations and state, rewards `(n, a)`, costs `(n, a)`, terminated and truncated `(n,)`, and where an
        episode ended its last observations and state (rows of others mean nothing; None where none did)."""

    def get_state(self) -> dict | None: ...
    def set_state(self, state: dict) -> None: ...
    def close(self) -> None: ...


class TeamEnv(VectorEnv):
    """A vector environment of `num_envs` teams."""

    def __init__(self, env_id: str, num_envs: int, num_threads: int = 0, view: View | None = None) -> None:
        frames = (view or View()).frames
        self.id, self.num_envs = env_id, num_envs
        self.batch: Batch = make_batch(env_id, num_envs, num_threads)
        self.agents, spaces = self.batch.agents, self.batch.observation_spaces
        parts = [ObsMap.of(env_id, spaces[name]).parts for name in self.agents]
        if any(len(part) != 1 or part[0].key for part in parts):
            raise UserError(f"{env_id}: safepo trains teams whose agents observe a Box each")
        own = [Part(name, part[0].shape, part[0].image) for name, part in zip(self.agents, parts, strict=True)]
        self.obs = ObsMap((*own, Part(STATE, (self.batch.nstate,))), frames)
        self.nobs = self.obs.size
        self._history = History(self.obs, num_envs) if frames > 1 else None
        self.actions = {name: ActionMap.of(env_id, self.batch.action_spaces[name]) for name in self.agents}
        self.action = joined(env_id, list(self.actions.values()))
        self.dist = self.action.distribution()
        self.nact, self.nagent = self.dist.nact, len(self.agents)
        self.cost_names = tuple(f"cost_{name}" for name in self.agents)
        self.cost_seen = True

    def _start(self, seed: int | None) -> dict[str, Floats]:
        return self.batch.reset(seed)

    def step_raw(self, action: np.ndarray) -> Step:
        obs, rewards, costs, terminated, truncated, last = self.batch.step(self._divide(action))
        ended = terminated | truncated
        info = {} if last is None else {"final_obs": last}
        rows, final_obs = self._rows(obs, info, ended)
        return Step(rows, rewards.mean(axis=1), costs.mean(axis=1), terminated, truncated, final_obs, costs, rewards)

    def _divide(self, action: np.ndarray) -> dict[str, np.ndarray]:
        """Each agent's part of actions `(n, u)`, in the form and type of its space."""
        parts, at = {}, 0
        for name, own in self.actions.items():
            space, width = self.batch.action_spaces[name], len(own.low)
            part = action[:, at : at + width]
            if not own.sizes:
                part = np.clip(part, own.low, own.high)
            parts[name] = part.astype(space.dtype).reshape(len(part), *(space.shape or ()))
            at += width
        return parts

    def _state(self) -> dict | None:
        return self.batch.get_state()

    def _restore(self, state: dict) -> None:
        self.batch.set_state(state)

    def close(self) -> None:
        self.batch.close()


def joined(env_id: str, maps: list[ActionMap]) -> ActionMap:
    """The action map of a team; all agents must have boxes, or all discrete actions."""
    if len({bool(m.sizes) for m in maps}) > 1:
        raise UserError(f"{env_id}: agents with continuous and with discrete actions cannot be trained together")
    low, high = (np.concatenate([getattr(m, side) for m in maps]) for side in ("low", "high"))
    return ActionMap(low, high, tuple(size for m in maps for size in m.sizes))


def open_env(env_id: str, num_envs: int, num_threads: int = 0, view: View | None = None) -> VectorEnv:
    """Make an environment of one agent or of several."""
    kind = TeamEnv if is_team(env_id) else VectorEnv
    return kind(env_id, num_envs, num_threads, view)


def is_team(env_id: str) -> bool:
    """Whether an id names an environment of several agents."""
    return is_multi_agent(env_id) or _factory(env_id) is not None


def make_batch(env_id: str, num_envs: int, num_threads: int) -> Batch:
    """Make the simulations of a team."""
    if is_multi_agent(env_id):
        return SuiteTeam(env_id, num_envs, num_threads)
    factory = _factory(env_id)
    if factory is None:
        raise UserError(f"{env_id} is not an environment of several agents")
    return ParallelEnvs(env_id, factory, num_envs)


def _factory(env_id: str) -> Callable[[], Any] | None:
    """What `module:function` names, unless it is the id of a Gymnasium environment."""
    module, _, name = env_id.partition(":")
    if not name or name in gymnasium.registry or not name.isidentifier():
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None
    return found if callable(found) else None


class SuiteTeam:
    """The native batch of a multi-agent environment of `safety_gym`."""

    def __init__(self, env_id: str, num_envs: int, num_threads: int) -> None:
        self.env: Any = safety_gym.make_vec(env_id, num_envs=num_envs, num_threads=num_threads or None)
        self.agents: tuple[str, ...] = self.env.possible_agents
        self.observation_spaces: Spaces = self.env.observation_spaces
        self.action_spaces: Spaces = self.env.action_spaces
        self.nstate = self.env.state_space.shape[0]

    def reset(self, seed: int | None) -> dict[str, Floats]:
        obs, _ = self.env.reset(seed=seed)
        return {**obs, STATE: self.env.state()}

    def step(
        self, actions: dict[str, np.ndarray]
    ) -> tuple[dict[str, Floats], Floats, Floats, Bools, Bools, dict[str, Floats] | None]:
        obs, rewards, costs, terminated, truncated, info = self.env.step(actions)
        last = {**info["final_obs"], STATE: info["final_state"]} if "final_obs" in info else None
        return {**obs, STATE: self.env.state()}, rewards, costs, terminated, truncated, last

    def get_state(self) -> dict:
        return self.env.get_state()

    def set_state(self, state: dict) -> None:
        self.env.set_state(state)

    def close(self) -> None:
        self.env.close()


class ParallelEnvs:
    """Copies of a PettingZoo `ParallelEnv`, stepped one after the other."""

    def __init__(self, env_id: str, factory: Callable[[], Any], num_envs: int) -> None:
        self.envs = [factory() for _ in range(num_envs)]
        first = self.envs[0]
        self.agents = tuple(first.possible_agents)
        self.observation_spaces: Spaces = {name: first.observation_space(name) for name in self.agents}
        self.action_spaces: Spaces = {name: first.action_space(name) for name in self.agents}
        first.reset(seed=0)
        self.nstate = np.size(first.state())

    def reset(self, seed: int | None) -> dict[str, Floats]:
        obs = [env.reset(seed=None if seed is None else seed + i)[0] for i, env in enumerate(self.envs)]
        return self._stack(obs)

    def _stack(self, obs: list[dict[str, Any]]) -> dict[str, Floats]:
        joint = {name: np.stack([np.asarray(one[name], np.float64) for one in obs]) for name in self.agents}
        return {**joint, STATE: np.stack([np.ravel(env.state()) for env in self.envs]).astype(np.float64)}

    def step(
        self, actions: dict[str, np.ndarray]
    ) -> tuple[dict[str, Floats], Floats, Floats, Bools, Bools, dict[str, Floats] | None]:
        results = [env.step({k: v[i] for k, v in actions.items()}) for i, env in enumerate(self.envs)]
        rewards = np.array([[r[1][name] for name in self.agents] for r in results], np.float64)
        costs = np.array([[r[4][name].get("cost", 0.0) for name in self.agents] for r in results], np.float64)
        terminated, truncated = (np.array([any(r[k].values()) for r in results]) for k in (2, 3))
        last = self._stack([r[0] for r in results])
        ended = np.flatnonzero(terminated | truncated)
        if not len(ended):
            return last, rewards, costs, terminated, truncated, None
        obs = [r[0] for r in results]
        for i in ended:
            obs[i], _ = self.envs[i].reset()
        return self._stack(obs), rewards, costs, terminated, truncated, last

    def get_state(self) -> dict | None:
        if not all(hasattr(env, "get_state") for env in self.envs):
            return None
        return {"envs": [env.get_state() for env in self.envs]}

    def set_state(self, state: dict) -> None:
        for env, part in zip(self.envs, state["envs"], strict=True):
            env.set_state(part)

    def close(self) -> None:
        for env in self.envs:
            env.close()
