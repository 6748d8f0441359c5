"""Workload rows: which workload with which named parameters, under a short label, and suites of them.

The loops themselves are C++ (cpp/hakmem/bench/); `catalogue` asks the runner what they are and take.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .errors import HakmemError, UnknownNameError


@dataclass(frozen=True)
class Row:
    """One line of a table of results: a workload with parameters; those not given have their defaults."""

    label: str
    workload: str
    params: Mapping[str, int] = field(default_factory=dict)

    @property
    def threads(self) -> int:
        """Threads that the row runs."""
        return int(self.params.get("threads", _THREADS.get(self.workload, 1)))

    @property
    def has_seed(self) -> bool:
        """Whether the workload draws anything at random."""
        return self.workload not in _WITHOUT_SEED

    @property
    def has_mean_rss(self) -> bool:
        """Whether its resident set is looked at while it runs."""
        return False

    def arguments(self, seed: int | None = None) -> list[str]:
        """The runner's arguments for this row."""
        params = dict(self.params)
        if seed is not None and self.has_seed:
            params.setdefault("seed", seed)
        words = ["--workload", self.workload]
        for name, value in params.items():
            words += ["--set", f"{name}={value}"]
        return words


_THREADS = {"larson": 1, "remote_mixed": 2, "producer_consumer": 2, "mid_large_mt": 2}
_WITHOUT_SEED = {"pair_16", "lifo", "fifo", "tiny_hot", "realloc_grow", "realloc_step", "startup"}

_ORDERS = ("lifo", "fifo", "random_free", "interleaved", "long_lived")
_PATTERN = [
    Row("pair 16 B", "pair_16"),
    *(
        Row(f"{order} 16 B, {live} live", order, {"size": 16, "live": live})
        for live in (100, 10_000)
        for order in _ORDERS
    ),
]
_MIXED = [
    Row("random_mixed, 256 slots", "random_mixed", {"working_set": 256}),
    Row("random_mixed, 400 slots", "random_mixed", {"working_set": 400}),
    Row("random_mixed, 8192 slots", "random_mixed", {"working_set": 8192}),
    Row("random_mixed, 1 M slots", "random_mixed", {"working_set": 1_000_000, "cycles": 2_000_000}),
]
_FIXED = [
    Row(f"fixed {size} B, 8192 slots", "fixed", {"size": size, "working_set": 8192})
    for size in (128, 256, 512, 1024)
]
_LARSON = [Row(f"larson, {threads} threads", "larson", {"threads": threads}) for threads in (1, 2, 4)]
_REMOTE = [
    Row(f"remote_mixed, {percent} % remote", "remote_mixed", {"remote_percent": percent})
    for percent in (0, 50, 90)
]
_TINY_HOT = Row("tiny_hot 64 B", "tiny_hot", {"size": 64})
_APP = Row("app", "app")
_BURST = Row("burst 100,000 live", "burst", {"live": 100_000})
_CALLOC = Row("calloc, 8192 slots", "calloc")
_REALLOC = [Row("realloc x1.5 to 128 KiB", "realloc_grow"), Row("realloc +16 to 2 KiB", "realloc_step")]
_MID = Row("mid 4-256 KiB", "mid")
_LARGE = Row("large 256 KiB-4 MiB", "large")
_PRODUCER = Row("producer/consumer 16-256 B", "producer_consumer")
_STARTUP = Row("startup", "startup")
# Between what a cache holds and what it does not: steps for the whole working set.
_MIXED_100K = Row("random_mixed, 100 k slots", "random_mixed", {"working_set": 100_000})

SUITES: dict[str, list[Row]] = {
    "default": [
        *_PATTERN,
        *_MIXED,
        _TINY_HOT,
        *_FIXED,
        _APP,
        *_LARSON,
        *_REMOTE,
        _PRODUCER,
        Row("mid_large_mt 8-32 KiB", "mid_large_mt"),
        Row("mid_large_mt 33-64 KiB", "mid_large_mt", {"min": 33 << 10, "max": 64 << 10}),
        Row("vm_mixed 512 KiB-2 MiB", "vm_mixed"),
        *_REALLOC,
        _CALLOC,
        _BURST,
        _MID,
        _LARGE,
        _STARTUP,
    ],
    "quick": [
        Row("lifo 16 B, 100 live", "lifo", {"size": 16, "live": 100}),
        Row("random_free 16 B, 10000 live", "random_free", {"size": 16, "live": 10_000}),
        Row("random_mixed, 400 slots", "random_mixed", {"working_set": 400}),
        Row("random_mixed, 8192 slots", "random_mixed", {"working_set": 8192}),
        _APP,
        Row("larson, 2 threads", "larson", {"threads": 2}),
        _BURST,
        _MID,
    ],
    "guards": [
        Row("lifo 16 B, 100 live", "lifo", {"size": 16, "live": 100}),
        Row("random_mixed, 400 slots", "random_mixed", {"working_set": 400}),
    ],
    "pattern16": list(_PATTERN),
    "random_mixed": list(_MIXED),
    # The rows on which allocators of the field are compared (docs/peers.md).
    "rivals": [
        *_PATTERN,
        *_MIXED[:-1],
        _MIXED_100K,
        _MIXED[-1],
        *_FIXED,
        _BURST,
        _MID,
        _LARGE,
        _CALLOC,
        *_REALLOC,
        *_LARSON,
        _PRODUCER,
    ],
}


def suite(name: str) -> list[Row]:
    """The rows of a suite; an unknown name is an `UnknownNameError`."""
    if name not in SUITES:
        raise UnknownNameError("suite", name, list(SUITES))
    return SUITES[name]


def row(label: str) -> Row:
    """The row of this label in any suite."""
    known = {item.label: item for rows in SUITES.values() for item in rows}
    if label not in known:
        raise UnknownNameError("workload row", label, list(known))
    return known[label]


def catalogue(runner: Path) -> list[dict[str, Any]]:
    """Every workload as the runner lists it: name, what one operation is, meaning, params."""
    answer = subprocess.run([str(runner), "--list"], capture_output=True, text=True, check=False, timeout=60)
    if answer.returncode != 0:
        raise HakmemError(f"{runner} --list failed with exit code {answer.returncode}")
    found: list[dict[str, Any]] = json.loads(answer.stdout)
    return found
