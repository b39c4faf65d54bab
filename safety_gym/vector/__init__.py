"""Vector environments with the reference suite's arguments, six values and its form of `info`.

    envs = safety_gym.vector.make("SafetyPointGoal1-v0", num_envs=8)
    obs, reward, cost, terminated, truncated, info = envs.step(actions)

Episodes that end are reset within the step. `info["final_observation"]` and `info["final_info"]` are then object arrays
(n,) that hold the last observation and info of each ended episode, else None; `_final_observation` and `_final_info`
are masks (n,). New code is better off with `safety_gym.make_vec`, which has the same step without these copies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

from safety_gym.utils.registration import make as _make
from safety_gym.wrappers import CostStepVector, SafetyGymnasium2Gymnasium

__all__ = ["SafetyAsyncVectorEnv", "SafetySyncVectorEnv", "SafetyVectorFace", "VectorEnv", "make"]


class SafetyVectorFace(CostStepVector):
    """Six values and the reference suite's `info` around a vector environment with same-step autoreset."""

    def step(self, actions: Any) -> Any:
        *values, info = super().step(actions)
        if "final_obs" in info:
            over = info["_final_obs"]
            info = {
                **info,
                "final_observation": _at(over, lambda i: _row(info["final_obs"][i])),
                "_final_observation": over.copy(),
                "final_info": _at(over, lambda i: _one_info(info["final_info"], i)),
            }
        return *values, info

    def render(self) -> Any:
        """Return one picture with the frames of all environments side by side in rows."""
        frames = super().render()
        if frames is None:
            return None
        stack = np.pad(np.asarray(frames), ((0, 0), (5, 5), (5, 5), *((0, 0),) * (np.ndim(frames[0]) - 2)))
        rows = int(np.ceil(np.sqrt(len(stack))))
        columns = int(np.ceil(len(stack) / rows))
        blank = np.zeros((rows * columns - len(stack), *stack.shape[1:]), stack.dtype)
        stack = np.concatenate((stack, blank)).reshape(rows, columns, *stack.shape[1:])
        return np.concatenate(np.concatenate(stack, axis=1), axis=1)


class SafetySyncVectorEnv(SafetyVectorFace):
    """Several six-value environments, stepped one after the other in this process."""

    def __init__(
        self,
        env_fns: Iterable[Callable[[], Any]],
        observation_space: Any = None,
        action_space: Any = None,
        **kwargs: Any,
    ) -> None:
        _refuse_spaces(observation_space, action_space)
        super().__init__(SyncVectorEnv(_five_values(env_fns), autoreset_mode=AutoresetMode.SAME_STEP, **kwargs))


class SafetyAsyncVectorEnv(SafetyVectorFace):
    """Several six-value environments, one process each. `make` is many times faster for environments of the suite."""

    def __init__(
        self,
        env_fns: Iterable[Callable[[], Any]],
        observation_space: Any = None,
        action_space: Any = None,
        **kwargs: Any,
    ) -> None:
        _refuse_spaces(observation_space, action_space)
        super().__init__(AsyncVectorEnv(_five_values(env_fns), autoreset_mode=AutoresetMode.SAME_STEP, **kwargs))


def make(
    env_id: str,
    num_envs: int = 1,
    asynchronous: bool = True,
    wrappers: Callable[[Any], Any] | Sequence[Callable[[Any], Any]] | None = None,
    disable_env_checker: bool | None = None,
    **kwargs: Any,
) -> SafetyVectorFace:
    """Make `num_envs` simulations of an id.

    Args:
        env_id: an id of the suite or of `safety_gym.register`.
        num_envs: number of simulations.
        asynchronous: ids of the suite are stepped together on threads, whatever this says. Environments with
            `wrappers`, and those of `register`, run one process each if true, else one after the other.
        wrappers: wraps each environment by itself, on the six-value step; a callable or several.
        disable_env_checker: where there are single environments: leave Gymnasium's passive checker out.
        kwargs: arguments of `safety_gym.make`; `autoreset` is always on.
    """
    kwargs.pop("autoreset", None)
    functions = [wrappers] if callable(wrappers) else list(wrappers or ())

    def create() -> Any:
        env: Any = _make(env_id, disable_env_checker=disable_env_checker, **kwargs)
        for wrapper in functions:
            env = wrapper(env)
        return env

    if functions or gymnasium.spec(env_id).vector_entry_point is None:
        return (SafetyAsyncVectorEnv if asynchronous else SafetySyncVectorEnv)([create] * num_envs)
    return SafetyVectorFace(gymnasium.make_vec(env_id, num_envs=num_envs, **kwargs))


def _five_values(env_fns: Iterable[Callable[[], Any]]) -> list[Callable[[], Any]]:
    return [lambda create=create: SafetyGymnasium2Gymnasium(create()) for create in env_fns]  # type: ignore[misc]


def _refuse_spaces(observation_space: Any, action_space: Any) -> None:
    if observation_space is not None or action_space is not None:
        raise ValueError("observation_space, action_space: they are taken from the environments; leave them out")


def _at(mask: Any, value: Callable[[int], Any]) -> Any:
    """Return an object array (n,) with `value(i)` where `mask (n,)`, else None."""
    out = np.full(len(mask), None, dtype=object)
    for i in np.flatnonzero(mask).tolist():
        out[i] = value(i)
    return out


def _row(obs: Any) -> Any:
    return obs.copy() if isinstance(obs, np.ndarray) else obs


def _one_info(info: dict[str, Any], i: int) -> dict[str, Any]:
    """Return the entries of a batched info that environment `i` has."""
    found = {}
    for key, value in info.items():
        if not key.startswith("_") and info[f"_{key}"][i]:
            found[key] = _one_info(value, i) if isinstance(value, dict) else value[i]
    return {key: value.item() if isinstance(value, np.generic) else value for key, value in found.items()}
