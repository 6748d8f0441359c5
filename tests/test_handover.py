"""What is handed over works where it is taken: moved, started, linked, included; it is whole or absent."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import typer.testing

from hakmem import build, cli, handover, toolchain
from hakmem.build import Built
from hakmem.errors import HakmemError

COMPILER = str(toolchain.find_compiler())
VERDICT = "unified: as fast as libc, and this is a test."
COMMAND = ["python3", "it's.py", "a b"]

WHO = """
#include <dlfcn.h>
#include <cstdio>
#include <cstdlib>
int main(int argc, char** argv) {
  auto id = reinterpret_cast<const char* (*)()>(::dlsym(RTLD_DEFAULT, "hakmem_id"));
  auto owns = reinterpret_cast<int (*)(const void*)>(::dlsym(RTLD_DEFAULT, "hakmem_owns"));
  void* block = std::malloc(static_cast<std::size_t>(argc));
  std::printf("%s %d", id != nullptr ? id() : "nobody", owns != nullptr ? owns(block) : -1);
  for (int i = 1; i < argc; ++i) std::printf(" [%s]", argv[i]);
}
"""

HEADERS = """
#include <hakmem_variants/unified/hakmem_variant.hpp>
#include <hakmem/containers/allocator.hpp>
#include <cstdio>
#include <vector>
int main() {
  std::vector<int, hakmem::containers::Allocator<int, hakmem::Variant>> numbers(1000, 7);
  std::printf("%s %d", hakmem::Variant::kDigest, numbers[999]);
}
"""


@pytest.fixture(scope="module")
def built() -> Built:
    return build.build_one("unified")


@pytest.fixture(scope="module")
def folder(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that was handed over and then moved; the cache's own files are not what is used."""
    top = tmp_path_factory.mktemp("handover")
    made = top / "first" / "place"
    rows = [{"contestant": "libc", "seconds": 1.25}]
    handover.hand_over(built, made, verdict=VERDICT, command=COMMAND, rows=rows, page="<p>report</p>")
    assert [path.name for path in made.parent.iterdir()] == ["place"]
    return Path(shutil.move(made, top / "second"))


def text(*command: str | Path, **environment: str) -> str:
    clean = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**clean, **environment})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compiled(source: str, folder: Path, *options: str) -> Path:
    (folder / "main.cpp").write_text(source, encoding="utf-8")
    made = folder / "main"
    text(COMPILER, "-std=c++20", "-Wall", "-Wextra", "-Werror", folder / "main.cpp", "-o", made, *options)
    return made


def test_the_folder_has_everything_and_its_sums(folder: Path, built: Built) -> None:
    names = {path.name for path in folder.iterdir()}
    files = {"SHA256SUMS", "measured.json", "report.html", "reproduce.md", "run", "unified.toml"}
    assert names == {"include", "lib", *files}
    assert (folder / "lib" / "libhakmem_unified.so").read_bytes() == built.library.read_bytes()
    assert (folder / "report.html").read_text() == "<p>report</p>"
    text("sh", "-c", 'cd "$1" && sha256sum --quiet --strict --check SHA256SUMS', "sh", folder)
    listed = len((folder / "SHA256SUMS").read_text().splitlines())
    assert listed == sum(path.is_file() for path in folder.rglob("*")) - 1
    kept = json.loads((folder / "measured.json").read_text())
    assert kept["rows"] == [{"contestant": "libc", "seconds": 1.25}]
    assert (kept["verdict"], kept["command"], kept["digest"]) == (VERDICT, COMMAND, built.digest)
    page = (folder / "reproduce.md").read_text()
    for part in (VERDICT, built.digest, "python3 'it'\"'\"'s.py' 'a b'", *kept["machine"].values()):
        assert part in page
    for path in folder.rglob("*"):
        if path.suffix in {".cmake", ".pc", ".hpp", ".toml", ""} and path.is_file():
            assert str(folder.parent) not in path.read_text(), path
    assert build.variant(str(folder / "unified.toml")).policies == built.variant.policies


def test_the_wrapper_starts_a_program_on_the_moved_library(
    folder: Path, built: Built, tmp_path: Path
) -> None:
    who = compiled(WHO, tmp_path)
    served = f"{built.name} {built.digest} 1"
    assert text(who) == "nobody -1"
    assert text(folder / "run", who, "a b", "it's", "") == f"{served} [a b] [it's] []"
    (tmp_path / "link").symlink_to(folder / "run")
    assert text(tmp_path / "link", who) == served
    helper = tmp_path / "libhelper.so"
    (tmp_path / "helper.c").write_text("int helped = 1;\n")
    text(COMPILER, "-shared", "-fPIC", "-x", "c", tmp_path / "helper.c", "-o", helper)
    command = 'echo "$LD_PRELOAD"; exec "$1"'
    first, second = text(folder / "run", "sh", "-c", command, "sh", who, LD_PRELOAD=str(helper)).splitlines()
    assert first == f"{folder}/lib/libhakmem_unified.so:{helper}"
    assert second == served


def test_the_wrapper_says_what_is_wrong_in_one_line(folder: Path, tmp_path: Path) -> None:
    def complaint(run: Path, *arguments: str) -> tuple[int, str]:
        done = subprocess.run([run, *arguments], capture_output=True, text=True, check=False)
        assert done.stderr.count("\n") == 1
        return done.returncode, done.stderr

    assert complaint(folder / "run") == (2, f"usage: {folder}/run PROGRAM [ARGUMENT...]\n")
    apart = tmp_path / "a b"
    shutil.copytree(folder, apart)
    code, said = complaint(apart / "run", "true")
    assert code == 126 and f"move {apart} to a path without them" in said
    apart.rename(tmp_path / "ab")
    (tmp_path / "ab" / "lib" / "libhakmem_unified.so").unlink()
    code, said = complaint(tmp_path / "ab" / "run", "true")
    assert code == 126 and "expected the library" in said


def test_its_headers_compile_alone(folder: Path, built: Built, tmp_path: Path) -> None:
    made = compiled(HEADERS, tmp_path, f"-I{folder / 'include'}", "-pthread")
    assert text(made) == f"{built.digest} 7"


def test_the_page_s_link_lines_serve_a_program(folder: Path, built: Built, tmp_path: Path) -> None:
    lines = [line for line in (folder / "reproduce.md").read_text().splitlines() if line.startswith("c++ ")]
    assert len(lines) == 3
    (tmp_path / "c++").symlink_to(COMPILER)
    for line in lines[:2]:
        (folder / "main.cpp").write_text(WHO)
        path = f"{tmp_path}:{os.environ['PATH']}"
        try:
            assert text("sh", "-c", f'cd "$1" && {line} && ./main', "sh", folder, PATH=path) == (
                f"{built.name} {built.digest} 1"
            )
        finally:
            (folder / "main.cpp").unlink()
            (folder / "main").unlink(missing_ok=True)


def test_a_folder_that_is_there_is_refused_and_left_whole(folder: Path, built: Built) -> None:
    before = (folder / "SHA256SUMS").read_bytes()
    with pytest.raises(
        HakmemError, match=r"--out .*second: expected a new or empty folder, got one that is not"
    ):
        handover.hand_over(built, folder, verdict="", command=None, rows=[], page=None)
    assert (folder / "SHA256SUMS").read_bytes() == before
    assert handover.opened(folder).verdict == VERDICT
    assert [path.name for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_what_was_handed_over_is_opened_or_its_fault_is_named(folder: Path, tmp_path: Path) -> None:
    found = handover.opened(folder)
    assert found.built.library == folder / "lib" / "libhakmem_unified.so"
    assert found.command == tuple(COMMAND)
    assert found.results == ()  # the row above is none of the store's
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    (copy / "run").write_text("#!/bin/sh\n")
    with pytest.raises(HakmemError, match=r"copy/run: expected the content that was handed over"):
        handover.opened(copy)
    (copy / "run").unlink()
    with pytest.raises(HakmemError, match=r"copy/run: expected a file as SHA256SUMS lists it, got none"):
        handover.opened(copy)
    with pytest.raises(
        HakmemError, match="expected a folder that hakmem handed over, got .*SHA256SUMS: No such"
    ):
        handover.opened(tmp_path / "nonesuch")


def test_a_build_of_other_sources_is_refused(built: Built, tmp_path: Path) -> None:
    stale = Built(built.variant, "0" * 16, built.folder)
    with pytest.raises(HakmemError, match=f"that {'0' * 16} was built with, got others; build it again"):
        handover.hand_over(stale, tmp_path / "out", verdict="", command=None, rows=[], page=None)
    assert list(tmp_path.iterdir()) == []


def test_the_command_hands_over_without_a_race(built: Built, tmp_path: Path) -> None:
    out = tmp_path / "taken"
    arguments = ["hand-over", "unified", "--out", str(out), "--", "perl", "-e", "1"]
    result = typer.testing.CliRunner().invoke(cli.app, arguments, prog_name="hakmem")
    assert result.exit_code == 0, result.output
    assert f"{built.digest} is in {out}; {out}/run perl -e 1 starts a program on it" in result.stdout
    assert handover.opened(out).command == ("perl", "-e", "1")
    assert handover.NO_RACE in (out / "reproduce.md").read_text()
    again = typer.testing.CliRunner().invoke(cli.app, arguments, prog_name="hakmem")
    assert again.exit_code == 2 and again.stderr.count("\n") == 1
