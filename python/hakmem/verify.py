"""Asking again, on this machine, whether a library is worth what it was handed over for."""

from __future__ import annotations

import json
import math
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from . import bench, handover, preload, prove, stats
from . import verdict as verdicts
from .build import Progress
from .door import Door
from .errors import HakmemError
from .handover import Handover
from .stats import Ratio
from .store import Result, Store
from .verdict import LIBC, LIBC_AGAIN

FASTER, SLOWER, SAME = "faster", "slower", "no difference beyond noise"
_SEED = 42
_BETTER = (SLOWER, SAME, FASTER)
RULE = (
    "faster or slower is what the whole interval of its time to libc's says by more than the noise (libc "
    "against libc in the same rounds); the verdict holds when it comes out here as it did there, or better"
)


@dataclass(frozen=True)
class Comparison:
    """A library against libc in one race: paired ratios of time and of peak RSS.

    ``word`` is `FASTER`, `SLOWER` or `SAME`; ``noise`` is how far libc came apart from itself (0.02 is 2 %).
    """

    time: Ratio
    memory: Ratio
    noise: float
    word: str


@dataclass(frozen=True)
class Verified:
    """What a folder was asked, and the answers: ``there`` as handed over (None: nothing was), ``here`` now.

    ``holds`` is None when there is nothing to hold.
    """

    name: str
    digest: str
    command: tuple[str, ...]
    there: Comparison | None
    here: Comparison
    holds: bool | None
    results: tuple[Result, ...]


def compare(results: Sequence[Result], name: str) -> Comparison | None:
    """A contestant against libc by the rows that both have; None when there are none."""
    cells, memory = stats.cells(results), verdicts.memory_cells(results)
    labels = [label for who, label in cells if who == name and (LIBC, label) in cells]
    time, peak = (stats.geometric_mean(of, name, LIBC, labels) for of in (cells, memory))
    if time is None or peak is None:
        return None
    found = stats.row_noise(cells, {LIBC_AGAIN: LIBC}, labels)
    noise = 0.0 if math.isnan(found) else found
    word = SAME
    if time.high < 1.0 / (1.0 + noise):
        word = FASTER
    elif time.low > 1.0 + noise:
        word = SLOWER
    return Comparison(time, peak, noise, word)


def verify(
    folder: Path | str,
    command: Sequence[str] | None = None,
    *,
    rounds: int = 7,
    say: Progress = lambda _done, _all, _text: None,
) -> Verified:
    """Run a command on libc, libc again and the folder's library, in turn and ``rounds`` times each.

    ``command`` is by default the one that the folder was handed over for. A folder that is not whole, a
    library that cannot be loaded here, and a run that fails or is served by another malloc are a
    `HakmemError`.
    """
    opened = handover.opened(Path(folder))
    words = list(command or opened.command)
    if not words:
        raise HakmemError(f"{folder}: expected a command behind --, since it was handed over for none")
    prove.check_command(words, "verify --")
    preload.probe(opened.built)
    return _raced(opened, words, rounds, say)


def _raced(opened: Handover, command: list[str], rounds: int, say: Progress) -> Verified:
    ours = bench.contestant(opened.built)
    contestants = [bench.libc(), replace(bench.libc(), name=LIBC_AGAIN), ours]
    with (
        tempfile.TemporaryDirectory(prefix="hakmem-verify-") as name,
        Store(Path(name) / "rows.sqlite") as store,
    ):
        run = store.open_run("verify", {"command": command})
        prover = prove.Prover(command)
        results, failed = prove.race(prover, contestants, rounds, _SEED, store, run, lambda _index: True, say)
    if ours.name in failed:
        raise HakmemError(f"{ours.name}: {failed[ours.name]}")
    here, there = compare(results, ours.name), compare(opened.results, ours.name)
    assert here is not None
    holds = _BETTER.index(here.word) >= _BETTER.index(there.word) if there else None
    return Verified(ours.name, opened.built.digest, tuple(command), there, here, holds, tuple(results))


# ----------------------------------------------------------------------------------------------------
# Command line


def cli_verify(folder: Path, command: Sequence[str], rounds: int, as_json: bool) -> int:
    """What `hakmem verify` does; 1 when the verdict does not hold, or nothing could be asked."""
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False)
    try:
        opened = handover.opened(folder)
        if not as_json:
            _announce(console, opened)
        with errors.status("running") as status:
            found = verify(folder, command, rounds=rounds, say=lambda _done, _all, text: status.update(text))
    except HakmemError as error:
        sys.stderr.write("error: " + " ".join(str(error).split()) + "\n")
        return 1
    if as_json:
        sys.stdout.write(json.dumps(asdict(found), indent=1) + "\n")
    else:
        _print(console, found)
    return 1 if found.holds is False else 0


def _announce(console: Console, opened: Handover) -> None:
    built = opened.built
    console.print(
        f"{opened.folder}: {built.name} {built.digest}, handed over {opened.made}, whole", markup=False
    )
    console.print(f"there, {opened.machine.get('processor', 'unknown')}: {opened.verdict}", markup=False)
    console.print(f"rule: {RULE}", markup=False)


def _print(console: Console, found: Verified) -> None:
    console.print(f"{prove.shell_line(found.command)}, here, {bench.cpu_model()}:", markup=False)
    table = Table("served by", box=None, header_style="bold")
    for title in ("rounds", "seconds", "peak MiB"):
        table.add_column(title, justify="right")
    for (name, _label), cell in stats.cells(found.results).items():
        seconds = stats.median([one.ns_per_op for one in cell]) / 1e9
        peak = stats.median([one.peak_rss_kib for one in cell]) / 1024
        shown = f"{name} {found.digest}" if name == found.name else name
        table.add_row(shown, str(len(cell)), f"{seconds:.3f}", f"{peak:.1f}")
    console.print(table)
    console.print(f"{found.name} here: {_text(found.here)}", markup=False)
    if found.there:
        console.print(f"{found.name} there: {_text(found.there)}", markup=False)
    words = {True: "the verdict holds here", False: "the verdict does not hold here"}
    said = words[found.holds] if found.holds is not None else "no verdict was handed over that could hold"
    console.print(said, markup=False)


def _text(found: Comparison) -> str:
    time, peak = found.time, found.memory
    return (
        f"{found.word}: {time.value:.3f} of libc's time ({time.low:.3f} to {time.high:.3f}), noise "
        f"{found.noise:.1%}; {peak.value:.2f} of its peak RSS ({peak.low:.2f} to {peak.high:.2f})"
    )


sys.modules[__name__].__class__ = Door
