"""Rows of measurements in one SQLite file, from which they can be queried and exported.

One writer per run; a row is on disk as soon as `add` returns, so an interrupted run loses nothing.
"""

from __future__ import annotations

import csv
import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from .errors import HakmemError


@dataclass(frozen=True)
class Result:
    """One process: who was measured, where, on what, and what came out.

    Times are ns, memory is KiB. ``params`` and ``histogram`` (bytes, upper bound, to requests) are JSON.
    ``instructions_per_op`` and ``syscalls_in_loop`` come from runs of their own and are None where nobody
    counted; ``counter`` says what counted the instructions. ``served_share`` is the share of sampled blocks
    that the contestant said were its own. ``mean_rss_kib`` is over a replay's calls, None of what else ran.
    """

    run: str
    time: float
    variant: str
    kind: str
    digest: str | None
    policy_set: str | None
    commit: str
    compiler: str
    flags: str
    cpu: str
    label: str
    workload: str
    params: str
    histogram: str
    seed: int
    threads: int
    shape: str
    round: int
    ops: int
    ns_per_op: float
    startup_ns: int
    spawn_ns: float | None
    instructions_per_op: float | None
    counter: str | None
    minor_faults: int
    major_faults: int
    syscalls_in_loop: int | None
    peak_rss_kib: int
    rss_end_kib: int
    harness_kib: int
    served_share: float
    mean_rss_kib: int | None = None


@dataclass(frozen=True)
class Failure:
    """A contestant that crashed, hung or answered nonsense: the reason on one line and its last lines."""

    run: str
    variant: str
    label: str
    round: int
    reason: str
    log: str


@dataclass(frozen=True)
class Entrant:
    """Who took part in a run: what answered malloc under this name.

    ``library`` is the preloaded file (None: the C library's malloc or the null allocator), ``hash`` a
    variant's digest or the file's hash, ``version`` what a peer says of itself; ``environment`` is JSON.
    """

    run: str
    variant: str
    kind: str
    library: str | None
    hash: str | None
    version: str | None
    environment: str


_TYPES = {
    "str": "TEXT NOT NULL",
    "str | None": "TEXT",
    "int": "INTEGER NOT NULL",
    "int | None": "INTEGER",
    "float": "REAL NOT NULL",
    "float | None": "REAL",
}
_VERSION = 2
_BEFORE_MEANS = 1
_COLUMNS = [field.name for field in fields(Result)]


def _table(name: str, record: type, key: str) -> str:
    columns = ", ".join(f'"{field.name}" {_TYPES[str(field.type)]}' for field in fields(record))
    return f"CREATE TABLE IF NOT EXISTS {name} ({columns}, PRIMARY KEY ({key})) WITHOUT ROWID"


class Store:
    """The file of results. Use as a context manager, or `close` it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(path, timeout=60)
            self._db.row_factory = sqlite3.Row
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, _BEFORE_MEANS, _VERSION):
                raise HakmemError(f"{path}: expected results of version {_VERSION}, got version {version}")
            with self._db:
                self._db.execute(
                    "CREATE TABLE IF NOT EXISTS runs "
                    "(id TEXT PRIMARY KEY, key TEXT NOT NULL, started REAL NOT NULL, plan TEXT NOT NULL)"
                )
                self._db.execute(_table("rows", Result, "run, variant, label, round"))
                self._add_means()
                self._db.execute(_table("failures", Failure, "run, variant"))
                self._db.execute(_table("entrants", Entrant, "run, variant"))
                self._db.execute(f"PRAGMA user_version = {_VERSION}")
        except (OSError, sqlite3.Error) as error:
            raise HakmemError(
                f"{path}: expected a file of results that can be written, got: {error}"
            ) from error

    def _add_means(self) -> None:
        """Give the rows of an older file the column that they lack; another process may be about it too."""
        self._db.execute("BEGIN IMMEDIATE")
        if "mean_rss_kib" not in {row["name"] for row in self._db.execute("PRAGMA table_info(rows)")}:
            self._db.execute("ALTER TABLE rows ADD COLUMN mean_rss_kib INTEGER")

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; every row is already in it."""
        self._db.close()

    def open_run(self, key: str, plan: dict[str, Any], fresh: bool = False) -> str:
        """The id of the newest run with this key, or of a new one; ``fresh`` always starts a new one."""
        with self._db:
            if not fresh:
                found = self._db.execute(
                    "SELECT id FROM runs WHERE key = ? ORDER BY started DESC, id DESC LIMIT 1", (key,)
                ).fetchone()
                if found:
                    return str(found["id"])
            count = self._db.execute("SELECT count(*) FROM runs WHERE key = ?", (key,)).fetchone()[0]
            run = f"{key}-{count + 1}"
            self._db.execute(
                "INSERT INTO runs VALUES (?, ?, ?, ?)", (run, key, time.time(), json.dumps(plan))
            )
            return run

    def add(self, result: Result) -> None:
        """Keep one row; a row of the same run, variant, label and round is replaced."""
        self._insert("rows", asdict(result))

    def add_failure(self, failure: Failure) -> None:
        """Keep why a contestant left the run."""
        self._insert("failures", asdict(failure))

    def add_entrant(self, entrant: Entrant) -> None:
        """Keep who takes part in a run."""
        self._insert("entrants", asdict(entrant))

    def _insert(self, table: str, record: dict[str, Any]) -> None:
        marks = ", ".join("?" * len(record))
        try:
            with self._db:
                self._db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", list(record.values()))
        except sqlite3.Error as error:
            raise HakmemError(f"{self.path}: a row could not be written: {error}") from error

    def set_counts(self, run: str, variant: str, label: str, **counts: float | str) -> None:
        """Fill in what was counted apart in a cell's rows: instructions_per_op, counter, syscalls_in_loop."""
        for name in counts:
            if name not in ("instructions_per_op", "counter", "syscalls_in_loop"):
                raise ValueError(f"no count is called {name}")
        names = ", ".join(f"{name} = ?" for name in counts)
        with self._db:
            self._db.execute(
                f"UPDATE rows SET {names} WHERE run = ? AND variant = ? AND label = ?",
                [*counts.values(), run, variant, label],
            )

    def done(self, run: str) -> set[tuple[str, str, int]]:
        """What a run has: (variant, label, round)."""
        rows = self._db.execute("SELECT variant, label, round FROM rows WHERE run = ?", (run,))
        return {(row["variant"], row["label"], row["round"]) for row in rows}

    def failures(self, run: str) -> list[Failure]:
        """Contestants that left a run, by name."""
        rows = self._db.execute("SELECT * FROM failures WHERE run = ? ORDER BY variant", (run,))
        return [Failure(**dict(row)) for row in rows]

    def entrants(self, run: str) -> list[Entrant]:
        """Who took part in a run, by name."""
        rows = self._db.execute("SELECT * FROM entrants WHERE run = ? ORDER BY variant", (run,))
        return [Entrant(**dict(row)) for row in rows]

    def results(self, run: str | None = None, variant: str | None = None) -> list[Result]:
        """Rows of one run (default: of all), in the order of measuring."""
        return list(self._results(run, variant))

    def _results(self, run: str | None, variant: str | None = None) -> Iterator[Result]:
        where = [f"{name} = ?" for name, value in (("run", run), ("variant", variant)) if value is not None]
        values = [value for value in (run, variant) if value is not None]
        clause = f" WHERE {' AND '.join(where)}" if where else ""
        for row in self._db.execute(f"SELECT * FROM rows{clause} ORDER BY time, variant, label", values):
            yield Result(**dict(row))

    def query(self, sql: str, values: Sequence[object] = ()) -> list[dict[str, Any]]:
        """Rows of any SELECT over the tables runs, rows, entrants and failures."""
        try:
            return [dict(row) for row in self._db.execute(sql, list(values))]
        except sqlite3.Error as error:
            raise HakmemError(f"query: {error}") from error

    def export(self, path: Path, run: str | None = None) -> int:
        """Write rows to a .csv, .jsonl or .parquet file (by its suffix); returns how many."""
        writers = {".csv": _write_csv, ".jsonl": _write_jsonl, ".parquet": _write_parquet}
        if path.suffix not in writers:
            raise HakmemError(f"export: expected a file that ends in {', '.join(writers)}, got {path.name!r}")
        results = self.results(run)
        try:
            writers[path.suffix](path, results)
        except OSError as error:
            raise HakmemError(f"export: {path}: {error.strerror or error}") from error
        return len(results)


def _write_csv(path: Path, results: Iterable[Result]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(asdict(result) for result in results)


def _write_jsonl(path: Path, results: Iterable[Result]) -> None:
    with path.open("w", encoding="utf-8") as file:
        for result in results:
            record = asdict(result)
            record["params"] = json.loads(result.params)
            record["histogram"] = json.loads(result.histogram)
            file.write(json.dumps(record) + "\n")


def _write_parquet(path: Path, results: Iterable[Result]) -> None:
    try:
        arrow = import_module("pyarrow")
        parquet = import_module("pyarrow.parquet")
    except ImportError as error:
        raise HakmemError("export to .parquet needs the package pyarrow: pip install pyarrow") from error
    kinds = {"str": arrow.string(), "int": arrow.int64(), "float": arrow.float64()}
    schema = arrow.schema([(field.name, kinds[str(field.type).split()[0]]) for field in fields(Result)])
    parquet.write_table(arrow.Table.from_pylist([asdict(result) for result in results], schema=schema), path)
