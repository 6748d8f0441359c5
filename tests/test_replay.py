"""``hakmem replay``: the runner makes the trace's calls, all of them, in an order that their blocks allow."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.testing

import hakmem.replay as replay
from hakmem import build, cli
from hakmem.errors import HakmemError
from hakmem.trace import ALIGNED, CALLOC, FREE, KINDS, MALLOC, REALLOC, Trace
from written_trace import Row, columns, write


def played(folder: Path, opened: Trace, *options: str) -> subprocess.CompletedProcess[str]:
    plan = replay.make_plan(opened, opened.processes[0], folder / "plan")
    command = [str(build.runner()), "--replay", str(plan.path), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def answer(folder: Path, opened: Trace, *options: str) -> dict[str, Any]:
    done = played(folder, opened, *options)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


NAMES = ("mallocs", "callocs", "aligned", "reallocs", "frees")


def counts(rows: list[Row]) -> list[int]:
    """Calls by kind that a replay makes: all but those on blocks from before the recording."""
    return [sum(row[0] == kind and (kind <= ALIGNED or row[4] > 0) for row in rows) for kind in range(5)]


def drawn(events: int, threads: int, seed: int) -> list[Row]:
    """A history in which any thread frees and resizes any block, and blocks pass on within few events."""
    draw = random.Random(seed)
    rows: list[Row] = []
    live: list[int] = []
    made = 0
    for _ in range(events):
        thread, kind = draw.randrange(threads), draw.choice([MALLOC, CALLOC, ALIGNED, REALLOC, FREE, FREE])
        size = draw.randrange(1, 3000)
        if kind <= ALIGNED or not live:
            kind = min(kind, ALIGNED)
            rows.append((kind, thread, 0, size, 0, 1 << draw.randrange(4, 13) if kind == ALIGNED else 0))
            live.append(made)
            made += 1
        else:
            at = draw.choice([-1, -1, draw.randrange(len(live))])
            rows.append((kind, thread, 0, size if kind == REALLOC else 0, made - live[at], 0))
            if kind == FREE:
                del live[at]
    return rows


@pytest.mark.parametrize("allocator", ["process", "null"])
@pytest.mark.parametrize("threads", [1, 2, 7])
def test_every_call_of_the_trace_is_made(tmp_path: Path, threads: int, allocator: str) -> None:
    rows = drawn(100_000, threads, seed=threads)
    opened = Trace(write(tmp_path / "t", *(rows[at : at + 9999] for at in range(0, len(rows), 9999))))
    found = answer(tmp_path, opened, "--allocator", allocator)
    assert [found[name] for name in NAMES] == counts(rows)
    assert found["ops"] == len(rows) and found["threads"] == threads and found["passes"] == 1
    assert sum(found["histogram"].values()) == sum(row[0] <= REALLOC for row in rows)


@pytest.mark.parametrize("events", [1, 4_000, 9_999, 10_000, 25_000, 30_000])
def test_a_prefix_makes_exactly_the_first_calls(tmp_path: Path, events: int) -> None:
    rows = drawn(30_000, 3, seed=4)
    opened = Trace(write(tmp_path / "t", *(rows[at : at + 9999] for at in range(0, len(rows), 9999))))
    plan = replay.make_plan(opened, opened.processes[0], tmp_path / "plan", events)
    assert list(plan.calls.values()) == counts(rows[:events])
    assert answer(tmp_path, opened)["ops"] == len(rows), "without a bound it is whole"


def test_a_replay_under_a_variant_is_served_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built = build.build_one("unified")
    rows = drawn(50_000, 2, seed=5)
    opened = Trace(write(tmp_path / "t", rows))
    build.runner()
    monkeypatch.setenv("LD_PRELOAD", str(built.library))
    found = answer(tmp_path, opened)
    assert found["served"]["id"] == f"unified {built.digest}"
    assert found["served"]["owned"] == found["served"]["sampled"] > 1
    assert [found[name] for name in NAMES] == counts(rows)


def test_blocks_from_before_the_recording_are_left_out_and_large_ones_are_made(tmp_path: Path) -> None:
    rows: list[Row] = [
        (FREE, 0, 0, 0, 0, 0),
        (MALLOC, 0, 0, (1 << 32) + 5, 0, 0),
        (MALLOC, 0, 0, (1 << 32) - 1, 0, 0),
        (CALLOC, 0, 0, 0, 0, 0),
        (ALIGNED, 0, 0, 7, 0, 1),
        (REALLOC, 0, 0, 0, 1, 0),
        (FREE, 0, 0, 0, 4, 0),
    ]
    opened = Trace(write(tmp_path / "t", rows))
    found = answer(tmp_path, opened)
    assert [found[name] for name in NAMES] == [2, 1, 1, 1, 1]
    assert found["ops"] == 6


def test_the_blocks_are_touched(tmp_path: Path) -> None:
    # first and last byte lie in two pages each: 64 MiB when both are written, 32 MiB with one of them
    rows: list[Row] = [(ALIGNED, 0, 0, 8192, 0, 4096)] * 8192
    found = answer(tmp_path, Trace(write(tmp_path / "t", rows)))
    assert found["peak_rss_kib"] > 64 << 10


@pytest.mark.parametrize("thread", [0, 1])
def test_the_mean_tells_what_is_held_throughout_from_what_is_held_briefly(
    tmp_path: Path, thread: int
) -> None:
    def pairs(count: int) -> list[Row]:
        return [(MALLOC, thread, 0, 64, 0, 0), (FREE, thread, 0, 0, 1, 0)] * count

    def freed(after: int) -> list[Row]:
        return [(FREE, thread, 0, 0, age, 0) for age in range(after + 1, after + 1 + blocks)]

    blocks = 4000  # 16 MiB: every other page is touched
    made: list[Row] = [(MALLOC, thread, 0, 8192, 0, 0)] * blocks
    other: list[Row] = [(MALLOC, 0, 0, 64, 0, 0)]  # first and last, so that it keeps a seat of its own
    seen = {}
    for name, rows in (
        ("briefly", [*other, *pairs(20_000), *made, *freed(0), *pairs(20_000), *other]),
        ("throughout", [*other, *made, *pairs(40_000), *freed(40_000), *other]),
    ):
        (tmp_path / name).mkdir()
        found = answer(tmp_path / name, Trace(write(tmp_path / name / "t", rows)))
        assert found["ops"] == len(rows) and found["threads"] == thread + 1
        peak, mean = (found[key] - found["harness_kib"] for key in ("peak_rss_kib", "mean_rss_kib"))
        assert 16 << 10 < peak < 24 << 10 and 0 < mean <= peak
        seen[name] = mean / peak
    assert seen["briefly"] < 0.4 and seen["throughout"] > 0.8


def test_what_is_refused_ends_the_replay_in_one_line(tmp_path: Path) -> None:
    opened = Trace(write(tmp_path / "t", [(MALLOC, 0, 0, 1 << 60, 0, 0)]))
    done = played(tmp_path, opened)
    assert done.returncode == 2
    assert done.stderr == f"hakmem_runner: --replay: the allocator refused {1 << 60} bytes\n"


def test_a_trace_that_contradicts_itself_is_one_line(tmp_path: Path) -> None:
    rows: list[Row] = [(MALLOC, 0, 0, 8, 0, 0), (FREE, 0, 0, 0, 1, 0), (FREE, 0, 0, 0, 1, 0)]
    opened = Trace(write(tmp_path / "t", rows))
    with pytest.raises(HakmemError, match="t: hakmem_plan: a frame frees a block that is not live"):
        replay.make_plan(opened, opened.processes[0], tmp_path / "plan")
    with pytest.raises(HakmemError, match="hakmem_plan: the plan could not be written"):
        replay.make_plan(opened, opened.processes[0], tmp_path / "none" / "plan")


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "cannot be read"), (b"short", "expected a plan"), (b"\0" * 600, "expected a plan")],
)
def test_a_file_that_is_no_plan_is_one_line(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "plan"
    if content is not None:
        path.write_bytes(content)
    done = subprocess.run(
        [str(build.runner()), "--replay", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"hakmem_runner: --replay: {path}: {says}") and done.stderr.count("\n") == 1


def test_threads_that_follow_each_other_share_a_seat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    order = [0, 1, 0, 2, 2, 0, 3, 4, 3, 5, 0]
    rows: list[Row] = [(MALLOC, thread, 0, 8, 0, 0) for thread in order]
    opened = Trace(write(tmp_path / "t", rows[:4], rows[4:]))
    # 0 lasts throughout; 1, 2 and 3 follow each other; 4 comes while 3 is there; 5 takes a free seat
    assert replay.seats_of(opened, opened.processes[0]) == [0, 1, 1, 1, 2, 2]
    monkeypatch.setattr(replay, "MOST_SEATS", 2)
    assert set(replay.seats_of(opened, opened.processes[0])) == {0, 1}
    assert answer(tmp_path, opened)["threads"] == 2


def test_a_recorded_program_is_raced_with_the_counts_of_its_trace(tmp_path: Path) -> None:
    path = tmp_path / "run.trace"
    environment = {**os.environ, "PYTHONPATH": str(Path(build.__file__).parents[1])}

    def hakmem(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hakmem", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    runner = str(build.runner())
    work = [runner, "--workload", "remote_mixed", "--set", "threads=2", "--passes", "1"]
    assert hakmem("record", "--quiet", "-o", str(path), "--", *work).returncode == 0
    done = hakmem("replay", str(path), "unified", "--rounds", "2", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    opened = Trace(path)
    (process,) = opened.processes
    kinds = [0] * len(KINDS)
    for part in opened.events(0):
        for kind in part.kinds.tolist():
            kinds[kind] += 1
    assert found["calls"] == dict(zip(KINDS, kinds, strict=True)) and found["threads"] == 3
    assert found["process"]["pid"] == process.pid
    who = {item["name"]: item for item in found["contestants"]}
    assert set(who) == {"libc", "null", "unified"} and found["failures"] == []
    assert {item["calls"] for item in who.values()} == {opened.count()}
    assert {item["rounds"] for item in who.values()} == {2}
    assert who["unified"]["ratio"]["low"] <= who["unified"]["ratio"]["value"] and who["libc"]["ratio"] is None
    assert who["libc"]["peak_rss_kib"] > who["null"]["peak_rss_kib"]
    assert all(0 < item["mean_rss_kib"] <= item["peak_rss_kib"] for item in who.values())
    table = hakmem("replay", str(path), "unified", "--rounds", "1").stdout
    assert "noise: " in table and "unified" in table


def test_what_cannot_be_replayed_is_one_line(tmp_path: Path) -> None:
    def says(*words: object, code: int) -> str:
        found = typer.testing.CliRunner().invoke(cli.app, ["replay", *map(str, words)], prog_name="hakmem")
        assert found.exit_code == code, found.output + found.stderr
        return found.stderr

    path = write(tmp_path / "t")
    assert says(path, code=1) == f"error: {path}: expected a process with events, got none\n"
    assert "--process: expected a process of 0 to 0, got 3" in says(path, "--process", 3, code=2)
    assert "--peer x: expected NAME=PATH[,VAR=VALUE...], got 'x'" in says(path, "--peer", "x", code=2)
    path.write_bytes(b"no")
    assert "expected a trace of hakmem record, got another kind of file" in says(path, code=1)
    assert columns([]) == b"\0" * 28
