"""Threads that allocate, free for one another, come and go."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any

import pytest

from hakmem.load import Engine
from system_thread import SystemThread

SIZES = (1, 16, 24, 64, 100, 257, 1000, 1024, 3000, 9000, 33_000, 70_000, 300_000, 1_500_000)
Nothing = Callable[[], None]


def in_threads(*functions: Callable[[], object]) -> None:
    """Run each function in a thread of its own, all at once, and raise what the first of them raised."""
    faults: list[BaseException] = []

    def guard(function: Callable[[], object]) -> None:
        try:
            function()
        except BaseException as fault:
            faults.append(fault)

    threads = [SystemThread(target=guard, args=(function,)) for function in functions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def test_blocks_that_grow_pass_between_threads(engine: Engine, nothing_lost: Nothing) -> None:
    """Each turn another thread grows, shrinks, frees or leaves alone what the one before has grown."""
    blocks = {i: (engine.malloc(100), 100) for i in range(4)}
    for i, (p, n) in blocks.items():
        engine.write(p, bytes([i]) * n)
    turns: tuple[queue.Queue[int], ...] = (queue.Queue(), queue.Queue())

    def take_turns(mine: queue.Queue[int], other: queue.Queue[int]) -> None:
        while (turn := mine.get()) < 300:
            for i, (p, n) in blocks.items():
                if (turn + i) % 4 == 0:
                    continue
                if (turn + 3 * i) % 29 == 0:
                    engine.free(p)
                    q, after = engine.malloc(100), 100
                    engine.write(q, bytes([i]) * after)
                else:
                    after = max(30, min(n // 3 if (turn + 5 * i) % 17 == 0 else n + n // 2, 300_000))
                    q = engine.realloc(p, after)
                assert engine.read(q, min(n, after)) == bytes([i]) * min(n, after)
                engine.write(q, bytes([i]) * engine.usable_size(q))
                blocks[i] = (q, after)
            other.put(turn + 1)
        other.put(turn)

    turns[0].put(0)
    in_threads(lambda: take_turns(*turns), lambda: take_turns(*reversed(turns)))
    for p, _ in blocks.values():
        engine.free(p)
    nothing_lost()


def test_what_one_thread_allocates_another_frees(engine: Engine, nothing_lost: Nothing) -> None:
    rounds = 200
    way: queue.Queue[list[tuple[int, int]] | None] = queue.Queue(maxsize=8)

    def produce() -> None:
        for i in range(rounds):
            blocks = []
            for n in SIZES[: 4 + i % 11]:
                p = engine.malloc(n)
                engine.write(p, bytes([i % 256]) * n)
                blocks.append((p, n))
            way.put(blocks)
        way.put(None)

    def consume() -> None:
        i = 0
        while (blocks := way.get()) is not None:
            for p, n in blocks:
                assert engine.read(p, n) == bytes([i % 256]) * n
                engine.free(p)
            i += 1
        assert i == rounds

    in_threads(produce, consume)
    nothing_lost()


def test_a_dead_threads_blocks_keep_their_contents_and_can_be_freed(
    engine: Engine, nothing_lost: Nothing
) -> None:
    blocks: list[tuple[int, int]] = []

    def work(value: int) -> None:
        for n in SIZES:
            for p in [engine.malloc(n) for _ in range(5)]:
                engine.write(p, bytes([value]) * n)
                blocks.append((p, n))

    for value in range(4):
        thread = SystemThread(target=work, args=(value,))
        thread.start()
        thread.join()
    each = len(blocks) // 4
    for i, (p, n) in enumerate(blocks):
        assert engine.read(p, n) == bytes([i // each]) * n
        if i % 3 == 0:
            engine.free(engine.realloc(p, n + 100))
        else:
            engine.free(p)
    nothing_lost()


def test_a_dead_threads_caches_go_back(engine: Engine) -> None:
    """Nobody takes its heap over here: what it had cached must be back all the same."""

    def work() -> None:
        for p in [engine.malloc(n) for n in SIZES for _ in range(60)]:
            engine.free(p)

    def out() -> int:
        engine.collect()
        return int(engine.statistics()["slab_blocks_out"])

    before = out()
    in_threads(*[work] * 4)
    assert out() == before


def test_threads_come_and_go_by_the_thousand_and_leave_no_heaps_behind(
    engine: Engine, nothing_lost: Nothing
) -> None:
    """Larson's loop with a set of one block is little more than the start and the end of its threads."""
    team, runs = 8, 150
    engine.run_workload("larson", threads=team, chunks=4, rounds=1, passes=1)
    before = engine.statistics()["heaps"]
    for _ in range(runs):
        engine.run_workload("larson", threads=team, chunks=4, rounds=1, passes=1)
    assert engine.statistics()["heaps"] <= before + team
    nothing_lost()


def test_collect_leaves_waiting_threads_their_caches_unless_calls_borrow_them(engine: Engine) -> None:
    team, seen = 4, []
    freed, looked = threading.Barrier(team + 1), threading.Event()

    def work() -> None:
        blocks = [engine.malloc(n) for n in SIZES[:12] for _ in range(50)]
        for p in blocks:
            engine.free(p)
        freed.wait()
        looked.wait()

    def cached() -> list[int]:
        found = engine.statistics()
        kept = found["cached_bytes"] - found["depot_bytes"]
        return [kept, found["medium_cached_bytes"]] + [
            row["cached_bytes"] for row in found["thread_heaps"] if row["cached_bytes"]
        ]

    def look() -> None:
        freed.wait()
        seen.append(cached())
        engine.free(engine.malloc(SIZES[2]))
        engine.collect()
        seen.append(cached())
        looked.set()

    engine.collect()
    in_threads(*[work] * team, look)
    policies = engine.policy_set()
    shared = policies["thread"]["kind"] == "per_cpu" or policies["remote"]["kind"] == "none"
    assert seen[1] == ([0, 0] if shared else seen[0])


def test_new_threads_start_with_empty_caches(engine: Engine, nothing_lost: Nothing) -> None:
    """Record, bug 18: with four threads, the head of a new thread's list was garbage (0x6261)."""
    live = [engine.malloc(n) for n in SIZES for _ in range(20)]
    chosen = engine.policy_set()
    shared = chosen["remote"]["kind"] == "none" or chosen["thread"]["kind"] == "per_cpu"

    def fill_and_leave() -> None:
        blocks = [engine.malloc(n) for n in SIZES for _ in range(50)]
        for p in blocks:
            engine.write(p, b"ab" * 4 if engine.usable_size(p) >= 8 else b"a")
            engine.free(p)

    def look() -> None:
        assert shared or not any(row["cached"] for row in engine.statistics()["classes"])
        blocks = [engine.malloc(n) for n in SIZES for _ in range(20)]
        assert all(p % 8 == 0 and engine.owns(p) for p in blocks)
        assert len(set(blocks) | set(live)) == len(blocks) + len(live)
        assert sum(row["cached"] for row in engine.statistics()["classes"]) < 1 << 20
        for p in blocks:
            engine.free(p)

    for _ in range(10):
        in_threads(*[fill_and_leave] * 4)
        in_threads(*[look] * 4)
    for p in live:
        engine.free(p)
    nothing_lost()


@pytest.mark.parametrize(
    ("workload", "params"),
    [
        ("larson", {"threads": 4, "chunks": 500, "rounds": 8}),
        ("remote_mixed", {"threads": 3, "cycles": 12_000, "working_set": 500, "remote_percent": 90}),
        ("remote_mixed", {"threads": 2, "cycles": 12_000, "working_set": 2000, "remote_percent": 50}),
        ("producer_consumer", {"threads": 4, "items": 8000}),
        ("mid_large_mt", {"threads": 4, "cycles": 1500, "working_set": 64}),
    ],
)
def test_workloads_of_many_threads_leave_nothing_behind(
    engine: Engine, workload: str, params: dict[str, Any], nothing_lost: Nothing
) -> None:
    """Record, bug 3: with four threads, blocks moved in batches were counted twice, and memory ran out."""
    row = engine.run_workload(workload, passes=1, **params)
    assert row["served"]["sampled"] == row["served"]["owned"] > 0
    nothing_lost()


def test_large_blocks_of_many_threads_are_known_to_all(engine: Engine, nothing_lost: Nothing) -> None:
    """Record, bug 26: in a table of large blocks, the key was there before the rest of its entry."""
    stop = threading.Event()
    shown: list[int] = [0] * 3

    def churn(me: int) -> None:
        for i in range(300):
            n = (300 + (i * 37) % 900) << 10
            p = engine.malloc(n)
            engine.write(p, b"begin")
            engine.write(p + n - 3, b"end")
            shown[me] = p
            assert engine.owns(p) and n <= engine.usable_size(p) <= n + 8192
            assert engine.read(p, 5) == b"begin" and engine.read(p + n - 3, 3) == b"end"
            shown[me] = 0
            engine.free(p)

    def watch() -> None:
        while not stop.is_set():
            for p in shown:
                engine.owns(p)
                engine.owns(p + (1 << 19))

    watcher = SystemThread(target=watch)
    watcher.start()
    try:
        in_threads(
            *[lambda me=me: churn(me) for me in range(3)],
            lambda: engine.run_workload("large", cycles=400, passes=1),
            lambda: engine.run_workload("mid", cycles=2000, passes=1, seed=7),
        )
    finally:
        stop.set()
        watcher.join()
    nothing_lost()
