"""Learning curves: return left, cost right with its limit, mean and standard-error band over seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from safepo.errors import UserError
from safepo.logger import read_rows

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """Runs of one configuration: rows are seeds, columns epochs."""

    label: str
    steps: Floats
    """(t,) environment steps"""
    values: dict[str, Floats]
    """key -> (seeds, t)"""


def plot(runs: Sequence[str | Path], output: str | Path) -> Path:
    """Draw the runs' curves into an image file (format by suffix); runs that differ only in the seed are averaged."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    output = Path(output)
    curves, limits, envs = read_curves([Path(run) for run in runs])
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), constrained_layout=True)
    for axis, key, title in zip(axes, ("ep/return", "ep/cost"), ("episode return", "episode cost"), strict=True):
        for curve in curves:
            mean, error = mean_and_error(curve.values[key])
            (line,) = axis.plot(curve.steps, mean, label=curve.label)
            axis.fill_between(curve.steps, mean - error, mean + error, color=line.get_color(), alpha=0.2, linewidth=0)
        axis.set_xlabel("environment steps")
        axis.set_ylabel(title)
        axis.grid(alpha=0.3)
    for limit in sorted(limits):
        axes[1].axhline(limit, color="black", linestyle="--", linewidth=1, label=f"limit {limit:g}")
    axes[1].legend(fontsize="small")
    figure.suptitle(", ".join(sorted(envs)))
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(output, dpi=150)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot write plot {str(output)!r}: {error}") from None
    finally:
        pyplot.close(figure)
    return output


def mean_and_error(values: Floats) -> tuple[Floats, Floats]:
    """Mean and standard error over seeds `(seeds, t)`; a single seed has error 0."""
    n = len(values)
    error = values.std(axis=0, ddof=1) / n**0.5 if n > 1 else np.zeros(values.shape[1])
    return values.mean(axis=0), error


def read_curves(runs: list[Path]) -> tuple[list[Curve], set[float], set[str]]:
    """Group runs by configuration; also the cost limits and environments that occur."""
    groups: dict[str, list[tuple[dict[str, Any], list[dict[str, str]]]]] = {}
    for run in runs:
        config, rows = read_run(run)
        groups.setdefault(f"{run.resolve().parent.name}/{run.resolve().name.rpartition('-seed')[0]}", []).append(
            (config, rows)
        )
    configs = [config for members in groups.values() for config, _ in members]
    envs = {config["run"]["env_id"] for config in configs}
    names = [members[0][0]["algorithm"] for members in groups.values()]
    curves = []
    for key, members in groups.items():
        config, rows = members[0]
        length = min(len(rows) for _, rows in members)
        name = config["algorithm"]
        label = f"{key.rpartition('/')[2]}" if names.count(name) > 1 and len(envs) == 1 else name
        label = f"{label} ({config['run']['env_id']})" if len(envs) > 1 else label
        curves.append(
            Curve(
                label=f"{label}, {len(members)} seed{'s' if len(members) > 1 else ''}",
                steps=np.array([float(row["step"]) for row in rows[:length]]),
                values={
                    column: np.array([[float(row[column]) for row in rows[:length]] for _, rows in members])
                    for column in ("ep/return", "ep/cost")
                },
            )
        )
    limits = {config["run"]["cost_limit"] for config in configs}
    return curves, {limit for limit in limits if not isinstance(limit, str)}, envs


def read_run(run: Path) -> tuple[dict[str, Any], list[dict[str, str]]]:
    """Configuration and metric rows of a run directory."""
    try:
        config = json.loads((run / "config.json").read_text())
        rows = read_rows(run / "metrics.csv")
    except (OSError, json.JSONDecodeError):
        raise UserError(f"{str(run)!r} is not a run directory with metrics (config.json and metrics.csv)") from None
    if not rows:
        raise UserError(f"run {str(run)!r} has no finished epoch yet")
    return config, rows
