"""The suite `programs`: a tiny program stands for the real ones; each of these starts and is looked at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer.testing

import fake_peer
from hakmem import bench, build, cli, program_race, program_suite, toolchain
from hakmem.errors import HakmemError
from hakmem.peers import Peer
from hakmem.program_suite import ProgramSuite, SuiteProgram
from hakmem.programs import NotServedError, ProgramError
from hakmem.store import Store
from results import result

TINY = """
import sys
kept = [bytearray(3000) for _ in range(2000)]
sys.stdout.write(f"{len(kept)} {sys.stdin.read()}\\n")
"""


def tiny(folder: Path, text: str = TINY, name: str = "tiny", **more: Any) -> SuiteProgram:
    script = folder / f"{name}.py"
    script.write_text(text, encoding="utf-8")
    command = (os.path.realpath(sys.executable), "-I", "-S", str(script))
    return SuiteProgram(
        name, "keeps 2000 arrays", "tiny-package", "itself", lambda _folder: command,
        environment={"PYTHONMALLOC": "malloc"}, **more,
    )  # fmt: skip


def absent(name: str = "absent") -> SuiteProgram:
    return SuiteProgram(name, "is nowhere", "absent-package", "none", lambda _folder: None)


def test_a_program_is_looked_at_when_it_exits(tmp_path: Path) -> None:
    suite = ProgramSuite(tmp_path, [tiny(tmp_path)])
    ballast = bytearray(os.urandom(1)) * (200 << 20)
    measured = suite.run(suite.programs[0], bench.libc())
    assert len(ballast) == 200 << 20, "who asks is larger than the program"
    assert measured.output == "2000 \n" and measured.libc_heap_kib > 0
    assert 6000 < measured.peak_rss_kib < 100 << 10
    assert measured.user_s + measured.system_s > 0 and measured.wall_s > 0


def test_a_race_proves_who_served_and_compares_with_libc(tmp_path: Path) -> None:
    built = build.build_one("unified")
    peer = bench.peer(Peer("small", fake_peer.build(tmp_path / "libsmall.so")))
    suite = ProgramSuite(tmp_path, [tiny(tmp_path), tiny(tmp_path, name="second")])
    who, _twins = bench.with_twins([bench.libc(), bench.contestant(built), peer])
    rows = suite.rows()
    with Store(tmp_path / "results.sqlite") as store:
        run = bench.run(who, rows, 2, 42, store, measure=suite.measure)
        results, failures = store.results(run), store.failures(run)
        again = bench.run(who, rows, 2, 42, store, measure=suite.measure)
        assert again == run and len(store.results(run)) == len(results), "what was run is not run again"
    assert not failures and len(results) == len(who) * 2 * 2
    assert {one.shape for one in results} == {"program"}
    kinds = {"libc": "libc", "unified": "variant", "small": "peer"}
    found = {item.name: item for item in program_race.standings(results, kinds, ["tiny", "second"])}
    assert found["libc"].time and found["libc"].time.value == 1.0 and found["libc"].memory == 1.0
    assert all(
        item.runs == 4 and item.time and set(item.cells) == {"tiny", "second"} for item in found.values()
    )


def test_a_changed_input_is_another_row(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    first = tiny(tmp_path / "a")
    before = ProgramSuite(tmp_path / "a", [first]).rows()
    tiny(tmp_path / "a", TINY + "\n# changed\n")
    assert ProgramSuite(tmp_path / "a", [first]).rows() != before


def test_what_was_served_by_another_malloc_is_refused(tmp_path: Path) -> None:
    unused = tmp_path / "libhakmem_unused.so"
    command = [str(toolchain.detect().compiler), "-shared", "-fPIC", "-x", "c++", "-", "-o", str(unused)]
    subprocess.run(command, input=b"int unused;", check=True)
    suite = ProgramSuite(tmp_path, [tiny(tmp_path)])
    (row,) = suite.rows()
    with pytest.raises(NotServedError, match="is mapped, yet libc's heap holds"):
        suite.run(suite.programs[0], replace(bench.libc(), preload=unused))
    with pytest.raises(bench.ServedByError, match="was given in LD_PRELOAD but is not mapped"):
        suite.measure(replace(bench.libc(), preload=tmp_path / "libhakmem_missing.so"), row)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            "import sys; sys.stderr.write('a\\nlast words\\n'); sys.exit(3)",
            "ended with exit code 3 under libc: a",
        ),
        ("import os; os.abort()", "ended by SIGABRT under libc: no output"),
    ],
)
def test_a_program_that_fails_is_one_line(text: str, complaint: str, tmp_path: Path) -> None:
    suite = ProgramSuite(tmp_path, [tiny(tmp_path, text)])
    with pytest.raises(ProgramError, match=complaint):
        suite.run(suite.programs[0], bench.libc())


def test_output_that_differs_from_libcs_is_refused(tmp_path: Path) -> None:
    suite = ProgramSuite(tmp_path, [tiny(tmp_path)], {"tiny": "1999 \n"})
    with pytest.raises(bench.RunnerError, match="line 1 of its output differs from libc's: expected '1999 '"):
        suite.measure(bench.libc(), suite.rows()[0])


def test_a_hang_is_ended_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_suite, "TIMEOUT_S", 0.3)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = tiny(tmp_path, "import sys; sys.stdin.read()", feed=str(pipe))
    with pipe.open("r+b", buffering=0), pytest.raises(ProgramError, match=r"tiny: no end after 0\.3 s"):
        ProgramSuite(tmp_path, [program]).run(program, bench.libc())


def test_a_program_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    program = replace(tiny(tmp_path), command=lambda _folder: ("/nowhere/program",))
    with pytest.raises(ProgramError, match="exit code 127 under libc: /nowhere/program: No such file"):
        ProgramSuite(tmp_path, [program]).run(program, bench.libc())


def test_every_program_of_the_suite_that_is_here_runs_on_a_variant(tmp_path: Path) -> None:
    suite, missing = program_suite.found(tmp_path)
    assert {"cpython", "numpy"} <= {one.name for one in suite.programs}
    assert len(suite.programs) + len(missing) == len(program_suite.every_program()) >= 6
    variant = bench.contestant(build.build_one("unified"))
    for row in suite.rows():
        answer = suite.measure(variant, row)
        assert answer["ns_per_op"] > 0 and answer["peak_rss_kib"] > 4000, row.label


def test_nothing_to_run_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HakmemError, match="expected at least one program on this machine, got none"):
        program_suite.found(tmp_path, [absent()])


def test_the_command_prints_ratios_memory_proof_and_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_suite, "every_program", lambda: [tiny(tmp_path), absent("redis")])
    monkeypatch.setattr(program_suite, "make_inputs", lambda _folder: None)
    monkeypatch.setattr(bench, "default_store", lambda: Store(tmp_path / "results.sqlite"))
    page = tmp_path / "page.html"
    command = ["bench", "unified", "--suite", "programs", "--rounds", "2"]
    shown = typer.testing.CliRunner().invoke(cli.app, [*command, "--html", str(page)])
    assert shown.exit_code == 0, shown.output
    assert "redis: not on this machine: apt-get install absent-package" in shown.output
    assert "geometric means to libc over 1 programs" in shown.output and program_race.PROOF in shown.output
    text = page.read_text(encoding="utf-8")
    assert "tiny" in text and "Plotly" in text and "redis: not on this machine" in text
    shown = typer.testing.CliRunner().invoke(cli.app, [*command, "--json"])
    answer = json.loads(shown.stdout)
    assert answer["missing"] == ["redis: not on this machine: apt-get install absent-package"]
    own = next(item for item in answer["contestants"] if item["name"] == "unified")
    assert own["runs_proved"] == 2 and own["programs"]["tiny"]["time"]["value"] > 0
    refused = typer.testing.CliRunner().invoke(cli.app, [*command, "--instructions"])
    assert refused.exit_code == 2


def test_standings_are_medians_and_geometric_means_to_libc() -> None:
    rows = [
        replace(
            result(), variant=name, label=label, round=index, ns_per_op=1e9 * seconds, peak_rss_kib=peak,
            params='{"user_ms": 500, "system_ms": 250}',
        )
        for name, label, seconds, peak in (
            ("libc", "a", 1.0, 1000), ("libc", "b", 4.0, 1000),
            ("own", "a", 0.5, 2000), ("own", "b", 4.0, 500),
        )
        for index in range(3)
    ]  # fmt: skip
    libc, own = program_race.standings(rows, {"libc": "libc", "own": "variant", "gone": "peer"}, ["a", "b"])
    assert own.time and own.time.value == pytest.approx(0.5**0.5) and own.memory == pytest.approx(1.0)
    assert own.cells["a"].seconds == 0.5 and own.cells["a"].cpu_s == 0.75 and own.cells["a"].memory == 2.0
    assert libc.runs == own.runs == 6
