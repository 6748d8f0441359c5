"""Memory that runs out: NULL, no crash, nothing lost, and service goes on when memory comes back.

Each case is a process of its own, under a limit on addresses that is in force before the first allocation, or
under a limit on writable memory that comes later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hakmem.load import Engine

Run = Callable[[Sequence[str]], list[Any]]

HEAD = """
import json, resource, threading
def limit(kind, bytes):
    resource.setrlimit(kind, (bytes, resource.RLIM_INFINITY))
def fill(n):
    blocks = []
    while p := engine.malloc(n):
        blocks.append(p)
    return blocks
def give(blocks):
    for p in blocks:
        engine.free(p)
def out():
    engine.collect()
    found = json.loads(engine.statistics())
    return [found[key] for key in ("slabs_in_use", "slab_blocks_out", "medium_runs", "large_blocks")]
ADDRESSES = resource.RLIMIT_AS
engine_limit = 384 << 20
"""

REFUSED = """
limit(ADDRESSES, engine_limit)
blocks = fill(SIZE)
assert len(blocks) > 5 and len(set(blocks)) == len(blocks), len(blocks)
assert all(map(engine.owns, blocks))
assert engine.malloc(SIZE) == engine.calloc(1, SIZE) == engine.malloc(1 << 40) == 0
assert engine.realloc(blocks[0], 1 << 40) == 0 and engine.owns(blocks[0])
# nothing was lost: with half of it back, about half as many can be had again
give(blocks[::2])
half = fill(SIZE)
assert len(half) >= len(blocks[::2]) * 9 // 10, (len(half), len(blocks))
give(blocks[1::2])
give(half)
assert out() == [0, 0, 0, 0], out()
again = fill(SIZE)
assert len(again) >= len(blocks) * 9 // 10, (len(again), len(blocks))
give(again)
assert out() == [0, 0, 0, 0], out()
"""

OTHER_SIZES = """
limit(ADDRESSES, engine_limit)
first = fill(1000)
give(first)
large = fill(1 << 20)     # what small blocks had must serve large ones
assert len(large) > 20, len(large)
give(large)
medium = fill(30000)
assert len(medium) > 20, len(medium)
give(medium)
small = fill(1000)
assert len(small) >= len(first) * 9 // 10, (len(small), len(first))
give(small)
assert out() == [0, 0, 0, 0], out()
"""

LATER = """
p = engine.malloc(100)
data = [int(line.split()[1]) << 10 for line in open("/proc/self/status") if line.startswith("VmData")][0]
limit(resource.RLIMIT_DATA, data + (64 << 20))
first = fill(200000)
assert len(first) > 5, len(first)
limit(resource.RLIMIT_DATA, data + (512 << 20))
more = [engine.malloc(200000) for _ in range(len(first) * 3)]
assert all(more), (len(first), len(more))
give(first + more + [p])
assert out() == [0, 0, 0, 0], out()
"""

THREADS = """
limit(ADDRESSES, engine_limit)
faults = []
def work():
    try:
        mine = []
        for turn in range(3):
            for n in (500, 40000, 1 << 20):
                while len(mine) < 50000 and (p := engine.malloc(n)):
                    mine.append(p)
            engine.write(mine[0], b"12345678") if mine else None
            give(mine)
            mine.clear()
        engine.collect()
    except BaseException as error:
        faults.append(repr(error))
threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not faults, faults
p = engine.malloc(500)
assert p
engine.free(p)
"""

FREE_WITHOUT_HEAP = """
limit(ADDRESSES, engine_limit)
kept = [engine.malloc(n) for n in (16, 100, 1000, 5000, 50000, 1 << 20)]
rest = fill(1 << 20) + fill(70000) + fill(3000) + fill(100)
def free_all():
    give(kept)
    give(rest)
thread = threading.Thread(target=free_all)   # it may find no memory for a heap of its own
thread.start()
thread.join()
assert engine.malloc(1000) and engine.malloc(100000) and engine.malloc(1 << 20)
"""


def run(endings: Run, case: str) -> None:
    (ending,) = endings([HEAD + case])
    assert (ending.code, ending.signal, ending.err) == (0, None, "")


@pytest.mark.parametrize("n", [1000, 20_000, 1 << 20])
def test_no_memory_is_null_and_nothing_is_lost(engine: Engine, endings: Run, n: int) -> None:
    run(endings, REFUSED.replace("SIZE", str(n)))


def test_memory_of_one_kind_of_block_serves_the_others(engine: Engine, endings: Run) -> None:
    run(endings, OTHER_SIZES)


def test_a_refusal_is_not_for_ever(engine: Engine, endings: Run) -> None:
    run(endings, LATER)


def test_threads_that_run_out_together(engine: Engine, endings: Run) -> None:
    run(endings, THREADS)


def test_a_thread_that_finds_no_memory_for_its_heap_can_still_free(engine: Engine, endings: Run) -> None:
    run(endings, FREE_WITHOUT_HEAP)
