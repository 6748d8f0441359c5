"""The store: what is added is there, survives, can be queried and exported."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hakmem.errors import HakmemError
from hakmem.store import Failure, Store
from results import result


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "deep" / "results.sqlite") as opened:
        yield opened


def test_rows_come_back_as_they_went_in(store: Store) -> None:
    rows = [replace(result(), round=index, time=float(index)) for index in range(3)]
    for row in reversed(rows):
        store.add(row)
    assert store.results("r-1") == rows
    assert store.results("other") == [] and len(store.results()) == 3
    assert store.done("r-1") == {("libc", "lifo 16 B, 100 live", index) for index in range(3)}


def test_rows_survive_an_end_without_close(store: Store) -> None:
    store.add(result())
    with Store(store.path) as again:
        assert again.results() == [result()]


def test_the_same_cell_and_round_is_replaced(store: Store) -> None:
    store.add(result())
    store.add(replace(result(), ns_per_op=3.0))
    assert [row.ns_per_op for row in store.results()] == [3.0]


def test_a_run_is_found_again_by_its_key_unless_a_fresh_one_is_asked_for(store: Store) -> None:
    first = store.open_run("k", {})
    assert store.open_run("k", {}) == first
    second = store.open_run("k", {}, fresh=True)
    assert second != first and store.open_run("k", {}) == second
    assert store.open_run("other", {}) not in (first, second)


def test_counts_are_filled_in(store: Store) -> None:
    store.add(result())
    store.set_counts("r-1", "libc", "lifo 16 B, 100 live", instructions_per_op=177.0, counter="callgrind")
    store.set_counts("r-1", "libc", "lifo 16 B, 100 live", syscalls_in_loop=0)
    (row,) = store.results()
    assert (row.instructions_per_op, row.counter, row.syscalls_in_loop) == (177.0, "callgrind", 0)
    with pytest.raises(ValueError, match="no count is called ops"):
        store.set_counts("r-1", "libc", "l", ops=1)


def test_failures_are_kept_by_run(store: Store) -> None:
    failure = Failure("r-1", "bad", "lifo", 0, "ended by SIGSEGV", "last\nlines")
    store.add_failure(failure)
    assert store.failures("r-1") == [failure] and store.failures("r-2") == []


def test_query_reads_sql_and_names_a_fault(store: Store) -> None:
    store.add(result())
    assert store.query("SELECT variant, count(*) AS n FROM rows GROUP BY variant") == [
        {"variant": "libc", "n": 1}
    ]
    with pytest.raises(HakmemError, match="query: no such table: nosuch"):
        store.query("SELECT * FROM nosuch")


def test_exports_hold_every_row(store: Store, tmp_path: Path) -> None:
    store.add(result())
    store.add(replace(result(), round=1))
    assert store.export(tmp_path / "rows.csv", "r-1") == 2
    with (tmp_path / "rows.csv").open(newline="", encoding="utf-8") as file:
        assert [row["round"] for row in csv.DictReader(file)] == ["0", "1"]
    store.export(tmp_path / "rows.jsonl")
    lines = (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["params"] for line in lines] == [{"live": 100}] * 2


def test_export_names_a_bad_suffix_a_bad_folder_and_a_missing_package(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(HakmemError, match=r"ends in \.csv, \.jsonl, \.parquet, got 'rows\.txt'"):
        store.export(tmp_path / "rows.txt")
    with pytest.raises(HakmemError, match="No such file or directory"):
        store.export(tmp_path / "nowhere" / "rows.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(HakmemError, match="needs the package pyarrow"):
        store.export(tmp_path / "rows.parquet")


def test_a_store_from_before_the_means_opens_and_takes_new_rows(tmp_path: Path) -> None:
    path = tmp_path / "older"
    with Store(path) as store:
        store.add(result())
    older = sqlite3.connect(path)
    older.execute("ALTER TABLE rows DROP COLUMN mean_rss_kib")
    older.execute("PRAGMA user_version = 1")
    older.commit()
    older.close()
    with Store(path) as store:
        store.add(replace(result(), round=1, mean_rss_kib=700))
        assert [row.mean_rss_kib for row in store.results()] == [None, 700]
    with Store(path) as again:
        assert again.query("PRAGMA user_version") == [{"user_version": 2}]


def test_a_file_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("not a database, but long enough to be read as one" * 10, encoding="utf-8")
    with pytest.raises(HakmemError, match="expected a file of results"):
        Store(tmp_path / "text")
    newer = sqlite3.connect(tmp_path / "newer")
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(HakmemError, match="expected results of version 2, got version 99"):
        Store(tmp_path / "newer")
