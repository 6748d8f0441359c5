"""Bugs of the record that made figures mean something else than people thought."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from hakmem import axes, bench, spec
from hakmem import build as builds
from hakmem.bench import ServedByError
from hakmem.build import Built
from hakmem.workloads import Row

SHORT = Row("short", "random_mixed", {"cycles": 5000, "working_set": 200})
PASS = ("--passes", "1")


def test_results_did_not_change_whatever_was_optimised(kept: dict[str, Built], runner: Path) -> None:
    """Record, bug 1: a guard switched the allocator off, and a whole campaign timed the C library.

    Every malloc library proves that each function a program calls is its own and that it served the blocks.
    """
    for built in kept.values():
        answer = bench.start_runner(runner, bench.contestant(built), SHORT, extra=PASS)
        assert answer["served"]["id"] == f"{built.name} {built.digest}"
        assert answer["served"]["sampled"] == answer["served"]["owned"] > 0


def test_a_row_that_libc_served_is_an_error_and_no_result(kept: dict[str, Built], runner: Path) -> None:
    """Record, bug 1: what is claimed for a variant but served by the C library must not become a row."""
    claimed = bench.contestant(kept["unified"])
    unloaded = bench.Contestant(claimed.name, None, digest=claimed.digest)
    with pytest.raises(ServedByError, match=r"^unified, short: expected "):
        bench.start_runner(runner, unloaded, SHORT, extra=PASS)


def test_an_optimisation_of_0_per_cent(kept: dict[str, Built]) -> None:
    """Record, bug 2: the baseline had already been built without what the other was built without.

    Two variants that are the same allocator are named; the kept ones are all different.
    """
    assert builds.same_code(kept.values()) == []
    default = builds.variant(spec.DEFAULT_VARIANT)
    again = spec.Variant("default_again", "The default under another name.", default.policies)
    same = builds.build([default, again])
    assert all(isinstance(item, Built) for item in same.values())
    built = [item for item in same.values() if isinstance(item, Built)]
    assert builds.same_code([*kept.values(), *built[1:]]) == [sorted([default.name, again.name])]


def test_one_option_switched_another_off() -> None:
    """Record, bug 5: diet mode cleared the flag of SuperSlab at start, and every free was slow.

    Any legal value of any axis is set on the default; only that axis changes in the policy set.
    """
    default = builds.variant(spec.DEFAULT_VARIANT)
    before = default.policies.as_json()
    tried = 0
    for axis in axes.AXES:
        for kind in axis.kinds:
            if axis.name == "front" or kind.name == before[axis.name]["kind"]:
                continue
            changed = {axis.name: spec.read_policy(axis, kind.name, "test", axis.name)}
            if axes.illegal_pair({**dict(default.policies), **changed}) is not None:
                continue
            after = spec.resolve(default, [f"{axis.name}={kind.name}"]).policies.as_json()
            assert {name for name in before if before[name] != after[name]} == {axis.name}
            tried += 1
    assert tried >= 12


def test_what_is_compiled_into_every_library_is_what_its_file_says(kept: dict[str, Built]) -> None:
    """Record, bug 5: asked at run time as well, of the finished libraries."""
    script = """
import ctypes, sys
for path in sys.argv[1:]:
    library = ctypes.CDLL(path)
    library.hakmem_policy_set.restype = ctypes.c_char_p
    print(library.hakmem_policy_set().decode())
"""
    answer = subprocess.run(
        ["python3", "-c", script, *[str(built.library) for built in kept.values()]],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = [json.loads(line) for line in answer.stdout.splitlines()]
    assert found == [spec.load_variant(_path(built)).policies.as_json() for built in kept.values()]


def _path(built: Built) -> Path:
    assert built.variant.path is not None
    return built.variant.path


def test_larger_slabs_brought_page_faults_that_nobody_looked_at(kept: dict[str, Built], runner: Path) -> None:
    """Record, bug 14: the kernel cleared pages for 9.3 instead of 2.2 % of the time.

    Page faults and resident memory stand in every row, and a sweep asks for them by slab size.
    """
    row = Row("burst", "burst", {"live": 20_000})
    answer = bench.start_runner(runner, bench.contestant(kept["unified"]), row, extra=PASS)
    assert answer["page_faults"].keys() == {"minor", "major"}
    assert answer["peak_rss_kib"] >= answer["rss_end_kib"] > 0


def test_a_comparison_of_the_allocator_with_itself(runner: Path) -> None:
    """Record, bug 25: the switch to the C library came too late, and both sides ran the same allocator."""
    answer = bench.start_runner(runner, bench.libc(), SHORT, extra=PASS)
    assert answer["served"]["id"] is None and answer["served"]["owned"] == 0
    assert "libc" in Path(answer["served"]["malloc"]).name
    assert "LD_PRELOAD" not in bench.libc().environment()
    assert os.environ.get("LD_PRELOAD") is None
