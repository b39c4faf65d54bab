"""Evaluation: own environments, frozen statistics, a fixed number of episodes per environment."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from safepo import checkpoint
from safepo.envs import VectorEnv
from safepo.observations import Rows
from safepo.policy import RandomPolicy, actor_from_state, check_env, describe
from safepo.rollout import EpisodeSums
from safepo.teams import open_env
from safepo.view import View

DEFAULT_EPISODES = 20
MAX_ENVS = 10


class Actor(Protocol):
    """Anything that maps raw observations `(n, w)`, rows as `ObsMap` has them, to actions `(n, u)` in the environment's
    range.

    `view` is what it must be shown; `begin` tells it where episodes begin, `(n,)`, before it sees their first
    observations. With `single_mode` it acts the same whether `deterministic` or not.
    """

    @property
    def view(self) -> View: ...
    @property
    def single_mode(self) -> bool: ...
    def predict(self, obs: Rows, deterministic: bool = True) -> NDArray[np.float64]: ...
    def seed(self, seed: int) -> None: ...
    def begin(self, first: NDArray[np.bool_]) -> None: ...


def evaluate(
    actor: Actor, env_id: str, episodes: int = DEFAULT_EPISODES, seed: int = 0, deterministic: bool = True
) -> dict[str, Any]:
    """Run at least `episodes` episodes; return mean, std (ddof 1) and standard error of return, cost and length.

    Up to ten environments each run the same number of whole episodes, so short episodes are not over-represented.
    `values` beside them holds one number per episode, in the same order for all three.
    """
    num_envs = min(episodes, MAX_ENVS)
    env = open_env(env_id, num_envs, view=actor.view)
    try:
        actor.seed(seed)
        table = run_episodes(actor, env, -(-episodes // num_envs), seed, deterministic)
    finally:
        env.close()
    names = ["return", "cost", "length", *(f"cost/{name.removeprefix('cost_')}" for name in env.cost_names)]
    return {
        "env_id": env_id,
        "episodes": len(table),
        "seed": seed,
        "deterministic": deterministic,
        **{
            name: summary(table[:, i]) | ({"values": table[:, i].tolist()} if i < 3 else {})
            for i, name in enumerate(names)
        },
    }


def run_episodes(actor: Actor, env: VectorEnv, quota: int, seed: int, deterministic: bool) -> NDArray[np.float64]:
    """`quota` episodes in each environment; rows (num_envs * quota, 3 + sources): return, cost, length, sources."""
    n = env.num_envs
    sums = EpisodeSums(n, env.cost_names)
    rows: list[list[list[float]]] = [[] for _ in range(n)]
    obs = env.reset(seed)
    actor.begin(np.ones(n, bool))
    while any(len(r) < quota for r in rows):
        step = env.step_raw(actor.predict(obs, deterministic))
        ended = sums.add(step)
        if ended:
            actor.begin(step.terminated | step.truncated)
        for i, episode in ended:
            if len(rows[i]) < quota:
                rows[i].append(episode)
        obs = step.obs
    return np.array([episode for r in rows for episode in r])


def summary(x: NDArray[np.float64]) -> dict[str, float]:
    std = float(x.std(ddof=1)) if len(x) > 1 else 0.0
    return {
        "mean": float(x.mean()),
        "std": std,
        "stderr": std / len(x) ** 0.5,
        "min": float(x.min()),
        "max": float(x.max()),
    }


def evaluate_random(
    env_id: str, episodes: int = DEFAULT_EPISODES, seed: int = 0, view: View | None = None
) -> dict[str, Any]:
    """The baseline: uniform random actions. They depend on no observation, but those of `view` are made."""
    probe = open_env(env_id, 1, view=view)
    actor = RandomPolicy(describe(probe))
    probe.close()
    return evaluate(actor, env_id, episodes, seed)


def evaluate_run(
    run: str | Path, episodes: int = DEFAULT_EPISODES, seed: int = 1000, env_id: str | None = None
) -> dict[str, Any]:
    """Evaluate a run's latest checkpoint (or a given one), deterministic and stochastic; writes `eval.json`."""
    path = checkpoint.resolve(run)
    state = checkpoint.load(path)
    policy = actor_from_state(state)
    env_id = env_id or policy.env_id
    probe = open_env(env_id, 1, view=policy.view)
    check_env(policy.env, probe)
    probe.close()
    result = {
        "checkpoint": path.name,
        "step": state["step"],
        "cost_limit": state["config"]["run"]["cost_limit"],
        **both_modes(policy, env_id, episodes, seed),
    }
    if Path(run).is_dir():
        write_json(Path(run) / "eval.json", result)
    return result


def both_modes(policy: Actor, env_id: str, episodes: int, seed: int) -> dict[str, Any]:
    """Deterministic and stochastic evaluation with the same seed; one serves as both of an actor of a single mode."""
    found = evaluate(policy, env_id, episodes, seed, deterministic=True)
    if policy.single_mode:
        return {"deterministic": found, "stochastic": found | {"deterministic": False}}
    return {"deterministic": found, "stochastic": evaluate(policy, env_id, episodes, seed, deterministic=False)}


def write_json(path: Path, data: Any) -> None:
    """Write beside, then rename; lists of numbers stay on one line."""
    beside = path.with_name(path.name + ".partial")
    text = re.sub(r'\[\n([^][{}"]*)\]', lambda m: "[" + " ".join(m[1].split()) + "]", json.dumps(data, indent=2))
    beside.write_text(text + "\n")
    os.replace(beside, path)
