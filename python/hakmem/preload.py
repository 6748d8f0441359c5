"""Starting a program on a variant's malloc library, and proving that the library is the allocator in use."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from . import build as builds
from . import witness
from .build import Built
from .errors import HakmemError

_PROBE = """
import ctypes, sys
program = ctypes.CDLL(None)
program.hakmem_id.restype = ctypes.c_char_p
sys.stdout.write(program.hakmem_id().decode())
"""
LIBC = "libc.so.6"
"""Preloaded on libc, so that its malloc comes before one that the program itself is linked with."""
_MAPS_WAIT_S = 0.5
_LOOK_AGAIN_S = 0.002


@dataclass(frozen=True)
class Proof:
    """What shows that a program runs on a library.

    ``id`` is what ``hakmem_id`` answered in a probe process, ``loader`` the loader's own list for the
    program, ``mapped`` whether the library was seen in the memory map of the running process (None: it
    ended before a look).
    """

    id: str
    loader: str
    pid: int
    mapped: bool | None


def environment(built: Built) -> dict[str, str]:
    """This process's environment with the variant's library in LD_PRELOAD, before what was there."""
    before = os.environ.get("LD_PRELOAD", "")
    return {**os.environ, "LD_PRELOAD": f"{built.library}{':' + before if before else ''}"}


def probe(built: Built) -> str:
    """``name digest`` as a probe process reads it from the preloaded library; an error if it is not ours."""
    answer = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _PROBE],
        env=environment(built),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    expected = f"{built.name} {built.digest}"
    if answer.returncode != 0 or answer.stdout != expected:
        complaint = (answer.stderr.strip().splitlines() or [f"exit code {answer.returncode}"])[0]
        raise HakmemError(
            f"{built.library}: expected hakmem_id {expected!r} in a probe process, got "
            f"{answer.stdout or complaint!r}"
        )
    return answer.stdout


def loader_of(program: Path) -> str:
    """The dynamic loader that starts a program (for a script: its interpreter's).

    A program that is static, setuid or not ELF is a `HakmemError` that says so: LD_PRELOAD would not reach
    it.
    """
    for _ in range(5):
        try:
            with program.open("rb") as file:
                head = file.read(4096)
                mode = os.fstat(file.fileno()).st_mode
        except OSError as error:
            raise HakmemError(f"{program}: cannot be read: {error.strerror}") from error
        if (mode & stat.S_ISUID and program.stat().st_uid != os.geteuid()) or mode & stat.S_ISGID:
            raise HakmemError(
                f"{program} is setuid or setgid: the loader ignores LD_PRELOAD for it, so "
                "hakmem cannot serve it"
            )
        if not head.startswith(b"#!"):
            break
        words = head[2:].split(b"\n", 1)[0].decode(errors="replace").split()
        if not words:
            break
        program = Path(words[0])
    if head[:4] != b"\x7fELF":
        raise HakmemError(
            f"{program}: expected an ELF program or a script that names one, got another kind of file"
        )
    loader = _interpreter(program)
    if loader is None:
        raise HakmemError(
            f"{program} is statically linked: LD_PRELOAD has no effect on it, so hakmem cannot serve it"
        )
    return loader


def _interpreter(program: Path) -> str | None:
    with program.open("rb") as file:
        head = file.read(64)
        wide = head[4] == 2
        table, entry, count = (
            (*struct.unpack_from("<Q", head, 32), *struct.unpack_from("<HH", head, 54))
            if wide
            else (*struct.unpack_from("<I", head, 28), *struct.unpack_from("<HH", head, 42))
        )
        for index in range(count):
            file.seek(table + index * entry)
            part = file.read(entry)
            if struct.unpack_from("<I", part, 0)[0] == 3:  # PT_INTERP
                offset, size = struct.unpack_from("<Q", part, 8)[0], struct.unpack_from("<Q", part, 32)[0]
                if not wide:
                    offset, size = struct.unpack_from("<I", part, 4)[0], struct.unpack_from("<I", part, 16)[0]
                file.seek(offset)
                return file.read(size).rstrip(b"\0").decode()
    return None


def _loader_takes(built: Built, program: Path, loader: str) -> None:
    """Ask the loader which objects it would load for the program; nothing of the program runs."""
    real = program
    with program.open("rb") as file:
        line = file.readline(4096)
    if line.startswith(b"#!"):
        real = Path(line[2:].decode().split()[0])
    answer = subprocess.run(
        [loader, "--list", str(real)],
        env=environment(built),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if str(built.library) not in answer.stdout:
        complaint = (answer.stderr.strip().splitlines() or ["the library is not in its list"])[0]
        raise HakmemError(f"{loader} does not load {built.library} for {program}: {complaint}")


def is_mapped(pid: int, library: Path) -> bool | None:
    """Whether a process has the library in its memory map; None when the map cannot be read or is gone."""
    try:
        text = Path(f"/proc/{pid}/maps").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    if not text:
        return None
    return str(library) in text


def _why_not(program: Path) -> str | None:
    try:
        loader_of(program)
    except HakmemError as error:
        return str(error)
    return None


@contextmanager
def interrupts_are_the_programs() -> Iterator[None]:
    """Leave SIGINT to a program of the same process group, from before it starts; its own answer counts."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.SIG_IGN or threading.current_thread() is not threading.main_thread():
        yield
        return
    # a handler, since a signal that is ignored here would be ignored by the program
    signal.signal(signal.SIGINT, lambda _number, _frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run(
    built: Built,
    command: Sequence[str],
    announce: Callable[[Proof], None],
    folder: Path | None = None,
) -> int:
    """Run a command on the variant's library and return its exit code (128 + signal when a signal ended it).

    ``announce`` gets the proof as soon as it is complete. When the library is not in use a `HakmemError`
    says why; a program that was started without it is stopped. In ``folder`` the program and the processes
    that it starts note whose malloc they call, and their statistics at exit (see `witness`).
    """
    found = shutil.which(command[0])
    if found is None:
        raise HakmemError(f"command: expected a program in PATH or a path, got {command[0]!r}")
    program = Path(found)
    loader = loader_of(program)
    identity = probe(built)
    _loader_takes(built, program, loader)
    variables = environment(built)
    if folder is not None:
        helper = builds.witness()
        rest = variables["LD_PRELOAD"].removeprefix(str(built.library))
        variables["LD_PRELOAD"] = f"{built.library}:{helper}{rest}"
        variables[witness.FOLDER_VARIABLE] = str(folder)
    with interrupts_are_the_programs():
        process = subprocess.Popen([found, *command[1:]], env=variables)
        mapped: bool | None = None
        deadline = time.monotonic() + _MAPS_WAIT_S
        while mapped is not True and time.monotonic() < deadline and process.poll() is None:
            mapped = is_mapped(process.pid, built.library) or mapped
            if mapped is not True:  # nothing tells when the loader is done: look again, unless it ends first
                with suppress(subprocess.TimeoutExpired):
                    process.wait(_LOOK_AGAIN_S)
        if mapped is not True and process.poll() is None:
            process.terminate()
            process.wait()
            raise HakmemError(
                f"{found} (pid {process.pid}) runs without {built.library} in its memory map; it was stopped"
            )
        announce(Proof(identity, loader, process.pid, mapped))
        code = process.wait()
    return code if code >= 0 else 128 - code


def testimony(folder: Path) -> witness.Testimony:
    """What the processes of a finished `run` noted in its folder."""
    return witness.read(folder, _why_not)
