"""Writes the headers of what engine_stress.cpp is built for: every legal pair of front and remote.

``python stress_variants.py FOLDER [NAME ...]`` writes ``FOLDER/<name>/hakmem_variant.hpp`` for each pair, or
for those named, and prints the names, one a line. A pair is named ``<front>__<remote>`` after the labels of
the sweep ``full``, whose other axes take turns, as do thread slot, guard, probe and purge policy.
fuzz.py, beside this, takes every legal triple of front, owner and store from here in the same way.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from hakmem import spec, sweeps
from hakmem.errors import HakmemError, SpecError, UnknownNameError
from hakmem.spec import Variant

DIGEST = "0" * 16

TURNS = (
    "thread=per_cpu",
    "guard=checks",
    "pages.purge=never",
    "probe=route",
    "pages.superslab_kib=256",
    "thread=per_cpu",
    "pages.purge=eager",
    "guard=hardened",
    "probe=counters",
    "thread=pthread_key",
)
"""per_cpu twice: the fewest are legal with it, those that adopt."""


def pairs() -> dict[str, Variant]:
    """One variant for every legal pair of front and remote, by the pair's name."""
    return _one_of_each((0, 3))


def triples() -> dict[str, Variant]:
    """One variant for every legal triple of front, owner and store, by the triple's name."""
    return _one_of_each((0, 1, 2))


def _one_of_each(kept: tuple[int, ...]) -> dict[str, Variant]:
    """A variant for each combination of those of front, owner, store and remote (0 to 3) that are kept."""
    groups: dict[str, list[Variant]] = {}
    for variant in sweeps.expand("full"):
        labels = variant.name.split("__")
        groups.setdefault("__".join(labels[axis] for axis in kept), []).append(variant)
    chosen = {}
    for number, (name, group) in enumerate(sorted(groups.items())):
        picked = group[number % len(group)]
        variant = _with_turn(picked, number)
        chosen[name] = Variant(name, variant.why, variant.policies)
    return chosen


def _with_turn(picked: Variant, number: int) -> Variant:
    """The variant with the first of the turns from ``number`` on that is legal for it."""
    for turn in (TURNS[(number + more) % len(TURNS)] for more in range(len(TURNS))):
        try:
            # sanitizers map shadow memory for whatever is reserved
            return spec.resolve(picked, ["pages.reserve_gib=4", turn])
        except SpecError:
            continue
    raise AssertionError(f"no turn is legal for {picked.name}")


def write_header(known: dict[str, Variant], name: str, folder: Path) -> None:
    """Write ``folder/<name>/hakmem_variant.hpp``; a name that is not known is one line."""
    if name not in known:
        raise UnknownNameError("stress variant", name, sorted(known))
    header = folder / name / "hakmem_variant.hpp"
    spec.write_if_changed(header, spec.header_text(known[name], DIGEST))


def main() -> int:
    """Write the headers; 2 after one line when a name is unknown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    try:
        known = pairs()
        names = given.names or sorted(known)
        for name in names:
            write_header(known, name, given.folder)
    except (HakmemError, OSError) as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    sys.stdout.write("\n".join(names) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
