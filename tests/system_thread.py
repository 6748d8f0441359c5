"""A thread whose end is the system's."""

from __future__ import annotations

import os
import threading
from pathlib import Path


class SystemThread(threading.Thread):
    """A thread that join() waits for until the system has ended it.

    Python's own join() may return earlier: what the allocator does when a thread ends is then still to come.
    """

    def join(self, timeout: float | None = None) -> None:
        super().join(timeout)
        task = Path("/proc/self/task", str(self.native_id))
        while timeout is None and task.exists():
            os.sched_yield()
