"""Against the best rival of each row: known numbers come out of made-up rows; tables and page show them."""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

import fake_peer
from hakmem import bench, peers, rivals, rivals_report, stats, workloads
from hakmem.errors import HakmemError
from hakmem.peers import Known
from hakmem.rivals import Comparison
from hakmem.store import Entrant, Failure, Result, Store
from hakmem.workloads import Row
from results import result


def cell(variant: str, label: str, values: list[float], peak: int = 1000) -> list[Result]:
    return [
        replace(
            result(),
            variant=variant,
            label=label,
            round=index,
            ns_per_op=value,
            peak_rss_kib=peak + 500,
            harness_kib=500,
        )
        for index, value in enumerate(values)
    ]


# Row r: je is best (10), row s: libc is best (20); "fast" is ahead on r only, "even" on s only.
ROWS = [
    *cell("libc", "r", [40.0, 80.0, 20.0]), *cell("libc", "s", [20.0, 40.0, 10.0]),
    *cell("je", "r", [10.0, 20.0, 5.0], 4000), *cell("je", "s", [40.0, 80.0, 20.0], 4000),
    *cell("fast", "r", [5.0, 10.0, 2.5], 2000), *cell("fast", "s", [40.0, 80.0, 20.0], 2000),
    *cell("even", "r", [20.0, 40.0, 10.0]), *cell("even", "s", [10.0, 20.0, 5.0]),
    *cell("null", "r", [2.0, 4.0, 1.0]), *cell("null", "s", [2.0, 4.0, 1.0]),
]  # fmt: skip


def compared(rows: list[Result] = ROWS) -> Comparison:
    found = rivals.compare(stats.cells(rows), ["fast", "even"], ["libc", "je"], ["r", "s"])
    assert found
    return found


def test_each_row_is_compared_with_its_own_best_rival() -> None:
    rows = {row.label: row for row in compared().rows}
    assert (rows["r"].best, rows["s"].best) == ("je", "libc")
    times = {label: {name: one.time.value for name, one in row.cells.items()} for label, row in rows.items()}
    assert times["r"] == pytest.approx({"fast": 0.5, "even": 2.0, "libc": 4.0, "je": 1.0})
    assert times["s"] == pytest.approx({"fast": 2.0, "even": 0.5, "libc": 1.0, "je": 2.0})
    assert rows["r"].null_ns == 2.0 and rows["r"].cells["fast"].net_ns == 3.0
    assert rows["r"].cells["fast"].ns == 5.0
    memory = {name: one.memory for name, one in rows["r"].cells.items()}
    assert memory == {"fast": 2.0, "even": 1.0, "libc": 1.0, "je": 4.0}


def test_ratios_are_paired_within_rounds_so_a_slow_minute_does_not_widen_them() -> None:
    for row in compared().rows:
        for one in row.cells.values():
            assert one.time.low == pytest.approx(one.time.value) == pytest.approx(one.time.high)


def test_standings_are_geometric_means_with_the_worst_row_and_the_best_variant_per_row() -> None:
    found = {item.name: item for item in compared().standings}
    assert found["fast"].time.value == pytest.approx(1.0) == pytest.approx(found["even"].time.value)
    assert found["libc"].time.value == pytest.approx(2.0)
    assert found["je"].time.value == pytest.approx(2**0.5)
    assert found["fast"].worst_row == "s" and found["fast"].worst.value == pytest.approx(2.0)
    picked = found[rivals.PICKED]
    assert picked.time.value == pytest.approx(0.5) and picked.leads == 2
    assert picked.memory == pytest.approx(2**0.5)
    assert {name: item.leads for name, item in found.items() if name != rivals.PICKED} == {
        "fast": 1, "even": 1, "libc": 1, "je": 1
    }  # fmt: skip


def test_the_best_rival_is_one_and_the_intervals_of_others_hold_their_values() -> None:
    draws = {"a": [10, 14, 9, 12, 11], "b": [13, 10, 12, 13, 14], "v": [9, 15, 8, 13, 10]}
    rows = [one for name, values in draws.items() for one in cell(name, "r", [float(x) for x in values])]
    found = rivals.compare(stats.cells(rows), ["v"], ["a", "b"], ["r"])
    assert found and found == rivals.compare(stats.cells(rows), ["v"], ["a", "b"], ["r"])
    (row,) = found.rows
    assert row.best == "a" and row.cells["a"].time == stats.Ratio(1.0, 1.0, 1.0)
    one = row.cells["v"].time
    assert one.value == pytest.approx(10 / 11) and one.low < one.value < 1 < one.high
    plain = stats.ratio(stats.cells(rows), "v", "a", "r")
    assert plain and vars(one) == pytest.approx(vars(plain))
    assert [item.name for item in found.standings] == ["v", "a", "b"], "one variant needs no best of them"


def test_the_best_rival_is_found_within_rounds_not_by_medians_of_drifting_times() -> None:
    # b is faster than a in every round but one; the machine was slow when b had its median round.
    rows = [
        *cell("a", "r", [10.0, 20.0, 30.0]),
        *cell("b", "r", [9.0, 28.0, 27.0]),
        *cell("v", "r", [1.0] * 3),
    ]
    found = rivals.compare(stats.cells(rows), ["v"], ["a", "b"], ["r"])
    assert found and found.rows[0].best == "b"


def test_only_rounds_that_every_cell_has_count() -> None:
    assert compared([one for one in ROWS if (one.variant, one.round) != ("even", 2)]).rounds == 2
    assert rivals.compare(stats.cells(ROWS), ["fast", "gone"], ["libc", "je"], ["r", "s"]) is None, (
        "a contestant without rows"
    )
    assert rivals.compare(stats.cells(ROWS), ["fast"], [], ["r"]) is None


def test_the_terminal_shows_time_less_null_ratio_memory_and_means() -> None:
    text = io.StringIO()
    rivals_report.print_comparison(Console(file=text, width=80), compared())
    shown = re.sub(" +", " ", text.getvalue())
    assert " null fast even libc je" in shown
    assert "r 2.00 5.00 (3.00) 20.0 (18.0) 40.0 (38.0) 10.0 (8.00)" in shown
    assert "r je 0.50 2.00 4.00 1.00" in shown
    assert "r 2.0 (2.00) 1.0 (1.00) 1.0 (1.00) 3.9 (4.00)" in shown, "the loop's arrays are taken off"
    assert "(rows: 2, rounds: 3)" in shown
    assert "best variant per row 0.500 0.50 on r 2 1.41" in shown


def test_the_page_has_both_heat_maps_and_says_who_took_part() -> None:
    who = Entrant("r-1", "je", "peer", "/lib/je.so", "abcd", "5.3.0", '{"MALLOC_CONF": "x:1"}')
    failure = Failure("r-1", "bad", "r", 0, "ended by <SIGSEGV>", "")
    gone = replace(who, variant="bad")
    page = rivals_report.page(compared(), [who, gone], [failure], {"processor": "a & b"})
    text = page[: page.index("<script>")]
    assert "<title>hakmem bench</title>" in text
    assert re.search("<h1>(fast|even) takes 1.00 of the time of each row&#x27;s best rival", text)
    for expected in ("5.3.0", "abcd", "/lib/je.so", "MALLOC_CONF", "a &amp; b", "ended by &lt;SIGSEGV&gt;"):
        assert expected in text, expected
    found = re.search(r"^const figures = (.*);$", page, re.MULTILINE)
    assert found
    figures = json.loads(found[1])
    assert set(figures) == {"time", "memory"} and all(f'id="{name}"' in text for name in figures)
    (data,) = figures["time"]["data"]
    assert data["x"] == ["fast", "even", "libc", "je"] and data["y"] == ["r", "s"]
    assert data["text"][0] == ["0.50", "2.00", "4.00", "1.00"]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    rows = [Row("pair", "pair_16", {"pairs": 1000}), Row("fixed", "fixed", {"size": 4321, "cycles": 1000})]
    monkeypatch.setitem(workloads.SUITES, "tiny", rows)
    monkeypatch.setattr(peers, "KNOWN", (Known("nosuch", "libnosuch.so.7", "libnosuch7"),))
    return "tiny"


def test_one_command_races_peers_and_writes_the_table_the_json_and_the_page(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "default_store", lambda: Store(tmp_path / "results.sqlite"))
    good = fake_peer.build(tmp_path / "libgood.so")
    bad = fake_peer.build(tmp_path / "libtrap.so", "trap")
    given = [f"good={good}", f"bad={bad}", "arena1=glibc,MALLOC_ARENA_MAX=1"]
    page = tmp_path / "page.html"
    options: dict[str, Any] = {"suite": tiny, "rounds": 2, "with_peers": True, "peers": given, "html": page}
    assert bench.cli_bench([], **options, as_json=True) == 1, "one peer crashed"
    told = capsys.readouterr()
    assert "peer nosuch is not on this machine: apt-get install libnosuch7" in told.err
    assert [line for line in told.err.splitlines() if line.startswith("error: ")] == [
        "error: bad failed on fixed: ended by SIGILL"
    ]
    answer = json.loads(told.out)
    against = answer["against_rivals"]
    assert against["rivals"] == ["libc", "good", "arena1"] and against["rounds"] == 2
    assert {row["label"] for row in against["rows"]} == {"pair", "fixed"}
    by_name = {entrant["variant"]: entrant for entrant in answer["entrants"]}
    assert by_name["good"]["version"] == "3.14.15" and by_name["good"]["library"] == str(good)
    assert "left on fixed: ended by SIGILL" in page.read_text(encoding="utf-8")
    assert bench.cli_bench([], **options) == 1
    assert "time to the row's best rival" in capsys.readouterr().out


def test_a_name_of_the_race_is_refused_before_anything_runs() -> None:
    for name in ("libc", "null", "unified"):
        with pytest.raises(HakmemError, match=f"got '{name}' for the second time"):
            bench.cli_bench(["unified"], peers=[f"{name}=glibc"])
