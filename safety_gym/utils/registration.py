"""`make` and `register` with the reference suite's arguments.

    from safety_gym.utils.registration import make, register

    register(id="Corridor-v0", entry_point=Corridor, kwargs={"limit": 0.25}, max_episode_steps=100)
    make("Corridor-v0")                       # six values
    gymnasium.make("CorridorGymnasium-v0")    # five, cost in info["cost"]; so does gymnasium.make("Corridor-v0")

`Corridor.step` returns six values. `safe_registry` is the set of ids known at the moment it is read.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator, namespace, pprint_registry, spec

from safety_gym import multi_agent, registry
from safety_gym.wrappers import CostStep, SafeAutoResetWrapper, SafetyGymnasium2Gymnasium

__all__ = ["EnvSpec", "make", "namespace", "pprint_registry", "register", "spec"]

_autoreset: dict[str, bool] = {}
"""Ids given to `register`, and whether they reset by themselves."""


def make(
    id: str | EnvSpec,
    max_episode_steps: int | None = None,
    autoreset: bool | None = None,
    apply_api_compatibility: bool | None = None,
    disable_env_checker: bool | None = None,
    **kwargs: Any,
) -> Any:
    """Make one environment with the cost-augmented step.

    `step` returns `obs, reward, cost, terminated, truncated, info`. Arguments are those of `gymnasium.make` and of
    `SafetyEnv`; further ones keep code for the reference suite running. Of a multi-agent id it makes
    `multi_agent.cost_parallel_env`, whose six values are dicts by agent.

    Args:
        id: an id of the suite or of `register`, or the `spec` of an environment; wrappers of a spec are left out.
        max_episode_steps: instead of the id's own; -1: no limit.
        autoreset: reset within the step that ends an episode; see `SafeAutoResetWrapper`.
        apply_api_compatibility: not offered; Gymnasium has dropped it.
        disable_env_checker: leave Gymnasium's passive checker out.
        kwargs: `render_mode`, `width`, `height`, `camera_name` and the options of the id.

    Raises:
        ValueError: an unknown id or option.
        NotImplementedError: an id that is not built yet.
    """
    name = id.id if isinstance(id, EnvSpec) else id
    if multi_agent.is_multi_agent(name):
        return multi_agent.cost_parallel_env(name, max_episode_steps=max_episode_steps, **kwargs)
    if not isinstance(name, str) or name not in _autoreset:
        registry.resolve(name, {})
    if apply_api_compatibility:
        raise ValueError("apply_api_compatibility=True: environments of the old API are not taken; return five values")
    if kwargs.pop("camera_id", None) is not None:
        raise ValueError("camera_id: name the camera instead, e.g. camera_name='fixedfar'")
    if isinstance(id, EnvSpec):
        id = dataclasses.replace(id, additional_wrappers=())
    env = CostStep(
        gymnasium.make(id, max_episode_steps=max_episode_steps, disable_env_checker=disable_env_checker, **kwargs)
    )
    if autoreset is None:
        autoreset = _autoreset.get(name, False)
    return SafeAutoResetWrapper(env) if autoreset else env


def register(
    id: str,
    entry_point: Callable[..., Any] | str,
    *,
    autoreset: bool = False,
    apply_api_compatibility: bool = False,
    kwargs: Mapping[str, Any] | None = None,
    **options: Any,
) -> None:
    """Register an environment whose `step` returns six values, and its twin `...Gymnasium-vN` with five.

    Levels and objects of the suite need no class: see `safety_gym.register_task`.

    Args:
        id: a new name, such as `Corridor-v0`.
        entry_point: a callable that makes the environment, or `module:name` of one. `safety_gymnasium.builder:Builder`
            is understood as `safety_gym.builder:Builder`.
        autoreset: what `make` takes where its own `autoreset` is None.
        apply_api_compatibility: not offered.
        kwargs: arguments of `entry_point`.
        options: further arguments of `gymnasium.register`: `max_episode_steps`, `reward_threshold`, ...

    Raises:
        ValueError: the name belongs to the suite, or an argument is not offered.
    """
    if id not in _autoreset and id in gymnasium.registry:
        raise ValueError(f"id={id!r}: this id exists already; choose another name")
    if apply_api_compatibility:
        raise ValueError("apply_api_compatibility=True: environments of the old API are not taken; return five values")
    if isinstance(entry_point, str) and entry_point.startswith("safety_gymnasium."):
        entry_point = "safety_gym." + entry_point.removeprefix("safety_gymnasium.")
    name, dash, version = id.rpartition("-v")
    for registered in (id, f"{name}Gymnasium{dash}{version}" if dash else f"{id}Gymnasium"):
        gymnasium.register(
            registered, functools.partial(_five_values, entry_point), kwargs=dict(kwargs or {}), **options
        )
    _autoreset[id] = autoreset


def _five_values(entry_point: Callable[..., Any] | str, **kwargs: Any) -> Any:
    create: Callable[..., Any] = load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    return SafetyGymnasium2Gymnasium(create(**kwargs))


def __getattr__(name: str) -> Any:
    if name == "safe_registry":
        return {*registry.ids(), *_autoreset}
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
