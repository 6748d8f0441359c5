"""The page: self-contained, every picture and table filled, and nothing in it that a name could break."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hakmem import build as builds
from hakmem import check as checks
from hakmem import pick, report
from hakmem.build import Built
from hakmem.check import CheckResult
from hakmem.errors import HakmemError
from hakmem.outcome import Outcome
from hakmem.pick import Plan, Stage
from hakmem.stats import Ratio
from synthetic import SyntheticRacer


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    """A pick of four invented variants, one of which crashes."""
    plan = Plan(0, (Stage("heat", "default", 1, 10, 2),), Stage("final", "default", 3, 10, 1), 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builds, "build", lambda items, **_: {i.name: Built(i, "0" * 16, Path()) for i in items})
        patch.setattr(
            checks,
            "check",
            lambda built, *_: CheckResult(built.name, "0" * 16, True, 1, 0.0, "", "", ""),
        )
        racer = SyntheticRacer({"sll": 0.7, "sfc": 0.9, "unified": 0.6}, crashes={"direct": "heat"})
        return pick.pick(["direct", "sfc", "sll", "unified"], racer=racer, plan=plan)


@pytest.fixture(scope="module")
def page(outcome: Outcome) -> str:
    return report.page(outcome)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, _tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attributes if name in ("src", "href")]
        self.ids += [value or "" for name, value in attributes if name == "id"]


def figures(page: str) -> dict[str, Any]:
    found = re.search(r"^const figures = (.*);$", page, re.MULTILINE)
    assert found
    answer: dict[str, Any] = json.loads(found[1])
    return answer


def test_the_page_loads_nothing_from_elsewhere(page: str) -> None:
    links = _Links()
    links.feed(page)
    assert links.links == ["data:,"]
    ours = page.replace(page[page.index("<script>") : page.index("</script>")], "")
    assert "http" not in ours.replace("http-equiv", "")
    assert "@import" not in ours and "url(" not in ours


def test_every_picture_has_its_place_and_its_data(page: str) -> None:
    links = _Links()
    links.feed(page)
    drawn = figures(page)
    assert set(drawn) == {"ranking", "cells", "memory", "sizes"} <= set(links.ids)
    for figure in drawn.values():
        assert figure["data"] and figure["layout"]["height"] > 100


def test_the_ranking_shows_the_pick_its_interval_and_the_noise_floor(page: str, outcome: Outcome) -> None:
    figure = figures(page)["ranking"]
    first = figure["data"][0]
    assert (first["name"], first["y"]) == ("the pick", ["unified"])
    assert first["error_x"]["array"][0] > 0 and first["error_x"]["arrayminus"][0] > 0
    assert figure["layout"]["shapes"][0]["x1"] == pytest.approx(1 + outcome.noise_floor)


def test_the_heat_map_has_every_row_and_every_variant_that_ran(page: str, outcome: Outcome) -> None:
    data = figures(page)["cells"]["data"][0]
    assert data["y"] == [row.label for row in outcome.rows]
    assert data["x"] == ["unified", "sll", "sfc"]
    assert [len(line) for line in data["z"]] == [3] * len(outcome.rows)
    by_label = dict(zip(data["y"], data["z"], strict=True))
    assert by_label["cpython"][2] is not None, "the programs run in the last heat too"


def test_the_sizes_add_up_to_everything(page: str, outcome: Outcome) -> None:
    data = figures(page)["sizes"]["data"][0]
    assert set(data["y"]) == {row.label for row in outcome.rows if row.kind == "workload"}
    assert data["x"] == ["16 B", "256 B", "1 KiB"]
    for line in data["z"]:
        assert sum(share or 0 for share in line) == pytest.approx(100)


@pytest.mark.parametrize("theme", ["prefers-color-scheme: dark", "width=device-width"])
def test_the_page_is_made_for_dark_screens_and_small_ones(page: str, theme: str) -> None:
    assert theme in page


def test_verdict_gates_plan_machine_and_policy_sets_are_in_the_text(page: str, outcome: Outcome) -> None:
    text = page[: page.index("<script>")]
    for expected in (
        "<h1>unified is the fastest policy set here",
        "heat: app: ended by SIGSEGV",
        "noise floor",
        "-O2 -fno-plt",
        outcome.plan[0],
        outcome.gates[0],
        "&quot;kind&quot;: &quot;unified&quot;",
        "libc less null",
    ):
        assert expected in text, expected


def test_peers_are_in_every_picture_and_table_for_reference(outcome: Outcome) -> None:
    score = Ratio(0.75, 0.7, 0.8)
    with_peer = dataclasses.replace(
        outcome,
        reference={"mi": score, "libc#2": Ratio(1.0, 0.9, 1.1)},
        peer_failures={"bad": "final: app: ended by SIGSEGV"},
        rows=tuple(
            dataclasses.replace(row, cells={**row.cells, "mi": row.cells["unified"]}) for row in outcome.rows
        ),
    )
    page = report.page(with_peer)
    drawn = figures(page)
    assert drawn["cells"]["data"][0]["x"] == ["unified", "sll", "sfc", "mi"]
    for name in ("ranking", "memory"):
        (points,) = [data for data in drawn[name]["data"] if data["name"] == "peers"]
        assert 0.75 in (points["x"][0], points["y"][0])
    text = page[: page.index("<script>")]
    assert "<code>mi</code>" in text and "final: app: ended by SIGSEGV" in text
    shown = io.StringIO()
    report.print_outcome(Console(width=80, file=shown), with_peer)
    assert re.search(r"^ ?mi +peer +0\.750 \(0\.700 to 0\.800\) +\d", shown.getvalue(), re.MULTILINE)


def test_text_from_outside_cannot_break_the_page(outcome: Outcome) -> None:
    hostile = dataclasses.replace(
        outcome,
        verdict="<img src=x>",
        variants=tuple(dataclasses.replace(item, reason="</script><b>") for item in outcome.variants),
    )
    page = report.page(hostile)
    assert "<img src=x>" not in page
    assert page.count("</script>") == 2


def test_an_outcome_without_a_race_still_has_a_page(outcome: Outcome) -> None:
    empty = dataclasses.replace(
        outcome, winner=None, fastest=None, tied=(), rows=(), variants=outcome.variants[:1], reference={}
    )
    assert report.page(empty).startswith("<!doctype html>")


def test_the_terminal_shows_the_ranking_and_the_verdict(outcome: Outcome) -> None:
    text = io.StringIO()
    report.print_outcome(Console(width=80, file=text), outcome)
    lines = text.getvalue().splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == [
        "variant", "how far", "time to libc's", "cpython", "sqlite3", "memory", "remark"
    ]  # fmt: skip
    assert lines[1].split()[0] == "unified" and "the pick" in lines[1]
    assert lines[-1].startswith("unified is the fastest policy set here")


def test_a_page_that_cannot_be_written_is_one_line(outcome: Outcome, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HakmemError, match="the page cannot be written"):
        report.write(outcome, tmp_path / "file" / "page.html")
