"""``hakmem tune`` from end to end on small things, and what it refuses in one line."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer.testing

import hakmem
from hakmem import bench, build, cli, handover, prove, question, search, sources, tune_command, tune_steps
from hakmem.bench import Contestant
from hakmem.errors import HakmemError
from hakmem.programs import CommandRun
from hakmem.search import Entry
from hakmem.stats import Ratio
from hakmem.store import Result, Store
from hakmem.tune import take
from hakmem.tune_steps import Steps, allocating_share, ranked_alike
from hakmem.tuned import Standing
from hakmem.verdict import LIBC_AGAIN
from results import result
from test_replay import drawn
from written_trace import write


def invoked(*words: object) -> Any:
    return typer.testing.CliRunner().invoke(cli.app, ["tune", *map(str, words)], prog_name="hakmem")


@pytest.mark.parametrize(("text", "value"), [("1.1x", 1.1), ("2", 2.0), ("1x", 1.0), ("1.25", 1.25)])
def test_a_memory_budget_is_read(text: str, value: float) -> None:
    assert tune_command.memory_factor(text) == value


@pytest.mark.parametrize("text", ["", "0.9x", "x", "-1x", "1.1 x", "110%", "nan", "1e3x", "1001x"])
def test_a_memory_budget_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(HakmemError, match="--max-rss: expected a factor of libc's, 1x to 1000x, like 1.1x"):
        tune_command.memory_factor(text)


@pytest.mark.parametrize(("text", "value"), [("20m", 1200.0), ("90s", 90.0), ("1.5h", 5400.0)])
def test_a_time_limit_is_read(text: str, value: float) -> None:
    assert tune_command.seconds(text) == value


@pytest.mark.parametrize("text", ["", "20", "9s", "m", "1d", "-5m", "20 m", "1m30s", "1000h"])
def test_a_time_limit_that_is_none_is_one_line(text: str) -> None:
    with pytest.raises(HakmemError, match="--time-limit: expected a time from 10s to 168h like 20m"):
        tune_command.seconds(text)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((), "tune: expected one of TRACE, --workload and -- COMMAND"),
        (("t", "--workload", "app"), "tune: expected one of TRACE, --workload and -- COMMAND"),
        (("t", "--", "true"), "tune: expected one of TRACE, --workload and -- COMMAND"),
        (("--",), "tune --: expected a command, got none"),
        (("--", "no-such-program"), "tune --: expected a program in PATH or a path, got 'no-such-program'"),
        (("no-such.trace",), "no-such.trace: cannot be read: No such file or directory"),
        (("--workload", "nothing"), "workload row or suite 'nothing' is not known"),
        (("--workload", "app", "--prove", "no-such"), "--prove: expected a program in PATH or a path"),
        (("--workload", "app", "--max-rss", "half"), "--max-rss: expected a factor of libc's"),
        (("--workload", "app", "--time-limit", "soon"), "--time-limit: expected a time"),
        (("--workload", "app", "--variant", "no_such"), "variant 'no_such' is not known"),
        (("--workload", "app", "--peer", "x"), "--peer x: expected NAME=PATH[,VAR=VALUE...], got 'x'"),
    ],
)
def test_what_cannot_be_asked_is_one_line(words: tuple[str, ...], says: str) -> None:
    found = invoked(*words)
    assert found.exit_code == 2, found.output
    assert found.stderr.startswith(f"error: {says}") and found.stderr.count("\n") == 1


@pytest.fixture
def trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small trace, and a folder of its own for results; builds stay where they are."""
    monkeypatch.setattr(bench, "default_store", lambda: Store(tmp_path / "results"))
    monkeypatch.setattr(question, "folder_of_tunes", lambda: tmp_path / "tunes")
    return write(tmp_path / "t", drawn(40_000, 1, seed=8))


def test_a_trace_is_tuned_proved_and_opened_again(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [trace, "--variant", "unified", "--variant", "sll", "--rounds", "3", "--time-limit", "10s"]
    words += ["--prove", "sh -c 'ls / | sort'", "--json"]
    done = invoked(*words)
    assert done.exit_code == 0, done.output + done.stderr
    found = json.loads(done.stdout)
    assert found["verdict"]["kind"] in ("winner", "tie", "keep libc")
    told = done.stderr.splitlines()
    assert any(
        line.startswith("rule: The fastest by the program `sh -c 'ls / | sort'` wins") for line in told
    )
    by_program = {one["name"] for one in found["standings"] if one["by"] == "program"}
    assert {"libc", "libc#2", "unified", "sll"} <= by_program
    by_replay = {one["name"]: one for one in found["standings"] if one["by"] == "replay"}
    assert by_replay["unified"]["rounds"] == 3 and by_replay["null"]["seconds"] > 0
    assert all(0 < one["mean_kib"] <= one["peak_kib"] for one in by_replay.values())
    assert by_replay["unified"]["mean_memory"] and by_replay["libc"]["mean_memory"] is None
    assert all(one["mean_kib"] is None for one in found["standings"] if one["by"] == "program")
    assert all(
        one["mean_memory"] for one in found["entries"] + [one for one in found["trials"] if one["time"]]
    )
    assert {one["name"] for one in found["entries"]} == {"unified", "sll"}
    assert found["curves"][0]["name"] == "libc" and found["curves"][0]["points"]

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("something was measured again")

    monkeypatch.setattr(prove.Prover, "run", fail)
    monkeypatch.setattr(bench, "start_runner", fail)
    assert json.loads(invoked(*words).stdout) == found
    assert isinstance(invoked(*words, "--again").exception, AssertionError)


def test_without_a_program_replay_decides_and_says_so(trace: Path) -> None:
    done = invoked(trace, "--variant", "unified", "--rounds", "3", "--time-limit", "10s")
    assert done.exit_code == 0, done.output + done.stderr
    assert "Decided by replay of the trace: no program was run" in " ".join(done.stdout.split())


def test_an_interrupted_tune_goes_on_where_it_was(trace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = (trace, "--variant", "unified", "--variant", "sll", "--rounds", "3", "--time-limit", "10s")
    real = bench.start_runner
    calls = {"first": 0, "second": 0}
    phase = "first"

    def counted(*given: Any, **more: Any) -> dict[str, Any]:
        calls[phase] += 1
        if phase == "first" and calls["first"] == 15:
            raise KeyboardInterrupt
        return real(*given, **more)

    monkeypatch.setattr(bench, "start_runner", counted)
    stopped = invoked(*words)
    assert stopped.exit_code == 130 and "the same command goes on from there" in stopped.stderr
    with bench.default_store() as store:
        kept = len(store.results())
    assert kept == 14
    phase = "second"
    assert invoked(*words).exit_code == 0
    with bench.default_store() as store:
        assert len(store.results()) == kept + calls["second"]
        assert len({(one.run, one.variant, one.label, one.round) for one in store.results()}) == len(
            store.results()
        )


def test_a_command_is_recorded_tuned_and_proved_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trace: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    runner = str(build.runner())
    command = (runner, "--workload", "app", "--passes", "1")
    done = invoked("--variant", "unified", "--rounds", "3", "--time-limit", "10s", "--json", "--", *command)
    assert done.exit_code == 0, done.output + done.stderr
    assert capfd.readouterr().out == "", "the program's own output stays out of the JSON"
    found = json.loads(done.stdout)
    assert Path(found["trace"]).is_file() and found["question"].endswith("--passes 1")
    assert {one["by"] for one in found["standings"]} == {"program", "replay"}


def test_workload_rows_decide_by_their_loops(trace: Path) -> None:
    done = invoked("--workload", "app", "--variant", "unified", "--rounds", "3", "--time-limit", "10s")
    assert done.exit_code == 0, done.output + done.stderr
    assert "the workloads' loops" in " ".join(done.stdout.split())


def proved(
    prover: prove.Prover, contestants: list[Contestant], folder: Path
) -> tuple[list[Result], dict[str, str], dict[str, str]]:
    """The proof of a question with four rounds."""
    asked = question.Question(command=("true",), rounds=4)
    with Store(folder / "store") as store:
        steps = Steps(asked, [], question.Journal(folder), store, lambda *_: None, lambda _: None)
        steps.prover = prover
        return steps.proof(contestants, math.inf)


@pytest.mark.parametrize(
    ("seconds", "rounds"),
    [
        (lambda _: 1.0, 4),  # libc is level with itself: no round more than asked for
        (lambda _: 1.1, 40),  # never level
        (lambda run: 1.1 if run <= 3 else 1.0, 14),  # level once the three first rounds are few
    ],
)
def test_the_program_is_run_until_libc_agrees_with_itself(
    seconds: Callable[[int], float], rounds: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invented times of libc's second name; its first takes a second."""
    prover, runs = prove.Prover(["true"]), 0

    def run(who: Contestant) -> CommandRun:
        nonlocal runs
        runs += who.name == LIBC_AGAIN
        return CommandRun(seconds(runs) if who.name == LIBC_AGAIN else 1.0, 1, 0, 1, 0, 0, "")

    monkeypatch.setattr(prover, "run", run)
    results, failed, left = proved(prover, [], tmp_path)
    assert not failed and not left and len(results) == 2 * rounds


def test_who_is_too_slow_leaves_the_proof_though_not_for_one_that_does_other_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prover = prove.Prover(["true"])
    times = {LIBC_AGAIN: 1.1, "good": 0.8, "slow": 1.6, "cheat": 0.1}

    def run(who: Contestant) -> CommandRun:
        return CommandRun(times.get(who.name, 1.0), 1, 0, 1, 0, 0, "other" if who.name == "cheat" else "")

    monkeypatch.setattr(prover, "run", run)
    field = [Contestant(name, None, kind="peer") for name in ("good", "slow", "cheat")]
    results, failed, left = proved(prover, field, tmp_path)
    assert failed.keys() == {"cheat"} and left.keys() == {"slow"}
    assert left["slow"].startswith("2.00 times the time of good (")
    rounds = {name: sum(one.variant == name for one in results) for name in ("libc", "good", "slow")}
    assert rounds == {"libc": 40, "good": 40, "slow": 4}


def test_the_leaders_share_the_time_for_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[float] = []

    def searched(*given: object) -> tuple[list[search.Trial], dict[str, build.Built]]:
        ends.append(next(one for one in given if isinstance(one, float)))
        return [], {}

    monkeypatch.setattr(search, "tune_numbers", searched)
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    names = ["unified", "sll", "sfc"]
    asked = question.Question(workload="larson")
    with Store(tmp_path / "rows.sqlite") as store:
        journal = question.Journal(tmp_path / "journal")
        steps = Steps(asked, [], journal, store, lambda *_: None, lambda _: None)
        steps.built = {name: build.Built(build.variant(name), "0" * 16, Path("/none")) for name in names}
        clock = tune_steps._Clock(gates=120.0, racing=160.0, numbers=400.0, proof=500.0, parts=550.0)
        steps._numbers(names, search.Course("whole", ()), search.Limits(1.5, 160.0, 400.0), clock)
    assert ends == [200.0, 250.0, 400.0]


def test_of_equal_sets_the_kept_one_goes_into_the_last_race(tmp_path: Path) -> None:
    kept = build.variant("magazine")
    twin = dataclasses.replace(kept, name="magazine_thp__123456")
    with Store(tmp_path / "rows.sqlite") as store:
        journal = question.Journal(tmp_path / "journal")
        asked = question.Question(workload="larson")
        steps = Steps(asked, [], journal, store, lambda *_: None, lambda _: None)
        for item in (twin, kept, build.variant("sll")):
            steps.built[item.name] = build.Built(item, "0" * 16, tmp_path)
        found = steps.finalists([twin.name, "sll", "magazine"], [])
    assert [who.name for who in found] == ["magazine", "sll"]


def test_four_rivals_are_proved_and_each_library_once() -> None:
    libraries = {"a": "a", "a_knob": "a", "b": "b", "c": "c", "d": "d", "e": "e"}
    peers = {name: Contestant(name, Path(f"lib{which}.so"), kind="peer") for name, which in libraries.items()}
    came = {"a_knob": 0.5, "a": 0.6, "c": 0.7, "d": 0.8, "e": 0.9, "b": 1.0}
    entries = [
        Entry(name, "the whole trace", 6, Ratio(time, time, time), None, "" if name == "a_knob" else "slower")
        for name, time in came.items()
    ]
    assert tune_steps.best_peers(peers, ["unified", "a_knob"], entries) == ["a_knob", "c", "d", "e"]
    assert tune_steps.best_peers(peers, ["b"], entries) == ["b", "a_knob", "c", "d"]
    assert tune_steps.best_peers({}, ["unified"], entries) == []


def test_the_named_set_is_handed_over_with_the_page_and_the_rows(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["--variant", "unified", "--rounds", "3", "--time-limit", "10s"]
    (tmp_path / "full" / "of").mkdir(parents=True)
    refused = invoked(trace, *words, "--out", tmp_path / "full")
    assert refused.exit_code == 2 and "expected a new or empty folder" in refused.stderr
    found = hakmem.tune(trace, variants=["unified"], rounds=3, time_limit=10.0)
    kept = dataclasses.replace(found, verdict=dataclasses.replace(found.verdict, name="libc"))
    assert take(kept, tmp_path / "kept") is None and not (tmp_path / "kept").exists()
    won = dataclasses.replace(found, verdict=dataclasses.replace(found.verdict, name="unified"))
    built = take(won, tmp_path / "out", ["ls", "/"])
    assert built and built.digest == build.build_one("unified").digest
    opened = handover.opened(tmp_path / "out")
    assert (opened.built.name, opened.verdict) == ("unified", found.verdict.sentence)
    assert opened.command == ("ls", "/") and len(opened.results) == len(found.results)
    assert "<!doctype html>" in (tmp_path / "out" / handover.REPORT).read_text()


def test_the_example_tunes_a_small_program(tmp_path: Path) -> None:
    example = sources.root() / "examples" / "tune" / "tune.py"
    package = Path(build.__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, str(example), "10"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    # which of the three comes to the final is the machine's to say
    assert any(re.match(r"program  (unified|magazine|sll)", line) for line in lines), lines
    assert re.match(r"(Keep libc: |A tie of |\w+ wins: )", lines[-1]), "the verdict is one line"


def test_what_allocating_takes_of_the_program_is_told() -> None:
    libc = dataclasses.replace(result(), ops=100_000_000, ns_per_op=10.0)
    null = dataclasses.replace(libc, variant="null", ns_per_op=4.0)
    told = allocating_share([libc, null], 2.0)
    assert told.startswith("by replay, libc takes 0.60 s, 30.0% of the program's time")
    assert allocating_share([libc, dataclasses.replace(null, ns_per_op=10.0)], 2.0) == ""


def test_how_alike_program_and_replay_rank_is_told() -> None:
    def ran(by: str, **times: float) -> list[Standing]:
        return [
            Standing(name, "", "", by, 3, 1.0, 0.0, Ratio(at, at, at), None, None, None, 1.0)
            for name, at in times.items()
        ]

    program = ran("program", a=0.5, b=0.7, c=0.9, only_here=0.1)
    alike = "replay ranks these 3 as the program does by"
    assert ranked_alike(program, ran("replay", a=0.1, b=0.2, c=0.3)) == f"{alike} 1.00 (Spearman)"
    assert ranked_alike(program, ran("replay", a=0.3, b=0.2, c=0.1)) == f"{alike} -1.00 (Spearman)"
    assert ranked_alike(program, ran("replay", a=0.3, b=0.2)) == ""
