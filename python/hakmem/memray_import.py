"""Making a trace of a capture that memray took of a Python program (``memray run -o capture.bin ...``).

The package `memray` reads its own files. Its records are in order and name threads; what they leave out is
written in docs/trace_format.md.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import __version__
from .errors import HakmemError
from .trace import ALIGNED, CALLOC, FREE, MALLOC, REALLOC, Events, Process, TraceError, Writer, encode

_FRAME = 1 << 19
_KINDS = {
    "MALLOC": MALLOC,
    "CALLOC": CALLOC,
    "REALLOC": REALLOC,
    "FREE": FREE,
    "POSIX_MEMALIGN": ALIGNED,
    "ALIGNED_ALLOC": ALIGNED,
    "MEMALIGN": ALIGNED,
    "VALLOC": ALIGNED,
    "PVALLOC": ALIGNED,
    "PYMALLOC_MALLOC": MALLOC,
    "PYMALLOC_CALLOC": CALLOC,
    "PYMALLOC_REALLOC": REALLOC,
    "PYMALLOC_FREE": FREE,
}
"""What a record of memray is in a trace; mmap and munmap are no calls of malloc."""
_LEAST_ALIGNMENT, _MOST_ALIGNMENT = 16, 4096


@dataclass(frozen=True)
class Imported:
    """A trace made of a capture: events, threads, and the records of mmap and munmap that were left out."""

    path: Path
    events: int
    threads: int
    left_out: int


class Record(Protocol):
    """What is read of memray's AllocationRecord; a free has size 0."""

    @property
    def address(self) -> int:
        """The block's address."""

    @property
    def size(self) -> int:
        """Bytes asked for."""

    @property
    def allocator(self) -> int:
        """memray's AllocatorType."""

    @property
    def tid(self) -> int:
        """The thread."""


@dataclass
class _Rows:
    """Events of one frame, and for each thread the place of its last one while that is a block's free."""

    kinds: list[int] = field(default_factory=list)
    threads: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    ages: list[int] = field(default_factory=list)
    alignments: list[int] = field(default_factory=list)
    freed: dict[int, tuple[int, int]] = field(default_factory=dict)

    def add(self, kind: int, thread: int, size: int, age: int, alignment: int = 0) -> None:
        self.kinds.append(kind)
        self.threads.append(thread)
        self.sizes.append(size)
        self.ages.append(age)
        self.alignments.append(alignment)

    def events(self) -> Events:
        return Events(
            np.array(self.kinds, np.uint8),
            np.array(self.threads, np.uint32),
            np.zeros(len(self.kinds), np.uint64),
            np.array(self.sizes, np.uint64),
            np.array(self.ages, np.uint64),
            np.array(self.alignments, np.uint64),
        )


class _Converter:
    """Turns records into events, a frame at a time; keeps the live blocks' addresses."""

    def __init__(self, kinds: Mapping[int, int]) -> None:
        self.left_out = 0
        self.threads: dict[int, int] = {}
        self._kinds = kinds
        self._made = 0
        self._births: dict[int, int] = {}

    def frames(self, records: Iterable[Record]) -> Iterator[Events]:
        rows = _Rows()
        for record in records:
            kind = self._kinds.get(record.allocator)
            if kind is None or not record.address:
                self.left_out += kind is None
                continue
            thread = self.threads.setdefault(record.tid, len(self.threads))
            if kind == FREE:
                self._free(rows, thread, record.address)
            else:
                self._allocate(rows, thread, kind, record)
            # a free at the end may be the first half of a realloc
            if len(rows.kinds) >= _FRAME and rows.kinds[-1] != FREE:
                yield rows.events()
                rows = _Rows()
        if rows.kinds:
            yield rows.events()

    def _free(self, rows: _Rows, thread: int, address: int) -> None:
        birth = self._births.pop(address, None)
        if birth is None:
            rows.freed.pop(thread, None)
            rows.add(FREE, thread, 0, 0)
            return
        rows.freed[thread] = len(rows.kinds), birth
        rows.add(FREE, thread, 0, self._made - birth)

    def _allocate(self, rows: _Rows, thread: int, kind: int, record: Record) -> None:
        freed = rows.freed.pop(thread, None)
        if record.address in self._births:  # its free was not seen
            rows.add(FREE, thread, 0, self._made - self._births.pop(record.address))
        if kind == REALLOC and freed:  # memray's two records of one call: the old block's free, the new block
            place, birth = freed
            rows.kinds[place], rows.sizes[place] = REALLOC, record.size
            self._births[record.address] = birth
            return
        alignment = 0
        if kind == ALIGNED:
            alignment = min(max(record.address & -record.address, _LEAST_ALIGNMENT), _MOST_ALIGNMENT)
        self._births[record.address] = self._made
        self._made += 1
        rows.add(MALLOC if kind == REALLOC else kind, thread, record.size, 0, alignment)


def import_capture(capture: Path | str, path: Path | str) -> Imported:
    """Write the trace of a capture file; one that memray cannot read, or aggregated, is a `TraceError`.

    Without the package memray this is a `HakmemError`. The trace appears whole or not at all.
    """
    capture, path = Path(capture), Path(path)
    try:
        memray: Any = import_module("memray")
    except ImportError as error:
        raise HakmemError("importing a capture needs the package memray: pip install memray") from error
    converter = _Converter(
        {int(kind): _KINDS[kind.name] for kind in memray.AllocatorType if kind.name in _KINDS}
    )
    try:
        reader = memray.FileReader(capture)
        about = reader.metadata
    except OSError as error:
        raise _refused(capture, error) from error
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.absolute().parent) as name:
            made = Path(name) / "trace"
            with reader, made.open("wb") as file:
                writer = Writer(file, _head(memray.__version__, about))
                writer.process(Process(0, int(about.pid), 0, False, str(about.command_line)))
                events = sum(
                    writer.events(0, encode(frame)) for frame in converter.frames(_records(capture, reader))
                )
                writer.end({"stopped": None, "exit_code": None})
            made.rename(path)
    except OSError as error:
        raise HakmemError(f"{path}: the trace cannot be written: {error.strerror or error}") from error
    return Imported(path, events, len(converter.threads), converter.left_out)


def _records(capture: Path, reader: Any) -> Iterator[Record]:
    try:
        yield from reader.get_allocation_records()
    except (OSError, NotImplementedError) as error:  # the latter is memray's word for an aggregated capture
        raise _refused(capture, error) from error


def _refused(capture: Path, error: Exception) -> TraceError:
    return TraceError(f"{capture}: expected a capture of memray with all allocations, got: {error}")


def _head(version: str, about: Any) -> dict[str, object]:
    return {
        "hakmem": __version__,
        "command": [str(about.command_line)],
        "seconds": None,
        "max_bytes": None,
        "after": 0.0,
        "imported": f"memray {version}, python_allocator {about.python_allocator}",
    }


def cli_memray_import(capture: Path, path: Path) -> int:
    """What `hakmem trace import` does; 1 when the file is no capture."""
    try:
        found = import_capture(capture, path)
    except TraceError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    left = f"; {found.left_out} records of mmap and munmap left out" if found.left_out else ""
    sys.stderr.write(f"hakmem: {found.path}: {found.events} events of {found.threads} threads{left}\n")
    return 0
