"""After a burst the resident set falls back to what is live, by the variant's own purge policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hakmem.load import Engine

Endings = Callable[[Sequence[str]], list[Any]]

BURST = """
import array, mmap, time
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
assert after <= 1.3 * before + ({slack} << 20), (before, after)
for p in live:
    engine.free(p)
"""
DECAY = """
until = time.monotonic() + {seconds}
while time.monotonic() < until:
    # a program that goes on: its caches miss and spill now and then
    for p in [engine.malloc(100) for _ in range(600)]:
        engine.free(p)
    engine.free(engine.malloc(50_000))
    time.sleep(0.02)
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
    (ending,) = endings([BURST.format(sizes=sizes, wait=wait, slack=slack)])
    assert (ending.code, ending.err) == (0, "")
