"""``hakmem scale``: the race over growing rows, its tables, its JSON and its page of plots."""

from __future__ import annotations

import html
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import bench, report, scale, stats
from . import build as builds
from .progress import interruptible
from .report import LEGEND, MARGIN, cost, error_bars, figure_axis, figure_section, ratio_text, table, titled
from .scale import Curve, Point
from .stats import Ratio
from .store import Failure

_HEIGHT_PX = 420
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "cross", "star", "hexagon")

Found = Mapping[str, Mapping[int, Point]]


def cli_scale_report(
    names: Sequence[str],
    rounds: int,
    quick: bool,
    with_peers: bool,
    peers: Sequence[str],
    as_json: bool,
    page_path: Path | None,
    curves: Sequence[Curve] | None = None,
    min_ms: int = bench.MIN_MS,
) -> int:
    """What `hakmem scale` does; 1 when a contestant failed; Ctrl-C exits 130. ``curves``: other rows."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    asked = [builds.variant(name) for name in names]
    rivals = bench.chosen_peers(with_peers, peers, [item.name for item in asked], errors.print)
    wanted = list(curves or scale.curves(quick))
    rows = [row for curve in wanted for row in curve.rows.values()]
    most = scale.bound_kib()
    errors.print(f"a process whose resident memory passes {most / 1024 / 1024:.1f} GiB is ended")
    with errors.status("building") as status:
        variants = list(map(bench.contestant, builds.build_or_raise(asked)))
        who, twins = bench.with_twins([bench.libc(), bench.null(), *variants, *rivals])
        with bench.default_store() as store:
            fresh = bench.is_complete(who, rows, rounds, scale.RUN_SEED, store, min_ms)
            with interruptible(errors, f"the rows so far are in {store.path}"):
                run = bench.run(
                    who,
                    rows,
                    rounds,
                    scale.RUN_SEED,
                    store,
                    lambda done, total, text: status.update(f"{done} of {total}: {text}"),
                    fresh=fresh,
                    min_ms=min_ms,
                    measure=scale.measurer(min_ms),
                )
            results, failures = store.results(run), store.failures(run)
    shown = [item.name for item in who if item.name not in twins]
    found = {curve.name: scale.points(results, shown, curve) for curve in wanted}
    floor = stats.row_noise(stats.cells(results), twins, [row.label for row in rows])
    machine = bench.machine() | {"rounds": str(rounds), "bound of resident memory": f"{most >> 10} MiB"}
    if as_json:
        sys.stdout.write(json.dumps(as_object(wanted, found, machine, floor, failures), indent=1) + "\n")
    else:
        print_curves(Console(width=report.TABLE_WIDTH, highlight=False), wanted, found, floor)
    if page_path:
        report.write_text(page(wanted, found, machine, floor, failures), page_path)
        errors.print(f"page: {page_path}", markup=False)
    for failure in failures:
        errors.print(f"error: {failure.variant} failed on {failure.label}: {failure.reason}", markup=False)
    return 1 if failures else 0


def as_object(
    curves: Sequence[Curve],
    found: Mapping[str, Found],
    machine: Mapping[str, str],
    floor: float,
    failures: Sequence[Failure],
) -> dict[str, Any]:
    """All of it as what JSON can hold."""

    def point(value: int, one: Point) -> dict[str, Any]:
        ratio = vars(one.ratio) if one.ratio else None
        return {"at": value, **vars(one), "ns": vars(one.ns), "ratio": ratio}

    return {
        "machine": dict(machine),
        "curves": [
            {
                "name": curve.name,
                "axis": curve.axis,
                "meaning": curve.meaning,
                "contestants": {
                    name: [point(value, one) for value, one in own.items()]
                    for name, own in found[curve.name].items()
                },
            }
            for curve in curves
        ],
        "noise_floor": None if math.isnan(floor) else floor,
        "failures": [vars(failure) for failure in failures],
    }


def print_curves(console: Console, curves: Sequence[Curve], found: Mapping[str, Found], floor: float) -> None:
    """One table a curve: ns per operation with intervals, ratio to libc, peak memory."""
    for curve in curves:
        own = found[curve.name]
        console.print(f"{curve.title}: {curve.meaning}", style="italic", markup=False)
        shown = Table(curve.axis, box=None, header_style="bold")
        for name in own:
            shown.add_column(name, justify="right")
        for value in curve.rows:
            cells = [_text(own[name][value]) if value in own[name] else "-" for name in own]
            shown.add_row(f"{value:,}", *map(escape, cells))
        console.print(shown)
        console.print()
    console.print(
        "cells: ns per operation [95 % interval], time to libc's, peak MiB less the loop's arrays",
        markup=False,
    )
    console.print(f"noise: the same allocator under two names differs by up to {floor:.1%} in a row")


def _text(one: Point) -> str:
    text = f"{cost(one.ns.value, 'ns')} [{cost(one.ns.low, 'ns')}..{cost(one.ns.high, 'ns')}]"
    return text + (f" {one.ratio.value:.2f}" if one.ratio else "") + f" {one.peak_kib / 1024:.1f}"


# ----------------------------------------------------------------------------------------------------
# Page


def page(
    curves: Sequence[Curve],
    found: Mapping[str, Found],
    machine: Mapping[str, str],
    floor: float,
    failures: Sequence[Failure],
) -> str:
    """The whole page as text; pictures and their code are inside."""
    body = ['<p class="eyebrow">hakmem scale</p>', "<h1>Cost as threads, live blocks and heap grow</h1>"]
    for curve in curves:
        body.append(
            figure_section(
                html.escape(curve.title),
                curve.name,
                f"{html.escape(curve.meaning)} Bars are 95 % intervals of the median over rounds; the dotted "
                "line is the null allocator, the cost of the loop.",
            )
        )
        body.append(_table(curve, found[curve.name]))
    facts = {**machine, "noise floor": f"{100 * floor:.2f} %"}
    facts |= {f"{one.variant} failed on {one.label}": one.reason for one in failures}
    lines = [("", [html.escape(key), html.escape(value)]) for key, value in facts.items()]
    body.append(
        f"<section><h2>Machine and method</h2>{table([('what', ''), ('value', 'w')], lines)}</section>"
    )
    figures = {curve.name: _figure(curve, found[curve.name]) for curve in curves}
    return report.assemble("hakmem scale", "\n".join(body), figures)


def _figure(curve: Curve, found: Found) -> report.Figure:
    data: list[report.Figure] = []
    for at, (name, own) in enumerate(found.items()):
        ns: list[Ratio] = [one.ns for one in own.values()]
        null = name == stats.NULL
        data.append(
            {
                "type": "scatter",
                "mode": "lines" if null else "lines+markers",
                "name": name,
                "x": list(own),
                "y": [one.value for one in ns],
                "error_y": error_bars(ns, visible=not null),
                "line": {"dash": "dot", "color": "@soft"} if null else {},
                "marker": {"symbol": _SYMBOLS[at % len(_SYMBOLS)], "size": 8},
                "hovertext": [
                    f"{name}, {value:,} {curve.axis}<br>{_text(one)}" for value, one in own.items()
                ],
                "hoverinfo": "text",
            }
        )
    values = list(curve.rows)
    layout = {
        "height": _HEIGHT_PX,
        "margin": MARGIN,
        "xaxis": figure_axis(
            curve.axis, type="log", tickvals=values, ticktext=[f"{value:,}" for value in values]
        ),
        "yaxis": figure_axis("ns per operation", type="log"),
        "legend": LEGEND,
    }
    return {"data": data, "layout": layout}


def _table(curve: Curve, found: Found) -> str:
    head = [(curve.axis, "n")]
    head += [pair for name in found for pair in ((f"{name}, ns", "n"), ("to libc's", "n"), ("MiB", "n"))]
    lines = []
    for value in curve.rows:
        line = [f"{value:,}"]
        for own in found.values():
            one = own.get(value)
            line += (
                [
                    f'<span title="{ratio_text(one.ns)}">{cost(one.ns.value, "ns")}</span>',
                    titled(one.ratio),
                    f"{one.peak_kib / 1024:.1f}",
                ]
                if one
                else ["", "", ""]
            )
        lines.append(("", line))
    return table(head, lines)
