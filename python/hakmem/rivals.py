"""Contestants against the best rival of each row: time with intervals, memory, geometric means.

Rivals are libc and the peers of a run. The best rival of a row is the fastest of them over all rounds, each
round's times taken relative to the round's mean over the rivals; every ratio is paired within rounds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import stats
from .stats import Cells, Floats, Ratio, medians_drawn_again, ratio_of_logs

PICKED = "best variant per row"


@dataclass(frozen=True)
class Cell:
    """One contestant on one row.

    ``ns`` is the median per operation, ``net_ns`` that less the null allocator's, ``spread`` the coefficient
    of variation, ``time`` the ratio to the row's best rival; ``peak_kib`` the median peak RSS less the arrays
    of the loop, and ``memory`` its ratio to the least of the rivals'.
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

    ``leads`` counts rows: those whose whole interval is below 1, and of a rival those where it is the best.
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
    best, to_best = _to_best(logs, len(variants))
    values = np.median(to_best, axis=2)
    drawn = np.array([[medians_drawn_again(cell) for cell in row] for row in to_best])
    rows = [
        _row(
            found,
            len(variants),
            names,
            label,
            names[best[at]],
            [stats.median_ratio(to_best[who, at]) for who in range(len(names))],
        )
        for at, label in enumerate(labels)
    ]
    standings = [
        _standing(name, [name] * len(labels), rows, ratio_of_logs(values[at].mean(), drawn[at].mean(axis=0)))
        for at, name in enumerate(names)
    ]
    if len(variants) > 1:
        chosen = np.argmin(values[: len(variants)], axis=0)
        every = np.arange(len(labels))
        mean = ratio_of_logs(values[chosen, every].mean(), drawn[chosen, every].mean(axis=0))
        standings.append(_standing(PICKED, [names[at] for at in chosen], rows, mean))
    return Comparison(tuple(variants), tuple(rivals), rows, standings, len(rounds))


def _to_best(logs: Floats, first_rival: int) -> tuple[list[int], Floats]:
    """The best rival of each row, and the logarithms of the ratios to it by contestant, row and round.

    ``logs`` are those of times by contestant, row and round; rivals are the last contestants.
    """
    rivals = logs[first_rival:]
    level = np.median(rivals - rivals.mean(axis=0), axis=2)
    best = first_rival + np.argmin(level, axis=0)
    pairs = logs - logs[best, np.arange(logs.shape[1])]
    return [int(at) for at in best], pairs


def _row(
    found: Cells, variants: int, names: Sequence[str], label: str, best: str, ratios: Sequence[Ratio]
) -> Row:
    summaries = stats.summarise({key: found[key] for key in found if key[1] == label})
    peaks = {
        name: stats.median([one.peak_rss_kib - one.harness_kib for one in found[name, label]])
        for name in names
    }
    least = min(peaks[name] for name in names[variants:])
    cells = {
        name: Cell(
            ns=summaries[name, label].ns_per_op,
            net_ns=summaries[name, label].net_ns,
            spread=summaries[name, label].cv,
            time=ratio,
            peak_kib=peaks[name],
            memory=peaks[name] / least,
        )
        for name, ratio in zip(names, ratios, strict=True)
    }
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
