"""Threads that start, allocate, hand over and die: the resident set must not grow with how many there were.

Every kept variant sees four thousand threads, one at a time; forty thousand where heaps are processors'.
``--seconds 3600`` gives the default variant an hour of up to four at a time, ``--seconds 3600 --churn-variant
NAME`` another one.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hakmem import build as builds
from hakmem import spec
from hakmem.build import Built

Program = Callable[[str], Path]
MOST_GROWTH = 0.05


def churn(
    program: Path, built: Built, threads: int, generations: int, seconds: int, flat: bool = True
) -> int:
    """Run the program, check its answer and that memory is flat, and give how many threads lived."""
    answer = subprocess.run(
        [str(program), str(threads), str(generations), str(seconds)],
        env={**os.environ, "LD_PRELOAD": str(built.library)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (answer.returncode, answer.stderr) == (0, ""), built.name
    found = re.fullmatch(r"(\d+) threads, (\d+) KiB, (\d+) KiB, (\S+ \S+)\n", answer.stdout)
    assert found and found[4] == f"{built.name} {built.digest}", answer.stdout
    born, early, peak = (int(found[number]) for number in (1, 2, 3))
    assert 0 < early <= peak
    assert not flat or peak <= early * (1 + MOST_GROWTH), f"{built.name}: {answer.stdout}"
    return born


@pytest.mark.parametrize("name", [item.name for item in builds.kept_variants() if item.interposable])
def test_four_thousand_threads_leave_no_memory_behind(
    name: str, kept: dict[str, Built], program: Program
) -> None:
    # what processors share wanders by a large block or three: only many threads tell that from a leak
    lent = kept[name].variant.policies["thread"].kind == "per_cpu"
    threads = 40_000 if lent else 4000
    assert churn(program("churn"), kept[name], 1, threads, 0) == threads


def test_up_to_four_threads_at_a_time_leave_no_memory_behind(
    request: pytest.FixtureRequest, program: Program
) -> None:
    """Without ``--seconds`` the resident set is not looked at: it takes minutes until it has settled."""
    seconds = int(request.config.getoption("--seconds", default=None) or 0)
    built = builds.build_one(
        str(request.config.getoption("--churn-variant", default=None) or spec.DEFAULT_VARIANT)
    )
    born = churn(program("churn"), built, 4, 0 if seconds else 1000, seconds, flat=seconds > 0)
    assert born >= 2500 or seconds
