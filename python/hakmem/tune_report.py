"""The page of a tune: verdict, time against memory, what each axis gave, memory over time, trace and rows."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from . import report, trace_report, trace_summary
from .errors import HakmemError
from .report import (
    LEGEND,
    MARGIN,
    Figure,
    error_bars,
    figure_axis,
    figure_section,
    line_at,
    ratio_text,
    table,
    titled,
)
from .search import Trial
from .stats import NULL, Ratio
from .trace import Trace
from .tuned import PROGRAM, Part, Standing, TuneResult
from .verdict import KEEP, LIBC, LIBC_AGAIN

_ROW_PX = 26
_KINDS = {"variant": "@accent", "peer": "@bad", "libc": "@soft"}


def write(found: TuneResult, path: Path) -> Path:
    """Write the page; a place that cannot be written is one line."""
    return report.write_text(page(found), path)


def page(found: TuneResult) -> str:
    """The whole page as text; the trace's pictures are there as long as its file is."""
    figures = {"pareto": _pareto(found)}
    body = [
        f'<p class="eyebrow">hakmem tune, {html.escape(f"{found.question}, {found.started}")}</p>',
        f"<h1>{html.escape(found.verdict.sentence)}</h1>",
        report.facts_row(_facts(found)),
        figure_section(
            "Time against memory",
            "pareto",
            "Time and peak RSS relative to libc's, with 95 % intervals; lower left is better in both. "
            "The dotted line is the memory budget. Pale points are trials of the search, few runs each.",
        ),
        _standings_table(found),
    ]
    if found.parts:
        figures["parts"] = _parts(found)
        body.append(
            figure_section(
                f"What each axis gives {html.escape(found.parts_of)}",
                "parts",
                f"{html.escape(found.parts_of)} with one axis put to another value, relative to itself, "
                "replayed in one race. Right of the line the change costs time: its value now is worth that.",
            )
        )
        body.append(_parts_table(found))
    if found.curves:
        figures["memory_time"] = _curves(found)
        means = ", ".join(f"{one.name} {one.mean_kib / 1024:.1f} MiB" for one in found.curves)
        body.append(
            figure_section(
                "RSS over time",
                "memory_time",
                f"One run of its own for each, looked at every 10 ms. Mean: {html.escape(means)}.",
            )
        )
    sections, more = _trace(found)
    body += sections
    figures |= more
    body += [
        _entries_table(found),
        _trials_table(found),
        _rows_table(found),
        _sets_table(found),
        _method(found),
    ]
    return report.assemble("hakmem tune", "\n".join(body), figures)


def _facts(found: TuneResult) -> Iterable[tuple[str, str]]:
    verdict = found.verdict
    yield verdict.kind, f"by {verdict.by}"
    if verdict.kind != KEEP and verdict.time:
        yield f"{verdict.time.value:.3f}", "of libc's time"
    if verdict.kind != KEEP and verdict.memory:
        yield f"{verdict.memory.value:.2f}", "of libc's peak RSS"
    yield f"{100 * verdict.noise_floor:.1f} %", "noise floor of the deciding race"
    yield str(len(found.entries)), "contestants considered"
    yield str(len(found.trials)), "trials of numbers"
    yield f"{found.seconds / 60:.1f} min", "in all"


# ----------------------------------------------------------------------------------------------------
# Pictures


def _pareto(found: TuneResult) -> Figure:
    data: list[Figure] = []
    pale = [one for one in found.trials if one.time and one.memory]
    if pale:
        data.append(_points("trials", "@soft", [(one.name, one.time, one.memory) for one in pale], size=6))
        data[-1]["opacity"] = 0.5
    deciding = [one for one in found.rows() if one.by == found.rows()[0].by and one.name != NULL]
    for kind, colour in _KINDS.items():
        own = [(one.name, one.time, one.memory) for one in deciding if _group(one, found) == kind]
        if own:
            data.append(
                _points({"libc": "libc again", "peer": "others"}.get(kind, "policy sets"), colour, own)
            )
    winner = [(one.name, one.time, one.memory) for one in deciding if one.name == found.winner]
    if winner:
        data.append(_points("to take", "@good", winner, size=13, text=True))
    data.append(_points("libc", "@bad", [(LIBC, Ratio(1, 1, 1), Ratio(1, 1, 1))], text=True))
    data[-1]["marker"]["symbol"] = "diamond"
    layout = {
        "height": 460,
        "margin": MARGIN,
        "xaxis": figure_axis("peak RSS relative to libc's"),
        "yaxis": figure_axis("time relative to libc's"),
        "legend": LEGEND,
        "shapes": [line_at(found.max_rss, color="@bad", width=1, dash="dot")],
    }
    return {"data": data, "layout": layout}


def _group(one: Standing, found: TuneResult) -> str:
    if one.name in (LIBC, found.winner) or not (one.time and one.memory):
        return ""
    return LIBC if one.name == LIBC_AGAIN else one.kind


def _points(
    title: str,
    colour: str,
    points: Sequence[tuple[str, Ratio | None, Ratio | None]],
    size: int = 10,
    text: bool = False,
) -> Figure:
    whole = [(name, time, memory) for name, time, memory in points if time and memory]
    return {
        "type": "scatter",
        "mode": "markers+text" if text else "markers",
        "name": title,
        "x": [memory.value for _, _, memory in whole],
        "y": [time.value for _, time, _ in whole],
        "error_x": error_bars([memory for _, _, memory in whole], color=colour, thickness=1),
        "error_y": error_bars([time for _, time, _ in whole], color=colour, thickness=1),
        "text": [name for name, _, _ in whole],
        "textposition": "top right",
        "hovertext": [
            f"{name}<br>time {ratio_text(time)}<br>peak RSS {ratio_text(memory)}"
            for name, time, memory in whole
        ],
        "hoverinfo": "text",
        "marker": {"color": colour, "size": size},
    }


def _parts(found: TuneResult) -> Figure:
    parts = sorted(found.parts, key=lambda one: one.time.value)
    names = [_part_name(one) for one in parts]
    data = [
        {
            "type": "scatter",
            "mode": "markers",
            "x": [one.time.value for one in parts],
            "y": names,
            "error_x": error_bars([one.time for one in parts], color="@accent", thickness=1),
            "hovertext": [f"{_part_name(one)}<br>time {ratio_text(one.time)}" for one in parts],
            "hoverinfo": "text",
            "marker": {"color": "@accent", "size": 9},
        }
    ]
    layout = {
        "height": 100 + _ROW_PX * len(names),
        "margin": MARGIN,
        "xaxis": figure_axis("time relative to the set as it is", type="log", dtick="D1"),
        "yaxis": figure_axis(type="category", categoryorder="array", categoryarray=names),
        "shapes": [line_at(1, color="@soft", width=1.5)],
    }
    return {"data": data, "layout": layout}


def _part_name(one: Part) -> str:
    return f"{one.axis}: {one.own} to {one.value}"


def _curves(found: TuneResult) -> Figure:
    colours = ["@bad", "@good", "@accent"]
    data = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": one.name,
            "x": [at for at, _ in one.points],
            "y": [round(kib / 1024, 2) for _, kib in one.points],
            "line": {"color": colour, "width": 2},
        }
        for one, colour in zip(found.curves, colours, strict=False)
    ]
    layout = {
        "height": 320,
        "margin": MARGIN,
        "xaxis": figure_axis("seconds"),
        "yaxis": figure_axis("RSS, MiB", rangemode="tozero"),
        "legend": LEGEND,
    }
    return {"data": data, "layout": layout}


def _trace(found: TuneResult) -> tuple[list[str], dict[str, Figure]]:
    """The trace's own sections; a file that is gone or changed leaves a sentence."""
    if found.trace is None or found.process is None:
        return [], {}
    try:
        trace = Trace(Path(found.trace))
        process = trace.chosen(found.process)
        assert process is not None
        summary = trace_summary.summarise(trace, process)
    except HakmemError as error:
        return [f"<section><h2>The trace</h2><p>{html.escape(str(error))}</p></section>"], {}
    sections, figures = trace_report.pictures(summary)
    return [report.facts_row(trace_report.facts(summary)), *sections], figures


# ----------------------------------------------------------------------------------------------------
# Tables


def _code(text: str) -> str:
    return f"<code>{html.escape(text)}</code>"


def _folded(summary: str, text: str) -> str:
    """Long text behind a word to click on."""
    return f"<details><summary>{summary}</summary><code>{html.escape(text)}</code></details>" if text else ""


def _section(title: str, text: str, inner: str) -> str:
    return f"<section><h2>{title}</h2><p>{text}</p>{inner}</section>"


def _standings_table(found: TuneResult) -> str:
    head = [("contestant", ""), ("by", ""), ("kind", ""), ("runs", "n"), ("median, s", "n"), ("spread", "n")]
    head += [("time to libc's", "n"), ("cpu, s", "n"), ("cpu to libc's", "n"), ("peak MiB", "n")]
    head += [("peak to libc's", "n"), ("mean MiB", "n"), ("mean to libc's", "n"), ("what", "w")]
    rows = [
        (
            "winner" if one.name == found.verdict.name else "",
            [
                _code(one.name),
                one.by,
                one.kind,
                str(one.rounds),
                f"{one.seconds:.4f}" if one.seconds is not None else "",
                f"{100 * one.spread:.1f} %",
                ratio_text(one.time),
                f"{one.cpu_seconds:.4f}" if one.cpu_seconds is not None else "",
                ratio_text(one.cpu),
                f"{one.peak_kib / 1024:.1f}",
                ratio_text(one.memory),
                f"{one.mean_kib / 1024:.1f}" if one.mean_kib is not None else "",
                ratio_text(one.mean_memory),
                html.escape(one.remark) + _folded("policies", one.what),
            ],
        )
        for one in found.rows()
    ]
    text = f"{html.escape(found.verdict.rule)} Ratios are paired within rounds. {_peak_text(found)}"
    return _section("The finalists", text, table(head, rows))


def _peak_text(found: TuneResult) -> str:
    if any(one.by == PROGRAM for one in found.standings):
        return (
            "A program's peak RSS is its largest process's; a replay's is less what the replay holds, "
            "and so is its mean, which is over its calls."
        )
    return "Peak RSS is less what the loop itself holds, and so is a replay's mean, which is over its calls."


def _parts_table(found: TuneResult) -> str:
    head = [("axis", ""), ("from", ""), ("to", ""), ("time", "n"), ("peak RSS", "n")]
    rows = [
        (
            "",
            [
                html.escape(one.axis),
                html.escape(one.own),
                html.escape(one.value),
                ratio_text(one.time),
                ratio_text(one.memory),
            ],
        )
        for one in sorted(found.parts, key=lambda one: -one.time.value)
    ]
    return _section(
        "One axis at a time", "Time and peak RSS relative to the set as it is.", table(head, rows)
    )


def _entries_table(found: TuneResult) -> str:
    head = [("contestant", ""), ("raced on", ""), ("rounds", "n"), ("time to libc's", "n")]
    head += [("peak to libc's", "n"), ("mean to libc's", "n"), ("out because", "w")]
    rows = [
        (
            "",
            [
                _code(one.name),
                html.escape(one.course),
                str(one.rounds or ""),
                ratio_text(one.time),
                titled(one.memory),
                titled(one.mean_memory),
                html.escape(one.reason),
            ],
        )
        for one in found.entries
    ]
    return _section("Every contestant", "How far each came, and why it went no further.", table(head, rows))


def _trials_table(found: TuneResult) -> str:
    if not found.trials:
        return ""
    head = [("trial", "n"), ("name", ""), ("of", ""), ("time to libc's", "n"), ("peak to libc's", "n")]
    head += [("mean to libc's", "n"), ("numbers", "w")]
    rows = [
        (
            "",
            [
                str(number),
                _code(one.name),
                _code(one.base),
                ratio_text(one.time),
                titled(one.memory),
                titled(one.mean_memory),
                html.escape(one.reason) + _folded("numbers", _numbers(one)),
            ],
        )
        for number, one in enumerate(found.trials, 1)
    ]
    return _section("Numbers that were tried", "By replay, few rounds each.", table(head, rows))


def _numbers(one: Trial) -> str:
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in one.numbers.items())


def _rows_table(found: TuneResult) -> str:
    head = [("row", "w"), ("round", "n"), ("contestant", ""), ("digest", ""), ("s", "n"), ("peak KiB", "n")]
    head += [("minor faults", "n"), ("served", "n")]
    rows = [
        (
            "",
            [
                html.escape(one.label),
                str(one.round + 1),
                _code(one.variant),
                _code(one.digest or ""),
                f"{one.ns_per_op * one.ops / 1e9:.4f}",
                f"{max(0, one.peak_rss_kib - one.harness_kib):,}",
                f"{one.minor_faults:,}",
                f"{100 * one.served_share:.0f} %",
            ],
        )
        for one in found.results
    ]
    inner = f"<details><summary>{len(rows)} runs</summary>{table(head, rows)}</details>"
    return _section("Every run behind the figures", "Runs of the last races, one process each.", inner)


def _sets_table(found: TuneResult) -> str:
    shown = {one.name for one in found.standings} | {one.name for one in found.trials}
    head = [("set", ""), ("policies", "w")]
    rows = [
        ("", [_code(name), f"<code>{html.escape(json.dumps(policies))}</code>"])
        for name, policies in found.sets.items()
        if name in shown
    ]
    inner = f"<details><summary>{len(rows)} sets</summary>{table(head, rows)}</details>"
    return _section("Policy sets", "Every option of those that were in the last races and trials.", inner)


def _method(found: TuneResult) -> str:
    facts: Mapping[str, str] = {
        **found.machine,
        "noise floor": f"{100 * found.verdict.noise_floor:.2f} % (libc against itself in the same race)",
        "memory budget": f"{found.max_rss:g} times libc's peak",
        "seed": str(found.seed),
        "took": f"{found.seconds / 60:.1f} minutes",
    }
    rows = [("", [html.escape(key), html.escape(value)]) for key, value in facts.items()]
    plan = "".join(f"<li>{html.escape(line)}</li>" for line in found.plan)
    return (
        f"<section><h2>Machine and method</h2>{table([('what', ''), ('value', 'w')], rows)}"
        f"<details open><summary>What was done</summary><ul>{plan}</ul></details></section>"
    )
