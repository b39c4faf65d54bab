"""What a report is made of: one row per run, one row per (task, method), curves, and normalised scores.

A *task* is an environment with a cost limit, so that runs under two limits never mix. A *method* is an algorithm (or a
variant of it, such as those of Safe DreamerV3); where one task has several configurations of it, the settings in which
they differ become part of its name.

    results = read_results(store)          # anything with the frames runs(), curves(), evaluations()
    results.finals                         # a row per run: last logged metrics, evaluation, score
    results.summary                        # a row per (task, method): mean, std, 95 % interval over seeds
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from benchmarks.report.statistics import Estimate, Floats, interquartile_means, profile, t_interval
from safepo.algorithms import ALL_ALGORITHMS
from safepo.config import NOT_HASHED
from safepo.dreamer.settings import IGNORES_COST, TITLES
from safepo.errors import UserError, did_you_mean

DATA = Path(__file__).parents[1]
REFERENCE_ALGORITHM = "ppo"
"""Whose published return is the score 1: the unconstrained baseline that every published table has."""
METRICS = {
    "return": "ep/return",
    "cost": "ep/cost",
    "violating": "safety/violating_episodes",
}
"""Column -> metric of the training log; the value of a run is that of its last logged step."""
SUMMARISED = (
    *METRICS,
    *(f"{mode}_{name}" for mode in ("deterministic", "stochastic") for name in ("return", "cost", "violating")),
    "score",
    "cost_ratio",
    "seconds",
    "steps_per_s",
)
STATISTICS = ("mean", "std", "low", "high")
NOT_NEGATIVE = ("cost", "violating", "cost_ratio", "seconds", "steps_per_s")
TASK = ["env_id", "cost_limit"]
ACTIVE = "finished"
TAUS = 101
"""Thresholds of a profile."""


class Frames(Protocol):
    """The part of a store that is read here."""

    def runs(self) -> pd.DataFrame: ...
    def curves(self, metrics: list[str] | None = None) -> pd.DataFrame: ...
    def evaluations(self) -> pd.DataFrame: ...


@dataclass(frozen=True)
class Scale:
    """Where the scores 0 and 1 of a task lie."""

    random: float
    reference: float
    source: str
    """What the reference is, in words."""

    def score(self, value: Any) -> Any:
        span = self.reference - self.random
        return (value - self.random) / span if abs(span) > 1e-9 else value * np.nan


@dataclass(frozen=True)
class Aggregate:
    """Judgement over all tasks of a block of runs without a hole; dictionaries are by method."""

    methods: list[str]
    tasks: list[str]
    seeds: int
    means: dict[str, dict[str, Estimate]]
    """`score` and `cost_ratio` -> interquartile means"""
    taus: dict[str, Floats]
    """`score` and `cost_ratio` -> thresholds `(k,)` of the profiles"""
    profiles: dict[str, dict[str, tuple[Floats, Floats, Floats]]]
    """`score` and `cost_ratio` -> share of runs above each threshold, lower and upper bound, `(k,)` each"""


@dataclass(frozen=True)
class Results:
    """Everything that pages, tables and figures show; frames are sorted by task and method."""

    runs: pd.DataFrame
    """as the store gives it, with `task`, `method` and `group`"""
    finals: pd.DataFrame
    """a row per run that has logged anything: columns `SUMMARISED` beside those of `runs`"""
    summary: pd.DataFrame
    """a row per (task, method) over its finished runs: `<name>_mean`, `_std`, `_low`, `_high`, `seeds`, `rank`"""
    curves: pd.DataFrame
    """run, step, return, cost of finished runs; of unfinished ones where a group has no finished run"""
    scales: dict[str, Scale]
    """by task; a task without a known random policy has none"""

    @property
    def tasks(self) -> list[str]:
        return list(dict.fromkeys(self.runs["task"]))

    @property
    def methods(self) -> list[str]:
        return list(dict.fromkeys(self.runs.sort_values("order", kind="stable")["method"]))


@cache
def published() -> dict[str, Any]:
    """Published figures: `results[env_id][algorithm] = [return, its std, cost, its std]`, and where they are from."""
    return json.loads((DATA / "published.json").read_text())


@cache
def random_policy() -> dict[str, Any]:
    """Uniform random actions: `results[env_id] = {"return": {"mean", "stderr"}, "cost": ...}`, and how measured."""
    return json.loads((DATA / "random_policy.json").read_text())


def read_results(store: Frames, suites: Sequence[str] = ()) -> Results:
    """Read a store's frames once and derive the rest; a store without runs (of these suites) is a `UserError`."""
    runs = store.runs()
    if runs.empty:
        raise UserError("the store has no runs; nothing to report")
    known = sorted({suite for row in runs["suites"] for suite in row})
    for suite in suites:
        if suite not in known:
            raise UserError(did_you_mean(suite, known, "suite in this store"))
    if suites:
        runs = runs[[bool(set(row) & set(suites)) for row in runs["suites"]]]
    runs = runs.copy()
    runs["task"] = [task_name(*row) for row in runs[TASK].itertuples(index=False)]
    runs["group"] = [_group(*row) for row in runs[["run", "env_id", "algorithm", "cost_limit"]].itertuples(index=False)]
    runs["kind"] = [_kind(*row) for row in runs[["algorithm", "config"]].itertuples(index=False)]
    runs["method"] = _methods(runs)
    runs["order"] = [_order(name) for name in runs["algorithm"]]
    runs = runs.sort_values(["env_id", "cost_limit", "order", "method", "seed"], kind="stable").reset_index(drop=True)
    curves, evaluations = (frame[frame["run"].isin(runs["run"])] for frame in (store.curves(), store.evaluations()))
    finals = _finals(runs, curves, evaluations)
    scales = _scales(finals)
    finals["score"] = [
        scales[task].score(value) if task in scales else np.nan
        for task, value in zip(finals["task"], finals["return"], strict=True)
    ]
    return Results(runs, finals, _summary(finals), _curves(runs, curves), scales)


def task_name(env_id: str, cost_limit: str) -> str:
    """Environment and limit in one label."""
    return f"{env_id}, limit {show_limit(cost_limit)}"


def show_limit(cost_limit: str) -> str:
    """A limit as configured, without idle zeros."""
    limit = single_limit(cost_limit)
    return str(cost_limit).replace(",", ", ") if limit is None else f"{limit:g}"


def single_limit(cost_limit: str) -> float | None:
    """The limit on the step cost; None where single costs have limits by name."""
    try:
        return float(cost_limit)
    except ValueError:
        return None


def named_limits(cost_limit: str) -> dict[str, float]:
    """Metric of the training log -> its limit."""
    limit = single_limit(cost_limit)
    if limit is not None:
        return {"ep/cost": limit}
    parts = (part.partition("=") for part in str(cost_limit).split(","))
    return {_metric(name.strip()): float(value) for name, _, value in parts}


def constrained(kind: str) -> bool:
    """Whether an algorithm, or `algorithm/variant`, looks at the cost; one that is not in the table is taken to."""
    algorithm, _, variant = kind.partition("/")
    known = algorithm not in ALL_ALGORITHMS or ALL_ALGORITHMS[algorithm].constrained
    return known and variant not in IGNORES_COST


def _metric(name: str) -> str:
    return "ep/cost" if name == "cost" else f"cost/{name.removeprefix('cost_')}"


def _order(algorithm: str) -> int:
    """Order of the table of algorithms; unknown ones last."""
    names = list(ALL_ALGORITHMS)
    return names.index(algorithm) if algorithm in names else len(names)


def _group(run: str, env_id: str, algorithm: str, cost_limit: str) -> str:
    """Runs that differ only in the seed."""
    return run.rpartition("-seed")[0] or f"{env_id}/{algorithm}/{cost_limit}"


def _kind(algorithm: str, config: Any) -> str:
    """The algorithm, with its variant if it has some."""
    variant = flat_config(config).get("variant")
    return f"{algorithm}/{variant}" if variant else algorithm


def _title(kind: str) -> str:
    algorithm, _, variant = kind.partition("/")
    if variant:
        return TITLES.get(variant, variant)
    return ALL_ALGORITHMS[algorithm].title if algorithm in ALL_ALGORITHMS else algorithm


def _methods(runs: pd.DataFrame) -> list[str]:
    """A name per run; settings are added where there are several configurations of a kind in a task."""
    names: dict[str, str] = {}
    for (_, kind), members in runs.groupby(["task", "kind"]):
        name = _title(kind)
        first = members.drop_duplicates("group")
        settings = [flat_config(config) for config in first["config"]]
        labels = _differences(settings)
        for group, label in zip(first["group"], labels, strict=True):
            label = label if labels.count(label) == 1 else group.rpartition("-")[2]
            names[group] = name if len(first) == 1 else f"{name} ({label})"
    return [names[group] for group in runs["group"]]


def flat_config(config: Any) -> dict[str, Any]:
    """What shapes learning, as one flat table."""
    if not isinstance(config, dict):
        return {}
    flat = {**config.get("run", {}), **config.get("settings", {})}
    return {k: v for k, v in flat.items() if k not in NOT_HASHED and k not in TASK}


def _differences(settings: list[dict[str, Any]], most: int = 3) -> list[str]:
    """For each configuration the settings that tell it from the others: as few as do, at most `most`."""
    keys = [key for key in settings[0] if any(other.get(key) != settings[0][key] for other in settings)]
    for n in range(1, most + 1):
        labels = [", ".join(f"{key}={_short(own.get(key))}" for key in keys[:n]) for own in settings]
        if len(set(labels)) == len(labels):
            break
    return labels


def _short(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)


def _finals(runs: pd.DataFrame, curves: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Last logged metrics and evaluation means of every run with a curve or an evaluation."""
    last = curves[curves["step"] == curves.groupby("run")["step"].transform("max")]
    wide = last.pivot_table(index="run", columns="metric", values="value", aggfunc="last", dropna=False)
    table = pd.DataFrame({name: wide.get(metric, np.nan) for name, metric in METRICS.items()}, index=wide.index)
    table = table.astype(float).join(_evaluations(runs, evaluations), how="outer")
    limits = runs.set_index("run")["cost_limit"]
    table["cost_ratio"] = [_cost_ratio(limits[run], wide.loc[run] if run in wide.index else {}) for run in table.index]
    return runs.join(table, on="run", how="inner")


def _cost_ratio(cost_limit: str, metrics: Any) -> float:
    """Cost over limit; the largest one of several limits. NaN for a limit of 0."""
    ratios = [
        metrics.get(name, np.nan) / limit if limit else np.nan for name, limit in named_limits(cost_limit).items()
    ]
    return float(np.max(ratios))


def _evaluations(runs: pd.DataFrame, evaluations: pd.DataFrame) -> pd.DataFrame:
    """Columns `<mode>_return`, `<mode>_cost`, `<mode>_violating`; rows are runs."""
    columns = [name for name in SUMMARISED if name.startswith(("deterministic", "stochastic"))]
    if evaluations.empty:
        return pd.DataFrame(columns=columns, index=pd.Index([], name="run"), dtype=float)
    frame = evaluations.assign(
        violating=[
            _violates(limit, cost) for limit, cost in zip(evaluations["cost_limit"], evaluations["cost"], strict=True)
        ]
    )
    means = frame.groupby(["run", "mode"])[["return", "cost", "violating"]].mean().unstack("mode")
    means.columns = [f"{mode}_{name}" for name, mode in means.columns]
    return means.reindex(columns=columns).astype(float)


def _violates(cost_limit: str, cost: float) -> float:
    """1 where the episode's cost exceeds the limit; NaN for limits by name, whose costs are not kept by episode."""
    limit = single_limit(cost_limit)
    return np.nan if limit is None or np.isnan(cost) else float(cost > limit)


def _scales(finals: pd.DataFrame) -> dict[str, Scale]:
    scales = {}
    for task, members in finals[finals["status"] == ACTIVE].groupby("task", sort=False):
        env_id = members["env_id"].iloc[0]
        if env_id not in random_policy()["results"]:
            continue
        reference, source = _reference(env_id, members)
        scales[task] = Scale(random_policy()["results"][env_id]["return"]["mean"], reference, source)
    return scales


def _reference(env_id: str, members: pd.DataFrame) -> tuple[float, str]:
    """The published return of the reference algorithm, else the best mean of this store."""
    figures = published()["results"].get(env_id, {})
    if REFERENCE_ALGORITHM in figures:
        name = ALL_ALGORITHMS[REFERENCE_ALGORITHM].title
        return figures[REFERENCE_ALGORITHM][0], f"{name}, published, {published()['steps']:,} steps"
    means = members.groupby("method")["return"].mean().dropna()
    if means.empty:
        return np.nan, "none"
    return float(means.max()), f"{means.idxmax()}, the best mean of this store"


def _summary(finals: pd.DataFrame) -> pd.DataFrame:
    """Mean, standard deviation (ddof 1) and interval over the seeds of finished runs, with a rank within the task."""
    identity = (*TASK, "algorithm", "kind", "total_steps", "order", "group")
    rows = []
    for (task, method), members in finals[finals["status"] == ACTIVE].groupby(["task", "method"], sort=False):
        row = {"task": task, "method": method, "seeds": len(members), **members.iloc[0][list(identity)]}
        for name in SUMMARISED:
            row |= {f"{name}_{k}": v for k, v in describe(name, members[name].to_numpy(float)).items()}
        rows.append(row)
    statistics = [f"{name}_{kind}" for name in SUMMARISED for kind in STATISTICS]
    summary = pd.DataFrame(rows, columns=["task", "method", "seeds", *identity, *statistics])
    summary["within_limit"] = summary["cost_ratio_mean"] <= 1
    summary["constrained"] = [constrained(kind) for kind in summary["kind"]]
    summary["rank"] = 0
    for _, members in summary.groupby("task"):
        summary.loc[_by_rank(members), "rank"] = range(1, len(members) + 1)
    return summary


def describe(name: str, values: Floats) -> dict[str, float]:
    """Statistics over seeds; missing values are left out, all missing gives NaN."""
    values = values[np.isfinite(values)]
    low, high = t_interval(values)
    if name.endswith(NOT_NEGATIVE):
        low = max(low, 0.0) if np.isfinite(low) else low
    if name.endswith("violating"):
        high = min(high, 1.0) if np.isfinite(high) else high
    return {
        "mean": float(values.mean()) if len(values) else np.nan,
        "std": float(values.std(ddof=1)) if len(values) > 1 else np.nan,
        "low": low,
        "high": high,
    }


def _by_rank(members: pd.DataFrame) -> pd.Index:
    """Mean cost within the limit first, by return; then the others, by cost over limit; unknown ones last."""
    within = members["within_limit"].to_numpy(bool)
    value = np.where(within, -members["return_mean"], members["cost_ratio_mean"])
    return members.assign(outside=~within, value=value).sort_values(["outside", "value"], kind="stable").index


def _curves(runs: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """Return and cost by step; unfinished runs only where their group has no finished one."""
    done = set(runs.loc[runs["status"] == ACTIVE, "group"])
    shown = runs[(runs["status"] == ACTIVE) | ~runs["group"].isin(done)]
    both = curves[curves["metric"].isin(("ep/return", "ep/cost")) & curves["run"].isin(shown["run"])]
    wide = both.pivot_table(index=["run", "step"], columns="metric", values="value", aggfunc="last", dropna=False)
    wide = wide.reindex(columns=["ep/return", "ep/cost"]).set_axis(["return", "cost"], axis=1).dropna(how="all")
    return wide.reset_index().merge(shown[["run", "task", "method", "algorithm", "seed", "status"]], on="run")


def complete_block(finals: pd.DataFrame) -> tuple[list[str], list[str], int]:
    """The largest block of methods x tasks x seeds without a hole: aggregates compare like with like.

    Returns methods, tasks and the number of seeds; empty lists where no two methods share a task.
    """
    usable = _usable(finals)
    counts = usable.groupby(["method", "task"], sort=False).size().unstack(fill_value=0)
    best: tuple[int, int, list[str], list[str], int] = (0, 0, [], [], 0)
    for seeds in sorted(set(counts.to_numpy().ravel()) - {0}):
        enough = counts >= seeds
        for _, row in enough.iterrows():
            tasks = list(enough.columns[row])
            methods = list(enough.index[enough[tasks].all(axis=1)]) if tasks else []
            size = len(methods) * len(tasks) * int(seeds)
            best = max(best, (size, int(seeds), methods, tasks, int(seeds)), key=lambda found: found[:2])
    return best[2], best[3], best[4]


def aggregate(results: Results) -> Aggregate | None:
    """Interquartile means and performance profiles of return scores and relative costs; None without any such run."""
    methods, tasks, seeds = complete_block(results.finals)
    if not methods:
        return None
    means, taus, profiles = {}, {}, {}
    for column in ("score", "cost_ratio"):
        scores = matrices(results.finals, column, methods, tasks, seeds)
        every = np.concatenate([matrix.ravel() for matrix in scores.values()])
        taus[column] = np.linspace(min(0.0, float(every.min())), max(1.1, float(every.max()) * 1.02), TAUS)
        means[column] = interquartile_means(scores)
        profiles[column] = {method: profile(matrix, taus[column]) for method, matrix in scores.items()}
    return Aggregate(methods, tasks, seeds, means, taus, profiles)


def matrices(
    finals: pd.DataFrame, column: str, methods: Iterable[str], tasks: list[str], seeds: int
) -> dict[str, Floats]:
    """Score matrices `(seeds, tasks)` by method, of the first seeds of each."""
    usable = _usable(finals)
    values = {key: rows.sort_values("seed")[column].to_numpy(float) for key, rows in usable.groupby(["method", "task"])}
    return {method: np.array([values[method, task][:seeds] for task in tasks]).T for method in methods}


def _usable(finals: pd.DataFrame) -> pd.DataFrame:
    """Finished runs with both normalised figures."""
    return finals[(finals["status"] == ACTIVE) & finals["score"].notna() & finals["cost_ratio"].notna()]
