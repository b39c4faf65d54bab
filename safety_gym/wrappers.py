"""Wrappers: the six-value step, what changes it, and ways to use unconstrained libraries on environments with a cost.

* `CostStep`, `CostStepVector`: five values with `info["cost"]` to six; a step without a cost costs 0.
* `Safe...`, `SafetyGymnasium2Gymnasium`, `Gymnasium2SafetyGymnasium`, `with_gymnasium_wrappers`: the reference suite's
  wrappers, on the six-value step. Called with a vector environment, those that make sense there return their vector
  form (`SafeRescaleActionVector`, ...).
* `CostInReward`, `CostTerminates`, `RecordEpisodeCost`, `RecordEpisodeCostVector`: on the five-value step.

They work on any Gymnasium environment.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box
from gymnasium.vector import VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from gymnasium.wrappers.utils import RunningMeanStd, rescale_box


class PassThrough:
    """Mixin: public attributes of the wrapped environments can be read through the wrapper, as before Gymnasium 1.0.

    Code written for the reference suite reads `env.task`, `env.obs_rms` and the like through several wrappers.
    """

    env: Any
    six_values: ClassVar[bool] = True
    """What `step` returns."""

    def __getattr__(self, name: str) -> Any:
        inner = vars(self).get("env")
        if name.startswith("_") or inner is None:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        while isinstance(inner, gymnasium.Wrapper | VectorWrapper) and not _has(inner, name):
            inner = inner.env
        return getattr(inner, name)

    def set_wrapper_attr(self, name: str, value: Any, *, force: bool = True) -> bool:
        """Set an attribute where it is defined: what can be read through this wrapper is not its own."""
        if not _has(self, name) and self.env.set_wrapper_attr(name, value, force=False):
            return True
        return bool(super().set_wrapper_attr(name, value, force=force))  # type: ignore[misc]


def _has(env: Any, name: str) -> bool:
    return name in vars(env) or hasattr(type(env), name)


class CostStep(PassThrough, gymnasium.Wrapper[Any, Any, Any, Any]):
    """Return six values from `step`: obs, reward, cost, terminated, truncated, info.

    Gymnasium's own wrappers unpack five values: put them inside, or around with `with_gymnasium_wrappers`.
    """

    @property
    def cost_names(self) -> tuple[str, ...]:
        """The cost entries of `info` in a fixed order, without `cost_sum`."""
        return tuple(getattr(self.env.unwrapped, "cost_names", ()))

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        return obs, reward, float(info.get("cost", 0.0)), terminated, truncated, info


class CostStepVector(PassThrough, VectorWrapper):
    """Return six values from a vector environment's `step`; cost is (n,) float64."""

    is_vector_env: ClassVar[bool] = True

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


# --- between five and six values --------------------------------------------------------------------------------------


class OrVector:
    """Mixin: a wrapper that returns its `vector_form` when it is called with a vector environment."""

    vector_form: ClassVar[type[VectorWrapper]]

    def __new__(cls, env: Any = None, *args: Any, **kwargs: Any) -> Any:
        return cls.vector_form(env, *args, **kwargs) if isinstance(env, VectorEnv) else super().__new__(cls)


class SafetyGymnasium2GymnasiumVector(PassThrough, VectorWrapper):
    """Return five values from a six-value vector environment, the cost (n,) in `info["cost"]`."""

    six_values = False

    def step(self, actions: Any) -> Any:
        obs, reward, cost, terminated, truncated, info = _six(self.env.step(actions))
        return obs, reward, terminated, truncated, {**info, "cost": cost, "_cost": np.ones(self.num_envs, bool)}


class SafetyGymnasium2Gymnasium(OrVector, PassThrough, gymnasium.Wrapper[Any, Any, Any, Any]):
    """Return five values from a six-value environment, the cost in `info["cost"]`."""

    vector_form = SafetyGymnasium2GymnasiumVector
    six_values = False

    def step(self, action: Any) -> Any:
        obs, reward, cost, terminated, truncated, info = _six(self.env.step(action))
        return obs, reward, terminated, truncated, {**info, "cost": cost}


class Gymnasium2SafetyGymnasium(OrVector, PassThrough, gymnasium.Wrapper[Any, Any, Any, Any]):
    """Return six values from an environment that reports `info["cost"]`; ValueError where it does not.

    `CostStep` counts a step without it as 0, as the vector form does.
    """

    vector_form = CostStepVector

    def step(self, action: Any) -> Any:
        obs, reward, terminated, truncated, info = self.env.step(action)
        if "cost" not in info:
            raise ValueError(f"info has no 'cost', only {sorted(info)}; CostStep takes such a step as cost 0")
        return obs, reward, info["cost"], terminated, truncated, info


def with_gymnasium_wrappers(env: Any, *wrappers: Callable[[Any], Any]) -> Any:
    """Return a six-value environment with Gymnasium's wrappers around it, the first one innermost.

    with_gymnasium_wrappers(safety_gym.make(id), functools.partial(RescaleAction, min_action=-1.0, max_action=1.0))
    """
    for wrapper in (SafetyGymnasium2Gymnasium, *wrappers, Gymnasium2SafetyGymnasium):
        if not callable(wrapper):
            raise TypeError(f"wrapper {wrapper!r}: expected a wrapper class or functools.partial of one")
        env = wrapper(env)
    return env


def make_gymnasium_environment(env_id: str, *args: Any, **kwargs: Any) -> Any:
    """Make an environment by the id of its Gymnasium twin (`...Gymnasium-v0`), with five values.

    For entry points written for the reference suite; `safety_gym.register` registers the twin itself.
    """
    from safety_gym.utils.registration import make

    name, dash, version = env_id.rpartition("-v")
    if not name.endswith("Gymnasium"):
        raise ValueError(f"env_id={env_id!r}: expected an id that ends in 'Gymnasium-v0' or another version")
    return SafetyGymnasium2Gymnasium(make(f"{name.removesuffix('Gymnasium')}{dash}{version}", *args, **kwargs))


def _six(values: Any) -> Any:
    if len(values) != 6:
        raise ValueError(f"env.step returned {len(values)} values; this wrapper needs six, as safety_gym.make gives")
    return values


# --- the reference suite's wrappers -----------------------------------------------------------------------------------


class SafeAutoResetWrapper(PassThrough, gymnasium.Wrapper[Any, Any, Any, Any]):
    """Reset within the step that ends an episode.

    That step returns the first observation of the new episode with the reward, cost and ends of the old one; `info` is
    the reset's, with the old episode's last observation and info as `final_observation` and `final_info`.
    """

    def step(self, action: Any) -> Any:
        obs, reward, cost, terminated, truncated, info = _six(self.env.step(action))
        if terminated or truncated:
            new_obs, new_info = self.env.reset()
            obs, info = new_obs, {**new_info, "final_observation": obs, "final_info": info}
        return obs, reward, cost, terminated, truncated, info


class SafeTimeLimit(CostStep):
    """Truncate episodes after `max_episode_steps` steps."""

    def __init__(self, env: Any, max_episode_steps: int) -> None:
        super().__init__(gymnasium.wrappers.TimeLimit(SafetyGymnasium2Gymnasium(env), max_episode_steps))


class SafePassiveEnvChecker(CostStep):
    """Check spaces and the first reset, step and picture, as `gymnasium.make` does unless told not to."""

    def __init__(self, env: Any) -> None:
        super().__init__(gymnasium.wrappers.PassiveEnvChecker(SafetyGymnasium2Gymnasium(env)))


class SafeRescaleActionVector(PassThrough, VectorWrapper):
    """Vector form of `SafeRescaleAction`; bounds are numbers or (u,)."""

    def __init__(self, env: Any, min_action: Any, max_action: Any) -> None:
        super().__init__(env)
        space, self._to_env = _rescaled(env.single_action_space, min_action, max_action)
        self.single_action_space, self.action_space = space, batch_space(space, env.num_envs)

    def step(self, actions: Any) -> Any:
        return self.env.step(self._to_env(np.asarray(actions)))


class SafeRescaleAction(OrVector, PassThrough, gymnasium.Wrapper[Any, Any, Any, Any]):
    """Map actions affinely from [min_action, max_action] to the environment's action space, without clipping."""

    vector_form = SafeRescaleActionVector

    def __init__(self, env: Any, min_action: Any, max_action: Any) -> None:
        super().__init__(env)
        self.action_space, self._to_env = _rescaled(env.action_space, min_action, max_action)

    def step(self, action: Any) -> Any:
        return self.env.step(self._to_env(np.asarray(action)))


def _rescaled(space: Any, low: Any, high: Any) -> tuple[Box, Callable[[Any], Any]]:
    """Return the space of rescaled actions and the map from it to `space`."""
    bounds = (np.broadcast_to(np.asarray(bound, np.float64), space.shape).copy() for bound in (low, high))
    rescaled, _, to_env = rescale_box(space, *bounds)
    return rescaled, to_env


class NormalizesObservation:
    """Mixin: observations minus their running mean, over their running deviation; float64.

    Last observations of ended episodes (`final_observation`, `final_obs`) are normalised with the same statistics
    without counting for them; `info["original_final_observation"]` and the like keep them as they were.
    """

    env: Any

    def __init__(self, env: Any, epsilon: float = 1e-8) -> None:
        super().__init__(env)  # type: ignore[call-arg]
        self.is_batched = isinstance(env, VectorEnv)
        space = env.single_observation_space if self.is_batched else env.observation_space
        if not isinstance(space, Box):
            raise ValueError(f"observation space {space}: only a Box can be normalised (observation_flatten=True)")
        if epsilon <= 0:
            raise ValueError(f"epsilon={epsilon!r}: expected a number > 0")
        wrapper: Any = self
        wrapper.observation_space = box = Box(-np.inf, np.inf, space.shape, np.float64)
        if self.is_batched:
            wrapper.single_observation_space, wrapper.observation_space = box, batch_space(box, env.num_envs)
        self.obs_rms = RunningMeanStd(shape=space.shape)
        self.epsilon = epsilon
        self.update_running_mean = True

    def reset(self, **kwargs: Any) -> Any:
        obs, info = self.env.reset(**kwargs)
        return self.normalize(obs), info

    def step(self, action: Any) -> Any:
        obs, *values, info = _six(self.env.step(action))
        obs = self.normalize(obs)
        finals = {key: info[key] for key in ("final_observation", "final_obs") if key in info}
        info = {**info, **{f"original_{key}": final for key, final in finals.items()}}
        info.update({key: self._scale_each(final) for key, final in finals.items()})
        return obs, *values, info

    def normalize(self, obs: Any) -> Any:
        """Count observations for the statistics, unless `update_running_mean` is false, and return them normalised."""
        if self.update_running_mean:
            self.obs_rms.update(obs if self.is_batched else np.asarray(obs)[None])
        return self._scale(obs)

    def _scale(self, obs: Any) -> Any:
        return (obs - self.obs_rms.mean) / np.sqrt(self.obs_rms.var + self.epsilon)

    def _scale_each(self, final: Any) -> Any:
        if final.dtype != object:
            return self._scale(final)
        scaled = np.full(len(final), None, dtype=object)
        for i, obs in enumerate(final):
            scaled[i] = None if obs is None else self._scale(obs)
        return scaled


class SafeNormalizeObservationVector(NormalizesObservation, PassThrough, VectorWrapper):
    """Vector form of `SafeNormalizeObservation`: one set of statistics for all environments."""


class SafeNormalizeObservation(OrVector, NormalizesObservation, PassThrough, gymnasium.Wrapper[Any, Any, Any, Any]):
    """Normalise observations by their running mean and variance (`obs_rms`)."""

    vector_form = SafeNormalizeObservationVector


class NormalizesReturn:
    """Mixin: one of the six values over the running deviation of its discounted sum, which ends with `terminated`."""

    env: Any
    place: ClassVar[int]

    def __init__(self, env: Any, gamma: float = 0.99, epsilon: float = 1e-8) -> None:
        super().__init__(env)  # type: ignore[call-arg]
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma={gamma!r}: expected a number from 0 to 1")
        if epsilon <= 0:
            raise ValueError(f"epsilon={epsilon!r}: expected a number > 0")
        self.gamma, self.epsilon = gamma, epsilon
        self.returns = np.zeros(env.num_envs if isinstance(env, VectorEnv) else 1)
        self.return_rms = RunningMeanStd(shape=())
        self.update_running_mean = True

    def step(self, action: Any) -> Any:
        values = list(_six(self.env.step(action)))
        self.returns = self.returns * self.gamma * (1 - values[3]) + values[self.place]
        if self.update_running_mean:
            self.return_rms.update(self.returns)
        values[self.place] = values[self.place] / np.sqrt(self.return_rms.var + self.epsilon)
        return tuple(values)


class SafeNormalizeRewardVector(NormalizesReturn, PassThrough, VectorWrapper):
    """Vector form of `SafeNormalizeReward`."""

    place = 1


class SafeNormalizeReward(OrVector, NormalizesReturn, PassThrough, gymnasium.Wrapper[Any, Any, Any, Any]):
    """Divide rewards by the running deviation of the discounted return (`return_rms`)."""

    vector_form = SafeNormalizeRewardVector
    place = 1


class SafeNormalizeCostVector(NormalizesReturn, PassThrough, VectorWrapper):
    """Vector form of `SafeNormalizeCost`."""

    place = 2


class SafeNormalizeCost(OrVector, NormalizesReturn, PassThrough, gymnasium.Wrapper[Any, Any, Any, Any]):
    """Divide costs by the running deviation of the discounted sum of costs (`return_rms`)."""

    vector_form = SafeNormalizeCostVector
    place = 2


class SafeUnsqueeze(PassThrough, gymnasium.Wrapper[Any, Any, Any, Any]):
    """Put an axis of length 1 before everything, arrays in `info` included, so that one environment looks like many."""

    def __init__(self, env: Any) -> None:
        if isinstance(env, VectorEnv):
            raise TypeError("env: a vector environment has that axis already; SafeUnsqueeze takes a single environment")
        super().__init__(env)

    def reset(self, **kwargs: Any) -> Any:
        obs, info = self.env.reset(**kwargs)
        return np.expand_dims(obs, 0), self._expand(info)

    def step(self, action: Any) -> Any:
        *values, info = _six(self.env.step(action))
        return *(np.expand_dims(value, 0) for value in values), self._expand(info)

    @staticmethod
    def _expand(info: dict[str, Any]) -> dict[str, Any]:
        return {k: np.expand_dims(v, 0) if isinstance(v, np.ndarray) else v for k, v in info.items()}


# --- for libraries without constraints --------------------------------------------------------------------------------


def _refuse_six_values(env: Any) -> None:
    if isinstance(env, PassThrough) and env.six_values:
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
