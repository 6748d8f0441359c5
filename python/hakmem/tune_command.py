"""The options of ``hakmem tune``, read strictly; the work is `hakmem.tune`'s, imported only when it runs."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from .errors import HakmemError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_COMMAND = "hakmem.command"
_LEAST_S = 10.0


def memory_factor(text: str) -> float:
    """A factor like ``1.1x`` or ``1.1``, at least 1; anything else is one line."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x?", text)
    if not found or not 1.0 <= float(found[1]) <= 1000.0:
        raise HakmemError(f"--max-rss: expected a factor of libc's, 1x to 1000x, like 1.1x, got {text!r}")
    return float(found[1])


def seconds(text: str) -> float:
    """A time like ``20m``, ``90s`` or ``1.5h`` in seconds, at least ten; anything else is one line."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    value = float(found[1]) * _SECONDS[found[2]] if found else 0.0
    if not _LEAST_S <= value <= 7 * 24 * 3600.0:
        raise HakmemError(
            f"--time-limit: expected a time from 10s to 168h like 20m, 90s or 1.5h, got {text!r}"
        )
    return value


class CommandAfterDashes(TyperCommand):
    """A command whose words after ``--`` are a program to run, not arguments of its own."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Take the words after the first ``--`` away and keep them for `command_after_dashes`."""
        if "--" in args:
            at = args.index("--")
            ctx.meta[_COMMAND] = tuple(args[at + 1 :])
            args = args[:at]
        return super().parse_args(ctx, args)


def command_after_dashes(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The words after ``--`` (None: there was none); ``--`` with nothing after it is one line."""
    found: tuple[str, ...] | None = meta.get(_COMMAND)
    if found == ():
        raise HakmemError("tune --: expected a command, got none")
    return found


def tune(
    ctx: typer.Context,
    trace: Annotated[
        Path | None, typer.Argument(metavar="[TRACE | -- COMMAND...]", help="A trace of hakmem record")
    ] = None,
    workload: Annotated[
        str | None, typer.Option(metavar="ROW_OR_SUITE", help="Tune for workload rows instead of a trace")
    ] = None,
    prove: Annotated[
        str | None, typer.Option(metavar='"COMMAND"', help="Decide by runs of this program")
    ] = None,
    max_rss: Annotated[str, typer.Option(metavar="FACTOR", help="Peak RSS allowed, times libc's")] = "1.5x",
    time_limit: Annotated[str, typer.Option(metavar="TIME", help="Time for all of it: 20m, 90s, 1h")] = "20m",
    variant: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Enter this policy set, and only those named")
    ] = None,
    sweep: Annotated[
        list[str] | None, typer.Option(metavar="SWEEP", help="Enter the sets of a sweep, likewise")
    ] = None,
    with_peers: Annotated[
        bool, typer.Option("--peers", help="Enter others' allocators that are here, and stock with knobs")
    ] = False,
    peer: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=PATH[,VAR=VALUE...]", help="Enter an allocator of others"),
    ] = None,
    process: Annotated[
        int | None, typer.Option(help="The process of the trace [default: the one with the most events]")
    ] = None,
    rounds: Annotated[
        int, typer.Option(min=3, help="Runs of each finalist, more while libc differs from itself")
    ] = 10,
    seed: Annotated[int, typer.Option(help="Seed of suggestions and orders")] = 42,
    again: Annotated[bool, typer.Option("--again", help="Measure anew what is finished")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON")] = False,
    out: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Hand the library that was named over into here")
    ] = None,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page here")] = None,
) -> None:
    """Search the allocator for one program, prove it on the program, and say what to take."""
    code = importlib.import_module(".tune", __package__).cli_tune(
        trace=trace,
        workload=workload,
        command=command_after_dashes(ctx.meta),
        prove_text=prove,
        max_rss=memory_factor(max_rss),
        time_limit=seconds(time_limit),
        variants=variant or [],
        sweep=sweep or [],
        with_peers=with_peers,
        peers=peer or [],
        process=process,
        rounds=rounds,
        seed=seed,
        again=again,
        as_json=as_json,
        html=html,
        out=out,
    )
    if code:
        raise typer.Exit(int(code))
