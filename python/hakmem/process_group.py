"""Commands that are run without input and of which nothing is left: what they started is ended with them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from typing import Any


@contextlib.contextmanager
def started(command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    """Start a command in a session of its own, of which nothing is left after the block.

    ``options`` are those of `subprocess.Popen`.
    """
    leader = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, **options)
    try:
        yield leader
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(leader.pid, signal.SIGKILL)
        leader.wait()


def run(command: Sequence[str], timeout_s: float, **options: Any) -> int | None:
    """Run a command to its end, see `started`; its exit code, or None when it lasted too long."""
    with started(command, **options) as leader:
        try:
            return leader.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
