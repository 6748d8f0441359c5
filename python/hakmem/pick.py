"""The main job: gate every variant, race them with successive narrowing, and name the fastest policy set.

Stages: build, behaviour suite, a qualifying heat on few rows, a heat on all rows with the memory gate, a
second heat, and the final with libc twice, the null allocator and two real programs, all in fresh processes.
A plan (`Plan`) says how long; rows already measured by a pick that was interrupted are not measured again.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import random
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Protocol

from . import bench, ranking, report, spec, stats, workloads
from . import build as builds
from . import check as checks
from . import programs as real_programs
from .build import BuildFailure, Built, Progress
from .errors import HakmemError
from .outcome import FINALIST, NARROWED, REJECTED, Cell, Outcome, RowOutcome, VariantOutcome
from .progress import interruptible, shown
from .spec import Variant
from .stats import Ratio
from .store import Failure, Result, Store

PAGE = "hakmem-pick.html"
PROGRAM = "program"
LIBC = "libc"
LIBC_AGAIN = "libc#2"
NULL = "null"
MEMORY_PLUS_KIB = 2048
_HOPELESS = 3.0
_CHECK_TIMEOUT_S = 120.0
_ROW_TIMEOUT_S = 60.0
_RESUMED_WITHIN_S = 24 * 3600.0


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

    def lines(self, count: int, programs: Sequence[str], peers: Sequence[str] = ()) -> tuple[str, ...]:
        """The plan in plain sentences."""
        lines = [f"build {count} variants and run the behaviour suite over each (a pass is remembered)"]
        left = str(count)
        for stage in self.heats:
            lines.append(f"{stage.line(f'{left} variants and libc')}; {stage.keep} at most go on")
            left = f"at most {stage.keep}"
        lines.append(
            self.final.line(
                f"{left} variants, libc, libc again and the null allocator"
                + (f", with the peers {', '.join(peers)}," if peers else "")
            )
            + f" at most, {self.least_rounds} at least, ending after {self.budget_s / 60:.0f} minutes in all"
        )
        if programs:
            lines.append(f"the last heat and the final also run {' and '.join(programs)}, end to end")
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
        budget_s=1080,
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


class Racer(Protocol):
    """What runs the workloads: `BenchRacer` in earnest, a fake in tests.

    A contestant's name maps to its build; `LIBC`, `LIBC_AGAIN`, `NULL` and peers have none.
    """

    def race(self, stage: Stage, rounds: int, contestants: Mapping[str, Built | None]) -> Race:
        """Every contestant on every row of the stage until each has ``rounds`` rounds."""
        ...

    def programs(self, rounds: int, contestants: Mapping[str, Built | None]) -> Race:
        """The two real programs under every contestant, likewise."""
        ...

    def meanings(self) -> Mapping[str, str]:
        """What each workload and program does, by name."""
        ...

    def machine(self) -> Mapping[str, str]:
        """Processor, kernel, compiler, flags and commit, by name."""
        ...


@dataclass
class Race:
    """What a stage measured so far, and the contestants that failed in it with one line each."""

    results: list[Result] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)

    def joined(self, more: Race) -> Race:
        """This and more of the same stage."""
        return Race(self.results + more.results, {**more.failures, **self.failures})


@dataclass
class _Field:
    """How every variant stands while the race goes on: who is out and why, and each one's last stage."""

    built: dict[str, Built]
    peers: tuple[str, ...] = ()
    peers_out: dict[str, str] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    reason: dict[str, str] = field(default_factory=dict)
    stage: dict[str, str] = field(default_factory=dict)
    cells: dict[str, stats.Cells] = field(default_factory=dict)

    def alive(self) -> list[str]:
        return [name for name in self.built if name not in self.status]

    def drop(self, name: str, status: str, reason: str) -> None:
        self.status[name] = status
        self.reason[name] = reason

    def peers_left(self) -> list[str]:
        return [name for name in self.peers if name not in self.peers_out]

    def contestants(self, *more: str) -> dict[str, Built | None]:
        return {**dict.fromkeys(more), **{name: self.built[name] for name in self.alive()}}

    def take(self, stage: Stage, race: Race) -> stats.Cells:
        """Note a stage's outcome; contestants that failed in it are out."""
        for name, reason in race.failures.items():
            if name in self.built:
                self.drop(name, REJECTED, f"{stage.name}: {reason}")
            elif name in self.peers:
                self.peers_out[name] = f"{stage.name}: {reason}"
            elif name != NULL:
                raise HakmemError(f"{name} could not be measured: {reason}")
        cells = stats.cells(race.results)
        self.cells[stage.name] = cells
        for name in self.alive():
            self.stage[name] = stage.name
        return cells


def _memory(cells: stats.Cells, name: str, label: str) -> float:
    """Median peak RSS of a cell, KiB."""
    return stats.median([result.peak_rss_kib for result in cells[name, label]])


def memory_problem(cells: stats.Cells, name: str, budget: float) -> str:
    """Why a variant does not keep the memory budget on some row, or nothing."""
    worst, text = 0.0, ""
    for label in stats.labels_of(cells, name, LIBC):
        peak, libc = _memory(cells, name, label), _memory(cells, LIBC, label)
        allowed = budget * libc + MEMORY_PLUS_KIB
        if peak > allowed and peak / allowed > worst:
            worst = peak / allowed
            text = (
                f"memory: {label} peaks at {peak / 1024:.1f} MiB, libc at {libc / 1024:.1f}, "
                f"allowed {allowed / 1024:.1f}"
            )
    return text


def _score(cells: stats.Cells, name: str) -> Ratio | None:
    return stats.geometric_mean(cells, name, LIBC, stats.labels_of(cells, name, LIBC))


def _narrow(entries: _Field, stage: Stage, cells: stats.Cells) -> None:
    scores = {name: found.value for name in entries.alive() if (found := _score(cells, name))}
    order = sorted(scores, key=lambda name: (scores[name], name))
    for place, name in enumerate(order, 1):
        if scores[name] > _HOPELESS:
            reason = f"{scores[name]:.1f} times libc's time in the {stage.name}: beyond hope"
            entries.drop(name, NARROWED, reason)
        elif place > stage.keep:
            reason = f"place {place} of {len(order)} in the {stage.name}"
            entries.drop(name, NARROWED, reason)


def _run_heats(
    plan: Plan, entries: _Field, racer: Racer, with_programs: bool, budget: float, say: Progress
) -> None:
    """Run the heats; the programs join in the last one, so that no finalist meets their memory gate anew."""
    for stage in plan.heats:
        if not entries.alive():
            return
        say(0, 0, f"{stage.name}: {len(entries.alive())} variants")
        contestants = entries.contestants(LIBC)
        race = racer.race(stage, stage.rounds, contestants)
        if with_programs and stage is plan.heats[-1]:
            race = race.joined(racer.programs(stage.rounds, contestants))
        cells = entries.take(stage, race)
        _gate_memory(entries, cells, budget)
        _narrow(entries, stage, cells)


def _gate_memory(entries: _Field, cells: stats.Cells, budget: float) -> None:
    for name in entries.alive():
        problem = memory_problem(cells, name, budget)
        if problem:
            entries.drop(name, REJECTED, problem)


def _run_final(
    plan: Plan, entries: _Field, racer: Racer, with_programs: bool, deadline: float, say: Progress
) -> tuple[stats.Cells, int]:
    """The final, round by round until the rounds are done or the next would end after the deadline.

    Returns its cells and the rounds done.
    """
    stage = plan.final
    others = (LIBC, LIBC_AGAIN, *entries.peers)
    workload_field = entries.contestants(*others, NULL)  # the same to the end: it names the run
    program_field = entries.contestants(*others)
    cells: stats.Cells = {}
    done, longest = 0, 0.0
    while entries.alive() and done < stage.rounds:
        begun = time.monotonic()
        if done >= plan.least_rounds and begun + longest > deadline:
            break
        done += 1
        say(done, stage.rounds, f"{stage.name}: round {done}")
        race = racer.race(stage, done, workload_field)
        if with_programs:
            race = race.joined(racer.programs(done, program_field))
        cells = entries.take(stage, race)
        longest = max(longest, time.monotonic() - begun)
    return cells, done


# ----------------------------------------------------------------------------------------------------
# Gates


def build_all(variants: Sequence[Variant], say: Progress) -> tuple[dict[str, Built], dict[str, str]]:
    """Build variants: those with a malloc library, and why the others have none, by name."""
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


def check_all(built: Mapping[str, Built], say: Progress) -> dict[str, str]:
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


def _rows_of(
    entries: _Field, cells: stats.Cells, meanings: Mapping[str, str], programs: Sequence[str]
) -> tuple[RowOutcome, ...]:
    """Every row that libc ran, with each contestant's cell from the last stage that it was in."""
    last = {stage: stats.summarise(found) for stage, found in entries.cells.items()}
    shown = stats.summarise(cells)
    where = [(name, stage, entries.cells[stage]) for name, stage in entries.stage.items()]
    if (LIBC_AGAIN, next(iter(stats.labels_of(cells, LIBC)), "")) in cells:
        final = next(stage for stage, found in entries.cells.items() if found is cells)
        where += [(name, final, cells) for name in (LIBC_AGAIN, *entries.peers_left())]
    rows = []
    for label in stats.labels_of(cells, LIBC):
        unit = _S if label in programs else _NS
        row_cells = {}
        for name, stage, found in where:
            summary, ratio = last[stage].get((name, label)), stats.ratio(found, name, LIBC, label)
            if summary and ratio:
                row_cells[name] = Cell(
                    cost=summary.ns_per_op * unit.per_ns,
                    spread=summary.cv,
                    ratio=ratio,
                    peak_rss_kib=summary.peak_rss_kib,
                    less_null=summary.net_ns,
                    stage=stage,
                    rounds=summary.rounds,
                )
        first, libc, null = cells[LIBC, label][0], shown[LIBC, label], shown.get((NULL, label))
        rows.append(
            RowOutcome(
                label=label,
                kind="program" if label in programs else "workload",
                meaning=meanings.get(first.workload, meanings.get(label, "")),
                params=json.loads(first.params),
                unit=unit.name,
                histogram={int(size): count for size, count in json.loads(first.histogram).items()},
                null_cost=null.ns_per_op if null else None,
                libc_cost=libc.ns_per_op * unit.per_ns,
                libc_peak_rss_kib=libc.peak_rss_kib,
                cells=row_cells,
            )
        )
    return tuple(sorted(rows, key=lambda row: (row.kind == "program", _place(row.label))))


@dataclass(frozen=True)
class _Unit:
    name: str
    per_ns: float


_NS, _S = _Unit("ns", 1.0), _Unit("s", 1e-9)


def _place(label: str) -> tuple[int, str]:
    """Where a row stands in the lists of suites: pictures keep that order."""
    labels = [row.label for rows in workloads.SUITES.values() for row in rows]
    return (labels.index(label) if label in labels else len(labels), label)


def _variant_outcome(
    entries: _Field, item: Variant, digest: str, tied: Sequence[str], programs: Sequence[str]
) -> VariantOutcome:
    name = item.name
    stage = entries.stage.get(name, "")
    cells = entries.cells.get(stage, {})
    labels = stats.labels_of(cells, name, LIBC)
    shares = {label: _memory(cells, name, label) / _memory(cells, LIBC, label) for label in labels}
    heaviest = max(shares, key=lambda label: shares[label], default="")
    ratios = {label: stats.ratio(cells, name, LIBC, label) for label in labels if label in programs}
    return VariantOutcome(
        name=name,
        why=item.why,
        differs=spec.short_policies(item),
        digest=digest,
        policy_set=item.policies.as_json(),
        status=entries.status.get(name, FINALIST),
        reason=entries.reason.get(name, ""),
        stage=stage,
        rounds=max((len(cells[name, label]) for label in labels), default=0),
        score=_score(cells, name) if labels else None,
        tied=name in tied,
        memory=math.exp(sum(math.log(share) for share in shares.values()) / len(shares)) if shares else None,
        worst_memory=f"{shares[heaviest]:.2f} on {heaviest}" if shares else "",
        programs={label: ratio for label, ratio in ratios.items() if ratio},
    )


def _verdict(
    found: ranking.Decision,
    best: Ratio | None,
    programs: Mapping[str, Ratio],
    floor: float,
    rows: int,
    rejected: int,
    peers: Mapping[str, Ratio],
) -> str:
    if found.winner is None or best is None:
        return f"No variant passed the final: {rejected} were rejected by a gate, so libc stays."
    if not found.beats:
        return (
            f"Nothing beats libc here: the best, {found.winner}, takes {best.value:.3f} of libc's time "
            f"({best.low:.3f} to {best.high:.3f}), and the noise floor is {100 * floor:.1f} %"
            f"{_best_peer(peers)}."
        )
    others = [name for name in found.tied if name != found.winner]
    tie = ""
    if others:
        verb = "ties" if len(others) == 1 else "tie"
        tie = f"; {' and '.join(others)} {verb} with it and it is the simplest of them"
    whole = "".join(f"; {name} takes {ratio.value:.2f} of libc's time" for name, ratio in programs.items())
    return (
        f"{found.winner} is the fastest policy set here: {1 / best.value:.2f} times libc's throughput "
        f"({1 / best.high:.2f} to {1 / best.low:.2f}) over {rows} rows{tie}{whole}"
        f"{_best_peer(peers)}."
    )


def _best_peer(peers: Mapping[str, Ratio]) -> str:
    if not peers:
        return ""
    name = min(peers, key=lambda one: peers[one].value)
    ratio = peers[name]
    return (
        f"; the best peer, {name}, takes {ratio.value:.3f} of libc's time "
        f"({ratio.low:.3f} to {ratio.high:.3f})"
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
    peers: Sequence[bench.Contestant] = (),
    racer: Racer | None = None,
    plan: Plan | None = None,
    progress: Progress | None = None,
    announce: Callable[[Sequence[str]], None] | None = None,
) -> Outcome:
    """Gate, race and rank variants (default: every kept one) and say which is the fastest.

    ``memory_budget`` is the peak RSS allowed on each row as a multiple of libc's, plus 2 MiB. ``announce``
    gets the plan before anything starts. A pick of the same variants that was interrupted within a day is
    gone on with unless ``fresh``. ``peers`` race in the final, for reference: they cannot win, and one that
    fails leaves it. Raises `HakmemError` when libc itself cannot be measured or a row was not
    served by the allocator it names.
    """
    start = time.monotonic()
    say = progress or (lambda _done, _total, _text: None)
    plan = plan or plan_for(quick, suite)
    for stage in (*plan.heats, plan.final):
        workloads.suite(stage.suite)
    variants = [builds.variant(name) for name in names] if names else builds.kept_variants()
    chosen = real_programs.programs() if programs else []
    peer_names = tuple(peer.name for peer in peers)
    lines = plan.lines(len(variants), [program.what for program in chosen], peer_names)
    if announce:
        announce(lines)
    built, problems = build_all(variants, say)
    problems |= check_all(built, say)
    entries = _Field(built, peer_names)
    for name, problem in problems.items():
        entries.drop(name, REJECTED, problem)
    judge = _Judge(variants, entries, [program.name for program in chosen], memory_budget, seed, start)

    def run(racer: Racer) -> Outcome:
        cells: stats.Cells = {}
        rounds = 0
        _run_heats(plan, entries, racer, programs, memory_budget, say)
        if entries.alive():
            cells, rounds = _run_final(plan, entries, racer, programs, start + plan.budget_s, say)
            _gate_memory(entries, cells, memory_budget)
        gates = _gate_lines(len(variants), problems, entries)
        return judge.outcome(cells, gates, (*lines, f"done: {rounds} rounds of the final"), racer)

    if racer:
        return run(racer)
    with bench.default_store() as store:
        journal = _Journal.open(plan, built, seed, fresh)
        outcome = run(BenchRacer(store, chosen, seed, journal, say, peers))
        journal.finish()
        return outcome


@dataclass
class _Judge:
    """Turns what was measured into an outcome."""

    variants: Sequence[Variant]
    entries: _Field
    programs: Sequence[str]
    memory_budget: float
    seed: int
    start: float
    started: datetime = field(default_factory=lambda: datetime.now(timezone.utc))

    def outcome(
        self, cells: stats.Cells, gates: tuple[str, ...], plan: tuple[str, ...], racer: Racer
    ) -> Outcome:
        """The decision over the final's cells, and everything that the pages show."""
        entries = self.entries
        finalists = {name: entries.built[name].variant for name in entries.alive()}
        labels = stats.labels_of(cells, LIBC, *finalists) if finalists else []
        floor = ranking.score_noise(cells, {LIBC_AGAIN: LIBC}, labels)
        found = ranking.decide(cells, finalists, LIBC, floor, labels)
        score = stats.geometric_mean(cells, found.winner, LIBC, labels) if found.winner else None
        others = {
            name: ratio
            for name in (LIBC_AGAIN, *entries.peers_left())
            if (ratio := stats.geometric_mean(cells, name, LIBC, labels))
        }
        peers = {name: ratio for name, ratio in others.items() if name != LIBC_AGAIN}
        ratios = {
            label: stats.ratio(cells, found.winner or LIBC, LIBC, label)
            for label in labels
            if label in self.programs
        }
        whole = {label: ratio for label, ratio in ratios.items() if ratio}
        rejected = sum(status == REJECTED for status in entries.status.values())
        shown = cells or next(reversed(entries.cells.values()), {})
        digests = {name: item.digest for name, item in entries.built.items()}
        return Outcome(
            verdict=_verdict(found, score, whole, floor, len(labels), rejected, peers),
            winner=found.winner if found.beats else None,
            beats_libc=found.beats,
            fastest=found.fastest,
            tied=found.tied,
            noise_floor=floor,
            memory_rule=f"peak RSS on every row at most {self.memory_budget:g} times libc's plus "
            f"{MEMORY_PLUS_KIB // 1024} MiB",
            gates=gates,
            plan=plan,
            machine=racer.machine(),
            started=self.started.strftime("%Y-%m-%d %H:%M UTC"),
            seconds=time.monotonic() - self.start,
            seed=self.seed,
            variants=tuple(
                _variant_outcome(entries, item, digests.get(item.name, ""), found.tied, self.programs)
                for item in self.variants
            ),
            rows=_rows_of(entries, shown, racer.meanings(), self.programs),
            reference=others,
            peer_failures=dict(entries.peers_out),
        )


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


# ----------------------------------------------------------------------------------------------------
# Measuring in earnest


@dataclass
class _Journal:
    """What a pick has begun, kept in the cache, so that an interrupted one is gone on with."""

    path: Path
    opened: list[str]

    @classmethod
    def open(cls, plan: Plan, built: Mapping[str, Built], seed: int, fresh: bool) -> _Journal:
        """The journal of the last pick of these when it was interrupted within a day, else a new one."""
        what = json.dumps([asdict(plan), {name: item.digest for name, item in sorted(built.items())}, seed])
        folder = builds.cache_root() / "pick"
        path = folder / f"{hashlib.sha256(what.encode()).hexdigest()[:12]}.json"
        opened: list[str] = []
        if path.is_file() and not fresh and time.time() - path.stat().st_mtime < _RESUMED_WITHIN_S:
            opened = json.loads(path.read_text(encoding="utf-8"))
        journal = cls(path, opened)
        journal._write()
        return journal

    def is_new(self, stage: str) -> bool:
        """Whether this stage has not begun before; from now on it has."""
        if stage in self.opened:
            return False
        self.opened.append(stage)
        self._write()
        return True

    def finish(self) -> None:
        """The next pick measures anew."""
        self.path.unlink(missing_ok=True)

    def _write(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(json.dumps(self.opened), encoding="utf-8")
        except OSError as error:
            raise HakmemError(f"{self.path}: cannot be written: {error.strerror or error}") from error


class BenchRacer:
    """Races through `hakmem.bench` and `hakmem.programs`, every measurement kept in the store at once."""

    def __init__(
        self,
        store: Store,
        programs: Sequence[real_programs.Program],
        seed: int,
        journal: _Journal,
        say: Progress,
        peers: Sequence[bench.Contestant] = (),
    ) -> None:
        self._peers = {peer.name: peer for peer in peers}
        self._store = store
        self._programs = programs
        self._seed = seed
        self._journal = journal
        self._say = say
        self._reference: dict[str, str] = {}

    def race(self, stage: Stage, rounds: int, contestants: Mapping[str, Built | None]) -> Race:
        """Run the stage's rows; see `Racer`."""
        run = bench.run(
            [self._contestant(name, built) for name, built in contestants.items()],
            workloads.suite(stage.suite),
            rounds,
            self._seed,
            self._store,
            lambda done, total, text: self._say(done, total, f"{stage.name}: {text}"),
            fresh=self._journal.is_new(stage.name),
            min_ms=stage.min_ms,
            timeout_s=_ROW_TIMEOUT_S,
        )
        return self._kept(run)

    def programs(self, rounds: int, contestants: Mapping[str, Built | None]) -> Race:
        """Run the real programs; see `Racer`."""
        known = {name: self._contestant(name, built) for name, built in contestants.items()}
        plan = {
            "programs": [[program.name, *program.command] for program in self._programs],
            "contestants": [[who.name, who.digest, dict(who.env)] for who in known.values()],
            "seed": self._seed,
            "cpu": bench.cpu_model(),
            "kernel": platform.release(),
        }
        key = "programs-" + hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:12]
        run = self._store.open_run(key, plan, self._journal.is_new(key))
        done, failed = self._store.done(run), {failure.variant for failure in self._store.failures(run)}
        for index in range(rounds):
            for program, name in self._order(index, list(contestants)):
                if (name, program.name, index) in done or name in failed:
                    continue
                self._say(index, rounds, f"round {index + 1}: {program.name}: {name}")
                try:
                    self._store.add(self._measure(run, index, program, known[name]))
                except real_programs.ProgramError as error:
                    if isinstance(error, real_programs.NotServedError) and name not in self._peers:
                        raise
                    failed.add(name)
                    self._store.add_failure(Failure(run, name, program.name, index, str(error), ""))
        return self._kept(run)

    def _contestant(self, name: str, built: Built | None) -> bench.Contestant:
        if built:
            return bench.contestant(built)
        if name in self._peers:
            return self._peers[name]
        return bench.null() if name == NULL else replace(bench.libc(), name=name)

    def _order(self, index: int, names: list[str]) -> list[tuple[real_programs.Program, str]]:
        draw = random.Random(f"{self._seed}:programs:{index}")
        steps = []
        for program in draw.sample(list(self._programs), len(self._programs)):
            steps += [(program, name) for name in draw.sample(names, len(names))]
        return steps

    def _measure(self, run: str, index: int, program: real_programs.Program, who: bench.Contestant) -> Result:
        cpu = int(bench.pinning(1))
        if program.name not in self._reference:
            self._reference[program.name] = real_programs.run(program, cpu=cpu).output
        measured = real_programs.run(program, who.preload, environment=who.env, cpu=cpu)
        real_programs.same_output(measured, self._reference[program.name])
        answer = measured.answer({"user_ms": round(1e3 * measured.user_s, 3)})
        return bench.result(run, index, who, workloads.Row(program.name, PROGRAM), self._seed, answer)

    def _kept(self, run: str) -> Race:
        failures = {item.variant: f"{item.label}: {item.reason}" for item in self._store.failures(run)}
        return Race(self._store.results(run), failures)

    def meanings(self) -> Mapping[str, str]:
        """What each workload and program does; see `Racer`."""
        listed = {item["name"]: str(item["meaning"]) for item in workloads.catalogue(builds.runner())}
        return {**listed, **{program.name: program.what for program in self._programs}}

    def machine(self) -> Mapping[str, str]:
        """Where and of what this was measured; see `Racer`."""
        return bench.machine()


# ----------------------------------------------------------------------------------------------------
# Command line


def cli_pick(
    names: Sequence[str],
    quick: bool = False,
    suite: str = "default",
    out: Path | None = None,
    memory_budget: float = 1.5,
    as_json: bool = False,
    html: Path | None = None,
    programs: bool = True,
    fresh: bool = False,
    with_peers: bool = False,
    peers: Sequence[str] = (),
) -> int:
    """What ``hakmem pick`` does: 0 when there is an answer (also "nothing beats libc"); Ctrl-C exits 130."""
    from rich.console import Console

    if out:
        check_out_folder(out)
    page = html or Path(PAGE)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)

    def announce(lines: Sequence[str]) -> None:
        errors.print("plan:")
        for line in lines:
            errors.print(f"  {line}", markup=False)

    variants = [builds.variant(name) for name in names] if names else builds.kept_variants()
    raced = bench.chosen_peers(with_peers, peers, [item.name for item in variants], errors.print)
    with interruptible(errors), shown(errors, "building") as show:
        outcome = pick(
            names,
            quick=quick,
            suite=suite,
            memory_budget=memory_budget,
            programs=programs,
            fresh=fresh,
            peers=raced,
            progress=show,
            announce=announce,
        )
    report.write(outcome, page)
    page.with_suffix(".json").write_text(outcome.as_json() + "\n", encoding="utf-8")
    if as_json:
        sys.stdout.write(outcome.as_json() + "\n")
    else:
        report.print_outcome(Console(), outcome)
        errors.print(f"page: {page}", markup=False)
    for name, reason in outcome.peer_failures.items():
        errors.print(f"error: peer {name} left the race: {reason}", markup=False, style="red")
    if out:
        if outcome.winner:
            for path in take_away(builds.build_one(outcome.winner), out):
                errors.print(f"copied: {path}", markup=False)
        else:
            errors.print(f"nothing is copied to {out}: no variant beats libc", markup=False)
    return 0
