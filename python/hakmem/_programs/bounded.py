"""Run a command and end it when its resident memory passes a bound: ``bounded.py KIB COMMAND...``.

Run by hakmem.scale. Exits as the command does, or with 3 and one line when the bound was passed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_EVERY_S = 0.05


def main(bound_kib: int, command: list[str]) -> int:
    """Run it; its exit code."""
    with subprocess.Popen(command) as child:
        while True:
            try:
                code = child.wait(_EVERY_S)
            except subprocess.TimeoutExpired:
                pages = int(Path(f"/proc/{child.pid}/statm").read_text().split()[1])
                if pages * 4 > bound_kib:
                    child.kill()
                    child.wait()
                    sys.stderr.write(f"its resident memory passed the bound of {bound_kib >> 10} MiB\n")
                    return 3
                continue
            if code < 0:
                os.kill(os.getpid(), -code)  # this one ends as the command did
            return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
