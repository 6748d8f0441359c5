"""Other people's suites: what counts as the same as on stock, who must have served, and the table."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from hakmem import build, conformance, glibc_tests, spec
from hakmem.build import Built
from hakmem.conformance import STOCK, Cell, Run, Trial
from hakmem.errors import HakmemError

WHO = "sfc 0123456789abcdef"
PLAIN = Trial("synthetic", "plain", ("true",))
CASES = Trial("synthetic", "cases", ("true",), cases=True)
OUTPUT = Trial("synthetic", "output", ("true",), output=True)


def ran(**changes: Any) -> Run:
    good = Run(code=0, seconds=1.0, output="a\nb\n", complaints="", served=(WHO,))
    return dataclasses.replace(good, **changes)


STOCK_RUN = ran(served=("another malloc",))


def reason(test: Trial, run: Run, stock: Run = STOCK_RUN) -> str:
    return conformance.judge(test, run, stock, WHO)[0]


@pytest.mark.parametrize("test", [PLAIN, OUTPUT], ids=lambda test: test.name)
def test_the_same_as_on_stock_passes(test: Trial) -> None:
    assert reason(test, ran()) == ""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"code": 1, "complaints": "x\nno room\n"}, "exit code 1: no room"),
        ({"code": -11, "output": ""}, "ended by SIGSEGV: no output"),
        ({"code": None}, "no end after 300 s: b"),
        ({"code": 77}, "exit code 77: b"),
        ({"complaints": "note\nhakmem: free of an invalid pointer\n"}, "hakmem: free of an invalid pointer"),
        ({"served": ()}, f"no process of it was served by {WHO}"),
        (
            {"served": (WHO, "another malloc")},
            f"expected every process on {WHO}, got another malloc",
        ),
    ],
)
def test_a_run_that_differs_says_how(changes: dict[str, object], expected: str) -> None:
    assert reason(PLAIN, ran(**changes)) == expected


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("a\nc\n", "line 2 of its output: expected 'b', got 'c'"),
        ("a\n", "line 2 of its output: expected 'b', got 'its end'"),
        ("a\nb\nc\n", "line 3 of its output: expected 'its end', got 'c'"),
        ("a\nb", "its output ends otherwise than on stock"),
    ],
)
def test_output_counts_where_it_is_fixed(output: str, expected: str) -> None:
    assert reason(OUTPUT, ran(output=output)) == expected
    assert reason(PLAIN, ran(output=output)) == ""


def test_a_case_that_fails_on_stock_too_is_not_the_variants_fault() -> None:
    stock = ran(code=2, cases={"a": True, "b": False}, served=("another malloc",))
    assert conformance.judge_stock(CASES, stock) == ("", "2 cases, 1 fail")
    assert reason(CASES, ran(code=2, cases={"a": True, "b": False}), stock) == ""
    broken = ran(code=2, cases={"a": False, "b": False})
    assert reason(CASES, broken, stock) == "1 cases fail that pass on stock: a"
    assert reason(CASES, ran(code=2, cases={"b": False}), stock) == "1 cases of stock's did not run: a"
    assert reason(CASES, ran(code=-6), stock) == "ended by SIGABRT: b"


def test_cases_without_a_file_of_cases_do_not_pass() -> None:
    assert conformance.judge_stock(CASES, STOCK_RUN)[0] == "expected cases.xml, got none"
    assert reason(CASES, ran()) == "expected cases.xml, got none"


def test_the_control_must_pass_and_be_stock() -> None:
    assert conformance.judge_stock(PLAIN, STOCK_RUN) == ("", "")
    assert conformance.judge_stock(PLAIN, ran(code=1, served=()))[0] == "exit code 1: b"
    assert conformance.judge_stock(PLAIN, ran())[0] == f"expected stock malloc, got {WHO}"


def test_cases_are_read_from_junits_format(tmp_path: Path) -> None:
    file = tmp_path / "cases.xml"
    file.write_text(
        "<testsuites><testsuite><testcase name='m.A.one'/><testcase classname='m.A' name='two'><failure/>"
        "</testcase><testcase name='three'><error/></testcase><testcase name='four'><skipped/></testcase>"
        "</testsuite></testsuites>"
    )
    assert conformance.read_cases(file) == {"m.A.one": True, "m.A.two": False, "three": False, "four": True}
    assert conformance.read_cases(tmp_path / "none.xml") == {}


# ----------------------------------------------------------------------------------------------------
# A synthetic suite, run for real


def python(name: str, text: str, **more: Any) -> Trial:
    test = Trial("synthetic", name, (sys.executable, "-I", "-S", "-c", text))
    return dataclasses.replace(test, **more)


SUITE = (
    python("same", "import os, sys; print('same'); sys.exit(os.system('true'))", output=True),
    python("differs", "import os; print('libhakmem' in os.environ['LD_PRELOAD'])", output=True),
    python("escapes", "import subprocess; subprocess.run(['true'], env=%r)"),
    python("crashes", "import os; 'libhakmem' in os.environ['LD_PRELOAD'] and os.abort()"),
)


@pytest.fixture(scope="module")
def witness(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return conformance.compile_witness(tmp_path_factory.mktemp("witness"))


@pytest.fixture(scope="module")
def sfc() -> Built:
    return build.build_one("sfc")


def run_suite(tests: Sequence[Trial], built: Built, witness: Path, folder: Path) -> list[Cell]:
    cells: list[Cell] = []
    conformance.compare(
        tests,
        {"synthetic": [built]},
        lambda test, library: conformance.run(test, library, witness, folder / "run"),
        lambda test, allocator, run: conformance.keep_log(folder / "logs", test, allocator, run),
        cells.append,
    )
    return cells


def test_a_suite_is_run_on_stock_and_on_the_variant(sfc: Built, witness: Path, tmp_path: Path) -> None:
    elsewhere = {"HAKMEM_WITNESS": str(tmp_path / "run" / "served"), "LD_PRELOAD": str(witness)}
    escapes = python("escapes", SUITE[2].command[-1] % elsewhere)
    cells = run_suite([*SUITE[:2], escapes, SUITE[3]], sfc, witness, tmp_path)
    found = {(cell.test, cell.allocator): cell.reason for cell in cells}
    assert [found[name, STOCK] for name in ("same", "differs", "escapes", "crashes")] == [""] * 4
    assert found["same", "sfc"] == ""
    assert found["differs", "sfc"] == "line 1 of its output: expected 'False', got 'True'"
    assert found["escapes", "sfc"] == f"expected every process on sfc {sfc.digest}, got another malloc"
    assert found["crashes", "sfc"].startswith("ended by SIGABRT")
    logs = {cell.allocator: Path(cell.log) for cell in cells if cell.test == "same"}
    assert "exit code 0\n--- output\nsame\n" in logs["sfc"].read_text()


HANGS = """
import os, signal
pipe = os.open({pipe!r}, os.O_WRONLY)
signal.signal(signal.SIGALRM, lambda *_: os.write(pipe, b"survived"))
signal.alarm(60)
os.fork() or signal.alarm(60)
signal.pause()
"""


def test_a_test_that_hangs_is_ended_with_what_it_started(sfc: Built, witness: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    hangs = python("hangs", HANGS.format(pipe=str(tmp_path / "pipe")), timeout_s=2.0)
    run = conformance.run(hangs, sfc.library, witness, tmp_path / "run")
    assert run.code is None and conformance.ending(run, 2.0).startswith("no end after 2 s")
    os.set_blocking(reader, True)
    with os.fdopen(reader, "rb") as pipe:
        assert pipe.read() == b"", "read to the end: nobody holds the other side any more"


def test_the_environment_of_a_run_is_its_own(
    witness: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MALLOC_CHECK_", "3")
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    names = "MALLOC_CHECK_ PYTHONPATH HOME TMPDIR ONE TWO"
    text = f"import os, json; print(json.dumps([os.environ.get(name) for name in {names!r}.split()]))"
    test = python("environment", text, environment={"ONE": "1"}, stock={"TWO": "2"})
    run = conformance.run(test, None, witness, tmp_path / "run")
    work = tmp_path / "run" / "work"
    assert json.loads(run.output) == [None, None, str(work), str(work / "tmp"), "1", "2"]


# ----------------------------------------------------------------------------------------------------
# The table and the command


def cell(test: str, allocator: str, reason: str = "", note: str = "") -> Cell:
    return Cell("glibc", test, allocator, reason, note, 0.1, "log.txt")


def test_the_table_has_a_column_per_malloc_and_leaves_out_what_did_not_run() -> None:
    console = Console(width=120, record=True, file=io.StringIO())
    cells = [cell("t1", STOCK), cell("t1", "diet", "SIGSEGV"), cell("t2", STOCK, note="9 cases")]
    console.print(conformance.table([*cells, cell("t1", "sll")]))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert lines == [
        ["suite", "test", "stock", "diet", "sll"],
        ["glibc", "t1", "passed", "failed", "passed"],
        ["glibc", "t2", "passed", "9", "cases"],
    ]
    assert conformance.failures(cells) == ["glibc t1 on diet: SIGSEGV (log.txt)"]


def main(monkeypatch: pytest.MonkeyPatch, tests: Sequence[Trial], *arguments: str) -> int:
    monkeypatch.setitem(conformance._PREPARE, "glibc", lambda _scratch, _say: list(tests))
    return conformance.main(["--suite", "glibc", "--variant", "sfc", *arguments])


def test_the_command_is_red_when_a_variant_is(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    tests = [dataclasses.replace(test, suite="glibc") for test in (SUITE[0], SUITE[3])]
    assert main(monkeypatch, tests) == 1
    out, err = capfd.readouterr()
    assert "glibc crashes on sfc: ended by SIGABRT" in out and "3 passed, 1 failed" in out
    assert "[4/4] glibc crashes sfc: FAILED: ended by SIGABRT" in err
    assert main(monkeypatch, tests, "--test", "same", "--json") == 0
    rows = json.loads(capfd.readouterr().out)
    assert [(row["test"], row["allocator"], row["passed"]) for row in rows] == [
        ("same", STOCK, True),
        ("same", "sfc", True),
    ]


def test_an_interrupt_keeps_what_ran(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    real = conformance.run

    def interrupted(test: Trial, library: Path | None, witness: Path, folder: Path) -> Run:
        if library is not None:
            raise KeyboardInterrupt
        return real(test, library, witness, folder)

    monkeypatch.setattr(conformance, "run", interrupted)
    assert main(monkeypatch, [dataclasses.replace(SUITE[0], suite="glibc")]) == 130
    out, err = capfd.readouterr()
    assert "1 passed, 0 failed" in out and "interrupted: what ran is kept" in err


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--variant", "unifed"], "error: variant 'unifed' is not known; did you mean"),
        (["--variant", "unknown_one"], "error: variant 'unknown_one' is not known"),
    ],
)
def test_a_wrong_name_is_one_line(
    arguments: list[str], expected: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert conformance.main(arguments) == 2
    err = capfd.readouterr().err
    assert err.startswith(expected) and err.count("\n") == 1


def test_every_variant_with_a_malloc_library_is_asked_glibcs_tests() -> None:
    wanted = [item.name for item in build.kept_variants() if item.interposable]
    assert conformance.chosen_variants("glibc", []) == wanted and "unified" in wanted
    assert conformance.chosen_variants("programs", [])[:2] == [spec.DEFAULT_VARIANT, "diet"]
    assert conformance.chosen_variants("glibc", ["sll", "sll"]) == ["sll"]


def test_apts_archives_become_source_lines() -> None:
    targets = "Debian http://a/debian/ bookworm main\nOther http://b/ stable main\n"
    targets += "Debian http://c/ d/updates main\n"
    assert glibc_tests.source_lines(targets) == (
        "deb-src http://a/debian/ bookworm main\ndeb-src http://c/ d/updates main\n"
    )
    with pytest.raises(HakmemError, match="expected an archive of Debian or Ubuntu among apt's sources"):
        glibc_tests.source_lines("Other http://b/ stable main\n")


def test_the_list_holds_glibcs_nineteen_tests() -> None:
    assert len(set(glibc_tests.TESTS)) == len(glibc_tests.TESTS) == 19


@pytest.mark.parametrize("script", sorted(conformance._SCRIPTS.glob("*.sh")), ids=lambda path: path.stem)
def test_a_programs_script_stops_at_the_first_error(script: Path) -> None:
    lines = script.read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("# ") and "set -eu" in lines[:4]
