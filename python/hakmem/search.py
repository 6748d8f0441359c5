"""Searching the design: policy sets by racing with successive halving, then their numbers by Optuna.

A race is interleaved rounds of fresh processes with libc twice in each (what these differ by is noise).
In the racing stage the courses grow (prefixes of a trace, or longer loops); a contestant is out when its
interval to the leader of its kind excludes it by more than the noise, when its peak RSS on the whole breaks
the budget, or when its place is beyond the half that goes on. In the numbers stage a trial is one set of
numbers, raced in a heat with libc and other trials; time, peak RSS and (of a replay) mean RSS, relative to
libc's, are the objectives.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from . import bench, candidates, ranking, stats
from .bench import Contestant
from .build import Built, Progress
from .candidates import Habits, Number
from .spec import Variant
from .stats import Ratio
from .store import Result
from .verdict import LIBC, LIBC_AGAIN, mean_memory_cells, memory_cells, over_budget
from .workloads import Row

GATE_KIB = 2048
"""Peak RSS that the search allows beyond the budget: a process has some that no policy decides."""
_HALVES = 2
_HEAT_ROUNDS = 3
_BATCH = 4
_STARTUP = 8

Gate = Callable[[Sequence[Variant]], tuple[dict[str, Built], dict[str, str]]]
"""Builds variants and runs the behaviour suite over each: those that passed, and why the others did not."""


@dataclass(frozen=True)
class Course:
    """What contestants run in one stage: rows, length of a timed loop, and what share of the whole it is."""

    name: str
    rows: tuple[Row, ...]
    min_ms: int = bench.MIN_MS

    @property
    def has_mean_rss(self) -> bool:
        """Whether every row gives memory over time."""
        return all(row.has_mean_rss for row in self.rows)


@dataclass
class Heat:
    """What a race measured, and who failed in it with one line each."""

    results: list[Result] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)


class Racer(Protocol):
    """Runs races: `hakmem.tune.BenchRacer` in earnest, an invented one in tests."""

    def race(self, name: str, course: Course, rounds: int, contestants: Sequence[Contestant]) -> Heat:
        """Every contestant on every row; ``name`` is the race's own, under which it is remembered."""
        ...


@dataclass(frozen=True)
class Entry:
    """How far a contestant came in the racing stage; ``reason`` is empty for those that came through.

    ``time``, ``memory`` (peak RSS) and ``mean_memory`` (mean RSS) are its ratios to libc's on the last course
    that it ran (None: on none, or not measured there).
    """

    name: str
    course: str
    rounds: int
    time: Ratio | None
    memory: Ratio | None
    reason: str
    mean_memory: Ratio | None = None


@dataclass(frozen=True)
class Trial:
    """One set of numbers: of which set, the numbers by key, and its ratios to libc's in its heat.

    ``reason`` says why it was not measured.
    """

    name: str
    base: str
    numbers: Mapping[str, Any]
    time: Ratio | None
    memory: Ratio | None
    reason: str
    mean_memory: Ratio | None = None


@dataclass(frozen=True)
class Limits:
    """What bounds a search: peak RSS to libc's, and the monotonic times by which each stage ends."""

    max_rss: float
    racing_ends: float
    numbers_end: float
    most_trials: int = 32
    leaders: int = 2


def field_of(contestants: Sequence[Contestant]) -> list[Contestant]:
    """The contestants with libc and libc again before them."""
    stock = bench.libc()
    return [stock, dataclasses.replace(stock, name=LIBC_AGAIN), *contestants]


# ----------------------------------------------------------------------------------------------------
# Policy sets


def halve(
    racer: Racer,
    courses: Sequence[Course],
    contestants: Sequence[Contestant],
    limits: Limits,
    say: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[str], list[Entry]]:
    """Race until few are left; their names, the fastest first, and how far each contestant came."""
    alive = {who.name: who for who in contestants}
    entries: dict[str, Entry] = {}
    for number, course in enumerate(courses):
        last = number == len(courses) - 1
        results: list[Result] = []
        for heat in range(_HALVES if last else 1):
            if (heat or number) and (clock() > limits.racing_ends or len(alive) < 2):
                break
            say(number, len(courses), f"racing on {course.name}: {len(alive)} contestants")
            found = racer.race(
                f"racing {number} {heat}", course, _HEAT_ROUNDS, field_of(list(alive.values()))
            )
            results += _numbered(found.results, heat * _HEAT_ROUNDS)
            for name, reason in found.failures.items():
                if name in alive:
                    entries[name] = _entry(name, course, results, reason)
                    del alive[name]
            for group in _groups(alive):
                out = excluded(results, group, limits.max_rss, last)
                for name, reason in out.items():
                    entries[name] = _entry(name, course, results, reason)
                    del alive[name]
        if not results:
            break
        order = []
        for group in _groups(alive):
            places = _standing(results, group, limits.max_rss)
            keep = len(places) if last else max(2 * limits.leaders, len(places) // _HALVES)
            for place, name in enumerate(places, 1):
                reason = "" if place <= keep else f"place {place} of {len(places)} on {course.name}"
                entries[name] = _entry(name, course, results, reason)
            order += places[:keep]
        alive = {name: alive[name] for name in order}
    return list(alive), list(entries.values())


def _groups(contestants: Mapping[str, Contestant]) -> list[list[str]]:
    """Policy sets, and the allocators of others: each is measured by the best of its own."""
    sets = [name for name, who in contestants.items() if who.kind == "variant"]
    return [sets, [name for name in contestants if name not in sets]]


def _numbered(results: Sequence[Result], before: int) -> list[Result]:
    """Results whose rounds are counted on behind those of earlier heats."""
    return [dataclasses.replace(one, round=one.round + before) for one in results]


def ratios(results: Sequence[Result], name: str) -> tuple[Ratio | None, Ratio | None, Ratio | None]:
    """Time, peak RSS and mean RSS of a contestant to libc's, over the rows that both ran."""
    cells = stats.cells(results)
    labels = [label for label in stats.labels_of(cells, LIBC) if (name, label) in cells]
    if not labels:
        return None, None, None
    return (
        stats.geometric_mean(cells, name, LIBC, labels),
        stats.geometric_mean(memory_cells(results), name, LIBC, labels),
        stats.geometric_mean(mean_memory_cells(results), name, LIBC, labels),
    )


def _entry(name: str, course: Course, results: Sequence[Result], reason: str) -> Entry:
    found, heavy, mean = ratios(results, name)
    rounds = len({one.round for one in results if one.variant == name})
    return Entry(name, course.name, rounds, found, heavy, reason, mean)


def _by_time(results: Sequence[Result], names: Sequence[str]) -> list[str]:
    cells = stats.cells(results)
    labels = stats.labels_of(cells, LIBC)
    scores = {
        name: found.value for name in names if (found := stats.geometric_mean(cells, name, LIBC, labels))
    }
    return sorted(scores, key=lambda name: (scores[name], name))


def _standing(
    results: Sequence[Result], names: Sequence[str], max_rss: float, plus_kib: int = GATE_KIB
) -> list[str]:
    """By time, those within the memory budget before the others."""
    memory = memory_cells(results)
    labels = stats.labels_of(memory, LIBC)
    heavy = {name for name in names if over_budget(memory, name, labels, max_rss, plus_kib)}
    order = _by_time(results, names)
    return [name for name in order if name not in heavy] + [name for name in order if name in heavy]


def excluded(
    results: Sequence[Result], names: Sequence[str], max_rss: float, whole: bool, plus_kib: int = GATE_KIB
) -> dict[str, str]:
    """Who of ``names`` is out after these rounds, and why: their whole interval to the leader, the fastest
    within the memory budget, lies beyond it by more than the noise.

    ``whole``: so are those that break the budget. A part's peak is not the program's: there it waits.
    """
    cells, memory = stats.cells(results), memory_cells(results)
    labels = stats.labels_of(cells, LIBC)
    floor = ranking.score_noise(cells, {LIBC_AGAIN: LIBC}, labels)
    out: dict[str, str] = {}
    order = _standing(results, names, max_rss, plus_kib)
    for name in order:
        behind = stats.geometric_mean(cells, name, order[0], labels)
        heavy = over_budget(memory, name, labels, max_rss, plus_kib) if whole else ""
        if heavy:
            out[name] = heavy
        elif behind and behind.low > 1.0 + floor:
            out[name] = (
                f"{behind.value:.2f} times the time of {order[0]} ({behind.low:.2f} to {behind.high:.2f}), "
                f"noise {100 * floor:.1f} %"
            )
    return out


# ----------------------------------------------------------------------------------------------------
# Numbers


def tune_numbers(
    racer: Racer,
    course: Course,
    base: Variant,
    built: Built,
    habits: Habits,
    gate: Gate,
    limits: Limits,
    ends: float,
    seed: int,
    say: Progress,
    clock: Callable[[], float] = time.monotonic,
) -> tuple[list[Trial], dict[str, Built]]:
    """Search the numbers of one policy set; the trials in their order, and what was built for them.

    Suggestions are a function of the seed and of what was measured, so an interrupted search that finds its
    races remembered takes the same way again.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    tuned = candidates.numbers(base, habits)
    if not tuned:
        return [], {}
    sampler = optuna.samplers.TPESampler(seed=seed, n_startup_trials=_STARTUP)
    objectives = 3 if course.has_mean_rss else 2
    study = optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    own = {number.key: number.current for number in tuned}
    study.enqueue_trial(own)
    for number in tuned:
        if number.key in candidates.WHOLE_POLICIES:
            study.enqueue_trial({**own, number.key: 1})
    trials: list[Trial] = []
    libraries = {base.name: built}
    seen = {base.name}
    longest = 0.0
    while len(trials) < limits.most_trials and (begun := clock()) + longest < ends:
        say(len(trials), limits.most_trials, f"numbers of {base.name}: trial {len(trials) + 1}")
        asked = [study.ask() for _ in range(_BATCH)]
        chosen = [_suggested(trial, tuned) for trial in asked]
        items = [candidates.with_numbers(base, one) for one in chosen]
        passed, problems = gate([item for item in items if item and item.name not in libraries])
        libraries |= passed
        raced = {item.name: libraries[item.name] for item in items if item and item.name in libraries}
        contestants = [bench.libc(), *map(bench.contestant, raced.values())]
        heat = Heat()
        if raced:
            heat = racer.race(f"numbers {base.name} {len(trials)}", course, _HEAT_ROUNDS, contestants)
        for trial, item, one in zip(asked, items, chosen, strict=True):
            name = item.name if item else base.name
            reason = "these numbers do not go together" if item is None else problems.get(name, "")
            measured = (None, None, None) if reason else ratios(heat.results, name)
            reason = reason or heat.failures.get(name, "")
            values = [one.value for one in measured[:objectives] if one]
            if len(values) == objectives:
                study.tell(trial, values)
            else:
                study.tell(trial, state=optuna.trial.TrialState.FAIL)
                reason = reason or "it was not measured"
            found, heavy, mean = measured
            trials.append(Trial(name, base.name, _shown(one, item), found, heavy, reason, mean))
        longest = max(longest, clock() - begun)
        fresh = {item.name for item in items if item} - seen
        seen |= fresh
        if not fresh:
            break  # the sampler has nothing new to offer
    return trials, libraries


def _suggested(trial: Any, tuned: Sequence[Number]) -> dict[str, Any]:
    return {
        number.key: number.values[trial.suggest_int(number.key, 0, len(number.values) - 1)]
        for number in tuned
    }


def _shown(chosen: Mapping[str, Any], item: Variant | None) -> dict[str, Any]:
    """The numbers as they were built: some are cut by others."""
    shown = {}
    table: Any = item.policies.as_json() if item else {}
    for key, value in chosen.items():
        held: Any = candidates.as_table(value)
        if item:
            axis, *path = key.split(".")
            held = table[axis]
            for step in path:
                held = held.get(step) if held else None
        if held is not None:
            shown[key] = held
    return shown


def best_trials(trials: Sequence[Trial], max_rss: float, count: int) -> list[str]:
    """Names of the fastest trials within the memory budget, each once, then of the lightest of all."""
    measured = [one for one in trials if one.time and one.memory]
    within = [one for one in measured if one.memory and one.memory.value <= max_rss]
    fastest = sorted(within, key=lambda one: (_value(one.time), one.name))
    lightest = sorted(measured, key=lambda one: (_value(one.memory), _value(one.time), one.name))
    names = list(dict.fromkeys(one.name for one in fastest))[:count]
    return list(dict.fromkeys([*names, *(one.name for one in lightest[:1])]))


def _value(found: Ratio | None) -> float:
    return found.value if found else float("inf")
