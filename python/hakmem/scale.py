"""How the cost of an operation grows with threads, with live blocks and with the size of the heap.

Three questions, each a list of rows of existing workloads with one parameter growing, raced by `bench`:
fresh processes, interleaved, with proof of service. A process whose resident memory passes a bound is ended.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import bench, stats
from . import build as builds
from .bench import Contestant
from .stats import Ratio
from .store import Result
from .workloads import Row

RUN_SEED = 42
THREADS = (1, 2, 4, 8, 16)
LIVE = (10**2, 10**3, 10**4, 10**5, 10**6, 10**7)
HEAP_MIB = (16, 64, 256, 1024, 4096, 8192)
QUICK_LIVE = 10**5
QUICK_HEAP_MIB = 256
BOUND_KIB = 10 << 20
_SMALL = {"min": 16, "max": 64}
_LARGER_KIB = (64, 512)
_CYCLES = 1_000_000
_BOUNDED = Path(__file__).resolve().parent / "_programs" / "bounded.py"


@dataclass(frozen=True)
class Curve:
    """One question: what grows along ``axis``, and the row at each value of it."""

    name: str
    title: str
    axis: str
    meaning: str
    rows: Mapping[int, Row]


@dataclass(frozen=True)
class Point:
    """One contestant at one value: median ns per operation over rounds, with its 95 % interval.

    ``net_ns`` is less the null allocator's time, ``ratio`` the time to libc's; ``peak_kib`` is the median
    peak RSS less the arrays of the loop.
    """

    ns: Ratio
    net_ns: float | None
    ratio: Ratio | None
    peak_kib: float


def curves(
    quick: bool = False,
    threads: Sequence[int] = THREADS,
    live: Sequence[int] = LIVE,
    heap_mib: Sequence[int] = HEAP_MIB,
    cycles: int = _CYCLES,
) -> list[Curve]:
    """The questions; ``quick`` stops at `QUICK_LIVE` blocks and `QUICK_HEAP_MIB`."""
    each = {"cycles": max(1, cycles // 10), "working_set": 8192}
    low, high = (kib << 10 for kib in _LARGER_KIB)
    return [
        Curve(
            "mixed",
            "Threads that keep to themselves",
            "threads",
            "Each thread toggles slots of its own, 16-1040 B. ns of wall time per operation of all threads.",
            {
                count: Row(
                    f"mixed, {count} threads", "mid_large_mt",
                    {"threads": count, **each, "min": 16, "max": 1040},
                )
                for count in threads
            },
        ),
        Curve(
            "cross",
            "Threads that free for each other",
            "threads",
            "Each thread toggles slots, 16-2048 B, and sends half of its frees to the next "
            "thread (one thread: to itself). ns of wall time per operation of all threads.",
            {
                count: Row(f"cross-thread, {count} threads", "remote_mixed", {"threads": count, **each})
                for count in threads
            },
        ),
        Curve(
            "live",
            "Live blocks",
            "live blocks",
            "16-64 B, allocated and freed in a drawn order at a steady number of live blocks.",
            {
                count: Row(
                    f"{count:,} live blocks", "random_mixed",
                    {"working_set": 2 * count, "cycles": max(cycles, 2 * count), **_SMALL},
                )
                for count in live
                if not quick or count <= QUICK_LIVE
            },
        ),
        Curve(
            "heap",
            "Heap",
            "MiB live",
            f"{_LARGER_KIB[0]}-{_LARGER_KIB[1]} KiB, the first word of each touched: memory is spread thin.",
            {
                mib: Row(
                    f"{mib:,} MiB live", "random_mixed",
                    {
                        "working_set": max(2, 2 * (mib << 20) // ((low + high) // 2)),
                        "cycles": max(1, cycles // 10),
                        "min": low,
                        "max": high,
                    },
                )
                for mib in heap_mib
                if not quick or mib <= QUICK_HEAP_MIB
            },
        ),
    ]  # fmt: skip


def bound_kib() -> int:
    """Resident memory that a process may have: `BOUND_KIB`, or 80 % of what is free if that is less."""
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        if line.startswith("MemAvailable:"):
            return min(BOUND_KIB, int(line.split()[1]) * 8 // 10)
    return BOUND_KIB


def measure(runner: Path, who: Contestant, row: Row, min_ms: int, most_kib: int) -> Mapping[str, Any]:
    """One row in one process that may have ``most_kib`` resident; proved to be the contestant's."""
    command = [sys.executable, "-I", "-S", str(_BOUNDED), str(most_kib), str(runner)]
    command += [*row.arguments(RUN_SEED), "--allocator", who.allocator, "--cpu", bench.pinning(row.threads)]
    answer, log = bench.answer_of([*command, "--min-ms", str(min_ms)], who, row, bench.TIMEOUT_S)
    return answer | {"served_share": bench.served_share(who, row, answer, log)}


def measurer(min_ms: int = bench.MIN_MS) -> bench.Measure:
    """How `bench.run` measures a row here."""
    runner, most = builds.runner(), bound_kib()
    return lambda who, row: measure(runner, who, row, min_ms, most)


def points(results: Sequence[Result], names: Sequence[str], curve: Curve) -> dict[str, dict[int, Point]]:
    """A curve's points by contestant and value; a contestant that left has those that it reached."""
    cells = stats.cells(results)
    found: dict[str, dict[int, Point]] = {}
    for name in names:
        own = {}
        for value, row in curve.rows.items():
            cell = cells.get((name, row.label))
            if not cell:
                continue
            null = cells.get((stats.NULL, row.label))
            times = [one.ns_per_op for one in cell]
            ns = interval(times)
            own[value] = Point(
                ns,
                ns.value - stats.median([one.ns_per_op for one in null]) if null else None,
                stats.ratio(cells, name, "libc", row.label),
                stats.median([max(0, one.peak_rss_kib - one.harness_kib) for one in cell]),
            )
        if own:
            found[name] = own
    return found


def interval(values: Sequence[float]) -> Ratio:
    """The median with its 95 % interval, see `stats.median_interval`."""
    middle = stats.median(values)
    if math.isnan(middle):
        return Ratio(middle, middle, middle)
    return Ratio(middle, *stats.median_interval(np.array(values)))
