"""`python -m benchmarks compare A B`: what changed in final return and cost between two stores, and whether by chance.

Runs are matched by environment, cost limit, algorithm and settings; where the settings of an algorithm changed, what is
left is matched by environment, limit and algorithm, and the change is named. For each pair the difference B - A of the
means over seeds comes with Welch's 95 % interval and p value, Holm's correction over all tests of the comparison, and
an exact permutation test beside it. With few seeds that test cannot reject (3 against 3: p >= 0.1), so the verdict is
Welch's, which takes the seeds' results as normal. One seed on a side gives a difference and no test.

A and B are stores, their folders or exports; `STORE@COMMIT` takes only the runs of a commit.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks.report.results import ACTIVE, Frames, Results, flat_config, read_results, show_limit
from benchmarks.report.statistics import CONFIDENCE, Estimate, Floats, probability_of_improvement
from benchmarks.report.tables import interval, number
from safepo.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

QUANTITIES = {"return": 1.0, "cost": -1.0}
"""Compared columns, and the sign of an improvement."""
PERMUTATIONS = 10_000
"""More arrangements than this are sampled."""


@dataclass(frozen=True)
class Comparison:
    """`table`: a row per pair and quantity. `improvement`: by method (`all` over all), then quantity."""

    table: pd.DataFrame
    improvement: dict[str, dict[str, Estimate]]
    unmatched: list[str]
    """in words, for what only one side has"""


@dataclass(frozen=True)
class Selection:
    """The frames of a store, of some of its runs."""

    store: Frames
    commit: str

    def runs(self) -> pd.DataFrame:
        runs = self.store.runs()
        return runs[[all(part.startswith(self.commit) for part in str(c).split(", ")) for c in runs["commit"]]]

    def curves(self, metrics: list[str] | None = None) -> pd.DataFrame:
        return self.store.curves(metrics)

    def evaluations(self) -> pd.DataFrame:
        return self.store.evaluations()


def run_compare(a: str, b: str, output: Path = Path("comparison.csv"), alpha: float = 0.05) -> int:
    """Compare two stores, print the table, write it as CSV; returns 0 whatever differs."""
    from rich.console import Console

    if not 0 < alpha < 1:
        raise UserError(f"alpha must lie between 0 and 1, got {alpha}")
    found = compare(open_selection(a), open_selection(b), alpha)
    console = Console(highlight=False)
    console.print(f"A: {a}\nB: {b}", markup=False)
    for (env_id, cost_limit), rows in found.table.groupby(["env_id", "cost_limit"], sort=False):
        console.print(_task_table(f"{env_id}, limit {show_limit(cost_limit)}", rows))
        for method, note in rows.loc[rows["note"] != "", ["method", "note"]].drop_duplicates().to_numpy():
            console.print(f" {method} differs: {note}", markup=False)
    console.print(_improvement_table(found))
    tests = found.table["p_holm"].notna()
    console.print(
        f"{int(found.table['significant'].sum())} of {int(tests.sum())} differences are significant "
        f"(Welch, Holm-corrected, alpha {alpha:g})."
    )
    for line in found.unmatched:
        console.print(line, markup=False)
    output.parent.mkdir(parents=True, exist_ok=True)
    found.table.to_csv(output, index=False)
    console.print(f"wrote {output}", markup=False)
    return 0


def open_selection(text: str) -> Frames:
    """Open `STORE` or `STORE@COMMIT`; raises `UserError` naming the commits of the store."""
    from benchmarks.store import open_store

    path, at, commit = text.rpartition("@")
    if not at or Path(text).exists():
        return open_store(text)
    store = open_store(path)
    chosen = Selection(store, commit)
    if chosen.runs().empty:
        known = sorted({str(c) for c in store.runs()["commit"] if c})
        raise UserError(f"{path!r} has no run of commit {commit!r} (it has: {', '.join(known) or 'none recorded'})")
    return chosen


def compare(a: Frames, b: Frames, alpha: float = 0.05) -> Comparison:
    """Match the finished runs of both and test the differences B - A; raises `UserError` if nothing matches."""
    sides = [read_results(frames) for frames in (a, b)]
    finished = [side.finals[side.finals["status"] == ACTIVE] for side in sides]
    pairs, unmatched = _match(*finished)
    if not pairs:
        has = "; ".join(f"{name} has {_contents(side)}" for name, side in zip("AB", sides, strict=True))
        raise UserError(f"nothing to compare: no finished runs of one environment, limit and algorithm in both ({has})")
    rows, values = [], {}
    for left, right, note in pairs:
        first = right.iloc[0]
        for quantity in QUANTITIES:
            x, y = (side[quantity].dropna().to_numpy(float) for side in (left, right))
            identity = {key: first[key] for key in ("env_id", "cost_limit", "algorithm", "method")}
            rows.append({**identity, "quantity": quantity, **difference(x, y), "note": note})
            values[first["task"], first["method"], quantity] = (x, y)
    table = pd.DataFrame(rows)
    table.insert(table.columns.get_loc("p") + 1, "p_holm", holm(table["p"].to_numpy(float)))
    table["significant"] = table["p_holm"] < alpha
    return Comparison(table, _improvement(values), unmatched)


def difference(a: Floats, b: Floats) -> dict[str, Any]:
    """Means, their difference B - A with Welch's interval, p values; NaN where a side has fewer than two seeds."""
    found: dict[str, Any] = {"seeds_a": len(a), "seeds_b": len(b)}
    found["mean_a"], found["mean_b"] = (float(x.mean()) if len(x) else np.nan for x in (a, b))
    found["difference"] = found["mean_b"] - found["mean_a"]
    found |= dict.fromkeys(("low", "high", "p", "p_permutation"), np.nan)
    if min(len(a), len(b)) < 2:
        return found
    found["p_permutation"] = float(
        stats.permutation_test(
            (b, a), _mean_difference, n_resamples=PERMUTATIONS, vectorized=True, rng=np.random.default_rng(0)
        ).pvalue
    )
    if np.ptp(a) == np.ptp(b) == 0:  # no spread to judge by
        return found | {"low": found["difference"], "high": found["difference"], "p": found["p_permutation"]}
    test = stats.ttest_ind(b, a, equal_var=False)
    bounds = test.confidence_interval(CONFIDENCE)
    return found | {"low": float(bounds.low), "high": float(bounds.high), "p": float(test.pvalue)}


def holm(p: Floats) -> Floats:
    """Holm's step-down correction `(n,)`; NaN are no tests."""
    corrected = np.full(len(p), np.nan)
    order = [i for i in np.argsort(p) if np.isfinite(p[i])]
    factors = len(order) - np.arange(len(order))
    corrected[order] = np.minimum(np.maximum.accumulate(p[order] * factors), 1)
    return corrected


def _mean_difference(b: Floats, a: Floats, axis: int) -> Floats:
    return b.mean(axis=axis) - a.mean(axis=axis)


def _match(a: pd.DataFrame, b: pd.DataFrame) -> tuple[list[tuple[pd.DataFrame, pd.DataFrame, str]], list[str]]:
    """Pairs of run tables with a note; first by group, then what is left by task and algorithm."""
    left, right = (dict(iter(side.groupby("group", sort=False))) for side in (a, b))
    pairs = [(left.pop(key), right.pop(key), "") for key in list(right) if key in left]
    by_algorithm = [_alone(side) for side in (left, right)]
    for key in by_algorithm[1]:
        if key in by_algorithm[0]:
            one, other = left.pop(by_algorithm[0][key]), right.pop(by_algorithm[1][key])
            pairs.append((one, other, _changes(one.iloc[0]["config"], other.iloc[0]["config"])))
    unmatched = [
        f"only in {name}: {rows.iloc[0]['task']}, {rows.iloc[0]['method']}"
        for name, side in (("A", left), ("B", right))
        for rows in side.values()
    ]
    order = {name: i for i, name in enumerate(b["group"].drop_duplicates())}
    return sorted(pairs, key=lambda pair: order[pair[1].iloc[0]["group"]]), unmatched


def _alone(groups: dict[str, pd.DataFrame]) -> dict[tuple[str, str], str]:
    """(task, algorithm) -> group, where there is one group of it."""
    keys = [(rows.iloc[0]["task"], rows.iloc[0]["algorithm"]) for rows in groups.values()]
    return {key: group for key, group in zip(keys, groups, strict=True) if keys.count(key) == 1}


def _changes(a: Any, b: Any) -> str:
    """The settings that differ, as `name: A -> B`."""
    one, other = flat_config(a), flat_config(b)
    names = [name for name in {**one, **other} if one.get(name) != other.get(name)]
    return "; ".join(f"{name}: {one.get(name)} -> {other.get(name)}" for name in names)


def _improvement(values: dict[tuple[str, str, str], tuple[Floats, Floats]]) -> dict[str, dict[str, Estimate]]:
    """P(a run of B is better than one of A) by method and over all; tasks count equally, the fewest seeds decide."""
    methods = list(dict.fromkeys(method for _, method, _ in values))
    found: dict[str, dict[str, Estimate]] = {}
    for method in (*methods, "all"):
        pairs = {}
        for quantity, sign in QUANTITIES.items():
            chosen = [v for (_, m, q), v in values.items() if q == quantity and method in (m, "all")]
            seeds = [min(len(v[i]) for v in chosen) for i in (0, 1)]
            if all(seeds):
                a, b = (np.array([sign * v[i][: seeds[i]] for v in chosen]).T for i in (0, 1))
                pairs[quantity] = (b, a)
        found[method] = probability_of_improvement(pairs)
    return found


def _task_table(title: str, rows: pd.DataFrame) -> Table:
    """Two lines a method: return and cost."""
    from rich.table import Table

    table = Table(title=f"\n[bold]{title}[/]", title_justify="left", title_style="", box=None)
    columns = ("method", "seeds", "", "A", "B", "B − A \\[95 % interval]", "p (Holm)")
    for i, name in enumerate(columns):
        table.add_column(name, justify="left" if i in (0, 2) else "right", header_style="dim", no_wrap=i > 0)
    for i, row in enumerate(rows.to_dict("records")):
        seeds = f"{row['seeds_a']}, {row['seeds_b']}"
        means = [number(row["mean_a"]), number(row["mean_b"])]
        method = "" if i % len(QUANTITIES) else row["method"]
        table.add_row(method, seeds, row["quantity"], *means, _signed(row), _p(row["p_holm"]))
    return table


def _signed(row: dict[str, Any]) -> str:
    """Green where a significant difference is an improvement, red where it is not."""
    better = row["difference"] * QUANTITIES[row["quantity"]] > 0
    bounds = interval(row["low"], row["high"]).replace("[", r"\[")
    text = f"{'+' if row['difference'] > 0 else ''}{number(row['difference'])} {bounds}".strip()
    return f"[bold {'green' if better else 'red'}]{text}[/]" if row["significant"] else text


def _p(value: float) -> str:
    return "–" if not np.isfinite(value) else "<0.001" if value < 0.001 else f"{value:.3f}"


def _improvement_table(found: Comparison) -> Table:
    from rich.table import Table

    title = "\n[bold]Probability that a run of B is better than one of A[/]"
    table = Table(title=title, title_justify="left", title_style="", box=None)
    for name in ("method", "higher return [95 % interval]", "lower cost"):
        table.add_column(name.replace("[", r"\["), header_style="dim", no_wrap=True)
    for method, estimates in found.improvement.items():
        table.add_row(method, *(_probability(estimates.get(quantity)) for quantity in QUANTITIES))
    return table


def _probability(estimate: Estimate | None) -> str:
    if estimate is None:
        return "–"
    return f"{estimate.value:.2f} {interval(estimate.low, estimate.high)}".strip().replace("[", r"\[")


def _contents(results: Results) -> str:
    """What a side has, briefly."""
    finished = results.finals[results.finals["status"] == ACTIVE]
    names = [f"{task} {a}" for task, a in finished[["task", "algorithm"]].drop_duplicates().to_numpy()]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more if names else "no finished run"
