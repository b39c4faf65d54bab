"""Baseline files: curves of a matrix as JSON, one line each, with where they are from.

    {"provenance": [{"date", "commit", "versions", "hardware", "seconds"}, ...],
     "curves": [{"env_id", "algorithm", "metric", "config", "provenance", "steps", "seeds", "values"}, ...]}

`config` is the hash of the settings, `provenance` an index into the list; `values` has a row per seed.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.regression.rule import METRICS, Curve, Key
from benchmarks.store import Store, now
from safepo.errors import UserError

DIGITS = 6
"""Significant digits of stored values; fresh ones are rounded alike before they are compared."""


@dataclass
class Baselines:
    """Curves by key, the hash of the settings behind each, and records of provenance."""

    curves: dict[Key, Curve] = field(default_factory=dict)
    configs: dict[Key, str] = field(default_factory=dict)
    sources: dict[Key, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Baselines:
        """Read a file; an absent one has no curves."""
        if not path.exists():
            return cls()
        try:
            plain = json.loads(path.read_text())
        except json.JSONDecodeError as error:
            raise UserError(f"baselines {str(path)!r} are not valid JSON ({error})") from None
        found = cls()
        for row in plain["curves"]:
            key = (row["env_id"], row["algorithm"], row["metric"])
            found.curves[key] = Curve(tuple(row["steps"]), tuple(row["seeds"]), np.array(row["values"], float))
            found.configs[key] = row["config"]
            found.sources[key] = plain["provenance"][row["provenance"]]
        return found

    @classmethod
    def of(cls, store: Store, runs: Sequence[str]) -> Baselines:
        """Curves of the finished runs of a store."""
        frame = store.runs()
        frame = frame[frame["run"].isin(runs) & (frame["status"] == "finished")]
        curves = store.curves(METRICS.values())
        curves = curves[curves["run"].isin(frame["run"])]
        found, source = cls(), provenance(frame)
        for (env_id, algorithm), rows in frame.groupby(["env_id", "algorithm"], sort=False):
            hashes = {store.config(run).hash() for run in rows["run"]}
            if len(hashes) > 1:
                raise UserError(f"{algorithm} on {env_id} has {len(hashes)} settings; a matrix has one for each")
            mine = curves[curves["run"].isin(rows["run"])]
            for metric, name in METRICS.items():
                table = mine[mine["metric"] == name].pivot(index="seed", columns="step", values="value")
                key = (str(env_id), str(algorithm), metric)
                seeds, steps = (tuple(int(i) for i in index) for index in (table.index, table.columns))
                found.curves[key] = Curve(steps, seeds, rounded(table.to_numpy(float)))
                found.configs[key], found.sources[key] = next(iter(hashes)), source
        return found

    def update(self, other: Baselines) -> None:
        """Take over what another has; the rest stays."""
        self.curves |= other.curves
        self.configs |= other.configs
        self.sources |= other.sources

    def save(self, path: Path) -> None:
        """Write the file, sorted by key."""
        sources: list[dict[str, Any]] = []
        rows = []
        for key in sorted(self.curves):
            curve, source = self.curves[key], self.sources[key]
            if source not in sources:
                sources.append(source)
            rows.append(
                {
                    **dict(zip(("env_id", "algorithm", "metric"), key, strict=True)),
                    "config": self.configs[key],
                    "provenance": sources.index(source),
                    "steps": curve.steps,
                    "seeds": curve.seeds,
                    "values": [[None if np.isnan(v) else v for v in row] for row in curve.values.tolist()],
                }
            )
        lines = (",\n".join(json.dumps(row) for row in part) for part in (sources, rows))
        path.write_text('{{"provenance": [\n{}\n],\n"curves": [\n{}\n]}}\n'.format(*lines))


def provenance(runs: pd.DataFrame) -> dict[str, Any]:
    """Where runs are from: date, commits, versions, hardware, seconds of training."""
    return {
        "date": now()[:10],
        "commit": ", ".join(sorted({c for c in runs["commit"] if c})),
        "versions": merged(runs["versions"]),
        "hardware": merged(runs["hardware"]),
        "runs": len(runs),
        "seconds": round(float(runs["seconds"].sum())),
    }


def merged(records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One record of several; values that differ become a list."""
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for record in records for name in record):
        values = list(dict.fromkeys(record.get(name) for record in records))
        found[name] = values[0] if len(values) == 1 else values
    return found


def rounded(values: np.ndarray) -> np.ndarray:
    """Values with `DIGITS` significant digits, as the file has them."""
    return np.vectorize(lambda v: float(f"{v:.{DIGITS}g}"), otypes=[float])(values)
