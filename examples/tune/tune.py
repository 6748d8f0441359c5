"""Tunes an allocator for a small program, from Python: prints the verdict and the rows behind it.

Start it with `python tune.py [SECONDS]`; it takes four minutes unless told otherwise, and goes on where it
was when it is started again. The program is a Python that builds dictionaries, with every object on malloc.
"""

from __future__ import annotations

import sys

import hakmem

PROGRAM = """
words = [f"word {number}" * (number % 7) for number in range(20000)]
for turn in range(20):
    table = {word: [word[:length] for length in range(0, len(word), 5)] for word in words}
print(len(table))
"""


def main(seconds: float) -> None:
    """Record the program, search three policy sets and their numbers, and decide by runs of it."""
    found = hakmem.tune(
        command=["env", "PYTHONMALLOC=malloc", "PYTHONHASHSEED=0", sys.executable, "-S", "-c", PROGRAM],
        variants=["unified", "magazine", "sll"],
        max_rss=1.3,
        time_limit=seconds,
        rounds=7,
        announce=print,
    )
    for row in found.rows():
        ratio = f"{row.time.value:.3f} ({row.time.low:.3f} to {row.time.high:.3f})" if row.time else "1"
        print(f"{row.by:8} {row.name:24} {ratio} of libc's time, peak {row.peak_kib / 1024:.1f} MiB")
    print(found.verdict.sentence)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 240.0)
