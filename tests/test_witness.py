"""``hakmem run``: every process that a program starts is proved or named, and leaves its statistics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from hakmem import build, toolchain, witness

PARENT = """
import os, subprocess, sys
subprocess.run([sys.argv[1]], check=True)
subprocess.run(["/bin/true"], check=True)
subprocess.run(["/bin/true"], check=True, env={})
os.waitpid(os.posix_spawn("/bin/true", ["true"], os.environ), 0)
child = os.fork()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
try:
    os.execv("/nonesuch", ["nonesuch"])
except FileNotFoundError:
    print(os.getpid())
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(build.__file__).parents[1])}
    command = [sys.executable, "-m", "hakmem", "run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def static_program(folder: Path) -> Path:
    (folder / "p.cpp").write_text("int main() { return 0; }\n")
    program = folder / "alone"
    compiler = str(toolchain.find_compiler())
    subprocess.run([compiler, "-static", folder / "p.cpp", "-o", program], check=True)
    return program


def test_children_are_proved_and_those_not_reached_are_named(tmp_path: Path) -> None:
    built, program, folder = build.build_one("unified"), static_program(tmp_path), tmp_path / "found"
    python = os.path.realpath(sys.executable)
    answer = run("unified", "--stats-folder", str(folder), "--", python, "-I", "-c", PARENT, str(program))
    assert answer.returncode == 0, answer.stderr
    assert answer.stderr.startswith(f"hakmem: unified {built.digest} serves ")
    # the program itself is quoted in the proof and has several lines; Python, true twice, and the fork
    _, count, *missed = [line for line in answer.stderr.splitlines() if line.startswith("hakmem: ")]
    assert count == f"hakmem: unified {built.digest} served 4 processes in all"
    assert [line.partition(" was not served: ")[2] for line in missed] == [
        f"{program} is statically linked: LD_PRELOAD has no effect on it, so hakmem cannot serve it",
        "it was started with an environment without LD_PRELOAD",
    ]
    files = {int(file.stem): json.loads(file.read_text()) for file in folder.iterdir()}
    assert len(files) == 4
    assert {found["digest"] for found in files.values()} == {built.digest}
    assert files[int(answer.stdout)]["mapped_bytes"] > 0


def test_statistics_are_printed_at_the_end() -> None:
    answer = run("unified", "--quiet", "--stats", "--", "sh", "-c", "ls / > /dev/null; exit 7")
    assert answer.returncode == 7
    heads = [line for line in answer.stderr.splitlines() if line.startswith("hakmem: ")]
    assert len(heads) == 2 and all(line.startswith("hakmem: at the exit of /") for line in heads)
    assert answer.stderr.count("bytes: live ") == 2


def test_a_program_with_a_malloc_of_its_own_is_named() -> None:
    seen = witness.Testimony(
        [
            witness.Served(1, "/a", "v d", True),
            witness.Served(2, "/b", "v d", False),
            witness.Served(3, "/c", "", None),
        ],
        [],
    )
    assert witness.sentences(seen, "v d") == [
        "/b (pid 2) has a malloc of its own",
        "/c (pid 3) runs on no hakmem library",
    ]
