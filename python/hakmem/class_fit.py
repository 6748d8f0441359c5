"""Size classes fitted to a program: the list of block sizes that wastes the least on what lives at its peak.

What counts is the memory that rounding up loses when the most is live, so the sizes are those of the blocks
that are live then. Idea: Grunwald and Zorn, 1993, "CustoMalloc".
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from .trace import ALIGNED, FREE, REALLOC, Process, Trace

GRANULE = 16
CLASSES = 40
LARGEST = 32768
_ASKED = 0.1
_DEAD = -1
_HUGE = (1 << 31) - 1


def live_sizes(trace: Trace, process: Process, event: int) -> dict[int, int]:
    """How many blocks of each size are live right after an event of a process's history, by bytes."""
    sizes = np.full(trace.count(process.number), _DEAD, np.int32)
    seen = made = 0
    for frame in trace.events(process.number):
        count = min(len(frame), event + 1 - seen)
        kinds, ages = frame.kinds[:count], frame.ages[:count].astype(np.int64)
        births = kinds <= ALIGNED
        so_far = made + np.cumsum(births)
        block = np.where(births, so_far - 1, so_far - ages)
        value = np.where(kinds == FREE, _DEAD, np.minimum(frame.sizes[:count], _HUGE).astype(np.int64))
        at = np.flatnonzero(births | ((kinds >= REALLOC) & (ages > 0)))
        sizes[block[at]] = value[at]  # of several events of one block the last one stays
        seen, made = seen + count, int(so_far[-1]) if count else made
        if seen > event:
            break
    found, counts = np.unique(sizes[sizes != _DEAD], return_counts=True)
    return dict(zip(found.tolist(), counts.tolist(), strict=True))


def geometric4(largest: int = LARGEST) -> tuple[int, ...]:
    """The block sizes of the class map `geometric4`."""
    sizes = [GRANULE]
    while sizes[-1] < largest:
        step = GRANULE
        while step * 8 <= sizes[-1]:
            step *= 2
        sizes.append(sizes[-1] + step)
    return tuple(sizes)


def weighed(live: Mapping[int, int], asked: Mapping[int, int]) -> dict[int, float]:
    """Live blocks by size, and all that were ever asked for as if they were a tenth as many.

    Without these a size that never lives at the peak would be rounded up to anything.
    """
    share = _ASKED * sum(live.values()) / max(1, sum(asked.values()))
    return {size: live.get(size, 0) + share * asked.get(size, 0) for size in sorted({*live, *asked})}


def fit(sizes: Mapping[int, float], classes: int = CLASSES, largest: int = LARGEST) -> tuple[int, ...]:
    """At most so many block sizes, the last one ``largest``, that lose the least bytes on these sizes.

    Sizes beyond ``largest`` are no small blocks and do not count. Exact, by dynamic programming over the
    distinct sizes in granules.
    """
    weights: dict[int, float] = {}
    for size, count in sizes.items():
        if size <= largest:
            rounded = max(GRANULE, -(-size // GRANULE) * GRANULE)
            weights[rounded] = weights.get(rounded, 0.0) + count
    weights.setdefault(largest, 0.0)
    bounds = np.array(sorted(weights), np.int64)
    counts = np.array([weights[bound] for bound in bounds.tolist()])
    number = len(bounds)
    before = np.concatenate(([0.0], np.cumsum(counts)))  # blocks of the first i sizes
    taken = np.full(number + 1, np.inf)  # bytes of the first j sizes when the last class is bounds[j - 1]
    taken[0] = 0.0
    choices = []
    for _ in range(min(classes, number)):
        # from i sizes in earlier classes to j: one more class of bounds[j - 1] for sizes i .. j - 1
        cost = taken[:, None] + (before[None, 1:] - before[:, None]) * bounds[None, :]
        cost[np.arange(number + 1)[:, None] > np.arange(number)[None, :]] = np.inf
        best = np.argmin(cost, axis=0)
        choices.append(best)
        taken = np.concatenate(([np.inf], cost[best, np.arange(number)]))
    chosen = []
    end = number
    for best in reversed(choices):
        chosen.append(int(bounds[end - 1]))
        end = int(best[end - 1])
        if end == 0:
            break
    return tuple(reversed(chosen))


def lost_bytes(sizes: Mapping[int, int], classes: tuple[int, ...]) -> int:
    """Bytes that rounding up to these classes loses on blocks of these sizes, larger ones left out."""
    bounds = np.array(classes, np.int64)
    asked = np.array([size for size in sizes if size <= classes[-1]], np.int64)
    counts = np.array([sizes[size] for size in asked.tolist()], np.int64)
    return int(((bounds[np.searchsorted(bounds, asked)] - asked) * counts).sum())
