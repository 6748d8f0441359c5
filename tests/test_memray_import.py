"""Captures of memray as traces: real ones, taken here, and records by hand for what is rare in them."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import memray
import numpy as np
import pytest
import typer.testing
from memray import AllocatorType

import hakmem.memray_import as importing
import hakmem.trace as trace
from hakmem import cli
from hakmem.trace import ALIGNED, CALLOC, FREE, KINDS, MALLOC, REALLOC, Trace

PROGRAM = """
import threading
held = []
def work():
    for index in range(5):
        held.append(bytearray(12345 + index))
thread = threading.Thread(target=work)
thread.start()
thread.join()
held.clear()
text = bytearray(20000)
text += bytes(20000)
text += bytes(300000)
del text
"""


def captured(folder: Path, *options: str) -> Path:
    (folder / "program.py").write_text(PROGRAM)
    command = [sys.executable, "-m", "memray", "run", "--quiet", *options]
    subprocess.run([*command, "-o", "capture.bin", "program.py"], cwd=folder, check=True)
    return folder / "capture.bin"


def events_of(path: Path) -> list[tuple[str, int, int, int, int]]:
    """Kind, thread, size, age, alignment of every event."""
    rows = []
    for events in Trace(path).events(0):
        columns = (events.kinds, events.threads, events.sizes, events.ages, events.alignments)
        for kind, *rest in zip(*(part.tolist() for part in columns), strict=True):
            rows.append((KINDS[kind], *rest))
    return rows


@pytest.mark.parametrize("options", [[], ["--native"]], ids=["plain", "native"])
def test_a_capture_becomes_a_trace(options: list[str], tmp_path: Path) -> None:
    capture, path = captured(tmp_path, *options), tmp_path / "run.trace"
    found = importing.import_capture(capture, path)
    rows = events_of(path)
    assert len(rows) == found.events and found.threads == 2
    # a bytearray ends with a zero; those of the thread are freed by the main one, the last first
    made = [at for at, row in enumerate(rows) if row[:2] == ("malloc", 1) and 12346 <= row[2] <= 12350]
    assert [rows[at][2] for at in made] == [12346, 12347, 12348, 12349, 12350]
    births = np.cumsum([row[0] in ("malloc", "calloc", "aligned") for row in rows])
    for at in made:
        (free,) = [
            (place, row)
            for place, row in enumerate(rows)
            if row[0] == "free" and place > at and row[3] and births[place] - row[3] + 1 == births[at]
        ]
        assert free[1][1] == 0
    (text,) = [at for at, row in enumerate(rows) if row[0] == "malloc" and row[2] == 20001]
    grown = [row for row in rows[text:] if row[0] == "realloc"]
    assert [row[2] for row in grown] == [40001, 340001]
    assert [row[0] for row in rows].count("realloc") < sum(
        record.allocator == AllocatorType.REALLOC
        for record in memray.FileReader(capture).get_allocation_records()
    )


def test_the_trace_is_what_memray_counted(tmp_path: Path) -> None:
    capture, path = captured(tmp_path, "--trace-python-allocators"), tmp_path / "run.trace"
    importing.import_capture(capture, path)
    opened = Trace(path)
    assert opened.cut is None
    assert opened.head["imported"].startswith(f"memray {version('memray')}, ")
    found = trace.trace(path)
    live: dict[int, int] = {}
    peak = total = 0
    for record in memray.FileReader(capture).get_allocation_records():
        kind = AllocatorType(record.allocator)
        if kind in (AllocatorType.MMAP, AllocatorType.MUNMAP):
            continue
        if kind in (AllocatorType.FREE, AllocatorType.PYMALLOC_FREE):
            live.pop(record.address, None)
        else:
            live[record.address] = record.size
            total += record.size
            peak = max(peak, sum(live.values()))
    assert found.allocated_bytes == total
    assert found.live_bytes_at_end == sum(live.values())
    assert found.live_blocks_at_end == len(live)
    assert found.peak_bytes >= peak  # a realloc's old block is free there while the new one is made
    assert found.process.program.endswith("program.py")


@dataclass(frozen=True)
class Record:
    allocator: int
    address: int
    size: int = 0
    tid: int = 1


M, C, R, F, A = (
    int(kind)
    for kind in (
        AllocatorType.MALLOC,
        AllocatorType.CALLOC,
        AllocatorType.REALLOC,
        AllocatorType.FREE,
        AllocatorType.ALIGNED_ALLOC,
    )
)
BY_HAND = {M: MALLOC, C: CALLOC, R: REALLOC, F: FREE, A: ALIGNED}


def converted(*records: Record) -> list[tuple[str, int, int, int, int]]:
    found = []
    for events in importing._Converter(BY_HAND).frames(records):
        columns = (events.kinds, events.threads, events.sizes, events.ages, events.alignments)
        for kind, *rest in zip(*(part.tolist() for part in columns), strict=True):
            found.append((KINDS[kind], *rest))
    return found


def test_a_realloc_is_put_together_though_another_thread_comes_between() -> None:
    found = converted(
        Record(M, 0x100, 10),
        Record(F, 0x100),
        Record(M, 0x100, 7, tid=2),
        Record(R, 0x200, 20),
        Record(F, 0x200),
    )
    assert found == [
        ("malloc", 0, 10, 0, 0),
        ("realloc", 0, 20, 1, 0),
        ("malloc", 1, 7, 0, 0),
        ("free", 0, 0, 2, 0),
    ]


def test_what_the_capture_did_not_see_is_told_apart() -> None:
    found = converted(
        Record(F, 0x900),  # from before the capture
        Record(R, 0x100, 8),  # realloc(NULL, 8)
        Record(C, 0x100, 9),  # the free between was not seen
        Record(A, 0x40, 64),
        Record(A, 0x30000, 64),
        Record(int(AllocatorType.MMAP), 0x5000, 4096),
    )
    assert found == [
        ("free", 0, 0, 0, 0),
        ("malloc", 0, 8, 0, 0),
        ("free", 0, 0, 1, 0),
        ("calloc", 0, 9, 0, 0),
        ("aligned", 0, 64, 0, 64),
        ("aligned", 0, 64, 0, 4096),
    ]


def test_frames_end_where_no_realloc_is_torn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_FRAME", 2)
    records = [Record(M, 0x100, 1), Record(F, 0x100), Record(R, 0x200, 2), Record(M, 0x300, 3)]
    found = [events.kinds.tolist() for events in importing._Converter(BY_HAND).frames(records)]
    assert found == [[MALLOC, REALLOC], [MALLOC]]


def command(*arguments: object, code: int) -> str:
    words = ["trace", "import", *map(str, arguments)]
    result = typer.testing.CliRunner().invoke(cli.app, words, prog_name="hakmem")
    assert result.exit_code == code, result.output + result.stderr
    assert result.stderr.count("\n") == 1
    return result.stderr


def test_the_command_and_its_complaints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run.trace"
    said = command(captured(tmp_path), "-o", path, code=0)
    assert said.startswith(f"hakmem: {path}: ") and " events of 2 threads" in said
    (tmp_path / "capture.bin").unlink()
    wanted = "expected a capture of memray with all allocations, got: "
    assert f"capture.bin: {wanted}" in command(captured(tmp_path, "--aggregate"), "-o", path, code=1)
    (tmp_path / "text").write_text("no capture" * 100)
    assert f"text: {wanted}" in command(tmp_path / "text", "-o", path, code=1)
    assert f"nonesuch: {wanted}" in command(tmp_path / "nonesuch", "-o", path, code=1)
    assert Trace(path).cut is None
    monkeypatch.setitem(sys.modules, "memray", None)
    said = command(tmp_path / "capture.bin", "-o", path, code=2)
    assert said == "error: importing a capture needs the package memray: pip install memray\n"
