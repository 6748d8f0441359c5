"""Racing: who served is proved, failures stay with their contestant, runs go on where they stopped."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fake_peer
from hakmem import bench, build, callgrind, peers, workloads
from hakmem.bench import Contestant, ServedByError
from hakmem.errors import HakmemError
from hakmem.peers import Peer
from hakmem.store import Store
from hakmem.workloads import Row

ROWS = [Row("lifo", "lifo"), Row("app", "app")]

# Stands for the runner: answers at once, or misbehaves as FAKE says; LOG gets one line a start.
FAKE_RUNNER = """#!{python}
import json, os, signal, sys, time
with open({log!r}, "a") as log:
    log.write(os.environ.get("FAKE", "") + " " + " ".join(sys.argv[1:]) + chr(10))
fake = os.environ.get("FAKE")
if fake == "crash":
    sys.stderr.write("last words" + chr(10))
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)
if fake == "hang":
    time.sleep(60)
if fake == "refuse" or (fake == "untraced" and "--count-syscalls" in sys.argv):
    sys.exit("hakmem_runner: no")
if fake == "babble":
    print("hello")
    sys.exit(0)
null = "null" in sys.argv
libc = "/lib/libc.so.6"
served = {{"id": None, "malloc": libc, "free": libc, "calloc": libc, "realloc": libc,
          "sampled": 5, "owned": 5 if null else 0}}
if fake and fake.startswith("{{"):
    served.update(json.loads(fake))
print(json.dumps({{"params": {{}}, "histogram": {{}}, "threads": 1, "ops": 10, "ns_per_op": 2.5,
    "startup_ns": 7, "page_faults": {{"minor": 1, "major": 0}},
    "peak_rss_kib": 9, "rss_end_kib": 8, "harness_kib": 1,
    "served": served}}))
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def fake(tmp_path: Path, log: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "runner"
    path.write_text(FAKE_RUNNER.format(python=sys.executable, log=str(log)), encoding="utf-8")
    path.chmod(0o755)
    monkeypatch.setattr(build, "runner", lambda: path)
    return path


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "results.sqlite") as opened:
        yield opened


def variant(tmp_path: Path, **served: Any) -> tuple[Contestant, dict[str, Any]]:
    """A variant and the proof that the runner gives of it."""
    library = tmp_path / "libhakmem_good.so"
    library.touch()
    proof: dict[str, Any] = dict.fromkeys(("malloc", "free", "calloc", "realloc"), str(library))
    proof |= {"id": "good 0123", "sampled": 5, "owned": 5} | served
    return Contestant("good", library, digest="0123"), proof


def test_a_race_measures_every_contestant_on_every_row_in_every_round(
    fake: Path, store: Store, log: Path
) -> None:
    contestants, twins = bench.with_twins([bench.libc(), bench.null()])
    steps: list[tuple[int, int]] = []
    run = bench.run(contestants, ROWS, 3, 42, store, lambda done, total, _text: steps.append((done, total)))
    assert twins == {"libc#2": "libc"}
    assert store.done(run) == {
        (who, row.label, index) for who in ("libc", "libc#2", "null") for row in ROWS for index in range(3)
    }
    assert steps == [(done, 18) for done in range(19)]
    assert len(log.read_text(encoding="utf-8").splitlines()) == 18
    assert {row.served_share for row in store.results(run)} == {1.0}


def test_the_order_is_drawn_anew_in_each_round_and_is_the_seeds(fake: Path, store: Store, log: Path) -> None:
    contestants = [replace(bench.libc(), name=name, env={"FAKE": ""}) for name in ("a", "b", "c", "d")]
    orders = []
    for seed in (1, 2):
        run = bench.run(contestants, ROWS, 4, seed, store)
        rows = store.results(run)
        orders.append([[row.variant for row in rows if row.round == index] for index in range(4)])
    assert orders[0][0] != orders[0][1] and orders[0] != orders[1]


def test_a_second_start_goes_on_where_the_first_stopped(fake: Path, store: Store, log: Path) -> None:
    contestants = [bench.libc(), bench.null()]

    def stop_at_the_third(done: int, _total: int, _text: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(contestants, ROWS, 2, 42, store, stop_at_the_third)
    assert len(store.results()) == 3
    assert not bench.is_complete(contestants, ROWS, 2, 42, store)
    run = bench.run(contestants, ROWS, 2, 42, store)
    assert len(store.results(run)) == 8 == len(log.read_text(encoding="utf-8").splitlines())
    assert bench.is_complete(contestants, ROWS, 2, 42, store)
    assert not bench.is_complete(contestants, ROWS, 3, 42, store)
    assert bench.run(contestants, ROWS, 2, 42, store) == run
    assert bench.run(contestants, ROWS, 2, 42, store, fresh=True) != run


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        ("crash", "ended by SIGSEGV"),
        ("refuse", "hakmem_runner: no"),
        ("babble", "its answer is not JSON"),
        ("hang", "no end after 15 s"),
    ],
)
def test_a_contestant_that_fails_is_named_and_the_others_go_on(
    fake: Path, store: Store, fault: str, reason: str
) -> None:
    bad = Contestant("bad", None, {"FAKE": fault}, kind="libc")
    run = bench.run([bench.libc(), bad], ROWS[:1], 2, 42, store, timeout_s=30.0 if fault != "hang" else 15.0)
    (failure,) = store.failures(run)
    assert failure.variant == "bad" and failure.reason == reason
    assert ("last words" in failure.log) == (fault == "crash")
    assert {row.variant for row in store.results(run)} == {"libc"} and len(store.results(run)) == 2
    assert bench.is_complete([bench.libc(), bad], ROWS[:1], 2, 42, store)


def test_a_variant_that_proves_itself_is_measured(fake: Path, tmp_path: Path) -> None:
    who, proof = variant(tmp_path)
    answer = bench.start_runner(fake, replace(who, env={"FAKE": json.dumps(proof)}), ROWS[0])
    assert answer["served_share"] == 1.0


@pytest.mark.parametrize(
    ("served", "line"),
    [
        ({"malloc": "/lib/libc.so.6"}, "expected malloc of .*libhakmem_good.so, got /lib/libc.so.6"),
        ({"realloc": ""}, "expected realloc of .*, got none"),
        ({"id": None}, "expected hakmem_id 'good 0123', got None"),
        ({"id": "good 9999"}, "expected hakmem_id 'good 0123', got good 9999"),
        ({"owned": 4}, "expected every sampled block to be its own, got 4 of 5"),
        ({"sampled": 0, "owned": 0}, "expected every sampled block to be its own, got 0 of 0"),
    ],
)
def test_a_row_that_another_allocator_served_stops_the_run(
    fake: Path, store: Store, tmp_path: Path, served: dict[str, Any], line: str
) -> None:
    who, proof = variant(tmp_path, **served)
    who = replace(who, env={"FAKE": json.dumps(proof)})
    with pytest.raises(ServedByError, match=f"good, lifo: {line}"):
        bench.run([bench.libc(), who], ROWS[:1], 1, 42, store)
    assert all(row.variant == "libc" for row in store.results())


def test_libc_and_null_must_prove_themselves_too(fake: Path) -> None:
    library = json.dumps({"malloc": "/usr/lib/libjemalloc.so.2"})
    with pytest.raises(ServedByError, match="expected malloc of the C library"):
        bench.start_runner(fake, replace(bench.libc(), env={"FAKE": library}), ROWS[0])
    with pytest.raises(ServedByError, match="expected no hakmem library, got x 1"):
        bench.start_runner(fake, replace(bench.libc(), env={"FAKE": '{"id": "x 1"}'}), ROWS[0])
    with pytest.raises(ServedByError, match="expected every block from the null allocator, got 4 of 5"):
        bench.start_runner(fake, replace(bench.null(), env={"FAKE": '{"owned": 4}'}), ROWS[0])


def test_the_environment_is_cleared_of_what_changes_allocators(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_CONF", "MIMALLOC_VERBOSE"):
        monkeypatch.setenv(name, "x")
    monkeypatch.setenv("HARMLESS", "x")
    kept = bench.libc().environment()
    assert kept["HARMLESS"] == "x" and not {"LD_PRELOAD", "GLIBC_TUNABLES", "MALLOC_CONF"} & kept.keys()
    assert Contestant("p", Path("/p.so"), {"A": "1"}).environment() == {
        **kept,
        "LD_PRELOAD": "/p.so",
        "A": "1",
    }


def test_one_thread_is_pinned_to_one_cpu(fake: Path, log: Path) -> None:
    bench.start_runner(fake, bench.libc(), ROWS[0])
    assert "," not in bench.pinning(1) and f"--cpu {bench.pinning(1)}" in log.read_text(encoding="utf-8")


def test_the_real_runner_proves_libc_and_null(store: Store) -> None:
    rows = [Row("lifo", "lifo"), Row("startup", "startup", {"processes": 2})]
    run = bench.run([bench.libc(), bench.null()], rows, 1, 42, store, min_ms=1, syscalls=True)
    results = store.results(run)
    assert len(results) == 4 and store.failures(run) == []
    assert {(row.label, row.syscalls_in_loop) for row in results} == {("lifo", 0), ("startup", None)}
    assert all(row.ns_per_op > 0 and row.cpu and row.compiler for row in results)


def test_the_real_runner_names_a_preload_that_serves_nothing(tmp_path: Path) -> None:
    null_library = build.runner().parent / "libhakmem_null.so"
    with pytest.raises(ServedByError, match="expected malloc of .*libhakmem_null.so, got .*libc"):
        bench.start_runner(
            build.runner(), bench.peer(Peer("null_library", null_library)), ROWS[0], extra=["--passes", "1"]
        )


def test_a_peer_is_raced_through_the_same_runner_and_kept_with_its_file_hash_and_version(
    store: Store, tmp_path: Path
) -> None:
    library = fake_peer.build(tmp_path / "libplain.so")
    mine = peers.asked(Peer("mine", library, {"KNOB": "1"}))
    arena1 = peers.asked(Peer("arena1", None, {"MALLOC_ARENA_MAX": "1"}))
    contestants = [bench.libc(), bench.null(), bench.peer(mine), bench.peer(arena1)]
    run = bench.run(contestants, ROWS[:1], 2, 42, store, min_ms=1, syscalls=True)
    assert store.failures(run) == []
    results = {result.variant: result for result in store.results(run)}
    assert {name: (row.kind, row.shape, row.served_share) for name, row in results.items()} == {
        "libc": ("libc", "call", 1.0),
        "null": ("null", "call", 1.0),
        "mine": ("peer", "call", 1.0),
        "arena1": ("peer", "call", 1.0),
    }
    assert all(row.ns_per_op > 0 and row.peak_rss_kib > 0 for row in results.values())
    entrants = {entrant.variant: entrant for entrant in store.entrants(run)}
    assert set(entrants) == set(results)
    kept = entrants["mine"]
    assert (kept.kind, kept.library, kept.version) == ("peer", str(library), "3.14.15")
    assert kept.hash == results["mine"].digest == mine.content_hash()
    assert json.loads(kept.environment) == {"KNOB": "1"}
    assert entrants["arena1"].library is None and entrants["arena1"].version == peers.glibc().version


@pytest.mark.parametrize(
    ("kind", "row", "reason"),
    [
        ("trap", Row("fixed", "fixed", {"size": 4321, "cycles": 100, "working_set": 10}), "ended by SIG"),
        ("unbound", ROWS[0], "undefined symbol: nobody_has_this"),
        ("partial", ROWS[0], "expected calloc of .*libpartial.so, got .*libc"),
        ("text", ROWS[0], "expected malloc of .*libtext.so, got .*libc.*cannot be preloaded"),
    ],
)
def test_a_peer_that_crashes_or_cannot_be_loaded_is_one_line_and_the_others_go_on(
    store: Store, tmp_path: Path, kind: str, row: Row, reason: str
) -> None:
    library = tmp_path / f"lib{kind}.so"
    if kind == "text":
        library.write_text("no library at all")
    else:
        fake_peer.build(library, kind)
    run = bench.run(
        [bench.libc(), bench.peer(Peer("bad", library))], [row], 2, 42, store, min_ms=1, syscalls=True
    )
    (failure,) = store.failures(run)
    assert failure.variant == "bad" and re.search(reason, failure.reason)
    assert "\n" not in failure.reason
    assert [result.variant for result in store.results(run)] == ["libc", "libc"]


def test_another_checkouts_hakmem_library_may_be_a_peer(fake: Path, tmp_path: Path) -> None:
    who, proof = variant(tmp_path, id="other 9999", owned=0)
    assert who.preload
    peer = replace(bench.peer(Peer("yesterday", who.preload)), env={"FAKE": json.dumps(proof)})
    assert bench.start_runner(fake, peer, ROWS[0])["served_share"] == 1.0
    proof["free"] = "/lib/libc.so.6"
    with pytest.raises(ServedByError, match="expected free of .*libhakmem_good.so, got /lib/libc.so.6"):
        bench.start_runner(fake, replace(peer, env={"FAKE": json.dumps(proof)}), ROWS[0])


def test_a_peer_that_cannot_be_traced_keeps_its_times(fake: Path, store: Store) -> None:
    peer = Contestant("mine", None, {"FAKE": "untraced"}, kind="peer")
    run = bench.run([peer], ROWS[:1], 1, 42, store, syscalls=True)
    (result,) = store.results(run)
    assert result.ns_per_op == 2.5 and result.syscalls_in_loop is None and store.failures(run) == []
    with pytest.raises(HakmemError, match="bad, lifo: hakmem_runner: no"):
        bench.run([replace(peer, name="bad", kind="libc")], ROWS[:1], 1, 42, store, syscalls=True)


def test_instructions_below_one_per_operation_are_refused() -> None:
    assert callgrind.per_op(1200, 200, 10, "x") == 100.0
    with pytest.raises(HakmemError, match=r"x: expected at least 1 instruction per operation, got 0\.240"):
        callgrind.per_op(324, 300, 100, "x")
    with pytest.raises(HakmemError, match="at least 1 instruction"):
        callgrind.per_op(324, 300, 0, "x")


def test_rows_that_cannot_be_counted_say_so() -> None:
    if not callgrind.available():
        with pytest.raises(HakmemError, match="needs valgrind"):
            callgrind.count(Path("runner"), ROWS[0], {})
        return
    for row in (workloads.row("larson, 2 threads"), workloads.row("startup")):
        with pytest.raises(HakmemError, match="cannot be counted"):
            callgrind.count(Path("runner"), row, {})


def test_callgrind_counts_the_null_allocators_three_instructions() -> None:
    if not callgrind.available():
        return
    row = Row("lifo", "lifo", {"live": 10, "pairs": 1000})
    found = callgrind.count(build.runner(), row, bench.null().environment(), allocator="null")
    assert found.per_op == pytest.approx(3.0, abs=0.05) and found.ops == 1000
    whole = callgrind.count(build.runner(), row, bench.libc().environment())
    assert whole.agree and whole.per_op > 20


def test_commands_that_ask_for_nothing_known_are_named() -> None:
    with pytest.raises(HakmemError, match="suite 'nosuch' is not known"):
        bench.cli_bench(["unified"], suite="nosuch")
