"""Making a recorded program's calls again under each contestant, in fresh processes and interleaved rounds.

``hakmem_plan`` turns one process of a trace into a plan, which the runner plays (cpp/hakmem/bench/replay.hpp)
once and from the cold: threads and their order kept, first and last byte of each block touched. Racing,
proof of service and statistics are those of `bench`.
"""

from __future__ import annotations

import hashlib
import heapq
import json
import math
import struct
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from . import bench, spec, stats
from . import build as builds
from .bench import Contestant
from .door import Door
from .errors import HakmemError
from .stats import Ratio
from .store import Failure, Result, Store
from .trace import KINDS, Process, Trace, TraceError
from .workloads import Row

SEED = 42
MOST_SEATS = 256
_PLAN = "hakmem_plan"
_WORD = struct.Struct("<I")


@dataclass(frozen=True)
class Plan:
    """A process's calls ready for replay: the file, threads to run, and how many calls of each kind."""

    path: Path
    seats: int
    calls: Mapping[str, int]


@dataclass(frozen=True)
class ReplayRow(Row):
    """A row that replays a plan instead of running a workload; its label names the trace's content."""

    plan: Path = Path()
    seats: int = 1

    @property
    def threads(self) -> int:
        """Threads that the replay runs."""
        return self.seats

    @property
    def has_seed(self) -> bool:
        """Nothing is drawn."""
        return False

    @property
    def has_mean_rss(self) -> bool:
        """It is looked at evenly over the calls."""
        return True

    def arguments(self, seed: int | None = None) -> list[str]:
        """The runner's arguments for this row."""
        del seed
        return ["--replay", str(self.plan)]


@dataclass(frozen=True)
class Standing:
    """One contestant's replay: medians over the rounds, and the paired ratio of its time to libc's.

    ``peak_rss_kib`` and ``mean_rss_kib``, the mean over the calls (None: not looked at), are
    less what the loop itself holds.
    """

    name: str
    kind: str
    rounds: int
    seconds: float
    ns_per_call: float
    cv: float
    ratio: Ratio | None
    peak_rss_kib: float
    calls: int
    mean_rss_kib: float | None = None


def seats_of(trace: Trace, process: Process, events: int | None = None) -> list[int]:
    """The seat of each recorded thread: one that began after another had ended may take its seat.

    ``events`` leaves out threads that begin in frames after so many. With more than `MOST_SEATS` threads at a
    time, some share one and take turns in their order.
    """
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    at = 0
    for frame in trace.events(process.number):
        names, begins = np.unique(frame.threads, return_index=True)
        _, ends = np.unique(frame.threads[::-1], return_index=True)
        for name, begin, end in zip(names.tolist(), begins.tolist(), ends.tolist(), strict=True):
            first.setdefault(name, at + begin)
            last[name] = at + len(frame) - 1 - end
        at += len(frame)
        if events is not None and at >= events:
            break
    seats = [0] * (max(first, default=-1) + 1)
    taken: list[tuple[int, int]] = []  # last event and seat
    for name, begin in sorted(first.items(), key=lambda item: item[1]):
        if taken and (taken[0][0] < begin or len(taken) == MOST_SEATS):
            end, seat = heapq.heappop(taken)
        else:
            end, seat = 0, len(taken)
        seats[name] = seat
        heapq.heappush(taken, (max(end, last[name]), seat))
    return seats


def make_plan(trace: Trace, process: Process, path: Path, events: int | None = None) -> Plan:
    """Write the plan of a process into ``path``; a trace that contradicts itself is a `HakmemError`.

    ``events`` keeps the first so many: what is live behind the last of them stays so.
    """
    seats = seats_of(trace, process, events)
    program = builds.runner().parent / _PLAN
    bound = [] if events is None else [str(events)]
    with subprocess.Popen(
        [str(program), str(path), *bound],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as run:
        assert run.stdin is not None
        try:
            run.stdin.write(struct.pack(f"<{len(seats) + 1}I", len(seats), *seats))
            for columns in trace.columns(process.number):
                run.stdin.write(_WORD.pack(len(columns)))
                run.stdin.write(columns)
        except BrokenPipeError:
            pass  # it has what it needs, or says why not
        answer, complaint = run.communicate()
    if run.returncode != 0:
        raise HakmemError(f"{trace.path}: {complaint.decode(errors='replace').strip()}")
    found = json.loads(answer)
    calls = {name: int(found["calls"][str(kind)]) for kind, name in enumerate(KINDS)}
    return Plan(path, int(found["seats"]), calls)


def content_hash(path: Path) -> str:
    """The first 12 digits of a trace's SHA-256: what a row names it by."""
    content = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            content.update(part)
    return content.hexdigest()[:12]


def race(
    trace: Trace,
    process: Process,
    contestants: Sequence[Contestant],
    rounds: int,
    store: Store,
    folder: Path,
    progress: builds.Progress | None = None,
) -> tuple[Plan, list[Standing], float, list[Failure]]:
    """Replay a process under contestants: its plan, how each stands, the noise floor, and who failed.

    The plan lies in ``folder`` meanwhile. A race of the same trace and contestants that is in the store is
    gone on with, or measured anew when it is complete.
    """
    plan = make_plan(trace, process, folder / "replay.plan")
    row = ReplayRow(
        f"{trace.path.name} {content_hash(trace.path)}, process {process.number}",
        "replay",
        {},
        plan.path,
        plan.seats,
    )
    all_of_them, twins = bench.with_twins(contestants)
    complete = bench.is_complete(all_of_them, [row], rounds, SEED, store)
    run = bench.run(all_of_them, [row], rounds, SEED, store, progress, fresh=complete)
    results = store.results(run)
    found = stats.cells(results)
    standings = [_standing(found, who, row.label) for who in contestants if (who.name, row.label) in found]
    return plan, standings, stats.row_noise(found, twins, [row.label]), store.failures(run)


def _standing(found: stats.Cells, who: Contestant, label: str) -> Standing:
    cell: Sequence[Result] = found[who.name, label]
    means = [max(0, one.mean_rss_kib - one.harness_kib) for one in cell if one.mean_rss_kib is not None]
    return Standing(
        who.name,
        who.kind,
        len(cell),
        stats.median([one.ns_per_op * one.ops / 1e9 for one in cell]),
        stats.median([one.ns_per_op for one in cell]),
        stats.cv([one.ns_per_op for one in cell]),
        stats.ratio(found, who.name, "libc", label) if who.name != "libc" else None,
        stats.median([max(0, one.peak_rss_kib - one.harness_kib) for one in cell]),
        cell[-1].ops,
        stats.median(means) if means else None,
    )


@dataclass(frozen=True)
class Replayed:
    """A replay: what was replayed, how each contestant stands, and who failed.

    ``calls`` counts the process's calls by kind, over ``threads`` threads; ``cut`` says what is wrong with
    the end of the trace (None: nothing); ``noise_floor`` is how far one contestant under two names came
    apart (0.02 is 2 %).
    """

    path: Path
    cut: str | None
    process: Process
    threads: int
    calls: Mapping[str, int]
    standings: tuple[Standing, ...]
    noise_floor: float
    failures: tuple[Failure, ...]


def replay(
    path: Path | str,
    variants: Sequence[str] = (spec.DEFAULT_VARIANT,),
    *,
    process: int | None = None,
    rounds: int = 5,
    peers: Sequence[Contestant] = (),
    progress: builds.Progress | None = None,
) -> Replayed:
    """Make a recorded program's calls again under variants, peers, libc and the null allocator.

    Variants are names or ``.toml`` files, and are built first when they are not. ``process`` is by default
    the one with the most events. A file that is no trace, or has no events, is a `TraceError`.
    """
    trace = Trace(Path(path))
    chosen = trace.with_events(process)
    entrants = list(map(bench.contestant, builds.build_or_raise(variants)))
    contestants = [bench.libc(), bench.null(), *entrants, *peers]
    with bench.default_store() as store, tempfile.TemporaryDirectory(prefix="hakmem-replay-") as name:
        plan, standings, floor, failures = race(
            trace, chosen, contestants, rounds, store, Path(name), progress
        )
    return Replayed(
        trace.path, trace.cut, chosen, plan.seats, plan.calls, tuple(standings), floor, tuple(failures)
    )


def cli_replay(
    path: Path,
    names: Sequence[str],
    process: int | None,
    rounds: int,
    with_peers: bool,
    peers: Sequence[str],
    as_json: bool,
) -> int:
    """What `hakmem replay` does; 1 when the file is no trace or a contestant failed."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    taken = [builds.variant(name).name for name in names]
    rivals = bench.chosen_peers(with_peers, peers, taken, errors.print)
    try:
        with errors.status("building") as status:
            found = replay(
                path,
                names,
                process=process,
                rounds=rounds,
                peers=rivals,
                progress=lambda done, total, text: status.update(f"{done} of {total}: {text}"),
            )
    except TraceError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if found.cut:
        errors.print(f"{found.cut}; what is whole was replayed", markup=False)
    if as_json:
        sys.stdout.write(json.dumps(_as_object(found), indent=1) + "\n")
    else:
        _print(Console(highlight=False), found)
    for failure in found.failures:
        errors.print(f"error: {failure.variant} failed: {failure.reason}", markup=False)
    return 1 if found.failures else 0


def _as_object(found: Replayed) -> dict[str, Any]:
    return {
        "trace": str(found.path),
        "cut": found.cut,
        "process": vars(found.process),
        "threads": found.threads,
        "calls": dict(found.calls),
        "contestants": [
            {**vars(item), "ratio": vars(item.ratio) if item.ratio else None} for item in found.standings
        ],
        "noise_floor": None if math.isnan(found.noise_floor) else found.noise_floor,
        "failures": [vars(failure) for failure in found.failures],
    }


def _print(console: Console, found: Replayed) -> None:
    calls = ", ".join(f"{name} {count:,}" for name, count in found.calls.items())
    which = f"process {found.process.number} {found.process.program}"
    console.print(f"{which}: {calls}; {found.threads} threads", markup=False)
    table = Table("contestant", box=None, header_style="bold")
    for title in ("seconds", "ns a call", "time to libc's", "peak MiB", "to libc's", "mean MiB"):
        table.add_column(title, justify="right")
    base = next((item.peak_rss_kib for item in found.standings if item.name == "libc"), 0.0)
    for item in found.standings:
        ratio = item.ratio
        table.add_row(
            item.name,
            f"{item.seconds:.3f}",
            f"{item.ns_per_call:.1f}",
            f"{ratio.value:.2f} ({ratio.low:.2f} to {ratio.high:.2f})" if ratio else "",
            f"{item.peak_rss_kib / 1024:.1f}",
            f"{item.peak_rss_kib / base:.2f}" if base and item.name != "libc" else "",
            f"{item.mean_rss_kib / 1024:.1f}" if item.mean_rss_kib is not None else "",
        )
    console.print(table)
    console.print(f"noise: the same allocator under two names differs by up to {found.noise_floor:.1%}")


sys.modules[__name__].__class__ = Door
