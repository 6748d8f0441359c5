"""The suite over every kept variant and every variant of the sweep `covering`, each in its own process."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Mapping

import pytest

from hakmem import build as builds
from hakmem import check as checks
from hakmem import sweeps
from hakmem.build import BuildFailure, Built
from hakmem.spec import Variant


@functools.cache
def every_variant() -> Mapping[str, Variant]:
    return {item.name: item for item in [*builds.kept_variants(), *sweeps.covering()]}


@pytest.fixture(scope="session")
def results(request: pytest.FixtureRequest) -> Mapping[str, Built | BuildFailure]:
    """The variants that this run asks for, all built in one go."""
    names = [
        str(item.callspec.params["listed"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "results" in item.fixturenames
    ]
    return builds.build(every_variant()[name] for name in names)


@pytest.mark.parametrize("listed", list(every_variant()))
def test_a_variant_passes_the_suite(listed: str, results: Mapping[str, Built | BuildFailure]) -> None:
    """Record, bug 6: a path that had never been run crashed as soon as another change led to it.

    Nothing is raced before this has passed. A crash is reported by the name of its signal.
    """
    result = results[listed]
    if isinstance(result, BuildFailure):
        pytest.fail(f"{listed} did not build: {result.message}\n{result.log}", pytrace=False)
    outcome = checks.check(result, timeout_s=300, fresh=True)
    if not outcome.passed:
        pytest.fail(f"{listed}: {outcome.reason}\n{outcome.log}", pytrace=False)


LOADS_ALL = """
import ctypes, sys, threading
pointer, size = ctypes.c_void_p, ctypes.c_size_t
libraries = [ctypes.CDLL(path) for path in sys.argv[1:]]
for library in libraries:
    library.malloc.restype, library.malloc.argtypes = pointer, [size]
    library.free.argtypes = library.hakmem_owns.argtypes = [pointer]
def work():
    held = [[library.malloc(n) for n in (16, 300, 5000, 70_000, 2 << 20)] for library in libraries]
    for mine, blocks in zip(libraries, held):
        for p in blocks:
            owners = [library for library in libraries if library.hakmem_owns(p)]
            assert owners == [mine]
            mine.free(p)
    done.append(True)
done = []
for thread in [threading.Thread(target=work) for _ in range(3)]:
    thread.start()
    thread.join()
work()
assert len(done) == 4
"""


def test_sixty_libraries_live_in_one_process() -> None:
    """Each takes its part of the static TLS block and of the addresses, and knows its own blocks alone."""
    found = [item for item in builds.build(every_variant().values()).values() if isinstance(item, Built)]
    paths = [str(item.library) for item in found if item.variant.interposable]
    assert len(paths) >= 60
    answer = subprocess.run(
        [sys.executable, "-c", LOADS_ALL, *paths], capture_output=True, text=True, check=False
    )
    assert (answer.returncode, answer.stderr) == (0, "")
