"""Long runs of a program that looks at every byte it wrote.

``pytest tests/record/test_soak.py --cycles 10000000`` gives every kept variant the long form.
"""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hakmem import build as builds
from hakmem.build import Built

Program = Callable[[str], Path]
LONG = 10_000_000
SHORT = 300_000


@pytest.fixture(scope="session")
def cycles(request: pytest.FixtureRequest) -> int:
    """Cycles for every kept variant; the default variant always has the long form."""
    return int(request.config.getoption("--cycles", default=None) or SHORT)


def soak(program: Path, built: Built, cycles: int, slots: int, seed: int, threads: int) -> None:
    answer = subprocess.run(
        [str(program), str(cycles // threads), str(slots), str(seed), str(threads)],
        env={**os.environ, "LD_PRELOAD": str(built.library)},
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )
    ended = signal.Signals(-answer.returncode).name if answer.returncode < 0 else answer.returncode
    where = f"{built.name}, {slots} slots, seed {seed}, {threads} threads"
    assert (ended, answer.stderr) == (0, ""), where
    assert answer.stdout.endswith(f", {built.name} {built.digest}\n"), where


@pytest.mark.parametrize(
    ("slots", "seed", "threads"), [(64, 1, 1), (400, 2, 2), (8192, 3, 1), (8192, 4, 4), (50_000, 5, 2)]
)
def test_memory_was_corrupt_after_200_000_cycles(
    slots: int, seed: int, threads: int, program: Program
) -> None:
    """Record, bug 11: tests stopped at 100,000 cycles, and the crash came later."""
    soak(program("soak"), builds.build_one("unified"), LONG, slots, seed, threads)


@pytest.mark.parametrize("name", [item.name for item in builds.kept_variants() if item.interposable])
def test_four_threads_found_an_invalid_pointer_and_then_no_memory(
    name: str, kept: dict[str, Built], program: Program, cycles: int
) -> None:
    """Record, bugs 3 and 23: batches moved without being counted; a slab recycled under its cached blocks."""
    soak(program("soak"), kept[name], cycles, 300, 7, 4)
    soak(program("soak"), kept[name], cycles, 6000, 8, 2)
