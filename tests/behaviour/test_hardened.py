"""What each guard of `hardened` promises, asked of every variant that has it on, alone or among others."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hakmem.load import Engine

Endings = Callable[[Sequence[str]], list[Any]]

SMALL = (16, 100, 400)
"""Requests that are small blocks in every variant that has some."""

FLIP = "engine.write({at}, bytes([engine.read({at}, 1)[0] ^ 255]))"
"""Changes a byte, whatever it was."""

SIZES = (1, 16, 17, 24, 100, 1000, 5000, 40_000, 300_000, 1 << 20)


def ends_with_a_line(endings: Endings, cases: Sequence[str], line: str) -> None:
    """Each case prints a pointer, then ends by abort after one line that names it."""
    for case, ending in zip(cases, endings(cases), strict=True):
        assert ending.signal == "SIGABRT", (case, ending)
        assert ending.err == f"hakmem: {line.format(p=ending.out.strip())}\n", case


@pytest.mark.guard("canary")
def test_a_write_past_what_was_asked_for_is_found(endings: Endings) -> None:
    cases = [
        f"p = engine.{call}; print(hex(p), flush=True); {FLIP.format(at=f'p + {n} + {past}')}; engine.{end}"
        for n in SIZES
        for past in (0, 15)
        for call, end in (
            (f"malloc({n})", "free(p)"),
            (f"calloc(1, {n})", f"realloc(p, {n} + 1)"),
            (f"aligned_alloc(64, {n})", "free(p)"),
        )
    ]
    ends_with_a_line(endings, cases, "heap overflow: the bytes behind the block at {p} were changed")


@pytest.mark.guard("canary")
def test_the_program_may_use_what_it_asked_for_and_no_more(engine: Engine) -> None:
    for n in SIZES:
        p = engine.malloc(n)
        assert engine.usable_size(p) == n
        engine.write(p, b"x" * n)
        p = engine.realloc(p, n + 5)
        assert engine.usable_size(p) == n + 5
        assert engine.read(p, n) == b"x" * n
        engine.free(p)


@pytest.mark.guard("zero")
def test_nothing_of_a_block_outlives_it(engine: Engine) -> None:
    secret = b"secretly"
    for n in SIZES[1:]:
        p = engine.malloc(n)
        engine.write(p, (secret * (n // 8 + 1))[:n])
        engine.free(p)
        assert secret[:4] not in engine.read(p, n)


@pytest.mark.guard("quarantine", small=True)
def test_a_freed_small_block_is_not_handed_out_for_a_while(engine: Engine) -> None:
    waits = int(engine.policy_set()["guard"]["quarantine"])
    for n in SMALL:
        p = engine.malloc(n)
        engine.free(p)
        after = []
        for _ in range(waits - 1):
            q = engine.malloc(n)
            after.append(q)
            engine.free(q)
        assert p not in after
        held = [engine.malloc(n) for _ in range(2000)]
        assert len(set(held)) == 2000
        for q in held:
            engine.free(q)


@pytest.mark.guard("quarantine", small=True)
def test_a_block_that_waits_is_not_freed_twice(endings: Endings) -> None:
    case = "p = engine.malloc(100); print(hex(p), flush=True); engine.free(p); engine.free(p)"
    ends_with_a_line(endings, [case], "double free of {p}")


@pytest.mark.guard("quarantine", small=True)
def test_a_write_into_a_block_that_waits_is_found_when_it_leaves(engine: Engine, endings: Endings) -> None:
    guard = engine.policy_set()["guard"]
    case = """
p = engine.malloc({n})
print(hex(p), flush=True)
engine.free(p)
{flip}
for _ in range({waits}): engine.free(engine.malloc({n}))
"""
    cases = [
        case.format(n=n, flip=FLIP.format(at=f"p + {at}"), waits=guard["quarantine"])
        for n in SMALL
        for at in (0, n // 2, n - 1)
    ]
    if guard["zero"]:
        ends_with_a_line(endings, cases, "write after free into the block at {p}")
    else:
        assert all((ending.code, ending.err) == (0, "") for ending in endings(cases))


@pytest.mark.guard("shuffle", small=True)
def test_fresh_blocks_come_in_an_order_of_their_own(endings: Endings) -> None:
    case = """
blocks = [engine.malloc(100) for _ in range(200)]
base = min(blocks)
print([p - base for p in blocks])
"""
    orders = [ending.out for ending in endings([case] * 4)]
    assert len(set(orders)) > 1
    for order in orders:
        blocks = eval(order)
        assert len(set(blocks)) == 200
        assert sum(after > before for before, after in itertools.pairwise(blocks)) < 190


@pytest.mark.guard("fences")
def test_a_linear_write_ends_at_a_fence(engine: Engine, endings: Endings, direct: bool) -> None:
    """It dies of SIGSEGV before it has changed the metadata of this region or of the next."""
    region = int(engine.policy_set()["pages"]["superslab_kib"]) << 10
    case = """
p = engine.malloc({n})
print(hex(p), flush=True)
for at in range(p, p + {step} * {reach}, {step} * 512):
    engine.write(at, b"!")
    print(hex(at), flush=True)
"""
    sizes = () if direct else (100, region // 8)
    ways = [(n, step) for n in sizes for step in (1, -1)] + [(region - 8192, 1), (2 * region, 1)]
    cases = [case.format(n=n, step=step, reach=n + 2 * region) for n, step in ways]
    for (n, step), ending in zip(ways, endings(cases), strict=True):
        assert ending.signal == "SIGSEGV", (n, step, ending)
        block, *_, last = (int(word, 16) for word in ending.out.split())
        if step < 0:
            assert last // region == block // region and last % region >= 8192, (n, hex(block), hex(last))
        else:
            assert last % region < region - 4096 and last - block < n + region, (n, hex(block), hex(last))


@pytest.mark.guard("links", small=True)
def test_a_write_into_a_free_block_is_found_when_its_link_is_read(engine: Engine, endings: Endings) -> None:
    chosen = engine.policy_set()
    waits = int(chosen["guard"]["quarantine"])
    case = """
# neighbours keep the slab, which would be purged when empty
p, *neighbours = [engine.malloc({n}) for _ in range(4)]
others = [engine.malloc({other}) for _ in range({waits})]
print(hex(p), flush=True)
engine.free(p)
for q in others: engine.free(q)
{flip}
for _ in range(5000): engine.malloc({n})
"""
    cases = [
        case.format(n=n, other=n * 2 + 64, waits=waits, flip=FLIP.format(at=f"p + {at}"))
        for n in SMALL
        for at in (0, 7, 8, 15)
    ]
    front = json.dumps(chosen["front"])
    if "magazine" in front or "hot_mag" in front:  # an array may hold the block, and no link be read
        for ending in endings(cases):
            line = f"hakmem: corrupted free list at {ending.out.strip()}\n"
            assert (ending.signal, ending.err) in ((None, ""), ("SIGABRT", line))
        return
    if chosen["front"]["kind"] == "bypass" and chosen["store"]["kind"] == "bitmap":  # there is no link
        assert all((ending.code, ending.err) == (0, "") for ending in endings(cases))
        return
    ends_with_a_line(endings, cases, "corrupted free list at {p}")
