"""Reading a running process from outside: the same figures as inside, and one line where it cannot be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import typer.testing

from hakmem import build, cli, live
from hakmem.errors import HakmemError

# A library loaded beside the C library: only the calls below reach it, so nothing moves while it is read.
PROGRAM = """
import ctypes, sys, threading
library = ctypes.CDLL(sys.argv[1])
library.malloc.restype = ctypes.c_void_p
library.malloc.argtypes = [ctypes.c_size_t]
library.free.argtypes = [ctypes.c_void_p]
library.hakmem_statistics.argtypes = [ctypes.c_char_p, ctypes.c_size_t]
sizes = [16, 48, 100, 1000, 5000, 50000, 700000]
blocks = [library.malloc(n) for n in sizes for _ in range(40)]
for p in blocks[::3]: library.free(p)
done, finish = threading.Barrier(3), threading.Event()
blocks_of = [blocks[1:100:6], blocks[4:100:6]]
def part(mine_to_free):
    mine = [library.malloc(64) for _ in range(90)]
    for p in mine[10:] + mine_to_free: library.free(p)
    done.wait()
    finish.wait()
for some in blocks_of: threading.Thread(target=part, args=(some,), daemon=True).start()
done.wait()
text = ctypes.create_string_buffer(1 << 16)
length = library.hakmem_statistics(text, len(text))
print(text.raw[:length].decode(), flush=True)
sys.stdin.read()
"""
SAME = (
    "name digest heaps live_bytes cached_bytes depot_bytes in_transit_bytes medium_bytes large_bytes "
    "large_cached_bytes mapped_bytes purged_bytes events thread_heaps"
)


@contextmanager
def running(library: Path) -> Iterator[tuple[subprocess.Popen[str], dict[str, object]]]:
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", PROGRAM, str(library)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin and process.stdout
    try:
        yield process, json.loads(process.stdout.readline())
    finally:
        process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("base", "overrides"),
    [
        ("unified_counting", []),
        ("unified_home", ["probe=counters"]),
        ("magazine", ["probe=counters"]),
        ("sharded", ["probe=counters"]),
        ("unified_header", ["probe=route"]),
    ],
)
def test_from_outside_as_from_inside(base: str, overrides: list[str]) -> None:
    from hakmem import spec

    built = build.build_one(spec.resolve(build.variant(base), overrides))
    with running(built.library) as (process, inside):
        found = live.read(process.pid)
    for key in SAME.split():
        assert found[key] == inside[key], key
    classes = inside["classes"]
    assert isinstance(classes, list) and len(classes) == len(found["classes"])
    for here, there in zip(found["classes"], classes, strict=True):
        assert {key: here[key] for key in ("bytes", "out_bytes", "cached_bytes")} == {
            key: there[key] for key in ("bytes", "out_bytes", "cached_bytes")
        }
    assert found["pid"] == process.pid and found["library"] == str(built.library)
    assert found["live_bytes"] > 0 and len(found["thread_heaps"]) == 3


def test_watching_ends_with_the_process() -> None:
    shown: list[dict[str, object]] = []
    with running(build.build_one("unified_counting").library) as (process, _):

        def wait() -> None:
            if len(shown) == 2:
                process.communicate()

        live.watch(process.pid, shown.append, wait)
    assert len(shown) == 2 and shown[0] == shown[1]


def call(*arguments: str, code: int = 0) -> typer.testing.Result:
    result = typer.testing.CliRunner().invoke(cli.app, ["stats", *arguments], prog_name="hakmem")
    assert result.exit_code == code, result.output + result.stderr
    return result


def test_the_command_prints_text_and_json() -> None:
    with running(build.build_one("unified_counting").library) as (process, inside):
        assert json.loads(call(str(process.pid), "--json").stdout)["live_bytes"] == inside["live_bytes"]
        text = call(str(process.pid)).stdout
    assert text.startswith(f"bytes: live {inside['live_bytes']}, cached {inside['cached_bytes']}, ")


def test_what_cannot_be_read_is_one_line() -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    line = call(str(ended.pid), code=2).stderr
    assert line == f"error: pid {ended.pid}: expected a running process, got none\n"
    line = call(str(os.getpid()), code=2).stderr
    assert "expected a process on a hakmem malloc library with counters" in line and line.count("\n") == 1
    with (
        running(build.build_one("unified").library) as (process, _),
        pytest.raises(HakmemError, match=r"was built without counters: expected a variant with probe = "),
    ):
        live.read(process.pid)


def test_a_process_of_another_user_is_refused_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with running(build.build_one("unified_counting").library) as (process, _):

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(HakmemError, match=f"^pid {process.pid}: no permission to read its memory"):
            live.read(process.pid)
        monkeypatch.undo()
