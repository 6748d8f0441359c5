"""Two real programs raced end to end under each malloc library: CPython and one compiled program.

A program does its work, says ``done`` on its standard output and waits for the end of its standard input.
While it waits, its memory map and its peak RSS are read from ``/proc``: so every run proves which malloc
library it has, and no figure is inherited from the process that started it (``ru_maxrss`` would be).
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .errors import HakmemError

_FOLDER = Path(__file__).resolve().parent / "_programs"
_DONE = b"done\n"
_LIBC_HEAP_ALLOWED_KIB = 1024
_KEPT_LINES = 5


class ProgramError(HakmemError):
    """A program that did not start, end, answer as under libc, or run on the library it was given."""


class NotServedError(ProgramError):
    """A program that ran on another malloc than the one it was given: nothing it measured counts."""


@dataclass(frozen=True)
class Program:
    """A program to race: ``command`` reads ``script`` (a file of this package) the way ``feed`` says.

    With ``feed`` the script is written to the program's standard input, else its path ends the command.
    """

    name: str
    what: str
    command: tuple[str, ...]
    script: Path
    feed: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CommandRun:
    """One run of a command: seconds of wall, user and system time, peak RSS in KiB, faults.

    ``output`` is what it wrote, or a hash of that.
    """

    wall_s: float
    user_s: float
    system_s: float
    peak_rss_kib: int
    minor_faults: int
    major_faults: int
    output: str

    def answer(self, params: Mapping[str, object]) -> dict[str, object]:
        """The run as what a bench keeps of a row: one operation of one thread. ``params`` go with it."""
        return {
            "params": params,
            "histogram": {},
            "shape": "program",
            "threads": 1,
            "ops": 1,
            "ns_per_op": 1e9 * self.wall_s,
            "startup_ns": 0,
            "page_faults": {"minor": self.minor_faults, "major": self.major_faults},
            "peak_rss_kib": self.peak_rss_kib,
            "rss_end_kib": self.peak_rss_kib,
            "harness_kib": 0,
            "served_share": 1.0,
        }


@dataclass(frozen=True)
class ProgramRun(CommandRun):
    """One run of a program, and what was mapped in it.

    ``wall_s`` is start to ``done`` plus the time to exit; the pause for reading ``/proc`` is left out.
    ``libc_heap_kib`` is the size of the brk heap, which only libc's own malloc uses.
    """

    program: str
    mapped: tuple[str, ...]
    libc_heap_kib: int


def cpython() -> Program:
    """The Python that runs this, on an allocation-heavy script, with every object on malloc."""
    return Program(
        name="cpython",
        what=f"CPython {sys.version_info.major}.{sys.version_info.minor} building and transforming documents",
        command=(os.path.realpath(sys.executable), "-S", "-s", "-B"),
        script=_FOLDER / "documents.py",
        environment={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"},
    )


def _compiled_candidates() -> list[tuple[str, str, tuple[str, ...], str, bool]]:
    return [
        (
            "sqlite3",
            "sqlite3 building and querying a database in memory",
            ("-batch", "-init", "/dev/null", ":memory:"),
            "orders.sql",
            True,
        ),
        ("perl", "Perl building and querying nested hashes", (), "orders.pl", False),
    ]


def compiled() -> Program:
    """The first compiled program of the list that is on this machine: sqlite3, else perl."""
    for name, what, arguments, script, feed in _compiled_candidates():
        path = shutil.which(name)
        if path:
            return Program(name, what, (path, *arguments), _FOLDER / script, feed)
    names = ", ".join(candidate[0] for candidate in _compiled_candidates())
    raise ProgramError(f"programs: expected one of {names} in PATH, got none; apt-get install sqlite3")


def programs() -> list[Program]:
    """The two programs that `hakmem.pick` races on this machine."""
    return [cpython(), compiled()]


def run(
    program: Program,
    preload: Path | None = None,
    environment: Mapping[str, str] | None = None,
    cpu: int | None = None,
    timeout_s: float = 60.0,
) -> ProgramRun:
    """Run a program once under a malloc library (None: libc), pinned to ``cpu`` when that is given.

    Raises `ProgramError` when the library is not in use in the running program, when the program ends with
    anything but 0 (its signal or its last lines are in the text), or when it has not ended in ``timeout_s``.
    """
    command = list(program.command) + ([] if program.feed else [str(program.script)])
    variables = {"PATH": os.defpath, "LC_ALL": "C", "HOME": "/nonexistent", **program.environment}
    variables.update(environment or {})
    if preload is not None:
        variables["LD_PRELOAD"] = str(preload)
    script = program.script.read_bytes() if program.feed else b""
    before = os.sched_getaffinity(0)
    if cpu is not None:
        os.sched_setaffinity(0, {cpu})
    try:
        start = time.perf_counter()
        child = subprocess.Popen(
            command, env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
    except OSError as error:
        raise ProgramError(f"{command[0]}: cannot be started: {error.strerror}") from error
    finally:
        if cpu is not None:
            os.sched_setaffinity(0, before)
    return _Watch(program, child, start, timeout_s).finish(script, preload)


class _Watch:
    """One child from its start to its end."""

    def __init__(self, program: Program, child: subprocess.Popen[bytes], start: float, timeout_s: float):
        self._program = program
        self._child = child
        self._start = start
        self._deadline = start + timeout_s
        self._timeout_s = timeout_s
        self._texts: dict[int, bytes] = {}

    def finish(self, script: bytes, preload: Path | None) -> ProgramRun:
        """Feed the script, wait for ``done``, look, let go, and collect the exit."""
        child = self._child
        assert child.stdin and child.stdout and child.stderr
        out, error = child.stdout.fileno(), child.stderr.fileno()
        self._texts = {out: b"", error: b""}
        try:
            with contextlib.suppress(BrokenPipeError):  # it ended early: its exit says why
                child.stdin.write(script)
                child.stdin.flush()
            alive = self._read_until(lambda: self._texts[out].endswith(_DONE))
            done = time.perf_counter()
            status, maps = self._look() if alive else ("", "")
            released = time.perf_counter()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
            self._read_until(lambda: False)
            _pid, code, usage = os.wait4(child.pid, 0)
            ended = time.perf_counter()
            child.returncode = os.waitstatus_to_exitcode(code)
        except BaseException:
            if child.returncode is None:
                child.kill()
                child.wait()
            raise
        finally:
            for stream in (child.stdin, child.stdout, child.stderr):
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        text = self._texts[out].decode(errors="replace")
        if child.returncode != 0 or not alive:
            raise ProgramError(f"{self._program.name}: {self._ending(text, preload)}")
        mapped = tuple(sorted(set(re.findall(r" (/\S+\.so\S*)$", maps, re.MULTILINE))))
        measured = ProgramRun(
            program=self._program.name,
            wall_s=(done - self._start) + (ended - released),
            user_s=usage.ru_utime,
            system_s=usage.ru_stime,
            peak_rss_kib=_kib(status, "VmHWM"),
            output=text,
            mapped=mapped,
            libc_heap_kib=_heap_kib(maps),
            minor_faults=usage.ru_minflt,
            major_faults=usage.ru_majflt,
        )
        prove(measured, preload)
        return measured

    def _read_until(self, enough: Callable[[], bool]) -> bool:
        """Read both pipes until ``enough`` or their end; True when ``enough`` held."""
        streams = [stream for stream in (self._child.stdout, self._child.stderr) if stream]
        waiting = [stream.fileno() for stream in streams]
        while waiting:
            if enough():
                return True
            left = self._deadline - time.perf_counter()
            ready = select.select(waiting, [], [], max(0.0, left))[0]
            if not ready:
                self._child.kill()
                self._child.wait()
                raise ProgramError(f"{self._program.name}: no end after {self._timeout_s:g} s")
            for number in ready:
                part = os.read(number, 1 << 16)
                self._texts[number] += part
                if not part:
                    waiting.remove(number)
        return enough()

    def _look(self) -> tuple[str, str]:
        folder = Path(f"/proc/{self._child.pid}")
        try:
            return (folder / "status").read_text(), (folder / "maps").read_text(errors="replace")
        except OSError as error:
            raise ProgramError(f"{self._program.name}: {folder}: cannot be read: {error.strerror}") from error

    def _ending(self, text: str, preload: Path | None) -> str:
        code = self._child.returncode
        how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        complaint = self._texts[max(self._texts)].decode(errors="replace").strip() or text.strip()
        last = " | ".join(complaint.splitlines()[-_KEPT_LINES:]) or "no output"
        return f"{how} under {preload.name if preload else 'libc'}: {last}"


def _kib(status: str, key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB$", status, re.MULTILINE)
    if not found:
        raise ProgramError(f"/proc/<pid>/status: expected a line {key}, got none")
    return int(found[1])


def _heap_kib(maps: str) -> int:
    ranges = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*\[heap\]$", maps, re.MULTILINE)
    return sum(int(end, 16) - int(start, 16) for start, end in ranges) // 1024


def prove(measured: ProgramRun, preload: Path | None) -> None:
    """Refuse a run that another malloc than the named one served."""
    name = measured.program
    if preload is None:
        ours = [path for path in measured.mapped if Path(path).name.startswith("libhakmem_")]
        if ours:
            raise NotServedError(f"{name}: expected libc's malloc alone, got {ours[0]} mapped")
        if measured.libc_heap_kib == 0:
            raise NotServedError(f"{name}: expected libc's heap in use, got none: another malloc serves it")
        return
    if os.path.realpath(preload) not in measured.mapped:
        raise NotServedError(
            f"{name}: {preload} was given in LD_PRELOAD but is not mapped: it served nothing"
        )
    if Path(preload).name.startswith("libhakmem_") and measured.libc_heap_kib > _LIBC_HEAP_ALLOWED_KIB:
        raise NotServedError(
            f"{name}: {preload} is mapped, yet libc's heap holds {measured.libc_heap_kib} KiB: "
            "expected it to be unused"
        )


def same_output(measured: ProgramRun, reference: str) -> None:
    """Refuse a run whose output is not that of libc's run."""
    if measured.output == reference:
        return
    got, expected = measured.output.splitlines(), reference.splitlines()
    common = min(len(got), len(expected))
    line = next((index for index in range(common) if got[index] != expected[index]), common)
    raise ProgramError(
        f"{measured.program}: line {line + 1} of its output differs from libc's: expected "
        f"{(expected[line : line + 1] or ['its end'])[0]!r}, got {(got[line : line + 1] or ['its end'])[0]!r}"
    )
