"""Traces written by hand from docs/trace_format.md, apart from the programs that write real ones."""

from __future__ import annotations

import struct
from pathlib import Path

import hakmem.trace as trace
from hakmem.trace import ALIGNED, REALLOC, Process

Row = tuple[int, int, int, int, int, int]
"""Kind, thread, ms, size, age, alignment."""


def leb(value: int) -> bytes:
    found = bytearray()
    while value >= 128:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def runs(values: list[int]) -> bytes:
    found = b""
    while values:
        count = next((i for i, value in enumerate(values) if value != values[0]), len(values))
        found += leb(values[0]) + leb(count)
        values = values[count:]
    return found


def columns(rows: list[Row]) -> bytes:
    """The content of a frame."""
    parts = [
        bytes(row[0] for row in rows),
        runs([row[1] for row in rows]),
        runs([row[2] for row in rows]),
        b"".join(leb(row[3]) for row in rows if row[0] <= REALLOC),
        b"".join(leb(row[4]) for row in rows if row[0] >= REALLOC),
        bytes(row[5].bit_length() - 1 for row in rows if row[0] == ALIGNED),
    ]
    return struct.pack("<7I", len(rows), *map(len, parts)) + b"".join(parts)


def write(path: Path, *frames: list[Row], end: bool = True) -> Path:
    with path.open("wb") as file:
        writer = trace.Writer(file, {"command": ["it"]})
        writer.process(Process(0, 10, 1, False, "/it"))
        for frame in frames:
            writer.events(0, columns(frame))
        if end:
            writer.end({"stopped": None, "exit_code": 0})
    return path
