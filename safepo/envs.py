"""Environments as training sees them: six-value vector steps, flat observations, actions in [-1, 1].

Ids that `safety_gym` knows run as its native batch; any other Gymnasium id (`module:Id-v0` imports the module first)
runs in a `SyncVectorEnv`, with actions clipped to its space and the cost read from `info["cost"]` (0 where it is
missing; `cost_seen` tells whether it ever was there).
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

import safety_gym
from safepo.errors import UserError, did_you_mean
from safety_gym.wrappers import CostStepVector

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """One vector step. `obs` of a finished row is the first of its next episode; `final_obs` its last."""

    obs: Floats
    """(n, o)"""
    reward: Floats
    """(n,)"""
    cost: Floats
    """(n,)"""
    terminated: Bools
    """(n,)"""
    truncated: Bools
    """(n,)"""
    final_obs: Floats | None
    """(n, o), rows valid where an episode ended; None when none did"""
    costs: Floats
    """(n, k) cost of each source in `VectorEnv.cost_names`"""


class VectorEnv:
    """A vector environment of `num_envs` simulations with same-step autoreset."""

    def __init__(self, env_id: str, num_envs: int, num_threads: int = 0) -> None:
        """`num_threads` steps a safety_gym batch; 0 leaves the choice to it."""
        self.id, self.num_envs = env_id, num_envs
        self.env = _make(env_id, num_envs, num_threads)
        obs_space, act_space = self.env.single_observation_space, self.env.single_action_space
        self.nobs = _size(env_id, "observation", obs_space)
        self.nact = _size(env_id, "action", act_space)
        self.action_low, self.action_high = _action_bounds(act_space)
        self._middle, self._half = action_map(self.action_low, self.action_high)
        self.cost_names: tuple[str, ...] = tuple(getattr(self.env.unwrapped, "cost_names", ()))
        self.cost_seen = False
        # The suite's robots clip by themselves; others were promised actions inside their space.
        self._clip = not is_ours(env_id)

    def reset(self, seed: int | None = None) -> Floats:
        """Start new episodes everywhere; returns obs (n, o)."""
        obs, _ = self.env.reset(seed=seed)
        return np.asarray(obs, dtype=np.float64)

    def step(self, action: NDArray[np.floating]) -> Step:
        """Step with actions (n, u) in the policy's range [-1, 1], mapped affinely to the space."""
        return self.step_raw(self._middle + self._half * action)

    def step_raw(self, action: NDArray[np.floating]) -> Step:
        """Step with actions (n, u) in the environment's own range."""
        dtype = self.env.single_action_space.dtype
        if self._clip:
            action = np.clip(action, self.action_low, self.action_high)
        obs, reward, cost, terminated, truncated, info = self.env.step(action.astype(dtype))  # type: ignore[misc]
        self.cost_seen = self.cost_seen or "cost" in info or "cost" in info.get("final_info", {})
        ended = terminated | truncated
        final_obs = _final_obs(info, ended, self.nobs) if ended.any() else None
        costs = np.stack([_term(info, name, ended) for name in self.cost_names], axis=1) if self.cost_names else _NONE
        return Step(np.asarray(obs, np.float64), reward, cost, terminated, truncated, final_obs, costs)

    def get_state(self) -> dict | None:
        """The exact state of all simulations as plain data, or None when the environment cannot tell."""
        base: Any = self.env.unwrapped
        if hasattr(base, "get_state"):
            return base.get_state()
        envs = getattr(base, "envs", ())
        if not envs or not all(hasattr(e.unwrapped, "get_state") for e in envs):
            return None
        return {"envs": [{"env": e.unwrapped.get_state(), "elapsed": _elapsed(e)} for e in envs]}

    def set_state(self, state: dict) -> None:
        """Restore what `get_state` returned."""
        base: Any = self.env.unwrapped
        if hasattr(base, "set_state"):
            base.set_state(state)
            return
        for env, part in zip(base.envs, state["envs"], strict=True):
            env.unwrapped.set_state(part["env"])
            _set_elapsed(env, part["elapsed"])

    def close(self) -> None:
        self.env.close()


_NONE: Floats = np.zeros((0, 0))


def known_ids() -> list[str]:
    """Ids of the `safety_gym` suite."""
    return list(safety_gym.ids())


def is_ours(env_id: str) -> bool:
    """Whether `safety_gym` knows the id."""
    return env_id.removeprefix("safety_gym:") in known_ids()


def check_id(env_id: str) -> None:
    """Refuse an id that neither `safety_gym` nor Gymnasium knows, with close matches.

    The module of a `module:Id-v0` is imported first: importing it registers the id.
    """
    module, colon, name = env_id.rpartition(":")
    if colon:
        try:
            importlib.import_module(module)
        except ImportError as error:
            raise UserError(f"environment id {env_id!r}: module {module!r} cannot be imported ({error})") from None
    known = known_ids()
    if name in known or name in gymnasium.registry:
        return
    raise UserError(did_you_mean(env_id, [*known, *gymnasium.registry], "environment id"))


def action_map(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Middle and half width (u,) of the affine map from [-1, 1]; unbounded dimensions pass unchanged."""
    bounded = np.isfinite(low) & np.isfinite(high)
    middle = np.where(bounded, (np.where(bounded, low, 0) + np.where(bounded, high, 0)) / 2, 0.0)
    half = np.where(bounded, (np.where(bounded, high, 0) - np.where(bounded, low, 0)) / 2, 1.0)
    return middle, half


def _make(env_id: str, num_envs: int, num_threads: int) -> Any:
    check_id(env_id)
    try:
        if is_ours(env_id):
            return safety_gym.make_vec(env_id, num_envs=num_envs, num_threads=num_threads or None)
        same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
        env = gymnasium.make_vec(env_id, num_envs, vectorization_mode="sync", vector_kwargs=same_step)
        return CostStepVector(env)
    except (ValueError, ImportError, gymnasium.error.Error) as error:
        raise UserError(f"environment {env_id} cannot be made: {error}") from error


def _term(info: dict[str, Any], name: str, ended: Bools) -> Floats:
    """A per-simulation entry (n,) of a step's info; where an episode ended, that of its last transition."""
    value = np.array(info[name], dtype=np.float64) if name in info else np.zeros(len(ended))
    final = info.get("final_info", {})
    if name in final:
        value[ended] = np.asarray(final[name], dtype=np.float64)[ended]
    return value


def _final_obs(info: dict[str, Any], ended: Bools, nobs: int) -> Floats:
    """Last observations (n, o) of the episodes that ended; other rows are 0."""
    final = np.zeros((len(ended), nobs))
    for i in np.flatnonzero(ended):
        final[i] = info["final_obs"][i]
    return final


def _size(env_id: str, what: str, space: gymnasium.Space) -> int:
    """Length of a one-dimensional Box."""
    if not isinstance(space, gymnasium.spaces.Box) or len(space.shape) != 1:
        raise UserError(f"{env_id} has the {what} space {space}; safepo trains on one-dimensional Box spaces only")
    return space.shape[0]


def _action_bounds(space: Any) -> tuple[Floats, Floats]:
    return space.low.astype(np.float64), space.high.astype(np.float64)


def _elapsed(env: Any) -> int | None:
    """Step counter of a `TimeLimit` wrapper around a single environment."""
    limit = _time_limit(env)
    return None if limit is None else limit._elapsed_steps


def _set_elapsed(env: Any, elapsed: int | None) -> None:
    limit = _time_limit(env)
    if limit is not None:
        limit._elapsed_steps = elapsed


def _time_limit(env: Any) -> Any:
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            return env
        env = env.env
    return None
