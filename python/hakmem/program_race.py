"""``hakmem bench --suite programs``: the race of real programs, its tables, its JSON and its page."""

from __future__ import annotations

import html
import json
import math
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import bench, report, stats, sweeps
from . import build as builds
from .program_suite import NAME, ProgramRow, ProgramSuite, found
from .progress import interruptible
from .report import figure_section, ratio_text, table, titled
from .stats import Ratio
from .store import Entrant, Failure, Result

PROOF = (
    "Every run was looked at when its process exited: the contestant's library was mapped in it, and under "
    "a hakmem library libc's heap was unused; under libc no hakmem library was mapped and libc's heap was in "
    "use. "
    "Its output was that of the first run under libc."
)


@dataclass(frozen=True)
class Cell:
    """One contestant on one program: median seconds, of which user and system, and peak RSS in KiB.

    ``time`` is the ratio of the time to libc's with its interval, ``memory`` that of the peak.
    """

    seconds: float
    cpu_s: float
    peak_kib: float
    time: Ratio | None
    memory: float | None


@dataclass(frozen=True)
class Standing:
    """One contestant over all programs: geometric means of time and peak RSS to libc's.

    ``runs`` were made, and each of them was proved to be served by the contestant.
    """

    name: str
    kind: str
    cells: Mapping[str, Cell]
    time: Ratio | None
    memory: float | None
    runs: int


def standings(results: Sequence[Result], names: Mapping[str, str], labels: Sequence[str]) -> list[Standing]:
    """How contestants stand, ``names`` giving each one's kind; those without a run are left out."""
    cells = stats.cells(results)
    answer = []
    for name, kind in names.items():
        own = {label: _cell(cells, name, label) for label in labels if (name, label) in cells}
        shares = [math.log(cell.memory) for cell in own.values() if cell.memory]
        if own:
            answer.append(
                Standing(
                    name,
                    kind,
                    own,
                    stats.geometric_mean(cells, name, "libc", labels),
                    math.exp(sum(shares) / len(shares)) if len(shares) == len(labels) else None,
                    sum(len(cells[name, label]) for label in own),
                )
            )
    return answer


def _cell(cells: stats.Cells, name: str, label: str) -> Cell:
    own, base = cells[name, label], cells.get(("libc", label), ())
    peak = stats.median([one.peak_rss_kib for one in own])
    libc = stats.median([one.peak_rss_kib for one in base])
    spent = [json.loads(one.params) for one in own]
    return Cell(
        stats.median([one.ns_per_op / 1e9 for one in own]),
        stats.median([(one["user_ms"] + one["system_ms"]) / 1e3 for one in spent]),
        peak,
        stats.ratio(cells, name, "libc", label),
        peak / libc if base else None,
    )


def cli_program_race(
    names: Sequence[str],
    sweep: Sequence[str],
    rounds: int,
    seed: int,
    as_json: bool,
    export: Path | None,
    with_peers: bool,
    peers: Sequence[str],
    page_path: Path | None,
) -> int:
    """Race variants, libc and peers on the programs; 1 when a contestant failed; Ctrl-C exits 130."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    asked = [*map(builds.variant, names), *(item for name in sweep for item in sweeps.expand(name))]
    rivals = bench.chosen_peers(with_peers, peers, [item.name for item in asked], errors.print)
    with (
        errors.status("building") as status,
        tempfile.TemporaryDirectory(prefix="hakmem-programs-") as folder,
    ):
        variants = list(map(bench.contestant, builds.build_or_raise(asked)))
        suite, missing = found(Path(folder))
        for line in missing:
            errors.print(line, markup=False)
        who, twins = bench.with_twins([bench.libc(), *variants, *rivals])
        rows = suite.rows()
        with bench.default_store() as store:
            fresh = bench.is_complete(who, rows, rounds, seed, store)
            with interruptible(errors, f"what was run is in {store.path}"):
                run = bench.run(
                    who,
                    rows,
                    rounds,
                    seed,
                    store,
                    lambda done, total, text: status.update(f"{done} of {total}: {text}"),
                    fresh=fresh,
                    measure=suite.measure,
                )
            results, failures, entrants = store.results(run), store.failures(run), store.entrants(run)
            if export:
                store.export(export, run)
    left = {failure.variant for failure in failures}
    kinds = {item.name: item.kind for item in who if item.name not in twins and item.name not in left}
    ranked = standings(results, kinds, [row.label for row in rows])
    floor = stats.row_noise(stats.cells(results), twins, [row.label for row in rows])
    if as_json:
        answer = as_object(ranked, suite, missing, rounds, floor, failures, entrants)
        sys.stdout.write(json.dumps(answer, indent=1) + "\n")
    else:
        print_standings(Console(width=report.TABLE_WIDTH, highlight=False), ranked, rows, floor)
    if page_path:
        text = page(
            ranked, rows, missing, entrants, failures, bench.machine() | {"rounds": str(rounds)}, floor
        )
        report.write_text(text, page_path)
        errors.print(f"page: {page_path}", markup=False)
    for failure in failures:
        errors.print(f"error: {failure.variant} failed on {failure.label}: {failure.reason}", markup=False)
    return 1 if failures else 0


def as_object(
    ranked: Sequence[Standing],
    suite: ProgramSuite,
    missing: Sequence[str],
    rounds: int,
    floor: float,
    failures: Sequence[Failure],
    entrants: Sequence[Entrant],
) -> dict[str, Any]:
    """All of it as what JSON can hold."""
    return {
        "suite": NAME,
        "rounds": rounds,
        "machine": bench.machine(),
        "programs": {one.name: {"what": one.what, "process": one.process} for one in suite.programs},
        "missing": list(missing),
        "contestants": [
            {
                "name": item.name,
                "kind": item.kind,
                "runs_proved": item.runs,
                "time_to_libc": vars(item.time) if item.time else None,
                "memory_to_libc": item.memory,
                "programs": {
                    label: {**vars(cell), "time": vars(cell.time) if cell.time else None}
                    for label, cell in item.cells.items()
                },
            }
            for item in ranked
        ],
        "noise_floor": None if math.isnan(floor) else floor,
        "entrants": [vars(entrant) for entrant in entrants],
        "failures": [vars(failure) for failure in failures],
    }


def _order(item: Standing) -> float:
    return item.time.value if item.time else math.inf


def print_standings(
    console: Console, ranked: Sequence[Standing], rows: Sequence[ProgramRow], floor: float
) -> None:
    """Time and memory by program, the geometric means, what was measured and the proof."""
    labels = [row.label for row in rows]
    names = [item.name for item in ranked]
    for title, text in (
        ("seconds, and time to libc's [95 % interval]", _seconds),
        ("peak RSS, MiB (to libc's)", _memory),
    ):
        console.print(title, style="italic", markup=False)
        shown = Table("", box=None, header_style="bold")
        for name in names:
            shown.add_column(name, justify="right")
        for label in labels:
            cells = [text(item.cells[label]) if label in item.cells else "-" for item in ranked]
            shown.add_row(*map(escape, (label, *cells)))
        console.print(shown)
        console.print()
    console.print(f"geometric means to libc over {len(labels)} programs", style="italic", markup=False)
    shown = Table("", "time", "memory", "runs proved", box=None, header_style="bold")
    for item in sorted(ranked, key=_order):
        memory = f"{item.memory:.2f}" if item.memory else "-"
        shown.add_row(item.name, ratio_text(item.time) or "-", memory, str(item.runs))
    console.print(shown)
    for row in rows:
        assert row.program
        console.print(f"{row.label}: {row.program.what} (measured: {row.program.process})", markup=False)
    console.print(PROOF, markup=False)
    console.print(f"noise: the same allocator under two names differs by up to {floor:.1%} in a program")


def _seconds(cell: Cell) -> str:
    text = f"{cell.seconds:.3f}"
    if cell.time is None or cell.time.value == cell.time.low == cell.time.high == 1.0:
        return text
    return f"{text} {cell.time.value:.3f} [{cell.time.low:.3f}..{cell.time.high:.3f}]"


def _memory(cell: Cell) -> str:
    return f"{cell.peak_kib / 1024:.1f}" + (f" ({cell.memory:.2f})" if cell.memory else "")


# ----------------------------------------------------------------------------------------------------
# Page


def page(
    ranked: Sequence[Standing],
    rows: Sequence[ProgramRow],
    missing: Sequence[str],
    entrants: Sequence[Entrant],
    failures: Sequence[Failure],
    machine: Mapping[str, str],
    floor: float,
) -> str:
    """The whole page as text; pictures and their code are inside."""
    others = [item for item in sorted(ranked, key=_order) if item.name != "libc" and item.time]
    first = others[0] if others else ranked[0]
    title = f"{first.name} takes {ratio_text(first.time)} of libc's time over {len(rows)} real programs"
    facts = {**machine, "noise floor": f"{100 * floor:.2f} %", "proof": PROOF}
    about = [
        ("", [html.escape(text) for text in (row.label, row.program.what, row.program.process)])
        for row in rows
        if row.program
    ]
    body = [
        '<p class="eyebrow">hakmem bench --suite programs</p>',
        f"<h1>{html.escape(title)}</h1>",
        _means(ranked),
        figure_section(
            "Time to libc's",
            "time",
            "Median of ratios paired within rounds; blue is faster. Intervals are shown on pointing.",
            wide=True,
        ),
        figure_section(
            "Peak memory to libc's", "memory", "Peak RSS of the process that is measured.", wide=True
        ),
        _costs(ranked, rows),
        "<section><h2>Programs</h2>"
        + table([("program", ""), ("what it does", "w"), ("measured", "w")], about)
        + "".join(f"<p>{html.escape(line)}</p>" for line in missing)
        + "</section>",
        _entrants(entrants, failures),
        "<section><h2>Machine and method</h2>"
        + table(
            [("what", ""), ("value", "w")],
            [("", [html.escape(key), html.escape(value)]) for key, value in facts.items()],
        )
        + "</section>",
    ]
    figures = {
        "time": _map(ranked, rows, lambda cell: cell.time.value if cell.time else math.nan, _seconds),
        "memory": _map(ranked, rows, lambda cell: cell.memory or math.nan, _memory),
    }
    return report.assemble("hakmem bench --suite programs", "\n".join(body), figures)


def _map(ranked: Sequence[Standing], rows: Sequence[ProgramRow], value: Any, text: Any) -> report.Figure:
    whole = [item for item in ranked if len(item.cells) == len(rows)]
    values = [[value(item.cells[row.label]) for item in whole] for row in rows]
    hover = [[f"{row.label}, {item.name}<br>{text(item.cells[row.label])}" for item in whole] for row in rows]
    return report.heat_map([item.name for item in whole], [row.label for row in rows], values, hover)


def _means(ranked: Sequence[Standing]) -> str:
    head = [("contestant", ""), ("time", "n"), ("memory", "n"), ("runs proved", "n")]
    lines = [
        (
            "",
            [
                f"<code>{html.escape(item.name)}</code>",
                ratio_text(item.time),
                f"{item.memory:.2f}" if item.memory else "",
                str(item.runs),
            ],
        )
        for item in sorted(ranked, key=_order)
    ]
    return (
        "<section><h2>Over all programs</h2><p>Geometric means of time and peak RSS to libc's, 95 % "
        f"intervals over rounds.</p>{table(head, lines)}</section>"
    )


def _costs(ranked: Sequence[Standing], rows: Sequence[ProgramRow]) -> str:
    head = [("program", "")]
    head += [pair for item in ranked for pair in ((f"{item.name}, s", "n"), ("ratio", "n"), ("MiB", "n"))]
    lines = []
    for row in rows:
        line = [html.escape(row.label)]
        for item in ranked:
            cell = item.cells.get(row.label)
            line += (
                [f"{cell.seconds:.3f}", titled(cell.time), f"{cell.peak_kib / 1024:.1f}"]
                if cell
                else ["", "", ""]
            )
        lines.append(("", line))
    return f"<section><h2>Seconds and memory</h2>{table(head, lines)}</section>"


def _entrants(entrants: Sequence[Entrant], failures: Sequence[Failure]) -> str:
    reasons = {failure.variant: f"left on {failure.label}: {failure.reason}" for failure in failures}
    head = [("name", ""), ("kind", ""), ("version", ""), ("hash", ""), ("library", "w"), ("remark", "w")]
    lines = [
        (
            "",
            [
                html.escape(text or "")
                for text in (
                    item.variant,
                    item.kind,
                    item.version,
                    item.hash,
                    item.library,
                    reasons.get(item.variant),
                )
            ],
        )
        for item in entrants
    ]
    return f"<section><h2>Who took part</h2>{table(head, lines)}</section>"
