"""The page of a pick: one HTML file with its pictures and their code inside, readable without a network."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .errors import HakmemError
from .outcome import FINALIST, Outcome, RowOutcome, VariantOutcome
from .stats import Ratio

TABLE_WIDTH = 1000
"""Columns of a console that prints a table: none is ever cut, a narrow terminal wraps its lines."""

_TEMPLATE = Path(__file__).resolve().parent / "report_template.html"
_ROW_PX = 22
_CLIP = math.log2(4)

Figure = dict[str, Any]


def page(outcome: Outcome) -> str:
    """The whole page as text."""
    figures = {
        "ranking": _ranking(outcome),
        "cells": _heat_map(outcome),
        "memory": _scatter(outcome),
        "sizes": _sizes(outcome),
    }
    return assemble("hakmem pick", _body(outcome), figures)


def assemble(title: str, body: str, figures: Mapping[str, Figure]) -> str:
    """A page from its title, its HTML and its pictures by the id of their places in it."""
    from plotly.offline import get_plotlyjs

    template = Template(_TEMPLATE.read_text(encoding="utf-8"))
    text = json.dumps(figures, separators=(",", ":")).replace("<", "\\u003c")
    return template.substitute(title=html.escape(title), body=body, plotly=get_plotlyjs(), figures=text)


def write(outcome: Outcome, path: Path) -> Path:
    """Write the page; a place that cannot be written is one line."""
    return write_text(page(outcome), path)


def write_text(text: str, path: Path) -> Path:
    """Write a page's text; a place that cannot be written is one line."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HakmemError(f"{path}: the page cannot be written: {error.strerror or error}") from error
    return path


def print_outcome(console: Console, outcome: Outcome) -> None:
    """The ranking and the verdict in the terminal."""
    console.width = TABLE_WIDTH
    programs = list(dict.fromkeys(name for item in outcome.variants for name in item.programs))
    table = Table(box=None, header_style="bold")
    for title in ("variant", "how far", "time to libc's", *programs, "memory"):
        table.add_column(title, no_wrap=True)
    table.add_column("remark")
    for item in _ordered(outcome):
        ratios = [item.programs.get(name) for name in programs]
        cells = [item.name, item.status, ratio_text(item.score)]
        cells += [f"{ratio.value:.2f}" if ratio else "" for ratio in ratios]
        cells += [f"{item.memory:.2f}" if item.memory else "", _remark(outcome, item)]
        style = "bold green" if item.name == outcome.winner else "" if item.status == FINALIST else "dim"
        table.add_row(*map(escape, cells), style=style)
    for name in outcome.peers:
        ratios = [_peer_program(outcome, name, program) for program in programs]
        cells = [name, "peer", ratio_text(outcome.reference[name])]
        cells += [f"{ratio.value:.2f}" if ratio else "" for ratio in ratios]
        table.add_row(*map(escape, [*cells, f"{_peer_memory(outcome, name):.2f}", ""]), style="cyan")
    console.print(table)
    console.print(f"noise floor {100 * outcome.noise_floor:.1f} %; {outcome.memory_rule}", style="dim")
    console.print(outcome.verdict, style="bold", markup=False, highlight=False)


# ----------------------------------------------------------------------------------------------------
# Text


def _body(outcome: Outcome) -> str:
    return "\n".join(
        [
            f'<p class="eyebrow">hakmem pick, {html.escape(outcome.started)}</p>',
            f"<h1>{html.escape(outcome.verdict)}</h1>",
            _facts(outcome),
            figure_section(
                "Ranking",
                "ranking",
                "Geometric mean over all rows of the time relative to libc's, with 95 % intervals "
                "over rounds. Left of the line is faster than libc; the band is the noise floor, "
                "within which two variants tie. Pale points were narrowed out before the final "
                "and rest on few, short runs.",
            ),
            _ranking_table(outcome),
            figure_section(
                "Workloads and variants",
                "cells",
                "Time relative to libc's on each row, median of paired ratios. Blue is faster, "
                "red is slower; the colour ends at a factor of four. Variants in order of the ranking.",
                wide=True,
            ),
            figure_section(
                "Time against memory",
                "memory",
                "Each variant's time and peak RSS relative to libc's, geometric means. "
                "Lower left is better in both.",
            ),
            _costs_table(outcome),
            figure_section(
                "Sizes that the workloads ask for",
                "sizes",
                "Share of a row's allocations by size. A size column holds requests up to that many bytes.",
                wide=True,
            ),
            _policies_table(outcome),
            _method(outcome),
        ]
    )


def figure_section(title: str, name: str, text: str, wide: bool = False) -> str:
    """A section with the place of a picture; a wide one may be scrolled sideways."""
    plot = f'<div id="{name}" class="plot"></div>'
    if wide:
        plot = f'<div class="scroll">{plot}</div>'
    return f"<section><h2>{title}</h2><p>{text}</p>{plot}</section>"


def _facts(outcome: Outcome) -> str:
    winner = _named(outcome, outcome.winner)
    facts: list[tuple[str, str]] = []
    if winner and winner.score:
        facts.append((f"{1 / winner.score.value:.2f}x", "libc's throughput, all rows"))
        facts += [
            (f"{ratio.value:.2f}", f"{name}: time to libc's") for name, ratio in winner.programs.items()
        ]
    if winner and winner.memory:
        facts.append((f"{winner.memory:.2f}x", "libc's peak memory"))
    facts.append((f"{100 * outcome.noise_floor:.1f} %", "noise floor of this run"))
    facts.append((str(len(outcome.variants)), "variants considered"))
    return facts_row(facts)


def facts_row(facts: Iterable[tuple[str, str]]) -> str:
    """Figures and what they are, side by side."""
    cells = (f"<div><b>{html.escape(big)}</b><span>{html.escape(small)}</span></div>" for big, small in facts)
    return f'<div class="facts">{"".join(cells)}</div>'


def table(head: Iterable[tuple[str, str]], rows: Iterable[tuple[str, list[str]]]) -> str:
    """``head``: text and class of each column; ``rows``: class of the row and its cells as HTML."""
    columns = list(head)
    top = "".join(f'<th class="{kind}">{html.escape(text)}</th>' for text, kind in columns)
    lines = []
    for row_class, cells in rows:
        inner = "".join(
            f'<td class="{kind}">{cell}</td>' for cell, (_text, kind) in zip(cells, columns, strict=True)
        )
        lines.append(f'<tr class="{row_class}">{inner}</tr>')
    inside = f"<thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class="scroll"><table>{inside}</table></div>'


def ratio_text(ratio: Ratio | None) -> str:
    """A ratio and its interval as text, or nothing."""
    if ratio is None:
        return ""
    if ratio.low == ratio.high:
        return f"{ratio.value:.3f}"
    return f"{ratio.value:.3f} ({ratio.low:.3f} to {ratio.high:.3f})"


def _peer_program(outcome: Outcome, name: str, program: str) -> Ratio | None:
    return next(
        (row.cells[name].ratio for row in outcome.rows if row.label == program and name in row.cells), None
    )


def _peer_memory(outcome: Outcome, name: str) -> float:
    """Geometric mean over the rows of a peer's peak RSS to libc's."""
    shares = [
        row.cells[name].peak_rss_kib / row.libc_peak_rss_kib for row in outcome.rows if name in row.cells
    ]
    return math.exp(sum(map(math.log, shares)) / len(shares))


def _remark(outcome: Outcome, item: VariantOutcome) -> str:
    place = "the pick" if item.name == outcome.winner else "tied with the fastest" if item.tied else ""
    return "; ".join(part for part in (place, item.reason) if part)


def titled(ratio: Ratio | None) -> str:
    """A ratio as HTML, its interval on pointing at it."""
    return f'<span title="{ratio_text(ratio)}">{ratio.value:.2f}</span>' if ratio else ""


def _ranking_table(outcome: Outcome) -> str:
    programs = list(dict.fromkeys(name for item in outcome.variants for name in item.programs))
    head = [("variant", ""), ("how far", ""), ("time to libc's", "n")]
    head += [(name, "n") for name in programs]
    head += [("memory", "n"), ("remark", "w")]
    rows = []
    for item in _ordered(outcome):
        rows.append(
            (
                "winner" if item.name == outcome.winner else "",
                [
                    f"<code>{html.escape(item.name)}</code>",
                    html.escape(item.status),
                    ratio_text(item.score),
                    *[titled(item.programs.get(name)) for name in programs],
                    f'<span title="at most {html.escape(item.worst_memory)}">{item.memory:.2f}</span>'
                    if item.memory
                    else "",
                    html.escape(_remark(outcome, item)),
                ],
            )
        )
    for name in outcome.peers:
        ratios = [titled(_peer_program(outcome, name, program)) for program in programs]
        line = [f"<code>{html.escape(name)}</code>", "peer", ratio_text(outcome.reference[name])]
        rows.append(("", [*line, *ratios, f"{_peer_memory(outcome, name):.2f}", "for reference"]))
    rows += [
        ("", [f"<code>{html.escape(name)}</code>", "peer", *[""] * (len(programs) + 2), html.escape(reason)])
        for name, reason in outcome.peer_failures.items()
    ]
    return (
        "<section><h2>Every variant</h2><p>Time, programs and memory are relative to libc's; memory is the "
        f"geometric mean of peak RSS over the rows.</p>{table(head, rows)}</section>"
    )


def cost(value: float | None, unit: str) -> str:
    """A cost in ns or s as text, or nothing."""
    if value is None:
        return ""
    return f"{value:.3f}" if unit == "s" else f"{value:,.1f}" if value >= 10 else f"{value:.2f}"


def _costs_table(outcome: Outcome) -> str:
    winner = outcome.winner or outcome.fastest
    head = [("row", ""), ("null", "n"), ("libc", "n"), ("libc less null", "n")]
    head += [(f"{winner or 'pick'}", "n"), ("less null", "n"), ("ratio", "n"), ("spread", "n")]
    head += [("peak MiB", "n"), ("libc's", "n")]
    rows = []
    for row in outcome.rows:
        cell = row.cells.get(winner) if winner else None
        less = row.libc_cost - row.null_cost if row.null_cost is not None else None
        rows.append(
            (
                "",
                [
                    html.escape(row.label) + (", s" if row.unit == "s" else ""),
                    cost(row.null_cost, row.unit),
                    cost(row.libc_cost, row.unit),
                    cost(less, row.unit),
                    cost(cell.cost, row.unit) if cell else "",
                    cost(cell.less_null, row.unit) if cell else "",
                    titled(cell.ratio) if cell else "",
                    f"{100 * cell.spread:.1f} %" if cell else "",
                    f"{cell.peak_rss_kib / 1024:.1f}" if cell else "",
                    f"{row.libc_peak_rss_kib / 1024:.1f}",
                ],
            )
        )
    return (
        "<section><h2>Time, and the time less the null row</h2><p>The null allocator hands out one "
        "buffer: its row is the cost of the loop and of the calls alone. What an allocator can change is "
        f"the time less that row. ns per operation; programs in seconds.</p>{table(head, rows)}</section>"
    )


def _policies_table(outcome: Outcome) -> str:
    head = [("variant", ""), ("digest", ""), ("policies beyond the defaults", "w"), ("why", "w")]
    rows = []
    for item in _ordered(outcome):
        whole = html.escape(json.dumps(item.policy_set, separators=(", ", ": ")))
        details = f"<details><summary>policy set</summary><code>{whole}</code></details>"
        rows.append(
            (
                "",
                [
                    f"<code>{html.escape(item.name)}</code>",
                    f"<code>{html.escape(item.digest)}</code>",
                    html.escape(item.differs) + details,
                    html.escape(item.why),
                ],
            )
        )
    return f"<section><h2>Policy sets</h2>{table(head, rows)}</section>"


def _method(outcome: Outcome) -> str:
    facts = {
        **outcome.machine,
        "noise floor": f"{100 * outcome.noise_floor:.2f} % (libc against itself in the same run)",
        "memory gate": outcome.memory_rule,
        "seed": str(outcome.seed),
        "took": f"{outcome.seconds / 60:.1f} minutes",
    }
    rows = [("", [html.escape(key), html.escape(value)]) for key, value in facts.items()]
    plan = "".join(f"<li>{html.escape(line)}</li>" for line in outcome.plan)
    gates = "".join(f"<li>{html.escape(line)}</li>" for line in outcome.gates)
    return (
        f"<section><h2>Machine and method</h2>{table([('what', ''), ('value', 'w')], rows)}"
        f"<details open><summary>Plan</summary><ul>{plan}</ul></details>"
        f"<details open><summary>Gates</summary><ul>{gates}</ul></details></section>"
    )


# ----------------------------------------------------------------------------------------------------
# Pictures


def _named(outcome: Outcome, name: str | None) -> VariantOutcome | None:
    return next((item for item in outcome.variants if item.name == name), None)


def _ordered(outcome: Outcome) -> list[VariantOutcome]:
    """Finalists by score, then those narrowed out by score, then those that were never ranked."""

    def key(item: VariantOutcome) -> tuple[int, float, str]:
        if item.score is None:
            return 2, 0.0, item.name
        return int(item.status != FINALIST), item.score.value, item.name

    return sorted(outcome.variants, key=key)


MARGIN = {"l": 10, "r": 10, "t": 30, "b": 50}
LEGEND = {"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0}


def figure_axis(title: str = "", **more: Any) -> Figure:
    """A figure's axis in the page's colours."""
    return {
        "title": {"text": title},
        "gridcolor": "@line",
        "zerolinecolor": "@line",
        "automargin": True,
        "fixedrange": True,
        **more,
    }


def error_bars(ratios: Sequence[Ratio], **look: Any) -> Figure:
    """The intervals of a figure's points; ``look`` is their colour, thickness and visibility."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [one.high - one.value for one in ratios],
        "arrayminus": [one.value - one.low for one in ratios],
        **look,
    }


def line_at(x: float, **look: Any) -> Figure:
    """A line over the whole height of a figure; ``look`` is its colour, width and dash."""
    return {"type": "line", "xref": "x", "yref": "paper", "x0": x, "x1": x, "y0": 0, "y1": 1, "line": look}


def _ranking(outcome: Outcome) -> Figure:
    shown = [item for item in _ordered(outcome) if item.score]
    names = [*(item.name for item in shown), *outcome.peers]
    data: list[Figure] = []
    groups: list[tuple[str, str, float, list[VariantOutcome]]] = [
        ("the pick", "@good", 1.0, [item for item in shown if item.name == outcome.winner]),
        (
            "finalists",
            "@accent",
            1.0,
            [item for item in shown if item.status == FINALIST and item.name != outcome.winner],
        ),
        ("narrowed out or rejected", "@soft", 0.6, [item for item in shown if item.status != FINALIST]),
    ]
    drawn = [
        (title, colour, opacity, [(item.name, item.score, item.reason) for item in items if item.score])
        for title, colour, opacity, items in groups
    ]
    drawn.append(("peers", "@bad", 1.0, [(name, outcome.reference[name], "") for name in outcome.peers]))
    for title, colour, opacity, points in drawn:
        scores = [score for _name, score, _reason in points]
        if not points:
            continue
        data.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": title,
                "x": [one.value for one in scores],
                "y": [name for name, _score, _reason in points],
                "error_x": error_bars(scores, color=colour),
                "marker": {"color": colour, "size": 10},
                "opacity": opacity,
                "hovertext": [f"{name}: {ratio_text(score)}<br>{reason}" for name, score, reason in points],
                "hoverinfo": "text",
            }
        )
    floor = 1 + outcome.noise_floor
    ends = [1.0]
    ends += [end for *_, points in drawn for _, score, _ in points for end in (score.low, score.high)]
    low, high = math.log10(min(ends)) - 0.02, math.log10(min(max(ends), 8.0)) + 0.02
    ticks = [
        tick
        for tick in (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3, 4, 6, 8)
        if low <= math.log10(tick) <= high
    ]
    layout = {
        "height": 110 + _ROW_PX * len(names),
        "margin": MARGIN,
        "xaxis": figure_axis(
            "time relative to libc's",
            type="log",
            range=[low, high],
            tickvals=ticks,
            ticktext=[f"{tick:g}" for tick in ticks],
        ),
        "yaxis": figure_axis(categoryorder="array", categoryarray=names[::-1], type="category"),
        "legend": LEGEND,
        "shapes": [
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": 1 / floor,
                "x1": floor,
                "y0": 0,
                "y1": 1,
                "fillcolor": "@soft",
                "opacity": 0.15,
                "line": {"width": 0},
            },
            line_at(1, color="@soft", width=1.5),
        ],
    }
    return {"data": data, "layout": layout}


def _heat_map(outcome: Outcome) -> Figure:
    names = [item.name for item in _ordered(outcome) if any(item.name in row.cells for row in outcome.rows)]
    names += outcome.peers
    hover = [
        [
            f"{row.label}, {name}<br>{ratio_text(cell.ratio)} of libc's time<br>"
            f"{cost(cell.cost, row.unit)} {row.unit}, {cell.rounds} rounds ({cell.stage})"
            if (cell := row.cells.get(name))
            else ""
            for name in names
        ]
        for row in outcome.rows
    ]
    ratios = [
        [cell.ratio.value if (cell := row.cells.get(name)) else None for name in names]
        for row in outcome.rows
    ]
    return heat_map(names, [row.label for row in outcome.rows], ratios, hover)


def heat_map(
    names: Sequence[str],
    labels: Sequence[str],
    ratios: Sequence[Sequence[float | None]],
    hover: Sequence[Sequence[str]],
) -> Figure:
    """Ratios by row and contestant: blue below 1, red above, the colour ending at a factor of four."""
    values = [
        [None if one is None else max(-_CLIP, min(_CLIP, math.log2(one))) for one in line] for line in ratios
    ]
    texts = [["" if one is None else f"{one:.2f}" for one in line] for line in ratios]
    ticks = [0.25, 0.5, 1, 2, 4]
    data: list[Figure] = [
        {
            "type": "heatmap",
            "x": list(names),
            "y": list(labels),
            "z": values,
            "text": texts,
            "texttemplate": "%{text}",
            "textfont": {"size": 10},
            "hovertext": hover,
            "hoverinfo": "text",
            "zmin": -_CLIP,
            "zmax": _CLIP,
            "xgap": 1,
            "ygap": 1,
            "colorscale": [
                [0, "#2166ac"],
                [0.35, "#92c5de"],
                [0.5, "#f3f3f3"],
                [0.65, "#f4a582"],
                [1, "#b2182b"],
            ],
            "colorbar": {
                "tickvals": [math.log2(tick) for tick in ticks],
                "ticktext": [f"{tick:g}x" for tick in ticks],
                "orientation": "h",
                "thickness": 10,
                "lenmode": "pixels",
                "len": 300,
                "x": 0,
                "xanchor": "left",
                "y": -0.01,
                "yanchor": "top",
            },
        }
    ]
    layout = {
        "height": 220 + _ROW_PX * len(labels),
        "width": max(640, 220 + 40 * len(names)),
        "margin": {"l": 10, "r": 10, "t": 10, "b": 60},
        "xaxis": figure_axis(type="category", tickangle=-60, side="top"),
        "yaxis": figure_axis(type="category", autorange="reversed"),
    }
    return {"data": data, "layout": layout}


def _scatter(outcome: Outcome) -> Figure:
    shown = [item for item in _ordered(outcome) if item.score and item.memory]
    winner = [item for item in shown if item.name == outcome.winner]
    finalists = [item for item in shown if item.status == FINALIST and item not in winner]
    others = [item for item in shown if item.status != FINALIST]
    data: list[Figure] = []
    groups = (("the pick", "@good", winner), ("finalists", "@accent", finalists), ("others", "@soft", others))
    for title, colour, items in groups:
        if items:
            data.append(
                {
                    "type": "scatter",
                    "mode": "markers+text" if title == "the pick" else "markers",
                    "name": title,
                    "x": [item.memory for item in items],
                    "y": [item.score.value for item in items if item.score],
                    "text": [item.name for item in items],
                    "textposition": "bottom right",
                    "hovertext": [
                        f"{item.name}<br>time {ratio_text(item.score)}<br>memory {item.memory:.2f}"
                        for item in items
                    ],
                    "hoverinfo": "text",
                    "marker": {"color": colour, "size": 11 if title != "others" else 8},
                }
            )
    data.append(
        {
            "type": "scatter",
            "mode": "markers+text",
            "name": "libc",
            "x": [1],
            "y": [1],
            "text": ["libc"],
            "textposition": "top right",
            "marker": {"color": "@bad", "size": 11, "symbol": "diamond"},
        }
    )
    if outcome.peers:
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": "peers",
                "x": [_peer_memory(outcome, name) for name in outcome.peers],
                "y": [outcome.reference[name].value for name in outcome.peers],
                "text": outcome.peers,
                "textposition": "top right",
                "marker": {"color": "@bad", "size": 9, "symbol": "diamond-open"},
            }
        )
    layout = {
        "height": 420,
        "margin": MARGIN,
        "xaxis": figure_axis("peak RSS relative to libc's"),
        "yaxis": figure_axis("time relative to libc's"),
        "legend": LEGEND,
    }
    return {"data": data, "layout": layout}


def _sizes(outcome: Outcome) -> Figure:
    rows = [row for row in outcome.rows if row.histogram]
    bounds = sorted({_power(bound) for row in rows for bound in row.histogram})
    values = []
    for row in rows:
        shares = _shares(row)
        values.append([shares.get(bound) for bound in bounds])
    data: list[Figure] = [
        {
            "type": "heatmap",
            "x": [_bytes(bound) for bound in bounds],
            "y": [row.label for row in rows],
            "z": values,
            "texttemplate": "%{z:.0f}",
            "textfont": {"size": 10},
            "hovertemplate": "%{y}<br>up to %{x}: %{z:.1f} %<extra></extra>",
            "xgap": 1,
            "ygap": 1,
            "zmin": 0,
            "zmax": 100,
            "showscale": False,
            "colorscale": [[0, "#e8eef6"], [1, "#0b4f9c"]],
        }
    ]
    layout = {
        "height": 90 + _ROW_PX * len(rows),
        "margin": {"l": 10, "r": 10, "t": 10, "b": 40},
        "xaxis": figure_axis("", type="category", side="top"),
        "yaxis": figure_axis(type="category", autorange="reversed"),
    }
    return {"data": data, "layout": layout}


def _power(bound: int) -> int:
    """The power of two that a size belongs under, so that all rows share their columns."""
    return 1 << max(0, bound - 1).bit_length()


def _shares(row: RowOutcome) -> Mapping[int, float]:
    total = sum(row.histogram.values())
    shares: dict[int, float] = {}
    for bound, count in row.histogram.items():
        shares[_power(bound)] = shares.get(_power(bound), 0.0) + 100.0 * count / total
    return shares


def _bytes(count: int) -> str:
    for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count // size} {unit}"
    return f"{count} B"
