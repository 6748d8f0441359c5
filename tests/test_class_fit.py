"""Size classes fitted to a program: exact on small cases, what lives at the peak, and a set that works."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from hakmem import build, candidates, class_fit, load, spec
from hakmem.axes import class_count, largest_class
from hakmem.candidates import Habits
from hakmem.trace import FREE, MALLOC, REALLOC, Trace
from hakmem.trace_summary import summarise
from test_replay import drawn
from written_trace import Row, write


def brute(sizes: dict[int, int], classes: int, largest: int) -> int:
    """The least that any list of so many classes loses."""
    bounds = {-(-size // 16) * 16 for size in sizes} - {largest}
    count = min(classes - 1, len(bounds))
    lists = (tuple(sorted([*some, largest])) for some in itertools.combinations(bounds, count))
    return min(class_fit.lost_bytes(sizes, one) for one in lists)


@pytest.mark.parametrize("seed", range(8))
def test_the_list_loses_the_least_that_is_possible(seed: int) -> None:
    draw = random.Random(seed)
    sizes = {draw.randrange(1, 1000): draw.randrange(1, 500) for _ in range(9)}
    for classes in (1, 2, 3, 5):
        found = class_fit.fit(dict(sizes), classes, 1024)
        assert found[-1] == 1024 and len(found) <= classes
        assert list(found) == sorted(set(found)) and all(size % 16 == 0 for size in found)
        assert class_fit.lost_bytes(sizes, found) == brute(sizes, classes, 1024)


def test_with_room_for_every_size_only_rounding_to_16_is_lost() -> None:
    sizes = {1: 5, 40: 2, 100: 7, 5000: 1, 40_000: 9}
    found = class_fit.fit(dict(sizes), 40)
    assert found == (16, 48, 112, 5008, 32768)
    assert class_fit.lost_bytes(sizes, found) == 5 * 15 + 2 * 8 + 7 * 12 + 8


def test_geometric4_is_the_maps_own() -> None:
    assert class_fit.geometric4(1024)[:12] == (16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256)
    assert len(class_fit.geometric4()) == class_count(build.variant("unified").policies["classes"])


def test_sizes_that_never_live_at_the_peak_count_a_little() -> None:
    found = class_fit.weighed({100: 50}, {100: 50, 20_000: 50})
    assert found == {100: 52.5, 20_000: 2.5}
    assert 20_000 <= class_fit.fit(found, 3)[1] < 20_016


def test_what_lives_at_an_event_is_found(tmp_path: Path) -> None:
    rows: list[Row] = [
        (MALLOC, 0, 0, 100, 0, 0),
        (MALLOC, 0, 0, 200, 0, 0),
        (FREE, 0, 0, 0, 2, 0),
        (REALLOC, 0, 0, 300, 1, 0),
        (MALLOC, 0, 0, 100, 0, 0),
        (FREE, 0, 0, 0, 0, 0),
        (FREE, 0, 0, 0, 2, 0),
    ]
    opened = Trace(write(tmp_path / "t", rows[:3], rows[3:]))
    found = [class_fit.live_sizes(opened, opened.processes[0], event) for event in range(7)]
    assert found[:3] == [{100: 1}, {100: 1, 200: 1}, {200: 1}]
    assert found[3:] == [{300: 1}, {100: 1, 300: 1}, {100: 1, 300: 1}, {100: 1}]


def test_the_live_bytes_at_the_peak_are_the_summarys(tmp_path: Path) -> None:
    rows = drawn(20_000, 2, seed=3)
    opened = Trace(write(tmp_path / "t", *(rows[at : at + 999] for at in range(0, len(rows), 999))))
    summary = summarise(opened, opened.processes[0])
    live = class_fit.live_sizes(opened, opened.processes[0], summary.peak_event)
    assert sum(size * count for size, count in live.items()) == summary.peak_bytes
    assert sum(live.values()) == summary.peak_blocks


def test_fitted_classes_are_a_choice_of_the_search_and_work() -> None:
    base = build.variant("unified")
    habits = Habits(1, False, 1000, (16, 48, 1008, 32768))
    number = candidates.numbers(base, habits)[0]
    assert number.key == "classes" and number.current == 0
    chosen = {"classes": number.values[1], "classes.largest": 65536, "front.refill": 16}
    item = candidates.with_numbers(base, chosen)
    assert item and item.policies["classes"].kind == "fitted"
    assert (class_count(item.policies["classes"]), largest_class(item.policies["classes"])) == (4, 32768)
    assert candidates.with_numbers(base, {"classes": number.values[0]}) is base
    changes = candidates.single_changes(item, habits.fitted)
    assert {one.value for one in changes if one.axis == "classes"} == {"geometric4", "linear16", "pow2"}
    assert spec.parse(spec.toml_text(item)).policies == item.policies
    engine = load(build.build_one(item))
    blocks = {size: engine.malloc(size) for size in (1, 17, 49, 1008, 1009, 32768, 32769)}
    assert [engine.usable_size(block) for block in blocks.values()][:6] == [16, 48, 1008, 1008, 32768, 32768]
    for block in blocks.values():
        engine.free(block)
