"""Sessions of hakmem: ``nox -l`` lists them, ``nox -s jobs`` prints them as JSON for a CI system.

nox names and orders; hakmem and CMake do the work. Every session prints the plain lines that replay it.
All sessions share one environment, .nox/hakmem, which the first one fills from pyproject.toml; hakmem itself
runs from this checkout.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import nox

HERE = Path(__file__).resolve().parent
VARIANTS = sorted(path.stem for path in (HERE / "variants").glob("*.toml"))
SANITIZERS = {"asan": "AddressSanitizer", "tsan": "ThreadSanitizer", "ubsan": "UndefinedBehaviorSanitizer"}
ENVIRONMENT = Path(".nox") / "hakmem"
PROGRAMS = ENVIRONMENT / "bin"
HAKMEM = ("python", "-m", "hakmem")
MINUTES = {"pick": 30, "matrix": 120, "soak": 120, "tests": 60, "fuzz": 120, "churn": 65, "conformance": 120}

nox.needs_version = ">=2024.10.9"
nox.options.sessions = ["lint", "tests"]


def _requirements() -> list[str]:
    project = nox.project.load_toml(HERE / "pyproject.toml")
    groups = nox.project.dependency_groups(project, "dev")
    return sorted({*project["build-system"]["requires"], *project["project"]["dependencies"], *groups})


def _prepare(session: nox.Session) -> None:
    """Make the shared environment, or leave it when what it was made from has not changed."""
    stamp, wanted = ENVIRONMENT / "requirements.json", json.dumps([sys.version, _requirements()])
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    session.log(f"filling {ENVIRONMENT} (once)")
    session.run_install(sys.executable, "-m", "virtualenv", "--quiet", str(ENVIRONMENT), external=True)
    session.run_install(
        str(PROGRAMS / "python"),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *_requirements(),
        external=True,
    )
    stamp.write_text(wanted, encoding="utf-8")


def _replay(session: nox.Session, *commands: tuple[str, ...]) -> None:
    """Print the plain lines of a session, then run them."""
    _prepare(session)
    print(f'export PYTHONPATH="$PWD/python" PATH="$PWD/{PROGRAMS}:$PATH"')
    for command in commands:
        print(shlex.join(command), flush=True)
    path = os.pathsep.join([str(HERE / PROGRAMS), os.environ.get("PATH", os.defpath)])
    env = {"PYTHONPATH": str(HERE / "python"), "PATH": path}
    for program, *arguments in commands:
        session.run(str(HERE / PROGRAMS / program), *arguments, external=True, env=env)


def _compiler(session: nox.Session) -> None:
    compiler = shlex.split(os.environ.get("CXX", "g++"))[0]
    if not shutil.which(compiler):
        session.error(
            f"the C++ compiler {compiler} is missing: apt-get install g++, or set CXX to another one"
        )


def _session(name: str, tags: list[str], help: str, work: Callable[[nox.Session], None]) -> None:
    """Register one session under any name; only the names in `nox.options.sessions` run by default."""

    def body(session: nox.Session) -> None:
        work(session)

    body.__doc__ = help
    nox.session(name=name, tags=tags, venv_backend="none")(body)


@nox.session(venv_backend="none", tags=["ci"])
def lint(session: nox.Session) -> None:
    """Check style and types of the Python code."""
    module = ("python", "-m")
    _replay(
        session,
        (*module, "ruff", "check", "."),
        (*module, "ruff", "format", "--check", "."),
        (*module, "mypy"),
    )


@nox.session(venv_backend="none", tags=["ci"])
def tests(session: nox.Session) -> None:
    """Run the whole test suite: kept and covering variants, C++ unit tests, house rules."""
    _compiler(session)
    _replay(session, ("python", "-m", "pytest", "-n", "2", "--dist", "worksteal", *session.posargs))


@nox.session(venv_backend="none", tags=["variants"])
def build(session: nox.Session) -> None:
    """Build every kept variant into the cache."""
    _compiler(session)
    _replay(session, (*HAKMEM, "build", *session.posargs))


@nox.session(venv_backend="none", tags=["slow"])
def matrix(session: nox.Session) -> None:
    """Build and test the whole sweep `full`; a variant that crashes or hangs is named, the others go on."""
    _compiler(session)
    _replay(session, (*HAKMEM, "check", "--sweep", "full", *session.posargs))


@nox.session(venv_backend="none", tags=["ci"])
def golden(session: nox.Session) -> None:
    """Compare the instruction shape of every kept variant's malloc and free with the committed tables."""
    _compiler(session)
    _replay(session, ("python", "-m", "hakmem.golden", *session.posargs))


@nox.session(venv_backend="none", tags=["slow"])
def soak(session: nox.Session) -> None:
    """Run every kept variant through 10 million cycles at each working set and seed, contents checked."""
    _compiler(session)
    soak = ("python", "-m", "pytest", "tests/record/test_soak.py", "--cycles", "10000000")
    _replay(session, (*soak, *session.posargs))


@nox.session(venv_backend="none", tags=["slow"])
def fuzz(session: nox.Session) -> None:
    """Feed libFuzzer's streams of operations to every front, owner and store, beside a shadow model."""
    _replay(session, ("python", "cpp/tests/fuzz.py", *session.posargs))


@nox.session(venv_backend="none", tags=["slow"])
def churn(session: nox.Session) -> None:
    """Start threads that allocate, hand over and die, for an hour; the peak resident set stays flat."""
    _compiler(session)
    churn = (
        "python",
        "-m",
        "pytest",
        "tests/record/test_churn.py",
        "-k",
        "four_threads",
        "--seconds",
        "3600",
    )
    _replay(session, (*churn, *session.posargs))


@nox.session(venv_backend="none", tags=["slow"])
def conformance(session: nox.Session) -> None:
    """Run suites of glibc and CPython, and real programs, on stock malloc and on variants, to one table."""
    _compiler(session)
    _replay(session, ("python", "-m", "hakmem.conformance", *session.posargs))


@nox.session(venv_backend="none", tags=["main"])
def pick(session: nox.Session) -> None:
    """Check and race every kept variant and name the fastest policy set, to the page hakmem-pick.html."""
    _compiler(session)
    _replay(session, (*HAKMEM, "pick", *session.posargs))


@nox.session(venv_backend="none")
def jobs(session: nox.Session) -> None:
    """Print the sessions (behind --: those with one of these tags) as JSON, for the matrix of a CI system."""
    wanted = set(session.posargs)
    known = {tag for function in nox.registry.get().values() for tag in function.tags}
    if wanted - known:
        session.error(
            f"jobs: expected tags of {', '.join(sorted(known))}, got {', '.join(sorted(wanted - known))}"
        )
    rows = []
    for name, function in nox.registry.get().items():
        if name == "jobs" or (wanted and not wanted & set(function.tags)):
            continue
        rows.append(
            {
                "name": name,
                "tags": list(function.tags),
                "what": " ".join((function.__doc__ or "").split()),
                "minutes": MINUTES.get(name, 20),
                "command": shlex.join(["nox", "-s", name]),
            }
        )
    print(json.dumps(rows, indent=1))


def _sanitized(preset: str) -> Callable[[nox.Session], None]:
    def work(session: nox.Session) -> None:
        _compiler(session)
        _replay(
            session,
            ("cmake", "--preset", preset, f"-DHAKMEM_PYTHON={HERE / PROGRAMS / 'python'}"),
            ("cmake", "--build", "--preset", preset, "-j", "2"),
            ("ctest", "--preset", preset, "-j", "2", *session.posargs),
        )

    return work


def _one(command: tuple[str, ...]) -> Callable[[nox.Session], None]:
    def work(session: nox.Session) -> None:
        _compiler(session)
        _replay(session, (*HAKMEM, *command, *session.posargs))

    return work


for preset, tool in SANITIZERS.items():
    _session(
        preset,
        ["sanitizers"],
        f"Run the C++ tests of every front with every remote under {tool}.",
        _sanitized(preset),
    )
for variant in VARIANTS:
    _session(
        f"tests({variant})",
        ["tests"],
        f"Run the behaviour suite over {variant}.",
        _one(("check", "--fresh", variant)),
    )
for variant in VARIANTS:
    _session(
        f"bench({variant})",
        ["bench"],
        f"Race {variant} against libc on the workloads.",
        _one(("bench", variant)),
    )
