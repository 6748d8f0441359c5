"""The suite over every kept variant and every variant of the sweep `covering`, each in its own process."""

from __future__ import annotations

import functools
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
