"""The table of misuses: what stock malloc and the hardened variant notice of them."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import pytest

from hakmem import bench, misuse, toolchain
from hakmem import build as builds
from hakmem.errors import HakmemError

SMALL = ("write after free", "a freed block comes back at once", "the next block's address can be told")
"""Noticed of small blocks only."""


def test_hardened_notices_what_it_promises() -> None:
    contestants = [bench.libc(), bench.contestant(builds.build_one("hardened"))]
    found = {(trial.allocator, trial.misuse, trial.bytes): trial.line for trial in misuse.trials(contestants)}
    assert set(found) == {
        (name, what, n) for name in ("libc", "hardened") for what in misuse.MISUSES for n in misuse.SIZES
    }
    for what in misuse.MISUSES:
        if what == "write of 16 bytes before the block":  # found where a live block lies there
            continue
        for n in misuse.SIZES:
            noticed = found["hardened", what, n]
            assert bool(noticed) == (what not in SMALL or n <= 5000), (what, n, noticed)
    assert all(
        "double free of 0x" in found["hardened", what, n]
        for what in misuse.MISUSES
        if what.startswith("double free")
        for n in misuse.SIZES
        if n <= 5000
    )
    assert not found["libc", "write of 1 byte past the end", 100]


FREES_WHAT_IS_NOBODYS = """
#include <stdlib.h>
int main(void) { void (*volatile release)(void *) = free; release((void *)0xdead0000); return 0; }
"""


@pytest.mark.parametrize("flags", [["-no-pie", "-fno-pic"], ["-pie", "-fPIE"]])
def test_a_pointer_of_nobody_ends_a_program_at_a_fixed_address_too(tmp_path: Path, flags: list[str]) -> None:
    # without PIC the address of free is a stub in the program, which leads back to the variant
    (tmp_path / "it.c").write_text(FREES_WHAT_IS_NOBODYS)
    program, library = tmp_path / "it", builds.build_one("unified").library
    compile_c = [str(toolchain.find_compiler()), "-x", "c", "-O0", *flags]
    subprocess.run([*compile_c, "-o", str(program), str(tmp_path / "it.c")], check=True)
    done = subprocess.run(
        [str(program)],
        env={**os.environ, "LD_PRELOAD": str(library)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == -signal.SIGABRT
    assert "free of 0xdead0000 which this allocator does not own" in done.stderr


def test_a_cell_counts_the_sizes_and_says_the_commonest_line() -> None:
    lines = ("hakmem: double free of 0x7f00", "", "hakmem: double free of 0x7f10", "SIGSEGV")
    trials = [misuse.Trial("x", "y", n, line) for n, line in enumerate(lines)]
    assert misuse.cell(trials) == "3 of 4: double free of"
    assert misuse.cell(trials[1:2]) == "0 of 1"


def test_a_program_that_ends_otherwise_is_an_error(tmp_path: Path) -> None:
    program = misuse.compiled(tmp_path)
    with pytest.raises(HakmemError, match="'no such misuse' of 16 bytes ended with 2"):
        misuse.tried(program, bench.libc(), "no such misuse", 16)
