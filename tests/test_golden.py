"""Golden tables: the walk over instructions, and the committed shape of every kept variant's hot path."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from pathlib import Path

import pytest

from hakmem import build, golden, sweeps
from hakmem.build import Built
from hakmem.errors import HakmemError
from hakmem.golden import Shape


@functools.cache
def kept() -> tuple[Built, ...]:
    return tuple(item for item in golden.built_kept() if item.variant.interposable)


def test_the_path_falls_through_branches_and_follows_jumps() -> None:
    code = bytes.fromhex(
        "64488b042500000000"  # 00 mov rax, fs:[0]
        "4885c0"  # 09 test rax, rax
        "7408"  # 0c je 16
        "eb01"  # 0e jmp 11
        "cc"  # 10 int3, jumped over
        "f0480fb11f"  # 11 lock cmpxchg [rdi], rbx
        "c3"  # 16 ret
        "cc"
    )
    assert golden.hot_path(code, 0x1000, 0x1000) == Shape(6, 1, 0, 1, 1)


def test_calls_and_implicit_locks_are_counted() -> None:
    code = bytes.fromhex("e800000000488707c3")  # call, xchg [rdi], rax, ret
    assert golden.hot_path(code, 0, 0) == Shape(3, 0, 1, 1, 0)


def test_a_tail_call_into_another_library_ends_the_path() -> None:
    assert golden.hot_path(bytes.fromhex("90ff2500000000"), 0, 0) == Shape(2, 0, 0, 0, 0)
    assert golden.hot_path(bytes.fromhex("e9fb0f0000"), 0, 0) == Shape(1, 0, 0, 0, 0)


def test_a_path_that_loops_ends_where_it_would_repeat() -> None:
    assert golden.hot_path(bytes.fromhex("90ebfd"), 0, 0) == Shape(2, 0, 0, 0, 0)


def test_differences_name_variant_function_and_figure() -> None:
    before = {"a": {"malloc": {"calls": 0}, "free": {"calls": 0}}, "b": {}}
    after = {"a": {"malloc": {"calls": 1}, "free": {"calls": 0}}, "c": {}}
    assert golden.differences(before, after) == [
        "a: malloc: calls: expected 0, got 1",
        "b: expected a shape, got none",
        "c: expected none, got a shape",
    ]
    assert golden.differences(before, before) == []


def test_the_file_reads_back_and_has_one_line_a_function() -> None:
    shapes = {"b": {"malloc": {"calls": 0}, "free": {"calls": 1}}, "a": {"malloc": {"calls": 2}}}
    text = golden.dump(shapes)
    assert json.loads(text) == shapes and text.count("\n") == 9


@pytest.mark.parametrize(
    ("identity", "tag"),
    [
        ("gcc (Debian 12.2.0-14+deb12u1) 12.2.0 x86_64-linux-gnu", "gcc-12"),
        ("clang Debian clang version 14.0.6 x86_64-pc-linux-gnu", "clang-14"),
    ],
)
def test_a_table_is_named_for_the_compiler(identity: str, tag: str) -> None:
    assert golden.compiler_tag(identity) == tag


def test_a_file_that_is_no_library_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.so").write_text("text", encoding="utf-8")
    with pytest.raises(HakmemError, match=r"text\.so: expected an ELF library"):
        golden.shape(tmp_path / "text.so", "malloc")


def test_a_library_without_malloc_is_named() -> None:
    with pytest.raises(HakmemError, match="expected an exported malloc, got none"):
        golden.shape(build.runner().parent / "libhakmem_null.so", "malloc")


def test_the_null_allocator_is_three_instructions() -> None:
    library = build.runner().parent / "libhakmem_null.so"
    assert golden.shape(library, "hakmem_null_malloc") == Shape(2, 0, 0, 0, 0)
    assert golden.shape(library, "hakmem_null_free") == Shape(1, 0, 0, 0, 0)


def test_shapes_are_those_committed_for_this_compiler() -> None:
    """After python -m hakmem.golden --update, read the diff. A compiler without a table passes."""
    if golden.path().is_file():
        assert golden.check() == []


def test_no_malloc_library_imports_what_would_call_it_back() -> None:
    assert {item.name: golden.forbidden_imports(item.library) for item in kept()} == {
        item.name: [] for item in kept()
    }


@pytest.mark.parametrize("name", ["unified", "unified_mask"])
def test_the_default_hot_paths_keep_to_their_figures(name: str) -> None:
    built = build.build_one(name)
    malloc, free = (golden.shape(built.library, function) for function in golden.FUNCTIONS)
    assert malloc.instructions <= 16 and free.instructions <= 20
    assert malloc.calls == malloc.locked == free.calls == free.locked == 0


def test_a_refill_hint_is_the_prefetch_that_it_names() -> None:
    prefix = "magazine__bitmap__refill_hint_"
    found = {}
    for built in build.build_or_raise(item for item in sweeps.expand("refill_hint") if prefix in item.name):
        code = subprocess.run(
            ["objdump", "-d", str(built.library)], capture_output=True, text=True, check=True
        )
        found[built.name.removeprefix(prefix)] = set(re.findall(r"\tprefetch\w+", code.stdout))
    assert found == {"none": set(), "near": {"\tprefetcht0"}, "non_temporal": {"\tprefetchnta"}}
