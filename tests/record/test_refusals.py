"""The behaviour suite while memory is refused: each call for some fails once in turn, and no test notices.

Five runs over a variant, each refusing every fifth call of each process. An engine that is refused gives
back what lies idle and asks again; what it lost or left half done the suite would find.
``--refused-variant NAME``, repeated, asks other variants than the default.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hakmem import build as builds
from hakmem import sources, spec

EVERY = 5


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = metafunc.config.getoption("--refused-variant", default=None) or [spec.DEFAULT_VARIANT]
    metafunc.parametrize("name", names)


@pytest.mark.parametrize("which", range(EVERY))
def test_no_test_notices_that_a_call_was_refused(
    name: str, which: int, program: Callable[..., Path], tmp_path: Path
) -> None:
    built = builds.build_one(name)
    log = tmp_path / "refusals"
    refusing = {
        "LD_PRELOAD": str(program("refusing", "-shared", "-fPIC")),
        "HAKMEM_REFUSE": f"{EVERY} {which}",
        "HAKMEM_REFUSE_LOG": str(log),
    }
    suite = [sys.executable, "-m", "pytest", str(sources.suite_folder()), "--variant", str(built.folder)]
    done = subprocess.run(
        [*suite, "-q", "-p", "no:cacheprovider"],
        env={**os.environ, **refusing},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    counts = [tuple(map(int, line.split())) for line in log.read_text().splitlines()]
    assert sum(calls for calls, _ in counts) >= EVERY
    assert sum(refused for _, refused in counts) >= 1
