"""A program's allocation history in one file: writing it frame by frame, and reading it back with numpy.

docs/trace_format.md describes the file. Nothing here measures or draws; `trace_summary` does the counting.
"""

from __future__ import annotations

import json
import struct
import sys
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from .door import Door
from .errors import HakmemError

if TYPE_CHECKING:
    from .trace_summary import Summary

MAGIC = b"HAKTRACE"
VERSION = 1
MALLOC, CALLOC, ALIGNED, REALLOC, FREE = range(5)
KINDS = ("malloc", "calloc", "aligned", "realloc", "free")

_OPENING = struct.Struct("<8sI")
_FRAME = struct.Struct("<4sIII")  # kind, process, events, bytes of the content
_CHECK = struct.Struct("<I")  # CRC-32 of what stands before it and of the content, which follows
_COUNTS = struct.Struct("<7I")  # events and the bytes of each column
_LEVEL = 6
_MOST_FRAME = 1 << 28


class TraceError(HakmemError):
    """A file that is no trace, of a newer version, or damaged."""


@dataclass(frozen=True)
class Process:
    """One recorded program run: a forked child and a program that another one became are their own.

    ``number`` is its place in the trace, ``forked`` whether it began by a fork of ``parent`` rather than by
    starting a program. An anonymous trace has no ``program``.
    """

    number: int
    pid: int
    parent: int
    forked: bool
    program: str


@dataclass(frozen=True)
class Events:
    """Calls of one process in their order, as arrays of one length.

    ``sizes`` are bytes asked for (0 for free), ``ages`` say how many allocations ago the block of a realloc
    or free was made (1: the latest; 0: none, or a block from before the recording), ``alignments`` are
    bytes (0: malloc's own), ``ms`` is the coarse clock.
    """

    kinds: NDArray[np.uint8]
    threads: NDArray[np.uint32]
    ms: NDArray[np.uint64]
    sizes: NDArray[np.uint64]
    ages: NDArray[np.uint64]
    alignments: NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.kinds)


@dataclass(frozen=True)
class _Frame:
    head: bytes
    kind: bytes
    process: int
    events: int
    offset: int
    size: int


class Writer:
    """Writes a trace; whole frames only, so that a file cut off anywhere is read up to the cut."""

    def __init__(self, file: BinaryIO, head: dict[str, Any]) -> None:
        self._file = file
        self._events = 0
        file.write(_OPENING.pack(MAGIC, VERSION))
        self._frame(b"HEAD", 0, 0, json.dumps(head).encode())

    def process(self, process: Process) -> None:
        """Begin a process; its number is how many came before."""
        self._frame(b"PROC", process.number, 0, json.dumps(asdict(process)).encode())

    def events(self, process: int, columns: bytes) -> int:
        """Add a process's next events, in the form that ``hakmem_merge`` gives; returns how many."""
        count = int(_COUNTS.unpack_from(columns)[0])
        self._frame(b"EVTS", process, count, columns)
        self._events += count
        return count

    def end(self, foot: dict[str, Any]) -> None:
        """Close the history: what is missing this frame was cut off."""
        self._frame(b"DONE", 0, 0, json.dumps({**foot, "events": self._events}).encode())

    def _frame(self, kind: bytes, process: int, events: int, content: bytes) -> None:
        packed = zlib.compress(content, _LEVEL)
        head = _FRAME.pack(kind, process, events, len(packed))
        self._file.write(head + _CHECK.pack(zlib.crc32(packed, zlib.crc32(head))))
        self._file.write(packed)


class Trace:
    """An opened trace. ``cut`` says in one line what is wrong with its end; None: it is whole.

    A file that is no trace, or a newer one, is a `TraceError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.head: dict[str, Any] = {}
        self.foot: dict[str, Any] = {}
        self.processes: list[Process] = []
        self.cut: str | None = None
        self._frames: list[_Frame] = []
        try:
            with path.open("rb") as file:
                self._scan(file)
        except OSError as error:
            raise TraceError(f"{path}: cannot be read: {error.strerror or error}") from error

    def _scan(self, file: BinaryIO) -> None:
        opening = file.read(_OPENING.size)
        if not opening.startswith(MAGIC) and not (opening and MAGIC.startswith(opening)):
            raise TraceError(f"{self.path}: expected a trace of hakmem record, got another kind of file")
        if len(opening) < _OPENING.size:
            raise TraceError(f"{self.path}: the trace is cut off in its first line; nothing of it is left")
        version = _OPENING.unpack(opening)[1]
        if version > VERSION:
            raise TraceError(
                f"{self.path}: expected a trace of version {VERSION} or older, got version {version}; "
                "a newer hakmem reads it"
            )
        size = self.path.stat().st_size
        while not self.foot:
            head = file.read(_FRAME.size)
            if len(head) < _FRAME.size or file.tell() + _CHECK.size + _FRAME.unpack(head)[3] > size:
                self.cut = f"{self.path}: the trace is cut off after {self.count()} events"
                return
            kind, process, events, length = _FRAME.unpack(head)
            frame = _Frame(head, kind, process, events, file.tell(), length)
            if kind == b"EVTS" and process < len(self.processes):
                self._frames.append(frame)
                file.seek(_CHECK.size + length, 1)
                continue
            content = self._content(file, frame)
            if content is None or kind not in (b"HEAD", b"PROC", b"DONE"):
                self.cut = f"{self.path}: the trace is damaged after {self.count()} events"
                return
            found = json.loads(content)
            if kind == b"HEAD":
                self.head = found
            elif kind == b"PROC":
                self.processes.append(Process(**found))
            else:
                self.foot = found

    @staticmethod
    def _content(file: BinaryIO, frame: _Frame) -> bytes | None:
        """A frame's content; None when it is not what was written."""
        file.seek(frame.offset)
        check = file.read(_CHECK.size)
        packed = file.read(frame.size)
        if len(check) < _CHECK.size or zlib.crc32(packed, zlib.crc32(frame.head)) != _CHECK.unpack(check)[0]:
            return None
        unpacker = zlib.decompressobj()
        content = unpacker.decompress(packed, _MOST_FRAME)
        return content if unpacker.eof else None

    def count(self, process: int | None = None) -> int:
        """Events of one process, or of all."""
        return sum(frame.events for frame in self._frames if process in (None, frame.process))

    def columns(self, process: int) -> Iterator[bytes]:
        """A process's frames as they were written; a damaged one ends them and sets ``cut``."""
        with self.path.open("rb") as file:
            for frame in self._frames:
                if frame.process != process:
                    continue
                content = self._content(file, frame)
                if content is None:
                    self.cut = f"{self.path}: the trace is damaged in process {process}"
                    return
                yield content

    def events(self, process: int) -> Iterator[Events]:
        """A process's events, a frame at a time."""
        for columns in self.columns(process):
            yield decode(columns)

    def chosen(self, number: int | None) -> Process | None:
        """The process of this number, or the one with the most events (None: there is none)."""
        if number is None:
            return max(self.processes, key=lambda process: self.count(process.number), default=None)
        if not 0 <= number < len(self.processes):
            raise HakmemError(
                f"{self.path}: --process: expected a process of 0 to {len(self.processes) - 1}, got {number}"
            )
        return self.processes[number]

    def with_events(self, number: int | None) -> Process:
        """As `chosen`; a process without events is a `TraceError`."""
        found = self.chosen(number)
        if found is None or self.count(found.number) == 0:
            raise TraceError(f"{self.path}: expected a process with events, got none")
        return found


def trace(path: Path | str, process: int | None = None) -> Summary:
    """What one process of a trace did, counted; by default the process with the most events.

    Of a trace that was cut off, what is whole is counted; `Trace` says so in its ``cut``. A file that is no
    trace, and one without events, is a `TraceError`.
    """
    from .trace_summary import summarise

    opened = Trace(Path(path))
    return summarise(opened, opened.with_events(process))


def decode(columns: bytes) -> Events:
    """Columns as arrays; columns that contradict each other are a `TraceError`."""
    count, *lengths = _COUNTS.unpack_from(columns)
    if _COUNTS.size + sum(lengths) != len(columns):
        raise TraceError("trace: a frame's columns are not as long as it says")
    parts = []
    offset = _COUNTS.size
    for length in lengths:
        parts.append(np.frombuffer(columns, np.uint8, length, offset))
        offset += length
    kinds, threads, times, sizes, ages, alignments = parts
    if len(kinds) != count or (count and kinds.max() > FREE):
        raise TraceError("trace: a frame has kinds of events that are not known")
    return Events(
        kinds,
        _runs(threads, count).astype(np.uint32),
        _runs(times, count),
        _scattered(kinds <= REALLOC, numbers(sizes)),
        _scattered(kinds >= REALLOC, numbers(ages)),
        _scattered(kinds == ALIGNED, np.uint64(1) << (alignments & 63).astype(np.uint64)),
    )


def encode(events: Events) -> bytes:
    """Arrays as columns: what `decode` reads back. At most 2**32 - 1 events."""
    kinds = events.kinds
    parts = [
        kinds.tobytes(),
        _as_runs(events.threads.astype(np.uint64)),
        _as_runs(events.ms),
        _as_numbers(events.sizes[kinds <= REALLOC]),
        _as_numbers(events.ages[kinds >= REALLOC]),
        np.log2(events.alignments[kinds == ALIGNED]).astype(np.uint8).tobytes(),
    ]
    return _COUNTS.pack(len(kinds), *map(len, parts)) + b"".join(parts)


def _as_runs(values: NDArray[np.uint64]) -> bytes:
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1]))
    lengths = np.diff(starts, append=len(values)).astype(np.uint64)
    return _as_numbers(np.stack((values[starts], lengths), axis=1).reshape(-1))


def _as_numbers(values: NDArray[np.uint64]) -> bytes:
    places = np.arange(10, dtype=np.uint64) * np.uint64(7)
    left = values[:, None] >> places  # what stands at each place and above it
    digits = (left & np.uint64(127)).astype(np.uint8)
    digits[:, :-1] |= np.where(left[:, 1:] > 0, np.uint8(128), np.uint8(0))
    there = left > 0
    there[:, 0] = True
    return bytes(digits[there])


def numbers(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """The numbers of a column: seven bits a byte, the lowest first, the top bit set where more follow."""
    ends = np.flatnonzero(data < 128)
    if len(data) and (len(ends) == 0 or ends[-1] != len(data) - 1):
        raise TraceError("trace: a frame's column ends within a number")
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1] + 1)) if len(ends) else ends
    found = (data[starts] & 127).astype(np.uint64)
    longer = np.flatnonzero(ends > starts)
    place = 0
    while len(longer):
        place += 1
        if place > 9:
            raise TraceError("trace: a frame holds a number of more than 64 bits")
        bits = (data[starts[longer] + place] & 127).astype(np.uint64)
        found[longer] |= bits << np.uint64(7 * place)
        longer = longer[ends[longer] > starts[longer] + place]
    return found


def _runs(data: NDArray[np.uint8], count: int) -> NDArray[np.uint64]:
    pairs = numbers(data)
    lengths = pairs[1::2].astype(np.int64)
    if len(pairs) % 2 or np.any(lengths <= 0) or lengths.sum() != count:
        raise TraceError("trace: a frame's runs do not cover its events")
    return np.repeat(pairs[::2], lengths)


def _scattered(where: NDArray[np.bool_], values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    if np.count_nonzero(where) != len(values):
        raise TraceError("trace: a frame's column does not fit its events")
    found = np.zeros(len(where), np.uint64)
    found[where] = values
    return found


sys.modules[__name__].__class__ = Door
