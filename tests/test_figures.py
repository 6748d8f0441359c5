"""The README's table of rivals is what the kept figures give, and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hakmem import bench, figures, rivals, sources, stats
from hakmem.errors import HakmemError
from hakmem.store import Entrant
from results import result

README = sources.root() / "README.md"
KEPT = sources.root() / "docs" / "figures" / "rivals.json"


@pytest.fixture
def race() -> dict[str, Any]:
    """What a race of two variants against libc and a peer prints, of made-up times."""
    times = {"libc": 20.0, "je": 10.0, "fast": 8.0, "even": 10.0}
    rows = [
        replace(result(), variant=name, label=label, round=index, ns_per_op=ns * (index + 1))
        for name, ns in times.items()
        for label in ("r", "s")
        for index in range(3)
    ]
    compared = rivals.compare(stats.cells(rows), ["fast", "even"], ["libc", "je"], ["r", "s"])
    assert compared
    return {
        "suite": "rivals",
        "date": "2026-11-21",
        "machine": {**bench.machine(), "processor": "a processor x2", "commit": "0123456789abcdef"},
        "noise_floor": 0.0312,
        "failures": [{"variant": "sn", "label": "r", "reason": "ended by SIGSEGV"}],
        "entrants": [
            vars(Entrant("r-1", name, kind, None, "abcd", version, "{}"))
            for name, kind, version in (
                ("libc", "libc", "glibc 2.36"), ("libc#2", "libc", "glibc 2.36"), ("je", "peer", "5.3.0"),
                ("fast", "variant", None), ("even", "variant", None),
            )
        ],
        "against_rivals": compared.as_json(),
        "cells": [{"large": "part"}],
    }  # fmt: skip


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text(f"before\n{figures.BEGIN}\nold\n{figures.END}\nafter\n")
    return tmp_path


def test_a_race_is_kept_and_written_between_the_markers(race: dict[str, Any], checkout: Path) -> None:
    printed = checkout / "printed.json"
    printed.write_text(json.dumps(race))
    assert figures.cli_figures(printed, True, checkout) == 1, "a check says that the page is old"
    assert (checkout / "README.md").read_text().splitlines()[2] == "old", "and leaves it"
    assert figures.cli_figures(printed, False, checkout) == 0
    text = (checkout / "README.md").read_text()
    assert text.startswith(f"before\n{figures.BEGIN}\n") and text.endswith(f"{figures.END}\nafter\n")
    assert (
        "old" not in text
        and "2026-11-21" in text
        and "a processor x2" in text
        and "noise up to 3.1 %" in text
    )
    assert "| `fast` | abcd | 0.80 (0.80 to 0.80) | 0.80, r | 2 | 1.00 |" in text
    assert "| `je` | 5.3.0 | 1.00 (1.00 to 1.00) |" in text
    assert "| `libc` | glibc 2.36 | 2.00 (2.00 to 2.00) |" in text
    assert "`sn` left the race on r: ended by SIGSEGV." in text
    lines = [line for line in text.splitlines() if line.startswith("| ") and "allocator" not in line]
    assert len(lines) == 5 and [line.split("|")[3] for line in lines] == sorted(
        line.split("|")[3] for line in lines
    )
    kept = json.loads((checkout / "docs" / "figures" / "rivals.json").read_text())
    assert "cells" not in kept and "libc#2" not in kept["entrants"] and kept["rounds"] == 3
    assert kept["rows"][0]["time"]["fast"] == [0.8, 0.8, 0.8]
    assert figures.cli_figures(None, True, checkout) == 0, "what is kept gives the same page"
    (checkout / "README.md").write_text(text.replace("0.80 (0.80", "0.70 (0.70"))
    assert figures.cli_figures(None, True, checkout) == 1, "a figure typed by hand is found"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (
            {"suite": "quick"},
            "what `hakmem bench --suite rivals --json` prints.* got a suite of 'quick'",
        ),
        ({"against_rivals": None}, "with a finished round"),
    ],
)
def test_what_is_no_finished_race_of_the_suite_is_refused(
    change: dict[str, Any], complaint: str, race: dict[str, Any], checkout: Path
) -> None:
    printed = checkout / "printed.json"
    printed.write_text(json.dumps(race | change))
    with pytest.raises(HakmemError, match=complaint):
        figures.cli_figures(printed, False, checkout)


def test_files_that_are_wrong_are_one_line(race: dict[str, Any], checkout: Path) -> None:
    with pytest.raises(HakmemError, match=r"rivals\.json: cannot be read: No such file"):
        figures.cli_figures(None, False, checkout)
    printed = checkout / "printed.json"
    for text, complaint in (("{", "expected JSON"), ("[]", "expected a JSON object")):
        printed.write_text(text)
        with pytest.raises(HakmemError, match=complaint):
            figures.cli_figures(printed, False, checkout)
    printed.write_text(json.dumps(race))
    for text in ("none", f"{figures.END} {figures.BEGIN}", f"{figures.BEGIN * 2}{figures.END}"):
        (checkout / "README.md").write_text(text)
        with pytest.raises(HakmemError, match="once each, in this order"):
            figures.cli_figures(printed, False, checkout)


def test_the_readme_has_the_table_of_the_kept_figures() -> None:
    text = README.read_text(encoding="utf-8")
    between = text.partition(figures.BEGIN)[2].partition(figures.END)[0]
    if KEPT.is_file():
        assert figures.cli_figures(None, True) == 0
    else:
        assert between == "\n", "there are markers, and no figure without its origin"
