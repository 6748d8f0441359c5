"""The steps of a tune, one after the other: what is raced on, gates, searches, the last races, the verdict.

Every race is in the store and every step is a function of the seed and of what was measured, so that an
interrupted tune takes the same way again.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from . import bench, candidates, class_fit, pick, prove, search, spec, stats, sweeps, trace_summary
from . import build as builds
from . import verdict as verdicts
from .bench import Contestant
from .build import Built, Progress
from .candidates import Habits
from .errors import HakmemError
from .question import BenchRacer, Journal, Question, rows_of
from .record import record
from .replay import ReplayRow, content_hash, make_plan
from .search import Course, Limits
from .spec import PolicySet, Variant
from .store import Result, Store
from .trace import Process, Trace
from .tuned import PROGRAM, REPLAY, WORKLOADS, Curve, Part, Standing, TuneResult
from .verdict import LIBC, Verdict
from .workloads import Row

_ROW_TIMEOUT_S = 120.0
_LEAST_PREFIX = 100_000
_PREFIXES = (16, 4)
_LOOPS_MS = (20, 60)
_CHUNK = 6
_FINALISTS = 4
_PEERS_IN_FINAL = 4
_PART_ROUNDS = 5
_LEAST_ROUNDS = 3
_QUIET = 0.02
_MOST_TIMES = 10


# ----------------------------------------------------------------------------------------------------
# Courses


def trace_courses(trace: Trace, process: Process, folder: Path) -> list[Course]:
    """Replays of growing prefixes of a process's history, the whole last."""
    total = trace.count(process.number)
    hashed = content_hash(trace.path)
    courses = []
    for part in (*_PREFIXES, 1):
        events = total // part
        if part > 1 and events < _LEAST_PREFIX:
            continue
        plan = make_plan(trace, process, folder / f"{part}.plan", events if part > 1 else None)
        name = "the whole trace" if part == 1 else f"its first {part}th"
        share = "" if part == 1 else f", first {events} events"
        label = f"{trace.path.name} {hashed}, process {process.number}{share}"
        row = ReplayRow(label, "replay", {}, plan.path, plan.seats)
        courses.append(Course(name, (row,)))
    return courses


def workload_courses(rows: Sequence[Row]) -> list[Course]:
    """The same rows with growing loops."""
    return [Course(f"loops of {ms} ms", tuple(rows), ms) for ms in (*_LOOPS_MS, bench.MIN_MS)]


# ----------------------------------------------------------------------------------------------------
# The tune


@dataclass
class _Clock:
    """Monotonic times by which the stages end: shares of what is left of the time limit."""

    gates: float
    racing: float
    numbers: float
    proof: float
    parts: float

    @classmethod
    def of(cls, left_s: float, prove_s: float) -> _Clock:
        now = time.monotonic()
        search_s = max(0.0, left_s - prove_s)
        return cls(
            now + 0.35 * search_s,
            now + 0.5 * search_s,
            now + 0.75 * search_s,
            now + 0.9 * left_s,
            now + 0.95 * left_s,
        )


def allocating_share(replayed: Sequence[Result], program_s: float) -> str:
    """What there is to win, in words: the time that libc takes in the replay beyond the null allocator's, of
    the program's. Nothing where libc takes no longer than that.
    """
    cells = {name: cell for (name, _), cell in stats.cells(replayed).items()}
    libc_s, null_s = (
        stats.median([one.ns_per_op * one.ops / 1e9 for one in cells[name]]) for name in (LIBC, stats.NULL)
    )
    if libc_s <= null_s:
        return ""
    return (
        f"by replay, libc takes {libc_s - null_s:.2f} s, {(libc_s - null_s) / program_s:.1%} of the "
        "program's time: more can be won only by where the blocks lie"
    )


def ranked_alike(proved: Sequence[Standing], replayed: Sequence[Standing]) -> str:
    """How alike program and replay rank those that ran both, in words; nothing below three of them."""
    by_replay = {one.name: one.time.value for one in replayed if one.time}
    pairs = [(one.time.value, by_replay[one.name]) for one in proved if one.time and one.name in by_replay]
    alike = stats.rank_correlation(pairs)
    if alike is None:
        return ""
    return f"replay ranks these {len(pairs)} as the program does by {alike:.2f} (Spearman)"


class Steps:
    """One tune on its way; the steps in the order in which `run` takes them."""

    def __init__(
        self,
        question: Question,
        peers: Sequence[Contestant],
        journal: Journal,
        store: Store,
        say: Progress,
        announce: Callable[[str], None],
    ) -> None:
        self.question = question
        self.peers = list(peers)
        self.journal = journal
        self.store = store
        self.say = say
        self.announce = announce
        self.racer = BenchRacer(store, journal, question.seed, say)
        self.started = datetime.now(timezone.utc)
        self.plan: list[str] = []
        self.built: dict[str, Built] = {}
        self.habits = candidates.UNKNOWN
        self.trace: Trace | None = None
        self.process: Process | None = None
        self.prover: prove.Prover | None = None

    # what is raced on

    def tell(self, line: str) -> None:
        """Say a line of the plan, and keep it for the page."""
        self.plan.append(line)
        self.announce(line)

    def courses(self) -> list[Course]:
        """What contestants run; records first when a command is given."""
        question = self.question
        if question.workload:
            return workload_courses(rows_of(question.workload))
        path = question.trace or self._recorded()
        self.trace = Trace(path)
        self.process = self.trace.chosen(question.process)
        if self.process is None or self.trace.count(self.process.number) == 0:
            raise HakmemError(f"{path}: expected a process with events to replay, got none")
        self.say(0, 0, "reading the trace")
        found = trace_summary.summarise(self.trace, self.process)
        threads = f"{len(found.threads)} thread{'s' if len(found.threads) > 1 else ''}"
        self.tell(
            f"trace: {found.events:,} events of {threads}, peak {found.peak_bytes / 1048576:.1f} MiB, "
            f"{100 * found.cross_thread_share:.1f} % of frees by another thread"
        )
        if self.trace.cut:
            self.tell(f"{self.trace.cut}; what is whole is used")
        self.habits = Habits(
            max(1, len(found.threads)),
            found.cross_thread > 0,
            max(found.sizes, default=0),
            self._fitted(found),
            found.calls["realloc"] > 0,
        )
        return trace_courses(self.trace, self.process, self.journal.folder)

    def _fitted(self, found: trace_summary.Summary) -> tuple[int, ...]:
        """Block sizes fitted to what lives at the peak of the process."""
        assert self.trace is not None and self.process is not None
        live = class_fit.live_sizes(self.trace, self.process, found.peak_event)
        sizes = class_fit.fit(class_fit.weighed(live, found.sizes))
        usual, own = (class_fit.lost_bytes(live, one) for one in (class_fit.geometric4(), sizes))
        self.tell(
            f"classes: rounding up loses {usual / 1024:,.0f} KiB at the peak with geometric4, "
            f"{own / 1024:,.0f} KiB with {len(sizes)} sizes fitted to it"
        )
        return sizes

    def _recorded(self) -> Path:
        path = self.journal.folder / "run.trace"
        command = self.question.command
        assert command is not None
        if not path.is_file() or Trace(path).cut or not Trace(path).foot:
            self.say(0, 0, f"recording {command[0]}")
            found = record(command, path, stdout=subprocess.DEVNULL)
            if found.code != 0:
                raise HakmemError(f"tune --: {command[0]} ended with exit code {found.code} while recorded")
        return path

    # gates

    def gate(self, variants: Sequence[Variant]) -> tuple[dict[str, Built], dict[str, str]]:
        """Build and check; see `search.Gate`."""
        if not variants:
            return {}, {}
        built, problems = pick.build_all(variants, self.say)
        problems |= pick.check_all(built, self.say)
        passed = {name: one for name, one in built.items() if name not in problems}
        self.built |= passed
        return passed, problems

    def entrants(self, ends: float) -> tuple[list[Contestant], dict[str, str]]:
        """Policy sets that passed the gates until the time was up, and why others are not in the race."""
        question = self.question
        asked = [builds.variant(name) for name in question.variants]
        asked += [item for name in question.sweep for item in sweeps.expand(name)]
        chosen = (
            list({item.name: item for item in asked}.values())
            if asked
            else candidates.default_sets(self.habits)
        )
        problems: dict[str, str] = {}
        longest = 0.0
        for at in range(0, len(chosen), _CHUNK):
            chunk = chosen[at : at + _CHUNK]
            begun = time.monotonic()
            if at and begun + longest > ends:
                problems |= {item.name: "not reached in time" for item in chosen[at:]}
                break
            self.say(at, len(chosen), f"building and checking {chunk[0].name} and others")
            problems |= self.gate(chunk)[1]
            longest = max(longest, time.monotonic() - begun)
        place = {name: number for number, name in enumerate(self.built)}
        for group in builds.same_code(self.built.values()):
            first, *others = sorted(group, key=lambda name: place[name])
            problems |= dict.fromkeys(others, f"same object code as {first}")
        entering = [one for name, one in self.built.items() if name not in problems]
        self.tell(
            f"gates: {len(entering)} of {len(chosen)} policy sets are built, with a green behaviour suite"
        )
        return [*map(bench.contestant, entering), *self.peers], problems

    # the last race and the program

    def finalists(self, names: Sequence[str], entries: Sequence[search.Entry]) -> list[Contestant]:
        """The best by the search, the best kept set, and the best peers; of equal sets the kept one."""
        kept = set(builds.variant_names())
        peers = {who.name: who for who in self.peers}
        first: dict[PolicySet, str] = {}
        for name in sorted(self.built, key=lambda name: name not in kept):
            first.setdefault(self.built[name].variant.policies, name)
        chosen = list(
            dict.fromkeys(first[self.built[name].variant.policies] for name in names if name in self.built)
        )[: _FINALISTS + 1]
        order = sorted((one for one in entries if one.time and one.name in self.built), key=_reached)
        chosen += [one.name for one in order if one.name in kept and not one.reason.startswith("memory")][:1]
        chosen += best_peers(peers, names, entries)
        return [
            peers[name] if name in peers else bench.contestant(self.built[name])
            for name in dict.fromkeys(chosen)
        ]

    def proof(
        self, contestants: Sequence[Contestant], ends: float
    ) -> tuple[list[Result], dict[str, str], dict[str, str]]:
        """The program under libc, libc again and the finalists, until libc agrees with itself or time is up.

        Libc's two names alone say whether to go on: asked of the finalists, a lucky round would end it.
        Returns the results, who failed, and who left after the rounds that all take part in, with reasons.
        """
        assert self.prover is not None
        field_ = search.field_of(contestants)
        plan: dict[str, Any] = {
            "command": list(self.prover.command),
            "contestants": [[who.name, who.digest, dict(who.env)] for who in field_],
            "seed": self.question.seed,
            "cpu": bench.cpu_model(),
            "kernel": platform.release(),
        }
        key = "prove-" + hashlib.sha256(json.dumps(plan).encode()).hexdigest()[:12]
        run = self.store.open_run(key, plan, self.journal.is_new(key))
        lengths: list[float] = []
        last = time.monotonic()

        def more(index: int) -> bool:
            nonlocal last
            now = time.monotonic()
            if index:
                lengths.append(now - last)
            last = now
            if index >= self.question.rounds and verdicts.noise(self.store.results(run)) <= _QUIET:
                return False
            return index < _LEAST_ROUNDS or now + max(lengths, default=0.0) < ends

        left: dict[str, str] | None = None

        def gone(index: int) -> dict[str, str]:
            nonlocal left
            if index < self.question.rounds:
                return {}
            if left is None:
                common = [one for one in self.store.results(run) if one.round < self.question.rounds]
                # nobody leaves for being slower than one that failed or did not do the program's work
                bad = {item.variant for item in self.store.failures(run)} | set(prove.other_outputs(common))
                names = [who.name for who in contestants if who.name not in bad]
                left = search.excluded(common, names, self.question.max_rss, whole=False, plus_kib=0)
            return left

        most = self.question.rounds * _MOST_TIMES
        seed = self.question.seed
        results, failed = prove.race(self.prover, field_, most, seed, self.store, run, more, self.say, gone)
        return results, failed, left or {}

    def standings(
        self,
        results: Sequence[Result],
        by: str,
        contestants: Iterable[Contestant],
        remarks: Mapping[str, str],
    ) -> list[Standing]:
        """How each contestant stands in a deciding race, the fastest first."""
        cells = stats.cells(results)
        memory = verdicts.memory_cells(results)
        mean = verdicts.mean_memory_cells(results)
        cpu = verdicts.processor_cells(results)
        labels = list(dict.fromkeys(label for name, label in cells if name == LIBC))
        kinds = {who.name: who.kind for who in contestants}
        found = []
        for name in dict.fromkeys(name for name, _ in cells):
            own = [cells[name, label] for label in labels if (name, label) in cells]
            used = [one.ns_per_op for label in labels for one in cpu.get((name, label), ())]
            means = [mean[name, label] for label in labels if (name, label) in mean]
            stock = name == LIBC
            found.append(
                Standing(
                    name=name,
                    kind=kinds.get(name, "libc"),
                    what=spec.short_policies(self.built[name].variant) if name in self.built else "",
                    by=by,
                    rounds=min(map(len, own), default=0),
                    seconds=None
                    if by == WORKLOADS
                    else stats.median([one.ns_per_op * one.ops / 1e9 for one in own[0]]),
                    spread=max((stats.cv([one.ns_per_op for one in cell]) for cell in own), default=0.0),
                    time=None if stock else stats.geometric_mean(cells, name, LIBC, labels),
                    cpu_seconds=stats.median(used) / 1e3 if used else None,
                    cpu=None if stock else stats.geometric_mean(cpu, name, LIBC, labels),
                    memory=None if stock else stats.geometric_mean(memory, name, LIBC, labels),
                    peak_kib=max(
                        (stats.median([one.ns_per_op for one in memory[name, label]]) for label in labels),
                        default=0.0,
                    ),
                    remark=remarks.get(name, ""),
                    mean_memory=None if stock else stats.geometric_mean(mean, name, LIBC, labels),
                    mean_kib=max(
                        (stats.median([one.ns_per_op for one in cell]) for cell in means), default=None
                    ),
                )
            )
        return sorted(found, key=lambda one: one.time.value if one.time else 1.0)

    # what each axis contributed

    def parts(self, name: str, course: Course, ends: float) -> list[Part]:
        """Race the single-axis changes of a set beside it, those that there is time to build."""
        base = self.built[name].variant
        known = {json.dumps(one.variant.policies.as_json()): one for one in self.built.values()}
        changes = []
        longest = 0.0
        for change in candidates.single_changes(base, self.habits.fitted):
            built = known.get(json.dumps(change.variant.policies.as_json()))
            begun = time.monotonic()
            if built is None and begun + longest < ends:
                built = self.gate([change.variant])[0].get(change.variant.name)
                longest = max(longest, time.monotonic() - begun)
            if built is not None:
                changes.append((change, built))
        if not changes:
            return []
        raced = {built.name: bench.contestant(built) for _, built in changes}
        heat = self.racer.race(
            f"axes of {name}",
            course,
            _PART_ROUNDS,
            search.field_of([bench.contestant(self.built[name]), *raced.values()]),
        )
        cells, memory = stats.cells(heat.results), verdicts.memory_cells(heat.results)
        labels = [row.label for row in course.rows]
        found = []
        for change, built in changes:
            ratio = stats.geometric_mean(cells, built.name, name, labels)
            if ratio:
                own = base.policies[change.axis].label
                heavy = stats.geometric_mean(memory, built.name, name, labels)
                found.append(Part(change.axis, change.value, own, ratio, heavy))
        return found

    def curves(
        self, names: Sequence[str], contestants: Mapping[str, Contestant], course: Course
    ) -> list[Curve]:
        """RSS over time, in one run of its own for each."""
        found = []
        for name in names:
            who = contestants.get(name, bench.libc())
            self.say(0, 0, f"looking at the memory of {name} over time")
            if self.prover:
                points = self.prover.curve(who)
            elif self.trace:
                command = [str(builds.runner()), *course.rows[0].arguments(), "--allocator", who.allocator]
                points = prove.sample(command, who.environment(), _ROW_TIMEOUT_S)
            else:
                continue
            found.append(Curve(name, tuple((round(at, 4), kib) for at, kib in points)))
        return found

    # all of it

    def run(self) -> TuneResult:
        """Take every step and keep the result."""
        question = self.question
        left = question.time_limit - self.journal.used_s
        deadline = time.monotonic() + left
        courses = self.courses()
        prove_s = once = 0.0
        if command := question.deciding():
            self.prover = prove.Prover(command)
            self.say(0, 0, f"timing {self.prover.label} on libc")
            once = self.prover.run(bench.libc()).wall_s
            self.prover.expect(once)
            count = _FINALISTS + 2 + (_PEERS_IN_FINAL if self.peers else 0)
            # three times what --rounds takes, but half of what is left: libc seldom agrees with itself before
            prove_s = min(0.5 * left, 3 * question.rounds * count * once + 5)
            self.tell(f"the program takes {once:.2f} s on libc")
        clock = _Clock.of(max(0.0, deadline - time.monotonic()), prove_s)
        entering, out = self.entrants(clock.gates)
        limits = Limits(question.max_rss, clock.racing, clock.numbers)
        alive, entries = search.halve(self.racer, courses, entering, limits, self.say)
        entries += [search.Entry(name, "", 0, None, None, reason) for name, reason in out.items()]
        leaders = self._leaders(alive, entries, limits.leaders)
        self.tell(f"racing: {len(entering)} contestants; through came {', '.join(alive) or 'nobody'}")
        trials = self._numbers(leaders, courses[-1], limits, clock)
        named = search.best_trials(trials, question.max_rss, _FINALISTS)
        raced = self.finalists([*named, *alive], entries)
        self.tell(f"finalists: {', '.join(who.name for who in raced) or 'none'}")
        heat = self.racer.race("final", courses[-1], question.rounds, [*search.field_of(raced), bench.null()])
        results = heat.results
        by = WORKLOADS if question.workload else REPLAY
        variants = {name: one.variant for name, one in self.built.items()}
        told = "the workloads' loops" if question.workload else "replay of the trace"
        verdict = verdicts.decide(heat.results, variants, told, question.max_rss, search.GATE_KIB)
        standings = self.standings(heat.results, by, raced, heat.failures)
        if self.prover:
            if self.trace and (share := allocating_share(heat.results, once)):
                self.tell(share)
            verdict, standings, results = self._proved(raced, standings, clock)
            results += heat.results
        else:
            verdict = replace(
                verdict, sentence=f"{verdict.sentence} Decided by {told}: no program was run to prove it."
            )
        subject = self._subject(verdict, standings)
        parts = self.parts(subject, courses[-1], clock.parts) if subject else []
        shown = list(dict.fromkeys([LIBC, verdict.name if verdict.name != LIBC else subject or LIBC]))
        curves = self.curves(shown, {who.name: who for who in raced}, courses[-1])
        result = TuneResult(
            verdict=verdict,
            question=question.text(),
            plan=tuple(self.plan),
            standings=tuple(standings),
            entries=tuple(entries),
            trials=tuple(trials),
            parts=tuple(parts),
            parts_of=subject or "",
            curves=tuple(curves),
            results=tuple(results),
            sets={name: one.variant.policies.as_json() for name, one in self.built.items()},
            machine=bench.machine(),
            trace=str(self.trace.path.absolute()) if self.trace else None,
            process=self.process.number if self.process else None,
            max_rss=question.max_rss,
            started=self.started.strftime("%Y-%m-%d %H:%M UTC"),
            seconds=self.journal.used_s,
            seed=question.seed,
        )
        self.journal.finish(result)
        return result

    def _leaders(self, alive: Sequence[str], entries: Sequence[search.Entry], count: int) -> list[str]:
        """The sets whose numbers are searched: of those over the budget the lightest, where others lack."""
        heavy = [one for one in entries if one.reason.startswith("memory") and one.name in self.built]
        heavy.sort(key=lambda one: one.memory.value if one.memory else 99.0)
        return [name for name in [*alive, *(one.name for one in heavy)] if name in self.built][:count]

    def _numbers(
        self, leaders: Sequence[str], course: Course, limits: Limits, clock: _Clock
    ) -> list[search.Trial]:
        trials: list[search.Trial] = []
        for number, name in enumerate(leaders):
            now = time.monotonic()
            ends = now + (clock.numbers - now) / (len(leaders) - number)
            found, built = search.tune_numbers(
                self.racer,
                course,
                self.built[name].variant,
                self.built[name],
                self.habits,
                self.gate,
                limits,
                ends,
                self.question.seed,
                self.say,
            )
            trials += found
            self.built |= built
        if trials:
            self.tell(f"numbers: {len(trials)} trials of {', '.join(leaders)}")
        return trials

    def _proved(
        self, raced: Sequence[Contestant], replayed: Sequence[Standing], clock: _Clock
    ) -> tuple[Verdict, list[Standing], list[Result]]:
        """The program decides; the rule is told first."""
        assert self.prover is not None
        told = f"the program `{self.prover.label}`"
        self.tell(f"rule: {verdicts.rule(told, self.question.max_rss)}")
        least = self.question.rounds
        self.tell(
            f"rounds: {least}, and more until libc is within {_QUIET:.0%} of itself, "
            f"at most {least * _MOST_TIMES}; fewer when time is up; after {least} those leave that are "
            "slower than the fastest by more than the noise"
        )
        results, failed, left = self.proof(raced, clock.proof)
        if not results:
            raise HakmemError(f"--prove {self.prover.label}: no whole round was measured")
        variants = {name: one.variant for name, one in self.built.items()}
        stayed = [one for one in results if one.variant not in left]
        verdict = verdicts.decide(stayed, variants, told, self.question.max_rss)
        remarks = {name: f"left after {least} rounds: {reason}" for name, reason in left.items()}
        found = self.standings(results, PROGRAM, raced, {**remarks, **failed})
        lost = [
            Standing(name, "", "", PROGRAM, 0, None, 0.0, None, None, None, None, 0.0, f"failed: {reason}")
            for name, reason in failed.items()
        ]
        if alike := ranked_alike(found, replayed):
            self.tell(alike)
        return verdict, [*found, *lost, *replayed], results

    def _subject(self, verdict: Verdict, standings: Sequence[Standing]) -> str | None:
        """The set whose axes are looked at: the one named, else the fastest."""
        if verdict.name in self.built:
            return verdict.name
        return next((one.name for one in standings if one.name in self.built and one.time), None)


def best_peers(
    peers: Mapping[str, Contestant], names: Sequence[str], entries: Sequence[search.Entry]
) -> list[str]:
    """The peers to prove: those among ``names``, then the others as far as they came; a library once.

    Several, for the program may rank them otherwise than the replay that chose.
    """
    others = sorted((one for one in entries if one.time and one.name in peers), key=_reached)
    best: dict[Path | None, str] = {}
    for name in [*(name for name in names if name in peers), *(one.name for one in others)]:
        best.setdefault(peers[name].preload, name)
    return list(best.values())[:_PEERS_IN_FINAL]


def _reached(entry: search.Entry) -> tuple[bool, int, float]:
    """Sort key of contestants that were raced: those on later courses first, then by time."""
    place = 0 if entry.course == "the whole trace" else 1
    return bool(entry.reason), place, entry.time.value if entry.time else 99.0
