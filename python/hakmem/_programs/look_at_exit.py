"""Start one program, look at it when it exits and once more when it is gone, and write what was seen as JSON.

Run by hakmem.program_suite in a small process of its own, so that the peak RSS of who asks is not taken for
the program's: ``look_at_exit.py REPORT PRELOAD COMMAND...``. The program is traced for two stops only: after
exec, and at its exit, while its memory is still there. Standard streams are the program's.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

_TRACEME, _CONT, _SETOPTIONS = 0, 7, 0x4200
_TRACEEXEC, _TRACEEXIT, _EXITKILL = 0x10, 0x40, 0x100000
_EVENT_EXEC, _EVENT_EXIT = 4, 6

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, data: int) -> None:
    if _libc.ptrace(request, pid, None, data) == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _start(command: list[str], preload: str) -> int:
    """The process id of the command, stopped after its exec; 127 is its exit code when that fails."""
    environment = dict(os.environ)
    if preload:
        environment["LD_PRELOAD"] = preload
    pid = os.fork()
    if pid == 0:
        try:
            _ptrace(_TRACEME, 0, 0)
            os.execve(command[0], command, environment)
        except OSError as error:
            os.write(2, f"{command[0]}: {error.strerror}\n".encode())
        os._exit(127)
    return pid


def _look(pid: int) -> dict[str, Any]:
    place = Path(f"/proc/{pid}")
    peak = re.search(r"^VmHWM:\s+(\d+) kB$", (place / "status").read_text(errors="replace"), re.MULTILINE)
    maps = (place / "maps").read_text(errors="replace")
    heap = re.findall(r"^([0-9a-f]+)-([0-9a-f]+) .*\[heap\]$", maps, re.MULTILINE)
    return {
        "peak_rss_kib": int(peak[1]) if peak else 0,
        "mapped": sorted(set(re.findall(r" (/\S+\.so\S*)$", maps, re.MULTILINE))),
        "libc_heap_kib": sum(int(end, 16) - int(start, 16) for start, end in heap) // 1024,
    }


def main(report: str, preload: str, command: list[str]) -> None:
    """Run the command to its end and write the report."""
    seen: dict[str, Any] = {}
    looking = 0
    begun = time.perf_counter_ns()
    pid = _start(command, preload)
    _, status, usage = os.wait4(pid, 0)
    if os.WIFSTOPPED(status):
        _ptrace(_SETOPTIONS, pid, _TRACEEXEC | _TRACEEXIT | _EXITKILL)
        _ptrace(_CONT, pid, 0)
        while True:
            _, status, usage = os.wait4(pid, 0)
            if not os.WIFSTOPPED(status):
                break
            event, number = status >> 16, os.WSTOPSIG(status)
            if event == _EVENT_EXIT:
                start = time.perf_counter_ns()
                seen = _look(pid)
                looking += time.perf_counter_ns() - start
            passed_on = 0 if event in (_EVENT_EXEC, _EVENT_EXIT) or number == signal.SIGTRAP else number
            _ptrace(_CONT, pid, passed_on)
    ended = time.perf_counter_ns()
    answer = {
        **seen,
        "code": os.waitstatus_to_exitcode(status),
        "wall_s": (ended - begun - looking) / 1e9,
        "user_s": usage.ru_utime,
        "system_s": usage.ru_stime,
        "minor_faults": usage.ru_minflt,
        "major_faults": usage.ru_majflt,
    }
    Path(report).write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
