"""A racer that invents measurements, so that picking and its pages are tested without measuring anything."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

from hakmem import pick, workloads
from hakmem.build import Built
from hakmem.pick import Race, Stage
from hakmem.store import Result
from results import result

BLANK = dataclasses.replace(
    result(), kind="variant", harness_kib=0, histogram='{"16": 80, "256": 15, "1024": 5}'
)


@dataclass
class SyntheticRacer:
    """``times`` and ``memories`` are ratios to libc by variant; ``noise`` the spread of one measurement.

    ``crashes`` maps a variant to the stage in which it ends by a signal. ``asked`` records every call.
    """

    times: Mapping[str, float] = field(default_factory=dict)
    memories: Mapping[str, float] = field(default_factory=dict)
    noise: float = 0.01
    crashes: Mapping[str, str] = field(default_factory=dict)
    asked: list[tuple[str, int, list[str]]] = field(default_factory=list)

    def race(self, stage: Stage, rounds: int, contestants: Mapping[str, Built | None]) -> Race:
        """Invent the stage's rows."""
        self.asked.append((stage.name, rounds, list(contestants)))
        race = Race()
        for name in contestants:
            if self.crashes.get(name) == stage.name:
                race.failures[name] = "app: ended by SIGSEGV"
        for row in workloads.suite(stage.suite):
            for name in contestants:
                for index in range(rounds if name not in race.failures else 0):
                    race.results.append(self._result(name, row.label, row.workload, index, dict(row.params)))
        return race

    def programs(self, rounds: int, contestants: Mapping[str, Built | None]) -> Race:
        """Invent the programs' runs: a fifth of a variant's gain on workloads."""
        self.asked.append(("programs", rounds, list(contestants)))
        return Race(
            [
                self._result(name, program, pick.PROGRAM, index, {})
                for program in ("cpython", "sqlite3")
                for name in contestants
                for index in range(rounds)
            ]
        )

    def _result(self, name: str, label: str, workload: str, index: int, params: dict[str, int]) -> Result:
        draw = random.Random(f"{name}:{label}:{index}")
        row = random.Random(label)
        base = row.uniform(12.0, 200.0)
        ratio = 0.3 if name == pick.NULL else self.times.get(name, 1.0)
        if name in self.times and self.noise:
            ratio *= random.Random(f"{name}:{label}").uniform(0.85, 1.15)
        if workload == pick.PROGRAM:
            base, ratio = 4e8, ratio**0.2
        peak = row.uniform(2000, 90000) * self.memories.get(name, 1.0)
        return dataclasses.replace(
            BLANK,
            variant=name,
            label=label,
            workload=workload,
            round=index,
            params=json.dumps(params),
            histogram="{}" if workload == pick.PROGRAM else BLANK.histogram,
            ns_per_op=base * ratio * draw.uniform(1 - self.noise, 1 + self.noise),
            peak_rss_kib=int(peak),
        )

    def meanings(self) -> Mapping[str, str]:
        """Sentences for some rows."""
        return {"app": "a mix of sizes", "cpython": "CPython on documents"}

    def machine(self) -> Mapping[str, str]:
        """Where nothing was measured."""
        return {"processor": "a processor x2", "compiler": "a compiler", "flags": "-O2 -fno-plt"}
