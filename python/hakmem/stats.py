"""Statistics over stored rows: medians, variation, paired ratios with intervals, noise floor, ties.

A ratio is time relative to a baseline: below 1 is faster. Ratios are paired within rounds, because a
machine's speed drifts between rounds. Nothing here measures.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats as scipy_stats

from .store import Result

_LEVEL = 0.95  # of intervals
_RESAMPLES = 2000
_ROUNDING = 1e-9  # narrower is one value: of one round, or of rounds that agree
SEED = 42
NULL = "null"

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Summary:
    """One cell (variant and row): median ns per operation, coefficient of variation, rounds, memory.

    ``net_ns`` is the median less the null allocator's of the same row: time that is the allocator's own.
    """

    variant: str
    label: str
    ns_per_op: float
    cv: float
    rounds: int
    peak_rss_kib: float
    startup_ns: float
    net_ns: float | None = None
    instructions_per_op: float | None = None
    syscalls_in_loop: int | None = None


@dataclass(frozen=True)
class Ratio:
    """A ratio with its 95 % interval."""

    value: float
    low: float
    high: float

    @property
    def tied(self) -> bool:
        """Whether the interval holds 1: no difference is established."""
        return self.low <= 1.0 <= self.high


Cells = Mapping[tuple[str, str], Sequence[Result]]


def cells(results: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    """Results by (variant, label), each list in the order of rounds."""
    found: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        found.setdefault((result.variant, result.label), []).append(result)
    for cell in found.values():
        cell.sort(key=lambda result: result.round)
    return found


def labels_of(found: Cells, *names: str) -> list[str]:
    """The rows that all these contestants have, in the order of first measuring."""
    labels = dict.fromkeys(label for _name, label in found)
    return [label for label in labels if all((name, label) in found for name in names)]


def median(values: Sequence[float]) -> float:
    """The median; NaN of nothing."""
    return float(np.median(values)) if len(values) else math.nan


def cv(values: Sequence[float]) -> float:
    """Coefficient of variation (sample standard deviation by mean); 0 for fewer than two values."""
    return float(scipy_stats.variation(values, ddof=1)) if len(values) > 1 else 0.0


def summarise(found: Cells) -> dict[tuple[str, str], Summary]:
    """One summary per cell, with the time less the null row where that row was run."""
    summaries = {}
    for (variant, label), cell in found.items():
        ns = median([result.ns_per_op for result in cell])
        null = found.get((NULL, label))
        last = cell[-1]
        summaries[variant, label] = Summary(
            variant=variant,
            label=label,
            ns_per_op=ns,
            cv=cv([result.ns_per_op for result in cell]),
            rounds=len(cell),
            peak_rss_kib=median([result.peak_rss_kib for result in cell]),
            startup_ns=median([result.startup_ns for result in cell]),
            net_ns=ns - median([result.ns_per_op for result in null]) if null else None,
            instructions_per_op=last.instructions_per_op,
            syscalls_in_loop=last.syscalls_in_loop,
        )
    return summaries


def _log_ratios(found: Cells, variant: str, baseline: str, label: str) -> dict[int, float]:
    base = {result.round: result.ns_per_op for result in found.get((baseline, label), ())}
    return {
        result.round: math.log(result.ns_per_op / base[result.round])
        for result in found.get((variant, label), ())
        if result.round in base
    }


def ratio(found: Cells, variant: str, baseline: str, label: str) -> Ratio | None:
    """Median of the per-round ratios of one row; None when they share no round."""
    return geometric_mean(found, variant, baseline, [label])


def geometric_mean(found: Cells, variant: str, baseline: str, labels: Sequence[str]) -> Ratio | None:
    """Geometric mean over rows of the median per-round ratio, with its interval.

    Of one row that is `median_interval`, of several a bootstrap: whole rounds are drawn again (a slow minute
    hits all rows of a round), so only rounds that every row has count. None when there is no such round.
    """
    logs = [_log_ratios(found, variant, baseline, label) for label in labels]
    rounds = sorted(set.intersection(*(set(row) for row in logs))) if logs else []
    if not rounds:
        return None
    table = np.array([[row[index] for index in rounds] for row in logs])
    if len(table) == 1:
        return median_ratio(table[0])
    means = np.mean([medians_drawn_again(row) for row in table], axis=0)
    return ratio_of_logs(np.median(table, axis=1).mean(), means)


def median_interval(values: Floats) -> tuple[float, float]:
    """What lies around the true median of values, one a round, in 95 of 100 races.

    Its ends are cut between two values on either side, by the signs of the rounds about the median, which are
    those of a coin whatever the values' distribution (W. R. Thompson, 1936, "On Confidence Ranges for the
    Median"; T. P. Hettmansperger and S. J. Sheather, 1986, "Confidence Intervals Based on Interpolated Order
    Statistics"). A bootstrap of so few values is too narrow: it named a difference in 5 to 16 % of simulated
    races of 4 to 10 rounds where there was none. Fewer than six values cannot be that sure: they give the
    smallest and the largest, which lie around it in 94 of 100 races of five, 88 of four, 75 of three.
    """
    ordered, count = np.sort(values), len(values)
    outer = max(1, int(scipy_stats.binom.ppf((1.0 - _LEVEL) / 2.0, count, 0.5)))
    covered, less = (1.0 - 2.0 * scipy_stats.binom.cdf([outer - 1, outer], count, 0.5)).tolist()
    inner = 0.0  # how far the ends go from the outer values to those next to them
    if covered > _LEVEL:
        part = (covered - _LEVEL) / (covered - less)
        inner = (count - outer) * part / (outer + (count - 2 * outer) * part)
    places = [outer - 1 + inner, count - outer - inner]
    low, high = np.interp(places, np.arange(count), ordered)
    return float(low), float(high)


def medians_drawn_again(values: Floats) -> Floats:
    """The median of values, one a round, over rounds drawn again: each time the same draws."""
    count = len(values)
    draws = np.random.default_rng(SEED).integers(0, count, size=(_RESAMPLES, count))
    return np.asarray(np.median(values[draws], axis=1))


def median_ratio(logs: Floats) -> Ratio:
    """The median of the ratios with these logarithms, one a round."""
    return _ratio(float(np.median(logs)), *median_interval(logs))


def ratio_of_logs(value: float, drawn: Floats) -> Ratio:
    """The ratio with this logarithm; its interval is that of the logarithms ``drawn`` again."""
    return _ratio(value, *np.quantile(drawn, [(1.0 - _LEVEL) / 2.0, (1.0 + _LEVEL) / 2.0]))


def _ratio(value: float, low: float, high: float) -> Ratio:
    if high - low < _ROUNDING:
        low = high = value
    found, low, high = (float(np.exp(one)) for one in (value, low, high))
    return Ratio(found, min(found, low), max(found, high))


def rank_correlation(pairs: Sequence[tuple[float, float]]) -> float | None:
    """How alike two measures rank the same things, -1 to 1 (Spearman, 1904); None of fewer than three."""
    if len(pairs) < 3:
        return None
    found = float(scipy_stats.spearmanr(*zip(*pairs, strict=True)).statistic)
    return None if math.isnan(found) else found


def row_noise(found: Cells, twins: Mapping[str, str], labels: Sequence[str]) -> float:
    """How far one contestant raced under two names comes apart, over the worst row: 0.03 is 3 %.

    ``twins`` maps the second name to the first. NaN when no pair shares a round.
    """
    widest = [
        abs(math.log(found_ratio.value))
        for again, first in twins.items()
        for label in labels
        if (found_ratio := ratio(found, again, first, label))
    ]
    return math.exp(max(widest)) - 1.0 if widest else math.nan


def ties(found: Cells, names: Sequence[str], labels: Sequence[str], floor: float) -> list[str]:
    """Those that are not slower than the fastest by more than noise, fastest first.

    Tied means: the interval of the ratio to the fastest holds 1, or the ratio is within ``floor``.
    """
    if not names:
        return []
    pivot = names[0]
    scores = {name: geometric_mean(found, name, pivot, labels) for name in names}
    ranked = sorted((name for name in names if scores[name]), key=lambda name: _value(scores[name]))
    if not ranked:
        return []
    behind = {name: geometric_mean(found, name, ranked[0], labels) for name in ranked}
    return [name for name in ranked if (own := behind[name]) and (own.tied or own.value <= 1.0 + floor)]


def _value(found: Ratio | None) -> float:
    return found.value if found else math.inf
