"""The rule by which curves of return and cost are held against their baselines.

Training is exact: on one type of machine with the same versions the same seeds give the same numbers, and curves that
equal their baselines are not tested at all. Elsewhere, and after any change of the code, rounding lets runs part, and
what can be compared are their distributions over seeds:

* A curve (environment, algorithm, return or cost) is summarised per seed by its means over the first and the second
  half of training, and each half is tested by Student's two-sided t test with the variance pooled over both sets of
  seeds. The standard deviation gets a floor, `FLOOR` of the environment's largest baseline value, so that constant
  curves do not alarm at changes that nobody would care about.
* Shifts too small for a single curve are looked for in groups: all environments of an algorithm, all algorithms of an
  environment, everything. Each seed's curves are divided by their spread and averaged over the group, and the averages
  are tested as a curve is. Runs of one seed may depend on each other (they start with the same layouts): seeds are the
  sample, not runs.
* Holm's correction over all these tests keeps the probability of one or more false alarms below `ALPHA`, whatever the
  dependence between tests, as far as values over seeds are about normal (benchmarks/README.md has measurements). A
  curve or group fails if one of its corrected p values is below `ALPHA`.

The same seeds on both sides, which is the normal case, correlate positively, if at all; that makes false alarms rarer.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import stats

from benchmarks.compare import holm
from benchmarks.report.statistics import Floats

METRICS = {"return": "ep/return", "cost": "ep/cost"}
"""What is compared, and its name in metrics.csv."""
ALPHA = 0.01
"""Probability of one or more false alarms in all tests of a comparison, at most."""
WINDOWS = 2
"""Parts of the training that are tested one by one."""
FLOOR = 0.01
"""Least standard deviation over seeds, as a share of the environment's largest absolute baseline value."""
ALL = "all"
"""In a key: all environments, all algorithms."""

Key = tuple[str, str, str]
"""Environment, algorithm, `return` or `cost`."""


@dataclass(frozen=True)
class Curve:
    """One metric of all seeds of an algorithm on an environment."""

    steps: tuple[int, ...]
    seeds: tuple[int, ...]
    values: Floats
    """(seeds, steps); NaN where no episode had finished"""

    def of(self, seeds: tuple[int, ...]) -> Floats:
        """The rows of some seeds."""
        return _rows(self.values, self.seeds, seeds)

    def windows(self) -> Floats:
        """Means over parts of the training `(seeds, WINDOWS)`."""
        parts = np.array_split(self.values, WINDOWS, axis=1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # NaN where there is nothing
            return np.stack([np.nanmean(part, axis=1) for part in parts], axis=1)

    def is_in(self, other: Curve) -> bool:
        """Whether another has all of these seeds, with the same values."""
        return {*self.seeds} <= {*other.seeds} and np.array_equal(self.values, other.of(self.seeds), equal_nan=True)


Curves = Mapping[Key, Curve]


@dataclass(frozen=True)
class Verdict:
    """What the tests say about a curve or a group; arrays have an entry for each window."""

    key: Key
    members: tuple[Key, ...]
    """the curves of a group; a curve itself"""
    identical: bool
    """equal to the baseline, so not tested"""
    shift: Floats
    """fresh mean - baseline mean, in standard deviations over seeds"""
    p: Floats
    p_holm: Floats
    """NaN where identical"""

    @property
    def least_p(self) -> float:
        return 1.0 if self.identical else float(self.p_holm.min())

    @property
    def window(self) -> int:
        """The window that differs most."""
        return int(np.argmin(self.p))


def judge(baselines: Curves, fresh: Curves) -> list[Verdict]:
    """Test all fresh curves that have a baseline with the same steps, and their groups, in that order."""
    floors, samples = floors_of(baselines), dict[Key, _Sample]()
    for key, curve in fresh.items():
        if comparable(baselines.get(key), curve):
            floor = np.full(WINDOWS, floors[key[0], key[2]])
            samples[key] = _Sample(baselines[key].windows(), curve.windows(), floor, baselines[key].seeds, curve.seeds)
    members: dict[Key, tuple[Key, ...]] = {key: (key,) for key in samples}
    for key, group in list(_groups(samples)):
        sample = _Sample.mean([samples[member] for member in group])
        if len(sample.base) and len(sample.fresh) and sample.df:
            members[key], samples[key] = group, sample
    identical = {key: all(fresh[member].is_in(baselines[member]) for member in group) for key, group in members.items()}
    p = {key: np.ones(WINDOWS) if identical[key] else samples[key].p() for key in members}
    flat = np.array([np.full(WINDOWS, np.nan) if identical[key] else p[key] for key in members])
    corrected = holm(flat.ravel()).reshape(flat.shape)
    return [
        Verdict(key, members[key], identical[key], samples[key].shift(), p[key], corrected[i])
        for i, key in enumerate(members)
    ]


def comparable(baseline: Curve | None, fresh: Curve) -> bool:
    """Whether there is a baseline of the same steps, and seeds and numbers enough for a test."""
    return (
        baseline is not None
        and baseline.steps == fresh.steps
        and len(baseline.seeds) + len(fresh.seeds) > 2
        and all(np.isfinite(curve.windows()).all() for curve in (baseline, fresh))
    )


def band(baseline: Curve, fresh: Curve, floor: float, ntests: int, alpha: float = ALPHA) -> tuple[Floats, Floats]:
    """Lower and upper bound `(steps,)` of the fresh mean at each step, at the level alpha / ntests.

    For showing where a curve left; the verdict is that of the windows.
    """
    sample = _Sample(baseline.values, fresh.values, np.full(len(baseline.steps), floor), baseline.seeds, fresh.seeds)
    half = stats.t.isf(alpha / ntests / 2, sample.df) * sample.spread() * sample.root
    middle = baseline.values.mean(axis=0)
    return middle - half, middle + half


def floors_of(baselines: Curves) -> dict[tuple[str, str], float]:
    """Least standard deviation over seeds of the curves of an environment and metric."""
    found: dict[tuple[str, str], float] = {}
    for (env_id, _, metric), curve in baselines.items():
        peak = float(np.nanmax(np.abs(curve.windows()), initial=0.0))
        found[env_id, metric] = max(found.get((env_id, metric), 0.0), FLOOR * peak)
    return found


@dataclass(frozen=True)
class _Sample:
    """Summaries of the seeds of both sides, `(seeds, w)`, and the least standard deviation `(w,)`."""

    base: Floats
    fresh: Floats
    floor: Floats
    base_seeds: tuple[int, ...]
    fresh_seeds: tuple[int, ...]

    @classmethod
    def mean(cls, parts: list[_Sample]) -> _Sample:
        """The average of several, each in units of its spread, over the seeds they share."""
        base, fresh = (
            tuple(sorted(set.intersection(*(set(seeds) for seeds in side))))
            for side in zip(*((part.base_seeds, part.fresh_seeds) for part in parts), strict=True)
        )
        pairs = [(part, np.where(part.spread() > 0, part.spread(), 1.0)) for part in parts]
        return cls(
            np.mean([_rows(part.base, part.base_seeds, base) / scale for part, scale in pairs], axis=0),
            np.mean([_rows(part.fresh, part.fresh_seeds, fresh) / scale for part, scale in pairs], axis=0),
            np.mean([part.floor / scale for part, scale in pairs], axis=0),
            base,
            fresh,
        )

    @property
    def df(self) -> int:
        return len(self.base) + len(self.fresh) - 2

    @property
    def root(self) -> float:
        """Standard error of the difference of means, in standard deviations."""
        return float((1 / len(self.base) + 1 / len(self.fresh)) ** 0.5)

    def spread(self) -> Floats:
        """Pooled standard deviation over seeds with its floor."""
        squares = sum(((side - side.mean(axis=0)) ** 2).sum(axis=0) for side in (self.base, self.fresh))
        return np.sqrt(squares / self.df + self.floor**2)

    def shift(self) -> Floats:
        """Difference of the means in spreads; 0 where they are equal."""
        difference = self.fresh.mean(axis=0) - self.base.mean(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(difference == 0, 0.0, difference / self.spread())

    def p(self) -> Floats:
        """Two-sided p values."""
        return 2 * stats.t.sf(np.abs(self.shift()) / self.root, self.df)


def _rows(values: Floats, seeds: tuple[int, ...], wanted: tuple[int, ...]) -> Floats:
    return values[[seeds.index(seed) for seed in wanted]]


def _groups(keys: Mapping[Key, object]) -> Iterator[tuple[Key, tuple[Key, ...]]]:
    """Groups of two or more curves, by key; none twice."""
    found: dict[Key, list[Key]] = {}
    for key in keys:
        env_id, algorithm, metric = key
        for group in ((ALL, algorithm, metric), (env_id, ALL, metric), (ALL, ALL, metric)):
            found.setdefault(group, []).append(key)
    seen = set()
    for group, members in found.items():
        if len(members) > 1 and tuple(members) not in seen:
            seen.add(tuple(members))
            yield group, tuple(members)
