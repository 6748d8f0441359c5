"""The allocator for one program: search policy sets and numbers, prove on the program, and say what to take.

Stages: a trace (recorded first when a command is given), gates, racing policy sets on growing prefixes, their
numbers by Optuna, a last race of the finalists by replay, the program itself under the finalists, and what
each axis contributed. Every race is in the store and every stage is a function of the seed and of what was
measured, so the same command goes on where it was interrupted, and a finished one is opened again.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import bench, candidates, handover, prove, report, spec, tune_report
from . import build as builds
from .bench import Contestant
from .build import Built, Progress
from .door import Door
from .pick import check_out_folder
from .progress import interruptible, shown
from .question import SEED, Journal, Question
from .spec import Variant
from .stats import Ratio
from .tune_steps import Steps
from .tuned import PROGRAM, TuneResult

_LONG_LIST = re.compile(r"\[[^\]]{60,}\]")


def tune(
    trace: Path | str | None = None,
    *,
    workload: str | None = None,
    command: Sequence[str] | None = None,
    prove: Sequence[str] | None = None,
    process: int | None = None,
    variants: Sequence[str] = (),
    sweep: Sequence[str] = (),
    peers: Sequence[Contestant] = (),
    max_rss: float = 1.5,
    time_limit: float = 1200.0,
    rounds: int = 10,
    seed: int = SEED,
    again: bool = False,
    progress: Progress | None = None,
    announce: Callable[[str], None] | None = None,
) -> TuneResult:
    """Search, prove and decide, for exactly one of a trace, a workload row or suite, and a command.

    A command is recorded first and decides; of a trace the command ``prove`` does, or else replay.
    ``variants`` and ``sweep`` narrow the policy sets; ``peers`` (see `bench.chosen_peers`) race as they do.
    ``max_rss`` is the peak RSS allowed, times libc's; ``time_limit`` is in seconds. A finished tune of the
    same question is opened again unless ``again``; an interrupted one is gone on with. ``announce`` gets the
    plan line by line, the rule before the deciding runs.
    """
    question = Question(
        trace=Path(trace) if trace is not None else None,
        workload=workload,
        command=tuple(command) if command is not None else None,
        prove=tuple(prove) if prove is not None else None,
        process=process,
        variants=tuple(variants),
        sweep=tuple(sweep),
        max_rss=max_rss,
        time_limit=time_limit,
        rounds=rounds,
        seed=seed,
    )
    question.check()
    journal = Journal.open(question, peers, again)
    if journal.result:
        return journal.result
    with bench.default_store() as store:
        say = progress or (lambda *_: None)
        try:
            return Steps(question, peers, journal, store, say, announce or (lambda _: None)).run()
        finally:
            journal.write()


def take(found: TuneResult, folder: Path, command: Sequence[str] | None = None) -> Built | None:
    """Hand the policy set that was named over into a new folder; None when libc or a peer is to be taken."""
    policies = found.sets.get(found.verdict.name)
    if policies is None:
        return None
    name = found.verdict.name
    variant = Variant(name, found.verdict.sentence, spec.read_policies(policies, name))
    built = builds.build_one(variant)
    shape = found.rows()[0].by
    rows = [asdict(one) for one in found.results if (one.shape == PROGRAM) == (shape == PROGRAM)]
    handover.hand_over(
        built,
        folder,
        verdict=found.verdict.sentence,
        command=command,
        rows=rows,
        page=tune_report.page(found),
    )
    return built


# ----------------------------------------------------------------------------------------------------
# Command line


def cli_tune(
    trace: Path | None,
    command: Sequence[str] | None,
    prove_text: str | None,
    with_peers: bool,
    peers: Sequence[str],
    as_json: bool,
    html: Path | None,
    out: Path | None,
    **options: Any,
) -> int:
    """What `hakmem tune` does: 0 when there is a verdict (also "keep libc"); Ctrl-C exits 130.

    ``options`` are those of `tune`.
    """
    proving = prove.parse(prove_text) if prove_text is not None else None
    if out:
        check_out_folder(out)
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    raced = bench.chosen_peers(with_peers, peers, [], errors.print)
    if with_peers:
        knobs = candidates.knobs_of(who.name for who in raced)
        raced += bench.chosen_peers(False, knobs, [who.name for who in raced], errors.print)
    with interruptible(errors), shown(errors, "starting") as show:
        found = tune(
            trace,
            command=command,
            prove=proving,
            peers=raced,
            progress=show,
            announce=lambda line: errors.print(line, markup=False),
            **options,
        )
    if html:
        tune_report.write(found, html)
        errors.print(f"page: {html}", markup=False)
    if as_json:
        sys.stdout.write(json.dumps(found.to_dict(), indent=1) + "\n")
    else:
        print_result(Console(highlight=False), found)
    if out:
        built = take(found, out, proving or command)
        nothing = f"nothing is handed over: {found.verdict.name} is no policy set"
        errors.print(f"handed over: {out}" if built else nothing, markup=False)
    return 0


def print_result(console: Console, found: TuneResult) -> None:
    """The deciding races and the verdict in the terminal."""
    table = Table(box=None, header_style="bold")
    for title in ("contestant", "by", "time to libc's", "cpu", "peak RSS", "mean RSS", "what"):
        table.add_column(title, no_wrap=title != "what")
    for one in found.rows():
        cells = [one.name, one.by, report.ratio_text(one.time), _short(one.cpu), _short(one.memory)]
        cells.append(_short(one.mean_memory))
        style = "bold green" if one.name == found.verdict.name else ""
        what = _LONG_LIST.sub("[...]", one.what)  # the page has it
        table.add_row(*map(escape, [*cells, "; ".join(filter(None, (what, one.remark)))]), style=style)
    console.width = report.TABLE_WIDTH
    console.print(table)
    console.print(found.verdict.sentence, style="bold", markup=False)


def _short(ratio: Ratio | None) -> str:
    return f"{ratio.value:.2f}" if ratio else ""


sys.modules[__name__].__class__ = Door
