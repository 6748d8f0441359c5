"""Racing contestants on workload rows: fresh processes, interleaved at random, pinned, with proof of service.

A contestant is what answers malloc: a variant's malloc library, libc, the null allocator, or a library of a
peer. In each round the rows come in random order, and in each row all contestants in random order, so that
what is compared ran within seconds. libc and the first variant run a second time under ``name#2``: what
these pairs differ by is noise.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from . import __version__, callgrind, rivals, rivals_report, sources, spec, stats, sweeps
from . import build as builds
from . import peers as others
from . import report as report_page
from . import workloads as workload_rows
from .build import Built, Progress
from .errors import HakmemError
from .peers import Peer
from .progress import interruptible, shown
from .store import Entrant, Failure, Result, Store
from .workloads import Row

MIN_MS = 200
TIMEOUT_S = 300.0
RESULTS = "results.sqlite"
TWIN = "#2"
_KEPT_LINES = 15

RunId = str


@dataclass(frozen=True)
class Contestant:
    """What answers malloc in a race. ``kind`` is "variant", "libc", "null" or "peer".

    ``digest`` is a variant's own, or a hash of a peer's file; ``version`` is what a peer says of itself.
    """

    name: str
    preload: Path | None
    env: Mapping[str, str] = field(default_factory=dict)
    digest: str | None = None
    kind: str = "variant"
    policy_set: str | None = None
    version: str | None = None

    @property
    def real_name(self) -> str:
        """The name without the mark of a twin."""
        return self.name.removesuffix(TWIN)

    @property
    def allocator(self) -> str:
        """The runner's --allocator."""
        return "null" if self.kind == "null" else "process"

    def environment(self) -> dict[str, str]:
        """This process's environment less what would change allocators, with the library preloaded."""
        kept = others.plain_environment()
        if self.preload:
            kept["LD_PRELOAD"] = str(self.preload)
        return {**kept, **self.env}


Measure = Callable[[Contestant, Row], Mapping[str, Any]]
"""One process of a row that is not the runner's: an answer with the runner's keys and ``served_share``.

It raises `RunnerError` or `ServedByError` as `start_runner` does.
"""


def libc() -> Contestant:
    """The C library's malloc: the baseline."""
    return Contestant("libc", None, kind="libc", version=" ".join(platform.libc_ver()).strip() or None)


def null() -> Contestant:
    """The null allocator: the cost of the loop and of the calls."""
    return Contestant("null", None, kind="null")


def contestant(built: Built) -> Contestant:
    """A built variant behind its malloc library."""
    return Contestant(
        built.name, built.library, digest=built.digest, policy_set=spec.policy_set_json(built.variant)
    )


def peer(item: Peer) -> Contestant:
    """A peer behind its library, or the C library with the peer's variables."""
    return Contestant(
        item.name, item.path, item.environment, item.content_hash(), kind="peer", version=item.version
    )


def with_twins(contestants: Sequence[Contestant]) -> tuple[list[Contestant], dict[str, str]]:
    """The contestants with the A/A pairs added, and which twin is whose."""
    chosen = [item for item in contestants if item.kind == "libc"][:1]
    chosen += [item for item in contestants if item.kind == "variant"][:1]
    twins = {item.name + TWIN: item.name for item in chosen}
    return [*contestants, *(replace(item, name=item.name + TWIN) for item in chosen)], twins


@cache
def cpu_model() -> str:
    """The processor's name as the kernel gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()} x{os.cpu_count()}"
    except OSError:
        pass
    return f"{platform.machine()} x{os.cpu_count()}"


@cache
def commit() -> str:
    """The checkout's commit ("-dirty" when files differ from it), or the package's version."""
    try:
        answer = subprocess.run(
            [
                "git",
                "-C",
                str(sources.root()),
                "describe",
                "--always",
                "--dirty",
                "--abbrev=40",
                "--exclude=*",
            ],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    return answer.stdout.strip() if sources.is_checkout() and answer.returncode == 0 else __version__


def pinning(threads: int) -> str:
    """The CPUs for a process of that many threads: the last one allowed for one thread, else all."""
    allowed = sorted(os.sched_getaffinity(0))
    return str(allowed[-1]) if threads == 1 else ",".join(map(str, allowed))


def start_runner(
    runner: Path,
    who: Contestant,
    row: Row,
    seed: int | None = None,
    extra: Sequence[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> dict[str, Any]:
    """Run one row in a fresh process and return its answer, proved to be served by the contestant.

    A crash, a hang or a refusal is a `RunnerError` with the signal's name or the runner's line.
    """
    command = [
        str(runner),
        *row.arguments(seed),
        "--allocator",
        who.allocator,
        "--cpu",
        pinning(row.threads),
        *extra,
    ]
    found, log = answer_of(command, who, row, timeout_s)
    return found | {"served_share": served_share(who, row, found, log)}


def answer_of(
    command: Sequence[str], who: Contestant, row: Row, timeout_s: float
) -> tuple[dict[str, Any], str]:
    """The JSON that a program prints in the contestant's environment, and its last lines on stderr.

    A crash, a hang or a refusal is a `RunnerError` with the signal's name or the program's line.
    """
    try:
        answer = subprocess.run(
            command,
            env=who.environment(),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=timeout_s,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired as error:
        raise RunnerError(who, row, f"no end after {timeout_s:g} s", "") from error
    except OSError as error:
        raise HakmemError(f"{command[0]}: {error.strerror or error}") from error
    log = "\n".join(answer.stderr.rstrip().splitlines()[-_KEPT_LINES:])
    if answer.returncode < 0:
        raise RunnerError(who, row, f"ended by {signal.Signals(-answer.returncode).name}", log)
    if answer.returncode != 0:
        raise RunnerError(who, row, (log or f"exit code {answer.returncode}").splitlines()[-1], log)
    try:
        found: dict[str, Any] = json.loads(answer.stdout)
    except ValueError as error:
        raise RunnerError(who, row, "its answer is not JSON", log) from error
    return found, log


class RunnerError(HakmemError):
    """A contestant that did not get through a row."""

    def __init__(self, who: Contestant, row: Row, reason: str, log: str) -> None:
        self.reason = reason
        self.log = log
        super().__init__(f"{who.name}, {row.label}: {reason}")


class ServedByError(HakmemError):
    """A row that somebody else than the contestant served: nothing of the run can be trusted.

    Only a peer's is the peer's own fault: the loader would not take its library, or that lacks a function.
    """

    def __init__(self, who: Contestant, row: Row, expected: str, got: object, log: str) -> None:
        complaint = f": {log.splitlines()[-1]}" if log else ""
        self.reason = f"expected {expected}, got {got}{complaint}"
        self.log = log
        super().__init__(f"{who.name}, {row.label}: {self.reason}")


def served_share(who: Contestant, row: Row, answer: Mapping[str, Any], log: str = "") -> float:
    """Share of sampled blocks that are the contestant's; anything but 1 is a `ServedByError`.

    ``log`` is what the runner and the loader wrote on standard error.
    """
    served = answer["served"]
    homes = {name: str(served[name]) for name in ("malloc", "free", "calloc", "realloc")}

    def refuse(expected: str, got: object) -> ServedByError:
        return ServedByError(who, row, expected, got, log)

    if who.kind == "null":
        if served["sampled"] < 1 or served["owned"] != served["sampled"]:
            raise refuse("every block from the null allocator", f"{served['owned']} of {served['sampled']}")
        return 1.0
    if who.preload is not None:
        for name, home in homes.items():
            if not home or Path(home).resolve() != who.preload.resolve():
                raise refuse(f"{name} of {who.preload}", home or "none")
    else:
        for name, home in homes.items():
            if not Path(home).name.startswith(("libc.so", "libc-", "ld-musl")):
                raise refuse(f"{name} of the C library", home or "none")
    if who.kind == "peer" and who.preload is not None:
        return 1.0  # its four functions are its file's; that may be another checkout's hakmem library
    if who.kind != "variant":
        if served["id"] is not None:
            raise refuse("no hakmem library", served["id"])
        return 1.0
    if served["id"] != f"{who.real_name} {who.digest}":
        raise refuse(f"hakmem_id '{who.real_name} {who.digest}'", served["id"])
    if served["sampled"] < 1 or served["owned"] != served["sampled"]:
        raise refuse("every sampled block to be its own", f"{served['owned']} of {served['sampled']}")
    return 1.0


@dataclass(frozen=True)
class _Plan:
    contestants: Sequence[Contestant]
    rows: Sequence[Row]
    seed: int
    min_ms: int

    def as_json(self) -> dict[str, Any]:
        """Everything that makes one run comparable with itself later."""
        return {
            "contestants": [[who.name, who.digest, _content(who), dict(who.env)] for who in self.contestants],
            "rows": [[row.label, row.workload, dict(row.params)] for row in self.rows],
            "seed": self.seed,
            "min_ms": self.min_ms,
            "cpu": cpu_model(),
            "node": platform.node(),
            "kernel": platform.release(),
            "runner": sources.runner_hash(),
        }

    def key(self) -> str:
        return hashlib.sha256(json.dumps(self.as_json(), sort_keys=True).encode()).hexdigest()[:12]


def _entrant(run_id: RunId, who: Contestant) -> Entrant:
    return Entrant(
        run=run_id,
        variant=who.name,
        kind=who.kind,
        library=str(who.preload) if who.preload else None,
        hash=who.digest,
        version=who.version,
        environment=json.dumps(dict(who.env)),
    )


def _content(who: Contestant) -> str | None:
    if who.preload is None or who.digest or not who.preload.is_file():
        return None
    return hashlib.sha256(who.preload.read_bytes()).hexdigest()[:16]


def run(
    contestants: Sequence[Contestant],
    rows: Sequence[Row],
    rounds: int,
    seed: int,
    store: Store,
    progress: Progress | None = None,
    *,
    fresh: bool = False,
    min_ms: int = MIN_MS,
    instructions: bool = False,
    syscalls: bool = False,
    timeout_s: float = TIMEOUT_S,
    measure: Measure | None = None,
) -> RunId:
    """Race contestants on rows and keep every row in the store; returns the run's id.

    A run of the same contestants, rows, seed and machine that is in the store is gone on with: its rows are
    not measured again, unless ``fresh``. A contestant that crashes or hangs leaves the run with a `Failure`
    in the store; the others go on. A row that the contestant did not serve itself is a `ServedByError`, of a
    peer a `Failure` too.
    Ctrl-C is passed on with everything measured so far in the store. ``instructions`` and ``syscalls``
    count these once per contestant and row, in runs of their own. ``measure`` takes the runner's place.
    """
    race = _Race(
        _Plan(contestants, rows, seed, min_ms), store, progress or (lambda *_: None), timeout_s, measure
    )
    return race.run(rounds, fresh, instructions, syscalls)


def is_complete(
    contestants: Sequence[Contestant],
    rows: Sequence[Row],
    rounds: int,
    seed: int,
    store: Store,
    min_ms: int = MIN_MS,
) -> bool:
    """Whether the newest run of these has nothing left to measure."""
    key = _Plan(contestants, rows, seed, min_ms).key()
    found = store.query("SELECT id FROM runs WHERE key = ? ORDER BY started DESC, id DESC LIMIT 1", [key])
    if not found:
        return False
    failed = {failure.variant for failure in store.failures(found[0]["id"])}
    wanted = {
        (who.name, row.label, index)
        for who in contestants
        if who.name not in failed
        for row in rows
        for index in range(rounds)
    }
    return wanted <= store.done(found[0]["id"])


def result(run: RunId, index: int, who: Contestant, row: Row, seed: int, answer: Mapping[str, Any]) -> Result:
    """What the store keeps of a `Measure`'s answer in round ``index``, measured now and here."""
    tools = builds.toolchain()
    return Result(
        run=run,
        time=time.time(),
        variant=who.name,
        kind=who.kind,
        digest=who.digest,
        policy_set=who.policy_set,
        commit=commit(),
        compiler=tools.compiler_id,
        flags=tools.flags,
        cpu=cpu_model(),
        label=row.label,
        workload=row.workload,
        params=json.dumps(answer["params"]),
        histogram=json.dumps(answer["histogram"]),
        seed=seed,
        threads=answer["threads"],
        shape=answer.get("shape", "call"),
        round=index,
        ops=answer["ops"],
        ns_per_op=answer["ns_per_op"],
        startup_ns=answer["startup_ns"],
        spawn_ns=answer.get("spawn_ns"),
        instructions_per_op=None,
        counter=None,
        minor_faults=answer["page_faults"]["minor"],
        major_faults=answer["page_faults"]["major"],
        syscalls_in_loop=None,
        peak_rss_kib=answer["peak_rss_kib"],
        rss_end_kib=answer["rss_end_kib"],
        harness_kib=answer["harness_kib"],
        served_share=answer["served_share"],
        mean_rss_kib=answer.get("mean_rss_kib"),
    )


class _Race:
    def __init__(
        self, plan: _Plan, store: Store, progress: Progress, timeout_s: float, measure: Measure | None
    ) -> None:
        self._plan = plan
        self._store = store
        self._progress = progress
        self._timeout_s = timeout_s
        self._ask = measure or self._start(builds.runner())

    def run(self, rounds: int, fresh: bool, instructions: bool, syscalls: bool) -> RunId:
        store, plan = self._store, self._plan
        run_id = store.open_run(plan.key(), plan.as_json(), fresh)
        for who in plan.contestants:
            store.add_entrant(_entrant(run_id, who))
        failed = {failure.variant for failure in store.failures(run_id)}
        done = store.done(run_id)
        todo = [step for index in range(rounds) for step in self._round(index)]
        todo = [
            (index, who, row)
            for index, who, row in todo
            if (who.name, row.label, index) not in done and who.name not in failed
        ]
        counts = [
            (who, row)
            for row in plan.rows
            for who in plan.contestants
            if (instructions or syscalls) and not who.name.endswith(TWIN)
        ]
        total = len(todo) + len(counts)
        for number, (index, who, row) in enumerate(todo):
            if who.name in failed:
                continue
            self._progress(number, total, f"round {index + 1} of {rounds}: {row.label}: {who.name}")
            try:
                store.add(result(run_id, index, who, row, plan.seed, self._ask(who, row)))
            except (RunnerError, ServedByError) as error:
                if isinstance(error, ServedByError) and who.kind != "peer":
                    raise
                failed.add(who.name)
                store.add_failure(Failure(run_id, who.name, row.label, index, error.reason, error.log))
        for number, (who, row) in enumerate(counts, start=len(todo)):
            if who.name in failed:
                continue
            self._progress(number, total, f"counting: {row.label}: {who.name}")
            try:
                self._count(run_id, who, row, instructions, syscalls)
            except HakmemError:
                if who.kind != "peer":  # a peer may end under a tracer or valgrind; its times stand
                    raise
        self._progress(total, total, "done")
        return run_id

    def _round(self, index: int) -> list[tuple[int, Contestant, Row]]:
        order = random.Random(f"{self._plan.seed}:{index}")
        rows = list(self._plan.rows)
        order.shuffle(rows)
        steps = []
        for row in rows:
            contestants = list(self._plan.contestants)
            order.shuffle(contestants)
            steps += [(index, who, row) for who in contestants]
        return steps

    def _start(self, runner: Path) -> Measure:
        extra = ["--min-ms", str(self._plan.min_ms)]
        self._runner = runner
        return lambda who, row: start_runner(runner, who, row, self._plan.seed, extra, self._timeout_s)

    def _count(self, run_id: RunId, who: Contestant, row: Row, instructions: bool, syscalls: bool) -> None:
        seed = self._plan.seed
        counts: dict[str, float | str] = {}
        if syscalls and row.workload != "startup":
            answer = start_runner(
                self._runner, who, row, seed, ["--count-syscalls", "--passes", "1"], self._timeout_s
            )
            counts["syscalls_in_loop"] = int(answer["syscalls_in_loop"])
        if instructions and callgrind.countable(row):
            found = callgrind.count(self._runner, row, who.environment(), seed, allocator=who.allocator)
            doubt = "" if found.agree else f" (toggled: {found.toggled:.1f})"
            counts |= {"instructions_per_op": found.per_op, "counter": found.counter + doubt}
        if counts:
            self._store.set_counts(run_id, who.name, row.label, **counts)


# ----------------------------------------------------------------------------------------------------
# Command line


def default_store() -> Store:
    """The store in the cache folder."""
    return Store(builds.cache_root() / RESULTS)


def cli_bench(
    names: Sequence[str],
    suite: str = "default",
    rounds: int = 10,
    seed: int = 42,
    as_json: bool = False,
    export: Path | None = None,
    instructions: bool = False,
    with_peers: bool = False,
    peers: Sequence[str] = (),
    html: Path | None = None,
    sweep: Sequence[str] = (),
) -> int:
    """Race variants against libc and peers, and print medians with intervals; what `hakmem bench` does.

    ``sweep`` adds the variants of those sweeps, ``with_peers`` the peers that are found, ``peers`` those of
    ``--peer``. Returns the exit code: 0, or 1 when a contestant failed; Ctrl-C exits 130, the rows are kept.
    """
    from rich.console import Console
    from rich.progress import TimeElapsedColumn, TimeRemainingColumn

    rows = workload_rows.suite(suite)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    columns = (
        "{task.percentage:>3.0f} %",
        TimeElapsedColumn(),
        "left:",
        TimeRemainingColumn(compact=True),
    )
    asked = [*map(builds.variant, names), *(item for name in sweep for item in sweeps.expand(name))]
    raced = chosen_peers(with_peers, peers, [item.name for item in asked], errors.print)
    with shown(errors, "building", *columns) as show:
        variants = list(map(contestant, builds.build_or_raise(asked, show)))
    contestants, twins = with_twins([libc(), null(), *variants, *raced])
    with default_store() as store:
        complete = is_complete(contestants, rows, rounds, seed, store)
        with (
            interruptible(errors, f"the rows so far are in {store.path}"),
            shown(errors, "measuring", *columns) as show,
        ):
            run_id = run(
                contestants,
                rows,
                rounds,
                seed,
                store,
                show,
                fresh=complete,
                instructions=instructions,
                syscalls=True,
            )
        results, failures = store.results(run_id), store.failures(run_id)
        entrants = store.entrants(run_id)
        if export:
            store.export(export, run_id)
    compared = _compare(contestants, results, failures, rows)
    if as_json:
        last = time.gmtime(max((one.time for one in results), default=0))
        report = {
            "suite": suite,
            "date": time.strftime("%Y-%m-%d", last),
            "machine": machine(),
            **_report(run_id, results, failures, rows, twins),
            "entrants": [vars(entrant) for entrant in entrants],
            "against_rivals": compared.as_json() if compared else None,
        }
        sys.stdout.write(json.dumps(report, indent=1) + "\n")
    elif raced and compared:
        rivals_report.print_comparison(Console(), compared)
        _print_noise(Console(), results, rows, twins)
    else:
        _print(Console(), results, rows, twins)
    if html and not compared:
        errors.print("no page: there is no round that every contestant has", style="red")
    elif html and compared:
        report_page.write_text(rivals_report.page(compared, entrants, failures, machine()), html)
        errors.print(f"page: {html}", markup=False)
    for failure in failures:
        line = f"error: {failure.variant} failed on {failure.label}: {failure.reason}"
        errors.print(line, markup=False, style="red")
        if failure.log and failure.variant not in {item.name for item in raced}:
            errors.print(failure.log, markup=False)
    return 1 if failures else 0


def chosen_peers(
    found: bool, given: Sequence[str], variants: Sequence[str], say: Callable[[str], object]
) -> list[Contestant]:
    """The peers of a race as contestants; says which known ones are not on this machine.

    A name that a variant or another contestant has is one line.
    """
    here, missing = others.found() if found else ([], [])
    for item in missing:
        say(f"peer {item.name} is not on this machine: apt-get install {item.package}")
    taken = ["libc", "null", *variants, *(item.name for item in here)]
    return [peer(item) for item in [*here, *others.given(given, taken)]]


def machine() -> dict[str, str]:
    """Where and of what is measured: processor, kernel, C library, compiler, flags and commit, by name."""
    tools = builds.toolchain()
    return {
        "processor": cpu_model(),
        "kernel": f"{platform.system()} {platform.release()}",
        "C library": " ".join(platform.libc_ver()),
        "compiler": tools.compiler_id,
        "flags": tools.flags,
        "commit": commit(),
    }


def _compare(
    contestants: Sequence[Contestant],
    results: Sequence[Result],
    failures: Sequence[Failure],
    rows: Sequence[Row],
) -> rivals.Comparison | None:
    """Those that ran every row, against libc and the peers."""
    left = {failure.variant for failure in failures}
    names = {
        kind: [
            who.name
            for who in contestants
            if who.kind == kind and who.name not in left and not who.name.endswith(TWIN)
        ]
        for kind in ("variant", "libc", "peer")
    }
    labels = [row.label for row in rows]
    return rivals.compare(stats.cells(results), names["variant"], names["libc"] + names["peer"], labels)


def _report(
    run_id: RunId,
    results: Sequence[Result],
    failures: Sequence[Failure],
    rows: Sequence[Row],
    twins: Mapping[str, str],
) -> dict[str, Any]:
    found = stats.cells(results)
    labels = [row.label for row in rows]
    names = list(dict.fromkeys(result.variant for result in results))
    table = []
    for summary in stats.summarise(found).values():
        against = stats.ratio(found, summary.variant, "libc", summary.label)
        table.append({**vars(summary), "ratio_to_libc": vars(against) if against else None})
    means = {name: stats.geometric_mean(found, name, "libc", labels) for name in names if name != "null"}
    floor = stats.row_noise(found, twins, labels)
    return {
        "run": run_id,
        "cells": table,
        "geometric_mean_to_libc": {name: vars(mean) if mean else None for name, mean in means.items()},
        "noise_floor": None if math.isnan(floor) else floor,
        "failures": [vars(failure) for failure in failures],
    }


def _print(console: Any, results: Sequence[Result], rows: Sequence[Row], twins: Mapping[str, str]) -> None:
    from rich.table import Table

    found = stats.cells(results)
    summaries = stats.summarise(found)
    names = [
        name for name in dict.fromkeys(sorted({key[0] for key in found})) if name not in (*twins, "libc")
    ]
    names = ["libc", *sorted(names, key=lambda name: (name != "null", name))]
    table = Table(
        "row", box=None, header_style="bold", title="ns per operation (less null) and ratio to libc"
    )
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        line = [row.label]
        for name in names:
            summary = summaries.get((name, row.label))
            if summary is None:
                line.append("-")
                continue
            text = f"{summary.ns_per_op:.1f}"
            if name != "null" and summary.net_ns is not None:
                text += f" ({summary.net_ns:.1f})"
            against = stats.ratio(found, name, "libc", row.label) if name not in ("libc", "null") else None
            if against:
                text += f" {against.value:.2f} [{against.low:.2f}..{against.high:.2f}]"
            if summary.instructions_per_op is not None:
                text += f" {summary.instructions_per_op:.0f} instr"
            if summary.syscalls_in_loop:
                text += f" {summary.syscalls_in_loop} syscalls"
            line.append(text.replace("[", r"\["))
        table.add_row(*line)
    console.print(table)
    labels = [row.label for row in rows]
    for name in names:
        mean = stats.geometric_mean(found, name, "libc", labels) if name not in ("libc", "null") else None
        if mean:
            console.print(
                f"{name}: geometric mean of time to libc's "
                f"{mean.value:.3f} ({mean.low:.3f} to {mean.high:.3f})",
                highlight=False,
            )
    _print_noise(console, results, rows, twins)


def _print_noise(
    console: Any, results: Sequence[Result], rows: Sequence[Row], twins: Mapping[str, str]
) -> None:
    floor = stats.row_noise(stats.cells(results), twins, [row.label for row in rows])
    console.print(
        f"noise: the same allocator under two names differs by up to {floor:.1%} in a row", highlight=False
    )
