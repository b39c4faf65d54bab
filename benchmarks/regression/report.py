"""A comparison in words and as a table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.regression.baselines import Baselines
from benchmarks.regression.rule import ALL, ALPHA, METRICS, WINDOWS, Curve, Key, Verdict, band, floors_of
from benchmarks.report.tables import number

if TYPE_CHECKING:
    from rich.table import Table


def table(verdicts: Sequence[Verdict], stored: Baselines, fresh: Baselines) -> Table:
    """A row per environment and algorithm: means of the last part of training, least corrected p value."""
    from rich.table import Table as RichTable

    by_key = {verdict.key: verdict for verdict in verdicts}
    keys = [*fresh.curves, *(verdict.key for verdict in verdicts if ALL in verdict.key)]
    found = RichTable("environment", "algorithm", box=None, pad_edge=False, header_style="dim")
    for metric in METRICS:
        for name in (metric, "now", "p (Holm)"):
            found.add_column(name, justify="right")
    for env_id, algorithm in dict.fromkeys(key[:2] for key in keys):
        cells = []
        for metric in METRICS:
            key = (env_id, algorithm, metric)
            cells += [_last(stored, key), _last(fresh, key), _p(by_key.get(key))]
        found.add_row(env_id, algorithm, *cells)
    return found


def notes(verdicts: Sequence[Verdict], missing: Sequence[Key], stored: Baselines, fresh: Baselines) -> Iterator[str]:
    """Sentences about the comparison as a whole."""
    curves = [verdict for verdict in verdicts if ALL not in verdict.key]
    identical = sum(verdict.identical for verdict in curves)
    left = sum(verdict.least_p < ALPHA for verdict in verdicts)
    tested = sum(not verdict.identical for verdict in verdicts)
    yield (
        f"{len(curves)} curves compared, {identical} equal to their baselines; {tested} curves and groups tested over "
        f"{WINDOWS} parts of training, {left or 'none'} left its band (alpha {ALPHA:g} for all together, Holm)"
    )
    if missing:
        names = dict.fromkeys(f"{algorithm} on {env_id}" for env_id, algorithm, _ in missing)
        yield f"no baseline of these steps: {', '.join(names)}; --update writes one"
    changed = {key[:2] for key in fresh.configs if stored.configs.get(key, fresh.configs[key]) != fresh.configs[key]}
    if changed:
        yield f"settings differ from the baseline's: {', '.join(f'{a} on {e}' for e, a in sorted(changed))}"


def sentence(verdict: Verdict, stored: Baselines, fresh: Baselines, verdicts: Sequence[Verdict]) -> str:
    """Which curve left its band, on which side, where, by how much."""
    env_id, algorithm, metric = verdict.key
    shift = verdict.shift[verdict.window]
    side = "above" if shift > 0 else "below"
    p = f"p = {verdict.least_p:.1g} after Holm's correction"
    first, last = _span(fresh.curves[verdict.members[0]].steps, verdict.window)
    if len(verdict.members) > 1:
        who = algorithm if algorithm != ALL else "all algorithms"
        where = f"on {env_id}" if env_id != ALL else "over all environments"
        worst = _sorted(verdict.members, verdicts)[0]
        return (
            f"the {metric} of {who} {where} left its band {side} between steps {first:,} and {last:,}: together "
            f"{shift:+.1f} standard deviations, {p}; most of all {worst[1]} on {worst[0]}"
        )
    key = verdict.key
    old, new = stored.curves[key], fresh.curves[key]
    ntests = sum(v.p.size for v in verdicts)
    low, high = band(old, new, floors_of(stored.curves)[env_id, metric], ntests)
    means = new.values.mean(axis=0)
    outside = np.flatnonzero((means > high) if shift > 0 else (means < low))
    if len(outside):
        first, last = new.steps[outside[0]], new.steps[outside[-1]]
    a, b = (_mean(curve, verdict.window) for curve in (old, new))
    return (
        f"the {metric} of {algorithm} on {env_id} left its band {side} between steps {first:,} and {last:,}: "
        f"{number(b)} instead of {number(a)} in part {verdict.window + 1} of {WINDOWS}, "
        f"{shift:+.1f} standard deviations over seeds, {p}"
    )


def shown(left: Sequence[Verdict], verdicts: Sequence[Verdict]) -> list[Key]:
    """Curves for the picture: those that left, then the two that differ most of each group that did."""
    single = _sorted([v.key for v in left if len(v.members) == 1], verdicts)
    groups = [key for v in left if len(v.members) > 1 for key in _sorted(v.members, verdicts)[:2]]
    return list(dict.fromkeys([*single, *groups]))


def _sorted(keys: Sequence[Key], verdicts: Sequence[Verdict]) -> list[Key]:
    """Curves by how much they differ."""
    p = {verdict.key: float(verdict.p.min()) for verdict in verdicts}
    return sorted(keys, key=lambda key: p[key])


def _span(steps: Sequence[int], window: int) -> tuple[int, int]:
    part = np.array_split(np.array(steps), WINDOWS)[window]
    return int(part[0]), int(part[-1])


def _mean(curve: Curve, window: int) -> float:
    return float(curve.windows()[:, window].mean())


def _last(side: Baselines, key: Key) -> str:
    return number(_mean(side.curves[key], -1)) if key in side.curves else "–"


def _p(verdict: Verdict | None) -> str:
    if verdict is None:
        return "–"
    if verdict.identical:
        return "equal"
    p = verdict.least_p
    text = f"{p:.1g}" if p < 0.001 else f"{p:.3f}"
    return f"[bold red]{text}[/]" if p < ALPHA else text
