"""Trained policies that are kept in the repository, with the scores that `safepo eval` must reproduce.

    python -m benchmarks freeze runs/bench-quick benchmarks/checkpoints       # after `make benchmark`
    safepo eval benchmarks/checkpoints/SafetyPointGoal1-v0/ppo_lag-seed0.pt   # what scores.json says

A file holds what acting needs: networks, normaliser, configuration; training cannot go on from it. On the processor and
with the versions that `scores.json` names, an evaluation gives the stored numbers exactly. Elsewhere rounding makes
trajectories part, and the mean of as many new episodes lies within the stored 99 % interval: of the four means of a
policy (return and cost, deterministic and stochastic) two are outside once in 1,700 times.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from benchmarks.store import Store
from benchmarks.worker import hardware
from safepo import checkpoint
from safepo.errors import UserError
from safepo.evaluation import DEFAULT_EPISODES, evaluate_run, write_json
from safepo.trainer import versions

FOLDER = Path(__file__).parent / "checkpoints"
SCORES = "scores.json"
MEASURES = ("return", "cost")
CONFIDENCE = 0.99


def freeze(store: Store, folder: Path) -> list[dict[str, Any]]:
    """Write the policies of a store's finished runs and their scores into `folder`; returns the scores."""
    runs = store.runs()
    runs = runs[runs["status"] == "finished"]
    if runs.empty:
        raise UserError(f"{store.path} has no finished run")
    scores: list[dict[str, Any]] = []
    for run in runs.itertuples():
        path = folder / run.env_id / f"{run.algorithm}-seed{run.seed}.pt"
        if any(score["file"] == path.relative_to(folder).as_posix() for score in scores):
            raise UserError(f"{store.path} has several runs of {run.algorithm} on {run.env_id} with seed {run.seed}")
        checkpoint.save(path, slim(checkpoint.load(checkpoint.latest(Path(run.folder)))))
        scores.append({"file": path.relative_to(folder).as_posix(), "command": run.command, **score(path)})
    write_json(folder / SCORES, {"machine": machine(), "scores": scores})
    return scores


def slim(state: dict[str, Any]) -> dict[str, Any]:
    """The part of a checkpoint that a policy is made from."""
    kept = {name: state[name] for name in ("config", "env", "epoch", "step")}
    return {
        **kept,
        "algorithm": {"net": state["algorithm"]["net"]},
        "collector": {"normalizer": state["collector"]["normalizer"]},
    }


def score(path: Path, episodes: int = DEFAULT_EPISODES) -> dict[str, Any]:
    """Evaluate a checkpoint as `safepo eval` does by default; means, intervals and the number of episodes."""
    torch.set_num_threads(1)  # as there: the sums of several threads round differently
    result = evaluate_run(path, episodes)
    return {
        "episodes": result["deterministic"]["episodes"],
        **{
            mode: {name: interval(result[mode][name], result[mode]["episodes"]) for name in MEASURES}
            for mode in ("deterministic", "stochastic")
        },
    }


def interval(summary: dict[str, Any], episodes: int) -> dict[str, float]:
    """Mean, and the 99 % prediction interval (low, high) for the mean of as many new episodes.

    Both means vary, hence the factor sqrt(2); Student's t, since the spread is estimated.
    """
    from scipy.stats import t

    half = float(t.ppf((1 + CONFIDENCE) / 2, episodes - 1)) * summary["stderr"] * 2**0.5
    return {"mean": summary["mean"], "low": summary["mean"] - half, "high": summary["mean"] + half}


def machine() -> dict[str, str]:
    """What the numbers may depend on; libraries choose their arithmetic by the processor's instruction sets."""
    found = versions("cpu")
    try:
        flags = next(
            line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("flags")
        ).split()
    except (OSError, StopIteration):
        flags = []
    vector = sorted(flag for flag in flags if flag.startswith(("sse", "avx", "fma")))
    instructions = hashlib.sha256(" ".join(vector).encode()).hexdigest()[:8]
    known = {name: found[name] for name in ("torch", "numpy", "mujoco")}
    return {"cpu": hardware()["cpu"], "instructions": instructions, **known}


def load_scores(folder: Path = FOLDER) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """The machine and the scores that `freeze` wrote."""
    plain = json.loads((folder / SCORES).read_text())
    return plain["machine"], plain["scores"]


def differences(stored: dict[str, Any], found: dict[str, Any], exact: bool) -> list[str]:
    """Where scores do not agree with the stored ones: equal if `exact`, else within the interval."""
    wrong = []
    for mode in ("deterministic", "stochastic"):
        for name in MEASURES:
            old, new = stored[mode][name], found[mode][name]["mean"]
            if new != old["mean"] if exact else not old["low"] <= new <= old["high"]:
                expected = f"{old['mean']!r}" if exact else f"{old['low']:.3g} to {old['high']:.3g}"
                wrong.append(f"{stored['file']}: {mode} {name} is {new!r}, expected {expected}")
    return wrong
