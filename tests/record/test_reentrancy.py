"""Allocation in every place where a process may allocate."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hakmem import build as builds
from hakmem.build import Built

STAGES = ["constructor", "threads", "signals", "forks", "atexit", "static destructor", "destructor"]


def on(built: Built, program: Path) -> subprocess.CompletedProcess[str]:
    """The program, run to its end on a variant's malloc library."""
    return subprocess.run(
        [str(program)],
        env={**os.environ, "LD_PRELOAD": str(built.library)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize("name", [item.name for item in builds.kept_variants() if item.interposable])
def test_the_wrapper_called_itself_while_it_started(
    name: str, kept: dict[str, Built], program: Callable[[str], Path]
) -> None:
    """Record, bug 20: the start of the allocator allocated, and hung or never came back.

    Blocks are asked for before main, while threads end, in handlers of signals, forks and the exit.
    """
    answer = on(kept[name], program("reentrant"))
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split("\n")[:-1] == STAGES


@pytest.mark.parametrize("name", [item.name for item in builds.kept_variants() if item.interposable])
def test_a_fork_waited_for_its_own_locks(
    name: str, kept: dict[str, Built], program: Callable[[str], Path]
) -> None:
    """A fork in a signal handler, or beside threads in getline and fflush(NULL), never came back."""
    answer = on(kept[name], program("forks"))
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "signal\nfiles\n", "")
