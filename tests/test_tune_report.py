"""The page of a tune: self-contained, every figure in it, and nothing that a name could break."""

from __future__ import annotations

import dataclasses
import html
import re
from pathlib import Path

import pytest

from hakmem import build, tune_report, verdict
from hakmem.search import Entry, Trial
from hakmem.stats import Ratio
from hakmem.tuned import PROGRAM, REPLAY, Curve, Part, Standing, TuneResult, from_dict
from test_replay import drawn
from test_report import _Links, figures
from test_verdict import decided, measured
from written_trace import write

FAST = Ratio(0.8, 0.78, 0.83)
HEAVY = Ratio(1.1, 1.09, 1.12)
LONG = Ratio(1.27, 1.26, 1.28)


def standing(name: str, by: str, kind: str = "variant") -> Standing:
    stock = name == "libc"
    found = None if stock else FAST
    return Standing(
        name,
        kind,
        f"set of {name}",
        by,
        10,
        1.25 + len(name) + 100 * (by == REPLAY),
        0.02,
        found,
        1.2,
        found,
        None if stock else HEAVY,
        5e4,
        mean_memory=None if stock or by == PROGRAM else LONG,
        mean_kib=None if by == PROGRAM else 4e4,
    )


@pytest.fixture
def result(tmp_path: Path) -> TuneResult:
    results = measured({"unified": 0.8, "mi": 0.95}, seed=1)
    found = decided(results, "unified")
    assert found.kind == verdict.WINNER
    return TuneResult(
        verdict=found,
        question="the program it",
        plan=("trace: 5 events", "rule: the fastest"),
        standings=(
            standing("unified", REPLAY),
            standing("unified", PROGRAM),
            standing("mi", PROGRAM, "peer"),
            standing("libc", PROGRAM, "libc"),
            standing("libc#2", PROGRAM, "libc"),
        ),
        entries=(
            Entry("sll", "its first 16th", 3, Ratio(0.9, 0.9, 0.9), HEAVY, "1.20 times the time of it"),
        ),
        trials=(
            Trial(
                "unified__abc",
                "unified",
                {"front.refill": 8, "front.capacity": [2, 2]},
                FAST,
                HEAVY,
                "",
                LONG,
            ),
            Trial("unified__def", "unified", {"front.refill": 4}, None, None, "behaviour suite: no"),
        ),
        parts=(Part("owner", "mask", "page_tag", Ratio(1.05, 1.02, 1.08), HEAVY),),
        parts_of="unified",
        curves=(Curve("libc", ((0.0, 10), (0.1, 2048))), Curve("unified", ((0.0, 20), (0.1, 4096)))),
        results=tuple(results),
        sets={"unified": build.variant("unified").policies.as_json(), "unified__abc": {"front": {}}},
        machine={"processor": "a processor x2"},
        trace=str(write(tmp_path / "t", drawn(500, 2, 1))),
        process=0,
        max_rss=1.5,
        started="2026-11-21 12:00 UTC",
        seconds=600.0,
        seed=42,
    )


def test_a_result_comes_back_from_json(result: TuneResult) -> None:
    again = from_dict(result.to_dict())
    assert again.to_dict() == result.to_dict()
    assert again.verdict == result.verdict and again.results == result.results
    assert again.curves == result.curves and again.curves[0].mean_kib == 1029
    assert [one.by for one in again.rows()] == [PROGRAM] * 4 + [REPLAY]
    assert again.winner == "unified"


def test_the_page_is_whole_and_loads_nothing(result: TuneResult) -> None:
    page = tune_report.page(result)
    links = _Links()
    links.feed(page)
    assert links.links == ["data:,"]
    shown = figures(page)
    assert set(shown) <= set(links.ids)
    assert {"pareto", "parts", "memory_time", "live", "sizes", "lifetimes"} <= set(shown)
    assert len(links.ids) == len(set(links.ids))
    assert f"<h1>{html.escape(result.verdict.sentence)}</h1>" in page
    for text in (
        "1.20 times the time of it",
        "behaviour suite: no",
        "front.capacity = [2, 2]",
        "a processor x2",
        "1.270 (1.260 to 1.280)",
        '<span title="1.270 (1.260 to 1.280)">1.27</span>',
    ):
        assert text in page, text
    assert page.count("<td") > 9 * len(result.results)


def test_the_picture_has_the_intervals_of_both_figures(result: TuneResult) -> None:
    groups = {one["name"]: one for one in figures(tune_report.page(result))["pareto"]["data"]}
    assert set(groups) == {"trials", "others", "libc again", "to take", "libc"}
    taken = groups["to take"]
    assert (taken["x"], taken["y"], taken["text"]) == ([1.1], [0.8], ["unified"])
    assert taken["error_y"]["array"] == [pytest.approx(0.03)]
    assert taken["error_x"]["arrayminus"] == [pytest.approx(0.01)]
    assert groups["trials"]["x"] == [1.1], "a trial that was not measured is no point"


def test_a_tune_without_parts_trials_or_its_trace_still_has_a_page(result: TuneResult) -> None:
    bare = dataclasses.replace(result, parts=(), trials=(), curves=(), trace="/no/such/file", standings=())
    page = tune_report.page(bare)
    assert set(figures(page)) == {"pareto"}
    assert "/no/such/file: cannot be read" in page
    assert set(figures(tune_report.page(dataclasses.replace(bare, trace=None)))) == {"pareto"}


def test_nothing_in_a_name_breaks_the_page(result: TuneResult) -> None:
    bad = '"><script>alert(1)</script>'
    hostile = dataclasses.replace(
        result,
        question=bad,
        plan=(bad,),
        parts_of=bad,
        entries=(Entry(bad, bad, 1, None, None, bad),),
        standings=tuple(dataclasses.replace(one, name=bad, what=bad) for one in result.standings),
        results=tuple(dataclasses.replace(one, label=bad, variant=bad) for one in result.results),
    )
    assert "<script>alert" not in tune_report.page(hostile)


def test_tables_can_be_sorted(result: TuneResult) -> None:
    page = tune_report.page(result)
    assert re.search(r'addEventListener\("click".*closest\("th"\)', page, re.DOTALL)
