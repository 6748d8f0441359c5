"""What a process's history says: sizes, lifetimes, live bytes, threads, who frees whose blocks, reallocs.

Frames are taken one at a time; between them only the blocks' sizes, owners and births are kept.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .trace import ALIGNED, FREE, KINDS, REALLOC, Events, Process, Trace, TraceError

POINTS = 1000
"""Points of the curve of live bytes."""


@dataclass(frozen=True)
class Point:
    """Live memory over one stretch of the history: its first event, its clock, and the most that was live."""

    event: int
    ms: int
    live_bytes: int
    live_blocks: int


@dataclass(frozen=True)
class Summary:
    """One process.

    ``calls`` counts events by kind; ``sizes`` allocations by exact bytes (reallocs by their new size);
    ``lifetimes`` freed blocks by an upper bound of the allocations made while they lived, ``lifetimes_ms``
    by milliseconds (0: within one look at the clock). ``chains`` counts blocks by an upper bound of their
    reallocs. A free is ``cross_thread`` when another thread than the block's last allocating one makes it;
    ``unknown`` are reallocs and frees of blocks from before the recording. ``alignments`` counts aligned
    allocations by bytes. The peak's ``peak_event`` is the number of the event that reached it.
    """

    process: Process
    events: int
    milliseconds: int
    calls: dict[str, int] = field(default_factory=dict)
    threads: dict[int, int] = field(default_factory=dict)
    sizes: dict[int, int] = field(default_factory=dict)
    alignments: dict[int, int] = field(default_factory=dict)
    lifetimes: dict[int, int] = field(default_factory=dict)
    lifetimes_ms: dict[int, int] = field(default_factory=dict)
    chains: dict[int, int] = field(default_factory=dict)
    allocated_bytes: int = 0
    peak_bytes: int = 0
    peak_blocks: int = 0
    peak_event: int = 0
    live_bytes_at_end: int = 0
    live_blocks_at_end: int = 0
    cross_thread: int = 0
    unknown: int = 0
    live: tuple[Point, ...] = ()

    @property
    def frees(self) -> int:
        """Frees of blocks that the history knows."""
        return sum(self.lifetimes.values())

    @property
    def cross_thread_share(self) -> float:
        """Share of the known frees that another thread made; 0 without frees."""
        return self.cross_thread / self.frees if self.frees else 0.0

    def as_json(self) -> dict[str, Any]:
        """The fields as JSON takes them, with the shares."""
        return {**asdict(self), "frees": self.frees, "cross_thread_share": self.cross_thread_share}


def by_doubling(counts: dict[int, int]) -> dict[int, int]:
    """Counts by value gathered under the powers of two that bound them: 5 and 8 under 8, 0 under 0."""
    found: dict[int, int] = {}
    for value, count in sorted(counts.items()):
        bound = 1 << (value - 1).bit_length() if value else 0
        found[bound] = found.get(bound, 0) + count
    return found


def summarise(trace: Trace, process: Process) -> Summary:
    """Count one process's history; a frame that contradicts itself is a `TraceError`."""
    counter = _Counter(trace.count(process.number))
    for events in trace.events(process.number):
        counter.add(events)
    return counter.summary(process)


class _Array:
    """An array that grows."""

    def __init__(self, kind: type) -> None:
        self._held: NDArray[Any] = np.zeros(1 << 16, kind)
        self.count = 0

    def append(self, values: NDArray[Any]) -> None:
        wanted = self.count + len(values)
        if wanted > len(self._held):
            self._held = np.resize(self._held, max(wanted, 2 * len(self._held)))
        self._held[self.count : wanted] = values
        self.count = wanted

    @property
    def values(self) -> NDArray[Any]:
        return self._held[: self.count]


class _Counter:
    def __init__(self, total: int) -> None:
        self._total = max(total, 1)
        self._events = 0
        self._first_ms: int | None = None
        self._last_ms = 0
        self._live = 0
        self._blocks = 0
        self._peak = (0, 0, 0)
        self._allocated = 0
        self._cross = 0
        self._unknown = 0
        self._calls = np.zeros(len(KINDS), np.int64)
        self._threads: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._alignments: dict[int, int] = {}
        self._lifetimes: dict[int, int] = {}
        self._lifetimes_ms: dict[int, int] = {}
        self._points: list[Point] = []
        # by block, in the order of their making
        self._size = _Array(np.int64)
        self._owner = _Array(np.uint32)
        self._born_ms = _Array(np.uint64)
        self._reallocs = _Array(np.uint32)

    def add(self, events: Events) -> None:
        count = len(events)
        if count == 0:
            return
        births = events.kinds <= ALIGNED
        made = self._size.count + np.cumsum(births)
        known = (events.kinds >= REALLOC) & (events.ages > 0)
        block = made - 1 - np.where(known, events.ages - np.uint64(1), np.uint64(0)).astype(np.int64)
        if np.any(block[known] < 0):
            raise TraceError("trace: a frame frees a block that was never made")
        self._unknown += int(np.count_nonzero((events.kinds >= REALLOC) & ~known))
        fresh = np.flatnonzero(births)
        self._size.append(np.zeros(len(fresh), np.int64))
        self._owner.append(events.threads[fresh])
        self._born_ms.append(events.ms[fresh])
        self._reallocs.append(np.zeros(len(fresh), np.uint32))

        touched = np.flatnonzero(births | known)
        change = np.zeros(count, np.int64)
        change[touched] = self._follow(events, touched, block[touched])
        self._count_lives(events, np.flatnonzero(known & (events.kinds == FREE)), block, made)
        self._calls += np.bincount(events.kinds, minlength=len(KINDS))
        _merge(self._threads, events.threads)
        asked = events.sizes[events.kinds <= REALLOC]
        _merge(self._sizes, asked)
        _merge(self._alignments, events.alignments[events.kinds == ALIGNED])
        self._allocated += int(asked.sum())
        self._follow_live(events, change, births.astype(np.int64) - (known & (events.kinds == FREE)))
        self._events += count

    def _follow(self, events: Events, touched: NDArray[Any], block: NDArray[Any]) -> NDArray[Any]:
        """How each of these events changes the live bytes; keeps each block's new size and owner."""
        order = np.argsort(block, kind="stable")
        blocks, at = block[order], touched[order]
        sizes = events.sizes[at].astype(np.int64)
        threads, kinds = events.threads[at], events.kinds[at]
        same = np.zeros(len(at), np.bool_)  # as the one before: its size and owner are what was
        same[1:] = blocks[1:] == blocks[:-1]
        before = np.where(same, np.roll(sizes, 1), self._size.values[blocks])
        owners = np.where(same, np.roll(threads, 1), self._owner.values[blocks])
        self._cross += int(np.count_nonzero((kinds == FREE) & (owners != threads)))
        last = np.ones(len(at), np.bool_)
        last[:-1] = ~same[1:]
        self._size.values[blocks[last]] = sizes[last]
        self._owner.values[blocks[last]] = threads[last]
        np.add.at(self._reallocs.values, blocks[kinds == REALLOC], 1)
        change = np.empty(len(at), np.int64)
        change[order] = sizes - before
        return change

    def _count_lives(
        self, events: Events, frees: NDArray[Any], block: NDArray[Any], made: NDArray[Any]
    ) -> None:
        _merge(self._lifetimes, _bounds(made[frees] - 1 - block[frees]))
        born = self._born_ms.values[block[frees]].astype(np.int64)
        _merge(self._lifetimes_ms, _bounds(np.maximum(events.ms[frees].astype(np.int64) - born, 0)))

    def _follow_live(self, events: Events, change: NDArray[Any], blocks_change: NDArray[Any]) -> None:
        live = self._live + np.cumsum(change)
        blocks = self._blocks + np.cumsum(blocks_change)
        top = int(np.argmax(live))
        if int(live[top]) > self._peak[0]:
            self._peak = (int(live[top]), int(blocks[top]), self._events + top)
        ms = events.ms.astype(np.int64)
        if self._first_ms is None:
            self._first_ms = int(ms[0])
        place = (self._events + np.arange(len(live))) * POINTS // self._total
        starts = np.flatnonzero(np.diff(place, prepend=-1))
        most = np.maximum.reduceat(live, starts)
        most_blocks = np.maximum.reduceat(blocks, starts)
        for i, start in enumerate(starts.tolist()):
            self._points.append(
                Point(
                    self._events + start,
                    int(ms[start]) - self._first_ms,
                    int(most[i]),
                    int(most_blocks[i]),
                )
            )
        self._live, self._blocks, self._last_ms = int(live[-1]), int(blocks[-1]), int(ms[-1])

    def summary(self, process: Process) -> Summary:
        reallocs = self._reallocs.values
        chains: dict[int, int] = {}
        _merge(chains, _bounds(reallocs[reallocs > 0].astype(np.int64)))
        return Summary(
            process=process,
            events=self._events,
            milliseconds=self._last_ms - (self._first_ms or 0) if self._events else 0,
            calls=dict(zip(KINDS, self._calls.tolist(), strict=True)),
            threads=dict(sorted(self._threads.items())),
            sizes=dict(sorted(self._sizes.items())),
            alignments=dict(sorted(self._alignments.items())),
            lifetimes=dict(sorted(self._lifetimes.items())),
            lifetimes_ms=dict(sorted(self._lifetimes_ms.items())),
            chains=dict(sorted(chains.items())),
            allocated_bytes=self._allocated,
            peak_bytes=self._peak[0],
            peak_blocks=self._peak[1],
            peak_event=self._peak[2],
            live_bytes_at_end=self._live,
            live_blocks_at_end=self._blocks,
            cross_thread=self._cross,
            unknown=self._unknown,
            live=tuple(self._points),
        )


def _merge(counts: dict[int, int], values: NDArray[Any]) -> None:
    for value, count in zip(*(part.tolist() for part in np.unique(values, return_counts=True)), strict=True):
        counts[value] = counts.get(value, 0) + count


def _bounds(values: NDArray[Any]) -> NDArray[Any]:
    """The powers of two that bound values from above; 0 stays 0."""
    bits = np.where(values > 1, np.ceil(np.log2(np.maximum(values, 1).astype(np.float64))), 0.0)
    return np.where(values > 0, np.left_shift(1, bits.astype(np.int64)), 0)
