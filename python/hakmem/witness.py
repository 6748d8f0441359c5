"""What the processes of a run noted of themselves: whose malloc each calls, and which were not reached.

``libhakmem_witness.so`` (cpp/src/witness.cpp) is preloaded beside the malloc library and writes a journal and
each process's statistics into one folder; this module reads them.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import HakmemError

FOLDER_VARIABLE = "HAKMEM_WITNESS"


@dataclass(frozen=True)
class Served:
    """A process that began or was forked with the library: its program and whose malloc it calls."""

    pid: int
    program: str
    id: str
    owned: bool | None


@dataclass(frozen=True)
class Missed:
    """A program that was started without the library, and why."""

    pid: int
    program: str
    reason: str


@dataclass(frozen=True)
class Testimony:
    """Every process of a run, in the order in which they were noted."""

    served: list[Served]
    missed: list[Missed]


def read(folder: Path, why_not: Callable[[Path], str | None]) -> Testimony:
    """The journal's testimony; ``why_not`` says why the loader would not preload into a program, if so."""
    journal = folder / "journal"
    text = journal.read_bytes().decode(errors="replace") if journal.is_file() else ""
    records = [record.split("\x1f") for record in text.split("\x1e")[:-1]]
    served = [
        Served(int(pid), program, identity, {"yes": True, "no": False}.get(owned))
        for kind, pid, *rest in records
        if kind in ("start", "fork")
        for identity, owned, program in [rest]
    ]
    missed = []
    for number, (kind, pid, *rest) in enumerate(records):
        if kind not in ("exec", "spawn"):
            continue
        after = [record[0] for record in records[number + 1 :] if record[1] == pid]
        if kind == "spawn":  # noted by the parent, perhaps after the child has begun
            after = [record[0] for record in records if record[1] == pid and record[0] == "start"]
        if after[:1] in (["start"], ["failed"]):
            continue
        name, folder_then, path, preload = rest
        found = shutil.which(name, path=path) if path else name
        program = Path(folder_then) / (found or name)
        if not preload:
            reason = "it was started with an environment without LD_PRELOAD"
        else:
            reason = why_not(program) or "it ended before it had loaded its libraries"
        missed.append(Missed(int(pid), str(program), reason))
    return Testimony(served, missed)


def statistics(folder: Path, testimony: Testimony) -> list[tuple[Served, dict[str, Any]]]:
    """The statistics that each served process left at its exit; one that a signal ended left none."""
    last = {process.pid: process for process in testimony.served}
    found = []
    for pid, process in last.items():
        file = folder / f"statistics.{pid}"
        if file.is_file():
            try:
                found.append((process, json.loads(file.read_text(encoding="utf-8"))))
            except ValueError as error:
                raise HakmemError(f"{file}: expected statistics in JSON, got: {error}") from error
    return found


def sentences(testimony: Testimony, expected: str) -> list[str]:
    """One line on the processes beyond the first, and one for each that the library does not serve."""
    lines = []
    ours = [process for process in testimony.served if process.id == expected and process.owned is not False]
    pids = {process.pid for process in ours}
    if len(pids) > 1:
        lines.append(f"{expected} served {len(pids)} processes in all")
    for process in testimony.served:
        if process.id != expected:
            lines.append(f"{process.program} (pid {process.pid}) runs on {process.id or 'no hakmem library'}")
        elif process.owned is False:
            lines.append(f"{process.program} (pid {process.pid}) has a malloc of its own")
    lines += [f"{item.program} (pid {item.pid}) was not served: {item.reason}" for item in testimony.missed]
    return lines
