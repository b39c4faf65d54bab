"""The page's figures as plotly data: plain dictionaries that page.js draws.

Every trace carries `meta = {"method", "kind"}`; the page's filters show and hide traces by these. Kinds: `mean`,
`band`, `seed` (one thin line per seed), `published`, `limit`. One colour per algorithm everywhere; algorithms that
ignore the cost are dashed and have open markers.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report.results import ACTIVE, Aggregate, Results, constrained, published, single_limit
from benchmarks.report.statistics import MIN_SEEDS, Estimate
from safepo.algorithms import ALL_ALGORITHMS

COLOURS = {
    "pg": "#8c6d31",
    "natural_pg": "#b5a36a",
    "trpo": "#525252",
    "ppo": "#969696",
    "ppo_lag": "#1f77b4",
    "trpo_lag": "#17becf",
    "rcpo": "#2ca02c",
    "cpo": "#d62728",
    "pcpo": "#ff7f0e",
    "cup": "#9467bd",
    "focops": "#e377c2",
    "cppo_pid": "#0b3d91",
    "safe_dreamer/dreamer": "#a65628",
    "safe_dreamer/bsrp_lag": "#d62728",
    "safe_dreamer/osrp": "#2ca02c",
    "safe_dreamer/osrp_lag": "#9467bd",
}
"""Browns and greys ignore the cost."""
MORE_COLOURS = ("#bcbd22", "#7f2a00", "#00695c", "#ad1457", "#4527a0", "#827717")
LIMIT_COLOUR = "#111111"
_LIMIT_LINE = {"color": LIMIT_COLOUR, "width": 1.5, "dash": "6px,4px"}
_LABEL = {"showarrow": False, "xanchor": "left", "font": {"color": LIMIT_COLOUR, "size": 12}}
MAX_POINTS, ALL_POINTS = 250, 120_000
"""Of one curve, and of all curves of a page; longer ones are thinned evenly, the last point is kept."""


@dataclass(frozen=True)
class Look:
    """How a method is drawn everywhere."""

    colour: str
    dash: str
    symbol: str
    constrained: bool


@dataclass
class Figure:
    """One plotly figure; `title` is shown above it by the page."""

    name: str
    title: str
    data: list[dict[str, Any]] = field(default_factory=list)
    layout: dict[str, Any] = field(default_factory=dict)


def looks(results: Results) -> dict[str, Look]:
    """By method. Configurations of one algorithm share its colour and differ in dash and marker."""
    found: dict[str, Look] = {}
    seen: dict[str, int] = {}
    for method, kind in results.runs.sort_values("order", kind="stable")[["method", "kind"]].drop_duplicates().values:
        number = seen[kind] = seen.get(kind, -1) + 1
        aware = constrained(kind)
        dashes = ("solid", "dot", "longdashdot") if aware else ("dash", "dashdot", "longdash")
        symbols = ("circle", "square", "diamond") if aware else ("circle-open", "square-open", "diamond-open")
        found[method] = Look(_colour(kind), dashes[number % 3], symbols[number % 3], aware)
    return found


def task_figures(results: Results, task: str, number: int, styles: dict[str, Look]) -> list[Figure]:
    """Return curve, cost curve and the return-cost scatter of one task."""
    curves = results.curves[results.curves["task"] == task]
    runs = results.runs[results.runs["task"] == task]
    env_id, cost_limit = runs.iloc[0][["env_id", "cost_limit"]]
    limit = single_limit(cost_limit)
    pair = [
        _curve_figure(f"task{number}-{value}", f"Episode {value}", value, curves, styles, points(results))
        for value in ("return", "cost")
    ]
    figures = published()["results"].get(env_id, {}) if limit == published()["cost_limit"] else {}
    end = float(curves["step"].max()) if len(curves) else 1.0
    for method, algorithm in runs[["method", "algorithm"]].drop_duplicates().values:
        if algorithm in figures:
            for figure, value in zip(pair, figures[algorithm][::2], strict=True):
                figure.data.append(_published_line(method, styles[method], value, end))
    if limit is not None:
        pair[1].data.append(_limit_trace(limit, end))
        pair[1].layout["annotations"] = [
            {"text": f"limit<br>{limit:g}", "x": 1, "xref": "paper", "xshift": 4, "y": limit, "align": "left", **_LABEL}
        ]
    for figure in pair:
        figure.layout["xaxis"]["range"] = [0, end]
    pair[1].layout["yaxis"]["rangemode"] = "tozero"
    return [*pair, _scatter_figure(f"task{number}-scatter", results.finals, task, styles, limit, figures)]


def aggregate_figures(found: Aggregate, styles: dict[str, Look]) -> list[Figure]:
    """Interquartile means of return and cost, then the profiles of both."""
    shown = {method: look for method, look in styles.items() if method in found.methods}
    return [
        _interval_figure("iqm-return", "Return score, interquartile mean", found.means["score"], shown, "reference"),
        _interval_figure("iqm-cost", "Cost / limit, interquartile mean", found.means["cost_ratio"], shown, "limit"),
        _profile_figure("profile-return", "Profile of the return", found, "score", shown),
        _profile_figure("profile-cost", "Profile of the cost", found, "cost_ratio", shown),
    ]


def speed_figure(results: Results, styles: dict[str, Look]) -> Figure:
    """Training steps per second of finished runs, a marker per task and method."""
    figure = Figure("speed", "Training speed")
    for method, look in styles.items():
        rows = results.summary[results.summary["method"] == method]
        if len(rows):
            figure.data.append(
                {
                    "type": "scatter",
                    "mode": "markers",
                    "x": numbers(rows["steps_per_s_mean"]),
                    "y": [method] * len(rows),
                    "text": list(rows["task"]),
                    "hovertemplate": "%{text}<br>%{x:,.0f} steps/s<extra>" + method + "</extra>",
                    "marker": {"color": look.colour, "symbol": look.symbol, "size": 10, "line": _edge(look)},
                    "meta": {"method": method, "kind": "mean"},
                }
            )
    figure.layout = {
        "xaxis": {"title": "environment steps per second", "rangemode": "tozero"},
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "height": 90 + 26 * max(len(figure.data), 3),
        "hovermode": "closest",
    }
    return figure


def mean_curve(rows: pd.DataFrame, value: str) -> pd.DataFrame:
    """Columns step, mean, error (standard error over seeds, NaN for one) at the steps that all seeds have logged."""
    table = rows.pivot_table(index="step", columns="run", values=value, aggfunc="last", dropna=False)
    table = table.loc[: table.apply(lambda column: column.last_valid_index()).min()] if len(table) else table
    n = table.count(axis=1)
    return pd.DataFrame(
        {
            "step": table.index,
            "mean": table.mean(axis=1).to_numpy(),
            "error": (table.std(axis=1, ddof=1) / n**0.5).to_numpy(),
        }
    )


def numbers(values: Any, digits: int = 5) -> list[float | int | None]:
    """For JSON: rounded to significant digits, None where not finite."""
    return [_round(float(x), digits) if math.isfinite(float(x)) else None for x in values]


def _round(value: float, digits: int) -> float | int:
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded.is_integer() and abs(rounded) < 1e15 else rounded


def _colour(kind: str) -> str:
    if kind in COLOURS:
        return COLOURS[kind]
    place = list(ALL_ALGORITHMS).index(kind) if kind in ALL_ALGORITHMS else sum(kind.encode())
    return MORE_COLOURS[place % len(MORE_COLOURS)]


def _edge(look: Look) -> dict[str, Any]:
    """Outline of a marker: thick where it is open."""
    return {"width": 0 if look.constrained else 2.5, "color": look.colour}


def translucent(colour: str, alpha: float) -> str:
    """A hexadecimal colour with an opacity."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"


def thin(rows: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` rows at even distances, the last one among them."""
    stride = -(-len(rows) // most) or 1
    return rows.iloc[(len(rows) - 1) % stride :: stride]


def across(steps: Any) -> dict[str, Any]:
    """The x of a trace: evenly spaced steps by their start and distance, which is shorter."""
    gaps = set(np.diff(steps))
    return {"x0": int(steps.iloc[0]), "dx": int(gaps.pop())} if len(gaps) == 1 else {"x": numbers(steps, 12)}


def points(results: Results) -> int:
    """Points of a curve so that a page of many stays small: a mean and a band of two edges beside each seed's curve."""
    curves = results.curves[["task", "method", "run"]].drop_duplicates()
    drawn = 2 * (len(curves) + 3 * len(curves[["task", "method"]].drop_duplicates()))
    return max(30, min(MAX_POINTS, ALL_POINTS // max(drawn, 1)))


def _curve_figure(
    name: str, title: str, value: str, curves: pd.DataFrame, styles: dict[str, Look], most: int
) -> Figure:
    figure = Figure(name, title)
    for method, rows in curves.groupby("method", sort=False):
        look, seeds = styles[method], rows["run"].nunique()
        unfinished = "" if (rows["status"] == ACTIVE).all() else ", unfinished"
        label = f"{method} ({seeds} seed{'s' if seeds > 1 else ''}{unfinished})"
        for _, one in rows.groupby("run", sort=False):
            one = thin(one, most)
            figure.data.append(
                {
                    "type": "scatter",
                    "mode": "lines",
                    **across(one["step"]),
                    "y": numbers(one[value]),
                    "line": {"color": translucent(look.colour, 0.55), "width": 1, "dash": look.dash},
                    "hoverinfo": "skip",
                    "meta": {"method": method, "kind": "seed"},
                }
            )
        mean = thin(mean_curve(rows, value), most)
        if seeds > 1:
            known = mean[mean["error"].notna()]
            low, high = known["mean"] - known["error"], known["mean"] + known["error"]
            figure.data.append(_band(numbers(known["step"], 12), numbers(low), numbers(high), method, look))
        figure.data.append(
            {
                "type": "scatter",
                "mode": "lines" if len(mean) > 1 else "markers",
                **across(mean["step"]),
                "y": numbers(mean["mean"]),
                "customdata": numbers(mean["error"]),
                "name": label,
                "hovertemplate": "%{y:.4~g} ± %{customdata:.2~g}" if seeds > 1 else "%{y:.4~g}",
                "line": {"color": look.colour, "width": 2, "dash": look.dash},
                "marker": {"color": look.colour, "symbol": look.symbol},
                "meta": {"method": method, "kind": "mean"},
            }
        )
    figure.layout = {
        "xaxis": {"title": "environment steps", "exponentformat": "SI", "rangemode": "tozero"},
        "yaxis": {"title": f"episode {value}"},
        "hovermode": "closest",
    }
    return figure


def _band(x: list[Any], low: list[Any], high: list[Any], method: str, look: Look) -> dict[str, Any]:
    """The area between two curves."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": x + x[::-1],
        "y": low + high[::-1],
        "fill": "toself",
        "fillcolor": translucent(look.colour, 0.15),
        "line": {"width": 0},
        "hoverinfo": "skip",
        "meta": {"method": method, "kind": "band"},
    }


def _published_line(method: str, look: Look, value: float, end: float) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [0, end],
        "y": [value, value],
        "name": f"{method}, published, {published()['steps']:,} steps",
        "hovertemplate": "%{y:.4~g}",
        "line": {"color": look.colour, "width": 1, "dash": "dot"},
        "meta": {"method": method, "kind": "published"},
    }


def _limit_trace(limit: float, end: float) -> dict[str, Any]:
    """A trace, not a shape: the range of the axis includes it."""
    return {
        "type": "scatter",
        "mode": "lines",
        "x": [0, end],
        "y": [limit, limit],
        "line": _LIMIT_LINE,
        "hoverinfo": "skip",
        "name": f"cost limit {limit:g}",
        "meta": {"kind": "limit"},
    }


def _scatter_figure(
    name: str,
    finals: pd.DataFrame,
    task: str,
    styles: dict[str, Look],
    limit: float | None,
    figures: dict[str, list[float]],
) -> Figure:
    """Final return against final cost: a marker per method at the mean over seeds, small ones for seeds."""
    figure = Figure(name, "Return against cost, end of training")
    rows = finals[(finals["task"] == task) & (finals["status"] == ACTIVE)]
    for (method, algorithm), members in rows.groupby(["method", "algorithm"], sort=False):
        look = styles[method]
        common = {"type": "scatter", "mode": "markers", "name": method}
        if len(members) > 1:
            figure.data.append(
                {
                    **common,
                    "x": numbers(members["cost"]),
                    "y": numbers(members["return"]),
                    "text": [f"seed {seed}" for seed in members["seed"]],
                    "hovertemplate": "%{text}: cost %{x:.4~g}, return %{y:.4~g}",
                    "marker": {"color": translucent(look.colour, 0.45), "symbol": look.symbol, "size": 6},
                    "meta": {"method": method, "kind": "seed-point"},
                }
            )
        figure.data.append(
            {
                **common,
                "x": numbers([members["cost"].mean()]),
                "y": numbers([members["return"].mean()]),
                "hovertemplate": f"mean of {len(members)}: cost %{{x:.4~g}}, return %{{y:.4~g}}",
                "marker": {"color": look.colour, "symbol": look.symbol, "size": 13, "line": _edge(look)},
                "meta": {"method": method, "kind": "mean"},
            }
        )
        if algorithm in figures:
            returned, _, cost, _ = figures[algorithm]
            figure.data.append(
                {
                    **common,
                    "x": [cost],
                    "y": [returned],
                    "hovertemplate": f"published, {published()['steps']:,} steps: cost %{{x:.4~g}}, return %{{y:.4~g}}",
                    "marker": {
                        "color": look.colour,
                        "symbol": "x-thin",
                        "size": 9,
                        "line": {"width": 2, "color": look.colour},
                    },
                    "meta": {"method": method, "kind": "published"},
                }
            )
    figure.layout = {
        "xaxis": {"title": "episode cost", "rangemode": "tozero"},
        "yaxis": {"title": "episode return"},
        "hovermode": "closest",
    }
    if limit is not None:
        _vertical(figure, limit, f"limit {limit:g}")
    if not figure.data:
        figure.layout |= {"xaxis": {"visible": False}, "yaxis": {"visible": False}, "shapes": []}
        figure.layout["annotations"] = [{"text": "no finished run", "x": 0.5, "y": 0.5, **_LABEL, "xanchor": "center"}]
    return figure


def _vertical(figure: Figure, x: float, text: str) -> None:
    """A labelled vertical line over the whole height."""
    figure.layout["shapes"] = [
        {"type": "line", "x0": x, "x1": x, "y0": 0, "y1": 1, "yref": "paper", "line": _LIMIT_LINE}
    ]
    figure.layout["annotations"] = [{"text": text, "x": x, "y": 1, "yref": "paper", "yanchor": "bottom", **_LABEL}]


def _interval_figure(
    name: str, title: str, estimates: dict[str, Estimate], styles: dict[str, Look], mark: str
) -> Figure:
    figure = Figure(name, title)
    for method, look in styles.items():
        estimate = estimates[method]
        known = math.isfinite(estimate.low)
        figure.data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "x": numbers([estimate.value]),
                "y": [method],
                "name": method,
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": numbers([estimate.high - estimate.value]) if known else [],
                    "arrayminus": numbers([estimate.value - estimate.low]) if known else [],
                    "color": look.colour,
                    "thickness": 2.5,
                    "width": 5,
                },
                "hovertemplate": "%{x:.3~g}"
                + (f" [{estimate.low:.3g}, {estimate.high:.3g}]" if known else ", no interval"),
                "marker": {"color": look.colour, "symbol": look.symbol, "size": 11, "line": _edge(look)},
                "meta": {"method": method, "kind": "mean"},
            }
        )
    figure.layout = {
        "yaxis": {"autorange": "reversed", "automargin": True, "type": "category"},
        "xaxis": {"title": title.partition(",")[0].lower(), "rangemode": "tozero"},
        "height": 110 + 26 * max(len(styles), 3),
        "hovermode": "closest",
    }
    _vertical(figure, 1.0, mark)
    return figure


def _profile_figure(name: str, title: str, found: Aggregate, column: str, styles: dict[str, Look]) -> Figure:
    """Share of runs above each threshold, with bootstrap bands."""
    figure = Figure(name, title)
    x = numbers(found.taus[column], 4)
    for method, look in styles.items():
        value, low, high = found.profiles[column][method]
        if found.seeds >= MIN_SEEDS:
            lower, upper = (numbers(np.repeat(bound, 2)[:-1]) for bound in (low, high))  # steps, as the curve itself
            figure.data.append(_band(numbers(np.repeat(found.taus[column], 2)[1:], 4), lower, upper, method, look))
        figure.data.append(
            {
                "type": "scatter",
                "mode": "lines",
                "x": x,
                "y": numbers(value),
                "name": method,
                "hovertemplate": "%{y:.0%}",
                "line": {"color": look.colour, "width": 2, "dash": look.dash, "shape": "hv"},
                "meta": {"method": method, "kind": "mean"},
            }
        )
    figure.layout = {
        "xaxis": {"title": "return score τ" if column == "score" else "cost / limit τ"},
        "yaxis": {"title": "share of runs above τ", "range": [-0.02, 1.04], "tickformat": ".0%"},
        "hovermode": "closest",
    }
    _vertical(figure, 1.0, "reference" if column == "score" else "limit")
    return figure
