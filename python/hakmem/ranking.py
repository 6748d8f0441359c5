"""Ranking contestants by their time relative to libc, with intervals, a noise floor, ties and simplicity.

Pure computation over samples; nothing here runs or stores anything.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import axes
from .spec import Variant

_RESAMPLES = 2000
_COVERED = 95.0


@dataclass(frozen=True)
class Sample:
    """One measured process: ``cost`` is ns per operation, or seconds for a program; memory is in KiB."""

    contestant: str
    row: str
    round: int
    cost: float
    peak_rss_kib: int


@dataclass(frozen=True)
class Ratio:
    """A ratio with its 95 % bootstrap interval; below 1 is better than what it is relative to."""

    value: float
    low: float
    high: float

    def includes(self, value: float) -> bool:
        """Whether the interval holds ``value``."""
        return self.low <= value <= self.high


class Samples:
    """Samples by contestant, row and round. A later sample of the same three replaces an earlier one."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._cost: dict[tuple[str, str], dict[int, float]] = {}
        self._memory: dict[tuple[str, str], dict[int, int]] = {}
        for sample in samples:
            key = (sample.contestant, sample.row)
            self._cost.setdefault(key, {})[sample.round] = sample.cost
            self._memory.setdefault(key, {})[sample.round] = sample.peak_rss_kib

    def contestants(self) -> list[str]:
        """Every contestant with a sample, sorted."""
        return sorted({contestant for contestant, _row in self._cost})

    def rows(self, *contestants: str) -> list[str]:
        """The rows that all these contestants have, in the order of their first sample."""
        rows = list(dict.fromkeys(row for _contestant, row in self._cost))
        return [row for row in rows if all((name, row) in self._cost for name in contestants)]

    def costs(self, contestant: str, row: str) -> list[float]:
        """A cell's costs in the order of rounds."""
        cell = self._cost.get((contestant, row), {})
        return [cell[index] for index in sorted(cell)]

    def memory(self, contestant: str, row: str) -> float:
        """Median peak RSS of a cell, KiB; 0 when there is none."""
        cell = self._memory.get((contestant, row), {})
        return float(np.median(list(cell.values()))) if cell else 0.0

    def paired(self, contestant: str, baseline: str, row: str) -> dict[int, float]:
        """Logarithm of the cost ratio for every round that both have."""
        mine, base = self._cost.get((contestant, row), {}), self._cost.get((baseline, row), {})
        return {index: math.log(mine[index] / base[index]) for index in mine if index in base}


def row_ratio(samples: Samples, contestant: str, baseline: str, row: str, seed: int = 42) -> Ratio:
    """Median of the paired ratios of one row."""
    logs = np.array([list(samples.paired(contestant, baseline, row).values())])
    return _bootstrap(logs, seed)


def score(
    samples: Samples, contestant: str, baseline: str, rows: Sequence[str] | None = None, seed: int = 42
) -> Ratio:
    """Geometric mean over rows of the median paired ratio; rounds are resampled whole.

    A slow minute of the machine hits all rows of a round, so rows of one round are not independent and the
    round is the unit that is drawn again. Only rounds that every row has are used.
    """
    chosen = list(rows) if rows is not None else samples.rows(contestant, baseline)
    cells = [samples.paired(contestant, baseline, row) for row in chosen]
    common = sorted(set.intersection(*(set(cell) for cell in cells))) if cells else []
    if not common:
        raise ValueError(f"{contestant} and {baseline} have no round in which both ran every row")
    return _bootstrap(np.array([[cell[index] for index in common] for cell in cells]), seed)


def _bootstrap(logs: NDArray[np.float64], seed: int) -> Ratio:
    """``logs`` is rows by rounds."""
    value = float(np.exp(np.median(logs, axis=1).mean()))
    rounds = logs.shape[1]
    if rounds == 1:
        return Ratio(value, value, value)
    draws = np.random.default_rng(seed).integers(0, rounds, size=(_RESAMPLES, rounds))
    means = np.zeros(_RESAMPLES)
    for row in logs:
        means += np.median(row[draws], axis=1)
    tail = (100.0 - _COVERED) / 2
    low, high = np.percentile(np.exp(means / len(logs)), [tail, 100.0 - tail])
    return Ratio(value, min(value, float(low)), max(value, float(high)))


def noise_floor(samples: Samples, pairs: Mapping[str, str], rows: Sequence[str] | None = None) -> float:
    """How far two contestants that are the same come apart: the widest end of their intervals, less 1."""
    widest = 0.0
    for again, first in pairs.items():
        ratio = score(samples, again, first, rows)
        widest = max(widest, abs(math.log(ratio.low)), abs(math.log(ratio.high)))
    return math.exp(widest) - 1.0


def simplicity(variant: Variant) -> tuple[int, int, int, int, str]:
    """Sort key that says which of two variants is the simpler one: the smaller.

    In this order: fronts that it is composed of, axes off their default, options off their default, the
    place of its front in the table of axes, its name.
    """
    front = variant.policies["front"]
    fronts = sum(policy.kind != "bypass" for policy in front.walk())
    off_axes = sum(
        policy.kind != axes.AXIS[axis].default for axis, policy in variant.policies if axis != "front"
    )
    off_options = 0
    for axis, outer in variant.policies:
        for policy in outer.walk():
            kind = axes.AXIS[axis].kind(policy.kind)
            assert kind is not None
            off_options += sum(
                option.type != "policy" and policy[option.name] != option.default for option in kind.options
            )
    order = [kind.name for kind in axes.AXIS["front"].kinds]
    return fronts, off_axes, off_options, order.index(front.kind), variant.name


@dataclass(frozen=True)
class Verdict:
    """Who won: the fastest, those that tie with it (itself included), the simplest of them, and libc's part.

    ``winner`` is None when nothing was ranked; ``beats`` is whether the winner's interval lies below
    libc's time by more than the noise floor.
    """

    fastest: str | None
    tied: tuple[str, ...]
    winner: str | None
    beats: bool


def decide(
    samples: Samples,
    variants: Mapping[str, Variant],
    baseline: str,
    floor: float,
    rows: Sequence[str] | None = None,
) -> Verdict:
    """Rank ``variants`` (those with samples) and apply the tie rule: within the noise, the simpler wins."""
    scores = {name: score(samples, name, baseline, rows) for name in variants}
    if not scores:
        return Verdict(None, (), None, False)
    fastest = min(scores, key=lambda name: (scores[name].value, name))
    tied = []
    for name in scores:
        behind = score(samples, name, fastest, rows)
        if name == fastest or behind.includes(1.0) or behind.value <= 1.0 + floor:
            tied.append(name)
    tied.sort(key=lambda name: simplicity(variants[name]))
    winner = tied[0]
    return Verdict(fastest, tuple(tied), winner, scores[winner].high < 1.0 / (1.0 + floor))
