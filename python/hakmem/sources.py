"""Where the C++ sources, CMake files and variant files are, and one hash over those that decide a build.

In an installed package they travel under ``hakmem/_source``; in a checkout they are the repository itself.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from .errors import HakmemError

_PACKAGE = Path(__file__).resolve().parent

# Sources that no variant is made of: changing them leaves every digest as it is.
_NOT_IN_A_VARIANT = tuple(
    f"cpp/src/{name}.cpp"
    for name in (
        "runner",
        "null_malloc",
        "witness",
        "recorder",
        "merge",
        "plan",
        "containers",
        "containers_boost",
    )
)


def root() -> Path:
    """The folder that holds CMakeLists.txt, cmake/, cpp/ and variants/."""
    for folder in (_PACKAGE / "_source", _PACKAGE.parents[1]):
        if (folder / "CMakeLists.txt").is_file() and (folder / "cpp").is_dir():
            return folder
    raise HakmemError(
        "the package's sources are missing: expected "
        f"{_PACKAGE / '_source' / 'CMakeLists.txt'}; reinstall hakmem"
    )


def is_checkout() -> bool:
    """Whether the sources are a repository that people edit, not files installed with the package."""
    return root() != _PACKAGE / "_source"


def variants_folder() -> Path:
    """The folder of the kept variants' files; ``sweeps/`` is inside it."""
    return root() / "variants"


def suite_folder() -> Path:
    """The folder of the behaviour suite that ``hakmem check`` runs."""
    for folder in (_PACKAGE / "_suite", _PACKAGE.parents[1] / "tests" / "behaviour"):
        if folder.is_dir():
            return folder
    raise HakmemError(f"the behaviour suite is missing: expected {_PACKAGE / '_suite'}; reinstall hakmem")


def digested_files() -> list[Path]:
    """The C++ and CMake files that a variant's digest covers, sorted by path."""
    top = root()
    found = [top / "CMakeLists.txt", *(top / "cmake").glob("*.cmake")]
    for pattern in ("cpp/hakmem/**/*.hpp", "cpp/src/*.cpp", "cpp/src/*.hpp"):
        found += top.glob(pattern)
    left_out = {top / name for name in _NOT_IN_A_VARIANT}
    return sorted(path for path in found if path.is_file() and path not in left_out)


def sources_hash() -> str:
    """sha256 over names and contents of `digested_files`, in hex."""
    top = root()
    total = hashlib.sha256()
    for path in digested_files():
        content = path.read_bytes()
        total.update(f"{path.relative_to(top).as_posix()} {len(content)}\n".encode())
        total.update(content)
    return total.hexdigest()


def runner_hash() -> str:
    """As `sources_hash`, for the benchmark runner and the null allocator, in hex."""
    total = hashlib.sha256(sources_hash().encode())
    for name in _NOT_IN_A_VARIANT:
        path = root() / name
        total.update(path.read_bytes() if path.is_file() else b"")
    return total.hexdigest()
