"""What is asked of a tune, and what is remembered of it: races begun, time used, and the result.

A tune's folder lies in the cache under a hash of the question, the machine and the sources.
"""

from __future__ import annotations

import hashlib
import json
import platform
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import bench, prove
from . import build as builds
from . import workloads as workload_rows
from .bench import Contestant
from .build import Progress
from .errors import HakmemError, UnknownNameError
from .replay import content_hash
from .search import Course, Heat
from .store import Store
from .trace import Trace
from .tuned import TuneResult, from_dict
from .verdict import LIBC, LIBC_AGAIN
from .workloads import Row

SEED = 42
_ROW_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Question:
    """What is asked: exactly one of ``trace``, ``workload`` and ``command``, and the bounds.

    ``prove`` is the command that decides (a ``command`` proves itself); without one replay decides.
    ``variants`` and ``sweep`` narrow the policy sets. ``max_rss`` is the peak RSS allowed, times libc's;
    ``time_limit`` is in seconds.
    """

    trace: Path | None = None
    workload: str | None = None
    command: tuple[str, ...] | None = None
    prove: tuple[str, ...] | None = None
    process: int | None = None
    variants: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()
    max_rss: float = 1.5
    time_limit: float = 1200.0
    rounds: int = 10
    seed: int = SEED

    def check(self) -> None:
        """Refuse what cannot be asked, in one line, before anything runs."""
        if sum(one is not None for one in (self.trace, self.workload, self.command)) != 1:
            raise HakmemError("tune: expected one of TRACE, --workload and -- COMMAND")
        if self.command is not None:
            prove.check_command(self.command, "tune --")
        if self.prove is not None:
            prove.check_command(self.prove, "--prove")
        if self.workload is not None:
            rows_of(self.workload)
        if self.trace is not None:
            Trace(self.trace).chosen(self.process)

    def deciding(self) -> tuple[str, ...] | None:
        """The command that the verdict is found on, if any."""
        return self.prove or self.command

    def text(self) -> str:
        """The question in words."""
        if self.trace:
            return f"the trace {self.trace.name}"
        return f"the workload {self.workload}" if self.workload else f"the program {_joined(self.command)}"


def _joined(command: Sequence[str] | None) -> str:
    return " ".join(command or ())


def folder_of_tunes() -> Path:
    """Where tunes are remembered."""
    return builds.cache_root() / "tune"


def rows_of(name: str) -> list[Row]:
    """The rows of a suite, or the row of that label."""
    if name in workload_rows.SUITES:
        return workload_rows.suite(name)
    try:
        return [workload_rows.row(name)]
    except UnknownNameError:
        labels = [row.label for rows in workload_rows.SUITES.values() for row in rows]
        raise UnknownNameError("workload row or suite", name, [*workload_rows.SUITES, *labels]) from None


# ----------------------------------------------------------------------------------------------------
# What is remembered


@dataclass
class Journal:
    """A tune's folder in the cache: races begun, seconds used so far, and the result once there is one."""

    folder: Path
    opened: list[str] = field(default_factory=list)
    used_s: float = 0.0
    result: TuneResult | None = None
    _since: float = field(default_factory=time.monotonic)

    @classmethod
    def open(cls, question: Question, peers: Sequence[Contestant], again: bool) -> Journal:
        """The journal of the same question on the same machine and sources, or a new one."""
        tools = builds.toolchain()
        asked = {
            **vars(question),
            "trace": content_hash(question.trace) if question.trace else None,
            "peers": [[who.name, who.digest, str(who.preload), dict(who.env)] for who in peers],
            "of": [tools.sources, tools.compiler_id, tools.flags, bench.cpu_model(), platform.release()],
            "place": [str(Path.cwd()) if question.deciding() else "", platform.node()],
        }
        key = hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]
        folder = folder_of_tunes() / key
        path = folder / "journal.json"
        if again or not path.is_file():
            found = cls(folder)
            found.write()
            return found
        try:
            held = json.loads(path.read_text(encoding="utf-8"))
            result = from_dict(held["result"]) if held["result"] else None
            return cls(folder, held["opened"], held["used_s"], result)
        except (ValueError, KeyError, HakmemError):
            return cls(folder)

    def is_new(self, race: str) -> bool:
        """Whether this race has not begun before; from now on it has."""
        if race in self.opened:
            return False
        self.opened.append(race)
        self.write()
        return True

    def finish(self, result: TuneResult) -> None:
        """Keep the result, and drop the plans that were replayed."""
        self.result = result
        self.write()
        for path in self.folder.glob("*.plan"):
            path.unlink(missing_ok=True)

    def write(self) -> None:
        """Keep everything so far."""
        now = time.monotonic()
        self.used_s, self._since = self.used_s + now - self._since, now
        held = {
            "opened": self.opened,
            "used_s": self.used_s,
            "result": self.result.to_dict() if self.result else None,
        }
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = self.folder / "journal.json.new"
            temporary.write_text(json.dumps(held), encoding="utf-8")
            temporary.rename(self.folder / "journal.json")
        except OSError as error:
            raise HakmemError(f"{self.folder}: cannot be written: {error.strerror or error}") from error


class BenchRacer:
    """Races through `hakmem.bench`, every measurement kept in the store at once; see `search.Racer`."""

    def __init__(self, store: Store, journal: Journal, seed: int, say: Progress) -> None:
        self._store = store
        self._journal = journal
        self._seed = seed
        self._say = say

    def race(self, name: str, course: Course, rounds: int, contestants: Sequence[Contestant]) -> Heat:
        """Run the rows; each race has an order of its own."""
        run = bench.run(
            contestants,
            course.rows,
            rounds,
            zlib.crc32(f"{self._seed} {name}".encode()) >> 1,
            self._store,
            lambda done, total, text: self._say(done, total, f"{name}: {text}"),
            fresh=self._journal.is_new(name),
            min_ms=course.min_ms,
            timeout_s=_ROW_TIMEOUT_S,
        )
        failures = {one.variant: f"{one.label}: {one.reason}" for one in self._store.failures(run)}
        for one in (LIBC, LIBC_AGAIN):
            if one in failures:
                raise HakmemError(f"{one} could not be measured: {failures[one]}")
        return Heat(self._store.results(run), failures)
