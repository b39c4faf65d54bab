"""Safe reinforcement learning environments on MuJoCo: fast, vectorised, with costs.

    import gymnasium, safety_gym                                    # importing registers every id

    env = gymnasium.make("SafetyPointGoal1-v0")                     # five values, cost in info["cost"]
    env = safety_gym.make("SafetyPointGoal1-v0")                    # six values: obs, reward, cost, terminated, ...
    envs = safety_gym.make_vec("SafetyPointGoal1-v0", num_envs=64)  # native vector form, six values
    env = safety_gym.parallel_env("SafetyPointMultiGoal1-v0")       # several agents: a PettingZoo ParallelEnv

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

from safety_gym import multi_agent, registry, vector, wrappers  # noqa: E402
from safety_gym.layout import LayoutError  # noqa: E402
from safety_gym.multi_agent import aec_env, make_ma, multi_agent_ids, parallel_env  # noqa: E402
from safety_gym.registry import ids, register_task  # noqa: E402
from safety_gym.utils.registration import make, register  # noqa: E402

try:
    __version__ = _metadata.version("safe-rl-suite")
except _metadata.PackageNotFoundError:  # a checkout on the path without an installation
    __version__ = "0.0.0"

__all__ = [
    "LayoutError",
    "aec_env",
    "gymnasium_make",
    "gymnasium_register",
    "ids",
    "make",
    "make_ma",
    "make_vec",
    "multi_agent",
    "multi_agent_ids",
    "parallel_env",
    "register",
    "register_task",
    "registry",
    "vector",
    "wrappers",
]


def make_vec(id: str, num_envs: int = 1, **kwargs: Any) -> Any:
    """Make `num_envs` simulations of an id with the cost-augmented step of six values; arguments of `BatchEnv`.

    Returns a Gymnasium vector environment (`CostStepVector`); for the ids of `multi_agent_ids()` a
    `multi_agent.vector.MultiAgentVectorEnv`, whose rewards and costs are (n, agents).
    """
    if multi_agent.is_multi_agent(id):
        return multi_agent.make_vec(id, num_envs, **kwargs)
    registry.resolve(id, {})
    return wrappers.CostStepVector(_gymnasium.make_vec(id, num_envs=num_envs, **kwargs))


registry.register_all()
