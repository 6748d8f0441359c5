"""Under the guard that checks, every misuse of free ends the process with one line that names the pointer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from hakmem.load import Engine

Run = Callable[[Sequence[str]], list[Any]]

# Each is given n and frees p once too often, or frees what is no block's start.
MISUSES = {
    "freed twice in a row": "p = engine.malloc(n); engine.free(p); engine.free(p)",
    "freed twice with others between": """
blocks = [engine.malloc(n) for _ in range(50)]
p = blocks[25]
for q in blocks: engine.free(q)
engine.free(p)
""",
    "freed twice after the caches were emptied": """
blocks = [engine.malloc(n) for _ in range(4)]
p = blocks[1]
engine.free(p)
engine.collect()
engine.free(p)
""",
    "freed twice by two threads": """
import threading
p = engine.malloc(n)
engine.free(p)
thread = threading.Thread(target=lambda: engine.free(p))
thread.start()
thread.join()
""",
    "freed again after realloc moved it": """
import sys
p = engine.malloc(n)
q = engine.malloc(n)
moved = engine.realloc(p, n * 40 + (9 << 20))
if moved == p:
    engine.free(p)
engine.free(p)
""",
    "freed in its middle": "block = engine.malloc(n); p = block + n // 2 // 16 * 16 + 16; engine.free(p)",
    "freed at an odd address": "block = engine.malloc(n); p = block + 1; engine.free(p)",
    "freed in its middle, full of what looks like tags": """
block = engine.malloc(n)
p = block + (n // 2 // 16 * 16 if n >= 64 else 16)
engine.write(block, bytes([1, 0, 0, 0]) * (n // 4))
engine.free(p)
""",
    "freed in its middle, full of small numbers": """
block = engine.malloc(n)
p = block + (n // 2 // 16 * 16 if n >= 64 else 16)
engine.write(block, b"".join((1 + i % 40).to_bytes(4, "little") for i in range(n // 4)))
engine.free(p)
""",
}
SIZES = (32, 128, 1024, 5000, 30_000, 100_000, 260_000, 600_000, 3 << 20)
LINE = re.compile(r"hakmem: (double free|invalid free|free) of (0x[0-9a-f]+)[^\n]*\n")


def test_every_misuse_of_free_is_reported_on_one_line(guarded: Engine, endings: Run) -> None:
    cases = [(kind, n) for kind in MISUSES for n in SIZES]
    texts = [f"n = {n}\nimport builtins\n" + _announced(MISUSES[kind]) for kind, n in cases]
    wrong = []
    for (kind, n), ending in zip(cases, endings(texts), strict=True):
        line = LINE.fullmatch(ending.err)
        if ending.signal != "SIGABRT" or not line or line[2] != ending.out.splitlines()[-1]:
            wrong.append(f"{n} bytes {kind}: {ending}")
    assert not wrong, "\n".join(wrong)


def _announced(text: str) -> str:
    """The case with p printed before each free of it."""
    return text.replace("engine.free(p)", "(print(hex(p), flush=True), engine.free(p))")


def test_a_second_free_is_called_double(guarded: Engine, endings: Run, direct: bool) -> None:
    (ending,) = endings(["p = engine.malloc(64); print(hex(p), flush=True); engine.free(p); engine.free(p)"])
    word = "free" if direct else "double free"
    assert ending.err.startswith(f"hakmem: {word} of {ending.out.strip()}")


def test_right_use_is_never_reported(guarded: Engine, endings: Run) -> None:
    (ending,) = endings(
        [
            """
blocks = []
for turn in range(30):
    for n in (0, 1, 16, 100, 1000, 5000, 70000, 600000):
        blocks.append(engine.malloc(n))
        blocks.append(engine.aligned_alloc(256, n))
        blocks.append(engine.realloc(engine.calloc(1, n + 1), n + 50))
    for p in blocks[turn % 3::3]:
        engine.free(p)
        blocks.remove(p)
    if turn % 10 == 9:
        engine.collect()
for p in blocks:
    engine.free(p)
"""
        ]
    )
    assert (ending.code, ending.err) == (0, "")
