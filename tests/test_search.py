"""The search over invented races: who is dropped and why, and numbers that Optuna finds."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import optuna
import pytest

from hakmem import build, candidates, search
from hakmem.bench import Contestant
from hakmem.build import Built
from hakmem.candidates import Habits
from hakmem.replay import ReplayRow
from hakmem.search import Course, Heat, Limits
from hakmem.spec import Variant
from hakmem.workloads import Row
from synthetic import BLANK

COURSES = [Course(name, (Row("it", "app"),)) for name in ("short", "half", "whole")]
REPLAY = Course("replay", (ReplayRow("it", "replay"),))
NEVER = 1e18


@dataclass
class Invented:
    """Races whose times are a function of the contestant's name; ``asked`` keeps who raced in each."""

    time: Callable[[str], float]
    memory: Callable[[str], float] = lambda _: 1.0
    crashes: tuple[str, ...] = ()
    noise: float = 0.01
    asked: dict[str, list[str]] = field(default_factory=dict)
    mean: Callable[[str], float] = lambda _: 1.0

    def race(self, name: str, course: Course, rounds: int, contestants: Sequence[Contestant]) -> Heat:
        self.asked[name] = [who.name for who in contestants]
        heat = Heat()
        for who in contestants:
            if who.name in self.crashes:
                heat.failures[who.name] = "it: ended by SIGSEGV"
                continue
            for index in range(rounds):
                draw = random.Random(f"{name}:{who.name}:{index}")
                own = 1.0 if who.name.startswith("libc") else self.time(who.name)
                heavy = 1.0 if who.name.startswith("libc") else self.memory(who.name)
                heat.results.append(
                    dataclasses.replace(
                        BLANK,
                        variant=who.name,
                        label=course.rows[0].label,
                        round=index,
                        ns_per_op=1e6 * own * draw.lognormvariate(0, self.noise),
                        peak_rss_kib=int(100_000 * heavy),
                        mean_rss_kib=self._mean(course, who.name),
                    )
                )
        return heat

    def _mean(self, course: Course, name: str) -> int | None:
        if not course.has_mean_rss:
            return None
        return int(80_000 * (1.0 if name.startswith("libc") else self.mean(name)))


def quiet(*_: object) -> None:
    pass


def named(*names: str) -> list[Contestant]:
    return [Contestant(name, None) for name in names]


def limits(max_rss: float = 1.5, ends: float = NEVER) -> Limits:
    return Limits(max_rss, ends, ends)


def test_the_slow_the_heavy_and_the_broken_are_dropped_with_their_reason() -> None:
    times = {"fast": 0.6, "near": 0.605, "slow": 0.9, "heavy": 0.5, "broken": 0.4}
    racer = Invented(times.__getitem__, lambda name: 3.0 if name == "heavy" else 1.0, ("broken",))
    alive, entries = search.halve(racer, COURSES, named(*times), limits(), quiet)
    assert alive == ["fast", "near"] or alive == ["near", "fast"]
    reason = {one.name: one.reason for one in entries}
    assert reason["broken"] == "it: ended by SIGSEGV"
    assert reason["heavy"].startswith("memory: it peaks at 293.0 MiB, libc at 97.7")
    assert " times the time of " in reason["slow"] and reason["fast"] == ""
    assert racer.asked["racing 0 0"] == ["libc", "libc#2", *times]
    assert set(racer.asked["racing 2 1"]) == {"libc", "libc#2", "fast", "near"}


def test_the_heavy_neither_lead_nor_crowd_out_those_within_the_budget() -> None:
    names = [f"heavy{index}" for index in range(9)]
    racer = Invented(
        lambda name: 0.5 if name.startswith("heavy") else 0.8,
        lambda name: 2.0 if name.startswith("heavy") else 1.0,
    )
    alive, entries = search.halve(racer, COURSES, named("light", *names), limits(), quiet)
    assert alive == ["light"]
    assert {one.reason.split(":")[0].split(" ")[0] for one in entries} == {"", "memory", "place"}


def test_policy_sets_are_measured_by_the_best_of_their_own_kind() -> None:
    racer = Invented({"unified": 0.8, "sll": 0.81, "mi": 0.4, "je": 0.7}.__getitem__)
    others = [dataclasses.replace(one, kind="peer") for one in named("mi", "je")]
    alive, entries = search.halve(racer, COURSES, [*named("unified", "sll"), *others], limits(), quiet)
    assert set(alive) == {"unified", "sll", "mi"}
    assert next(one.reason for one in entries if one.name == "je").startswith("1.7")


def test_of_many_that_cannot_be_told_apart_half_go_on_each_time() -> None:
    names = [f"v{index:02}" for index in range(32)]
    racer = Invented(lambda _: 0.8, noise=0.05)
    alive, entries = search.halve(racer, COURSES, named(*names), limits(), quiet)
    fields = [len(racer.asked[f"racing {number} 0"]) - 2 for number in range(3)]
    assert fields[0] == 32 and fields[1] <= 16 and fields[2] <= 8
    assert 1 <= len(alive) <= 8 and len(entries) == 32
    assert all(one.reason for one in entries if one.name not in alive)


def test_when_the_time_is_up_the_field_is_what_it_was() -> None:
    racer = Invented({"a": 0.5, "b": 0.9}.__getitem__)
    alive, entries = search.halve(racer, COURSES, named("a", "b"), limits(ends=0.0), quiet, lambda: 1.0)
    assert alive[0] == "a" and list(racer.asked) == ["racing 0 0"]
    assert {one.course for one in entries} == {"short"}


def gate(variants: Sequence[Variant]) -> tuple[dict[str, Built], dict[str, str]]:
    """Everything builds, but nothing with huge caches passes the suite."""
    problems = {item.name: "behaviour suite: no" for item in variants if _refill(item) == 64}
    passed = {
        item.name: Built(item, "0" * 16, Path("/none")) for item in variants if item.name not in problems
    }
    return passed, problems


def _refill(item: Variant) -> int:
    return item.policies["front"].integer("refill")


def searched(seed: int, course: Course = COURSES[-1]) -> tuple[list[search.Trial], Invented]:
    """Numbers whose optimum is refill = 8 for time, with memory that grows with the SuperSlab.

    Over time they hold the less the larger the refill.
    """
    base = build.variant("unified")
    built = Built(base, "0" * 16, Path("/none"))
    items = {base.name: base}

    def keep(variants: Sequence[Variant]) -> tuple[dict[str, Built], dict[str, str]]:
        items.update({item.name: item for item in variants})
        return gate(variants)

    def time(name: str) -> float:
        return 0.5 + 0.1 * abs(_refill(items[name]).bit_length() - 4)

    def memory(name: str) -> float:
        return 1.0 + items[name].policies["pages"].integer("superslab_kib") / 4096

    racer = Invented(time, memory, mean=lambda name: 1.0 + 1.0 / _refill(items[name]))
    habits = Habits(threads=1, cross_thread=False, largest=1000)
    trials, libraries = search.tune_numbers(
        racer, course, base, built, habits, keep, limits(), NEVER, seed, quiet
    )
    assert set(libraries) >= {one.name for one in trials if one.time}
    return trials, racer


def test_the_numbers_begin_with_the_sets_own_and_get_better() -> None:
    trials, racer = searched(seed=1)
    assert trials[0].name == "unified" and trials[0].numbers["front.refill"] == 32
    best = search.best_trials(trials, max_rss=1.5, count=3)
    chosen = {one.name: one for one in trials}
    assert chosen[best[0]].numbers["front.refill"] == 8
    assert all(who[0] == "libc" and 1 < len(who) <= 5 for who in racer.asked.values())
    assert all(one.memory.value <= 1.5 for name in best[:-1] if (one := chosen[name]).memory)


def test_memory_over_time_is_an_objective_of_its_own_where_it_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[list[float]] = []
    real = optuna.study.Study.tell

    def listen(self: optuna.study.Study, trial: Any, values: Any = None, **more: Any) -> Any:
        told.extend([values] if values else [])
        return real(self, trial, values, **more)

    monkeypatch.setattr(optuna.study.Study, "tell", listen)
    trials, _ = searched(seed=1, course=REPLAY)
    measured = [one for one in trials if one.time]
    assert len(told) == len(measured) > 8
    for one, values in zip(measured, told, strict=True):
        assert one.time and one.memory and one.mean_memory
        assert values == [one.time.value, one.memory.value, one.mean_memory.value]
        assert one.mean_memory.value == pytest.approx(1.0 + 1.0 / one.numbers["front.refill"], abs=1e-3)
    told.clear()
    trials, _ = searched(seed=1)
    assert {len(values) for values in told} == {2} and all(one.mean_memory is None for one in trials)


def test_a_trial_that_is_not_green_is_never_timed() -> None:
    trials, racer = searched(seed=2)
    refused = [one for one in trials if one.reason]
    assert refused and all(one.time is None for one in refused)
    raced = {name for who in racer.asked.values() for name in who}
    assert not raced & {one.name for one in refused if one.reason.startswith("behaviour suite")}


def test_the_same_seed_and_measurements_take_the_same_way() -> None:
    assert searched(seed=5)[0] == searched(seed=5)[0]
    assert [one.numbers for one in searched(seed=5)[0]] != [one.numbers for one in searched(seed=6)[0]]


def test_another_page_source_is_tried_with_the_sets_own_numbers() -> None:
    own, other = searched(seed=1)[0][:2]
    assert own.numbers["pages"]["kind"] == "mmap" and other.numbers["pages"]["kind"] == "mmap_thp"
    assert {key: value for key, value in own.numbers.items() if key != "pages"} == {
        key: value for key, value in other.numbers.items() if key != "pages"
    }


def test_a_page_source_that_changes_keeps_what_both_have() -> None:
    item = build.variant("unified_thp")
    habits = Habits(1, False, 1000)
    (pages,) = [one for one in candidates.numbers(item, habits) if one.key == "pages"]
    chosen = {"pages": pages.values[1], "pages.superslab_kib": 512, "pages.after_mib": 64}
    changed = candidates.with_numbers(item, chosen)
    assert changed and changed.policies["pages"].kind == "mmap"
    assert changed.policies["pages"].integer("superslab_kib") == 512


def test_one_thread_leaves_out_sets_that_differ_in_what_others_free() -> None:
    one = {item.name for item in candidates.default_sets(Habits(1, False, 1000))}
    many = {item.name for item in candidates.default_sets(Habits(4, True, 1000))}
    assert {"unified_home", "unified_locked"} <= many and not {"unified_home", "unified_locked"} & one
    assert "ultra_sll" in one, "it has no twin with another remote"
    for name in ("hardened", "unified_checks", "unified_counting", "direct"):
        assert name not in many


def test_numbers_that_the_program_cannot_feel_are_left_alone() -> None:
    item = build.variant("unified_home")
    small = {one.key for one in candidates.numbers(item, Habits(1, False, 1000, reallocs=False))}
    large = {one.key for one in candidates.numbers(item, Habits(4, True, 1 << 20))}
    medium = {"back.run_cache_kib", "pages.large_cache_mib"}
    assert large - small == {"remote.batch", "back.realloc_room_percent", *medium}
    assert {"front.refill", "front.capacity", "pages.superslab_kib", "classes.largest"} <= small
    for number in candidates.numbers(item, Habits(4, True, 1 << 20)):
        assert len(set(number.values)) == len(number.values) > 1


def test_a_number_that_another_bounds_is_cut_and_an_illegal_set_is_none() -> None:
    item = build.variant("sll")
    cut = candidates.with_numbers(item, {"front.cap": 32, "front.refill": 256})
    assert cut and cut.policies["front"].integer("refill") == 32
    assert candidates.with_numbers(item, {}) is item
    same = candidates.with_numbers(item, {"front.cap": 32, "front.refill": 32})
    assert same and same.name == cut.name != item.name
    wrong = {"classes.largest": 262144, "pages.superslab_kib": 128}
    assert candidates.with_numbers(item, wrong) is None


def test_single_changes_differ_in_one_axis_and_are_legal() -> None:
    base = build.variant("diet")
    changes = candidates.single_changes(base)
    own = base.policies.as_json()
    assert {"front", "classes", "store", "owner", "remote", "pages", "thread"} == {
        one.axis for one in changes
    }
    for one in changes:
        table = one.variant.policies.as_json()
        assert [axis for axis in own if own[axis] != table[axis]] == [one.axis]
    values = {(one.axis, one.value) for one in changes}
    assert ("pages", "mmap, default numbers") in values and ("owner", "page_tag") not in values
