"""Multi-agent environments: several robots in one arena, and walkers whose joints are divided among agents.

    env = safety_gym.parallel_env("SafetyPointMultiGoal1-v0")               # a PettingZoo ParallelEnv
    obs, infos = env.reset(seed=0)
    obs, rewards, terminations, truncations, infos = env.step({a: env.action_space(a).sample() for a in env.agents})
    infos["agent_0"]["cost"]

    envs = safety_gym.make_vec("Safety2x4AntVelocity-v0", num_envs=64)      # the native vector form, six values
    obs, reward, cost, terminated, truncated, info = envs.step(actions)     # obs: dict of (64, o); cost: (64, 2)

Ids are listed by `safety_gym.multi_agent_ids()`. They are no Gymnasium environments: `gymnasium.make` refuses them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from safety_gym.multi_agent.ids import MultiAgentId, is_multi_agent, multi_agent_ids, parse

if TYPE_CHECKING:
    from safety_gym.multi_agent.parallel import CostParallelEnv, SafetyParallelEnv
    from safety_gym.multi_agent.vector import MultiAgentVectorEnv

__all__ = [
    "MultiAgentId",
    "aec_env",
    "cost_parallel_env",
    "is_multi_agent",
    "make_ma",
    "make_vec",
    "multi_agent_ids",
    "parallel_env",
    "parse",
]


def parallel_env(id: str, **options: Any) -> SafetyParallelEnv:
    """Make a PettingZoo `ParallelEnv`; costs are in `infos[agent]["cost"]`.

    Args:
        id: an id of `multi_agent_ids()`.
        options: `render_mode`, `max_episode_steps`, `width`, `height`, `camera_name` and the options of the task.

    Raises:
        ValueError: an unknown id or option, or a value out of range.
    """
    from safety_gym.multi_agent.parallel import SafetyParallelEnv

    return SafetyParallelEnv(id, **options)


def cost_parallel_env(id: str, **options: Any) -> CostParallelEnv:
    """Make the same with a step of six dicts: obs, rewards, costs, terminations, truncations, infos."""
    from safety_gym.multi_agent.parallel import CostParallelEnv

    return CostParallelEnv(parallel_env(id, **options))


def aec_env(id: str, **options: Any) -> Any:
    """Make the turn-based form by PettingZoo's `parallel_to_aec`; costs are in `env.last()[4]["cost"]`."""
    from pettingzoo.utils import parallel_to_aec

    return parallel_to_aec(parallel_env(id, **options))


def make_vec(id: str, num_envs: int = 1, **options: Any) -> MultiAgentVectorEnv:
    """Make `num_envs` simulations that are stepped together; see `MultiAgentVectorEnv`."""
    from safety_gym.multi_agent.vector import MultiAgentVectorEnv

    return MultiAgentVectorEnv(id, num_envs, **options)


def make_ma(scenario: str, agent_conf: str, agent_obsk: int = 1, **options: Any) -> CostParallelEnv:
    """Make a divided walker with the reference suite's arguments and six values.

    `make_ma("Ant", "2x4d")`; a partition without an id of its own has the threshold of the walker's first.
    """
    from safety_gym.multi_agent.ids import walker_id

    return cost_parallel_env(walker_id(scenario, agent_conf), partition=agent_conf, obsk=agent_obsk, **options)
