"""realloc between every kind of block."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hakmem.load import Engine

SIZES = (1, 16, 17, 64, 100, 1024, 1025, 5000, 33_000, 70_000, 262_144, 262_145, 1_200_000, 5_000_000)


def pattern(n: int) -> bytes:
    """Bytes of which no two runs of 16 are alike."""
    return b"".join(i.to_bytes(4, "little") for i in range(n // 4 + 1))[:n]


@pytest.mark.parametrize("before", SIZES)
def test_contents_are_kept_when_a_block_grows_or_shrinks(engine: Engine, before: int) -> None:
    content = pattern(before)
    for after in SIZES:
        p = engine.malloc(before)
        engine.write(p, content)
        q = engine.realloc(p, after)
        assert q and q % 16 == (0 if after > 8 else q % 8) and engine.usable_size(q) >= after
        kept = min(before, after)
        assert engine.read(q, kept) == content[:kept]
        engine.write(q, b"\x5a" * engine.usable_size(q))
        engine.free(q)


def test_a_block_grows_by_steps_and_shrinks_again(engine: Engine) -> None:
    p = engine.malloc(1)
    engine.write(p, b"\x01")
    n = 1
    while n < 6 << 20:
        grown = n + n // 2 + 7
        p = engine.realloc(p, grown)
        head = engine.read(p, min(n, 4096))
        assert head == b"\x01" * min(n, 4096)
        assert engine.read(p + n - 1, 1) == b"\x01"
        engine.write(p, b"\x01" * grown)
        n = grown
    while n > 1:
        n = n * 2 // 3
        p = engine.realloc(p, n)
        assert engine.usable_size(p) >= n
        assert engine.read(p, n) == b"\x01" * n
    engine.free(p)


def test_two_blocks_that_grow_in_turn_do_not_meet(engine: Engine) -> None:
    for step in (24, 3000, 150_000):
        blocks = [engine.malloc(step) for _ in range(4)]
        for i, p in enumerate(blocks):
            engine.write(p, bytes([i]) * step)
        for k in range(2, 20):
            for i in range(4):
                blocks[i] = engine.realloc(blocks[i], step * k)
                assert engine.read(blocks[i], step * (k - 1)) == bytes([i]) * (step * (k - 1))
                engine.write(blocks[i], bytes([i]) * engine.usable_size(blocks[i]))
        for p in blocks:
            engine.free(p)


def test_a_growing_block_seldom_moves_where_there_is_room(engine: Engine) -> None:
    """From a page to 60 KiB in steps of 1 KiB; with a copy at each size class it would be 16 times."""
    p, n, moves = engine.malloc(4096), 4096, 0
    while n < 60 << 10:
        n += 1024
        q = engine.realloc(p, n)
        moves += q != p
        p = q
    assert moves <= 3
    engine.free(p)


def test_a_small_block_that_grows_by_little_moves_seldom_and_is_not_shrunk_again(engine: Engine) -> None:
    """From 16 B to 2 KiB in steps of 16 B: 127 reallocs, in which half as much again is needed 12 times."""
    p, n, moves, sizes = engine.malloc(16), 16, 0, []
    while n < 2048:
        n += 16
        q = engine.realloc(p, n)
        moves += q != p
        p = q
        sizes.append(engine.usable_size(p))
    assert sizes == sorted(sizes)
    assert moves <= 18
    engine.free(p)


def test_at_most_one_block_that_grows_has_much_room(engine: Engine) -> None:
    """Past a page it gets twice what it asks for, the thread's latest perhaps a run of 256 KiB."""
    before = engine.statistics()["medium_bytes"]
    count = 30 if engine.policy_set()["back"]["kind"] != "direct" else 0  # which has no runs
    blocks = [engine.realloc(engine.malloc(3000), 7000) for _ in range(30)]
    least, most = count * 7000, count * 16384  # 16 KiB: whole pages of twice as much, with a header
    assert least <= engine.statistics()["medium_bytes"] - before <= most + (256 << 10)
    engine.collect()
    assert least <= engine.statistics()["medium_bytes"] - before <= most
    for p in blocks:
        engine.free(p)


def test_realloc_of_null_is_malloc_and_realloc_to_nothing_is_free(
    engine: Engine, nothing_lost: Callable[[], None]
) -> None:
    for n in (0, 1, 64, 50_000, 3 << 20):
        p = engine.realloc(0, n)
        assert p and engine.usable_size(p) >= n
        assert engine.realloc(p, 0) == 0
    nothing_lost()


def test_a_shrunk_block_gives_its_rest_back(engine: Engine, nothing_lost: Callable[[], None]) -> None:
    blocks = []
    for _ in range(8):
        p = engine.malloc(8 << 20)
        engine.write(p, b"x" * 64)
        blocks.append(engine.realloc(p, 48))
    assert all(engine.read(p, 48) == b"x" * 48 for p in blocks)
    assert engine.statistics()["large_blocks"] == 0 or engine.policy_set()["back"]["kind"] == "direct"
    for p in blocks:
        engine.free(p)
    nothing_lost()
