"""Verdicts of several hosts side by side: what `hakmem tune --json` printed on each of them, in one table.

Every figure is of one host's own runs, relative to that host's own libc. Nothing is averaged over hosts, and
no ratio has two hosts in it; what is compared is which contestants each host's verdict allows.
"""

from __future__ import annotations

import html
import json
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import report
from .errors import HakmemError
from .figures import read
from .report import MARGIN, Figure, error_bars, figure_axis, figure_section, line_at, ratio_text
from .tuned import from_dict
from .verdict import KEEP, TIE, WINNER, Verdict

_MACHINE = ("processor", "kernel", "C library")
_ROW_PX = 36


@dataclass(frozen=True)
class Host:
    """What one host found, from its file: where, what was asked, the verdict, and what was named.

    ``what`` is the named policy set beyond the defaults (empty for libc and peers); ``policies`` are the
    whole sets, by name, of those that the verdict names.
    """

    file: str
    machine: Mapping[str, str]
    question: str
    started: str
    max_rss: float
    verdict: Verdict
    what: str
    policies: Mapping[str, Mapping[str, Any]]

    @property
    def allowed(self) -> tuple[str, ...]:
        """Contestants that this host's runs cannot tell from the best: those of a tie, or the one named."""
        return self.verdict.tied or (self.verdict.name,)


@dataclass(frozen=True)
class Agreement:
    """Whether hosts agree: ``agreed`` are the contestants that every host allows, as each host named them."""

    agreed: tuple[str, ...]
    sentence: str


# ----------------------------------------------------------------------------------------------------
# Reading


def read_host(path: Path) -> Host:
    """What a host's file holds; a file that is none, or is not whole, is a `HakmemError` that names it."""
    values = read(path)
    try:
        found = from_dict(values)
        _check(found.verdict, found.machine)
    except HakmemError as error:
        raise HakmemError(f"{path}: {error}; hakmem tune --json prints such a file") from error
    verdict = found.verdict
    named = (one.what for one in found.standings if one.name == verdict.name and one.what)
    return Host(
        file=str(path),
        machine={key: found.machine[key] for key in _MACHINE},
        question=found.question,
        started=found.started,
        max_rss=found.max_rss,
        verdict=verdict,
        what=next(named, ""),
        policies={name: found.sets[name] for name in verdict.tied or (verdict.name,) if name in found.sets},
    )


def _check(verdict: Verdict, machine: Mapping[str, str]) -> None:
    """What the types do not say."""
    for key in _MACHINE:
        if key not in machine:
            raise HakmemError(f"machine.{key}: expected a text")
    if verdict.kind not in (WINNER, TIE, KEEP):
        raise HakmemError(f"verdict.kind: expected {WINNER}, {TIE} or {KEEP}, got {verdict.kind!r}")
    if verdict.tied and verdict.name not in verdict.tied:
        raise HakmemError(f"verdict.tied: expected a tie with {verdict.name} in it")
    if not math.isfinite(verdict.noise_floor):
        raise HakmemError(f"verdict.noise_floor: expected a number, got {verdict.noise_floor}")
    for key, ratio in (("time", verdict.time), ("memory", verdict.memory)):
        if ratio and not 0 < ratio.low <= ratio.value <= ratio.high < math.inf:
            raise HakmemError(f"verdict.{key}: expected a ratio within its interval")


def read_hosts(paths: Sequence[Path]) -> list[Host]:
    """A host for each file, in their order; the same file twice would agree with itself: a `HakmemError`."""
    seen: set[Path] = set()
    for path in paths:
        if path.resolve() in seen:
            raise HakmemError(f"{path}: expected each host's file once, got it twice")
        seen.add(path.resolve())
    return [read_host(path) for path in paths]


# ----------------------------------------------------------------------------------------------------
# Comparing


def agreement(hosts: Sequence[Host]) -> Agreement:
    """Whether there is a contestant that every host's verdict allows: the one named, or all of a tie.

    A policy set is the same one when its name and its policies are.
    """
    own = [{_identity(host, name) for name in host.allowed} for host in hosts]
    common = set.intersection(*own)
    agreed = tuple(name for name in hosts[0].allowed if _identity(hosts[0], name) in common)
    if len(hosts) == 1:
        return Agreement(agreed, "One host alone: there is nothing to agree with.")
    named = list(dict.fromkeys(host.verdict.name for host in hosts))
    if len(named) == 1 and named[0] in agreed:
        sentence = f"The {len(hosts)} hosts agree: each names {named[0]}."
    elif agreed:
        sentence = (
            f"The {len(hosts)} hosts agree within their ties: none tells {' or '.join(agreed)} from its best."
        )
    else:
        each = "; ".join(f"{host.file} allows {' or '.join(host.allowed)}" for host in hosts)
        sentence = f"The {len(hosts)} hosts do not agree: {each}."
        if set.intersection(*(set(host.allowed) for host in hosts)):
            sentence += " Policy sets of one name differ."
    for what, values in (
        ("questions", {host.question for host in hosts}),
        ("memory budgets", {host.max_rss for host in hosts}),
    ):
        if len(values) > 1:
            sentence += f" They were asked with different {what}."
    return Agreement(agreed, sentence)


def _identity(host: Host, name: str) -> tuple[str, str]:
    return name, json.dumps(host.policies.get(name), sort_keys=True)


# ----------------------------------------------------------------------------------------------------
# Showing


def cli_verdicts(paths: Sequence[Path], as_json: bool, page_path: Path | None) -> int:
    """What `hakmem verdicts` does: 0, whether the hosts agree or not."""
    hosts = read_hosts(paths)
    found = agreement(hosts)
    if page_path:
        report.write_text(page(hosts, found), page_path)
        Console(stderr=True, soft_wrap=True, highlight=False).print(f"page: {page_path}", markup=False)
    if as_json:
        sys.stdout.write(
            json.dumps({"hosts": [asdict(host) for host in hosts], "agreement": asdict(found)}, indent=1)
            + "\n"
        )
    else:
        print_hosts(Console(width=report.TABLE_WIDTH, highlight=False), hosts, found)
    return 0


def print_hosts(console: Console, hosts: Sequence[Host], found: Agreement) -> None:
    """One line a host, and whether they agree."""
    table = Table(box=None, header_style="bold")
    for title in ("file", "machine", "named", "time to its libc's", "noise", "peak RSS", "verdict"):
        table.add_column(title, no_wrap=True)
    for host in hosts:
        table.add_row(*map(escape, [*_cells(host), host.verdict.sentence]))
    console.print(table)
    console.print(found.sentence, style="bold", markup=False)


def _cells(host: Host) -> list[str]:
    verdict = host.verdict
    return [
        host.file,
        ", ".join(host.machine.values()),
        verdict.name,
        ratio_text(verdict.time),
        f"{100 * verdict.noise_floor:.1f} %",
        f"{verdict.memory.value:.2f}" if verdict.memory else "",
    ]


def page(hosts: Sequence[Host], found: Agreement) -> str:
    """The whole page as text; pictures and their code are inside."""
    body = [
        '<p class="eyebrow">hakmem verdicts</p>',
        f"<h1>{html.escape(found.sentence)}</h1>",
        _hosts_table(hosts),
        figure_section(
            "Time, each host by itself",
            "hosts",
            "What each host named, relative to libc in the same runs of that host, with 95 % intervals. "
            "The strokes beside 1 are that host's noise. Figures of two hosts share nothing but the axis.",
        ),
        _sets_table(hosts),
    ]
    return report.assemble("hakmem verdicts", "\n".join(body), {"hosts": _figure(hosts)})


def _hosts_table(hosts: Sequence[Host]) -> str:
    head = [("file", ""), ("machine", "w"), ("named", ""), ("time to its libc's", "n"), ("noise", "n")]
    head += [("peak to its libc's", "n")]
    rows = []
    for host in hosts:
        cells = [html.escape(cell) for cell in _cells(host)]
        cells[2] = f"<code>{cells[2]}</code>"
        rows.append(("", cells))
    said = [
        ("", [html.escape(host.file), html.escape(_asked(host)), html.escape(host.verdict.sentence)])
        for host in hosts
    ]
    return (
        "<section><h2>The hosts</h2><p>Each raced its own full set; every figure is of one host's own runs, "
        f"and none is averaged over hosts.</p>{report.table(head, rows)}"
        f"{report.table([('file', ''), ('asked', 'w'), ('verdict', 'w')], said)}</section>"
    )


def _asked(host: Host) -> str:
    return f"{host.question}, peak RSS at most {host.max_rss:g} of libc's; {host.started}"


def _sets_table(hosts: Sequence[Host]) -> str:
    head = [("file", ""), ("set", ""), ("beyond the defaults", "w"), ("policies", "w")]
    rows = [
        (
            "",
            [
                html.escape(host.file),
                f"<code>{html.escape(name)}</code>",
                html.escape(host.what) if name == host.verdict.name else "",
                f"<details><summary>policy set</summary><code>{html.escape(json.dumps(host.policies[name]))}"
                "</code></details>"
                if name in host.policies
                else "",
            ],
        )
        for host in hosts
        for name in host.allowed
    ]
    text = "The one that a host named, and those that it cannot tell from it."
    return f"<section><h2>What each host allows</h2><p>{text}</p>{report.table(head, rows)}</section>"


def _figure(hosts: Sequence[Host]) -> Figure:
    shown = [(host, host.verdict.time) for host in reversed(hosts) if host.verdict.time]
    ratios = [ratio for _, ratio in shown]
    data = [
        {
            "type": "scatter",
            "mode": "markers+text",
            "x": [ratio.value for ratio in ratios],
            "y": [host.file for host, _ in shown],
            "error_x": error_bars(ratios, color="@accent", thickness=1),
            "text": [host.verdict.name for host, _ in shown],
            "textposition": "top center",
            "hovertext": [f"{', '.join(_cells(host))}" for host, _ in shown],
            "hoverinfo": "text",
            "marker": {"color": "@accent", "size": 9},
        },
        {
            "type": "scatter",
            "mode": "markers",
            "x": [edge for host, _ in shown for edge in _noise(host)],
            "y": [host.file for host, _ in shown for _ in _noise(host)],
            "hoverinfo": "skip",
            "marker": {"color": "@soft", "size": 14, "symbol": "line-ns-open"},
        },
    ]
    layout = {
        "height": 110 + _ROW_PX * len(shown),
        "margin": MARGIN,
        "showlegend": False,
        "xaxis": figure_axis("time relative to the host's own libc"),
        "yaxis": figure_axis(type="category", range=[-0.6, len(shown) - 0.2]),
        "shapes": [line_at(1, color="@soft", width=1.5)],
    }
    return {"data": data, "layout": layout}


def _noise(host: Host) -> tuple[float, float]:
    floor = 1.0 + host.verdict.noise_floor
    return 1.0 / floor, floor
