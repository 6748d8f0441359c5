"""What a pick found: the records that the terminal table, the JSON file and the HTML page are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .stats import Ratio

FINALIST = "finalist"
NARROWED = "narrowed out"
REJECTED = "rejected"


@dataclass(frozen=True)
class Cell:
    """One contestant on one row.

    ``cost`` is the median, ns per operation (a program: seconds); ``spread`` its coefficient of variation;
    ``ratio`` the paired cost ratio to libc; ``peak_rss_kib`` the median peak; ``less_null`` the cost less the
    null allocator's; ``stage`` the stage it is from, ``rounds`` the processes that were measured.
    """

    cost: float
    spread: float
    ratio: Ratio
    peak_rss_kib: float
    less_null: float | None
    stage: str
    rounds: int


@dataclass(frozen=True)
class RowOutcome:
    """One workload or program with every contestant's cell, and the sizes that it asks for.

    ``histogram`` maps an upper bound in bytes to allocations; ``null_cost`` is the call cost alone, in ns.
    """

    label: str
    kind: str
    meaning: str
    params: Mapping[str, Any]
    unit: str
    histogram: Mapping[int, int]
    null_cost: float | None
    libc_cost: float
    libc_peak_rss_kib: float
    cells: Mapping[str, Cell]


@dataclass(frozen=True)
class VariantOutcome:
    """One variant: how far it came and why, its score against libc's time and memory.

    ``score`` is None when it was never raced; ``stage`` names the stage the score is from. ``memory`` is the
    geometric mean of the ratios to libc's peak RSS and ``worst_memory`` the row with the largest of them.
    """

    name: str
    why: str
    differs: str
    digest: str
    policy_set: Mapping[str, Any]
    status: str
    reason: str
    stage: str
    rounds: int
    score: Ratio | None
    tied: bool
    memory: float | None
    worst_memory: str
    programs: Mapping[str, Ratio] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """Everything a pick has to say. ``noise_floor`` is a share (0.02 = 2 %), times are seconds.

    ``reference`` holds the scores of contestants that are not candidates: libc again, peers.
    ``peer_failures`` says of peers that left the race why they did.
    """

    verdict: str
    winner: str | None
    beats_libc: bool
    fastest: str | None
    tied: tuple[str, ...]
    noise_floor: float
    memory_rule: str
    gates: tuple[str, ...]
    plan: tuple[str, ...]
    machine: Mapping[str, str]
    started: str
    seconds: float
    seed: int
    variants: tuple[VariantOutcome, ...]
    rows: tuple[RowOutcome, ...]
    reference: Mapping[str, Ratio] = field(default_factory=dict)
    peer_failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def peers(self) -> list[str]:
        """Peers that came through the final, the fastest first."""
        names = [name for name in self.reference if "#" not in name]  # libc#2 is libc again
        return sorted(names, key=lambda name: self.reference[name].value)

    def as_json(self) -> str:
        """The outcome as JSON text."""
        return json.dumps(asdict(self), indent=1)
