"""Reading a trace: every field comes back, what is cut off or foreign is one line, the counts are right."""

from __future__ import annotations

import io
import json
import random
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer.testing

import hakmem.trace as trace
from hakmem import cli, trace_summary
from hakmem.trace import ALIGNED, CALLOC, FREE, KINDS, MALLOC, REALLOC, Process, Trace, TraceError
from written_trace import Row, columns, leb, write

HISTORY: list[Row] = [
    (MALLOC, 0, 1000, 100, 0, 0),
    (CALLOC, 0, 1000, 50, 0, 0),
    (ALIGNED, 1, 1002, 1 << 40, 0, 4096),
    (REALLOC, 1, 1002, 300, 3, 0),  # the first block, now thread 1's
    (REALLOC, 1, 1003, 200, 3, 0),
    (FREE, 0, 1003, 0, 3, 0),  # and freed by thread 0
    (FREE, 0, 1010, 0, 2, 0),
    (FREE, 1, 1010, 0, 0, 0),  # from before the recording
    (MALLOC, 2, 1011, 0, 0, 0),
    (FREE, 1, 1011, 0, 2, 0),  # the aligned one, thread 1's own
]


def as_rows(events: trace.Events) -> list[Row]:
    names = ("kinds", "threads", "ms", "sizes", "ages", "alignments")
    return list(zip(*(getattr(events, name).tolist() for name in names), strict=True))


def test_every_field_comes_back(tmp_path: Path) -> None:
    opened = Trace(write(tmp_path / "t", HISTORY[:4], HISTORY[4:]))
    assert [row for part in opened.events(0) for row in as_rows(part)] == HISTORY
    assert opened.cut is None and opened.count() == 10 == opened.foot["events"]
    assert opened.processes == [Process(0, 10, 1, False, "/it")] and opened.head == {"command": ["it"]}


@pytest.mark.parametrize("cut", [1, 4, len(HISTORY)])
def test_the_summary_counts_what_happened_however_frames_are_cut(tmp_path: Path, cut: int) -> None:
    parts = [HISTORY[at : at + cut] for at in range(0, len(HISTORY), cut)]
    opened = Trace(write(tmp_path / "t", *parts))
    found = trace_summary.summarise(opened, opened.processes[0])
    assert found.calls == {"malloc": 2, "calloc": 1, "aligned": 1, "realloc": 2, "free": 4}
    assert found.threads == {0: 4, 1: 5, 2: 1}
    assert found.sizes == {0: 1, 50: 1, 100: 1, 200: 1, 300: 1, 1 << 40: 1}
    assert found.alignments == {4096: 1}
    # allocations made while it lived: two for the first block, one for the second, one for the third
    assert found.lifetimes == {1: 2, 2: 1} and found.lifetimes_ms == {4: 1, 16: 2}
    assert found.chains == {2: 1}
    assert (found.cross_thread, found.unknown, found.frees) == (1, 1, 3)
    assert (found.peak_bytes, found.peak_blocks, found.peak_event) == ((1 << 40) + 350, 3, 3)
    assert (found.live_bytes_at_end, found.live_blocks_at_end) == (0, 1)
    assert found.milliseconds == 11
    assert [point.live_bytes for point in found.live][:4] == [100, 150, (1 << 40) + 150, (1 << 40) + 350]


def test_the_summary_agrees_with_a_plain_count(tmp_path: Path) -> None:
    draw = random.Random(7)
    rows: list[Row] = []
    live: dict[int, tuple[int, int, int]] = {}  # block: size, owner, reallocs
    made = cross = now = most = 0
    for _ in range(20_000):
        thread = draw.randrange(5)
        kind = draw.choice([MALLOC, MALLOC, CALLOC, REALLOC, FREE, FREE])
        size = int(draw.paretovariate(0.5)) % (1 << 34)
        if kind <= ALIGNED or not live:
            live[made] = (size, thread, 0)
            made += 1
            rows.append((MALLOC, thread, 5, size, 0, 0))
            now += size
        else:
            block = draw.choice(sorted(live))
            held, owner, times = live.pop(block)
            now -= held
            if kind == REALLOC:
                live[block] = (size, thread, times + 1)
                now += size
                rows.append((REALLOC, thread, 5, size, made - block, 0))
            else:
                cross += owner != thread
                rows.append((FREE, thread, 5, 0, made - block, 0))
        most = max(most, now)
    opened = Trace(write(tmp_path / "t", *(rows[at : at + 777] for at in range(0, len(rows), 777))))
    found = trace_summary.summarise(opened, opened.processes[0])
    assert found.peak_bytes == most and found.live_bytes_at_end == now
    assert max(point.live_bytes for point in found.live) == most
    assert found.cross_thread == cross and found.live_blocks_at_end == len(live)
    assert sum(found.sizes.values()) == sum(found.calls[kind] for kind in KINDS[:4])
    assert found.allocated_bytes == sum(row[3] for row in rows)


def test_a_trace_that_is_cut_off_anywhere_is_read_up_to_the_cut(tmp_path: Path) -> None:
    whole = write(tmp_path / "t", HISTORY[:4], HISTORY[4:]).read_bytes()
    counts = []
    for length in range(12, len(whole)):
        (tmp_path / "cut").write_bytes(whole[:length])
        opened = Trace(tmp_path / "cut")
        assert opened.cut == f"{tmp_path / 'cut'}: the trace is cut off after {opened.count()} events"
        found = [row for part in opened.events(0) for row in as_rows(part)]
        assert found == HISTORY[: opened.count()]
        counts.append(opened.count())
    assert counts == sorted(counts) and set(counts) == {0, 4, 10}


def test_a_damaged_byte_is_noticed(tmp_path: Path) -> None:
    whole = write(tmp_path / "t", HISTORY).read_bytes()
    for at in range(12, len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 255
        (tmp_path / "damaged").write_bytes(damaged)
        opened = Trace(tmp_path / "damaged")
        rows = [row for part in opened.events(0) for row in as_rows(part)]
        assert opened.cut is not None, at
        assert rows in ([], HISTORY), at  # whole, where the damage is in another frame


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "expected a trace of hakmem record, got another kind of file"),
        (b"\x7fELF and more", "expected a trace of hakmem record, got another kind of file"),
        (b"HAKTRACE\x02\0\0\0", "expected a trace of version 1 or older, got version 2; a newer hakmem"),
        (b"HAKTRAC", "the trace is cut off in its first line"),
        (b"HAKTRACE\1", "the trace is cut off in its first line"),
    ],
)
def test_what_is_no_trace_is_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(TraceError) as error:
        Trace(path)
    assert str(error.value).startswith(f"{path}: {says}")
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        Trace(tmp_path / "none")


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (struct.pack("<7I", 1, 2, 0, 0, 0, 0, 0) + b"\0", "not as long as it says"),
        (struct.pack("<7I", 1, 1, 0, 0, 0, 0, 0) + b"\7", "kinds of events that are not known"),
        (struct.pack("<7I", 1, 1, 2, 0, 0, 0, 0) + b"\0\0\2", "runs do not cover its events"),
        (
            struct.pack("<7I", 1, 1, 13, 0, 0, 0, 0) + b"\0\0\2\0" + b"\xff" * 9 + b"\1",
            "runs do not cover its events",
        ),
        (struct.pack("<7I", 1, 1, 2, 2, 1, 0, 0) + b"\0\0\1\0\1\x80", "ends within a number"),
        (struct.pack("<7I", 1, 1, 2, 2, 2, 0, 0) + b"\0\0\1\0\1\1\1", "does not fit its events"),
        (struct.pack("<7I", 1, 1, 2, 2, 11, 0, 0) + b"\0\0\1\0\1" + b"\xff" * 10 + b"\1", "64 bits"),
    ],
)
def test_columns_that_contradict_each_other_are_refused(wrong: bytes, says: str) -> None:
    with pytest.raises(TraceError, match=says):
        trace.decode(wrong)


def test_a_free_of_a_block_that_was_never_made_is_refused(tmp_path: Path) -> None:
    opened = Trace(write(tmp_path / "t", [(MALLOC, 0, 1, 8, 0, 0), (FREE, 0, 1, 0, 2, 0)]))
    with pytest.raises(TraceError, match="never made"):
        trace_summary.summarise(opened, opened.processes[0])


def test_numbers_of_every_length() -> None:
    values = [0, 1, 127, 128, 300, *((1 << bits) - 1 for bits in range(2, 65)), 1 << 63]
    data = np.frombuffer(b"".join(map(leb, values)), np.uint8)
    assert trace.numbers(data).tolist() == values
    assert trace.numbers(np.zeros(0, np.uint8)).tolist() == []


def test_the_writer_says_how_many_events_it_was_given() -> None:
    writer = trace.Writer(io.BytesIO(), {})
    assert writer.events(0, columns(HISTORY)) == 10


def show(*arguments: object, code: int = 0) -> Any:
    words = ["trace", "show", *map(str, arguments)]
    result = typer.testing.CliRunner().invoke(cli.app, words, prog_name="hakmem", env={"COLUMNS": "120"})
    assert result.exit_code == code, result.output + result.stderr
    return result


def figures(page: Path) -> dict[str, Any]:
    text = page.read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text.split("const figures = ")[1].split(";\n")[0])
    return found


def test_show_prints_what_was_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "t", HISTORY)
    text = show(path).stdout
    for words in ("10  events", "1.0 TiB  live at the peak, in 3 blocks", "33.3 %  of frees by another"):
        assert words in text, text
    assert "calls: malloc 2, calloc 1, aligned 1, realloc 2, free 4" in text
    found = json.loads(show(path, "--json").stdout)
    (process,) = found["processes"]
    assert process["lifetimes"] == {"1": 2, "2": 1} and process["cross_thread_share"] == 1 / 3
    assert (found["cut"], found["events"], process["peak_event"]) == (None, 10, 3)


def test_show_writes_a_page_that_needs_no_network(tmp_path: Path) -> None:
    page = tmp_path / "pages" / "t.html"
    show(write(tmp_path / "t", HISTORY), "--html", page)
    text = page.read_text(encoding="utf-8")
    found = figures(page)
    for name, figure in found.items():
        assert f'<div id="{name}" class="plot">' in text and figure["data"][0]["y"], name
    assert found["sizes"]["data"][0]["x"] == ["0 B", "64 B", "128 B", "256 B", "512 B", "1.0 TiB"]
    assert max(found["live"]["data"][0]["y"]) == (1 << 40) + 350
    assert "<title>hakmem trace</title>" in text and "<script src" not in text


def test_show_keeps_to_the_busiest_threads(tmp_path: Path) -> None:
    rows: list[Row] = [(MALLOC, thread, 0, 8, 0, 0) for thread in range(500)]
    path = write(tmp_path / "t", [*rows, *rows[77:78]])
    text = show(path, "--html", tmp_path / "t.html").stdout
    assert "and 480 threads with no more events than these" in text
    bars = figures(tmp_path / "t.html")["threads"]["data"][0]
    assert len(bars["x"]) == 20 and dict(zip(bars["x"], bars["y"], strict=True))["77"] == 2


def test_show_of_a_process_that_asked_for_nothing(tmp_path: Path) -> None:
    path = write(tmp_path / "t")
    assert "0  events" in show(path, "--html", tmp_path / "t.html").stdout
    assert json.loads(show(path, "--json").stdout)["processes"][0]["peak_bytes"] == 0


def test_show_of_a_wrong_file_is_one_line_and_exit_code_1(tmp_path: Path) -> None:
    path = write(tmp_path / "t", HISTORY[:4], HISTORY[4:], end=False)
    result = show(path, code=1)
    assert result.stderr == f"error: {path}: the trace is cut off after 10 events; what is whole is shown\n"
    assert "10  events" in result.stdout
    path.write_bytes(b"PK and so on")
    result = show(path, code=1)
    assert result.stderr == f"error: {path}: expected a trace of hakmem record, got another kind of file\n"
    assert result.stdout == ""
    path = write(tmp_path / "t", HISTORY)
    says = f"error: {path}: --process: expected a process of 0 to 0, got 1\n"
    assert show(path, "--process", 1, code=2).stderr == says
    page = tmp_path / "t" / "page.html"
    assert f"error: {page}: the page cannot be written" in show(path, "--html", page, code=2).stderr


def test_arrays_are_written_as_the_format_says() -> None:
    big = (1 << 64) - 1
    rows: list[Row] = [
        (MALLOC, 0, 0, 0, 0, 0),
        (MALLOC, 300, 5, big, 0, 0),
        (ALIGNED, 300, 5, 127, 0, 4096),
        (CALLOC, 0, 1 << 40, 128, 0, 0),
        (REALLOC, 0, 1 << 40, 1 << 63, 3, 0),
        (FREE, 1, 1 << 40, 0, 1 << 35, 0),
    ]
    for part in (rows, rows[:1], rows[-1:]):
        events = trace.decode(columns(part))
        assert trace.encode(events) == columns(part)
