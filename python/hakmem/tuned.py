"""What a tune found: the records that its terminal lines, JSON and page are made of."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from .errors import HakmemError
from .search import Entry, Trial
from .stats import Ratio
from .store import Result
from .verdict import Verdict

REPLAY = "replay"
PROGRAM = "program"
WORKLOADS = "workloads"


@dataclass(frozen=True)
class Standing:
    """One contestant in a deciding race: ``by`` is "replay", "workloads" or "program".

    ``seconds`` are the median of a whole run (of workloads: None), ``cpu_seconds`` user and system time where
    they were measured; ``time``, ``cpu``, ``memory`` (peak RSS) and ``mean_memory`` (mean RSS over a replay's
    calls) are ratios to libc's; ``peak_kib`` and ``mean_kib`` are the largest medians over the rows, less
    what the loop holds.
    """

    name: str
    kind: str
    what: str
    by: str
    rounds: int
    seconds: float | None
    spread: float
    time: Ratio | None
    cpu_seconds: float | None
    cpu: Ratio | None
    memory: Ratio | None
    peak_kib: float
    remark: str = ""
    mean_memory: Ratio | None = None
    mean_kib: float | None = None


@dataclass(frozen=True)
class Part:
    """One axis of a set put to another value: time and peak RSS then, relative to the set's own."""

    axis: str
    value: str
    own: str
    time: Ratio
    memory: Ratio | None


@dataclass(frozen=True)
class Curve:
    """RSS over time of one run of its own: seconds from its start, and KiB."""

    name: str
    points: tuple[tuple[float, int], ...]

    @property
    def mean_kib(self) -> float:
        """Mean over the looks that were taken."""
        return sum(kib for _, kib in self.points) / len(self.points) if self.points else 0.0


@dataclass(frozen=True)
class TuneResult:
    """Everything that a tune has to say.

    ``question`` is what was asked, in words; ``standings`` are of the race that decided and of the last
    replay, ``results`` the runs behind them; ``parts`` are of the set ``parts_of``; ``sets`` are the policy
    sets by name. ``seconds`` is the time used, interruptions left out.
    """

    verdict: Verdict
    question: str
    plan: tuple[str, ...]
    standings: tuple[Standing, ...]
    entries: tuple[Entry, ...]
    trials: tuple[Trial, ...]
    parts: tuple[Part, ...]
    parts_of: str
    curves: tuple[Curve, ...]
    results: tuple[Result, ...]
    sets: Mapping[str, Mapping[str, Any]]
    machine: Mapping[str, str]
    trace: str | None
    process: int | None
    max_rss: float
    started: str
    seconds: float
    seed: int

    @property
    def winner(self) -> str | None:
        """The contestant to take; None when libc is kept."""
        return None if self.verdict.name == "libc" else self.verdict.name

    def rows(self) -> list[Standing]:
        """The deciding races' lines: those of the program first, then those of the replay."""
        return sorted(self.standings, key=lambda one: one.by != PROGRAM)

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON takes it."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found


def from_dict(found: Mapping[str, Any]) -> TuneResult:
    """The result that `TuneResult.to_dict` gave; a `HakmemError` names the key that is none of it."""
    try:
        # as JSON: read from Python's objects, strict would refuse the lists that JSON has for tuples
        return TypeAdapter(TuneResult).validate_json(json.dumps(found), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        if first["type"] == "missing":
            raise HakmemError(f"{key}: expected it, got nothing") from error
        expected = first["msg"].replace("Input should be", "expected")
        raise HakmemError(f"{key}: {expected}, got {json.dumps(first['input'])[:60]}") from error
