"""The figures for papers: PNG and SVG by matplotlib, of the same numbers and in the same colours as the page."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report.figures import LIMIT_COLOUR, Look, mean_curve
from benchmarks.report.results import ACTIVE, Aggregate, Results, single_limit
from benchmarks.report.statistics import MIN_SEEDS

DPI = 160
LINES = {
    "solid": "-",
    "dot": ":",
    "dash": (0, (5, 2)),
    "dashdot": (0, (5, 2, 1, 2)),
    "longdash": (0, (8, 2)),
    "longdashdot": (0, (8, 2, 1, 2)),
}
MARKERS = {"circle": "o", "square": "s", "diamond": "D"}
STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e6eaf0",
    "axes.axisbelow": True,
    "svg.hashsalt": "report",
    "savefig.facecolor": "white",
}


def write_pictures(results: Results, found: Aggregate | None, styles: dict[str, Look], folder: Path) -> list[Path]:
    """`<environment>_limit_<limit>` with curves and scatter, `interquartile_means`, `profiles`; returns the files."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder.mkdir(parents=True, exist_ok=True)
    written = []
    with matplotlib.rc_context(STYLE):
        drawings: dict[str, Callable[[], Any]] = {
            _file_name(task): partial(_draw_task, pyplot, results, task, styles) for task in results.tasks
        }
        if found:
            drawings["interquartile_means"] = partial(_draw_means, pyplot, found, styles)
            drawings["profiles"] = partial(_draw_profiles, pyplot, found, styles)
        for name, draw in drawings.items():
            figure = draw()
            for suffix in ("png", "svg"):
                written.append(folder / f"{name}.{suffix}")
                metadata = {"Date": None} if suffix == "svg" else {}
                figure.savefig(written[-1], dpi=DPI, metadata=metadata)
            pyplot.close(figure)
    return written


def _file_name(task: str) -> str:
    return "".join(c if c.isalnum() or c in "-." else "_" for c in task).replace("__", "_")


def _draw_task(pyplot: Any, results: Results, task: str, styles: dict[str, Look]) -> Any:
    from matplotlib.ticker import EngFormatter

    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
    curves = results.curves[results.curves["task"] == task]
    finals = results.finals[(results.finals["task"] == task) & (results.finals["status"] == ACTIVE)]
    limit = single_limit(results.runs.loc[results.runs["task"] == task, "cost_limit"].iloc[0])
    for method, rows in curves.groupby("method", sort=False):
        for axis, value in zip(axes[:2], ("return", "cost"), strict=True):
            _draw_curve(axis, mean_curve(rows, value), method, styles[method])
    for method, members in finals.groupby("method", sort=False):
        axes[2].plot(members["cost"].mean(), members["return"].mean(), **_marker(styles[method]))
    for axis, (across, up) in zip(
        axes,
        (
            ("environment steps", "episode return"),
            ("environment steps", "episode cost"),
            ("episode cost", "episode return"),
        ),
        strict=True,
    ):
        axis.set_xlabel(across)
        axis.set_ylabel(up)
    for axis in axes[:2]:
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.set_xlim(left=0)
    if limit is not None:
        axes[1].axhline(limit, color=LIMIT_COLOUR, linestyle=(0, (4, 3)), linewidth=1)
        axes[1].annotate(f" limit\n {limit:g}", (1, limit), xycoords=("axes fraction", "data"), va="center")
        _line(axes[2], limit, f"limit {limit:g}")
    axes[1].set_ylim(bottom=0)
    axes[2].set_xlim(left=0)
    figure.suptitle(task, fontsize=10)
    _legend(figure, [m for m in styles if m in set(curves["method"])], styles)
    return figure


def _draw_curve(axis: Any, curve: Any, method: str, look: Look) -> None:
    axis.plot(curve["step"], curve["mean"], color=look.colour, linestyle=LINES[look.dash], linewidth=1.5)
    if np.isfinite(curve["error"]).any():
        low, high = curve["mean"] - curve["error"], curve["mean"] + curve["error"]
        axis.fill_between(curve["step"], low, high, color=look.colour, alpha=0.15, linewidth=0)


def _draw_means(pyplot: Any, found: Aggregate, styles: dict[str, Look]) -> Any:
    methods = [method for method in styles if method in found.methods]
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 0.9 + 0.24 * len(methods)), layout="constrained", sharey=True)
    for axis, column, name in zip(axes, ("score", "cost_ratio"), ("return score", "cost / limit"), strict=True):
        for y, method in enumerate(methods):
            estimate, look = found.means[column][method], styles[method]
            if math.isfinite(estimate.low):
                axis.plot([estimate.low, estimate.high], [y, y], color=look.colour, linewidth=2)
            axis.plot(estimate.value, y, **_marker(look))
        _line(axis, 1, "reference" if column == "score" else "limit")
        axis.set_xlim(left=min(0, axis.get_xlim()[0]) if column == "score" else 0)
        axis.set_xlabel(f"{name}, interquartile mean")
        axis.set_yticks(range(len(methods)), methods)
    axes[0].invert_yaxis()
    return figure


def _draw_profiles(pyplot: Any, found: Aggregate, styles: dict[str, Look]) -> Any:
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    shown = [method for method in styles if method in found.methods]
    for axis, column, name in zip(axes, ("score", "cost_ratio"), ("return score τ", "cost / limit τ"), strict=True):
        for method in shown:
            look = styles[method]
            value, low, high = found.profiles[column][method]
            line = {"color": look.colour, "linestyle": LINES[look.dash], "linewidth": 1.5}
            axis.plot(found.taus[column], value, drawstyle="steps-post", **line)
            if found.seeds >= MIN_SEEDS:
                axis.fill_between(
                    found.taus[column], low, high, step="post", color=look.colour, alpha=0.12, linewidth=0
                )
        _line(axis, 1, "reference" if column == "score" else "limit")
        axis.set_xlabel(name)
        axis.set_ylabel("share of runs above τ")
        axis.set_ylim(-0.02, 1.04)
    _legend(figure, shown, styles)
    return figure


def _line(axis: Any, x: float, text: str) -> None:
    """A vertical line with its name above it."""
    axis.axvline(x, color=LIMIT_COLOUR, linestyle=(0, (4, 3)), linewidth=1)
    axis.annotate(
        text, (x, 1), xytext=(2, 2), xycoords=("data", "axes fraction"), textcoords="offset points", va="bottom"
    )


def _marker(look: Look) -> dict[str, Any]:
    return {
        "color": look.colour,
        "marker": MARKERS[look.symbol.removesuffix("-open")],
        "markerfacecolor": look.colour if look.constrained else "white",
        "markeredgewidth": 1.8,
        "markersize": 7,
        "linestyle": "none",
    }


def _legend(figure: Any, methods: list[str], styles: dict[str, Look]) -> None:
    """Below the axes; dashed are the methods that ignore the cost."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=styles[m].colour, linestyle=LINES[styles[m].dash], linewidth=1.5) for m in methods]
    longest = max((len(method) for method in methods), default=1)
    figure.legend(
        lines,
        methods,
        loc="outside lower center",
        ncols=max(1, min(len(methods), 120 // (longest + 8))),
        frameon=False,
        fontsize=8,
    )
