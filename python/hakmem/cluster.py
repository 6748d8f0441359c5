"""What need not be timed, spread over machines: builds, the behaviour suite, instruction counts.

A Dask cluster (the package `distributed`) runs the work, a variant at a time. Each worker has hakmem
installed, builds in a cache of its own and answers with what it found; libraries stay where they are. A
worker that would build another allocator, from other sources or with another compiler, says so instead.
Nothing is timed here: runs that are belong to one machine.
"""

from __future__ import annotations

import json
import logging
import platform
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from typing import Any

from rich.console import Console
from rich.table import Table

from . import bench, callgrind, spec
from . import build as builds
from . import check as checks
from .build import BuildFailure
from .errors import HakmemError
from .spec import Variant
from .workloads import Row

_CONNECT_S = 10
_SEED = 42


@dataclass(frozen=True)
class Answer:
    """What was found of one variant, and on which host; ``problem`` is empty when all is well.

    ``figures`` has what the work counted, by name, as JSON takes it.
    """

    name: str
    digest: str
    host: str
    problem: str = ""
    log: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)


Work = Callable[..., Answer]
"""A function of this module that takes a variant, and options."""


# ----------------------------------------------------------------------------------------------------
# Work, done where it is called


def build_here(variant: Variant) -> Answer:
    """Build a variant; its figures have the ``folder``."""
    (result,) = builds.build([variant]).values()
    if isinstance(result, BuildFailure):
        return Answer(result.name, result.digest, platform.node(), result.message, result.log)
    return Answer(result.name, result.digest, platform.node(), figures={"folder": str(result.folder)})


def check_here(variant: Variant, timeout_s: float, fresh: bool) -> Answer:
    """Run the behaviour suite over a variant; its figures have ``tests`` and ``seconds``."""
    (result,) = builds.build([variant]).values()
    if isinstance(result, BuildFailure):
        return Answer(result.name, result.digest, platform.node(), result.message, result.log)
    found = checks.check(result, timeout_s, fresh)
    figures = {"tests": found.tests, "seconds": found.seconds}
    log = "" if found.passed else found.log
    return Answer(found.name, found.digest, platform.node(), found.reason, log, figures)


def count_here(variant: Variant, rows: Sequence[Row]) -> Answer:
    """Count instructions per operation on those rows that can be counted; figures by label."""
    built = builds.build_one(variant)
    runner = builds.runner()
    environment = bench.contestant(built).environment()
    figures = {}
    for row in rows:
        if callgrind.countable(row):
            found = callgrind.count(runner, row, environment, _SEED)
            figures[row.label] = {**asdict(found), "agree": found.agree}
    return Answer(built.name, built.digest, platform.node(), figures=figures)


# ----------------------------------------------------------------------------------------------------
# Spreading it


def spread(
    scheduler: str | None, work: Work, variants: Sequence[Variant], *options: object
) -> Iterator[Answer]:
    """Do the work for each variant, on a cluster or (None) here; answers come as they are ready.

    A scheduler that does not answer, or has no workers, is a `HakmemError`; what goes wrong with one variant
    is its answer's problem.
    """
    if scheduler is None:
        for variant in variants:
            yield _answered(work, variant, "", options)
        return
    tools = builds.toolchain()
    orders = {item.name: (spec.toml_text(item), spec.digest(item, tools)) for item in variants}
    distributed = _distributed()
    with _client(distributed, scheduler) as client:
        futures = {
            client.submit(_there, work, *order, options, pure=False, retries=0): name
            for name, order in orders.items()
        }
        for future in distributed.as_completed(futures):
            try:
                yield future.result()
            except Exception as error:  # of Dask's own: a worker that died, or has no hakmem
                name = futures[future]
                problem = " ".join(f"{type(error).__name__}: {error}".split())
                yield Answer(name, orders[name][1], scheduler, problem)


def _there(work: Work, text: str, digest: str, options: Sequence[object]) -> Answer:
    """On a worker: the work for the variant that this text describes."""
    return _answered(work, spec.parse(text, "the client's variant"), digest, options)


def _answered(work: Work, variant: Variant, digest: str, options: Sequence[object]) -> Answer:
    host, own = platform.node(), digest
    try:
        own = spec.digest(variant, builds.toolchain())
        if digest and own != digest:
            problem = f"{host}: expected the sources and the compiler that give {digest}, got those of {own}"
            return Answer(variant.name, own, host, problem)
        return work(variant, *options)
    except HakmemError as error:
        return Answer(variant.name, own, host, str(error))


def _distributed() -> Any:
    try:
        found = import_module("distributed")
    except ImportError as error:
        raise HakmemError("--scheduler needs the package distributed: pip install distributed") from error
    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what matters of it becomes one line
    return found


def _client(distributed: Any, scheduler: str) -> Any:
    try:
        client = distributed.Client(scheduler, timeout=_CONNECT_S)
    except (OSError, ValueError, TypeError) as error:  # TimeoutError among them
        why = " ".join(str(error).split()) or type(error).__name__
        raise HakmemError(
            f"--scheduler {scheduler}: expected a Dask scheduler that answers, got: {why}"
        ) from error
    if not client.scheduler_info()["workers"]:
        client.close()
        raise HakmemError(f"--scheduler {scheduler}: expected workers, got a scheduler that has none")
    return client


# ----------------------------------------------------------------------------------------------------
# Command line


_WORK: Mapping[str, tuple[Work, str]] = {
    "build": (build_here, "built"),
    "check": (check_here, "passed"),
    "count": (count_here, "counted"),
}
"""What there is to do, by name, and what is said of one that went well."""


def cli_cluster(
    scheduler: str | None, work: str, variants: Sequence[Variant], options: Sequence[object], as_json: bool
) -> int:
    """Do the work and print each answer when it comes; 1 when one has a problem."""
    console = Console(highlight=False, soft_wrap=True)
    function, well = _WORK[work]
    answers = []
    for answer in spread(scheduler, function, variants, *options):
        answers.append(answer)
        if not as_json:
            console.print(_line("failed" if answer.problem else well, answer), markup=False)
            if answer.log:
                console.print(answer.log, markup=False)
    if as_json:
        sys.stdout.write(json.dumps([asdict(answer) for answer in answers], indent=1) + "\n")
    elif work == "count":
        console.print(count_table([answer for answer in answers if not answer.problem]))
    return int(any(answer.problem for answer in answers))


def _line(word: str, answer: Answer) -> str:
    figures = answer.figures
    more = f" ({figures['tests']} tests, {figures['seconds']:.1f} s)" if "tests" in figures else ""
    problem = f": {answer.problem}" if answer.problem else ""
    return f"{word} {answer.name} {answer.digest}{more} on {answer.host}{problem}"


def count_table(answers: Sequence[Answer]) -> Table:
    """Of variants and workload rows, what there is more of goes down the page, to be read in 80 columns."""
    labels = list(dict.fromkeys(label for answer in answers for label in answer.figures))
    figures = {
        (label, answer.name): f"{answer.figures[label]['per_op']:.1f}"
        for answer in answers
        for label in labels
    }
    table = Table("instructions an operation", box=None, header_style="bold")
    if len(answers) > len(labels):
        for label in labels:
            table.add_column(label, justify="right")
        for answer in answers:
            table.add_row(answer.name, *(figures[label, answer.name] for label in labels))
    else:
        for answer in answers:
            table.add_column(answer.name, justify="right")
        for label in labels:
            table.add_row(label, *(figures[label, answer.name] for answer in answers))
    return table
