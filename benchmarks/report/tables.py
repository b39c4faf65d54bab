"""The report's tables: the leaderboard as data, the same for Markdown, and how numbers are written."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from benchmarks.report.results import STATISTICS, SUMMARISED, Aggregate, Results, published, single_limit
from benchmarks.report.statistics import Estimate

COLUMNS = (
    *("#", "Method", "Steps", "Seeds", "Return", "Cost", "Violating", "Evaluation", "Score", "Cost / limit", "Time"),
    *("Steps/s", "Published"),
)
"""Of the tables in Markdown."""


def leaderboard(results: Results) -> pd.DataFrame:
    """A row per (task, method), best first in each task: statistics over seeds, scores, published figures.

    `return_*` and `cost_*` are of training, `violating_*` is the share of training episodes above the limit;
    `deterministic_*` and `stochastic_*` are of the evaluation; `_low` and `_high` bound the 95 % interval.
    """
    summary = results.summary.sort_values(["env_id", "cost_limit", "rank"], kind="stable")
    identity = [
        "env_id",
        "cost_limit",
        "rank",
        "algorithm",
        "method",
        "constrained",
        "within_limit",
        "total_steps",
        "seeds",
    ]
    columns = [f"{name}_{kind}" for name in SUMMARISED for kind in STATISTICS]
    table = summary[[*identity, *columns]].reset_index(drop=True)
    figures = [published_figures(*row) for row in table[["env_id", "cost_limit", "algorithm"]].itertuples(index=False)]
    for i, name in enumerate(("return", "return_std", "cost", "cost_std")):
        table[f"published_{name}"] = [row[i] if row else math.nan for row in figures]
    table["commit"] = [
        _commits(results, *row) for row in table[["env_id", "cost_limit", "method"]].itertuples(index=False)
    ]
    return table


def leaderboard_json(table: pd.DataFrame, results: Results) -> str:
    """The leaderboard with what its numbers mean; numbers that do not exist are null."""
    rows = json.loads(table.to_json(orient="records", double_precision=10))
    scales = {task: vars(scale) for task, scale in results.scales.items()}
    about = {k: published()[k] for k in ("implementation", "source", "steps", "cost_limit", "seeds")}
    plain = {"columns": (leaderboard.__doc__ or "").split("\n\n")[1].split(), "scores": scales, "published": about}
    plain["columns"] = " ".join(plain["columns"])
    return json.dumps({**plain, "rows": rows}, indent=1, allow_nan=True).replace("NaN", "null") + "\n"


def published_figures(env_id: str, cost_limit: str, algorithm: str) -> list[float] | None:
    """`[return, its std, cost, its std]` where the limit is the published one."""
    if single_limit(cost_limit) != published()["cost_limit"]:
        return None
    return published()["results"].get(env_id, {}).get(algorithm)


def markdown(results: Results, found: Aggregate | None) -> str:
    """All tables of the report for a README or a paper's appendix."""
    parts = ["# Results\n"]
    if found:
        parts.append(_markdown_means(found.means))
    table = leaderboard(results)
    for task in results.tasks:
        parts.append(f"## {task}\n")
        env_id, cost_limit = results.runs.loc[results.runs["task"] == task, ["env_id", "cost_limit"]].iloc[0]
        rows = table[(table["env_id"] == env_id) & (table["cost_limit"] == cost_limit)]
        parts.append(_markdown_task(rows) if len(rows) else "No finished run.\n")
    parts.append(
        "Return and cost: means over the last 50 training episodes, ± standard deviation over seeds, [95 % interval] "
        "from three seeds on. Violating: share of all training episodes above the limit. Evaluation: return; cost of "
        "the final policy, deterministic. Score: 0 random policy, 1 reference. "
        f"Published: {published()['implementation']}, {published()['steps']:,} steps.\n"
    )
    return "\n".join(parts)


def _markdown_means(means: Mapping[str, Mapping[str, Estimate]]) -> str:
    rows = [
        f"| {method} | {_interval(estimate)} | {_interval(means['cost_ratio'][method])} |"
        for method, estimate in means["score"].items()
    ]
    head = ["| Method | IQM return score | IQM cost / limit |", "|---|---|---|"]
    return "## Interquartile means over all tasks\n\n" + "\n".join([*head, *rows]) + "\n"


def _interval(estimate: Estimate) -> str:
    known = math.isfinite(estimate.low)
    return f"{estimate.value:.2f}" + (f" [{estimate.low:.2f}, {estimate.high:.2f}]" if known else "")


def _markdown_task(rows: pd.DataFrame) -> str:
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    for row in rows.to_dict("records"):
        evaluation = pair(row["deterministic_return_mean"], row["deterministic_cost_mean"])
        figures = pair(row["published_return"], row["published_cost"])
        cells = [
            str(row["rank"]),
            row["method"],
            f"{row['total_steps']:,}",
            str(row["seeds"]),
            *(with_spread(row, name) for name in ("return", "cost")),
            share(row["violating_mean"]),
            evaluation,
            number(row["score_mean"]),
            number(row["cost_ratio_mean"]),
            duration(row["seconds_mean"]),
            number(row["steps_per_s_mean"]),
            figures,
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def with_spread(row: Mapping[str, Any], name: str) -> str:
    """`mean ± std [low, high]`, as far as there are seeds for it."""
    return " ".join(spread(row, name)).strip()


def spread(row: Mapping[str, Any], name: str) -> tuple[str, str]:
    """`mean ± std` and `[low, high]` with the same decimals; empty where there is none."""
    mean, std, low, high = (row[f"{name}_{kind}"] for kind in STATISTICS)
    return mean_std(mean, std), interval(low, high, decimals_of(mean, std))


def mean_std(mean: float, std: float) -> str:
    """Both with the same number of decimals."""
    if not math.isfinite(mean):
        return "–"
    decimals = decimals_of(mean, std)
    text = number(mean, decimals)
    return f"{text} ± {number(std, decimals)}" if math.isfinite(std) else text


def interval(low: float, high: float, decimals: int | None = None) -> str:
    """`[low, high]`; empty where there is none."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    if decimals is None:
        decimals = decimals_of(low, high)
    return f"[{number(low, decimals)}, {number(high, decimals)}]"


def pair(first: float, second: float) -> str:
    return f"{number(first)}; {number(second)}" if math.isfinite(first) else "–"


def number(value: float, decimals: int | None = None) -> str:
    """Three to four digits; a true minus sign; – for a missing one."""
    if not math.isfinite(value):
        return "–"
    text = f"{value:,.{decimals_of(value) if decimals is None else decimals}f}"
    return text.replace("-", "−") if float(text.replace(",", "")) else text.lstrip("-")


def decimals_of(*values: float) -> int:
    """So that the largest of numbers shown together has about three digits."""
    size = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return 0 if size >= 100 else 1 if size >= 10 else 2


def share(value: float) -> str:
    """As per cent."""
    return f"{100 * value:.0f} %" if math.isfinite(value) else "–"


def duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3 h 05 min`."""
    if not math.isfinite(seconds):
        return "–"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{seconds:.0f} s" if seconds < 99.5 else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60:02} min"


def _commits(results: Results, env_id: str, cost_limit: str, method: str) -> str:
    runs = results.runs
    chosen = runs[(runs["env_id"] == env_id) & (runs["cost_limit"] == cost_limit) & (runs["method"] == method)]
    return " ".join(distinct_commits(chosen["commit"]))


def distinct_commits(values: pd.Series) -> list[str]:
    """Return the commits of runs; one that was continued by other code names several, separated by commas."""
    return sorted({commit for value in values.dropna() for commit in str(value).split(", ") if commit})
