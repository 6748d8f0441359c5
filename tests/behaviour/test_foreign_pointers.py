"""Addresses that the variant never gave out: it knows them, reads nothing there, and says so on one line."""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from hakmem.load import Engine

Run = Callable[[Sequence[str]], list[Any]]
LIBC = ctypes.CDLL(None)
LIBC.malloc.restype = ctypes.c_void_p
LIBC.malloc.argtypes = [ctypes.c_size_t]
LIBC.free.argtypes = [ctypes.c_void_p]
WILD = (
    *(1, 8, 16, 4095, 4096, 0xDEAD0000, 0x5D5D5D5D5D5D5D5D, (1 << 47) - 16, (1 << 47) - 1),
    *(1 << 47, 1 << 48, 0x00FF_8000_0000_0000, 0xFFFF_8000_0000_0000, 0xFFFF_FFFF_FF60_0000),
    *((1 << 64) - 4096, (1 << 64) - 16, (1 << 64) - 1),
)

# Each defines p, an address of a kind that programs free by mistake.
FOREIGN = {
    "in no page": "p = 0xdead0000",
    "the last bytes of all": "p = (1 << 64) - 16",
    "not canonical": "p = 0x0000800000000000",
    "odd": "p = 0x1001",
    "a libc block": "libc.malloc.restype = ctypes.c_void_p; p = libc.malloc(100)",
    "code": "p = ctypes.cast(libc.qsort, ctypes.c_void_p).value",
    "the stack": """
stack = [line for line in open("/proc/self/maps") if "[stack]" in line][0]
p = int(stack.split("-")[0], 16) + 65536
""",
    "near a block, in what was reserved and never used": "p = engine.malloc(64) + (1 << 33)",
    "a large block given back": """
p = engine.malloc(5 << 20)
engine.free(p)
engine.collect()
""",
    "a page behind a guard page": """
libc.mmap.restype = ctypes.c_void_p
page = libc.mmap(None, 8192, 3, 0x22, -1, 0)
assert libc.mprotect(ctypes.c_void_p(page), 4096, 0) == 0
p = page + 4096
""",
    "a page that looks like a block's surroundings": """
libc.mmap.restype = ctypes.c_void_p
block = engine.malloc(64)
page = libc.mmap(None, 8 << 20, 3, 0x22, -1, 0)
region = -(-page // (4 << 20)) * (4 << 20)
for at in range(0, 1 << 16, 4096):
    engine.write(region + at, (region.to_bytes(8, "little") + bytes([1, 0, 0, 0] * 2)) * 256)
p = region + 4096 + 64
""",
}
HEAD = "import ctypes\nlibc = ctypes.CDLL(None)\nengine.free(engine.malloc(16))\n"


def test_wild_addresses_are_not_owned(engine: Engine) -> None:
    live = [engine.malloc(n) for n in (16, 1000, 50_000, 3 << 20)]
    assert all(engine.owns(p) for p in live)
    assert not any(engine.owns(p) for p in WILD)
    for p in live:
        engine.free(p)


def test_addresses_that_hold_no_block_now_are_not_owned(engine: Engine) -> None:
    """Around the live blocks lie addresses that were asked of the system and never used, or given back."""
    live = engine.malloc(100)
    for _ in range(3):
        gone = engine.malloc(5 << 20)
        engine.write(gone, b"x" * (5 << 20))
        engine.free(gone)
        engine.collect()
        assert not any(engine.owns(gone + at) for at in range(0, 5 << 20, 4096))
    for distance in (1 << 28, 1 << 30, 1 << 33, 1 << 36, 1 << 39):
        assert not engine.owns(live + distance) and not engine.owns(live - distance)
    assert engine.owns(live)
    engine.free(live)


def test_the_programs_own_memory_is_not_owned(engine: Engine) -> None:
    foreign = [LIBC.malloc(n) for n in (1, 100, 5000, 1 << 20)]
    code = ctypes.cast(LIBC.qsort, ctypes.c_void_p).value
    maps = Path("/proc/self/maps").read_text(encoding="ascii").splitlines()
    stack = [int(line.split("-")[0], 16) for line in maps if line.endswith("[stack]")]
    assert not any(engine.owns(p) for p in [*foreign, code, id(engine), *stack])
    for p in foreign:
        LIBC.free(p)


def test_pages_at_the_border_of_a_mapping_are_not_owned(engine: Engine) -> None:
    """Record, bugs 4 and 10: a header was looked for before the pointer, on a page that was not there."""
    with mmap.mmap(-1, 64 << 20) as memory:
        buffer = ctypes.c_char.from_buffer(memory)
        start = ctypes.addressof(buffer)
        assert not any(engine.owns(p) for p in range(start, start + (64 << 20), 4096))
        assert not any(engine.owns(start + (64 << 20) - by) for by in (1, 8, 16))
        del buffer


def test_blocks_at_the_start_of_a_page_and_of_a_slab_are_freed(
    engine: Engine, classes: list[int], nothing_lost: Callable[[], None]
) -> None:
    """Record, bug 10: a block at the start of a page has its header on the page before."""
    unit = 1 << 16
    found: set[int] = set()
    for n in classes:
        blocks = [engine.malloc(n) for _ in range(min(3000, (5 << 20) // n))]
        found |= {step for p in blocks for step in (4096, unit, 1 << 20) if p % step <= 16}
        for p in blocks:
            engine.free(p)
    for n in (5000, 70_000, 1 << 20, 4 << 20):
        p = engine.aligned_alloc(4096, n)
        found |= {4096} if p % 4096 <= 16 else set()
        engine.free(p)
    assert 4096 in found
    nothing_lost()


def test_another_allocators_blocks_are_not_owned(engine: Engine, library: Path) -> None:
    other = ctypes.CDLL(str(library))
    other.malloc.restype = ctypes.c_void_p
    other.hakmem_owns.argtypes = other.free.argtypes = [ctypes.c_void_p]
    for n in (1, 64, 1000, 50_000, 3 << 20):
        theirs, mine = other.malloc(ctypes.c_size_t(n)), engine.malloc(n)
        assert engine.owns(mine) and not engine.owns(theirs)
        assert other.hakmem_owns(theirs) and not other.hakmem_owns(mine)
        other.free(theirs)
        engine.free(mine)


@pytest.mark.parametrize("call", ["engine.free(p)", "engine.realloc(p, 100)", "engine.usable_size(p)"])
def test_a_foreign_pointer_ends_the_process_with_one_line(engine: Engine, endings: Run, call: str) -> None:
    """Record, bugs 4 and 27: memory was read before its owner was known, and what looked like a header
    was taken for one."""
    print_it = "\nprint(p, flush=True)\n"
    for kind, ending in zip(
        FOREIGN, endings([HEAD + p + print_it + call for p in FOREIGN.values()]), strict=True
    ):
        p = int(ending.out)
        words = f"free of {p:#x}" if "free" in call else f"size of {p:#x} asked,"
        expected = f"hakmem: {words} which this allocator does not own\n"
        assert (ending.signal, ending.err) == ("SIGABRT", expected), kind


def test_a_foreign_pointer_is_known_before_the_first_block(engine: Engine, endings: Run) -> None:
    (ending,) = endings(["engine.free(0x10000)"])
    assert ending.signal == "SIGABRT"
    assert ending.err == "hakmem: free of 0x10000 which this allocator does not own\n"
