"""A process's life: forks, exits with blocks still out, threads that end late."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from hakmem.build import Built
from hakmem.load import Engine

Run = Callable[[Sequence[str]], list[Any]]

WORK = """
import os, signal, warnings
warnings.simplefilter("ignore")  # newer Pythons warn of forks among threads, which is what is tested
SIZES = (1, 16, 100, 1000, 5000, 40000, 100000, 600000, 3 << 20)
def use(count=10):
    blocks = [(engine.malloc(n), n) for n in SIZES for _ in range(count)]
    for p, n in blocks:
        engine.write(p, b"c" * n)
    for p, n in blocks:
        assert engine.read(p, n) == b"c" * n
        engine.free(p)
    engine.collect()
def forked(work):
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status == 0, f"the child ended with {status}"
"""

CHILD_GOES_ON = """
kept = [(engine.malloc(n), n) for n in SIZES]
for p, n in kept: engine.write(p, b"k" * n)
def work():
    for p, n in kept:
        assert engine.read(p, n) == b"k" * n
        engine.free(p)
    use()
    forked(use)
forked(work)
for p, n in kept:
    assert engine.read(p, n) == b"k" * n
    engine.free(p)
use()
"""

# A lock of the engine that another thread holds at the fork must not stay held in the child.
FORK_AMONG_THREADS = """
import threading
stop = threading.Event()
def busy(workload, **params):
    given = [(name, str(value)) for name, value in {**params, "cycles": 500, "min_ms": 20}.items()]
    while not stop.is_set():
        engine.run_workload(workload, given)
threads = [
    threading.Thread(target=busy, args=("mid_large_mt",), kwargs={"threads": 1}),
    threading.Thread(target=busy, args=("random_mixed",), kwargs={"working_set": 3000}),
]
for thread in threads: thread.start()
try:
    for _ in range(10):
        forked(lambda: use(2))
finally:
    stop.set()
    for thread in threads: thread.join()
use()
"""

LATE = """
import threading
# What ends after a thread's heap has gone may still free, and even allocate.
local = threading.local()
class Late:
    def __init__(self): self.p = engine.malloc(200)
    def __del__(self):
        engine.free(self.p)
        engine.free(engine.malloc(70))
def work():
    local.late = Late()
    engine.free(engine.malloc(64))
for _ in range(50):
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
use()
"""


def run(endings: Run, case: str) -> None:
    (ending,) = endings([WORK + case])
    assert (ending.code, ending.signal, ending.err) == (0, None, "")


def test_a_forked_child_goes_on_with_what_it_has(engine: Engine, endings: Run) -> None:
    run(endings, CHILD_GOES_ON)


def test_a_fork_among_busy_threads_does_not_hang(engine: Engine, endings: Run) -> None:
    """Record, bug 20: a lock that nobody gives back, met again."""
    run(endings, FORK_AMONG_THREADS)


def test_a_thread_may_free_while_it_ends(engine: Engine, endings: Run) -> None:
    run(endings, LATE)


def test_the_interpreter_ends_with_blocks_still_out(built: Built) -> None:
    text = f"""
import importlib.machinery, importlib.util, threading
loader = importlib.machinery.ExtensionFileLoader("_engine", {str(built.module)!r})
found = importlib.util.spec_from_file_location("_engine", loader.path, loader=loader)
engine = importlib.util.module_from_spec(found)
loader.exec_module(engine)
kept = [engine.malloc(n) for n in (0, 16, 1000, 50000, 3 << 20) for _ in range(100)]
class Last:
    free, malloc = engine.free, engine.malloc
    def __del__(self): self.free(self.malloc(100))
last = Last()
here = threading.Event()
def work():
    engine.malloc(100)
    here.set()
    threading.Event().wait()
threading.Thread(target=work, daemon=True).start()
here.wait()
"""
    answer = subprocess.run(
        [sys.executable, "-I", "-c", text], capture_output=True, text=True, check=False, timeout=60
    )
    assert (answer.returncode, answer.stderr) == (0, "")
