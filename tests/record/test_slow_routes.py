"""Bugs of the record that left results right and made everything slow."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from hakmem import bench, golden, spec
from hakmem import build as builds
from hakmem.build import BuildFailure, Built
from hakmem.load import Engine, load
from hakmem.spec import Variant
from hakmem.workloads import Row


def fronts() -> dict[str, Variant]:
    """The simplest kept variant of each front and back: what is served where is decided by these alone."""
    found: dict[str, Variant] = {}
    for item in sorted(builds.kept_variants(), key=lambda item: len(spec.short_policies(item))):
        found.setdefault(f"{item.policies['front'].label} over {item.policies['back'].kind}", item)
    return dict(sorted(found.items()))


@pytest.fixture(scope="module")
def twins(request: pytest.FixtureRequest) -> dict[str, Built | BuildFailure]:
    """The counting twin of each of `fronts` that this run asks for."""
    wanted = {
        str(item.callspec.params["front"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and "twins" in item.fixturenames
    }
    chosen = {
        name: spec.resolve(item, ["probe=counters"]) for name, item in fronts().items() if name in wanted
    }
    built = builds.build(chosen.values())
    return {name: built[item.name] for name, item in chosen.items()}


def shares(engine: Engine, workload: str, **params: int) -> tuple[float, float]:
    """Shares of mallocs and of frees that the front served, in the steady state of a workload."""
    engine.run_workload(workload, passes=1, **params)
    before = engine.statistics()["events"]
    engine.run_workload(workload, passes=2, **params)
    after = engine.statistics()["events"]
    events = {name: after[name] - before[name] for name in after}
    assert events["malloc"] > 1000 and events["free"] > 1000 and events["free_foreign"] == 0
    return (
        events["malloc_front_hit"] / events["malloc"],
        events["free_front_hit"] / events["free"],
    )


@pytest.mark.parametrize("front", list(fronts()))
def test_every_free_took_the_slow_route(front: str, twins: dict[str, Built | BuildFailure]) -> None:
    """Record, bug 8: a fast path was compiled in, and no free ever took it: another test came before it.

    The twin of each front counts: where there is a front it serves at least 95 % of the frees and of the
    mallocs of a thread that frees its own blocks. A front without a cache serves none.
    """
    result = twins[front]
    assert isinstance(result, Built), result
    engine = load(result)
    caches = engine.policy_set()["front"]["kind"] != "bypass"
    for working_set, cycles in ((400, 100_000), (8192, 200_000)):
        served = shares(engine, "random_mixed", working_set=working_set, cycles=cycles if caches else 20_000)
        assert all(share >= 0.95 for share in served) if caches else served == (0.0, 0.0), served


def syscalls(runner: Path, built: Built, workload: str, **params: int) -> dict[str, int]:
    """System calls between the first and the last counted pass, after one that is not counted."""
    answer: dict[str, Any] = bench.start_runner(
        runner,
        bench.contestant(built),
        Row(workload, workload, params),
        extra=("--passes", "3", "--count-syscalls"),
    )
    kinds: dict[str, int] = answer["syscalls"]
    assert answer["syscalls_in_loop"] == sum(kinds.values())
    return kinds


@pytest.mark.parametrize("working_set", [400, 8192])
def test_the_steady_state_was_full_of_system_calls(
    working_set: int, kept: dict[str, Built], runner: Path
) -> None:
    """Record, bug 12: 819 mmap, 786 munmap and 1553 other calls, since slabs went back at once.

    After one pass, no variant that keeps what it may need again asks the system for anything.
    """
    for built in kept.values():
        policies = built.variant.policies
        if policies["back"].kind == "direct" or policies["pages"]["purge"] == "eager":
            continue  # these give every empty region back at once: that is what they are
        found = syscalls(runner, built, "random_mixed", working_set=working_set, cycles=200_000)
        assert found == {}, f"{built.name}: {found}"


def without_locks(kept: Iterable[Built]) -> list[Built]:
    """Variants whose threads have heaps of their own and whose guard marks nothing."""
    return [
        item
        for item in kept
        if item.variant.policies["remote"].kind != "none"
        and item.variant.policies["guard"].kind == "none"
        and item.variant.policies["front"].kind != "bypass"
    ]


def test_one_threads_own_list_was_locked(kept: dict[str, Built]) -> None:
    """Record, bug 22: an atomic exchange on a list that only its owner touches cost Larson 70 %."""
    chosen = without_locks(kept.values())
    assert len(chosen) >= 20
    found = {
        (item.name, function): golden.shape(item.library, function)
        for item in chosen
        for function in golden.FUNCTIONS
    }
    assert {key: shape.locked for key, shape in found.items() if shape.locked} == {}


def test_nothing_is_populated_before_it_is_touched() -> None:
    """Record, bug 24: MAP_POPULATE on twice what was needed made the first mmap 52 times as long."""
    from hakmem import sources

    core = [
        path for path in (sources.root() / "cpp" / "hakmem").rglob("*.hpp") if path.parent.name != "bench"
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in core)
    assert "MAP_POPULATE" not in text and "MADV_POPULATE" not in text


def test_an_empty_program_stays_small(kept: dict[str, Built], runner: Path) -> None:
    """Record, bug 24: what a start costs shows in resident memory. At most 1 MiB above the C library."""

    def peak(who: bench.Contestant) -> int:
        answer = subprocess.run(
            [str(runner), "--workload", "startup", "--passes", "1"],
            env=who.environment(),
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        return int(json.loads(answer.stdout)["peak_rss_kib"])

    libc = peak(bench.libc())
    assert peak(bench.contestant(kept["unified"])) <= libc + 1024
