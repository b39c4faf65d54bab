"""`python -m benchmarks.random_policy ENV_ID...`: return and cost of uniform random actions, the zero of return scores.

Adds environments to `random_policy.json` beside this file, and writes it after each. Measures those that are
there only if told to.
"""

from __future__ import annotations

import json
import os
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import tyro
from tyro.conf import FlagCreatePairsOff, Positional, arg

FILE = Path(__file__).with_suffix(".json")
EPISODES, SEED = 100, 0


def measure(
    env_ids: Annotated[Positional[tuple[str, ...]], arg(metavar="ENV_ID")],
    /,
    again: FlagCreatePairsOff[bool] = False,
    file: Path = FILE,
    episodes: int = EPISODES,
) -> None:
    """Evaluate uniform random actions and keep mean and standard error of return and cost.

    Args:
        env_ids: Environments.
        again: Also those that are in the file.
        file: Where to.
        episodes: Of each environment.
    """
    from safepo.evaluation import evaluate_random

    data: dict[str, Any] = (
        json.loads(file.read_text()) if file.exists() else {"policy": "uniform random actions", "results": {}}
    )
    results = data.pop("results")
    for env_id in env_ids:
        if env_id in results and not again:
            continue
        found = evaluate_random(env_id, episodes, SEED)
        results[env_id] = {
            name: {kind: float(f"{found[name][kind]:.4g}") for kind in ("mean", "stderr")}
            for name in ("return", "cost")
        }
        about = {**data, "episodes": episodes, "seed": SEED, "mujoco": metadata.version("mujoco")}
        write(file, about, results)
        print(env_id, results[env_id], flush=True)


def write(file: Path, about: dict[str, Any], results: dict[str, Any]) -> None:
    """A line per environment, sorted."""
    head = [f"  {json.dumps(key)}: {json.dumps(value)}," for key, value in about.items()]
    rows = [f"    {json.dumps(env_id)}: {json.dumps(results[env_id])}" for env_id in sorted(results)]
    beside = file.with_suffix(".partial")
    beside.write_text("\n".join(["{", *head, '  "results": {', ",\n".join(rows), "  }", "}"]) + "\n")
    os.replace(beside, file)


if __name__ == "__main__":
    tyro.cli(measure, prog="python -m benchmarks.random_policy")
