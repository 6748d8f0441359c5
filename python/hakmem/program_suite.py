"""The suite `programs`: real programs of Debian and PyPI, end to end, under each contestant of a race.

Each runs in a fresh process, interleaved and resumed as `bench` does it. What is measured is the process that
does the work: cc1plus and not its driver, redis-server and not its client. It is looked at when it exits
(``_programs/look_at_exit.py``): peak RSS, the libraries that it has mapped, and libc's heap, which only
libc's own malloc uses. Output must be that of the first run under libc.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import bench, preload
from . import programs as real_programs
from .bench import Contestant
from .programs import NotServedError, ProgramError, ProgramRun
from .workloads import Row

NAME = "programs"
TIMEOUT_S = 300.0
_SCRIPTS = Path(__file__).resolve().parent / "_programs"
_LOOK = _SCRIPTS / "look_at_exit.py"
_KEPT_LINES = 5
_LOOK_AGAIN_S = 0.002
# Whoever is given a library must not use libc's malloc. Should it, its heap keeps all that it ever held.
_TELLTALE = {
    "GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1099511627776:glibc.malloc.mmap_threshold=33554432"
}
_TEMPLATES = 8
_DOCUMENTS = 4_000
_LOAD = (
    "-q", "-n", "60000", "-c", "20", "-P", "16", "-r", "20000", "-d", "200",
    "-t", "set,get,incr,lpush,rpop,sadd,hset,zadd,mset",
)  # fmt: skip


@dataclass(frozen=True)
class SuiteProgram:
    """A program of the suite.

    ``command`` is given the folder of inputs and gives the whole command, or None when the program is not on
    this machine; ``package`` then says what to install. ``feed`` names an input or script for its standard
    input. ``process`` says whose time and memory count. A ``server`` is run as `_Server` does.
    """

    name: str
    what: str
    package: str
    process: str
    command: Callable[[Path], tuple[str, ...] | None]
    feed: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    server: bool = False


@dataclass(frozen=True)
class ProgramRow(Row):
    """A program as a row of a bench; its parameter is a hash of what it is given."""

    program: SuiteProgram | None = None

    @property
    def has_seed(self) -> bool:
        """Nothing is drawn anew."""
        return False


def _on_path(name: str, *arguments: str) -> Callable[[Path], tuple[str, ...] | None]:
    def command(_folder: Path) -> tuple[str, ...] | None:
        path = shutil.which(name)
        return (os.path.realpath(path), *arguments) if path else None

    return command


def _cc1plus(folder: Path) -> tuple[str, ...] | None:
    path = _answer("g++", "-print-prog-name=cc1plus")
    if not Path(path).is_absolute() or not os.access(path, os.X_OK):
        return None
    return (path, "-quiet", "-fpreprocessed", str(folder / "templates.ii"), "-std=c++20", "-O1", "-o", "-")


def _answer(*command: str) -> str:
    if shutil.which(command[0]) is None:
        return ""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else ""


def _numpy(_folder: Path) -> tuple[str, ...]:
    # as it is called and not as it resolves: numpy is its environment's
    return (sys.executable, "-s", "-B", str(_SCRIPTS / "arrays.py"))


def _jq(folder: Path) -> tuple[str, ...] | None:
    path = shutil.which("jq")
    return (
        (os.path.realpath(path), "-c", "-f", str(_SCRIPTS / "orders.jq"), str(folder / "orders.json"))
        if path
        else None
    )


def _redis(_folder: Path) -> tuple[str, ...] | None:
    path = shutil.which("redis-server")
    if path is None or shutil.which("redis-benchmark") is None or shutil.which("redis-cli") is None:
        return None
    return (path, "--port", "0", "--unixsocket", "s", "--save", "", "--loglevel", "warning")


def every_program() -> list[SuiteProgram]:
    """The programs of the suite, whether they are on this machine or not."""
    cpython = real_programs.cpython()
    return [
        SuiteProgram(
            "cpython",
            cpython.what,
            "python3",
            "the interpreter",
            lambda _folder: (*cpython.command, str(cpython.script)),
            environment=cpython.environment,
        ),
        SuiteProgram(
            "numpy",
            "NumPy: temporaries, sorts and joins of arrays, ragged rows, strings",
            "python3-numpy",
            "the interpreter",
            _numpy,
            environment={"PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
        ),
        SuiteProgram(
            "sqlite3",
            "sqlite3 building and querying a database in memory",
            "sqlite3",
            "the shell",
            _on_path("sqlite3", "-batch", "-init", "/dev/null", ":memory:"),
            feed="orders.sql",
        ),
        SuiteProgram(
            "cc1plus",
            f"g++'s compiler proper on {_TEMPLATES} templates over the standard library, to assembly",
            "g++",
            "cc1plus, called without its driver",
            _cc1plus,
        ),
        SuiteProgram(
            "redis",
            "redis-server under redis-benchmark's set, get, incr, lists, sets, hashes; 540,000 requests",
            "redis-server",
            "redis-server; time is that of the load, from a client on libc",
            _redis,
            server=True,
        ),
        SuiteProgram(
            "perl", "Perl building and querying nested hashes", "perl", "the interpreter",
            _on_path("perl", str(_SCRIPTS / "orders.pl")),
            environment={"PERL_HASH_SEED": "0"},
        ),
        SuiteProgram(
            "gawk", "gawk splitting, counting and joining words", "gawk", "the interpreter",
            _on_path("gawk", "-f", str(_SCRIPTS / "words.awk")),
        ),
        SuiteProgram(
            "jq", f"jq grouping and transforming {_DOCUMENTS:,} documents", "jq", "jq", _jq
        ),
    ]  # fmt: skip


# ----------------------------------------------------------------------------------------------------
# Inputs


def make_inputs(folder: Path) -> None:
    """Write what the programs read: documents as JSON, and a preprocessed C++ file where there is a g++."""
    draw = random.Random(42)
    documents = [
        {
            "id": index,
            "customer": {"name": f"customer {draw.randrange(900)}", "city": f"city {draw.randrange(70)}"},
            "lines": [
                {
                    "article": f"article {draw.randrange(5000)}",
                    "count": draw.randrange(1, 20),
                    "price": draw.randrange(100, 100000) / 100,
                    "tags": [f"tag{draw.randrange(60)}" for _ in range(draw.randrange(5))],
                }
                for _ in range(draw.randrange(1, 9))
            ],
            "note": " ".join(f"word{draw.randrange(3000)}" for _ in range(draw.randrange(3, 40))),
        }
        for index in range(_DOCUMENTS)
    ]
    (folder / "orders.json").write_text(json.dumps(documents), encoding="utf-8")
    if shutil.which("g++"):
        source = folder / "templates.cpp"
        source.write_text(_templates(), encoding="utf-8")
        command = ["g++", "-std=c++20", "-E", "-P", str(source), "-o", str(folder / "templates.ii")]
        subprocess.run(command, check=True, capture_output=True, timeout=TIMEOUT_S)


def _templates() -> str:
    parts = "".join(
        f"template <int N> struct Part{n} {{\n"
        f"  std::map<std::string, std::vector<std::array<int, N + {n + 1}>>> kept;\n"
        "  int sum(std::string key) {\n"
        "    kept[key].push_back({});\n"
        "    int total = 0;\n"
        "    for (auto& [name, all] : kept)\n"
        "      for (auto& one : all)\n"
        "        total += std::accumulate(one.begin(), one.end(), N) + int(name.size());\n"
        "    return total;\n"
        "  }\n"
        "};\n"
        f"int part{n}(int i) {{ Part{n}<1> a; Part{n}<2> b; "
        'return a.sum(std::to_string(i)) + b.sum("b"); }\n'
        for n in range(_TEMPLATES)
    )
    names = ("array", "map", "numeric", "string", "vector")
    headers = "".join(f"#include <{name}>\n" for name in names)
    return headers + parts


# ----------------------------------------------------------------------------------------------------
# Running


@dataclass
class ProgramSuite:
    """The programs that are on this machine, with their inputs in ``folder``, and libc's output of each."""

    folder: Path
    programs: Sequence[SuiteProgram]
    outputs: dict[str, str] = field(default_factory=dict)

    def rows(self) -> list[ProgramRow]:
        """The programs as rows of a bench."""
        return [ProgramRow(one.name, NAME, {"input": self._input(one)}, one) for one in self.programs]

    def measure(self, who: Contestant, row: Row) -> Mapping[str, Any]:
        """One run of a program: the answer of a bench's row, proved to be served by the contestant."""
        assert isinstance(row, ProgramRow) and row.program
        try:
            if row.label not in self.outputs:
                self.outputs[row.label] = self.run(row.program, bench.libc()).output
            measured = self.run(row.program, who)
            real_programs.same_output(measured, self.outputs[row.label])
        except NotServedError as error:
            raise bench.ServedByError(who, row, "every block from it", error, "") from error
        except ProgramError as error:
            raise bench.RunnerError(who, row, str(error), "") from error
        return measured.answer(
            {
                "user_ms": round(1e3 * measured.user_s, 3),
                "system_ms": round(1e3 * measured.system_s, 3),
            }
        )

    def run(self, program: SuiteProgram, who: Contestant) -> ProgramRun:
        """Run a program once, pinned to the last processor; anything wrong is a `ProgramError`."""
        command = program.command(self.folder)
        if command is None:
            raise ProgramError(f"{program.name}: not on this machine: apt-get install {program.package}")
        with tempfile.TemporaryDirectory(prefix="hakmem-program-") as name:
            work = Path(name)
            launched = _Launched(program, command, self._script(program), who, work)
            load_s = _load(launched, work) if program.server else None
            measured = launched.finish(load_s)
        real_programs.prove(measured, who.preload)
        return measured

    def _script(self, program: SuiteProgram) -> Path | None:
        return _SCRIPTS / program.feed if program.feed else None

    def _input(self, program: SuiteProgram) -> int:
        """A hash of the command and of the files that it reads."""
        command = program.command(self.folder) or ()
        total = hashlib.sha256(repr(program.server and _LOAD).encode())
        script = self._script(program)
        for word in (*command, *([str(script)] if script else [])):
            path = Path(word)
            inside = path.is_relative_to(self.folder) or path.is_relative_to(_SCRIPTS)
            total.update(path.read_bytes() if inside and path.is_file() else word.encode())
        return int(total.hexdigest()[:12], 16)


class _Launched:
    """A program that runs under ``look_at_exit.py``, in a folder of its own."""

    def __init__(
        self,
        program: SuiteProgram,
        command: Sequence[str],
        script: Path | None,
        who: Contestant,
        folder: Path,
    ) -> None:
        self.program = program
        self._who = who
        self._folder = folder
        self._report = folder / "report.json"
        self.environment = {"PATH": os.defpath, "LC_ALL": "C", "HOME": str(folder), **program.environment}
        cpu = int(bench.pinning(1))
        before = os.sched_getaffinity(0)
        with (
            (script or Path(os.devnull)).open("rb") as feed,
            (folder / "out").open("wb") as out,
            (folder / "err").open("wb") as err,
        ):
            os.sched_setaffinity(0, {cpu})
            try:
                self.process = subprocess.Popen(
                    [
                        sys.executable,
                        "-I",
                        "-S",
                        str(_LOOK),
                        str(self._report),
                        str(who.preload or preload.LIBC),
                        *command,
                    ],
                    env={**self.environment, **(_TELLTALE if who.preload else {}), **who.env},
                    stdin=feed,
                    stdout=out,
                    stderr=err,
                    cwd=folder,
                )
            finally:
                os.sched_setaffinity(0, before)

    def finish(self, load_s: float | None) -> ProgramRun:
        """Wait for the end and read the report. ``load_s`` replaces the time from start to end."""
        try:
            self.process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired as error:
            self.stop()
            raise ProgramError(f"{self.program.name}: no end after {TIMEOUT_S:g} s") from error
        except BaseException:
            self.stop()
            raise
        if self.process.returncode != 0 or not self._report.is_file():
            raise ProgramError(f"{self.program.name}: could not be watched: {self._complaint()}")
        seen = json.loads(self._report.read_text(encoding="utf-8"))
        code = seen["code"]
        if code != 0:
            how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            raise ProgramError(f"{self.program.name}: {how} under {self._who.name}: {self._complaint()}")
        output = (self._folder / "out").read_bytes()
        return ProgramRun(
            program=self.program.name,
            wall_s=load_s if load_s is not None else seen["wall_s"],
            user_s=seen["user_s"],
            system_s=seen["system_s"],
            peak_rss_kib=seen["peak_rss_kib"],
            output="" if self.program.server else output.decode(errors="replace"),
            mapped=tuple(seen["mapped"]),
            libc_heap_kib=seen["libc_heap_kib"],
            minor_faults=seen["minor_faults"],
            major_faults=seen["major_faults"],
        )

    def stop(self) -> None:
        """End it; what it started ends with it."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _complaint(self) -> str:
        lines = (self._folder / "err").read_text(encoding="utf-8", errors="replace").splitlines()
        lines = lines or (self._folder / "out").read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines[-_KEPT_LINES:]) or "no output"


def _load(server: _Launched, folder: Path) -> float:
    """Seconds that a fixed load takes; the server is asked to end after it."""
    place = str(folder / "s")
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while not _answers(place):  # nothing tells when its socket is there: look again, unless it ends first
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.process.wait(_LOOK_AGAIN_S)
            if server.process.returncode is not None or time.monotonic() > deadline:
                return 0.0  # its end says why
        start = time.perf_counter()
        for command in (
            ["redis-benchmark", "-s", place, *_LOAD],
            ["redis-cli", "-s", place, "shutdown", "nosave"],
        ):
            done = subprocess.run(
                command,
                env=server.environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=TIMEOUT_S,
                stdin=subprocess.DEVNULL,
            )
            if done.returncode != 0:
                raise ProgramError(f"{server.program.name}: {command[0]} failed: {done.stderr.strip()}")
            if command[0] == "redis-benchmark":
                taken = time.perf_counter() - start
        return taken
    except BaseException:
        server.stop()
        raise


def _answers(place: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(place)
        except OSError:
            return False
        return True


def found(folder: Path, wanted: Sequence[SuiteProgram] | None = None) -> tuple[ProgramSuite, list[str]]:
    """The programs that are on this machine, inputs made, and one line for each that is not."""
    make_inputs(folder)
    here, missing = [], []
    for program in every_program() if wanted is None else wanted:
        if program.command(folder) is None:
            missing.append(f"{program.name}: not on this machine: apt-get install {program.package}")
        else:
            here.append(program)
    if not here:
        raise ProgramError("suite programs: expected at least one program on this machine, got none")
    return ProgramSuite(folder, here), missing
