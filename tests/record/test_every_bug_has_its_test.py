"""The record this project starts from lists 27 bugs; each is named by the test that would find it again."""

from __future__ import annotations

import re
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
CITED = re.compile(r"Record, bugs? ([\d, and]+):")


def test_every_bug_of_the_record_is_cited() -> None:
    found: set[int] = set()
    for path in TESTS.rglob("test_*.py"):
        for numbers in CITED.findall(path.read_text(encoding="utf-8")):
            found |= {int(number) for number in re.findall(r"\d+", numbers)}
    assert found == set(range(1, 28))
