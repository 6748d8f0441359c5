"""The installed C++ package: every example builds from it in a clean folder, and hakmem serves what it says.

The package is installed once, its build tree removed and its folder moved before it is used: nothing in it
may point back at the sources, the build tree or the place that it was installed to.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import cmake
import ninja
import pytest

import hakmem
from hakmem import build, sources, spec, toolchain

ROOT = sources.root()
EXAMPLES = ROOT / "examples"
CMAKE = str(Path(cmake.CMAKE_BIN_DIR) / "cmake")
GENERATOR = ["-G", "Ninja", f"-DCMAKE_MAKE_PROGRAM={Path(ninja.BIN_DIR) / 'ninja'}"]
PACKAGE = [
    "-DCMAKE_BUILD_TYPE=Release",
    "-DHAKMEM_PYTHON_MODULE=OFF",
    f"-DHAKMEM_PYTHON={sys.executable}",
]
VARIANT = "unified"

SERVED = {
    "shared": "served by {id}",
    "static": "served by {id}",
    "header_only": "served 57 blocks",
    "pkg_config": "served by {id}",
    "containers": "served by {id}",
}
"""What each example prints when hakmem served it; one that was not served exits with 1."""


def run(command: list[str], environment: Mapping[str, str] | None = None, cwd: Path | None = None) -> str:
    """The output of a command that must succeed; its last lines are the failure's message."""
    clean = {name: value for name, value in os.environ.items() if name not in ("LD_PRELOAD", "CXXFLAGS")}
    done = subprocess.run(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=cwd,
        env={**clean, **(environment or {})},
    )
    assert done.returncode == 0, f"{' '.join(command)}\n" + "\n".join(done.stdout.splitlines()[-40:])
    return done.stdout


def configure(source: Path, made: Path, *definitions: str) -> None:
    compiler = f"-DCMAKE_CXX_COMPILER={toolchain.find_compiler()}"
    run([CMAKE, "-S", str(source), "-B", str(made), *GENERATOR, compiler, *definitions])


@pytest.fixture(scope="module")
def prefix(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    made = folder / "build"
    configure(ROOT, made, *PACKAGE, f"-DHAKMEM_VARIANTS={VARIANT}")
    run([CMAKE, "--build", str(made), "-j", "1"])
    run([CMAKE, "--install", str(made), "--prefix", str(folder / "installed")])
    shutil.rmtree(made)
    (folder / "installed").rename(folder / "moved")
    return folder / "moved"


@pytest.fixture(scope="module")
def identity() -> str:
    return f"{VARIANT} {spec.digest(build.variant(VARIANT), toolchain.detect())}"


def built(source: Path, made: Path, prefix: Path, *more: str) -> Path:
    configure(source, made, f"-DCMAKE_PREFIX_PATH={prefix}", *more)
    run([CMAKE, "--build", str(made)])
    return made / "example"


def copied(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(EXAMPLES / name, folder / name))


def with_pkg_config(source: Path, prefix: Path, package: str, flags: str = "-Werror") -> Path:
    environment = {
        "PKG_CONFIG_PATH": str(prefix / "lib" / "pkgconfig"),
        "PACKAGE": package,
        "CXX": str(toolchain.find_compiler()),
        "CXXFLAGS": flags,
    }
    run(["./build.sh"], environment, source)
    return source / "example"


def test_there_is_a_test_for_every_example() -> None:
    others = {"ci", "tune", "programs"}  # test_nox.py, test_tune.py and below
    assert {path.name for path in EXAMPLES.iterdir()} == {*SERVED, *others}


PROGRAMS = {
    "orders.sql": [
        sys.executable,
        "-c",
        "import sqlite3; sqlite3.connect(':memory:').executescript(open('orders.sql').read())",
    ],
    "words.py": ["env", "PYTHONMALLOC=malloc", sys.executable, "words.py"],
    "templates.cpp": [str(toolchain.find_compiler()), "-std=c++20", "-fsyntax-only", "templates.cpp"],
    "pipeline.cpp": [str(toolchain.find_compiler()), "-std=c++20", "-fsyntax-only", "pipeline.cpp"],
    "waiting.cpp": [str(toolchain.find_compiler()), "-std=c++20", "-fsyntax-only", "waiting.cpp"],
    "redis.sh": ["sh", "redis.sh"],
    "rocks.sh": ["sh", "rocks.sh"],
}
NEEDED = {"redis.sh": "redis-benchmark", "rocks.sh": "db_bench"}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_to_tune_for_runs(name: str) -> None:
    assert {path.name for path in (EXAMPLES / "programs").iterdir()} == PROGRAMS.keys()
    words = PROGRAMS[name]
    if name in NEEDED and shutil.which(NEEDED[name]) is None:
        words = ["sh", "-n", name]  # read, not run
    run(words, cwd=EXAMPLES / "programs")


@pytest.mark.parametrize(("name", "line"), [("redis.sh", "redis is not"), ("rocks.sh", "db_bench is not")])
def test_a_program_that_is_not_there_is_one_line(name: str, line: str, tmp_path: Path) -> None:
    answer = subprocess.run(
        [str(shutil.which("sh")), EXAMPLES / "programs" / name],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 1 and answer.stderr.startswith(f"{line} on this machine: apt-get install ")
    assert answer.stderr.count("\n") == 1


def test_the_versions_agree() -> None:
    assert f"project(hakmem VERSION {hakmem.__version__} " in (ROOT / "CMakeLists.txt").read_text()
    assert f'\nversion = "{hakmem.__version__}"\n' in (ROOT / "pyproject.toml").read_text()


def test_the_package_points_nowhere_but_into_itself(prefix: Path) -> None:
    texts = [path for path in prefix.rglob("*") if path.suffix in {".cmake", ".pc", ".hpp"}]
    assert len(texts) > 60
    for path in texts:
        text = path.read_text(encoding="utf-8")
        assert str(ROOT) not in text and str(prefix.parent) not in text, path
    headers = {path.relative_to(prefix / "include").parts[1] for path in prefix.rglob("hakmem/*/*.hpp")}
    assert "containers" in headers and "engine" in headers and "bench" not in headers


@pytest.mark.parametrize("name", sorted(set(SERVED) - {"pkg_config"}))
def test_an_example_is_served(name: str, prefix: Path, identity: str, tmp_path: Path) -> None:
    warnings = "-DCMAKE_CXX_FLAGS=-Wall -Wextra -Wpedantic -Werror"
    example = built(copied(name, tmp_path), tmp_path / "build", prefix, warnings)
    assert run([str(example)]) == SERVED[name].format(id=identity) + "\n"
    needed = run(["ldd", str(example)])
    assert ("libhakmem_unified.so" in needed) == (name == "shared"), needed


@pytest.mark.parametrize("package", ["hakmem_malloc_unified", "hakmem_malloc_unified_static"])
def test_the_pkg_config_example_is_served(package: str, prefix: Path, identity: str, tmp_path: Path) -> None:
    example = with_pkg_config(copied("pkg_config", tmp_path), prefix, package)
    assert run([str(example)]) == SERVED["pkg_config"].format(id=identity) + "\n"
    assert ("libhakmem_unified.so" in run(["ldd", str(example)])) == (package == "hakmem_malloc_unified")


@pytest.mark.parametrize("name", ["containers", "header_only"])
@pytest.mark.parametrize("flags", ["-O0", "-O3 -flto -fvisibility=hidden"])
def test_the_headers_build_under_a_programs_own_flags(
    name: str, flags: str, prefix: Path, identity: str, tmp_path: Path
) -> None:
    include = [prefix / "include", prefix / "include" / "hakmem_variants" / VARIANT]
    # not as system headers, so that warnings in them count
    command = [str(toolchain.find_compiler()), "-std=c++20", "-Wall", "-Wextra", "-Werror", *flags.split()]
    command += [f"-I{folder}" for folder in include] + [str(EXAMPLES / name / "main.cpp"), "-pthread"]
    run([*command, "-o", str(tmp_path / "example")])
    assert run([str(tmp_path / "example")]) == SERVED[name].format(id=identity) + "\n"


QUIET = """
#include <dlfcn.h>
#include <cstdio>
int main() {
  auto id = reinterpret_cast<const char* (*)()>(::dlsym(RTLD_DEFAULT, "hakmem_id"));
  std::puts(id != nullptr ? id() : "nobody");
}
"""
"""Calls no allocator itself: the C library that it runs on does."""


@pytest.mark.parametrize("target", ["malloc_unified", "malloc_unified_static"])
def test_a_program_that_names_no_allocator_keeps_it(
    target: str, prefix: Path, identity: str, tmp_path: Path
) -> None:
    source = copied("shared", tmp_path)
    (source / "main.cpp").write_text(QUIET, encoding="utf-8")
    listing = (source / "CMakeLists.txt").read_text(encoding="utf-8")
    (source / "CMakeLists.txt").write_text(listing.replace("::malloc_unified", f"::{target}"))
    as_needed = "-DCMAKE_EXE_LINKER_FLAGS=-Wl,--as-needed"
    assert run([str(built(source, tmp_path / "build", prefix, as_needed))]) == f"{identity}\n"
    source = copied("pkg_config", tmp_path)
    (source / "main.cpp").write_text(QUIET, encoding="utf-8")
    example = with_pkg_config(source, prefix, f"hakmem_{target}", "-Wl,--as-needed")
    assert run([str(example)]) == f"{identity}\n"


def test_a_program_without_any_shared_library_is_served(prefix: Path, identity: str, tmp_path: Path) -> None:
    source = copied("pkg_config", tmp_path)
    example = with_pkg_config(source, prefix, "hakmem_malloc_unified_static", "-static")
    assert run([str(example)]) == f"served by {identity}\n"


@pytest.mark.parametrize(
    ("line", "changed", "complaint"),
    [
        ("hakmem 0.1", "hakmem 0.2", r'requested version "0\.2"'),
        ("::malloc_unified", "::malloc_sfc", r"hakmem::malloc_sfc"),
    ],
    ids=["version", "variant"],
)
def test_what_is_not_installed_is_named(
    line: str, changed: str, complaint: str, prefix: Path, tmp_path: Path
) -> None:
    source = copied("shared", tmp_path)
    listing = (source / "CMakeLists.txt").read_text(encoding="utf-8")
    assert line in listing
    (source / "CMakeLists.txt").write_text(listing.replace(line, changed), encoding="utf-8")
    with pytest.raises(AssertionError) as refused:
        configure(source, tmp_path / "build", f"-DCMAKE_PREFIX_PATH={prefix}")
    assert re.search(complaint, str(refused.value)), refused.value


def test_a_folder_outside_the_prefix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="expected CMAKE_INSTALL_LIBDIR and .* relative"):
        configure(ROOT, tmp_path / "build", *PACKAGE, "-DHAKMEM_VARIANTS=", "-DCMAKE_INSTALL_LIBDIR=/lib")
