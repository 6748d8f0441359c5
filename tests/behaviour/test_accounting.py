"""What is handed out is counted, and comes back."""

from __future__ import annotations

import random
from collections.abc import Callable

from hakmem.load import Engine

Nothing = Callable[[], None]


def test_nothing_is_lost_when_everything_is_freed(
    engine: Engine, classes: list[int], nothing_lost: Nothing
) -> None:
    """Record, bug 3: the count of blocks out went down twice for blocks that had moved in a batch."""
    draw = random.Random(3)
    sizes = [*classes, 40_000, 100_000, 600_000, 2 << 20]
    for order in ("first in first out", "last in first out", "any"):
        blocks = [
            engine.malloc(n) for n in sizes for _ in range(300 if n <= 1024 else 20 if n < 40_000 else 3)
        ]
        if order == "last in first out":
            blocks.reverse()
        elif order == "any":
            draw.shuffle(blocks)
        for p in blocks:
            engine.free(p)
        nothing_lost()


def test_blocks_out_are_live_and_cached_ones_at_every_moment(
    engine: Engine, classes: list[int], direct: bool
) -> None:
    """Record, bug 3: per slab, what is used is what is live and what is cached, never less."""
    engine.collect()
    start = engine.statistics()
    draw = random.Random(5)
    live: list[int] = []
    for _ in range(150):
        for _ in range(draw.randrange(200)):
            if live and draw.random() < 0.5:
                engine.free(live.pop(draw.randrange(len(live))))
            else:
                live.append(engine.malloc(draw.choice(classes[: max(1, len(classes) * 2 // 3)])))
        now = engine.statistics()
        cached = now["quarantined"] + sum(row["cached"] + row["depot"] for row in now["classes"])
        if direct:
            assert now["large_blocks"] - start["large_blocks"] == len(live)
        else:
            assert now["slab_blocks_out"] - start["slab_blocks_out"] == len(live) + cached
    for p in live:
        engine.free(p)
    engine.collect()
    end = engine.statistics()
    assert all(end[key] == start[key] for key in ("slabs_in_use", "slab_blocks_out", "large_blocks"))


def test_a_slab_is_not_recycled_while_its_blocks_lie_in_a_cache(engine: Engine, classes: list[int]) -> None:
    """Record, bug 23: a freed SuperSlab still had blocks in a list. Empty: none live, none cached."""
    for n in classes:
        blocks = [engine.malloc(n) for _ in range(64 if n <= 1024 else 4)]
        for p in blocks:
            engine.free(p)
        found = engine.statistics()
        cached = sum(row["cached"] for row in found["classes"])
        assert found["slab_blocks_out"] >= cached
        if cached:
            assert found["slabs_in_use"] > 0 and found["superslabs"] > 0
        # What the cache now hands out can be written from end to end and belongs to nobody else.
        again = [engine.malloc(n) for _ in range(len(blocks))]
        assert len(set(again)) == len(again)
        for i, p in enumerate(again):
            engine.write(p, bytes([i]) * engine.usable_size(p))
        for i, p in enumerate(again):
            assert engine.read(p, n) == bytes([i]) * n
            engine.free(p)
        engine.collect()


def test_more_slabs_than_any_fixed_table_holds(
    engine: Engine, classes: list[int], direct: bool, nothing_lost: Nothing
) -> None:
    """Record, bug 19: after 32 slabs of a class there was no memory, and a new chunk began with one slab."""
    for n in (classes[len(classes) // 3], classes[len(classes) // 2], classes[-1]):
        count = 500 if direct else min(max(20, (9 << 20) // n), 60_000)
        blocks = [engine.malloc(n) for _ in range(count)]
        assert all(blocks) and len(set(blocks)) == len(blocks)
        found = engine.statistics()
        assert found["slabs_in_use"] > 32 or found["large_blocks"] > 32 or len(blocks) * n < 32 << 16
        for p in blocks:
            engine.free(p)
    nothing_lost()


def test_links_survive_whatever_the_program_leaves_in_its_blocks(engine: Engine, classes: list[int]) -> None:
    """Record, bug 15: list heads read 0x5d or 0xfd, since two modules disagreed where the link lies."""
    for n in classes:
        for poison in (b"\x5d", b"\xfd", b"\xff", b"\x01"):
            blocks = [engine.malloc(n) for _ in range(70 if n <= 1024 else 6)]
            for p in blocks:
                engine.write(p, poison * engine.usable_size(p))
            for p in blocks[::2] + blocks[1::2]:
                engine.free(p)
            again = [engine.malloc(n) for _ in range(len(blocks) * 2)]
            assert len(set(again)) == len(again)
            assert all(p % 8 == 0 and engine.owns(p) and engine.usable_size(p) >= n for p in again)
            for p in again:
                engine.free(p)


def test_a_long_run_leaves_nothing_behind(engine: Engine, direct: bool, nothing_lost: Nothing) -> None:
    """Record, bug 11: crashes after 200,000 cycles hid behind tests of 100,000."""
    cycles = 30_000 if direct else 300_000
    for working_set, seed in ((64, 1), (400, 2), (8192, 3)):
        row = engine.run_workload("random_mixed", cycles=cycles, working_set=working_set, seed=seed, passes=2)
        assert row["served"]["sampled"] == row["served"]["owned"] > 0
        nothing_lost()
    for workload, cycles in (("app", 20_000), ("calloc", 20_000), ("mid", 4000), ("vm_mixed", 400)):
        engine.run_workload(workload, cycles=cycles, passes=1)
        nothing_lost()
