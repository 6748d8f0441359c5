"""After a burst the resident set falls back to what is live, by the variant's own purge policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hakmem.load import Engine

Endings = Callable[[Sequence[str]], list[Any]]

START = """
import array, json, mmap, time
def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * mmap.PAGESIZE
def blocks(total, sizes):
    out, n = array.array("Q"), 0
    while n < total:
        size = sizes[len(out) % len(sizes)]
        p = engine.malloc(size)
        assert p
        engine.write(p, b"x" * size)
        out.append(p)
        n += size
    return out
def goes_on(seconds, some_calls):
    # a pause counts for a tenth of a second at most: a machine that is busy elsewhere lets nobody call
    last = time.monotonic()
    while seconds > 0:
        some_calls()
        now = time.monotonic()
        seconds, last = seconds - min(now - last, 0.1), now
"""
RISES_AND_FALLS = """
sizes = {sizes}
engine.free(engine.malloc(16))
empty = resident()
live = blocks(8 << 20, sizes)
before = resident() - empty
burst = blocks(64 << 20, sizes)
assert resident() - empty > 6 * before
for p in burst:
    engine.free(p)
del burst
{wait}
after = resident() - empty
assert after <= 1.1 * before + ({slack} << 20), (before, after)
for p in live:
    engine.free(p)
"""
DECAY = """
def some_calls():
    # a program that goes on: its caches miss and spill now and then
    for p in [engine.malloc(100) for _ in range(600)]:
        engine.free(p)
    engine.free(engine.malloc(50_000))
goes_on({seconds}, some_calls)
"""
HITS = """
def some_calls():
    for _ in range(20):
        engine.free(engine.malloc(50_000))
for p in blocks(12 << 20, [50_000, 100_000, 200_000]):
    engine.free(p)
{wait}
found = json.loads(engine.statistics())
assert found["medium_runs"] <= 1 + found["heaps"], found["medium_runs"]
"""
SMALL, OTHERS = (16, 100, 400, 1000, 24, 250), (5000, 20_000, 70_000, 400_000, 1_500_000)


def test_a_burst_goes_back_to_the_system(engine: Engine, endings: Endings, direct: bool) -> None:
    pages = engine.policy_set()["pages"]
    wait = "engine.collect()"
    if pages["purge"] == "decay":
        wait = DECAY.format(seconds=2 * pages["decay_ms"] / 1000)
    # where every block is a mapping of its own, a burst of small ones says nothing but that
    sizes = OTHERS if direct else SMALL * 500 + OTHERS
    # what goes on needs a page here and there: huge ones for a slab, a run and what is half empty
    slack = 6 if pages["kind"] == "mmap_thp" else 2
    (ending,) = endings([START + RISES_AND_FALLS.format(sizes=sizes, wait=wait, slack=slack)])
    assert (ending.code, ending.err) == (0, "")


def test_a_threads_medium_blocks_go_back_though_every_call_hits(engine: Engine, endings: Endings) -> None:
    pages = engine.policy_set()["pages"]
    wait = "engine.collect()"
    if pages["purge"] == "decay":
        wait = f"goes_on({2 * pages['decay_ms'] / 1000}, some_calls)"
    (ending,) = endings([START + HITS.format(wait=wait)])
    assert (ending.code, ending.err) == (0, "")
