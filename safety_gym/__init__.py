"""Safe reinforcement learning environments on MuJoCo: fast, vectorised, with costs.

    import gymnasium, safety_gym                                    # importing registers every id

    env = gymnasium.make("SafetyPointGoal1-v0")                     # five values, cost in info["cost"]
    env = safety_gym.make("SafetyPointGoal1-v0")                    # six values: obs, reward, cost, terminated, ...
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=64)  # native vector form, six values

Stepping never touches OpenGL; only rendering does.
"""

from __future__ import annotations

import importlib.metadata as _metadata
from typing import Any

import gymnasium as _gymnasium

from safety_gym import engine as _engine

_engine.import_mujoco()  # before the modules that need it

from safety_gym import registry, wrappers  # noqa: E402
from safety_gym.layout import LayoutError  # noqa: E402
from safety_gym.registry import ids, register_task  # noqa: E402

try:
    __version__ = _metadata.version("safe-rl-suite")
except _metadata.PackageNotFoundError:  # a checkout on the path without an installation
    __version__ = "0.0.0"

__all__ = ["LayoutError", "ids", "make", "make_vec", "register_task", "registry", "wrappers"]


def make(id: str, **kwargs: Any) -> wrappers.CostStep:
    """Make one environment with the cost-augmented step.

    `step` returns `obs, reward, cost, terminated, truncated, info`. Arguments are those of `gymnasium.make` and of
    `SafetyEnv`; raises ValueError for an unknown id or option and NotImplementedError for ids not built yet.
    """
    registry.resolve(id, {})
    return wrappers.CostStep(_gymnasium.make(id, **kwargs))


def make_vec(id: str, num_envs: int = 1, **kwargs: Any) -> wrappers.CostStepVector:
    """Make `num_envs` simulations of an id with the cost-augmented step; arguments of `SafetyVectorEnv`."""
    registry.resolve(id, {})
    return wrappers.CostStepVector(_gymnasium.make_vec(id, num_envs=num_envs, **kwargs))


registry.register_all()
