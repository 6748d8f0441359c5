"""The two real programs: same output, honest memory, and no run that another malloc served."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hakmem import programs, toolchain
from hakmem.programs import Program, ProgramError


def _python(tmp_path: Path, text: str) -> Program:
    script = tmp_path / "script.py"
    script.write_text(text, encoding="utf-8")
    return dataclasses.replace(programs.cpython(), name="small", script=script)


@pytest.fixture
def unused_library(tmp_path: Path) -> Path:
    """A library that is named like one of ours, is mapped, and serves nothing."""
    path = tmp_path / "libhakmem_unused.so"
    command = [str(toolchain.detect().compiler), "-shared", "-fPIC", "-x", "c++", "-", "-o", str(path)]
    subprocess.run(command, input=b"int unused;", check=True)
    return path


@pytest.mark.parametrize("program", programs.programs(), ids=lambda program: program.name)
def test_a_program_does_the_same_under_libc_every_time(program: Program) -> None:
    first = programs.run(program, cpu=min(os.sched_getaffinity(0)))
    again = programs.run(program)
    programs.same_output(again, first.output)
    assert first.output.count("\n") >= 2
    assert first.wall_s > 0 and first.user_s > 0
    assert first.libc_heap_kib > 1024, "the program must use malloc for real"
    assert os.sched_getaffinity(0), "the caller's own processors are put back"


def test_peak_rss_is_the_programs_own_and_not_its_launchers(tmp_path: Path) -> None:
    ballast = bytearray(os.urandom(1)) * (200 << 20)
    measured = programs.run(
        _python(tmp_path, "print('done', flush=True); input and __import__('sys').stdin.read()")
    )
    assert len(ballast) == 200 << 20
    assert measured.peak_rss_kib < 100 << 10


def test_a_library_that_is_mapped_and_serves_nothing_is_an_error(unused_library: Path) -> None:
    with pytest.raises(ProgramError, match=r"is mapped, yet libc's heap holds \d+ KiB"):
        programs.run(programs.cpython(), unused_library)


def test_a_library_that_the_loader_ignores_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ProgramError, match=r"was given in LD_PRELOAD but is not mapped"):
        programs.run(programs.cpython(), tmp_path / "libhakmem_missing.so")


def test_a_baseline_that_runs_on_one_of_our_libraries_is_an_error(unused_library: Path) -> None:
    with pytest.raises(ProgramError, match=r"expected libc's malloc alone"):
        programs.run(programs.cpython(), environment={"LD_PRELOAD": str(unused_library)})


def test_a_crash_names_its_signal_and_last_lines(tmp_path: Path) -> None:
    program = _python(
        tmp_path, "import os, sys; sys.stderr.write('last words\\n'); sys.stderr.flush(); os.abort()"
    )
    with pytest.raises(ProgramError, match=r"small: ended by SIGABRT under libc: last words"):
        programs.run(program)


def test_a_hang_is_ended_and_said(tmp_path: Path) -> None:
    program = _python(tmp_path, "import sys; sys.stdin.read()")
    with pytest.raises(ProgramError, match=r"small: no end after 0\.3 s"):
        programs.run(program, timeout_s=0.3)


def test_output_that_differs_from_libcs_names_the_line(tmp_path: Path) -> None:
    program = _python(
        tmp_path, "import sys; sys.stdout.write('a\\nc\\ndone\\n'); sys.stdout.flush(); sys.stdin.read()"
    )
    with pytest.raises(
        ProgramError, match=r"line 2 of its output differs from libc's: expected 'b', got 'c'"
    ):
        programs.same_output(programs.run(program), "a\nb\ndone\n")


def test_without_sqlite3_the_next_compiled_program_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "perl").write_text("#!/bin/sh\n")
    (tmp_path / "perl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert programs.compiled().name == "perl"
    (tmp_path / "perl").unlink()
    with pytest.raises(ProgramError, match=r"expected one of sqlite3, perl in PATH, got none"):
        programs.compiled()


def test_the_interpreter_is_the_one_that_runs_this() -> None:
    assert programs.cpython().command[0] == os.path.realpath(sys.executable)
