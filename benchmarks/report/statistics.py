"""Intervals over seeds and tasks: Student's t for one task, rliable's stratified bootstrap for aggregates.

Score matrices are `(seeds, tasks)`. The same numbers give the same intervals, whatever the process drew before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rliable import library, metrics
from scipy import stats

Floats = NDArray[np.float64]
REPS = 2000
CONFIDENCE = 0.95
MIN_SEEDS = 3
"""Fewer give no interval: two points say next to nothing about a spread."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval; NaN bounds where there are too few seeds for one."""

    value: float
    low: float
    high: float


def t_interval(values: Floats) -> tuple[float, float]:
    """Interval of the mean of independent normal values `(n,)`; NaN for fewer than `MIN_SEEDS`."""
    n = len(values)
    if n < MIN_SEEDS:
        return np.nan, np.nan
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * values.std(ddof=1) / n**0.5)
    return float(values.mean()) - half, float(values.mean()) + half


def interquartile_means(scores: Mapping[str, Floats]) -> dict[str, Estimate]:
    """Mean of the middle half of all runs of all tasks, by method."""
    return bootstrap({name: (matrix,) for name, matrix in scores.items()}, metrics.aggregate_iqm)


def probability_of_improvement(pairs: Mapping[str, tuple[Floats, Floats]]) -> dict[str, Estimate]:
    """P(first > second), ties count half, averaged over tasks: rliable's measure, without its loop."""

    def probability(x: Floats, y: Floats) -> float:
        return float(((x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])).mean())

    return bootstrap(pairs, probability)


def bootstrap(data: Mapping[str, tuple[Floats, ...]], measure: Callable[..., float]) -> dict[str, Estimate]:
    """`measure` of each entry's matrices, with percentile intervals; seeds are resampled within each task."""
    found = {}
    for name, arrays in data.items():
        value = float(measure(*arrays))
        low = high = np.nan
        if min(len(array) for array in arrays) >= MIN_SEEDS:
            with _own_randomness():
                entry = arrays[0] if len(arrays) == 1 else list(arrays)
                _, intervals = library.get_interval_estimates(
                    {name: entry}, lambda *x: np.array([measure(*x)]), reps=REPS, confidence_interval_size=CONFIDENCE
                )
            low, high = (float(bound) for bound in intervals[name][:, 0])
        found[name] = Estimate(value, low, high)
    return found


def profile(scores: Floats, taus: Floats) -> tuple[Floats, Floats, Floats]:
    """Share of the runs `(seeds, tasks)` above each of `taus` `(k,)`, with lower and upper bound, `(k,)` each."""
    with _own_randomness():
        values, bounds = library.create_performance_profile(
            {"": scores},
            taus,
            custom_profile_func=lambda matrix, levels: (matrix[..., None] > levels).mean(axis=(0, 1)),
            reps=REPS,
            confidence_interval_size=CONFIDENCE,
        )
    return values[""], bounds[""][0], bounds[""][1]


@contextmanager
def _own_randomness() -> Iterator[None]:
    """rliable draws from numpy's global generator, whatever `random_state` says: seed it, put its state back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002
