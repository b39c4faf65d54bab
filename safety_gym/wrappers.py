"""Wrappers: the six-value step, and two ways to use unconstrained libraries on environments with a cost.

They work on any Gymnasium environment that reports `info["cost"]`; a step without it costs 0.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import VectorEnv, VectorWrapper


class CostStep(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Return six values from `step`: obs, reward, cost, terminated, truncated, info.

    It must be the outermost wrapper: Gymnasium's own wrappers unpack five values.
    """

    @property
    def cost_names(self) -> tuple[str, ...]:
        """The cost entries of `info` in a fixed order, without `cost_sum`."""
        return tuple(getattr(self.env.unwrapped, "cost_names", ()))

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, float(info.get("cost", 0.0)), terminated, truncated, info


class CostStepVector(VectorWrapper):
    """Return six values from a vector environment's `step`; cost is (n,) float64."""

    @property
    def cost_names(self) -> tuple[str, ...]:
        """The cost entries of `info` in a fixed order, without `cost_sum`."""
        return tuple(getattr(self.env.unwrapped, "cost_names", ()))

    def step(self, actions: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(actions)
        return obs, reward, vector_cost(info, self.num_envs), terminated, truncated, info


def vector_cost(info: dict[str, Any], num_envs: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return the step costs (n,) of a vector step.

    Where an episode ended under same-step autoreset, Gymnasium's own vector environments move its last info to
    `final_info`; the cost of that transition is taken from there.
    """
    cost = np.zeros(num_envs)
    sources = [(info, None)]
    final = info.get("final_info")
    if isinstance(final, dict):
        sources.append((final, info.get("_final_info")))
    for source, rows in sources:
        if "cost" not in source:
            continue
        values = np.asarray(source["cost"], dtype=np.float64)
        mask = np.asarray(source.get("_cost", np.ones(num_envs, bool)))
        if rows is not None:
            mask = mask & rows
        cost[mask] = values[mask]
    return cost


def _refuse_six_values(env: Any) -> None:
    if isinstance(env, CostStep):
        raise TypeError(
            "env: safety_gym.make() returns six values from step, this wrapper needs five; wrap gymnasium.make(id) and "
            "put CostStep outermost if six are wanted"
        )


class CostInReward(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Subtract `weight` x cost from the reward: a fixed penalty for libraries without constraints.

    The unpenalised reward stays in `info["reward"]`. Put `RecordEpisodeCost` inside to have the episode's cost, too.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], weight: float) -> None:
        _refuse_six_values(env)
        super().__init__(env)
        if not (np.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight={weight!r}: expected a number >= 0")
        self.weight = weight

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        penalised = float(reward) - self.weight * float(info.get("cost", 0.0))
        return obs, penalised, terminated, truncated, {**info, "reward": float(reward)}


class CostTerminates(gymnasium.Wrapper[Any, Any, Any, Any]):
    """End an episode (`terminated`) as soon as its summed cost exceeds `budget`."""

    def __init__(self, env: gymnasium.Env[Any, Any], budget: float) -> None:
        _refuse_six_values(env)
        super().__init__(env)
        if not (np.isfinite(budget) and budget >= 0):
            raise ValueError(f"budget={budget!r}: expected a number >= 0")
        self.budget = budget
        self._spent = 0.0

    def reset(self, **kwargs: Any) -> Any:
        self._spent = 0.0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._spent += float(info.get("cost", 0.0))
        return obs, reward, terminated or self._spent > self.budget, truncated, info


class RecordEpisodeCost(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Record the summed cost of an episode as `info["episode"]["c"]` on its last step.

    Put it outside Gymnasium's `RecordEpisodeStatistics` to have `r`, `l` and `c` together; alone it gives `c`.
    """

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        _refuse_six_values(env)
        super().__init__(env)
        self._total = 0.0

    def reset(self, **kwargs: Any) -> Any:
        self._total = 0.0
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        self._total += float(info.get("cost", 0.0))
        if terminated or truncated:
            info = {**info, "episode": {**info.get("episode", {}), "c": self._total}}
        return obs, reward, terminated, truncated, info


class RecordEpisodeCostVector(VectorWrapper):
    """Vector form of `RecordEpisodeCost`: `info["episode"]["c"]` (n,), rows valid where `info["_episode"]`."""

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        super().__init__(env)
        self._total = np.zeros(env.num_envs)
        self._over = np.zeros(env.num_envs, bool)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> Any:
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, bool))
        self._total[mask] = 0.0
        self._over[mask] = False
        return self.env.reset(seed=seed, options=options)

    def step(self, actions: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(actions)
        self._total[self._over] = 0.0
        self._total += vector_cost(info, self.num_envs)
        self._over = np.asarray(terminated) | np.asarray(truncated)
        if self._over.any():
            episode = {**info.get("episode", {}), "c": np.where(self._over, self._total, 0.0), "_c": self._over.copy()}
            info = {**info, "episode": episode, "_episode": self._over.copy()}
        return obs, reward, terminated, truncated, info
