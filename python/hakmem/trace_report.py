"""What a trace says, for people: tables in the terminal, pictures in one HTML page, JSON for machines."""

from __future__ import annotations

import html
import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import report
from .errors import HakmemError
from .trace import Trace, TraceError
from .trace_summary import Summary, by_doubling, summarise

_BAR = 30
_CURVE = 60
_STEPS = "▁▂▃▄▅▆▇█"
_MOST_PROCESSES = 20
_MOST_THREADS = 20

Figure = dict[str, Any]


def cli_trace_report(path: Path, process: int | None, as_json: bool, page_path: Path | None) -> int:
    """What `hakmem trace show` does; 1 when the file is no trace, or not a whole one."""
    try:
        trace = Trace(path)
        chosen = trace.chosen(process)
        wanted = trace.processes if as_json and process is None else [chosen] if chosen else []
        found = [summarise(trace, item) for item in wanted]
    except TraceError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    if page_path:
        write_page(trace, found, page_path)
    if as_json:
        sys.stdout.write(json.dumps(as_object(trace, found), indent=1) + "\n")
    else:
        print_trace(Console(highlight=False), trace, found)
    if trace.cut:
        sys.stderr.write(f"error: {trace.cut}; what is whole is shown\n")
        return 1
    return 0


def as_object(trace: Trace, found: Sequence[Summary]) -> dict[str, Any]:
    """Everything that was counted, as JSON takes it."""
    return {
        "trace": str(trace.path),
        "cut": trace.cut,
        "head": trace.head,
        "foot": trace.foot,
        "events": trace.count(),
        "processes": [summary.as_json() for summary in found],
    }


def bytes_text(count: int) -> str:
    """Bytes in the largest binary unit that leaves at least 1."""
    value, units = float(count), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{count} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def facts(summary: Summary) -> list[tuple[str, str]]:
    """A process's figures and what they are."""
    reallocated = sum(summary.chains.values())
    blocks = sum(count for kind, count in summary.calls.items() if kind in ("malloc", "calloc", "aligned"))
    return [
        (f"{summary.events:,}", "events"),
        (f"{summary.milliseconds / 1000:.2f} s", "from the first to the last"),
        (str(len(summary.threads)), "threads"),
        (bytes_text(summary.allocated_bytes), "asked for in all"),
        (bytes_text(summary.peak_bytes), f"live at the peak, in {summary.peak_blocks:,} blocks"),
        (
            bytes_text(summary.live_bytes_at_end),
            f"live at the end, in {summary.live_blocks_at_end:,} blocks",
        ),
        (f"{100 * summary.cross_thread_share:.1f} %", "of frees by another thread"),
        (f"{100 * reallocated / blocks if blocks else 0:.1f} %", "of blocks reallocated"),
        (f"{summary.unknown:,}", "events on blocks from before"),
    ]


def print_trace(console: Console, trace: Trace, found: Sequence[Summary]) -> None:
    """A trace in the terminal: its processes, then each summary."""
    command = trace.head.get("command")
    if command:
        console.print(f"[bold]{escape(' '.join(command))}[/]")
    if trace.foot.get("stopped"):
        console.print(f"the recording ended before the program: {escape(trace.foot['stopped'])}")
    table = Table("process", "pid", "began by", "program", box=None, header_style="bold")
    table.add_column("events", justify="right")
    shown = sorted(trace.processes, key=lambda item: -trace.count(item.number))[:_MOST_PROCESSES]
    for item in shown:
        how = f"a fork of {item.parent}" if item.forked else "starting"
        events = f"{trace.count(item.number):,}"
        table.add_row(str(item.number), str(item.pid), how, escape(item.program), events)
    console.print(table)
    if len(trace.processes) > len(shown):
        console.print(f"and {len(trace.processes) - len(shown)} with fewer events")
    for summary in found:
        _print_summary(console, summary)


def _print_summary(console: Console, summary: Summary) -> None:
    console.print(f"\n[bold]process {summary.process.number}[/] {escape(summary.process.program)}")
    table = Table(box=None, show_header=False)
    table.add_column(justify="right")
    table.add_column()
    for big, small in facts(summary):
        table.add_row(f"[bold]{big}[/]", small)
    console.print(table)
    console.print("calls: " + ", ".join(f"{name} {count:,}" for name, count in summary.calls.items()))
    live = [point.live_bytes for point in summary.live]
    if live:
        console.print(f"live bytes, event by event: {_curve(live)}")
    sizes = {bytes_text(size): count for size, count in by_doubling(summary.sizes).items()}
    _print_counts(console, "asked for, up to", "calls", sizes)
    lives = {f"{bound:,}": count for bound, count in summary.lifetimes.items()}
    _print_counts(console, "lived for allocations, up to", "blocks", lives)
    lives = {f"{bound:,}": count for bound, count in summary.lifetimes_ms.items()}
    _print_counts(console, "lived for ms, up to", "blocks", lives)
    chains = {f"{bound:,}": count for bound, count in summary.chains.items()}
    _print_counts(console, "reallocated times, up to", "blocks", chains)
    threads = _busiest(summary.threads)
    _print_counts(console, "thread", "events", {str(thread): count for thread, count in threads.items()})
    if len(threads) < len(summary.threads):
        console.print(f"and {len(summary.threads) - len(threads)} threads with no more events than these")


def _busiest(threads: dict[int, int]) -> dict[int, int]:
    """The threads with the most events, by number."""
    most = sorted(threads.items(), key=lambda item: -item[1])[:_MOST_THREADS]
    return dict(sorted(most))


def _print_counts(console: Console, what: str, unit: str, counts: dict[str, int]) -> None:
    if not counts:
        return
    total, most = sum(counts.values()), max(counts.values())
    table = Table(box=None, header_style="bold")
    table.add_column(what, justify="right")
    table.add_column(unit, justify="right")
    table.add_column("share", justify="right")
    table.add_column("")
    for name, count in counts.items():
        table.add_row(name, f"{count:,}", f"{100 * count / total:.1f} %", "█" * round(_BAR * count / most))
    console.print(table)


def _curve(values: Sequence[int]) -> str:
    columns = min(_CURVE, len(values))
    most = max(*values, 1)
    found = ""
    for i in range(columns):
        part = values[i * len(values) // columns : (i + 1) * len(values) // columns]
        found += _STEPS[max(0, *part) * (len(_STEPS) - 1) // most]
    return found


# ----------------------------------------------------------------------------------------------------
# The page


def write_page(trace: Trace, found: Sequence[Summary], path: Path) -> None:
    """Write the HTML page of the first summary; a place that cannot be written is one line."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(trace, found), encoding="utf-8")
    except OSError as error:
        raise HakmemError(f"{path}: the page cannot be written: {error.strerror or error}") from error


def page(trace: Trace, found: Sequence[Summary]) -> str:
    """The whole page: the process with the most events of those summarised."""
    command = " ".join(trace.head.get("command") or []) or str(trace.path.name)
    body = [
        f'<p class="eyebrow">hakmem trace, {html.escape(trace.path.name)}</p>',
        f"<h1>{html.escape(command)}</h1>",
    ]
    if trace.cut:
        body.append(f"<p>{html.escape(trace.cut)}; what is whole is shown.</p>")
    if not found:
        return report.assemble("hakmem trace", "\n".join(body), {})
    summary = max(found, key=lambda item: item.events)
    process = f"process {summary.process.number} of {len(trace.processes)}: {summary.process.program}"
    body[0] = f'<p class="eyebrow">hakmem trace, {html.escape(f"{trace.path.name}, {process}")}</p>'
    body.append(report.facts_row(facts(summary)))
    sections, figures = pictures(summary)
    return report.assemble("hakmem trace", "\n".join([*body, *sections]), figures)


def pictures(summary: Summary) -> tuple[list[str], dict[str, Figure]]:
    """The sections of a page that show a process, and their pictures by the id of their places."""
    figures = {
        "live": _live(summary),
        "sizes": _bars(by_doubling(summary.sizes), "bytes asked for, up to", "calls", bytes_text),
        "lifetimes": _bars(summary.lifetimes, "allocations made meanwhile, up to", "blocks"),
        "lifetimes_ms": _bars(summary.lifetimes_ms, "milliseconds, up to", "blocks"),
        "chains": _bars(summary.chains, "reallocs of one block, up to", "blocks"),
        "threads": _bars(_busiest(summary.threads), "thread", "events"),
    }
    texts = {
        "live": ("Live bytes", "The most that was live in each stretch, over the events of the process."),
        "sizes": ("Sizes", "Every allocation and realloc by what it asked for."),
        "lifetimes": ("Lifetimes", "Freed blocks by the allocations that the process made while they lived."),
        "lifetimes_ms": ("Lifetimes in time", "Freed blocks by the coarse clock; 0 is within one tick."),
        "chains": ("Realloc chains", "Blocks by how often they were reallocated."),
        "threads": ("Threads", "Events by the thread that made them; the busiest ones."),
    }
    sections = [report.figure_section(title, name, text) for name, (title, text) in texts.items()]
    return [*sections, _sizes_table(summary)], figures


def _live(summary: Summary) -> Figure:
    return {
        "data": [
            {
                "type": "scatter",
                "mode": "lines",
                "x": [point.event for point in summary.live],
                "y": [point.live_bytes for point in summary.live],
                "line": {"color": "@accent", "width": 2},
                "hovertext": [
                    f"event {point.event:,}, {point.ms / 1000:.2f} s: {bytes_text(point.live_bytes)} in "
                    f"{point.live_blocks:,} blocks"
                    for point in summary.live
                ],
                "hoverinfo": "text",
            }
        ],
        "layout": {
            "height": 320,
            "margin": {"l": 10, "r": 10, "t": 10, "b": 40},
            "xaxis": report.figure_axis("event"),
            "yaxis": report.figure_axis("live bytes", rangemode="tozero"),
        },
    }


def _bars(counts: dict[int, int], title: str, unit: str, name: Any = str) -> Figure:
    names = [name(value) for value in counts]
    return {
        "data": [
            {
                "type": "bar",
                "x": names,
                "y": list(counts.values()),
                "marker": {"color": "@accent"},
                "hovertext": [
                    f"{one}: {count:,} {unit}" for one, count in zip(names, counts.values(), strict=True)
                ],
                "hoverinfo": "text",
            }
        ],
        "layout": {
            "height": 280,
            "margin": {"l": 10, "r": 10, "t": 10, "b": 40},
            "xaxis": report.figure_axis(title, type="category"),
            "yaxis": report.figure_axis(unit),
        },
    }


def _sizes_table(summary: Summary) -> str:
    total = sum(summary.sizes.values())
    most = sorted(summary.sizes.items(), key=lambda item: -item[1])[:20]
    rows: Iterable[tuple[str, list[str]]] = (
        ("", [f"{size:,}", f"{count:,}", f"{100 * count / total:.1f} %"]) for size, count in most
    )
    head = [("bytes", "n"), ("calls", "n"), ("share", "n")]
    table = report.table(head, rows)
    return f"<section><h2>The most frequent sizes</h2>{table}</section>"
