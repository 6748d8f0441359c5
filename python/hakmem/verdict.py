"""The rule that decides a tune: winner, tie, or keep libc. Nothing here measures.

libc races under two names; how far these two come apart is the noise floor. What counts is the time of the
whole run, as paired ratios within rounds, and the peak RSS.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from . import ranking, stats
from .bench import TWIN
from .spec import Variant
from .stats import Cells, Ratio
from .store import Result

LIBC = "libc"
LIBC_AGAIN = LIBC + TWIN
WINNER = "winner"
TIE = "tie"
KEEP = "keep libc"


@dataclass(frozen=True)
class Verdict:
    """What to run the program on.

    ``kind`` is "winner", "tie" or "keep libc"; ``name`` the one to take (of a tie the simplest; "libc" when
    it is kept), ``tied`` all of a tie, that one first. ``by`` says what was run to decide, ``rule`` is the
    rule as it was told before. ``time`` and ``memory`` are the named one's ratios to libc.
    """

    kind: str
    name: str
    tied: tuple[str, ...]
    by: str
    rule: str
    sentence: str
    noise_floor: float
    time: Ratio | None
    memory: Ratio | None


def rule(by: str, max_rss: float, plus_kib: int = 0) -> str:
    """The rule in one sentence, to be told before the deciding runs."""
    plus = f" plus {plus_kib // 1024} MiB" if plus_kib else ""
    return (
        f"The fastest by {by} wins whose whole interval against libc lies below libc by more than the noise "
        f"(libc against itself in the same run) and whose peak RSS is at most {max_rss:g} of libc's{plus}; "
        "those that its interval or the noise does not tell from it tie with it; otherwise libc is kept."
    )


def memory_cells(results: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    """Cells whose figure is the peak RSS in KiB less what the loop holds, so that ratios are of memory."""
    return stats.cells(
        dataclasses.replace(one, ns_per_op=float(max(1, one.peak_rss_kib - one.harness_kib)))
        for one in results
    )


def mean_memory_cells(results: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    """Cells whose figure is a replay's mean RSS in KiB, less what the loop holds; others are left out."""
    return stats.cells(
        dataclasses.replace(one, ns_per_op=float(max(1, one.mean_rss_kib - one.harness_kib)))
        for one in results
        if one.mean_rss_kib is not None
    )


def processor_cells(results: Iterable[Result]) -> dict[tuple[str, str], list[Result]]:
    """Cells whose figure is a program's user and system time in ms; results without it are left out."""
    found = []
    for one in results:
        ms = json.loads(one.params).get("cpu_ms")
        if ms:
            found.append(dataclasses.replace(one, ns_per_op=float(ms)))
    return stats.cells(found)


def noise(results: Iterable[Result]) -> float:
    """How far libc comes apart from itself: the far end of the interval, as a share (0.02 is 2 %)."""
    cells = stats.cells(results)
    return ranking.score_noise(cells, {LIBC_AGAIN: LIBC}, stats.labels_of(cells, LIBC))


def over_budget(memory: Cells, name: str, labels: Sequence[str], max_rss: float, plus_kib: int) -> str:
    """Why a contestant does not keep the memory budget on some row, or nothing."""
    for label in labels:
        found = stats.ratio(memory, name, LIBC, label)  # as it is shown
        if found is None:
            continue
        libc = stats.median([one.ns_per_op for one in memory[LIBC, label]])
        peak = found.value * libc
        if peak > max_rss * libc + plus_kib:
            return (
                f"memory: {label} peaks at {peak / 1024:.1f} MiB, libc at {libc / 1024:.1f}, "
                f"allowed {(max_rss * libc + plus_kib) / 1024:.1f}"
            )
    return ""


def decide(
    results: Sequence[Result],
    variants: Mapping[str, Variant],
    by: str,
    max_rss: float,
    plus_kib: int = 0,
) -> Verdict:
    """Apply the rule to the results of one race with libc and libc again in it.

    ``variants`` are those contestants that are variants: among tied ones the simplest of them is named, and
    only a tie without any names another contestant.
    """
    cells, memory = stats.cells(results), memory_cells(results)
    labels = stats.labels_of(cells, LIBC)
    names = [name for name in dict.fromkeys(name for name, _ in cells) if TWIN not in name]
    floor = noise(results)
    told = rule(by, max_rss, plus_kib)

    def time(name: str) -> Ratio | None:
        return stats.geometric_mean(cells, name, LIBC, labels)

    kept = [name for name in names if name not in (LIBC, stats.NULL)]
    within = [name for name in kept if not over_budget(memory, name, labels, max_rss, plus_kib)]
    faster = [name for name in within if (found := time(name)) and found.high < 1.0 / (1.0 + floor)]
    if not faster:
        return Verdict(
            KEEP, LIBC, (), by, told, _keep(kept, within, time, floor), floor, Ratio(1, 1, 1), Ratio(1, 1, 1)
        )
    order = sorted(within, key=lambda name: _value(time(name)))
    fastest = next(name for name in order if name in faster)
    tied = []
    for name in order:  # also one whose own interval reaches libc, as long as the noise hides it
        behind = stats.geometric_mean(cells, name, fastest, labels)
        if behind and (behind.low <= 1.0 or behind.value <= 1.0 + floor):
            tied.append(name)
    tied.sort(key=lambda name: (name not in faster, *_preference(name, variants, order.index(name))))
    first = tied[0]
    found, heavy = time(first), stats.geometric_mean(memory, first, LIBC, labels)
    assert found is not None
    figures = f"{_share(found)} of libc's time by {by}, noise {100 * floor:.1f} %"
    if heavy:
        figures += f", and {heavy.value:.2f} of its peak RSS"
    if len(tied) == 1:
        sentence = f"{first} wins: {figures}."
        return Verdict(WINNER, first, (), by, told, sentence, floor, found, heavy)
    why = "the simplest of them" if first in variants else "the fastest of them"
    sentence = f"A tie of {', '.join(tied)}; {first} is named, {why}: {figures}."
    return Verdict(TIE, first, tuple(tied), by, told, sentence, floor, found, heavy)


def _preference(
    name: str, variants: Mapping[str, Variant], place: int
) -> tuple[bool, tuple[int, int, int, int, str], int]:
    item = variants.get(name)
    return item is None, ranking.simplicity(item) if item else (0, 0, 0, 0, ""), place


def _value(found: Ratio | None) -> float:
    return found.value if found else math.inf


def _share(found: Ratio) -> str:
    return f"{found.value:.3f} ({found.low:.3f} to {found.high:.3f})"


def _keep(kept: Sequence[str], within: Sequence[str], time: object, floor: float) -> str:
    assert callable(time)
    start = f"Keep libc: nothing beats it by more than the noise ({100 * floor:.1f} %)"
    heavy = [name for name in kept if name not in within]
    scores: dict[str, Ratio] = {name: found for name in within if (found := time(name))}
    if scores:
        best = min(scores, key=lambda name: scores[name].value)
        start += f"; the best, {best}, takes {_share(scores[best])} of its time"
    if heavy:
        start += f"; {', '.join(heavy)} {'breaks' if len(heavy) == 1 else 'break'} the memory budget"
    return start + "."
