"""What each function promises, asked from one thread."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from hakmem.build import Built
from hakmem.load import Engine

PAGE = 4096
TOO_LARGE = (1 << 63, (1 << 63) + 1, (1 << 64) - 1, (1 << 64) - PAGE)


def alignment(built: Built, n: int) -> int:
    """What a block of n bytes must be aligned to: 16, but for blocks of 8 bytes where there are such."""
    return 16 if built.variant.interposable or n > 8 else 8


def borders(engine: Engine, classes: list[int]) -> list[int]:
    """Sizes at and around every class, and around the steps between small, medium and large blocks."""
    kib = engine.policy_set()["pages"]["superslab_kib"] << 10
    steps = [*classes, kib // 4, kib // 2, kib, PAGE, 1 << 16]
    return sorted({max(0, size + by) for size in steps for by in (-17, -16, -1, 0, 1, 16, 17)})


def overlapping(blocks: dict[int, int]) -> list[tuple[int, int]]:
    """Pairs of blocks (address to bytes) that share a byte."""
    ordered = sorted(blocks.items())
    return [(p, q) for (p, n), (q, _) in pairwise(ordered) if p + n > q]


def test_every_size_from_0_to_4096(engine: Engine, built: Built, classes: list[int], direct: bool) -> None:
    """Record, bug 9: the border at 1024 B was under suspicion; with a header in front of it, rightly."""
    sealed = engine.policy_set()["guard"].get("canary", False)  # a canary behind what was asked for
    blocks: dict[int, int] = {}
    for n in range(4097):
        p = engine.malloc(n)
        usable = engine.usable_size(p)
        if sealed:
            assert usable == n
        elif direct or n > classes[-1]:
            assert n <= usable < n + 2 * PAGE
        else:
            assert usable == classes[bisect_left(classes, n)], f"{n} bytes got a block of {usable}"
        assert p and p % alignment(built, n) == 0 and engine.owns(p)
        engine.write(p, bytes([n % 251]) * usable)
        blocks[p] = usable
    assert len(blocks) == 4097 and not overlapping(blocks)
    for n, (p, usable) in enumerate(blocks.items()):
        assert engine.read(p, usable) == bytes([n % 251]) * usable
        engine.free(p)


def test_sizes_around_every_border(engine: Engine, built: Built, classes: list[int]) -> None:
    """Record, bugs 9 and 21: a block that fits its class exactly crashed, since its header did not."""
    blocks: dict[int, int] = {}
    asked = borders(engine, classes)
    for n in asked:
        p = engine.malloc(n)
        assert p and p % alignment(built, n) == 0 and engine.usable_size(p) >= n
        engine.write(p, bytes([n % 251]) * n)
        blocks[p] = engine.usable_size(p)
    assert len(blocks) == len(asked) and not overlapping(blocks)
    for n, p in zip(asked, blocks, strict=True):
        assert engine.read(p, n) == bytes([n % 251]) * n
        engine.free(p)


def test_blocks_of_no_bytes_are_distinct_and_freeable(engine: Engine) -> None:
    blocks = [engine.malloc(0) for _ in range(300)]
    blocks += [engine.calloc(0, 8) for _ in range(300)] + [engine.calloc(8, 0) for _ in range(300)]
    blocks += [engine.aligned_alloc(64, 0) for _ in range(300)]
    assert all(blocks) and len(set(blocks)) == 1200
    for p in blocks:
        engine.free(p)


def test_null_is_freed_without_effect_and_has_no_bytes(engine: Engine) -> None:
    engine.free(0)
    assert engine.usable_size(0) == 0 and not engine.owns(0)


@pytest.mark.parametrize("n", TOO_LARGE)
def test_sizes_that_no_memory_can_have_are_refused(engine: Engine, n: int) -> None:
    assert engine.malloc(n) == 0
    assert engine.calloc(1, n) == engine.calloc(n, 1) == 0
    assert engine.aligned_alloc(16, n) == engine.aligned_alloc(1 << 20, n) == 0
    for size in (24, 50_000, 3 << 20):
        p = engine.malloc(size)
        engine.write(p, b"k" * size)
        assert engine.realloc(p, n) == 0
        assert engine.read(p, size) == b"k" * size
        engine.free(p)


@pytest.mark.parametrize(
    ("count", "size"), [(1 << 33, 1 << 33), ((1 << 64) - 1, 2), (3, (1 << 64) // 3 + 1), (1 << 63, 2)]
)
def test_calloc_refuses_a_product_that_overflows(engine: Engine, count: int, size: int) -> None:
    assert engine.calloc(count, size) == 0


def test_calloc_is_zeroed_on_memory_that_was_used_before(
    engine: Engine, classes: list[int], nothing_lost: Callable[[], None]
) -> None:
    kib = engine.policy_set()["pages"]["superslab_kib"] << 10
    sizes = [*classes, 40_000, kib // 4, kib // 4 + 1, kib, 3 * kib]
    for n in sizes:
        for collected in (False, True):
            count = 40 if n <= 1024 else 3
            dirty = [engine.malloc(n) for _ in range(count)]
            for p in dirty:
                engine.write(p, b"\xff" * engine.usable_size(p))
            for p in dirty:
                engine.free(p)
            if collected:
                engine.collect()
            clean = [engine.calloc(n, 1) if i % 2 else engine.calloc(1, n) for i in range(count)]
            for p in clean:
                assert engine.read(p, n) == bytes(n), f"calloc of {n} bytes is not zeroed"
            for p in clean:
                engine.free(p)
    nothing_lost()


@pytest.mark.parametrize("align", [1 << power for power in range(23)])
def test_aligned_alloc_of_every_power_of_two_to_4_mib(engine: Engine, align: int) -> None:
    blocks: dict[int, int] = {}
    for n in (0, 1, 48, 1000, 4096, 5000, 70_000, 300_000):
        for _ in range(3):
            p = engine.aligned_alloc(align, n)
            assert p and p % align == 0 and engine.owns(p)
            usable = engine.usable_size(p)
            assert usable >= n
            engine.write(p, bytes([n % 251]) * usable)
            blocks[p] = usable
    assert not overlapping(blocks)
    for i, (p, usable) in enumerate(blocks.items()):
        content = engine.read(p, usable)
        assert content == content[:1] * usable
        if i % 2:
            moved = engine.realloc(p, usable + 1000)
            assert engine.read(moved, usable) == content
            engine.free(moved)
        else:
            engine.free(p)


@pytest.mark.parametrize("align", [0, 3, 24, 4095, (1 << 64) - 1])
def test_an_alignment_that_is_no_power_of_two_is_refused(engine: Engine, align: int) -> None:
    assert engine.aligned_alloc(align, 64) == 0


@pytest.mark.parametrize("align", [1 << 50, 1 << 62, 1 << 63])
def test_an_alignment_beyond_memory_is_refused(engine: Engine, align: int) -> None:
    assert engine.aligned_alloc(align, 64) == 0


def test_a_large_block_costs_nothing_until_it_is_touched(engine: Engine) -> None:
    """Record, bug 24: mappings were populated twice over at birth, and mmap took 52 times as long."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * PAGE

    engine.free(engine.malloc(1))
    before = resident()
    p = engine.malloc(1 << 30)
    assert p and engine.usable_size(p) >= 1 << 30
    grown = resident() - before
    engine.free(p)
    assert grown < 8 << 20
