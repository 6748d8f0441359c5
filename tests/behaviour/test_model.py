"""A stateful model: random operations by two threads against a dict of what must be in every block."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hakmem.build import Built
from hakmem.load import Engine

T = TypeVar("T")
MOST_BYTES = 24 << 20


def sizes_of(engine: Engine) -> st.SearchStrategy[int]:
    """Sizes by kind of block: around classes, then any small, medium and large one."""
    region = engine.policy_set()["pages"]["superslab_kib"] << 10
    around = [size + by for size in engine.class_bytes() for by in (-1, 0, 1)]
    return st.one_of(
        st.sampled_from(around),
        st.integers(0, 1100),
        st.integers(0, 40_000),
        st.integers(0, min(region, 1 << 20)),
        st.integers(region // 4 - 64, region // 4 + 64),
        st.integers(0, 3 << 20),
    )


def machine(engine: Engine, align: int, other: ThreadPoolExecutor) -> type[RuleBasedStateMachine]:
    """The state machine over one engine; `other` is the second thread.

    What can be drawn next, and which blocks it means, follows from what was drawn before, never from
    addresses or usable sizes: those differ when Hypothesis repeats a run.
    """
    sizes = sizes_of(engine)
    threads = st.booleans()

    class Model(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            # by address: the bytes that are usable, the value in them, the bytes that were asked for
            self.blocks: dict[int, tuple[int, int, int]] = {}
            self.starts: list[int] = []
            self.bytes = 0
            self.value = 0

        def do(self, remote: bool, function: Callable[..., T], *arguments: Any) -> T:
            return other.submit(function, *arguments).result() if remote else function(*arguments)

        def enter(self, p: int, n: int, alignment: int) -> None:
            assert p, f"no block of {n} bytes"
            usable = engine.usable_size(p)
            assert usable >= n and p % alignment == 0 and engine.owns(p)
            at = bisect_left(self.starts, p)
            if at < len(self.starts):
                assert p + usable <= self.starts[at], "a block reaches into the next one"
            if at > 0:
                before = self.starts[at - 1]
                assert before + self.blocks[before][0] <= p, "a block begins inside another one"
            insort(self.starts, p)
            self.value = self.value % 255 + 1
            self.blocks[p] = (usable, self.value, n)
            self.bytes += n
            engine.write(p, bytes([self.value]) * usable)

        def leave(self, p: int) -> tuple[int, int]:
            usable, value, asked = self.blocks.pop(p)
            del self.starts[bisect_left(self.starts, p)]
            self.bytes -= asked
            assert engine.read(p, usable) == bytes([value]) * usable, "contents have changed"
            return usable, value

        def chosen(self, index: int, count: int) -> list[int]:
            first = index % len(self.blocks)
            return list(self.blocks)[first : first + count]

        @initialize()
        def start(self) -> None:
            assert not self.blocks

        @precondition(lambda self: self.bytes < MOST_BYTES)
        @rule(n=sizes, count=st.integers(1, 40), remote=threads)
        def malloc(self, n: int, count: int, remote: bool) -> None:
            for p in self.do(remote, lambda: [engine.malloc(n) for _ in range(count if n < 5000 else 2)]):
                self.enter(p, n, align if n <= 8 else 16)

        @precondition(lambda self: self.bytes < MOST_BYTES)
        @rule(n=sizes, count=st.integers(1, 40), remote=threads)
        def calloc(self, n: int, count: int, remote: bool) -> None:
            for p in self.do(remote, lambda: [engine.calloc(1, n) for _ in range(count if n < 5000 else 2)]):
                assert engine.read(p, n) == bytes(n), "calloc gave bytes that are not zero"
                self.enter(p, n, align if n <= 8 else 16)

        @precondition(lambda self: self.bytes < MOST_BYTES)
        @rule(n=sizes, power=st.integers(0, 16), remote=threads)
        def aligned_alloc(self, n: int, power: int, remote: bool) -> None:
            self.enter(self.do(remote, engine.aligned_alloc, 1 << power, n), n, 1 << power)

        @precondition(lambda self: self.blocks and self.bytes < MOST_BYTES)
        @rule(index=st.integers(0, 1 << 30), n=sizes, count=st.integers(1, 8), remote=threads)
        def realloc(self, index: int, n: int, count: int, remote: bool) -> None:
            for p in self.chosen(index, count):
                usable, value = self.leave(p)
                q = self.do(remote, engine.realloc, p, max(n, 1))
                kept = min(usable, max(n, 1))
                assert engine.read(q, kept) == bytes([value]) * kept, "realloc has lost contents"
                self.enter(q, max(n, 1), align if n <= 8 else 16)

        @precondition(lambda self: self.blocks)
        @rule(
            index=st.integers(0, 1 << 30), count=st.integers(1, 60), remote=threads, backwards=st.booleans()
        )
        def free(self, index: int, count: int, remote: bool, backwards: bool) -> None:
            blocks = self.chosen(index, count)
            for p in blocks:
                self.leave(p)
            ordered = blocks[::-1] if backwards else blocks
            self.do(remote, lambda: [engine.free(p) for p in ordered])

        @rule(remote=threads)
        def collect(self, remote: bool) -> None:
            self.do(remote, engine.collect)

        @invariant()
        def nothing_is_counted_below_what_is_out(self) -> None:
            found = engine.statistics()
            live = found["slab_blocks_out"] + found["medium_runs"] + found["large_blocks"]
            assert len(self.blocks) <= live < 1 << 40, "fewer blocks are counted than are out"

        def teardown(self) -> None:
            for p in list(self.blocks):
                self.leave(p)
                engine.free(p)

    return Model


def test_random_operations_agree_with_a_dict(
    engine: Engine, built: Built, nothing_lost: Callable[[], None]
) -> None:
    """Record, bugs 3, 15, 16 and 21: counts below what is out, list heads with odd addresses, headers
    overwritten, blocks that do not hold their header. Every usable byte is written and looked at again."""
    with ThreadPoolExecutor(1) as other:
        run_state_machine_as_test(
            machine(engine, 16 if built.variant.interposable else 8, other),
            settings=settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
    nothing_lost()
