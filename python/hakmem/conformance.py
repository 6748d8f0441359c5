"""Suites that nobody of this project wrote, on stock malloc and on variants: one table, red if they differ.

Three suites: ``glibc`` (its own generic malloc tests), ``cpython`` (its regression tests of what allocates,
starts threads and forks, with ``PYTHONMALLOC=malloc``) and ``programs`` (real programs, and numpy's tests of
its core). A test runs on stock first. A variant passes where it ends as stock did, with the same output where
that is fixed, the same cases passed where there are cases, without a message of the allocator, and with proof
that every process of the test that could say so was served by the variant.

Everything is fetched and built in the cache, which is never committed. ``python -m hakmem.conformance`` exits
with 1 when anything is red.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import rich.markup
from rich.console import Console
from rich.table import Table

from . import build as builds
from . import glibc_tests, process_group, spec
from .build import Built
from .errors import HakmemError, UnknownNameError
from .glibc_tests import Say

STOCK = "stock"
SUITES = ("glibc", "cpython", "programs")
PROGRAM_VARIANTS = (spec.DEFAULT_VARIANT, "diet", "hardened")
"""The variants of `cpython` and `programs` when none is named; one that is not kept is left out."""

CPYTHON_MODULES = (
    "test_array",
    "test_atexit",
    "test_buffer",
    "test_bytes",
    "test_capi",
    "test_concurrent_futures",
    "test_ctypes",
    "test_deque",
    "test_dict",
    "test_fork1",
    "test_gc",
    "test_io",
    "test_itertools",
    "test_json",
    "test_list",
    "test_memoryview",
    "test_mmap",
    "test_multiprocessing_fork",
    "test_pickle",
    "test_popen",
    "test_posix",
    "test_queue",
    "test_re",
    "test_set",
    "test_signal",
    "test_struct",
    "test_subprocess",
    "test_thread",
    "test_threadedtempfile",
    "test_threading",
    "test_threading_local",
    "test_tracemalloc",
    "test_unicode",
    "test_wait3",
    "test_wait4",
    "test_weakref",
    "test_xml_etree_c",
    "test_zlib",
)
_NUMPY = (
    "test_multiarray",
    "test_mem_overlap",
    "test_nditer",
    "test_numeric",
    "test_regression",
    "test_ufunc",
)

_SCRIPTS = Path(__file__).resolve().parent / "_programs" / "conformance"
_WITNESS = _SCRIPTS.parent / "witness.c"
_CASES = "cases.xml"
_NEEDS = {
    "sqlite3": ("sqlite3",),
    "gcc": ("g++",),
    "git": ("git",),
    "redis": ("redis-server", "redis-benchmark", "redis-cli"),
}
_DROPPED = ("LD_PRELOAD", "MALLOC_CHECK_", "PYTHONPATH", "PYTHONHOME", "PYTHONSAFEPATH", "VIRTUAL_ENV")
_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130
_SHOWN = 160


@dataclass(frozen=True)
class Trial:
    """One row: a command that is run in an empty folder of its own.

    ``stock`` is added to the environment on stock only. With ``output`` its standard output must be stock's;
    with ``cases`` it writes the file cases.xml (JUnit's format), and no case may fail that passes on stock.
    A test that fails on stock is red, unless it has ``cases``: a machine may not allow a few of many.
    """

    suite: str
    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    stock: Mapping[str, str] = field(default_factory=dict)
    output: bool = False
    cases: bool = False
    timeout_s: float = 300.0


@dataclass(frozen=True)
class Run:
    """What one run of a test did.

    ``code`` is its exit code (negative: the signal that ended it, None: it had to be ended), ``served`` who
    served its processes, ``cases`` its test cases and whether each one went well.
    """

    code: int | None
    seconds: float
    output: str
    complaints: str
    served: tuple[str, ...]
    cases: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True)
class Cell:
    """One test on one malloc. ``reason`` is empty when it passed; ``note`` is shown when it did."""

    suite: str
    test: str
    allocator: str
    reason: str
    note: str
    seconds: float
    log: str

    @property
    def passed(self) -> bool:
        """Whether this is not red."""
        return not self.reason


def ending(run: Run, timeout_s: float) -> str:
    """How a run ended that did not end well, in one line; empty when it ended with 0."""
    if run.code == 0:
        return ""
    lines = (run.complaints.strip() or run.output.strip()).splitlines()
    last = lines[-1].strip() if lines else "no output"
    if run.code is None:
        return f"no end after {timeout_s:g} s: {last}"
    how = f"ended by {signal.Signals(-run.code).name}" if run.code < 0 else f"exit code {run.code}"
    return f"{how}: {last}"


def judge_stock(test: Trial, run: Run) -> tuple[str, str]:
    """Reason and note of the control: it must pass, but for single cases that this machine does not allow."""
    if run.served and set(run.served) != {"another malloc"}:
        return f"expected stock malloc, got {run.served[0]}", ""
    failing = sorted(name for name, good in run.cases.items() if not good)
    if test.cases and run.cases and run.code is not None and run.code >= 0:
        return "", f"{len(run.cases)} cases" + (f", {len(failing)} fail" if failing else "")
    if test.cases and run.code == 0:
        return f"expected {_CASES}, got none", ""
    return ending(run, test.timeout_s), ""


def judge(test: Trial, run: Run, stock: Run, identity: str) -> tuple[str, str]:
    """Reason (empty: passed) and note of a variant's run beside the control's."""
    others = sorted(set(run.served) - {identity})
    message = next((line for line in run.complaints.splitlines() if line.startswith("hakmem:")), "")
    if message:
        return message, ""
    if test.cases and run.cases:
        broken = sorted(name for name, good in run.cases.items() if not good and stock.cases.get(name, True))
        missing = sorted(stock.cases.keys() - run.cases.keys())
        if broken:
            return f"{len(broken)} cases fail that pass on stock: {', '.join(broken)}", ""
        if missing:
            return f"{len(missing)} cases of stock's did not run: {', '.join(missing)}", ""
    if run.code != stock.code:
        return ending(run, test.timeout_s) or f"exit code 0, on stock {stock.code}", ""
    if test.cases and not run.cases:
        return ending(run, test.timeout_s) or f"expected {_CASES}, got none", ""
    if not test.cases and run.code != 0:
        return ending(run, test.timeout_s), ""
    if test.output and run.output != stock.output:
        return _difference(run.output, stock.output), ""
    if not run.served:
        return f"no process of it was served by {identity}", ""
    if others:
        return f"expected every process on {identity}, got {', '.join(others)}", ""
    return "", f"{len(run.cases)} cases" if test.cases else ""


def _difference(got: str, expected: str) -> str:
    here, there = [*got.splitlines(), "its end"], [*expected.splitlines(), "its end"]
    for number, (ours, stocks) in enumerate(zip(here, there, strict=False), 1):
        if ours != stocks:
            return f"line {number} of its output: expected {stocks!r}, got {ours!r}"
    return "its output ends otherwise than on stock"


# ----------------------------------------------------------------------------------------------------
# The suites


def glibc_suite(scratch: Path, say: Say) -> list[Trial]:
    """glibc's own generic malloc tests, fetched and compiled when they are not there yet."""
    return [
        Trial(
            "glibc",
            name,
            (str(program),),
            environment=glibc_tests.environment(name),
            stock=glibc_tests.stock_environment(name),
        )
        for name, program in glibc_tests.programs(scratch, glibc_tests.TESTS, say).items()
    ]


def _python() -> str:
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def cpython_suite(_scratch: Path, say: Say) -> list[Trial]:
    """The regression tests of the Python that this one stands on; modules that it lacks are told."""
    ask = [_python(), "-I", "-c", "import test; print(test.__path__[0])"]
    answer = subprocess.run(ask, capture_output=True, text=True, check=False)
    folder = Path(answer.stdout.strip())
    there = {path.stem for path in folder.iterdir()} if answer.returncode == 0 else set()
    if "test_gc" not in there:
        raise HakmemError(
            f"cpython: {_python()}: expected its package `test`, got none; "
            "apt-get install libpython3-testsuite"
        )
    absent = [name for name in CPYTHON_MODULES if name not in there]
    if absent:
        say(f"cpython: {_python()} comes without {', '.join(absent)}")
    flags = ("-m", "test", "--randseed", "1", "--junit-xml", _CASES)
    return [
        Trial(
            "cpython",
            name,
            (_python(), *flags, name),
            environment={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"},
            cases=True,
            timeout_s=900,
        )
        for name in CPYTHON_MODULES
        if name in there
    ]


def programs_suite(scratch: Path, say: Say) -> list[Trial]:
    """Real programs with fixed output, and numpy's tests of its core."""
    missing = sorted(
        program for wanted in _NEEDS.values() for program in wanted if shutil.which(program) is None
    )
    if missing:
        raise HakmemError(
            f"programs: expected {', '.join(missing)} in PATH, got none; "
            "apt-get install redis-server redis-tools sqlite3 git g++"
        )
    wheels = scratch / "wheels"
    if not wheels.is_dir():
        say("fetching the packages of the pip install")
        _download(wheels)
    environment = {
        "HAKMEM_SCRIPTS": str(_SCRIPTS),
        "HAKMEM_PYTHON": _python(),
        "HAKMEM_WHEELS": str(wheels),
        "PYTHONMALLOC": "malloc",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    rows = [
        Trial("programs", name, ("sh", str(_SCRIPTS / f"{name}.sh")), environment, output=True, timeout_s=600)
        for name in (*_NEEDS, "pip")
    ]
    numpy = "numpy._core.tests" if int(_numpy_version().split(".")[0]) >= 2 else "numpy.core.tests"
    command = (
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        f"--junitxml={_CASES}",
        "--pyargs",
    )
    rows.append(
        Trial(
            "programs",
            "numpy",
            (*command, *(f"{numpy}.{name}" for name in _NUMPY)),
            {"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0"},
            cases=True,
            timeout_s=1800,
        )
    )
    return rows


def _numpy_version() -> str:
    from importlib.metadata import version

    return version("numpy")


def _download(wheels: Path) -> None:
    temporary = wheels.with_name(f".wheels-{os.getpid()}")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run(
        [*command, "--only-binary", ":all:", "-d", str(temporary), "pytest", "rich"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        shutil.rmtree(temporary, ignore_errors=True)
        raise HakmemError(
            f"programs: pip download: {(done.stderr.strip().splitlines() or ['no output'])[-1]}"
        )
    temporary.rename(wheels)


_PREPARE = {"glibc": glibc_suite, "cpython": cpython_suite, "programs": programs_suite}


# ----------------------------------------------------------------------------------------------------
# Running


def compile_witness(scratch: Path) -> Path:
    """The library that writes down who serves each process."""
    library = scratch / "libwitness.so"
    temporary = scratch / f".witness-{os.getpid()}.so"
    command = ["gcc", "-std=gnu11", "-O2", "-shared", "-fPIC", "-o", str(temporary), str(_WITNESS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise HakmemError(f"{_WITNESS.name}: {(done.stderr.strip().splitlines() or ['gcc failed'])[0]}")
    temporary.rename(library)
    return library


def run(test: Trial, library: Path | None, witness: Path, folder: Path) -> Run:
    """Run a test once, in ``folder`` (emptied first), on a malloc library (None: stock)."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "work" / "tmp").mkdir(parents=True)
    work, seen = folder / "work", folder / "served"
    variables = {name: value for name, value in os.environ.items() if name not in _DROPPED}
    variables |= {"LC_ALL": "C.UTF-8", "HOME": str(work), "TMPDIR": str(work / "tmp")}
    variables |= {**test.environment, **(test.stock if library is None else {})}
    preloaded = [str(library)] if library else variables.get("LD_PRELOAD", "").split()
    variables |= {"LD_PRELOAD": ":".join([*preloaded, str(witness)]), "HAKMEM_WITNESS": str(seen)}
    start = time.monotonic()
    with (folder / "output").open("wb") as out, (folder / "complaints").open("wb") as complaints:
        code = process_group.run(
            test.command, test.timeout_s, cwd=work, env=variables, stdout=out, stderr=complaints
        )
    return Run(
        code=code,
        seconds=round(time.monotonic() - start, 2),
        output=_text(folder / "output"),
        complaints=_text(folder / "complaints"),
        served=tuple(sorted(set(_text(seen).splitlines()))),
        cases=read_cases(work / _CASES) if test.cases else {},
    )


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def read_cases(path: Path) -> dict[str, bool]:
    """Trial cases of a JUnit file and whether each one went well; a case that was left out went well."""
    if not path.is_file():
        return {}
    cases: dict[str, bool] = {}
    for case in ElementTree.parse(path).iter("testcase"):
        name = f"{case.get('classname') or ''}.{case.get('name')}".lstrip(".")
        good = case.find("failure") is None and case.find("error") is None
        cases[name] = cases.get(name, True) and good
    return cases


def compare(
    tests: Iterable[Trial],
    variants_of: Mapping[str, Sequence[Built]],
    run_one: Callable[[Trial, Path | None], Run],
    keep: Callable[[Trial, str, Run], Path],
    done: Callable[[Cell], None],
) -> None:
    """Run each test on stock, then on the variants of its suite; every cell is handed over at once."""
    for test in tests:
        control = run_one(test, None)
        reason, note = judge_stock(test, control)
        log = keep(test, STOCK, control)
        done(Cell(test.suite, test.name, STOCK, reason, note, control.seconds, str(log)))
        for built in variants_of[test.suite]:
            found = run_one(test, built.library)
            reason, note = judge(test, found, control, f"{built.name} {built.digest}")
            log = keep(test, built.name, found)
            done(Cell(test.suite, test.name, built.name, reason, note, found.seconds, str(log)))


def keep_log(logs: Path, test: Trial, allocator: str, run: Run) -> Path:
    """Write a run's output and complaints down; the file's path."""
    path = logs / test.suite / test.name / f"{allocator}.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    end = ending(run, test.timeout_s) or "exit code 0"
    path.write_text(f"{end}\n--- output\n{run.output}\n--- complaints\n{run.complaints}", encoding="utf-8")
    return path


# ----------------------------------------------------------------------------------------------------
# The table


def table(cells: Iterable[Cell]) -> Table:
    """Suite, test, stock and every variant; what did not run is empty."""
    by_row: dict[tuple[str, str], dict[str, Cell]] = {}
    for cell in cells:
        by_row.setdefault((cell.suite, cell.test), {})[cell.allocator] = cell
    names = list(dict.fromkeys(name for row in by_row.values() for name in row if name != STOCK))
    made = Table("suite", "test", STOCK, *names, box=None, header_style="bold")
    for (suite, test), row in by_row.items():
        made.add_row(suite, test, *(_word(row.get(name)) for name in (STOCK, *names)))
    return made


def _word(cell: Cell | None) -> str:
    if cell is None:
        return ""
    return f"[green]passed[/] {rich.markup.escape(cell.note)}".rstrip() if cell.passed else "[red]failed[/]"


def failures(cells: Iterable[Cell]) -> list[str]:
    """One line for every red cell, with its reason and where its log is."""
    return [
        f"{cell.suite} {cell.test} on {cell.allocator}: {cell.reason[:_SHOWN]} ({cell.log})"
        for cell in cells
        if not cell.passed
    ]


def chosen_variants(suite: str, named: Sequence[str]) -> list[str]:
    """Names of a suite's variants: those named, else every one with a malloc library (glibc), or a few."""
    kept = builds.variant_names()
    for name in named:
        if name not in kept:
            raise UnknownNameError("variant", name, kept)
        if not builds.variant(name).interposable:
            raise HakmemError(f"--variant: expected a variant with a malloc library, got {name!r}")
    if named:
        return list(dict.fromkeys(named))
    if suite == "glibc":
        return [item.name for item in builds.kept_variants() if item.interposable]
    return [name for name in PROGRAM_VARIANTS if name in kept]


def _build(names: Sequence[str], say: Say) -> dict[str, Built]:
    say(f"building {len(names)} variants")
    return {item.name: item for item in builds.build_or_raise(names)}


def _arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m hakmem.conformance", description=main.__doc__)
    parser.add_argument("--suite", action="append", choices=SUITES, help="this suite only (repeatable)")
    parser.add_argument("--variant", action="append", metavar="NAME", help="this variant only (repeatable)")
    parser.add_argument("--test", action="append", metavar="NAME", help="this test only (repeatable)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run other people's suites on stock malloc and on variants; exit 1 when anything is red."""
    options = _arguments(arguments)
    say = functools.partial(print, file=sys.stderr, flush=True)
    cells: list[Cell] = []
    try:
        interrupted = not _run_all(options, say, cells)
    except HakmemError as error:
        sys.stderr.write("error: " + " ".join(str(error).split()) + "\n")
        return _USAGE
    if options.json:
        sys.stdout.write(
            json.dumps([{**asdict(cell), "passed": cell.passed} for cell in cells], indent=1) + "\n"
        )
    else:
        console = Console(soft_wrap=not sys.stdout.isatty(), highlight=False)
        console.print(table(cells))
        for line in failures(cells):
            console.print(line, markup=False, soft_wrap=True)
        console.print(f"{sum(cell.passed for cell in cells)} passed, {len(failures(cells))} failed")
    if interrupted:
        return _INTERRUPTED
    return _FAILED if failures(cells) or not cells else 0


def _run_all(options: argparse.Namespace, say: Say, cells: list[Cell]) -> bool:
    """Prepare and run what is chosen; False when Ctrl-C ended it, with ``cells`` holding what ran."""
    suites = options.suite or SUITES
    names = {suite: chosen_variants(suite, options.variant or []) for suite in suites}
    scratch = builds.cache_root() / "conformance"
    scratch.mkdir(exist_ok=True)
    try:
        built = _build(list(dict.fromkeys(name for chosen in names.values() for name in chosen)), say)
        tests = [test for suite in suites for test in _PREPARE[suite](scratch, say)]
        for name in options.test or []:
            if name not in {test.name for test in tests}:
                raise UnknownNameError("test", name, [test.name for test in tests])
        tests = [test for test in tests if not options.test or test.name in options.test]
        total = sum(1 + len(names[test.suite]) for test in tests)

        def done(cell: Cell) -> None:
            cells.append(cell)
            word = "passed" if cell.passed else f"FAILED: {cell.reason[:_SHOWN]}"
            say(
                f"[{len(cells)}/{total}] {cell.suite} {cell.test} {cell.allocator}: {word} ({cell.seconds} s)"
            )

        witness = compile_witness(scratch)
        with tempfile.TemporaryDirectory(prefix="hakmem-", ignore_cleanup_errors=True) as folder:
            compare(
                tests,
                {suite: [built[name] for name in chosen] for suite, chosen in names.items()},
                lambda test, library: run(test, library, witness, Path(folder) / "run"),
                functools.partial(keep_log, scratch / "logs"),
                done,
            )
    except KeyboardInterrupt:
        say("interrupted: what ran is kept")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
