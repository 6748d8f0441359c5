"""The main job: gate every variant, race them with successive narrowing, and name the fastest policy set.

Stages: build, behaviour suite, a qualifying heat on few rows, a heat on all rows with the memory gate, a
second heat, and the final with libc twice, the null allocator and two real programs, all in fresh processes.
A plan (`Plan`) says how long; rows already measured by a pick that was interrupted are not measured again.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import build as builds
from . import check as checks
from . import programs as real_programs
from . import ranking, spec
from .build import BuildFailure, Built
from .errors import HakmemError
from .outcome import FINALIST, NARROWED, REJECTED, Cell, Outcome, RowOutcome, VariantOutcome
from .ranking import Ratio, Sample, Samples
from .spec import Variant

LIBC = "libc"
LIBC_AGAIN = "libc#2"
NULL = "null"
MEMORY_PLUS_KIB = 2048
_HOPELESS = 3.0
_CHECK_TIMEOUT_S = 120.0
_RESUMED_WITHIN_S = 24 * 3600.0

Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all (0: unknown), and what is being done."""


# ----------------------------------------------------------------------------------------------------
# Plan


@dataclass(frozen=True)
class Stage:
    """One stage of the race: fresh processes per contestant and row, length of a timed loop, who goes on."""

    name: str
    suite: str
    rounds: int
    min_ms: int
    keep: int

    def line(self, contestants: str) -> str:
        """The stage as a sentence of the plan."""
        return (
            f"{self.name}: {contestants} on the rows of suite {self.suite}, {self.rounds} "
            f"round{'s' if self.rounds > 1 else ''} of {self.min_ms} ms loops"
        )


@dataclass(frozen=True)
class Plan:
    """How a pick spends its time. ``budget_s`` bounds the whole; the final has at least ``least_rounds``."""

    budget_s: float
    heats: tuple[Stage, ...]
    final: Stage
    least_rounds: int

    def lines(self, count: int, programs: Sequence[str]) -> tuple[str, ...]:
        """The plan in plain sentences."""
        lines = [f"build {count} variants and run the behaviour suite over each (a pass is remembered)"]
        left = str(count)
        for stage in self.heats:
            lines.append(f"{stage.line(f'{left} variants and libc')}; {stage.keep} at most go on")
            left = f"at most {stage.keep}"
        lines.append(
            self.final.line(f"{left} variants, libc, libc again and the null allocator")
            + f" at most and {self.least_rounds} at least, ending after {self.budget_s / 60:.0f} minutes in all"
        )
        if programs:
            lines.append(f"every round of the final also runs {' and '.join(programs)} end to end")
        return tuple(lines)


def plan_for(quick: bool, suite: str) -> Plan:
    """The plan of the default size, or of ``--quick``."""
    if quick:
        return Plan(
            budget_s=240,
            heats=(Stage("heat", "quick", 1, 15, 3),),
            final=Stage("final", "quick", 7, 200, 1),
            least_rounds=3,
        )
    return Plan(
        budget_s=1020,
        heats=(
            Stage("qualifying", "quick", 1, 15, 1000),
            Stage("first heat", suite, 1, 30, 8),
            Stage("second heat", suite, 2, 60, 4),
        ),
        final=Stage("final", suite, 10, 200, 1),
        least_rounds=3,
    )


# ----------------------------------------------------------------------------------------------------
# Racing


@dataclass(frozen=True)
class RowFact:
    """What a row is, as its process printed it: resolved parameters and the histogram of sizes."""

    label: str
    workload: str
    meaning: str
    params: Mapping[str, Any]
    histogram: Mapping[int, int]


@dataclass
class Race:
    """Samples and facts of one stage, and the contestants that failed in it with one line each."""

    samples: list[Sample] = field(default_factory=list)
    facts: dict[str, RowFact] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)


class Racer(Protocol):
    """What runs the workloads: `BenchRacer` in earnest, a fake in tests."""

    def race(self, stage: Stage, rounds: int, contestants: Mapping[str, Built | None]) -> Race:
        """Every contestant on every row of the stage until each has ``rounds`` rounds.

        ``contestants`` maps a name to its build; `LIBC`, `LIBC_AGAIN` and `NULL` have none.
        """
        ...

    def programs(self, rounds: int, contestants: Mapping[str, Built | None]) -> Race:
        """The two real programs under every contestant, likewise."""
        ...

    def machine(self) -> Mapping[str, str]:
        """Processor, kernel, compiler, flags and commit, by name."""
        ...


@dataclass
class _Field:
    """How every variant stands while the race goes on."""

    built: dict[str, Built]
    status: dict[str, str] = field(default_factory=dict)
    reason: dict[str, str] = field(default_factory=dict)
    stage: dict[str, str] = field(default_factory=dict)
    samples: dict[str, Samples] = field(default_factory=dict)
    facts: dict[str, RowFact] = field(default_factory=dict)

    def alive(self) -> list[str]:
        return [name for name in self.built if name not in self.status]

    def drop(self, name: str, status: str, reason: str) -> None:
        self.status[name] = status
        self.reason[name] = reason

    def contestants(self, *more: str) -> dict[str, Built | None]:
        return {**{name: None for name in more}, **{name: self.built[name] for name in self.alive()}}

    def take(self, stage: Stage, race: Race) -> Samples:
        """Note a stage's outcome; contestants that failed in it are out."""
        for name, reason in race.failures.items():
            if name in self.built:
                self.drop(name, REJECTED, reason)
            else:
                raise HakmemError(f"{name}: {reason}")
        self.facts.update(race.facts)
        samples = Samples(race.samples)
        for name in self.alive():
            self.stage[name] = stage.name
            self.samples[stage.name] = samples
        return samples


def memory_problem(samples: Samples, name: str, budget: float) -> str:
    """Why a variant does not keep the memory budget on some row, or nothing."""
    worst, text = 0.0, ""
    for row in samples.rows(name, LIBC):
        peak, libc = samples.memory(name, row), samples.memory(LIBC, row)
        allowed = budget * libc + MEMORY_PLUS_KIB
        if peak > allowed and peak / allowed > worst:
            worst = peak / allowed
            text = (
                f"memory: {row} peaks at {peak / 1024:.1f} MiB, libc at {libc / 1024:.1f}, "
                f"allowed {allowed / 1024:.1f}"
            )
    return text


def _narrow(entries: _Field, stage: Stage, samples: Samples) -> None:
    scores = {name: ranking.score(samples, name, LIBC).value for name in entries.alive()}
    order = sorted(scores, key=lambda name: (scores[name], name))
    for place, name in enumerate(order, 1):
        if place > stage.keep:
            entries.drop(
                name, NARROWED, f"place {place} of {len(order)} in the {stage.name}, {stage.keep} went on"
            )
        elif scores[name] > _HOPELESS:
            entries.drop(
                name, NARROWED, f"{scores[name]:.1f} times libc's time in the {stage.name}: beyond hope"
            )


def _run_heats(plan: Plan, entries: _Field, racer: Racer, budget: float, say: Progress) -> None:
    for stage in plan.heats:
        if not entries.alive():
            return
        say(0, 0, f"{stage.name}: {len(entries.alive())} variants")
        samples = entries.take(stage, racer.race(stage, stage.rounds, entries.contestants(LIBC)))
        _gate_memory(entries, samples, budget)
        _narrow(entries, stage, samples)


def _gate_memory(entries: _Field, samples: Samples, budget: float) -> None:
    for name in entries.alive():
        problem = memory_problem(samples, name, budget)
        if problem:
            entries.drop(name, REJECTED, problem)


def _run_final(
    plan: Plan, entries: _Field, racer: Racer, with_programs: bool, over: Callable[[], bool], say: Progress
) -> tuple[Samples, int]:
    """The final, round by round until the rounds or the time are used up; samples and rounds done."""
    stage = plan.final
    samples = Samples([])
    done = 0
    while done < stage.rounds and (done < plan.least_rounds or not over()):
        done += 1
        say(done, stage.rounds, f"{stage.name}: round {done}")
        race = racer.race(stage, done, entries.contestants(LIBC, LIBC_AGAIN, NULL))
        if with_programs:
            alive = {name: item for name, item in entries.contestants(LIBC, LIBC_AGAIN).items()}
            for name in race.failures:
                alive.pop(name, None)
            more = racer.programs(done, alive)
            race = Race(
                race.samples + more.samples, {**race.facts, **more.facts}, {**more.failures, **race.failures}
            )
        samples = entries.take(stage, race)
        if not entries.alive():
            break
    return samples, done


# ----------------------------------------------------------------------------------------------------
# Gates


def _build_all(variants: Sequence[Variant], say: Progress) -> tuple[dict[str, Built], dict[str, str]]:
    built: dict[str, Built] = {}
    problems: dict[str, str] = {}
    for name, result in builds.build(variants, progress=say).items():
        if isinstance(result, BuildFailure):
            problems[name] = f"did not build: {result.message}"
        elif not result.variant.interposable:
            problems[name] = "has no malloc library: its blocks of 8 bytes are not aligned as malloc must"
        else:
            built[name] = result
    return built, problems


def _check_all(built: Mapping[str, Built], say: Progress) -> dict[str, str]:
    """Names of the variants whose behaviour suite is not green, with one line each."""
    problems: dict[str, str] = {}
    pool = ThreadPoolExecutor(max_workers=len(os.sched_getaffinity(0)))
    try:
        waiting = {
            pool.submit(checks.check, item, _CHECK_TIMEOUT_S, False): name for name, item in built.items()
        }
        for done, future in enumerate(as_completed(waiting), 1):
            result = future.result()
            say(done, len(waiting), f"behaviour suite: {result.name}")
            if not result.passed:
                problems[waiting[future]] = f"behaviour suite: {result.reason}"
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return problems


# ----------------------------------------------------------------------------------------------------
# Outcome


def _cell(samples: Samples, name: str, row: str, stage: str, rounds: int) -> Cell:
    costs = np.array(samples.costs(name, row))
    null = samples.costs(NULL, row)
    cost = float(np.median(costs))
    return Cell(
        cost=cost,
        spread=float(costs.std(ddof=1) / costs.mean()) if len(costs) > 1 else 0.0,
        ratio=ranking.row_ratio(samples, name, LIBC, row),
        peak_rss_kib=samples.memory(name, row),
        less_null=cost - float(np.median(null)) if null else None,
        stage=stage,
        rounds=rounds,
    )


def _rows_of(entries: _Field, shown: Samples, programs: Sequence[str]) -> tuple[RowOutcome, ...]:
    rows = []
    for label, fact in entries.facts.items():
        if not shown.costs(LIBC, label):
            continue
        cells = {}
        for name, stage in entries.stage.items():
            samples = entries.samples[stage]
            if samples.paired(name, LIBC, label):
                cells[name] = _cell(samples, name, label, stage, len(samples.costs(name, label)))
        if shown.paired(LIBC_AGAIN, LIBC, label):
            cells[LIBC_AGAIN] = _cell(shown, LIBC_AGAIN, label, "final", len(shown.costs(LIBC_AGAIN, label)))
        null = shown.costs(NULL, label)
        rows.append(
            RowOutcome(
                label=label,
                kind="program" if label in programs else "workload",
                meaning=fact.meaning,
                params=fact.params,
                unit="s" if label in programs else "ns",
                histogram=fact.histogram,
                null_cost=float(np.median(null)) if null else None,
                libc_cost=float(np.median(shown.costs(LIBC, label))),
                libc_peak_rss_kib=shown.memory(LIBC, label),
                cells=cells,
            )
        )
    return tuple(rows)


def _variant_outcome(
    entries: _Field, item: Variant, digest: str, tied: Sequence[str], programs: Sequence[str]
) -> VariantOutcome:
    name = item.name
    stage = entries.stage.get(name, "")
    samples = entries.samples.get(stage)
    score, memory, worst, rounds = None, None, "", 0
    ratios: dict[str, Ratio] = {}
    if samples and samples.rows(name, LIBC):
        rows = samples.rows(name, LIBC)
        score = ranking.score(samples, name, LIBC, rows)
        shares = {row: samples.memory(name, row) / samples.memory(LIBC, row) for row in rows}
        memory = float(np.exp(np.mean(np.log(list(shares.values())))))
        heaviest = max(shares, key=lambda row: shares[row])
        worst = f"{shares[heaviest]:.2f} on {heaviest}"
        rounds = max(len(samples.costs(name, row)) for row in rows)
        ratios = {row: ranking.row_ratio(samples, name, LIBC, row) for row in rows if row in programs}
    return VariantOutcome(
        name=name,
        why=item.why,
        differs=spec.short_policies(item),
        digest=digest,
        policy_set=item.policies.as_json(),
        status=entries.status.get(name, FINALIST),
        reason=entries.reason.get(name, ""),
        stage=stage,
        rounds=rounds,
        score=score,
        tied=name in tied,
        memory=memory,
        worst_memory=worst,
        programs=ratios,
    )


def _verdict(
    found: ranking.Verdict, scores: Mapping[str, Ratio], floor: float, rows: int, rejected: int
) -> str:
    if found.winner is None:
        return f"No variant came to the final: {rejected} were rejected by a gate, so libc stays."
    best = scores[found.winner]
    if not found.beats:
        return (
            f"Nothing beats libc here: the best, {found.winner}, takes {best.value:.3f} of libc's time "
            f"({best.low:.3f} to {best.high:.3f}), and the noise floor is {100 * floor:.1f} %."
        )
    others = [name for name in found.tied if name != found.winner]
    tie = ""
    if others:
        verb = "ties" if len(others) == 1 else "tie"
        tie = f"; {' and '.join(others)} {verb} with it and it is the simplest of them"
    return (
        f"{found.winner} is the fastest policy set here: {1 / best.value:.2f} times libc's throughput "
        f"({1 / best.high:.2f} to {1 / best.low:.2f}) over {rows} rows{tie}."
    )


def pick(
    names: Sequence[str] = (),
    *,
    quick: bool = False,
    suite: str = "default",
    memory_budget: float = 1.5,
    programs: bool = True,
    fresh: bool = False,
    seed: int = 42,
    racer: Racer | None = None,
    plan: Plan | None = None,
    progress: Progress | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> Outcome:
    """Gate, race and rank variants (default: every kept one) and say which is the fastest.

    ``memory_budget`` is the peak RSS allowed on each row as a multiple of libc's, plus 2 MiB. ``announce``
    gets the plan before anything starts. Raises `HakmemError` when libc itself cannot be measured or a row
    was not served by the allocator it names.
    """
    start, started = time.monotonic(), datetime.now(timezone.utc)
    say = progress or (lambda _done, _total, _text: None)
    plan = plan or plan_for(quick, suite)
    variants = [builds.variant(name) for name in names] if names else builds.kept_variants()
    chosen = real_programs.programs() if programs else []
    lines = plan.lines(len(variants), [program.what for program in chosen])
    if announce:
        announce(lines)
    built, problems = _build_all(variants, say)
    problems |= _check_all(built, say)
    entries = _Field(built)
    for name, problem in problems.items():
        entries.drop(name, REJECTED, problem)
    racer = racer or BenchRacer(plan, list(built.values()), chosen, seed, fresh, say)
    _run_heats(plan, entries, racer, memory_budget, say)
    samples, rounds = Samples([]), 0
    if entries.alive():
        samples, rounds = _run_final(
            plan,
            entries,
            racer,
            programs,
            lambda: time.monotonic() - start > plan.budget_s,
            say,
        )
        _gate_memory(entries, samples, memory_budget)
    labels = [program.name for program in chosen]
    floor = 0.0
    rows = [row for row in samples.rows(LIBC, LIBC_AGAIN) if samples.costs(LIBC, row)]
    if rows:
        floor = ranking.noise_floor(samples, {LIBC_AGAIN: LIBC}, rows)
    finalists = {name: built[name].variant for name in entries.alive()}
    found = ranking.decide(samples, finalists, LIBC, floor)
    scores = {name: ranking.score(samples, name, LIBC) for name in finalists}
    rejected = sum(status == REJECTED for status in entries.status.values())
    shown = samples if samples.contestants() else next(iter(reversed(entries.samples.values())), samples)
    digests = {name: item.digest for name, item in built.items()}
    outcome = Outcome(
        verdict=_verdict(found, scores, floor, len(rows), rejected),
        winner=found.winner if found.beats else None,
        beats_libc=found.beats,
        fastest=found.fastest,
        tied=found.tied,
        noise_floor=floor,
        memory_rule=f"peak RSS on every row at most {memory_budget:g} times libc's plus "
        f"{MEMORY_PLUS_KIB // 1024} MiB",
        gates=_gate_lines(len(variants), problems, entries),
        plan=(*lines, f"done: {rounds} rounds of the final"),
        machine=racer.machine(),
        started=started.strftime("%Y-%m-%d %H:%M UTC"),
        seconds=time.monotonic() - start,
        seed=seed,
        variants=tuple(
            _variant_outcome(entries, item, digests.get(item.name, ""), found.tied, labels)
            for item in variants
        ),
        rows=_rows_of(entries, shown, labels),
        reference={LIBC_AGAIN: ranking.score(samples, LIBC_AGAIN, LIBC, rows)} if rows else {},
    )
    finish = getattr(racer, "finish", None)
    if finish:
        finish()
    return outcome


def _gate_lines(count: int, problems: Mapping[str, str], entries: _Field) -> tuple[str, ...]:
    by_memory = [name for name, reason in entries.reason.items() if reason.startswith("memory:")]
    return (
        f"built, with a malloc library, behaviour suite green: {count - len(problems)} of {count} variants",
        *(f"{name}: {problem}" for name, problem in problems.items()),
        f"memory budget exceeded: {', '.join(by_memory) if by_memory else 'none of those raced'}",
    )


# ----------------------------------------------------------------------------------------------------
# Taking the winner away


def check_out_folder(folder: Path) -> None:
    """Refuse a folder that the winner could not be copied to, before anything is measured."""
    if folder.exists() and not folder.is_dir():
        raise HakmemError(f"--out {folder}: expected a new or empty folder, got a file")
    if folder.is_dir() and any(folder.iterdir()):
        raise HakmemError(f"--out {folder}: expected a new or empty folder, got one that is not empty")
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    if not os.access(existing, os.W_OK | os.X_OK):
        raise HakmemError(
            f"--out {folder}: expected a folder that can be written, got {existing} which is not"
        )


def take_away(built: Built, folder: Path) -> list[Path]:
    """Copy a variant's library, TOML, record and header to a new or empty folder; the files written."""
    check_out_folder(folder)
    wanted = {
        built.library: built.library.name,
        built.folder / "variant.toml": f"{built.name}.toml",
        built.folder / "policy.json": "policy.json",
        built.header: built.header.name,
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return [Path(shutil.copy2(source, folder / name)) for source, name in wanted.items()]
    except OSError as error:
        raise HakmemError(f"--out {folder}: cannot be written: {error.strerror or error}") from error
