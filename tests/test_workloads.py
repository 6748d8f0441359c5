"""Workloads: suites name what exists, every loop runs and publishes what it did, bad input is one line."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import fake_peer
from hakmem import build, workloads
from hakmem.errors import UnknownNameError
from hakmem.workloads import SUITES, Row


@pytest.fixture(scope="session")
def runner() -> Path:
    return build.runner()


def ask(runner: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(runner), *arguments], capture_output=True, text=True, check=False, timeout=120)


def answer(runner: Path, *arguments: str) -> dict[str, Any]:
    done = ask(runner, *arguments)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_row_names_a_workload_and_its_parameters(runner: Path) -> None:
    known = {
        item["name"]: {param["name"]: param for param in item["params"]}
        for item in workloads.catalogue(runner)
    }
    for rows in SUITES.values():
        for row in rows:
            for name, value in row.params.items():
                assert known[row.workload][name]["min"] <= value <= known[row.workload][name]["max"]
            assert row.has_seed == ("seed" in known[row.workload])
            threads = known[row.workload].get("threads")
            assert row.threads == row.params.get("threads", threads["default"] if threads else 1)


def test_every_workload_is_in_the_default_suite(runner: Path) -> None:
    assert {item["name"] for item in workloads.catalogue(runner)} == {
        row.workload for row in SUITES["default"]
    }


def test_labels_are_unique_and_mean_the_same_row_in_every_suite() -> None:
    for rows in SUITES.values():
        assert len({row.label for row in rows}) == len(rows)
        assert all(workloads.row(row.label) == row for row in rows)


def test_unknown_suite_and_row_are_named() -> None:
    with pytest.raises(UnknownNameError, match="suite 'defualt' is not known; did you mean default"):
        workloads.suite("defualt")
    with pytest.raises(UnknownNameError, match="workload row 'nosuch' is not known"):
        workloads.row("nosuch")


@pytest.mark.parametrize("allocator", ["process", "null"])
@pytest.mark.parametrize("workload", sorted({row.workload for row in SUITES["default"]}))
def test_every_workload_runs_and_reports(runner: Path, workload: str, allocator: str) -> None:
    row = answer(runner, "--workload", workload, "--allocator", allocator, "--passes", "1")
    assert row["workload"] == workload and row["allocator"] == allocator
    assert row["passes"] == 1 and row["ops"] > 0 and row["ns"] > 0
    assert row["histogram"] and sum(row["histogram"].values()) > 0
    assert row["served"]["sampled"] > 0
    assert row["served"]["owned"] == (row["served"]["sampled"] if allocator == "null" else 0)
    assert row["startup_ns"] > 0 and row["peak_rss_kib"] >= row["harness_kib"]


def test_the_suite_of_rivals_has_the_rows_on_which_the_field_is_compared() -> None:
    rows = {row.label: row for row in SUITES["rivals"]}
    assert len(rows) == 30
    shape = {label: (row.workload, dict(row.params)) for label, row in rows.items()}
    assert shape["lifo 16 B, 100 live"] == ("lifo", {"size": 16, "live": 100})
    for order in ("random_free", "interleaved", "long_lived"):
        assert shape[f"{order} 16 B, 10000 live"] == (order, {"size": 16, "live": 10_000})
    for slots in (256, 8192, 1_000_000):
        assert ("random_mixed", slots) in {(name, p.get("working_set")) for name, p in shape.values()}
    sizes = [p["size"] for name, p in shape.values() if name == "fixed"]
    assert sizes == [128, 256, 512, 1024]
    assert [row.threads for row in rows.values() if row.workload == "larson"] == [1, 2, 4]
    assert {"burst", "mid", "large", "calloc", "realloc_grow", "realloc_step", "producer_consumer"} <= {
        row.workload for row in rows.values()
    }


@pytest.fixture(scope="session")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_peer.build(tmp_path_factory.mktemp("counting") / "libcounting.so", "counting")


@pytest.mark.parametrize("workload", sorted({row.workload for row in SUITES["rivals"]}))
def test_a_workload_frees_what_it_allocates(runner: Path, counting: Path, workload: str) -> None:
    def alive(passes: int) -> int:
        done = subprocess.run(
            [str(runner), "--workload", workload, "--passes", str(passes)],
            env={"LD_PRELOAD": str(counting)},
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        assert json.loads(done.stdout)["served"]["malloc"] == str(counting)
        return int(done.stderr.split()[0])

    few = alive(1)
    assert 0 <= few < 20, "what is alive at the end is the C++ library's own"
    assert alive(3) == few


def test_parameters_are_printed_back_resolved(runner: Path) -> None:
    arguments = ["--workload", "larson", "--set", "threads=3", "--set", "chunks=100", "--passes", "2"]
    row = answer(runner, *arguments)
    assert row["params"] == {
        "min": 8,
        "max": 1024,
        "chunks": 100,
        "rounds": 10,
        "threads": 3,
        "seed": 42,
    }
    assert row["threads"] == 3 and row["ops"] == 2 * 3 * 10 * 100


def test_the_histogram_says_which_sizes_are_asked_for(runner: Path) -> None:
    sizes = ["--set", "min=100", "--set", "max=400", "--set", "cycles=1000"]
    row = answer(runner, "--workload", "random_mixed", *sizes, "--passes", "1")
    assert set(row["histogram"]) == {"128", "256", "512"} and sum(row["histogram"].values()) == 1000


def test_the_same_seed_draws_the_same_sizes(runner: Path) -> None:
    def histogram(seed: int) -> object:
        arguments = ["--workload", "app", "--set", f"seed={seed}", "--passes", "1"]
        return answer(runner, *arguments)["histogram"]

    assert histogram(1) == histogram(1) != histogram(2)


@pytest.mark.parametrize("percent", [0, 90])
def test_the_asked_share_of_frees_goes_to_another_thread(runner: Path, percent: int) -> None:
    arguments = ["--workload", "remote_mixed", "--set", f"remote_percent={percent}", "--passes", "1"]
    assert answer(runner, *arguments)["remote_share"] == pytest.approx(percent / 100, abs=0.02)


def test_system_calls_of_the_loop_are_counted_in_every_thread(runner: Path) -> None:
    few = answer(runner, "--workload", "lifo", "--count-syscalls", "--passes", "3")
    assert few["syscalls_in_loop"] == 0 and "ns" not in few
    # Blocks of 64 MB lie above the threshold that glibc moves to at most: each is a mapping of its own.
    sizes = [
        "--set",
        "min=64000000",
        "--set",
        "max=64000000",
        "--set",
        "working_set=4",
        "--set",
        "cycles=100",
    ]
    many = answer(runner, "--workload", "mid_large_mt", *sizes, "--count-syscalls", "--passes", "1")
    assert many["syscalls"]["mmap"] >= 100 and many["syscalls"]["munmap"] >= 99
    assert many["syscalls_in_loop"] >= 199


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--workload", "larson", "--set", "min=9", "--set", "max=8"],
            "max: expected at least min = 9, got '8'",
        ),
        (
            ["--workload", "lifo", "--set", "live=many"],
            "live: expected an integer of 1 to 10000000, got 'many'",
        ),
        (
            ["--workload", "lifo", "--set", "lives=1"],
            "expected a parameter of size, live, pairs, got 'lives'",
        ),
        (["--workload", "nosuch"], "workload 'nosuch' is not known"),
        (["--workload", "lifo", "--set", "live"], "--set: expected PARAM=VALUE, got 'live'"),
        (["--workload", "lifo", "--allocator", "best"], "--allocator: expected process or null, got 'best'"),
        (["--workload", "lifo", "--cpu", "x"], "--cpu: expected an integer"),
        (["--workload", "remote_mixed", "--set", "ring=100"], "ring: expected a power of two"),
        (["--workload", "producer_consumer", "--set", "threads=3"], "threads: expected an even number"),
        (["--frobnicate", "1"], "unknown option '--frobnicate'"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(runner: Path, arguments: list[str], line: str) -> None:
    done = ask(runner, *arguments)
    assert done.returncode == 2 and done.stdout == ""
    assert line in done.stderr and len(done.stderr.splitlines()) == 1


def test_a_row_gives_its_seed_only_to_workloads_that_draw() -> None:
    assert "seed=7" in Row("a", "app").arguments(7)
    assert "seed=7" not in Row("a", "app", {"seed": 3}).arguments(7)
    assert Row("l", "lifo", {"live": 5}).arguments(7) == ["--workload", "lifo", "--set", "live=5"]
