"""The C++ compiler and flags of a build, as text that goes into every digest. Standard library only."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from . import sources
from .errors import BuildError

_CANDIDATES = ("c++", "g++", "clang++")


@dataclass(frozen=True)
class Toolchain:
    """What turns a variant's file into a binary.

    ``compiler`` is the program's path, ``compiler_id`` its family, version and target, ``flags`` the flags
    of the core and of the malloc library, ``sources`` the hash of the C++ and CMake files.
    """

    compiler: Path
    compiler_id: str
    flags: str
    sources: str


def _ask(compiler: Path, *arguments: str) -> str:
    try:
        answer = subprocess.run(
            [str(compiler), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"C++ compiler {compiler}: {error}") from error
    if answer.returncode != 0 or not answer.stdout.strip():
        raise BuildError(
            f"C++ compiler {compiler}: `{compiler.name} {' '.join(arguments)}` failed with exit "
            f"code {answer.returncode}"
        )
    return answer.stdout.strip()


def find_compiler() -> Path:
    """The C++ compiler: ``$CXX`` if set, else c++, g++ or clang++ in PATH. One line when there is none."""
    chosen = os.environ.get("CXX", "").strip()
    if chosen:
        words = shlex.split(chosen)
        found = shutil.which(words[0])
        if found is None or len(words) > 1:
            raise BuildError(f"CXX: expected the name or path of one C++ compiler, got {chosen!r}")
        return Path(found)
    for name in _CANDIDATES:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise BuildError(
        f"no C++ compiler: expected $CXX or one of {', '.join(_CANDIDATES)} in PATH; install "
        "one (Debian: apt install g++)"
    )


def compiler_id(compiler: Path) -> str:
    """Family, version and target of a compiler, the same under each of its names (c++, g++)."""
    try:
        changed = compiler.stat().st_mtime_ns
    except OSError as error:
        raise BuildError(f"C++ compiler {compiler}: {error.strerror}") from error
    return _compiler_id(compiler, changed)


@lru_cache(maxsize=8)
def _compiler_id(compiler: Path, _changed_ns: int) -> str:
    version = _ask(compiler, "--version").splitlines()[0]
    family = "clang" if "clang" in version.lower() else "gcc"
    if family == "gcc":
        version = version.partition(" ")[2]  # the first word is the name it was started by
    return f"{family} {version} {_ask(compiler, '-dumpmachine')}"


def flags() -> str:
    """The flags set in cmake/HakmemFlags.cmake, on one line."""
    path = sources.root() / "cmake" / "HakmemFlags.cmake"
    text = re.sub(r"#[^\n]*", "", path.read_text(encoding="utf-8"))
    found = re.findall(r"set\(HAKMEM_(?:CORE|LIBRARY_LINK)_FLAGS\s+([^)]*)\)", text)
    if len(found) != 2:
        raise BuildError(
            f"{path}: expected HAKMEM_CORE_FLAGS and HAKMEM_LIBRARY_LINK_FLAGS, got {len(found)} of them"
        )
    return " ".join(" ".join(found).split())


def detect(compiler: Path | None = None, more_flags: str = "") -> Toolchain:
    """The toolchain in use; ``more_flags`` are those of a debug or sanitizer build.

    Raises `BuildError` in one line when there is no working compiler.
    """
    path = compiler or find_compiler()
    return Toolchain(path, compiler_id(path), f"{flags()} {more_flags}".rstrip(), sources.sources_hash())
