"""The statistics in bytes: live, cached, on the way home, by class and by thread heap."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from hakmem.load import Engine
from system_thread import SystemThread

BYTES = ("live_bytes", "cached_bytes", "in_transit_bytes", "mapped_bytes", "purged_bytes")


def in_thread(work: Callable[[], None]) -> None:
    thread = SystemThread(target=work)
    thread.start()
    thread.join()


def agrees(engine: Engine, live: int, usable: int) -> bool:
    """Behind a canary the program may use what it asked for only, and not the rest of the class or page."""
    if dict(engine.policy_set()["guard"]).get("canary"):
        return abs(live - usable) <= usable // 3 + 8192
    return live == usable


def slab_bytes(found: dict[str, Any]) -> int:
    return sum(int(row["out_bytes"]) for row in found["classes"])


def test_live_bytes_are_the_usable_bytes_of_live_blocks(
    engine: Engine, classes: list[int], nothing_lost: Callable[[], None]
) -> None:
    engine.collect()
    start = engine.statistics()
    sizes = [*classes, 40_000, 100_000, 600_000, 2 << 20]
    blocks = [engine.malloc(n) for n in sizes for _ in range(20 if n <= 4096 else 2)]
    usable = sum(engine.usable_size(p) for p in blocks)
    found = engine.statistics()
    assert agrees(engine, found["live_bytes"] - start["live_bytes"], usable)
    assert found["mapped_bytes"] >= found["live_bytes"] + found["cached_bytes"]
    for p in blocks[::2]:
        usable -= engine.usable_size(p)
        engine.free(p)
    assert agrees(engine, engine.statistics()["live_bytes"] - start["live_bytes"], usable)
    big = engine.malloc(700_000)
    before = engine.statistics()["live_bytes"] - engine.usable_size(big)
    for n in (900_000, 5 << 20, 800_000):
        big = engine.realloc(big, n)
        assert agrees(engine, engine.statistics()["live_bytes"], before + engine.usable_size(big)), n
    medium = engine.malloc(50_000)
    before = engine.statistics()["live_bytes"] - engine.usable_size(medium)
    for n in (60_000, 200_000, 34_000):
        medium = engine.realloc(medium, n)
        assert agrees(engine, engine.statistics()["live_bytes"], before + engine.usable_size(medium)), n
    for p in [*blocks[1::2], big, medium]:
        engine.free(p)
    assert engine.statistics()["live_bytes"] == start["live_bytes"]
    nothing_lost()


def test_the_parts_sum_to_the_whole(engine: Engine, classes: list[int]) -> None:
    blocks = [engine.malloc(n) for n in classes for _ in range(30)]
    for p in blocks[::2]:
        engine.free(p)
    found = engine.statistics()
    small = slab_bytes(found) - found["cached_bytes"] - found["in_transit_bytes"]
    assert found["live_bytes"] == small + found["medium_bytes"] + found["large_bytes"]
    assert sum(row["cached_bytes"] for row in found["classes"]) == found["cached_bytes"]
    in_heaps = sum(row["cached_bytes"] for row in found["thread_heaps"])
    assert in_heaps + found["depot_bytes"] == found["cached_bytes"]
    assert [row["heap"] for row in found["thread_heaps"]] == list(range(found["heaps"], 0, -1))
    assert all(row["cached_bytes"] >= row["cached"] * row["bytes"] for row in found["classes"])
    for p in blocks[1::2]:
        engine.free(p)


def test_another_threads_cache_is_counted_while_it_lives(
    engine: Engine, classes: list[int], direct: bool
) -> None:
    n = classes[2]
    engine.collect()
    start = engine.statistics()
    filled, looked = threading.Event(), threading.Event()

    def work() -> None:
        blocks = [engine.malloc(n) for _ in range(40)]
        for p in blocks:
            engine.free(p)
        filled.set()
        looked.wait()
        engine.collect()

    thread = SystemThread(target=work)
    thread.start()
    filled.wait()
    found = engine.statistics()
    looked.set()
    thread.join()
    theirs = [row for row in found["thread_heaps"] if not row["counted"]]
    assert len(found["thread_heaps"]) == found["heaps"]
    if not theirs:  # an uncounted list is seen by its own thread only: what it holds counts as live elsewhere
        assert found["live_bytes"] == start["live_bytes"]
    idle = found["cached_bytes"] + found["live_bytes"] - start["live_bytes"]
    assert idle >= slab_bytes(found) - slab_bytes(start)


def test_what_one_cache_spills_another_takes(engine: Engine, classes: list[int]) -> None:
    n = classes[2]
    engine.collect()
    assert engine.statistics()["depot_bytes"] == 0
    blocks = [engine.malloc(n) for _ in range(20_000)]  # more than a cache may grow to
    for p in blocks:
        engine.free(p)
    spilled = engine.statistics()["depot_bytes"]
    front, remote, pages, back = (engine.policy_set()[axis] for axis in ("front", "remote", "pages", "back"))
    kept = back["kind"] != "direct" and remote.get("depot", 0) != 0 and pages["purge"] != "eager"
    assert (spilled > 0) == (kept and front["kind"] != "bypass")
    # more than a thread begins with, or, where it borrows the cache that is full, than any may have
    wanted = 20_000 if engine.policy_set()["thread"]["kind"] == "per_cpu" else 300
    seen: list[int] = []

    def take() -> None:
        blocks = [engine.malloc(n) for _ in range(wanted)]
        seen.append(engine.statistics()["depot_bytes"])
        for p in blocks:
            engine.free(p)

    in_thread(take)
    assert seen[0] < spilled or spilled == 0
    engine.collect()
    assert engine.statistics()["depot_bytes"] == 0


def test_blocks_on_their_way_home_are_not_live(engine: Engine, classes: list[int]) -> None:
    n = classes[2]
    engine.collect()
    before = engine.statistics()["live_bytes"]
    blocks = [engine.malloc(n) for _ in range(100)]

    def free_all() -> None:
        for p in blocks:
            engine.free(p)
        engine.collect()  # sends what it has gathered

    in_thread(free_all)
    found = engine.statistics()
    assert found["live_bytes"] == before
    travels = engine.policy_set()["remote"]["kind"] == "return_home"
    assert (found["in_transit_bytes"] > 0) == (travels and engine.policy_set()["back"]["kind"] != "direct")
    again = [engine.malloc(n) for _ in range(200)]  # the owner takes them in
    for p in again:
        engine.free(p)
    engine.collect()
    assert engine.statistics()["in_transit_bytes"] == 0


def test_what_goes_back_is_counted_as_purged(engine: Engine) -> None:
    engine.free(engine.malloc(16))  # the first call maps what is never given back
    before = engine.statistics()
    engine.free(engine.malloc(3 << 20))
    engine.collect()
    after = engine.statistics()
    assert after["purged_bytes"] >= before["purged_bytes"] + (3 << 20)
    assert after["mapped_bytes"] <= before["mapped_bytes"]


def test_a_counting_variant_counts_calls_by_heap(engine: Engine) -> None:
    found = engine.statistics()
    if engine.policy_set()["probe"]["kind"] == "none":
        assert not found["events"] and all("malloc" not in row for row in found["thread_heaps"])
        return
    for key in ("malloc", "free"):
        assert sum(row[key] for row in found["thread_heaps"]) == found["events"][key]


def test_every_key_in_bytes_is_there_before_anything_was_allocated(engine: Engine) -> None:
    assert all(isinstance(engine.statistics()[key], int) for key in BYTES)
