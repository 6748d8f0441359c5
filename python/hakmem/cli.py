"""The command line ``hakmem``: a user's error is one line on stderr and exit code 2; Ctrl-C exits 130."""

from __future__ import annotations

import importlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import rich.markup
import typer
from rich.console import Console
from rich.progress import MofNCompleteColumn, TimeElapsedColumn
from rich.table import Table
from typer.core import TyperGroup

from . import __version__, spec, sweeps, workloads
from . import build as builds
from . import check as checks
from .build import BuildFailure, Built
from .errors import HakmemError, SpecError
from .progress import shown
from .spec import Variant
from .tune_command import CommandAfterDashes, tune

out = Console(soft_wrap=False)
err = Console(stderr=True, soft_wrap=True, highlight=False)

_FAILED = 1
_USAGE = 2
_QUIET_S = 10.0


class _OneLineErrors(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except HakmemError as error:
            sys.stderr.write("error: " + " ".join(str(error).split()) + "\n")
            raise typer.Exit(_USAGE) from error


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Build your malloc: compose it from policies, prove it correct, race it, take it away.",
)

NamesArgument = Annotated[
    list[str] | None, typer.Argument(metavar="[NAMES]...", help="Variants; a .toml file may stand for one")
]
NameArgument = Annotated[
    str, typer.Argument(metavar="NAME", help="A variant; a .toml file may stand for one")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="AXIS=VALUE", help="Override an axis or option: owner=mask, front.refill=16"
    ),
]
SweepOption = Annotated[
    list[str] | None, typer.Option("--sweep", metavar="SWEEP", help="Add the variants of a sweep")
]
PeerOption = Annotated[
    list[str] | None,
    typer.Option(
        "--peer", metavar="NAME=PATH[,VAR=VALUE...]", help="Add an allocator of others; PATH may be glibc"
    ),
]
PeersOption = Annotated[
    bool, typer.Option("--peers", help="Race the allocators of others that are on this machine too")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON")]
SchedulerOption = Annotated[
    str | None, typer.Option(metavar="tcp://HOST:PORT", help="Spread it over the workers of a Dask scheduler")
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Parallel compilations [default: processors]")
]


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


@contextmanager
def _progress() -> Iterator[Callable[[int, int, str], None]]:
    """Progress of builds on stderr: a bar on a terminal, elsewhere a line every few seconds."""
    if not err.is_terminal:
        last = time.monotonic()

        def tell(done: int, total: int, text: str) -> None:
            nonlocal last
            if time.monotonic() - last >= _QUIET_S:
                last = time.monotonic()
                sys.stderr.write(f"building: {done} of {total} steps\n" if total else f"building: {text}\n")

        yield tell
        return
    with shown(err, "building", MofNCompleteColumn(), TimeElapsedColumn()) as show:
        yield lambda done, total, text: show(done, total, (text.split()[-1] if total else text)[-50:])


def _chosen(
    names: list[str] | None, sweep: list[str] | None, overrides: list[str] | None, default_all: bool
) -> list[Variant]:
    """The variants that a command line names: kept ones and files, with overrides, and sweeps."""
    variants = [spec.resolve(builds.variant(name), overrides or []) for name in names or []]
    for name in sweep or []:
        variants += sweeps.expand(name)
    if not variants and default_all:
        variants = [spec.resolve(kept, overrides or []) for kept in builds.kept_variants()]
    if not variants:
        raise SpecError("command line", "NAMES", "a variant or --sweep", "neither")
    return list({item.name: item for item in variants}.values())


def _build(variants: list[Variant], jobs: int | None = None) -> dict[str, Built | BuildFailure]:
    with _progress() as show:
        return builds.build(variants, jobs, show)


def _build_one(name: str, overrides: list[str] | None) -> Built:
    wanted = spec.resolve(builds.variant(name), overrides or [])
    found = builds.find(wanted)
    if found:
        return found
    with _progress() as show:
        return builds.build_one(wanted, show)


def _row(item: Variant, tools: Any) -> dict[str, Any]:
    found = builds.find(item, tools)
    checked = checks.last_check(found) if found else None
    return {
        "name": item.name,
        "why": item.why,
        "digest": spec.digest(item, tools) if tools else None,
        "policy_set": item.policies.as_json(),
        "differs": spec.short_policies(item),
        "file": str(item.path) if item.path else None,
        "built": found is not None,
        "folder": str(found.folder) if found else None,
        "library": str(found.library) if found and item.interposable else None,
        "checked": checked.passed if checked else None,
    }


def _tools() -> Any:
    try:
        return builds.toolchain()
    except HakmemError:
        return None  # listing needs no compiler


@app.command()
def variants(sweep: SweepOption = None, as_json: JsonOption = False) -> None:
    """List the kept variants, or those of a sweep: what they set and why they exist."""
    tools = _tools()
    chosen = _chosen(None, sweep, None, default_all=True)
    rows = [_row(item, tools) for item in chosen]
    if as_json:
        _print_json(rows)
        return
    table = Table(
        "variant", "policies beyond the defaults", "built", "checked", "why", box=None, header_style="bold"
    )
    for row in rows:
        checked = {True: "passed", False: "failed", None: ""}[row["checked"]]
        table.add_row(
            row["name"], row["differs"], "yes" if row["built"] else "", checked, "" if sweep else row["why"]
        )
    out.print(table)
    out.print(f"{len(rows)} variants; sweeps: {', '.join(sweeps.sweep_names())}")


@app.command()
def show(
    name: NameArgument,
    overrides: SetOption = None,
    header: Annotated[bool, typer.Option("--header", help="Print the generated C++ header")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show one variant: its sentence, policy set, digest and artefacts."""
    item = spec.resolve(builds.variant(name), overrides or [])
    tools = _tools()
    row = _row(item, tools)
    if header:
        sys.stdout.write(spec.header_text(item, row["digest"] or "0" * 16))
    elif as_json:
        _print_json(
            {**row, "compiler": tools.compiler_id if tools else None, "flags": tools.flags if tools else None}
        )
    else:
        out.print(f"[bold]{item.name}[/]  {row['digest'] or 'no compiler, so no digest'}")
        out.print(rich.markup.escape(item.why))
        table = Table("axis", "kind", "options", box=None, header_style="bold")
        for axis, policy in row["policy_set"].items():
            options = ", ".join(
                f"{key}={json.dumps(value)}" for key, value in policy.items() if key != "kind"
            )
            table.add_row(axis, policy["kind"], rich.markup.escape(options))
        out.print(table)
        out.print(f"folder: {row['folder'] or 'not built yet'}")


@app.command()
def path(
    name: NameArgument,
    overrides: SetOption = None,
    what: Annotated[str, typer.Option("--of", help="library, module, header or folder")] = "library",
) -> None:
    """Print the path of a malloc library, building it when needed: LD_PRELOAD=$(hakmem path unified)."""
    if what not in ("library", "module", "header", "folder"):
        raise SpecError("command line", "--of", "library, module, header or folder", what)
    sys.stdout.write(f"{getattr(_build_one(name, overrides), what)}\n")


@app.command()
def build(
    names: NamesArgument = None,
    overrides: SetOption = None,
    sweep: SweepOption = None,
    jobs: JobsOption = None,
    as_json: JsonOption = False,
    scheduler: SchedulerOption = None,
) -> None:
    """Build variants (default: every kept one) into the cache; one that fails does not stop the others."""
    chosen = _chosen(names, sweep, overrides, default_all=True)
    if scheduler:
        _delegate("cluster", scheduler=scheduler, work="build", variants=chosen, options=(), as_json=as_json)
        return
    results = _build(chosen, jobs)
    failures = [result for result in results.values() if isinstance(result, BuildFailure)]
    built = [result for result in results.values() if isinstance(result, Built)]
    same = builds.same_code(built)
    if as_json:
        rows = [
            {"name": item.name, "digest": item.digest, "built": True, "folder": str(item.folder)}
            if isinstance(item, Built)
            else {
                "name": item.name,
                "digest": item.digest,
                "built": False,
                "error": item.message,
                "log": item.log,
            }
            for item in results.values()
        ]
        _print_json({"variants": rows, "same_code": same})
    else:
        for item in built if len(built) <= 5 else []:
            out.print(f"{item.name}  {item.digest}  {item.folder}", soft_wrap=True)
        out.print(f"{len(built)} of {len(results)} variants are built")
        for group in same:
            out.print(f"same object code: {', '.join(group)}", soft_wrap=True)
        for failure in failures:
            err.print(f"error: {failure.name} did not build: {failure.message}", markup=False)
            err.print(failure.log, markup=False)
    if failures:
        raise typer.Exit(_FAILED)


@app.command()
def check(
    names: NamesArgument = None,
    overrides: SetOption = None,
    sweep: SweepOption = None,
    jobs: JobsOption = None,
    timeout: Annotated[float, typer.Option(help="Seconds after which a variant counts as hanging")] = 300.0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Run again what has passed before")] = False,
    as_json: JsonOption = False,
    scheduler: SchedulerOption = None,
) -> None:
    """Run the behaviour suite over variants (default: every kept one); a pass is remembered."""
    chosen = _chosen(names, sweep, overrides, default_all=True)
    if scheduler:
        options = (timeout, fresh)
        _delegate(
            "cluster", scheduler=scheduler, work="check", variants=chosen, options=options, as_json=as_json
        )
        return
    results = _build(chosen, jobs)
    rows: list[dict[str, Any]] = []
    outcome: dict[str, Any]
    for result in results.values():
        if isinstance(result, BuildFailure):
            outcome = {
                "name": result.name,
                "digest": result.digest,
                "passed": False,
                "reason": result.message,
                "log": result.log,
            }
        else:
            with err.status(f"checking {result.name}"):
                outcome = vars(checks.check(result, timeout, fresh))
        rows.append(outcome)
        if not as_json:
            word = "[green]passed[/]" if outcome["passed"] else "[red]failed[/]"
            numbers = (
                f"{outcome['tests']} tests, {outcome['seconds']:.1f} s" if "tests" in outcome else "not built"
            )
            out.print(
                f"{word} {outcome['name']} ({numbers}) {rich.markup.escape(outcome['reason'])}",
                soft_wrap=True,
            )
            if not outcome["passed"]:
                out.print(outcome["log"], markup=False, highlight=False, soft_wrap=True)
    if as_json:
        _print_json(rows)
    if not all(row["passed"] for row in rows):
        raise typer.Exit(_FAILED)


@app.command()
def count(
    names: NamesArgument = None,
    overrides: SetOption = None,
    sweep: SweepOption = None,
    suite: Annotated[str, typer.Option(help="Named list of workload rows")] = "quick",
    as_json: JsonOption = False,
    scheduler: SchedulerOption = None,
) -> None:
    """Count instructions per operation with callgrind, for each variant (default: magazine) on each row."""
    chosen = _chosen(names or ([] if sweep else [spec.DEFAULT_VARIANT]), sweep, overrides, default_all=False)
    rows = workloads.suite(suite)
    _delegate("cluster", scheduler=scheduler, work="count", variants=chosen, options=(rows,), as_json=as_json)


@app.command()
def misuse(names: NamesArgument = None, as_json: JsonOption = False) -> None:
    """Try misuses of malloc on stock malloc and on variants (default: hardened): what is noticed, and how."""
    _delegate("misuse", names=names or ["hardened"], as_json=as_json)


@app.command()
def bench(
    names: NamesArgument = None,
    sweep: SweepOption = None,
    suite: Annotated[str, typer.Option(help="Named list of workload rows, or programs")] = "default",
    rounds: Annotated[int, typer.Option(min=1, help="Fresh processes per variant and row")] = 10,
    seed: Annotated[int, typer.Option(help="Seed of the workloads and of the order of runs")] = 42,
    as_json: JsonOption = False,
    export: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the rows to .csv, .jsonl or .parquet")
    ] = None,
    instructions: Annotated[
        bool, typer.Option("--instructions", help="Count instructions per operation too")
    ] = False,
    with_peers: PeersOption = False,
    given: PeerOption = None,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the heat map here")
    ] = None,
) -> None:
    """Race variants (default: magazine) against libc on workloads and print medians with intervals."""
    if suite == "programs":  # real programs, end to end
        if instructions:
            raise SpecError("command line", "--instructions", "a suite of workloads", suite)
        _delegate(
            "program_race",
            names=names or ([] if sweep else [spec.DEFAULT_VARIANT]),
            sweep=sweep or [],
            rounds=rounds,
            seed=seed,
            as_json=as_json,
            export=export,
            with_peers=with_peers,
            peers=given or [],
            page_path=html,
        )
        return
    _delegate(
        "bench",
        names=names or ([] if sweep else [spec.DEFAULT_VARIANT]),
        sweep=sweep or [],
        suite=suite,
        rounds=rounds,
        seed=seed,
        as_json=as_json,
        export=export,
        instructions=instructions,
        with_peers=with_peers,
        peers=given or [],
        html=html,
    )


@app.command()
def containers(
    names: NamesArgument = None,
    rounds: Annotated[int, typer.Option(min=1, help="Fresh processes per contestant and loop")] = 10,
    with_peers: PeersOption = False,
    given: PeerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Race C++ containers on variants (default: magazine) in-line against malloc, std::pmr and Boost."""
    _delegate(
        "containers",
        names=names or [spec.DEFAULT_VARIANT],
        rounds=rounds,
        with_peers=with_peers,
        peers=given or [],
        as_json=as_json,
    )


@app.command()
def scale(
    names: NamesArgument = None,
    rounds: Annotated[int, typer.Option(min=1, help="Fresh processes per contestant and point")] = 5,
    quick: Annotated[
        bool, typer.Option("--quick", help="Stop at 100,000 live blocks and at 256 MiB of heap")
    ] = False,
    with_peers: PeersOption = False,
    given: PeerOption = None,
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a page with the plots here")
    ] = None,
) -> None:
    """Measure how cost grows with threads, live blocks and heap, on variants (default: magazine) and libc."""
    _delegate(
        "scale_report",
        names=names or [spec.DEFAULT_VARIANT],
        rounds=rounds,
        quick=quick,
        with_peers=with_peers,
        peers=given or [],
        as_json=as_json,
        page_path=html,
    )


@app.command()
def figures(
    path: Annotated[
        Path | None,
        typer.Argument(metavar="[FILE]", help="What bench --suite rivals --json printed; it is kept"),
    ] = None,
    check_only: Annotated[
        bool, typer.Option("--check", help="Change nothing; exit 1 when the README is not what is kept")
    ] = False,
) -> None:
    """Write the README's table of rivals from the figures kept in docs/figures, or from new ones."""
    _delegate("figures", path=path, check_only=check_only)


@app.command()
def peers(given: PeerOption = None, as_json: JsonOption = False) -> None:
    """List the allocators of others that can be raced, each asked in a process that it serves."""
    _delegate("peers", texts=given or [], as_json=as_json)


@app.command()
def pick(
    names: NamesArgument = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer rows and rounds: an answer within five minutes")
    ] = False,
    suite: Annotated[str, typer.Option(help="Named list of workload rows")] = "default",
    folder: Annotated[
        Path | None, typer.Option("--out", metavar="FOLDER", help="Copy the winner's library and TOML here")
    ] = None,
    memory_budget: Annotated[
        float, typer.Option(min=1.0, help="Peak memory allowed, as a multiple of libc's")
    ] = 1.5,
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page with the pictures here")
    ] = None,
    no_programs: Annotated[
        bool, typer.Option("--no-programs", help="Leave the two real programs out")
    ] = False,
    fresh: Annotated[bool, typer.Option("--fresh", help="Measure again what is already stored")] = False,
    with_peers: PeersOption = False,
    given: PeerOption = None,
) -> None:
    """Check every variant (default: all kept ones), race them, and name the fastest policy set."""
    _delegate(
        "pick",
        names=names or [],
        quick=quick,
        suite=suite,
        out=folder,
        memory_budget=memory_budget,
        as_json=as_json,
        html=html,
        programs=not no_programs,
        fresh=fresh,
        with_peers=with_peers,
        peers=given or [],
    )


def _delegate(module: str, **options: object) -> None:
    """Call ``cli_<module>`` of ``hakmem.<module>``, imported only now: both pull in numerical libraries."""
    code = getattr(importlib.import_module(f".{module}", __package__), f"cli_{module}")(**options)
    if code:
        raise typer.Exit(int(code))


@app.command(context_settings={"ignore_unknown_options": True})
def run(
    name: NameArgument,
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="The program and its arguments")
    ],
    overrides: SetOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print the proof on stderr")] = False,
    stats: Annotated[
        bool, typer.Option("--stats", help="Print each process's statistics at the end")
    ] = False,
    stats_folder: Annotated[
        Path | None, typer.Option("--stats-folder", metavar="FOLDER", help="Write them there as PID.json")
    ] = None,
) -> None:
    """Run a program on a malloc library, prove that it and what it starts use it, exit with its code."""
    from . import live, preload, prove, witness

    built = _build_one(name, overrides)

    def announce(proof: preload.Proof) -> None:
        if quiet:
            return
        seen = "mapped in" if proof.mapped else "listed by the loader for"
        line = prove.shell_line(command)
        sys.stderr.write(f"hakmem: {proof.id} serves {line}: {built.library} is {seen} pid {proof.pid}\n")

    with tempfile.TemporaryDirectory(prefix="hakmem-run-") as name_of_folder:
        folder = Path(name_of_folder)
        code = preload.run(built, command, announce, folder)
        seen = preload.testimony(folder)
        if not quiet:
            for line in witness.sentences(seen, f"{built.name} {built.digest}"):
                sys.stderr.write(f"hakmem: {line}\n")
        if stats or stats_folder:
            for process, found in witness.statistics(folder, seen):
                if stats_folder:
                    stats_folder.mkdir(parents=True, exist_ok=True)
                    (stats_folder / f"{process.pid}.json").write_text(json.dumps(found), encoding="utf-8")
                else:
                    sys.stderr.write(f"hakmem: at the exit of {process.program} (pid {process.pid})\n")
                    sys.stderr.write(live.text(found))
    raise typer.Exit(code)


@app.command(name="hand-over", context_settings={"ignore_unknown_options": True})
def hand_over(
    name: NameArgument,
    folder: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="A new or empty folder")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[-- COMMAND...]", help="The program that it is for")
    ] = None,
    overrides: SetOption = None,
) -> None:
    """Write a folder to take away: libraries, headers, TOML, a wrapper script, and how to ask again."""
    _delegate("handover", built=_build_one(name, overrides), folder=folder, command=command or [])


@app.command(context_settings={"ignore_unknown_options": True})
def verify(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="What hand-over or tune wrote")],
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="[-- COMMAND...]", help="The program [default: the folder's own]"),
    ] = None,
    rounds: Annotated[int, typer.Option(min=2, help="Runs under each of libc, libc again, the library")] = 7,
    as_json: JsonOption = False,
) -> None:
    """Race a program on libc and on a folder's library here, and say whether the folder's verdict holds."""
    _delegate("verify", folder=folder, command=command or [], rounds=rounds, as_json=as_json)


@app.command(context_settings={"ignore_unknown_options": True})
def record(
    command: Annotated[
        list[str], typer.Argument(metavar="-- COMMAND...", help="The program and its arguments")
    ],
    path: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The trace to write")],
    seconds: Annotated[
        float | None, typer.Option(min=0.001, help="Record no longer than this; the program goes on")
    ] = None,
    max_bytes: Annotated[
        int, typer.Option(min=1, help="Bytes that the processes may write while they run")
    ] = 8 << 30,
    after: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="Begin so long after the start")
    ] = 0.0,
    anonymous: Annotated[
        bool, typer.Option("--anonymous", help="Keep only what replay needs: no command, no programs")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not print what was recorded on stderr")] = False,
) -> None:
    """Run a program and write its allocation history, of all of its processes; exit with its code."""
    _delegate(
        "record",
        command=command,
        path=path,
        seconds=seconds,
        max_bytes=max_bytes,
        after=after,
        anonymous=anonymous,
        quiet=quiet,
    )


trace_app = typer.Typer(
    no_args_is_help=True, help="Look at what hakmem record wrote, or make a trace of a capture of memray."
)
app.add_typer(trace_app, name="trace")


@trace_app.command(name="show")
def trace_show(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A trace of hakmem record")],
    process: Annotated[
        int | None, typer.Option(help="The process to look at [default: the one with the most events]")
    ] = None,
    as_json: JsonOption = False,
    html: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write the page with the pictures here")
    ] = None,
) -> None:
    """Show a trace: sizes, lifetimes, live bytes, threads, cross-thread frees, realloc chains, the peak."""
    _delegate("trace_report", path=path, process=process, as_json=as_json, page_path=html)


@trace_app.command(name="import")
def trace_import(
    capture: Annotated[Path, typer.Argument(metavar="CAPTURE", help="A capture file of memray")],
    path: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The trace to write")],
) -> None:
    """Make a trace of a capture that memray took of a Python program."""
    _delegate("memray_import", capture=capture, path=path)


@app.command()
def replay(
    path: Annotated[Path, typer.Argument(metavar="FILE", help="A trace of hakmem record")],
    names: NamesArgument = None,
    process: Annotated[
        int | None, typer.Option(help="The process to replay [default: the one with the most events]")
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Fresh processes per contestant")] = 5,
    with_peers: PeersOption = False,
    given: PeerOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a recorded program's calls under variants (default: magazine), libc and the null allocator."""
    _delegate(
        "replay",
        path=path,
        names=names or [spec.DEFAULT_VARIANT],
        process=process,
        rounds=rounds,
        with_peers=with_peers,
        peers=given or [],
        as_json=as_json,
    )


app.command(cls=CommandAfterDashes)(tune)


@app.command()
def verdicts(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="What tune --json printed, a file for each host")
    ],
    as_json: JsonOption = False,
    html: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the page here")] = None,
) -> None:
    """Show the verdicts of several hosts side by side, and whether they agree; their figures stay apart."""
    _delegate("verdicts", paths=paths, as_json=as_json, page_path=html)


@app.command()
def stats(
    pid: Annotated[int, typer.Argument(metavar="PID", min=1, help="A process on a library with counters")],
    as_json: JsonOption = False,
    every: Annotated[
        float | None,
        typer.Option("--watch", metavar="SECONDS", min=0.01, help="Go on until the process ends"),
    ] = None,
) -> None:
    """Read a running process's statistics from outside, without stopping it."""
    from . import live

    def show(found: dict[str, Any]) -> None:
        sys.stdout.write(json.dumps(found) + "\n" if as_json else live.text(found))
        sys.stdout.flush()

    if every is None:
        show(live.read(pid))
    else:
        live.watch(pid, show, lambda: time.sleep(every))


@app.command()
def axes(as_json: JsonOption = False) -> None:
    """List every axis, its kinds and options, and the pairs that cannot be combined."""
    from . import axes as table

    if not as_json:
        sys.stdout.write(table.axes_markdown())
        return
    _print_json(
        {
            axis.name: {
                "meaning": axis.meaning,
                "default": axis.default,
                "kinds": {
                    kind.name: {
                        "meaning": kind.meaning,
                        "options": {
                            option.name: {
                                "expected": option.expected,
                                "default": option.default,
                                "meaning": option.meaning,
                            }
                            for option in kind.options
                        },
                    }
                    for kind in axis.kinds
                },
            }
            for axis in table.AXES
        }
    )


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"hakmem {__version__}\n")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the ``hakmem`` command."""
    app(prog_name="hakmem")


if __name__ == "__main__":
    main()
