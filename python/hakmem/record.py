"""Running a program under the recording library and making the trace of what its processes wrote.

While the program runs, each of its processes writes into files of a folder beside the trace
(cpp/src/recorder.cpp); when it has ended, ``hakmem_merge`` puts each process's threads in order and the
frames are packed into one file.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import __version__, preload, witness
from . import build as builds
from .door import Door
from .errors import HakmemError
from .trace import Process, Writer

FOLDER_VARIABLE = "HAKMEM_RECORDER"
MAX_BYTES = 8 << 30
_MERGE = "hakmem_merge"
_CONTROL = struct.Struct("<5Q")
_FILE_HEADER = struct.Struct("<6Q2048s")
_STOPPED = {1: "the time was up", 2: "the bytes were used up", 4: "a file could not be written"}
_NEVER = (1 << 64) - 1


@dataclass(frozen=True)
class Recording:
    """A finished recording: the program's exit code, and what the trace holds.

    ``stopped`` says why the recording ended before the program (None: it did not), ``missed`` names the
    programs that were started without the library.
    """

    path: Path
    code: int
    processes: int
    events: int
    bytes: int
    stopped: str | None
    missed: tuple[str, ...]


def record(
    command: Sequence[str],
    path: Path | str,
    *,
    seconds: float | None = None,
    max_bytes: int = MAX_BYTES,
    after: float = 0.0,
    anonymous: bool = False,
    stdout: int | None = None,
) -> Recording:
    """Run a command and write the allocation history of it and of the processes that it starts.

    Recording begins ``after`` seconds from the start, lasts ``seconds`` and ends before the processes have
    written ``max_bytes`` together; the program goes on. ``anonymous`` leaves command and programs out. The
    history ends with the command: a process that outlives it is recorded up to there. What LD_PRELOAD does
    not reach is a `HakmemError`. The program's standard output is this process's, or ``stdout`` as
    `subprocess.Popen` takes it.
    """
    path = Path(path)
    found = shutil.which(command[0])
    if found is None:
        raise HakmemError(f"command: expected a program in PATH or a path, got {command[0]!r}")
    preload.loader_of(Path(found))
    library = builds.recorder()
    beside = builds.witness()
    try:
        with (
            path.open("wb") as file,
            tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.resolve().parent) as name,
        ):
            folder = Path(name)
            code = _run(found, command, folder, [library, beside], seconds, max_bytes, after, stdout)
            stopped = _CONTROL.unpack((folder / "control").read_bytes())[4]
            why = next((text for bit, text in _STOPPED.items() if stopped & bit), None)
            writer = Writer(file, _head(command, seconds, max_bytes, after, anonymous))
            processes, events = _merge(folder, library.parent / _MERGE, writer, anonymous)
            writer.end({"stopped": why, "exit_code": code})
            size = file.tell()
            missed = preload.testimony(folder).missed
    except OSError as error:
        raise HakmemError(f"{path}: the trace cannot be written: {error.strerror or error}") from error
    return Recording(
        path, code, processes, events, size, why, tuple(f"{item.program}: {item.reason}" for item in missed)
    )


def _head(
    command: Sequence[str], seconds: float | None, max_bytes: int, after: float, anonymous: bool
) -> dict[str, object]:
    return {
        "hakmem": __version__,
        "command": None if anonymous else list(command),
        "seconds": seconds,
        "max_bytes": max_bytes,
        "after": after,
    }


def _run(
    program: str,
    command: Sequence[str],
    folder: Path,
    libraries: list[Path],
    seconds: float | None,
    max_bytes: int,
    after: float,
    stdout: int | None,
) -> int:
    begin = int((time.clock_gettime(time.CLOCK_MONOTONIC) + after) * 1000)
    end = _NEVER if seconds is None else begin + int(seconds * 1000)
    (folder / "control").write_bytes(_CONTROL.pack(0, max_bytes, begin if after else 0, end, 0))
    before = os.environ.get("LD_PRELOAD")
    variables = {
        **os.environ,
        "LD_PRELOAD": ":".join([*map(str, libraries), *([before] if before else [])]),
        FOLDER_VARIABLE: str(folder.resolve()),
        witness.FOLDER_VARIABLE: str(folder.resolve()),
    }
    with preload.interrupts_are_the_programs():
        try:
            process = subprocess.Popen(command, executable=program, env=variables, stdout=stdout)
        except OSError as error:
            raise HakmemError(f"{program}: cannot be started: {error.strerror or error}") from error
        code = process.wait()
    return code if code >= 0 else 128 - code


def _merge(folder: Path, merge: Path, writer: Writer, anonymous: bool) -> tuple[int, int]:
    heads = []
    for file in folder.glob("process.*"):
        with file.open("rb") as opened:
            head = opened.read(_FILE_HEADER.size)
        if len(head) == _FILE_HEADER.size and head[:8] == b"hakrec01":
            _magic, pid, parent, forked, started, _chunks, program = _FILE_HEADER.unpack(head)
            text = "" if anonymous else program.rstrip(b"\0").decode(errors="replace")
            heads.append((started, file, pid, parent, bool(forked), text))
    events = 0
    for number, (_started, file, pid, parent, forked, program) in enumerate(sorted(heads)):
        writer.process(Process(number, pid, parent, forked, program))
        events += sum(writer.events(number, columns) for columns in _frames(merge, file))
        file.unlink()
    return len(heads), events


def _frames(merge: Path, file: Path) -> Iterator[bytes]:
    with subprocess.Popen([str(merge), str(file)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        while len(length := process.stdout.read(4)) == 4:
            yield process.stdout.read(int.from_bytes(length, "little"))
        complaint = process.stderr.read().decode(errors="replace").strip()
    if process.returncode != 0:
        raise HakmemError(complaint or f"{merge} ended with exit code {process.returncode}")


def cli_record(
    command: Sequence[str],
    path: Path,
    seconds: float | None,
    max_bytes: int,
    after: float,
    anonymous: bool,
    quiet: bool,
) -> int:
    """What `hakmem record` does; returns the program's exit code."""
    found = record(command, path, seconds=seconds, max_bytes=max_bytes, after=after, anonymous=anonymous)
    if not quiet:
        each = f", {found.bytes / found.events:.2f} bytes each" if found.events else ""
        lines = [f"{found.path}: {found.events} events of {found.processes} processes{each}"]
        if found.stopped:
            lines.append(f"the recording ended before the program: {found.stopped}")
        lines += [f"not recorded: {text}" for text in found.missed]
        for line in lines:
            sys.stderr.write(f"hakmem: {line}\n")
    return found.code


sys.modules[__name__].__class__ = Door
