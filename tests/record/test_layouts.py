"""Bugs of the record that came from how bytes lie in a block, and from builds that differ."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hakmem import build as builds
from hakmem import sources, spec, toolchain
from hakmem.build import Built
from hakmem.errors import SpecError

CODE = """
import ctypes, json, sys
program = ctypes.CDLL(None)
blocks = [bytes(n) for n in range(0, 30000, 3)]
del blocks
program.hakmem_statistics.restype = ctypes.c_size_t
text = ctypes.create_string_buffer(1 << 20)
length = program.hakmem_statistics(text, ctypes.c_size_t(1 << 20))
print(text.raw[:length].decode())
"""


def statistics(library: Path) -> dict[str, object]:
    answer = subprocess.run(
        [sys.executable, "-S", "-c", CODE],
        env={"PATH": "/usr/bin:/bin", "LD_PRELOAD": str(library), "PYTHONMALLOC": "malloc"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    found: dict[str, object] = json.loads(answer.stdout)
    return found


def test_a_block_of_8_bytes_was_to_hold_header_and_link() -> None:
    """Record, bug 17: it cannot. The combination is refused before anything is compiled."""
    with pytest.raises(SpecError):
        spec.resolve(builds.variant("unified"), ["owner=header", "classes.kind=pow2", "classes.smallest=8"])


def test_the_compiler_refuses_it_too(tmp_path: Path) -> None:
    """Record, bug 17: a program that composes its own variant in C++ has the same one line."""
    header = spec.header_text(spec.resolve(builds.variant("unified_header"), ["classes=pow2"]), "0" * 16)
    (tmp_path / "hakmem_variant.hpp").write_text(
        header.replace(".smallest = 16", ".smallest = 8"), encoding="utf-8"
    )
    answer = _compile(tmp_path, "-fsyntax-only")
    assert answer.returncode != 0
    assert "a header needs 16-byte blocks" in answer.stderr


def test_the_release_build_lost_the_start_of_its_statistics(tmp_path: Path) -> None:
    """Record, bug 13: it stood inside a debug print. An unoptimised build says the same as the fast one."""
    default = builds.build_one(spec.DEFAULT_VARIANT)
    (tmp_path / "hakmem_variant.hpp").write_bytes(default.header.read_bytes())
    answer = _compile(tmp_path, "-O0", "-g", "-fPIC", "-shared", "-o", str(tmp_path / "debug.so"))
    assert answer.returncode == 0, answer.stderr
    debug, release = statistics(tmp_path / "debug.so"), statistics(default.library)
    assert debug.keys() == release.keys()
    for key in ("heaps", "slabs_in_use", "slab_blocks_out", "os_maps", "regions"):
        assert debug[key] and release[key], key
    assert debug["classes"] != [] and len(str(debug["classes"])) > 100


def _compile(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        *(str(toolchain.find_compiler()), "-std=c++20", "-fvisibility=hidden"),
        *("-I", str(folder), "-I", str(sources.root() / "cpp")),
        *(*options, str(sources.root() / "cpp" / "src" / "variant_malloc.cpp")),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def test_many_variants_live_in_one_process() -> None:
    """Thread-local state of several modules had no room in one process; each has one pointer."""
    from hakmem.load import load

    engines = [
        load(built) for built in builds.build(builds.kept_variants()).values() if isinstance(built, Built)
    ]
    assert len(engines) == len(builds.variant_names())
    blocks = [engine.malloc(100) for engine in engines]
    for i, engine in enumerate(engines):
        assert [engine.owns(p) for p in blocks] == [i == j for j in range(len(blocks))]
        engine.free(blocks[i])
