"""The picture of a failed comparison: the curves that left their bands, with band, baseline and fresh seeds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.regression.rule import Curve, Curves, Key, Verdict, band, floors_of
from benchmarks.report.pictures import DPI, STYLE

MOST = 12
"""Panels; the curves that differ most come first."""
COLUMNS = 3
BASELINE, FRESH = "#525252", "#d62728"


def draw(keys: Sequence[Key], baselines: Curves, fresh: Curves, verdicts: Sequence[Verdict], path: Path) -> None:
    """Write a PNG with a panel for each of the curves `keys`, up to `MOST`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    shown, ntests, floors = list(keys)[:MOST], sum(v.p.size for v in verdicts), floors_of(baselines)
    columns = min(COLUMNS, len(shown))
    rows = math.ceil(len(shown) / columns)
    with matplotlib.rc_context(STYLE):
        figure, axes = pyplot.subplots(
            rows, columns, figsize=(4.2 * columns, 3 * rows + 0.4), layout="constrained", squeeze=False
        )
        for axis, key in zip(axes.flat, shown, strict=False):
            bounds = band(baselines[key], fresh[key], floors[key[0], key[2]], ntests)
            _panel(axis, key, baselines[key], fresh[key], bounds)
        for axis in axes.flat[len(shown) :]:
            axis.set_visible(False)
        handles, labels = axes.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, frameon=False)
        figure.savefig(path, dpi=DPI)
        pyplot.close(figure)


def _panel(axis: Any, key: Key, baseline: Curve, fresh: Curve, bounds: Any) -> None:
    from matplotlib.ticker import EngFormatter

    env_id, algorithm, metric = key
    for name, colour, curve in (("baseline", BASELINE, baseline), ("now", FRESH, fresh)):
        axis.plot(curve.steps, curve.values.T, color=colour, linewidth=0.6, alpha=0.4)
        label = f"{name}: mean and {len(curve.seeds)} seeds"
        axis.plot(curve.steps, curve.values.mean(axis=0), color=colour, linewidth=2, label=label)
    axis.fill_between(baseline.steps, *bounds, color=BASELINE, alpha=0.15, linewidth=0, label="band of the mean")
    axis.set_title(f"{algorithm}, {env_id}", fontsize=9)
    axis.set_ylabel(metric)
    axis.set_xlabel("environment steps")
    axis.xaxis.set_major_formatter(EngFormatter(sep=""))
