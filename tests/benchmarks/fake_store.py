"""A store in memory with the three frames that reports read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

KEYS = ("run", "env_id", "algorithm", "seed", "cost_limit")
STEPS = (1000, 2000, 3000)


@dataclass
class FakeStore:
    """Rows of the frames; `add` makes the rows of one run."""

    run_rows: list[dict[str, Any]] = field(default_factory=list)
    curve_rows: list[dict[str, Any]] = field(default_factory=list)
    evaluation_rows: list[dict[str, Any]] = field(default_factory=list)

    def add(
        self,
        algorithm: str,
        seed: int,
        returns: Sequence[float],
        costs: Sequence[float],
        *,
        env_id: str = "SafetyPointGoal1-v0",
        limit: str = "25.0",
        violating: float = 0.25,
        evaluation: Sequence[tuple[float, float]] = (),
        settings: dict[str, Any] | None = None,
        metrics: dict[str, float] | None = None,
        **changes: Any,
    ) -> None:
        """One run with a value of return and cost per logged step; `evaluation`: (return, cost) of its episodes."""
        settings = settings or {}
        name = "x".join(map(str, settings.values())) or "plain"
        run = f"{env_id}/{algorithm}-{name}{limit}-seed{seed}"
        key = dict(zip(KEYS, (run, env_id, algorithm, seed, limit), strict=True))
        config = {"algorithm": algorithm, "run": {"env_id": env_id, "seed": seed}, "settings": settings}
        row = {
            **key,
            "suites": ("small",),
            "total_steps": STEPS[-1],
            "status": "finished",
            "step": STEPS[len(returns) - 1] if returns else 0,
            "attempts": 1,
            "worker": "machine:1",
            "started": "2026-01-01T00:00:00+00:00",
            "ended": "2026-01-01T00:01:00+00:00",
            "seconds": 60.0,
            "steps_per_s": 50.0,
            "command": f"safepo train {algorithm} --env-id {env_id} --seed {seed}",
            "config": config,
            "versions": {"python": "3.11", "torch": "2.0"},
            "hardware": {"cpu": "some processor"},
            "commit": "abc1234",
            "error": None,
            "folder": "nowhere",
        }
        self.run_rows.append({**row, **changes})
        for step, returned, cost in zip(STEPS, returns, costs, strict=False):
            logged = {"ep/return": returned, "ep/cost": cost, "safety/violating_episodes": violating, **(metrics or {})}
            self.curve_rows += [{**key, "step": step, "metric": k, "value": v} for k, v in logged.items()]
        for mode in ("deterministic", "stochastic"):
            self.evaluation_rows += [
                {**key, "mode": mode, "episode": i, "return": returned, "cost": cost, "length": 1000}
                for i, (returned, cost) in enumerate(evaluation)
            ]

    def runs(self) -> pd.DataFrame:
        return pd.DataFrame(self.run_rows)

    def curves(self, metrics: Sequence[str] | None = None) -> pd.DataFrame:
        frame = pd.DataFrame(self.curve_rows, columns=[*KEYS, "step", "metric", "value"])
        return frame if metrics is None else frame[frame["metric"].isin(metrics)]

    def evaluations(self) -> pd.DataFrame:
        return pd.DataFrame(self.evaluation_rows, columns=[*KEYS, "mode", "episode", "return", "cost", "length"])


def rising(last: float) -> list[float]:
    """A curve over all steps that ends at `last`."""
    return [0.0, last / 2, last]


def add_seeds(algorithm: str, returns: Sequence[float], costs: Sequence[float], store: FakeStore, **more: Any) -> None:
    """Runs of seeds 0, 1, ... with these final values."""
    for seed, (returned, cost) in enumerate(zip(returns, costs, strict=True)):
        store.add(algorithm, seed, rising(returned), rising(cost), **more)
