"""The race of containers: who serves each contestant, what is missing is said, in-line means no call."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hakmem import bench, build, containers, golden, sources, spec, stats, toolchain
from hakmem.build import Built
from hakmem.containers import ContainerContestant
from hakmem.store import Store
from hakmem.workloads import Row
from results import result


@pytest.fixture(scope="module")
def built() -> Built:
    return build.build_one("unified")


@pytest.fixture(scope="module")
def field(built: Built) -> dict[str, ContainerContestant]:
    who, _what = containers.contestants([built], [], containers.boost_program())
    return {item.name: item for item in who}


def test_every_contestant_runs_its_loops_and_proves_who_served(
    field: dict[str, ContainerContestant], tmp_path: Path
) -> None:
    assert {"libc", "unified", "unified-inline", "unified-pmr", "std-pool", "std-pool-sync"} <= set(field)
    with Store(tmp_path / "results.sqlite") as store:
        results, failures, twins = containers.race(list(field.values()), 1, store, min_ms=1)
        again, _failures, _twins = containers.race(list(field.values()), 1, store, min_ms=1)
    assert not failures and set(twins) == {"libc#2", "unified-inline#2"}
    cells = stats.cells(results)
    for name, who in field.items():
        for loop in who.loops:
            (one,) = cells[name, loop]
            assert one.served_share == 1.0 and one.ns_per_op > 0 and one.shape == "container"
    assert len(again) == len(results)
    table = {item.name: item for item in containers.standings(results, dict.fromkeys(field, ""))}
    assert table["libc"].all_loops and table["libc"].all_loops.value == 1.0
    assert set(table["unified-inline"].ratios) == set(containers.LOOPS)


def test_boost_is_raced_on_nodes_only() -> None:
    who = ContainerContestant("boost", None, scheme="boost")
    assert who.loops == containers.NODES
    rows = [
        replace(result(), variant=name, label=loop, ns_per_op=ns)
        for name, ns, loops in (("libc", 10.0, containers.LOOPS), ("boost", 5.0, containers.NODES))
        for loop in loops
    ]
    libc, boost = containers.standings(rows, {"libc": "", "boost": ""})
    assert boost.nodes and boost.nodes.value == pytest.approx(0.5)
    assert boost.all_loops is None and libc.all_loops
    assert set(boost.ns) == set(containers.NODES)


def test_without_boost_the_race_says_so_and_goes_on(
    built: Built, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(containers, "_BOOST_HEADER", "boost/that_nobody_has.hpp")
    assert containers.boost_program() is None
    raced: list[str] = []

    def race(who: list[ContainerContestant], *_: Any) -> Any:
        raced.extend(item.name for item in who)
        rows = [replace(result(), variant=item.name, label=loop) for item in who for loop in item.loops]
        return rows, [], {}

    monkeypatch.setattr(containers, "race", race)
    assert containers.cli_containers(["unified"], 1, False, [], as_json=True) == 0
    said = capsys.readouterr()
    assert "boost: not on this machine: apt-get install libboost-dev" in said.err
    answer = json.loads(said.out)
    assert answer["missing"] == ["boost"] and not {"boost", "boost-unlocked"} & set(raced)
    assert [item["name"] for item in answer["contestants"]] == raced
    assert containers.cli_containers(["unified"], 1, False, [], as_json=False) == 0
    assert "unified-inline: containers::Allocator on unified" in capsys.readouterr().out


def test_a_loop_that_somebody_else_served_is_refused(field: dict[str, ContainerContestant]) -> None:
    row = Row("nodes", "container")
    inline = field["unified-inline"]
    answer = dict(containers.measure(inline, row, min_ms=1))
    with pytest.raises(bench.ServedByError, match="expected the engine other 0, got unified"):
        containers.served_share(replace(inline, engine="other 0"), row, answer)
    fewer = answer | {"served": answer["served"] | {"owned": 0}}
    with pytest.raises(bench.ServedByError, match="expected every block from the engine, got 0 of 1"):
        containers.served_share(inline, row, fewer)
    with pytest.raises(bench.ServedByError, match="expected no block of the engine, got 0"):
        containers.served_share(field["std-pool"], row, fewer)
    with pytest.raises(bench.ServedByError, match="expected malloc of"):
        containers.measure(replace(field["unified"], preload=Path("/nowhere/libhakmem_none.so")), row, 1)


def test_bad_input_to_the_program_is_one_line(field: dict[str, ContainerContestant]) -> None:
    own = str(field["libc"].program)
    for arguments, complaint in (
        (["std"], "expected SCHEME LOOP CPU MIN_MS"),
        (["nobody", "nodes", bench.pinning(1), "1"], "no scheme is called nobody"),
        (["std", "tuple", bench.pinning(1), "1"], "no loop is called tuple"),
    ):
        answer = subprocess.run([own, *arguments], capture_output=True, text=True, check=False)
        assert answer.returncode == 2 and answer.stderr.count("\n") == 1
        assert complaint in answer.stderr


_POOL = """
#include <hakmem_variant.hpp>
#include <hakmem/containers/allocator.hpp>
#include <hakmem/containers/pool.hpp>
struct Node { void* words[5]; };
using Pool = hakmem::pool<Node>;
using Nodes = hakmem::containers::Allocator<Node, hakmem::Variant>;
extern "C" {
void* pool_take() { return Pool::allocate(); }
void pool_give(void* p) { Pool::deallocate(static_cast<Node*>(p)); }
void* allocator_take() { return Nodes().allocate(1); }
void allocator_give(void* p) { Nodes().deallocate(static_cast<Node*>(p), 1); }
}
"""


@pytest.mark.parametrize(
    ("overrides", "take", "give"),
    [
        ((), 10, 11),
        (("front=magazine",), 10, 9),
        (("front=ultra_sll", "remote=return_home"), 8, 18),
    ],
    ids=["unified", "magazine", "ultra_sll at home"],
)
def test_pop_and_push_of_a_known_class_are_in_line_and_no_longer_than_they_were(
    overrides: tuple[str, ...], take: int, give: int, tmp_path: Path
) -> None:
    variant = spec.resolve(build.variant("unified"), list(overrides))
    tools = toolchain.detect()
    (tmp_path / "hakmem_variant.hpp").write_text(spec.header_text(variant, "0" * 16), encoding="utf-8")
    library = tmp_path / "libpool.so"
    command = [str(tools.compiler), "-std=c++20", "-O2", "-fPIC", "-shared", f"-I{tmp_path}"]
    command += [f"-I{sources.root() / 'cpp'}", "-x", "c++", "-", "-o", str(library)]
    subprocess.run(command, input=_POOL, text=True, check=True)
    for kind in ("pool", "allocator"):
        shapes = (golden.shape(library, f"{kind}_take"), golden.shape(library, f"{kind}_give"))
        assert all(shape.calls == shape.locked == 0 for shape in shapes)
        assert shapes[0].instructions <= take and shapes[1].instructions <= give, shapes
