"""Safe reinforcement learning environments on MuJoCo: fast, vectorised, with costs.

    import gymnasium, safety_gym                                    # importing registers every id

    env = gymnasium.make("SafetyPointGoal1-v0")                     # five values, cost in info["cost"]
    env = safety_gym.make("SafetyPointGoal1-v0")                    # six values: obs, reward, cost, terminated, ...
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=64)  # native vector form, six values

Code written for the reference suite runs with `import safety_gym as safety_gymnasium`; see `docs/migration.md`.
Stepping never touches OpenGL; only rendering does.
"""

from __future__ import annotations

import importlib.metadata as _metadata
from typing import Any

import gymnasium as _gymnasium

from safety_gym import engine as _engine

_engine.import_mujoco()  # before the modules that need it

from gymnasium import make as gymnasium_make  # noqa: E402
from gymnasium import register as gymnasium_register  # noqa: E402

from safety_gym import registry, vector, wrappers  # noqa: E402
from safety_gym.layout import LayoutError  # noqa: E402
from safety_gym.registry import ids, register_task  # noqa: E402
from safety_gym.utils.registration import make, register  # noqa: E402

try:
    __version__ = _metadata.version("safe-rl-suite")
except _metadata.PackageNotFoundError:  # a checkout on the path without an installation
    __version__ = "0.0.0"

__all__ = [
    "LayoutError",
    "gymnasium_make",
    "gymnasium_register",
    "ids",
    "make",
    "make_vec",
    "register",
    "register_task",
    "registry",
    "vector",
    "wrappers",
]


def make_vec(id: str, num_envs: int = 1, **kwargs: Any) -> wrappers.CostStepVector:
    """Make `num_envs` simulations of an id with the cost-augmented step; arguments of `SafetyVectorEnv`."""
    registry.resolve(id, {})
    return wrappers.CostStepVector(_gymnasium.make_vec(id, num_envs=num_envs, **kwargs))


registry.register_all()
