"""Environments as training sees them: six-value vector steps, rows of observations, actions in [-1, 1].

Ids that `safety_gym` knows run as its native batch; any other Gymnasium id (`module:Id-v0` imports the module first)
runs in its own vector form where that resets within the step, else in a `SyncVectorEnv`, with actions clipped to its
space and the cost read from `info["cost"]` (0 where it is missing; `cost_seen` tells whether it ever was there). An
environment that lists further cost entries of `info` in an attribute `cost_names` can be limited by those, too.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

import safety_gym
from safepo.distributions import Categorical, Distribution, Gaussian
from safepo.errors import UserError, did_you_mean
from safepo.observations import History, ObsMap, Rows
from safepo.view import View
from safety_gym.wrappers import CostStepVector

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Step:
    """One vector step. `obs` of a finished row is the first of its next episode; `final_obs` its last."""

    obs: Rows
    """(n, w) rows as `ObsMap` has them"""
    reward: Floats
    """(n,)"""
    cost: Floats
    """(n,)"""
    terminated: Bools
    """(n,)"""
    truncated: Bools
    """(n,)"""
    final_obs: Rows | None
    """(n, w), rows valid where an episode ended; None when none did"""
    costs: Floats
    """(n, k) cost of each source in `VectorEnv.cost_names`"""
    rewards: Floats
    """(n, a) of each agent; (n, 1), the reward itself, where there is one"""


class VectorEnv:
    """A vector environment of `num_envs` simulations with same-step autoreset."""

    def __init__(self, env_id: str, num_envs: int, num_threads: int = 0, view: View | None = None) -> None:
        """`num_threads` step a safety_gym batch (0: its own choice); rows hold what `view` shows, by default all."""
        self.id, self.num_envs = env_id, num_envs
        view = view or View()
        self.env = _make(env_id, num_envs, num_threads, view)
        obs_space, act_space = self.env.single_observation_space, self.env.single_action_space
        self.obs = ObsMap.of(env_id, obs_space, view)
        sides = {part.shape[1] for part in self.obs.parts if part.image}
        if view.image_size and view.image_size not in sides:
            raise UserError(f"image_size={view.image_size}: {env_id} has the observation {self.obs}")
        self.nobs = self.obs.size
        self._history = History(self.obs, num_envs) if view.frames > 1 else None
        self.action = ActionMap.of(env_id, act_space)
        self.dist = self.action.distribution()
        self.nact, self.nagent = self.dist.nact, 1
        base: Any = self.env.unwrapped
        envs = getattr(base, "envs", ())
        self.cost_names: tuple[str, ...] = tuple(getattr(envs[0].unwrapped if envs else base, "cost_names", ()))
        self.cost_seen = False
        # The suite's robots clip by themselves; others were promised actions inside their space.
        self._clip = not is_ours(env_id)

    def reset(self, seed: int | None = None) -> Rows:
        """Start new episodes everywhere; returns obs (n, w)."""
        rows = self.obs.flatten(self._start(seed))
        return rows if self._history is None else self._history.start(rows)

    def _start(self, seed: int | None) -> Any:
        return self.env.reset(seed=seed)[0]

    def step(self, action: NDArray[np.floating]) -> Step:
        """Step with actions (n, u) as the policy's distribution has them."""
        return self.step_raw(self.action(action))

    def step_raw(self, action: NDArray[np.floating]) -> Step:
        """Step with actions (n, u) in the environment's own range."""
        obs, reward, cost, terminated, truncated, info = self.env.step(self._as_given(action))  # type: ignore[misc]
        self.cost_seen = self.cost_seen or "cost" in info or "cost" in info.get("final_info", {})
        ended = terminated | truncated
        rows, final_obs = self._rows(obs, info, ended)
        costs = np.stack([_term(info, name, ended) for name in self.cost_names], axis=1) if self.cost_names else _NONE
        return Step(rows, reward, cost, terminated, truncated, final_obs, costs, reward[:, None])

    def _rows(self, obs: Any, info: dict[str, Any], ended: Bools) -> tuple[Rows, Rows | None]:
        """Rows after the step, and those of the episodes' last observations where some ended."""
        rows = self.obs.flatten(obs)
        last = self._last(info, rows, ended) if ended.any() else None
        if self._history is None:
            return rows, last
        if last is None:
            return self._history.push(rows), None
        final = self._history.push(np.where(ended[:, None], last, rows))
        return self._history.start(rows[ended], ended), final

    def _last(self, info: dict[str, Any], rows: Rows, ended: Bools) -> Rows:
        """Last observations `(n, f)` of the episodes that ended; other rows are 0."""
        final, given = np.zeros_like(rows), info["final_obs"]
        if isinstance(given, Mapping):
            final[ended] = self.obs.flatten(given)[ended]
            return final
        for i in np.flatnonzero(ended):
            final[i] = self.obs.frame(given[i])[0]
        return final

    def _as_given(self, action: NDArray[np.floating]) -> NDArray[Any]:
        """Return actions (n, u) in the form and type of the action space."""
        space = self.env.single_action_space
        if self._clip and not self.action.sizes:
            action = np.clip(action, self.action.low, self.action.high)
        return action.astype(space.dtype).reshape(len(action), *space.shape)  # type: ignore[misc]

    def get_state(self) -> dict | None:
        """The exact state of all simulations as plain data, or None when the environment cannot tell."""
        state = self._state()
        if state is not None and self._history is not None:
            return {**state, "history": self._history.window.copy()}
        return state

    def _state(self) -> dict | None:
        base: Any = self.env.unwrapped
        if hasattr(base, "get_state"):
            return base.get_state()
        envs = getattr(base, "envs", ())
        if not envs or not all(hasattr(e.unwrapped, "get_state") for e in envs):
            return None
        return {"envs": [{"env": e.unwrapped.get_state(), "elapsed": _elapsed(e)} for e in envs]}

    def set_state(self, state: dict) -> None:
        """Restore what `get_state` returned."""
        if self._history is not None:
            state = dict(state)
            self._history.window = np.array(state.pop("history"))
        self._restore(state)

    def _restore(self, state: dict) -> None:
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
    known = [*known_ids(), *safety_gym.multi_agent_ids()]
    if name in known or name in gymnasium.registry or safety_gym.multi_agent.is_multi_agent(name):
        return
    raise UserError(did_you_mean(env_id, [*known, *gymnasium.registry], "environment id"))


@dataclass(frozen=True)
class ActionMap:
    """How the policy's actions become the environment's.

    Boxes: affinely from [-1, 1]. Discrete spaces: whole numbers from `low` on; `sizes` holds how many of each.
    """

    low: Floats
    high: Floats
    sizes: tuple[int, ...] = ()

    @classmethod
    def of(cls, env_id: str, space: gymnasium.Space) -> ActionMap:
        """Describe a space; Box with one dimension, Discrete and MultiDiscrete (one dimension) are supported."""
        if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
            return cls(space.low.astype(np.float64), space.high.astype(np.float64))
        if isinstance(space, gymnasium.spaces.Discrete):
            low, sizes = np.array([space.start], np.float64), [int(space.n)]
        elif isinstance(space, gymnasium.spaces.MultiDiscrete) and len(space.shape) == 1:
            low, sizes = space.start.astype(np.float64), [int(n) for n in space.nvec]
        else:
            raise UserError(
                f"{env_id} has the action space {space}; safepo trains on one-dimensional Box, Discrete and "
                "one-dimensional MultiDiscrete spaces"
            )
        return cls(low, low + np.array(sizes) - 1, tuple(sizes))

    @classmethod
    def from_dict(cls, plain: dict[str, Any]) -> ActionMap:
        """Rebuild from `to_dict`."""
        return cls(np.asarray(plain["low"]), np.asarray(plain["high"]), tuple(plain["sizes"]))

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for a checkpoint."""
        return {"low": self.low, "high": self.high, "sizes": list(self.sizes)}

    def distribution(self) -> Distribution:
        """Return the policy's family of distributions."""
        return Categorical(self.sizes) if self.sizes else Gaussian(len(self.low))

    def __call__(self, action: NDArray[np.floating]) -> Floats:
        """Map the policy's actions (..., u) to the environment's."""
        if self.sizes:
            return self.low + action
        middle, half = action_map(self.low, self.high)
        return middle + half * action

    def random(self, rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
        """Draw uniform actions (*shape, u) in the policy's terms."""
        if self.sizes:
            return np.floor(rng.random((*shape, len(self.sizes))) * np.array(self.sizes))
        return rng.uniform(-1, 1, (*shape, len(self.low)))


def action_map(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Middle and half width (u,) of the affine map from [-1, 1]; unbounded dimensions pass unchanged."""
    bounded = np.isfinite(low) & np.isfinite(high)
    middle = np.where(bounded, (np.where(bounded, low, 0) + np.where(bounded, high, 0)) / 2, 0.0)
    half = np.where(bounded, (np.where(bounded, high, 0) - np.where(bounded, low, 0)) / 2, 1.0)
    return middle, half


def _make(env_id: str, num_envs: int, num_threads: int, view: View) -> Any:
    check_id(env_id)
    try:
        if is_ours(env_id):
            options = camera_options(view.image_size) | entry_options(view.keys)
            return safety_gym.make_vec(env_id, num_envs=num_envs, num_threads=num_threads or None, **options)
        return CostStepVector(_make_foreign(env_id, num_envs))
    except (ValueError, ImportError, gymnasium.error.Error) as error:
        raise UserError(f"environment {env_id} cannot be made: {error}") from error


def camera_options(image_size: int) -> dict[str, Any]:
    """Options of the suite's environments for camera images with sides of so many pixels; 0: their own."""
    return {"vision": {"width": image_size, "height": image_size}} if image_size else {}


def entry_options(keys: tuple[str, ...]) -> dict[str, Any]:
    """Options of the suite's environments for a view of such entries: a dict if they are named, perhaps positions."""
    options = {} if keys in (View.keys, ("",)) else {"observation_flatten": False}
    wanted = any(key.endswith("_positions") or key.startswith("robot_") for key in keys)
    return options | ({"observe_positions": True} if wanted else {})


def _make_foreign(env_id: str, num_envs: int) -> gymnasium.vector.VectorEnv:
    """Make the environment's own vector form if it resets within the step, else a `SyncVectorEnv`."""
    if gymnasium.registry[env_id.rpartition(":")[2]].vector_entry_point is not None:
        env = gymnasium.make_vec(env_id, num_envs, vectorization_mode="vector_entry_point")
        if env.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP:
            return env
        env.close()
    same_step = {"autoreset_mode": AutoresetMode.SAME_STEP}
    return gymnasium.make_vec(env_id, num_envs, vectorization_mode="sync", vector_kwargs=same_step)


def _term(info: dict[str, Any], name: str, ended: Bools) -> Floats:
    """A per-simulation entry (n,) of a step's info; where an episode ended, that of its last transition."""
    value = np.array(info[name], dtype=np.float64) if name in info else np.zeros(len(ended))
    final = info.get("final_info", {})
    if name in final:
        value[ended] = np.asarray(final[name], dtype=np.float64)[ended]
    return value


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
