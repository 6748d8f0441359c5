"""Reading the counts of a running process whose malloc library has counters, without stopping it.

The library exports a constant object, ``hakmem_layout`` (cpp/hakmem/engine/layout.hpp), that says where its
counts lie. They are read through ``/proc/PID/mem`` while the process works: each number is whole, their sums
are of no one instant, and exact while no thread of it is inside malloc or free.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elftools.common.exceptions import ELFError
from elftools.elf.elffile import ELFFile

from .errors import HakmemError

SYMBOL = "hakmem_layout"
_MAGIC = int.from_bytes(b"hakmem1\0", "little")
_FIELDS = (
    "magic",
    "bytes",
    "name",
    "digest",
    "heaps",
    "model",
    "model_next",
    "model_counts",
    "model_blocks",
    "model_kept",
    "flow_stride",
    "flows",
    "events",
    "event_names",
    "caches",
    "classes",
    "class_bytes",
    "prefix",
    "medium_runs",
    "medium_pages",
    "large_bytes",
    "large_cached_bytes",
    "mapped_bytes",
    "purged_bytes",
)
_FLOWS = ("malloc", "free", "fetched", "returned", "sent", "home", "left", "taken")
_MALLOCS = ("malloc_front_hit", "refill", "medium_malloc", "large_malloc")
_FREES = ("free_front_hit", "flush", "free_remote", "medium_free", "large_free")
_RUN_PAGE = 4096
_MOST_HEAPS = 1 << 20


@dataclass(frozen=True)
class _Mapped:
    path: Path
    start: int


class LiveProcess:
    """A running process with a hakmem library that counts; `statistics` may be called again and again.

    Opening it is a `HakmemError` in one line when there is no such process, no hakmem library in it, a
    library without counters, or no permission to read its memory.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.library, address = _find(pid)
        try:
            self._memory = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _refused(pid, error) from error
        try:
            words = self._words(address, len(_FIELDS))
            self._layout = dict(zip(_FIELDS, words, strict=True))
            self._check_layout()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the process."""
        os.close(self._memory)

    def __enter__(self) -> LiveProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_layout(self) -> None:
        layout = self._layout
        if layout["magic"] != _MAGIC or layout["bytes"] != 8 * len(_FIELDS):
            raise HakmemError(
                f"{self.library}: {SYMBOL}: expected the layout of this version of hakmem, got another"
            )
        if layout["model_counts"] == 0:
            raise HakmemError(
                f"pid {self.pid}: {self.library} was built without counters: expected a variant with probe = "
                "counters (unified_counting) or route"
            )
        self._event_names = [self._text(at) for at in self._words(layout["event_names"], layout["events"])]
        self._class_bytes = self._words(layout["class_bytes"], layout["classes"])

    def _read(self, address: int, size: int) -> bytes:
        try:
            data = os.pread(self._memory, size, address)
        except OSError as error:
            raise _refused(self.pid, error) from error
        if len(data) != size:
            raise ProcessEndedError(f"pid {self.pid}: the process ended")
        return data

    def _words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self._read(address, 8 * count))

    def _text(self, address: int) -> str:
        piece = bytearray()
        while not piece.endswith(b"\0"):
            piece += self._read(address + len(piece), 1)
        return piece[:-1].decode()

    def statistics(self) -> dict[str, Any]:
        """What ``hakmem_statistics`` says and the counts can answer, under the same keys, in bytes."""
        layout = self._layout
        heaps = self._heaps()
        classes = range(1, layout["classes"] + 1)
        usable = (0, *self._class_bytes)
        live, cached, depot, transit = ([0] * (layout["classes"] + 1) for _ in range(4))
        rows = []
        events = dict.fromkeys(self._event_names, 0)
        for number, heap in heaps:
            counts, blocks = self._counts(heap)
            for name, count in counts.items():
                events[name] += count
            mine = 0
            for c in classes:
                flow = {name: blocks[name][c] for name in _FLOWS}
                live[c] += flow["malloc"] - flow["free"] - flow["sent"]
                transit[c] += flow["sent"] - flow["home"]
                depot[c] += flow["left"] - flow["taken"]
                if layout["caches"]:
                    came = flow["fetched"] + flow["taken"] + flow["free"]
                    held = max(0, came - flow["returned"] - flow["left"] - flow["malloc"])
                    cached[c] += held
                    mine += held * usable[c]
            rows.append(
                {
                    "heap": number,
                    "cached_bytes": mine,
                    "counted": True,
                    "malloc": sum(counts[name] for name in _MALLOCS),
                    "free": sum(counts[name] for name in _FREES),
                }
            )

        def total(blocks: list[int]) -> int:
            return sum(max(0, blocks[c]) * usable[c] for c in classes)

        (runs,) = self._words(layout["medium_runs"], 1)
        (pages,) = self._words(layout["medium_pages"], 1)
        if layout["model_kept"]:
            for _number, heap in heaps:
                (kept,) = self._words(self._in(heap, "model_kept"), 1)
                pages, runs = pages - (kept & 0xFFFFFFFF), runs - (kept >> 32)
        medium = max(0, pages * _RUN_PAGE - runs * layout["prefix"])
        (large,) = self._words(layout["large_bytes"], 1)
        found = {
            "pid": self.pid,
            "name": self._text(layout["name"]),
            "digest": self._text(layout["digest"]),
            "library": str(self.library),
            "heaps": len(rows),
            "live_bytes": total(live) + medium + large,
            "cached_bytes": total(cached) + total(depot),
            "depot_bytes": total(depot),
            "in_transit_bytes": total(transit),
            "medium_bytes": medium,
            "large_bytes": large,
        }
        for key in ("large_cached_bytes", "mapped_bytes", "purged_bytes"):
            (found[key],) = self._words(layout[key], 1)
        return {
            **found,
            "classes": [
                {
                    "bytes": usable[c],
                    "live_bytes": max(0, live[c]) * usable[c],
                    "cached_bytes": (cached[c] + max(0, depot[c])) * usable[c],
                    "out_bytes": (max(0, live[c]) + cached[c] + max(0, depot[c]) + max(0, transit[c]))
                    * usable[c],
                }
                for c in classes
                if usable[c] != 0
            ],
            "thread_heaps": rows,
            "events": {
                "malloc": sum(events[name] for name in _MALLOCS),
                **events,
                "free": sum(events[name] for name in _FREES),
            },
        }

    def _heaps(self) -> list[tuple[int, int]]:
        """Number and address of each heap, the newest first; the oldest is number 1."""
        found: list[int] = []
        (heap,) = self._words(self._layout["heaps"], 1)
        while heap != 0 and len(found) < _MOST_HEAPS:
            found.append(heap)
            (heap,) = self._words(self._in(heap, "model_next"), 1)
        return [(len(found) - i, heap) for i, heap in enumerate(found)]

    def _in(self, heap: int, member: str) -> int:
        return heap + self._layout[member] - self._layout["model"]

    def _counts(self, heap: int) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
        layout = self._layout
        counts = self._words(self._in(heap, "model_counts"), layout["events"])
        stride = layout["flow_stride"] // 8
        blocks = self._words(self._in(heap, "model_blocks"), layout["flows"] * stride)
        return (
            dict(zip(self._event_names, counts, strict=True)),
            {name: blocks[i * stride : (i + 1) * stride] for i, name in enumerate(_FLOWS)},
        )


class ProcessEndedError(HakmemError):
    """The process ended while it was watched."""


def read(pid: int) -> dict[str, Any]:
    """The statistics of a running process, once."""
    with LiveProcess(pid) as process:
        return process.statistics()


def watch(pid: int, show: Callable[[dict[str, Any]], None], wait: Callable[[], object]) -> None:
    """Show a process's statistics, wait, and so on until it ends."""
    with LiveProcess(pid) as process:
        try:
            while True:
                show(process.statistics())
                wait()
        except ProcessEndedError:
            return


def text(found: dict[str, Any]) -> str:
    """Statistics as lines for people: totals, then the classes and the heaps that hold anything."""
    totals = [
        ("live", "live_bytes"),
        ("cached", "cached_bytes"),
        ("in transit", "in_transit_bytes"),
        ("mapped", "mapped_bytes"),
        ("given back so far", "purged_bytes"),
    ]
    lines = ["bytes: " + ", ".join(f"{word} {found[key]}" for word, key in totals)]
    lines.append(f"{'class':>10} {'out':>12} {'cached':>12}")
    lines += [
        f"{row['bytes']:>10} {row['out_bytes']:>12} {row['cached_bytes']:>12}"
        for row in found["classes"]
        if row["out_bytes"]
    ]
    lines += [f"{'medium':>10} {found['medium_bytes']:>12}", f"{'large':>10} {found['large_bytes']:>12}"]
    lines.append(f"{'heap':>10} {'cached':>12} {'mallocs':>12} {'frees':>12}")
    for row in sorted(found["thread_heaps"], key=lambda row: int(row["heap"])):
        cached = row["cached_bytes"] if row["counted"] else "not counted"
        lines.append(
            f"{row['heap']:>10} {cached:>12} {row.get('malloc', '-'):>12} {row.get('free', '-'):>12}"
        )
    return "\n".join(lines) + "\n"


def _refused(pid: int, error: OSError) -> HakmemError:
    if isinstance(error, PermissionError):
        return HakmemError(
            f"pid {pid}: no permission to read its memory: expected the same user or root, and "
            "kernel.yama.ptrace_scope = 0 for a process that is no child"
        )
    if isinstance(error, ProcessLookupError | FileNotFoundError):
        return ProcessEndedError(f"pid {pid}: expected a running process, got none")
    return HakmemError(f"pid {pid}: its memory cannot be read: {error.strerror}")


def _find(pid: int) -> tuple[Path, int]:
    """The hakmem library of a process and the address of its layout there."""
    try:
        lines = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace").splitlines()
        program = str(Path(f"/proc/{pid}/exe").readlink()) if lines else ""
    except OSError as error:
        raise _refused(pid, error) from error
    for line in lines:
        span, _, offset, _, _, *rest = line.split(maxsplit=5)
        path = rest[0].removesuffix(" (deleted)") if rest else ""
        if int(offset, 16) != 0 or not (path == program or "hakmem" in Path(path).name):
            continue
        mapped = _Mapped(Path(path), int(span.partition("-")[0], 16))
        address = _address_of_layout(pid, mapped)
        if address is not None:
            return mapped.path, address
    raise HakmemError(
        f"pid {pid}: expected a process on a hakmem malloc library with counters "
        "(hakmem run unified_counting), got one without"
    )


def _address_of_layout(pid: int, mapped: _Mapped) -> int | None:
    # the process may have another root; a file that was replaced is another one than it runs on
    for path in (Path(f"/proc/{pid}/root") / str(mapped.path).lstrip("/"), mapped.path):
        try:
            with path.open("rb") as file:
                elf = ELFFile(file)
                table: Any = elf.get_section_by_name(".dynsym")
                symbols = table.get_symbol_by_name(SYMBOL) if table else None
                if not symbols:
                    return None
                first = min(part["p_vaddr"] for part in elf.iter_segments("PT_LOAD"))
                return int(mapped.start - (first & ~0xFFF) + symbols[0]["st_value"])
        except (OSError, ELFError):
            continue
    return None
