"""What the tests of the record share: its programs, compiled, and the kept variants, built."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from hakmem import build as builds
from hakmem import golden, toolchain
from hakmem.build import Built

PROGRAMS = Path(__file__).resolve().parent / "programs"


@pytest.fixture(scope="session")
def kept() -> dict[str, Built]:
    """Every kept variant that has a malloc library, built."""
    return {item.name: item for item in golden.built_kept() if item.variant.interposable}


@pytest.fixture(scope="session")
def runner() -> Path:
    """The benchmark runner."""
    return builds.runner()


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Compiles a program of tests/record/programs, with options of the compiler, and gives its path."""
    made: dict[str, Path] = {}

    def compile_one(name: str, *options: str) -> Path:
        if name not in made:
            made[name] = tmp_path_factory.mktemp("programs") / name
            subprocess.run(
                [
                    str(toolchain.find_compiler()),
                    *("-std=c++20", "-O2", "-Wall", "-Wextra", "-pthread", "-fno-builtin-malloc"),
                    *options,
                    str(PROGRAMS / f"{name}.cpp"),
                    "-o",
                    str(made[name]),
                ],
                check=True,
            )
        return made[name]

    return compile_one


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("hakmem")
    group.addoption("--cycles", type=int, metavar="N", help="cycles of test_soak.py for every kept variant")
    group.addoption("--seconds", type=int, metavar="N", help="the long form of test_churn.py, and how long")
    group.addoption(
        "--churn-variant", metavar="NAME", help="the variant of test_churn.py's long form (the default)"
    )
    group.addoption(
        "--refused-variant",
        action="append",
        metavar="NAME",
        help="a variant of test_refusals.py (the default)",
    )
