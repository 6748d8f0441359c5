"""NumPy on arrays of many sizes: temporaries, sorts, joins, rows of tables, strings. Prints one checksum.

Run by hakmem.program_suite. Deterministic; says ``done`` when the work is over.
"""

from __future__ import annotations

import hashlib
import sys

import numpy as np

TABLES = 100
SMALL = 120_000


def table(draw: np.random.Generator, rows: int) -> np.ndarray:
    """Temporaries of rows x 8 doubles, sorted by one column, grouped by another."""
    values = draw.integers(0, 1000, size=(rows, 8)).astype(np.float64)
    scaled = (values - values.mean(axis=0)) / (values.std(axis=0) + 1.0)
    ordered = scaled[np.argsort(scaled[:, 3], kind="stable")]
    groups, where = np.unique(values[:, 1], return_inverse=True)
    sums = np.bincount(where.ravel(), weights=ordered[:, 2], minlength=len(groups))
    return np.round(np.concatenate([sums, ordered.sum(axis=0)]), 6)


def small(draw: np.random.Generator, count: int) -> float:
    """Arrays of 1 to 200 numbers that live for a while, as rows of a ragged table do."""
    kept: list[np.ndarray] = []
    total = 0.0
    for size in draw.integers(1, 200, size=count).tolist():
        kept.append(np.arange(size, dtype=np.float64) * 0.5)
        if len(kept) > 500:
            total += float(np.concatenate(kept[:100]).sum())
            del kept[:100]
    return total


def words(count: int) -> int:
    """Arrays of strings and of objects."""
    names = np.char.add("name ", np.arange(count).astype(str))
    objects = np.array([str(name).upper() for name in names], dtype=object)
    return len(np.unique(np.char.replace(names, "9", "nine"))) + sum(map(len, objects + " end"))


def main() -> None:
    """Run all three and print."""
    draw = np.random.Generator(np.random.PCG64(42))
    checksum = hashlib.sha256()
    for index in range(TABLES):
        checksum.update(table(draw, 200 + 137 * index).tobytes())
    sys.stdout.write(f"{small(draw, SMALL):.3f} {words(40_000)} {checksum.hexdigest()[:16]}\ndone\n")


main()
