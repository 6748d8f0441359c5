"""Contestants against the best rival of each row: time with intervals, memory, geometric means.

Rivals are libc and the peers of a run. On a row, time relative to the best rival is the largest of the paired
ratios to the rivals: the best rival itself stands at 1, another rival above it, and below 1 is ahead of them
all. The bootstrap draws whole rounds and looks for the best rival anew in each draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import stats
from .stats import RESAMPLES, SEED, Cells, Ratio

PICKED = "best variant per row"

_ROUNDING = 1e-9  # narrower is one value: of one round, or of rounds that agree

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Cell:
    """One contestant on one row.

    ``ns`` is the median per operation, ``net_ns`` that less the null allocator's, ``spread`` the coefficient
    of variation, ``time`` the ratio to the row's best rival; ``peak_kib`` the median peak RSS and ``memory``
    its ratio to the least of the rivals'.
    """

    ns: float
    net_ns: float | None
    spread: float
    time: Ratio
    peak_kib: float
    memory: float


@dataclass(frozen=True)
class Row:
    """One row: its best rival, the null allocator's time in ns, and each contestant's cell."""

    label: str
    best: str
    null_ns: float | None
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class Standing:
    """One contestant over all rows: geometric means of time and memory to the best rival, and its worst row.

    ``leads`` counts rows: for a variant those whose whole interval is below 1, for a rival those where it is
    the best of them.
    """

    name: str
    time: Ratio
    memory: float
    worst: Ratio
    worst_row: str
    leads: int


@dataclass(frozen=True)
class Comparison:
    """What a run says of its contestants against the best rival of each row, over ``rounds`` rounds.

    ``standings`` has every contestant and, when there are several variants, the best of them on each row,
    chosen by the very figures that are shown.
    """

    variants: Sequence[str]
    rivals: Sequence[str]
    rows: Sequence[Row]
    standings: Sequence[Standing]
    rounds: int

    def as_json(self) -> dict[str, Any]:
        """The comparison as what JSON can hold."""
        return {
            "rivals": list(self.rivals),
            "rounds": self.rounds,
            "rows": [
                {
                    "label": row.label,
                    "best_rival": row.best,
                    "null_ns": row.null_ns,
                    "cells": {
                        name: {**vars(cell), "time": vars(cell.time)} for name, cell in row.cells.items()
                    },
                }
                for row in self.rows
            ],
            "standings": [
                {**vars(item), "time": vars(item.time), "worst": vars(item.worst)} for item in self.standings
            ],
        }


def compare(
    found: Cells, variants: Sequence[str], rivals: Sequence[str], labels: Sequence[str]
) -> Comparison | None:
    """Compare contestants that ran every row; only rounds that all of their cells have count.

    None when there is no such round.
    """
    names = [*variants, *rivals]
    times = {
        key: {result.round: math.log(result.ns_per_op) for result in found.get(key, ())}
        for key in ((name, label) for name in names for label in labels)
    }
    rounds = sorted(set.intersection(*map(set, times.values()))) if times else []
    if not rounds or not rivals:
        return None
    logs = np.array([[[times[name, label][index] for index in rounds] for label in labels] for name in names])
    values, drawn = _to_best(logs, len(variants))
    rows = [
        _row(
            found,
            variants,
            rivals,
            label,
            [_ratio(values[who, at], drawn[who, at]) for who in range(len(names))],
        )
        for at, label in enumerate(labels)
    ]
    standings = [
        _standing(name, [name] * len(labels), rows, _ratio(values[at].mean(), drawn[at].mean(axis=0)))
        for at, name in enumerate(names)
    ]
    if len(variants) > 1:
        chosen = np.argmin(values[: len(variants)], axis=0)
        every = np.arange(len(labels))
        mean = _ratio(values[chosen, every].mean(), drawn[chosen, every].mean(axis=0))
        standings.append(_standing(PICKED, [names[at] for at in chosen], rows, mean))
    return Comparison(tuple(variants), tuple(rivals), rows, standings, len(rounds))


def _to_best(logs: _Floats, first_rival: int) -> tuple[_Floats, _Floats]:
    """Logarithms of the ratios to the best rival, by contestant and row: measured, and in each draw.

    ``logs`` are those of times by contestant, row and round; rivals are the last contestants.
    """
    count = logs.shape[2]
    draws = np.random.default_rng(SEED).integers(0, count, size=(RESAMPLES, count))
    values, drawn = [], []
    for row in np.swapaxes(logs, 0, 1):
        pairs = row[:, None, :] - row[None, first_rival:, :]
        values.append(np.median(pairs, axis=2).max(axis=1))
        drawn.append(np.median(pairs[:, :, draws], axis=3).max(axis=1))
    return np.array(values).T, np.swapaxes(np.array(drawn), 0, 1)


def _ratio(value: float, drawn: _Floats) -> Ratio:
    low, high = np.percentile(drawn, [2.5, 97.5])
    if high - low < _ROUNDING:
        low = high = value
    found, low, high = (float(np.exp(one)) for one in (value, low, high))
    return Ratio(found, min(found, low), max(found, high))


def _row(
    found: Cells, variants: Sequence[str], rivals: Sequence[str], label: str, ratios: Sequence[Ratio]
) -> Row:
    names = [*variants, *rivals]
    summaries = stats.summarise({key: found[key] for key in found if key[1] == label})
    least = min(summaries[name, label].peak_rss_kib for name in rivals)
    cells = {}
    for name, ratio in zip(names, ratios, strict=True):
        summary = summaries[name, label]
        cells[name] = Cell(
            ns=summary.ns_per_op,
            net_ns=summary.net_ns,
            spread=summary.cv,
            time=ratio,
            peak_kib=summary.peak_rss_kib,
            memory=summary.peak_rss_kib / least,
        )
    best = min(rivals, key=lambda name: (cells[name].time.value, cells[name].ns))
    null = summaries.get((stats.NULL, label))
    return Row(label, best, null.ns_per_op if null else None, cells)


def _standing(name: str, which: Sequence[str], rows: Sequence[Row], time: Ratio) -> Standing:
    """``which`` names the contestant whose cell counts, row by row."""
    cells = [row.cells[one] for row, one in zip(rows, which, strict=True)]
    worst = max(range(len(rows)), key=lambda at: cells[at].time.value)
    return Standing(
        name=name,
        time=time,
        memory=math.exp(sum(math.log(cell.memory) for cell in cells) / len(cells)),
        worst=cells[worst].time,
        worst_row=rows[worst].label,
        leads=sum(cell.time.high < 1 or row.best == name for row, cell in zip(rows, cells, strict=True)),
    )
