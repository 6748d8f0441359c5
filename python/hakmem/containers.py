"""Containers of the C++ standard library raced on allocators of their own: in-line, by malloc, from pools.

The loops are C++ (cpp/hakmem/bench/container_loops.hpp), compiled once per variant at -O2 as a program would
be. Each contestant runs each loop in fresh processes, interleaved and resumed as `bench` does it. A process
says whether the blocks of its containers came from where its contestant says.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import bench, sources, stats
from . import build as builds
from .bench import Contestant
from .build import Built
from .errors import BuildError
from .report import TABLE_WIDTH
from .stats import Ratio
from .store import Failure, Result, Store
from .workloads import Row

SEED = 42
BOOST_PACKAGE = "libboost-dev"
_BOOST_HEADER = "boost/pool/pool_alloc.hpp"
_FLAGS = ("-std=c++20", "-O2", "-pthread")
_STD, _INLINE, _PMR = "std", "inline", "pmr"
_POOLS = {
    "std-pool": "std::pmr::unsynchronized_pool_resource",
    "std-pool-sync": "std::pmr::synchronized_pool_resource",
}
_BOOST = {
    "boost": "boost::fast_pool_allocator with its lock",
    "boost-unlocked": "boost::fast_pool_allocator without a lock, for one thread",
}
NODES = ("nodes", "list", "map", "unordered_map")
LOOPS = (*NODES, "string", "vector")
MEANINGS = {
    "nodes": "allocate(1) and deallocate(1) of 40 B, 100 live",
    "list": "std::list of 1000: push_back, pop_front",
    "map": "std::map: a drawn key comes or goes, 8192 live",
    "unordered_map": "std::unordered_map: the same",
    "string": "std::string: one of 1000 replaced, 16-200 characters",
    "vector": "std::vector: 1-64 push_back, dropped",
}
_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class ContainerContestant(Contestant):
    """Where a race's containers take their blocks from: a program and the name of its scheme.

    ``engine`` is the variant's name and digest that the program has compiled in.
    """

    program: Path = Path()
    scheme: str = _STD
    engine: str = ""

    @property
    def loops(self) -> tuple[str, ...]:
        """The loops it can run: Boost's is no allocator for what is not one node at a time."""
        return NODES if self.scheme in _BOOST else LOOPS


@dataclass(frozen=True)
class Standing:
    """One contestant: ns per operation and ratio to libc by loop, and geometric means of the ratios.

    ``nodes`` is over the loops of nodes, ``all_loops`` over all; None where it did not run them.
    """

    name: str
    what: str
    ns: Mapping[str, float]
    ratios: Mapping[str, Ratio]
    nodes: Ratio | None
    all_loops: Ratio | None


def program(built: Built) -> Path:
    """The program of the container loops with a variant's engine compiled in; built when needed."""
    return _compiled("containers", built.digest, [f"-I{built.folder}"])


def boost_program() -> Path | None:
    """The same loops over Boost's allocator; None when Boost's headers are not on this machine."""
    tools = builds.toolchain()
    probe = subprocess.run(
        [str(tools.compiler), "-x", "c++", "-E", "-"],
        input=f"#include <{_BOOST_HEADER}>\n",
        capture_output=True,
        text=True,
        check=False,
    )
    return _compiled("containers_boost", "", []) if probe.returncode == 0 else None


def _compiled(name: str, digest: str, more: Sequence[str]) -> Path:
    tools = builds.toolchain()
    text = "\n".join([sources.runner_hash(), tools.compiler_id, *_FLAGS, digest])
    folder = builds.cache_root() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    made = folder / f"hakmem_{name}"
    if made.is_file():
        return made
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f".{made.name}-{os.getpid()}"
    source = sources.root() / "cpp" / "src" / f"{name}.cpp"
    command = [str(tools.compiler), *_FLAGS, *more, f"-I{sources.root() / 'cpp'}", str(source)]
    answer = subprocess.run(
        [*command, "-o", str(temporary)], capture_output=True, text=True, errors="replace", check=False
    )
    if answer.returncode != 0:
        lines = answer.stderr.splitlines() or ["no output"]
        raise BuildError(
            f"{source.name} did not build: {next((one for one in lines if 'error' in one), lines[-1])}"
        )
    temporary.rename(made)
    return made


def contestants(
    built: Sequence[Built], peers: Sequence[Contestant], boost: Path | None
) -> tuple[list[ContainerContestant], dict[str, str]]:
    """Who races, and in words what each one is."""
    first = program(built[0])
    found = [_from(bench.libc(), first, _STD, "")]
    what = {"libc": "std::allocator on libc's malloc"}
    for item in built:
        own, engine = program(item), f"{item.name} {item.digest}"
        plain = bench.contestant(item)
        for scheme, text in (
            (_INLINE, f"containers::Allocator on {item.name}"),
            (_PMR, f"containers::MemoryResource on {item.name}, through std::pmr"),
        ):
            name = f"{item.name}-{scheme}"
            found.append(
                ContainerContestant(
                    name, None, {}, item.digest, "variant", plain.policy_set, None, own, scheme, engine
                )
            )
            what[name] = text
        found.append(_from(plain, first, _STD, ""))
        what[item.name] = f"std::allocator on {item.name}'s malloc library"
    for scheme, text in _POOLS.items():
        found.append(ContainerContestant(scheme, None, kind="peer", program=first, scheme=scheme))
        what[scheme] = text
    for scheme, text in _BOOST.items() if boost else ():
        assert boost is not None
        found.append(ContainerContestant(scheme, None, kind="peer", program=boost, scheme=scheme))
        what[scheme] = text
    for who in peers:
        found.append(_from(who, first, _STD, ""))
        what[who.name] = f"std::allocator on {who.name}"
    return found, what


def _from(who: Contestant, own: Path, scheme: str, engine: str) -> ContainerContestant:
    return ContainerContestant(**vars(who), program=own, scheme=scheme, engine=engine)


def rows() -> list[Row]:
    """The loops as rows of a bench."""
    return [Row(loop, "container") for loop in LOOPS]


def measure(who: Contestant, row: Row, min_ms: int = bench.MIN_MS) -> Mapping[str, Any]:
    """One loop in one process; its answer, proved to be the contestant's."""
    assert isinstance(who, ContainerContestant)
    command = [str(who.program), who.scheme, row.label, bench.pinning(1), str(min_ms)]
    answer, log = bench.answer_of(command, who, row, _TIMEOUT_S)
    return answer | {"served_share": served_share(who, row, answer, log), "shape": "container"}


def served_share(who: ContainerContestant, row: Row, answer: Mapping[str, Any], log: str = "") -> float:
    """Share of the containers' blocks that are the contestant's; anything but 1 is a `ServedByError`."""
    served = answer["served"]
    if who.scheme not in (_INLINE, _PMR):
        if who.scheme in _POOLS and served["owned"] != served["sampled"]:
            raise bench.ServedByError(who, row, "no block of the engine", served["owned"], log)
        return bench.served_share(who, row, answer, log)
    if answer["engine"] != who.engine:
        raise bench.ServedByError(who, row, f"the engine {who.engine}", answer["engine"], log)
    if served["sampled"] < 1 or served["owned"] != served["sampled"]:
        share = f"{served['owned']} of {served['sampled']}"
        raise bench.ServedByError(who, row, "every block from the engine", share, log)
    return 1.0


def race(
    who: Sequence[ContainerContestant],
    rounds: int,
    store: Store,
    progress: builds.Progress | None = None,
    min_ms: int = bench.MIN_MS,
) -> tuple[list[Result], list[Failure], dict[str, str]]:
    """Race contestants on the loops that they can run: results, failures, and which twin is whose.

    A race that is in the store is gone on with, or measured anew when it is complete.
    """
    everybody, twins = bench.with_twins(who)
    results: list[Result] = []
    failures: list[Failure] = []
    for loops in (NODES, tuple(loop for loop in LOOPS if loop not in NODES)):
        chosen = [row for row in rows() if row.label in loops]
        fit = [
            item
            for item in everybody
            if isinstance(item, ContainerContestant) and set(loops) <= set(item.loops)
        ]
        done = bench.is_complete(fit, chosen, rounds, SEED, store, min_ms)
        run = bench.run(
            fit,
            chosen,
            rounds,
            SEED,
            store,
            progress,
            fresh=done,
            min_ms=min_ms,
            measure=lambda one, row: measure(one, row, min_ms),
        )
        results += store.results(run)
        failures += store.failures(run)
    return results, failures, twins


def standings(results: Sequence[Result], what: Mapping[str, str]) -> list[Standing]:
    """How each contestant stands, in the order of ``what``."""
    found = stats.cells(results)
    return [
        Standing(
            name,
            text,
            {
                loop: stats.median([one.ns_per_op for one in found[name, loop]])
                for loop in LOOPS
                if (name, loop) in found
            },
            {loop: one for loop in LOOPS if (one := stats.ratio(found, name, "libc", loop))},
            stats.geometric_mean(found, name, "libc", NODES),
            stats.geometric_mean(found, name, "libc", LOOPS),
        )
        for name, text in what.items()
    ]


# ----------------------------------------------------------------------------------------------------
# Command line


def cli_containers(
    names: Sequence[str],
    rounds: int,
    with_peers: bool,
    peers: Sequence[str],
    as_json: bool,
) -> int:
    """What `hakmem containers` does; 1 when a contestant failed."""
    errors = Console(stderr=True, soft_wrap=True, highlight=False)
    taken = [builds.variant(name).name for name in names]
    reserved = [*_POOLS, *_BOOST, *(f"{name}-{scheme}" for name in taken for scheme in (_INLINE, _PMR))]
    rivals = bench.chosen_peers(with_peers, peers, [*taken, *reserved], errors.print)
    with errors.status("building") as status:
        built = builds.build_or_raise(names)
        boost = boost_program()
        who, what = contestants(built, rivals, boost)
        with bench.default_store() as store:
            results, failures, twins = race(
                who,
                rounds,
                store,
                lambda done, total, text: status.update(f"{done} of {total}: {text}"),
            )
    if boost is None:
        errors.print(f"boost: not on this machine: apt-get install {BOOST_PACKAGE}")
    table = standings(results, what)
    floor = stats.row_noise(stats.cells(results), twins, LOOPS)
    if as_json:
        answer = {
            "loops": MEANINGS,
            "rounds": rounds,
            "machine": bench.machine(),
            "contestants": [_as_object(item) for item in table],
            "noise_floor": None if math.isnan(floor) else floor,
            "missing": [] if boost else ["boost"],
            "failures": [vars(failure) for failure in failures],
        }
        sys.stdout.write(json.dumps(answer, indent=1) + "\n")
    else:
        _print(Console(width=TABLE_WIDTH, highlight=False), table, floor)
    for failure in failures:
        errors.print(f"error: {failure.variant} failed on {failure.label}: {failure.reason}", markup=False)
    return 1 if failures else 0


def _as_object(item: Standing) -> dict[str, Any]:
    return {
        "name": item.name,
        "what": item.what,
        "ns_per_op": dict(item.ns),
        "ratio_to_libc": {loop: vars(ratio) for loop, ratio in item.ratios.items()},
        "nodes": vars(item.nodes) if item.nodes else None,
        "all_loops": vars(item.all_loops) if item.all_loops else None,
    }


def _print(console: Console, table: Sequence[Standing], floor: float) -> None:
    console.print("ns per operation, and time to libc's [95 % interval]", style="italic", markup=False)
    shown = Table("contestant", box=None, header_style="bold")
    for title in (*LOOPS, "nodes' mean", "mean of all"):
        shown.add_column(title, justify="right")
    for item in table:
        cells = [_cell(item, loop) for loop in LOOPS]
        cells += ["" if item.name == "libc" else _text(mean) for mean in (item.nodes, item.all_loops)]
        shown.add_row(*map(escape, (item.name, *cells)))
    console.print(shown)
    for item in table:
        console.print(f"{item.name}: {item.what}", markup=False)
    for loop, text in MEANINGS.items():
        console.print(f"{loop}: {text}", markup=False)
    console.print(f"noise: the same allocator under two names differs by up to {floor:.1%} in a row")


def _cell(item: Standing, loop: str) -> str:
    if loop not in item.ns:
        return "-"
    text = f"{item.ns[loop]:.2f}"
    return text if item.name == "libc" else f"{text} {_text(item.ratios.get(loop))}"


def _text(ratio: Ratio | None) -> str:
    return f"{ratio.value:.2f} [{ratio.low:.2f}..{ratio.high:.2f}]" if ratio else "-"
