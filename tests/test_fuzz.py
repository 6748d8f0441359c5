"""The fuzzing: it finds a fault when there is one, covers every triple, and says in one line why it stops."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hakmem import axes, sources, spec, sweeps, toolchain

CPP = sources.root() / "cpp"
SCRIPT = CPP / "tests" / "fuzz.py"
TARGET = "sll__mask__freelist"


def header() -> str:
    """The header of a sound variant."""
    found = next(item for item in sweeps.expand("full") if item.name == f"{TARGET}__adopt")
    return spec.header_text(spec.resolve(found, ["pages.reserve_gib=4"]), "0" * 16)


def broken(axis: str, inner: str, method: str) -> str:
    """The same with one policy's method replaced; `calls` counts its calls, `Sound` is what it was."""
    sound = re.search(rf"using {axis} = (.*);", header())
    assert sound
    template, type_ = ("template <class C, class L>", "typename Inner::template Type<C, L>")
    if inner == "Type":
        template, type_ = "", "Inner::Type"
    policy = (
        f"struct Broken : {sound[1]} {{ using Inner = {sound[1]};\n"
        f"{template} struct Type : {type_.removeprefix('typename ')} {{ using Sound = {type_};\n"
        f"static inline constinit unsigned calls = 0;\n{method}\n}};\n}};\n"
    )
    text = header().replace(f"using {axis} = {sound[1]};", f"using {axis} = Broken;")
    return text.replace("namespace hakmem {\n", f"namespace hakmem {{\n{policy}", 1)


POP = "base::Block* pop(base::ClassIndex c) noexcept { base::Block* p = Sound::pop(c); "
PUSH = "bool push(base::ClassIndex c, base::Block* p) noexcept { "
MAP = "void* map(std::size_t n, std::size_t align = Sound::kGranule, std::size_t offset = 0) noexcept "

FAULTS = {
    "a block is given out twice": (
        ("Front", "Type<C, L>", POP + "if (p && ++calls % 500 == 0) Sound::push(c, p); return p; }"),
        "(begins in|reaches into) another block",
    ),
    "a block is lost": (
        ("Front", "Type<C, L>", PUSH + "return ++calls % 500 == 0 || Sound::push(c, p); }"),
        "blocks of slabs are lost",
    ),
    "a free writes before its block": (
        ("Front", "Type<C, L>", PUSH + "if (++calls % 500 == 0) --reinterpret_cast<char*>(p)[-1]; "
         "return Sound::push(c, p); }"),
        "contents have changed",
    ),
    "memory does not come back": (
        ("Pages", "Type", MAP + "{ return ++calls > 50 ? nullptr : Sound::map(n, align, offset); }"),
        "NULL though no page was refused",
    ),
}  # fmt: skip


def compiled(text: str, folder: Path) -> Path:
    """fuzz_engine.cpp without libFuzzer, on a header."""
    (folder / "hakmem_variant.hpp").write_text(text, encoding="utf-8")
    program = folder / "fuzz"
    command = [str(toolchain.find_compiler()), "-std=c++20", "-O1", "-pthread", f"-I{CPP}", f"-I{folder}"]
    command += [str(CPP / "tests" / name) for name in ("fuzz_engine.cpp", "fuzz_main.cpp")]
    subprocess.run([*command, "-o", str(program)], check=True)
    return program


def play(program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(program), *arguments], capture_output=True, text=True, check=False)


def test_a_sound_engine_passes_and_is_worked_hard(tmp_path: Path) -> None:
    program = compiled(header(), tmp_path)
    answer = play(program, "inputs", "20", "1")
    assert (answer.returncode, answer.stderr) == (0, "")
    streams, operations, refused = map(int, re.findall(r"\d+", answer.stdout))
    assert streams == 20 and operations > 100_000 and refused > 20
    answer = play(program, "faults", "2", "1")
    assert (answer.returncode, answer.stderr) == (0, "")
    calls, operations, refused = map(int, re.findall(r"\d+", answer.stdout))
    assert calls > 40 and operations > 100_000 and 20 < refused <= calls
    stream = tmp_path / "stream"
    stream.write_bytes(bytes(range(256)) * 4)
    assert play(program, str(stream)).stdout == f"{stream}: played\n"
    assert play(program, str(tmp_path / "none")).stderr == f"{tmp_path / 'none'}: cannot be read\n"


@pytest.mark.parametrize(("fault", "message"), FAULTS.values(), ids=list(FAULTS))
def test_it_finds_that(fault: tuple[str, str, str], message: str, tmp_path: Path) -> None:
    answer = play(compiled(broken(*fault), tmp_path), "inputs", "20", "1")
    assert answer.returncode == -signal.SIGABRT
    assert re.search(message, answer.stderr), answer.stderr


def script(*arguments: str, path: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-B", str(SCRIPT), *arguments],
        env={**os.environ, "PATH": path, "PYTHONPATH": str(sources.root() / "python")},
        capture_output=True,
        text=True,
        check=False,
    )


def test_without_clang_there_is_one_line(tmp_path: Path) -> None:
    answer = script("--variant", TARGET, "--folder", str(tmp_path / "fuzz"), path=str(tmp_path))
    assert answer.returncode == 2 and answer.stdout == ""
    assert re.fullmatch(r"error: no clang\+\+ in PATH: .*install clang libclang-rt-14-dev\)\n", answer.stderr)


def test_an_unknown_target_and_no_time_are_one_line(tmp_path: Path) -> None:
    answer = script("--variant", "sll__maks__freelist", "--folder", str(tmp_path), path="")
    assert answer.returncode == 2
    assert answer.stderr.startswith("error: stress variant 'sll__maks__freelist' is not known; did you mean ")
    assert answer.stderr.count("\n") == 1
    answer = script("--seconds", "0", path="")
    assert answer.returncode == 2 and answer.stderr.endswith("--seconds: expected 1 or more, got 0\n")


CLANG = """#!{python}
import pathlib, sys
out = pathlib.Path(sys.argv[sys.argv.index("-o") + 1])
if not (out.parent / "hakmem_variant.hpp").is_file() or not {compiles}:
    sys.exit("fuzz_engine.cpp:1:1: error: something is missing")
says = "345 operations, 0 requests refused" if {passes} else "misaligned"
crash = "" if {passes} else "echo x > $(echo $2 | cut -d= -f2)crash-1; exit 77"
out.write_text(f'#!/bin/sh\\necho "{{out.parent.name}}: {{says}}" >&2\\n{{crash}}\\n'
               'echo "stat::number_of_executed_units: 12" >&2\\n')
out.chmod(0o755)
"""


def clang(folder: Path, *, compiles: bool = True, passes: bool = True) -> str:
    """A PATH with a stand-in for clang whose programs answer as libFuzzer does."""
    program = folder / "clang++"
    text = CLANG.format(python=sys.executable, compiles=compiles, passes=passes)
    program.write_text(text, encoding="utf-8")
    program.chmod(0o755)
    return f"{folder}{os.pathsep}{os.defpath}"


def test_a_run_says_what_was_played(tmp_path: Path) -> None:
    folder = tmp_path / "fuzz"
    arguments = ("--variant", TARGET, "--variant", "unified__header__bitmap", "--folder", str(folder))
    answer = script(*arguments, path=clang(tmp_path))
    assert (answer.returncode, answer.stderr) == (0, "")
    first, second, all_of_it = answer.stdout.splitlines()
    assert first == f"{TARGET}: 12 streams, 345 operations"
    assert second == "unified__header__bitmap: 12 streams, 345 operations"
    assert re.fullmatch(r"2 targets, \d+\.\d minutes, 24 streams, 690 operations, 0 failed", all_of_it)
    assert (folder / "corpus" / TARGET).is_dir()


def test_a_failing_stream_is_kept_with_the_command_that_replays_it(tmp_path: Path) -> None:
    folder = tmp_path / "fuzz"
    answer = script("--variant", TARGET, "--folder", str(folder), path=clang(tmp_path, passes=False))
    assert (answer.returncode, answer.stderr) == (1, "")
    failed, replay, all_of_it = answer.stdout.splitlines()
    assert failed == f"{TARGET}: FAILED: {TARGET}: misaligned"
    crash = folder / "crashes" / f"{TARGET}-crash-1"
    assert crash.is_file()
    assert replay == f"  replay: {folder / 'targets' / TARGET / 'fuzz_engine'} {crash}"
    assert all_of_it.endswith(f", 1 failed: {TARGET}")


def test_a_target_that_does_not_compile_is_one_line(tmp_path: Path) -> None:
    path = clang(tmp_path, compiles=False)
    answer = script("--variant", TARGET, "--folder", str(tmp_path / "fuzz"), path=path)
    assert answer.returncode == 2
    expected = f"error: {TARGET}: clang++ failed: fuzz_engine.cpp:1:1: error: something is missing\n"
    assert answer.stderr == expected


def test_every_legal_triple_is_a_target(tmp_path: Path) -> None:
    folder = tmp_path / "fuzz"
    answer = script("--folder", str(folder), path=clang(tmp_path))
    assert answer.returncode == 0
    made = {path.name for path in (folder / "targets").iterdir()}
    assert made == {item.name.rpartition("__")[0] for item in sweeps.expand("full")}
    headers = [path.read_text(encoding="utf-8") for path in folder.glob("targets/*/hakmem_variant.hpp")]
    for axis in ("owner", "store", "remote", "thread", "guard", "probe"):
        wanted = {f"hakmem/{axes.AXIS[axis].folder}/{kind.header}" for kind in axes.AXIS[axis].kinds}
        held = {name for name in wanted for text in headers if f"#include <{name}>" in text}
        assert held == wanted, f"{axis}: the targets lack {wanted - held}"
