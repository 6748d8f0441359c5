"""Runs pieces of Python, each in a fork of this process with the variant's module as `engine`; not a test.

Reads {"module": path, "cases": [text, ...]} and prints [{"status", "out", "err"}, ...]: a negative status is
the signal that ended the process. A process that hangs is ended by SIGALRM.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import traceback
from types import ModuleType

SECONDS = 60


def _module(path: str) -> ModuleType:
    loader = importlib.machinery.ExtensionFileLoader("_engine", path)
    found = importlib.util.spec_from_file_location("_engine", path, loader=loader)
    assert found is not None
    module = importlib.util.module_from_spec(found)
    loader.exec_module(module)
    return module


def _child(case: str, engine: ModuleType, out: int, err: int) -> None:
    code = 1
    try:
        signal.alarm(SECONDS)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(out, 1)
        os.dup2(err, 2)
        exec(compile(case, "case", "exec"), {"engine": engine})
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _text(file: int) -> str:
    os.lseek(file, 0, os.SEEK_SET)
    pieces = []
    while piece := os.read(file, 1 << 16):
        pieces.append(piece)
    os.close(file)
    return b"".join(pieces).decode(errors="replace")


def main() -> None:
    """Answer one request."""
    request = json.load(sys.stdin)
    engine = _module(request["module"])
    rows = []
    for case in request["cases"]:
        out, err = os.memfd_create("out"), os.memfd_create("err")
        process = os.fork()
        if process == 0:
            _child(case, engine, out, err)
        _, status = os.waitpid(process, 0)
        rows.append({"status": os.waitstatus_to_exitcode(status), "out": _text(out), "err": _text(err)})
    json.dump(rows, sys.stdout)


if __name__ == "__main__":
    main()
