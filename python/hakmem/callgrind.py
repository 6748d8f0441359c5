"""Instructions per operation, counted by callgrind, in two ways that must agree.

- *difference*: a run with N passes and one with 2N; what the second has more is N passes of loop and
  allocator. The null allocator's own difference, less its few instructions, is the loop, and is taken off.
- *toggled*: only instructions below the entry of malloc and its kin are collected; again 2N less N.

Both leave the loop and the two call instructions out and have everything from entry to ``ret``. A figure
below 1 instruction per operation is refused: its denominator is wrong.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .errors import HakmemError
from .workloads import Row

# cfree and the new and delete family may be other names of the same code.
_ENTRIES = (
    "malloc",
    "free",
    "cfree",
    "calloc",
    "realloc",
    "operator new(*",
    "operator new[](*",
    "operator delete(*",
    "operator delete[](*",
)
_NULL_ENTRIES = tuple(f"hakmem_null_{name}" for name in ("malloc", "free", "calloc", "realloc"))
_TIMEOUT_S = 600
_AGREE = 0.02

# Loop and null allocator per runner and row: instructions per operation, and operations counted.
_loops: dict[tuple[str, ...], tuple[float, float, int]] = {}


@dataclass(frozen=True)
class Instructions:
    """Instructions per operation of one row, loop excluded: by difference and by toggling."""

    per_op: float
    toggled: float
    loop_per_op: float
    ops: int
    counter: str = "callgrind"

    @property
    def agree(self) -> bool:
        """Whether the two ways are within 2 % or half an instruction of each other."""
        return abs(self.per_op - self.toggled) <= max(0.5, _AGREE * self.per_op)

    def __str__(self) -> str:
        word = "agree" if self.agree else "DISAGREE"
        return (
            f"{self.per_op:.1f} instructions per operation by difference, {self.toggled:.1f} toggled "
            f"({word}; loop {self.loop_per_op:.1f}; {self.ops} operations; {self.counter})"
        )


def available() -> bool:
    """Whether valgrind is on this machine."""
    return shutil.which("valgrind") is not None


def countable(row: Row) -> bool:
    """Whether a row's passes are alike, so that their instructions can be counted."""
    return row.threads == 1 and row.workload not in ("larson", "startup")


def per_op(more: int, fewer: int, ops: int, what: str) -> float:
    """Difference of two counts by operations; refuses fewer than 1 instruction per operation."""
    value = (more - fewer) / ops if ops > 0 else 0.0
    if value < 1.0:
        raise HakmemError(
            f"{what}: expected at least 1 instruction per operation, got {value:.3f} "
            f"({more} - {fewer} instructions by {ops} operations): the count is not of these operations"
        )
    return value


def count(
    runner: Path,
    row: Row,
    environment: Mapping[str, str],
    seed: int | None = None,
    passes: int = 1,
    allocator: str = "process",
) -> Instructions:
    """Instructions per operation of ``row`` under the allocator that ``environment`` preloads.

    Takes some seconds: four runs of the runner under valgrind, four more for a row's loop. Rows of more
    than one thread, `larson` and `startup` are refused, as their passes are not alike.
    """
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise HakmemError(
            "counting instructions needs valgrind, which is not in PATH (Debian: apt install valgrind)"
        )
    if not countable(row):
        raise HakmemError(f"instructions of {row.label!r} cannot be counted: its passes are not alike")

    def difference(which: str, entries: tuple[str, ...], env: Mapping[str, str]) -> tuple[float, int]:
        few, few_ops = _collect(valgrind, runner, row, seed, passes, which, entries, env)
        many, many_ops = _collect(valgrind, runner, row, seed, 2 * passes, which, entries, env)
        ops = many_ops - few_ops
        return per_op(many, few, ops, f"callgrind, {row.label}"), ops

    key = (str(runner), *row.arguments(seed), str(passes))
    if key not in _loops:
        plain = {name: value for name, value in environment.items() if name != "LD_PRELOAD"}
        null_whole, ops = difference("null", (), plain)
        null_own, _ = difference("null", _NULL_ENTRIES, plain)
        _loops[key] = null_whole - null_own, null_own, ops
    loop, null_own, ops = _loops[key]
    if allocator == "null":
        return Instructions(null_own, null_own, loop, ops)
    whole, ops = difference("process", (), environment)
    toggled, _ = difference("process", _ENTRIES, environment)
    own = whole - loop
    if own < 1.0:
        raise HakmemError(
            f"callgrind, {row.label}: expected at least 1 instruction per operation, got {own:.3f}"
        )
    return Instructions(own, toggled, loop, ops)


def _collect(
    valgrind: str,
    runner: Path,
    row: Row,
    seed: int | None,
    passes: int,
    allocator: str,
    entries: tuple[str, ...],
    environment: Mapping[str, str],
) -> tuple[int, int]:
    """Instructions collected, and operations of the counted passes."""
    command = [valgrind, "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    command += [f"--toggle-collect={entry}" for entry in entries]
    command += [str(runner), *row.arguments(seed), "--passes", str(passes), "--allocator", allocator]
    answer = subprocess.run(
        command,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    collected = re.search(r"Collected : (\d+)", answer.stderr)
    ops = re.search(r'"ops": (\d+)', answer.stdout)
    if answer.returncode != 0 or not collected or not ops:
        last = (answer.stderr.strip().splitlines() or ["no output"])[-1]
        raise HakmemError(f"callgrind, {row.label}: exit code {answer.returncode}: {last}")
    return int(collected[1]), int(ops[1])
