"""What a bench says against the best rival of each row: tables for the terminal and one HTML page."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .report import TABLE_WIDTH, Figure, assemble, cost, figure_section, heat_map, ratio_text, table, titled
from .rivals import PICKED, Cell, Comparison, Standing
from .store import Entrant, Failure


def print_comparison(console: Console, found: Comparison) -> None:
    """Three tables (time, ratios with intervals, memory) and the standings."""
    console.width = TABLE_WIDTH
    names = [*found.variants, *found.rivals]
    _print_table(
        console,
        "ns per operation (less null)",
        ("null", *names),
        {
            row.label: [cost(row.null_ns, "ns"), *(_time(row.cells[name]) for name in names)]
            for row in found.rows
        },
    )
    _print_table(
        console,
        "time to the row's best rival [95 % interval]",
        ("best rival", *names),
        {row.label: [row.best, *(_interval(row.cells[name]) for name in names)] for row in found.rows},
    )
    _print_table(
        console,
        "peak RSS less the loop's arrays, MiB (to the row's lightest rival)",
        names,
        {
            row.label: [
                f"{row.cells[name].peak_kib / 1024:.1f} ({row.cells[name].memory:.2f})" for name in names
            ]
            for row in found.rows
        },
    )
    _print_table(
        console,
        f"geometric means to the best rival of each row (rows: {len(found.rows)}, rounds: {found.rounds})",
        ("time", "worst row", "rows led", "memory"),
        {item.name: _standing(item) for item in _ordered(found)},
    )


def _print_table(
    console: Console, title: str, columns: Sequence[str], lines: Mapping[str, Sequence[str]]
) -> None:
    console.print(title, style="italic", markup=False, highlight=False)
    shown = Table(box=None, header_style="bold")
    shown.add_column("")
    for column in columns:
        shown.add_column(column, justify="right")
    for label, cells in lines.items():
        shown.add_row(*map(escape, (label, *cells)))
    console.print(shown, highlight=False)
    console.print()


def _time(cell: Cell) -> str:
    return cost(cell.ns, "ns") + (f" ({cost(cell.net_ns, 'ns')})" if cell.net_ns is not None else "")


def _interval(cell: Cell) -> str:
    text = f"{cell.time.value:.2f}"
    return text if cell.time.low == cell.time.high else f"{text} [{cell.time.low:.2f}..{cell.time.high:.2f}]"


def _standing(item: Standing) -> list[str]:
    worst = f"{item.worst.value:.2f} on {item.worst_row}"
    return [ratio_text(item.time), worst, str(item.leads), f"{item.memory:.2f}"]


def _ordered(found: Comparison) -> list[Standing]:
    return sorted(found.standings, key=lambda item: item.time.value)


def _first(found: Comparison) -> Standing:
    """The fastest that is one allocator."""
    return next(item for item in _ordered(found) if item.name != PICKED)


# ----------------------------------------------------------------------------------------------------
# Page


def page(
    found: Comparison,
    entrants: Sequence[Entrant],
    failures: Sequence[Failure],
    machine: Mapping[str, str],
) -> str:
    """The whole page as text; pictures and their code are inside."""
    first = _first(found)
    title = (
        f"{first.name} takes {first.time.value:.2f} of the time of each row's best rival "
        f"({first.time.low:.2f} to {first.time.high:.2f}) over {len(found.rows)} rows"
    )
    body = [
        '<p class="eyebrow">hakmem bench</p>',
        f"<h1>{html.escape(title)}</h1>",
        _standings_table(found),
        figure_section(
            "Time to the best rival",
            "time",
            "Each contestant's time relative to the best rival of the row, median of paired ratios. "
            "Blue is ahead of every rival; the best rival itself is 1. "
            "The colour ends at a factor of four; intervals are shown on pointing.",
            wide=True,
        ),
        figure_section(
            "Peak memory to the lightest rival",
            "memory",
            "Peak RSS of the process, read inside it, less the loop's own arrays, relative to the row's "
            "lightest rival.",
            wide=True,
        ),
        _times_table(found),
        _entrants_table(entrants, failures),
        _machine_table(found, machine),
    ]
    return assemble("hakmem bench", "\n".join(body), {"time": _times(found), "memory": _memory(found)})


def _standings_table(found: Comparison) -> str:
    head = [("contestant", ""), ("time", "n"), ("worst row", ""), ("rows led", "n"), ("memory", "n")]
    rows = [
        (
            "winner" if item is _first(found) else "",
            [f"<code>{html.escape(item.name)}</code>", *map(html.escape, _standing(item))],
        )
        for item in _ordered(found)
    ]
    return (
        "<section><h2>Over all rows</h2><p>Geometric means of time and peak memory relative to each row's "
        "best rival, 95 % intervals over rounds. A row is led when the whole interval is below 1; "
        f"by a rival, when it is the best of them.</p>{table(head, rows)}</section>"
    )


def _names(found: Comparison) -> list[str]:
    return [*found.variants, *found.rivals]


def _times(found: Comparison) -> Figure:
    names = _names(found)
    hover = [
        [
            f"{row.label}, {name}<br>{ratio_text(row.cells[name].time)} of the best rival's time<br>"
            f"{_time(row.cells[name])} ns; best rival: {row.best}"
            for name in names
        ]
        for row in found.rows
    ]
    values = [[row.cells[name].time.value for name in names] for row in found.rows]
    return heat_map(names, [row.label for row in found.rows], values, hover)


def _memory(found: Comparison) -> Figure:
    names = _names(found)
    hover = [
        [f"{row.label}, {name}<br>{row.cells[name].peak_kib / 1024:.1f} MiB" for name in names]
        for row in found.rows
    ]
    values = [[row.cells[name].memory for name in names] for row in found.rows]
    return heat_map(names, [row.label for row in found.rows], values, hover)


def _times_table(found: Comparison) -> str:
    names = _names(found)
    head = [("row", ""), ("best rival", ""), ("null", "n")]
    head += [pair for name in names for pair in ((name, "n"), ("less null", "n"), ("ratio", "n"))]
    rows = []
    for row in found.rows:
        line = [html.escape(row.label), html.escape(row.best), cost(row.null_ns, "ns")]
        for name in names:
            cell = row.cells[name]
            line += [cost(cell.ns, "ns"), cost(cell.net_ns, "ns"), titled(cell.time)]
        rows.append(("", line))
    return (
        "<section><h2>Time, and the time less the null row</h2><p>Median ns per operation. The null "
        f"allocator's row is the cost of the loop and of the calls alone.</p>{table(head, rows)}</section>"
    )


def _entrants_table(entrants: Sequence[Entrant], failures: Sequence[Failure]) -> str:
    reasons = {failure.variant: f"left on {failure.label}: {failure.reason}" for failure in failures}
    head = [("name", ""), ("kind", ""), ("version", ""), ("hash", ""), ("library", "w"), ("variables", "w")]
    head.append(("remark", "w"))
    rows = [
        (
            "",
            [
                html.escape(text)
                for text in (
                    item.variant,
                    item.kind,
                    item.version or "",
                    item.hash or "",
                    item.library or "",
                    "" if item.environment == "{}" else item.environment,
                    reasons.get(item.variant, ""),
                )
            ],
        )
        for item in entrants
    ]
    return f"<section><h2>Who took part</h2>{table(head, rows)}</section>"


def _machine_table(found: Comparison, machine: Mapping[str, str]) -> str:
    facts = {**machine, "rounds": str(found.rounds)}
    rows = [("", [html.escape(key), html.escape(value)]) for key, value in facts.items()]
    return f"<section><h2>Machine</h2>{table([('what', ''), ('value', 'w')], rows)}</section>"
