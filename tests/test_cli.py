"""The command line: output, JSON, one-line errors and exit codes, over a stub core."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
import types
from pathlib import Path
from typing import Any

import pytest
import typer.testing

import stub_core
from hakmem import build, check, cli, sources, spec, sweeps, toolchain
from hakmem.build import Built

SUITE = """
import os, signal, time
import pytest

def test_one(request):
    name = request.config.getoption("--variant")
    assert name
    if "sfc" in name:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "magazine" in name:
        time.sleep(60)
    assert "sll" not in name

def test_two():
    pass
"""

CONFTEST = """
def pytest_addoption(parser):
    parser.addoption("--variant")
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stub source tree with a toy suite, and a cache."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "source").mkdir()
    stub_core.write(folder / "source")
    (folder / "suite").mkdir()
    (folder / "suite" / "test_toy.py").write_text(SUITE)
    (folder / "suite" / "conftest.py").write_text(CONFTEST)
    return folder


@pytest.fixture(autouse=True)
def stub(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sources, "root", lambda: shared / "source")
    monkeypatch.setattr(sources, "suite_folder", lambda: shared / "suite")
    monkeypatch.setenv("HAKMEM_CACHE", str(shared / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return shared


def call(*arguments: str, code: int = 0) -> typer.testing.Result:
    result = typer.testing.CliRunner().invoke(cli.app, arguments, prog_name="hakmem")
    assert result.exit_code == code, result.output + result.stderr
    return result


def answer(*arguments: str, code: int = 0) -> Any:
    return json.loads(call(*arguments, "--json", code=code).stdout)


def one_line(*arguments: str) -> str:
    result = call(*arguments, code=2)
    assert result.stderr.startswith("error: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    return result.stderr


def built(name: str) -> Built:
    found = build.build_one(name)
    assert found.is_whole()
    return found


def test_variants_lists_every_kept_one_with_its_sentence() -> None:
    rows = answer("variants")
    kept = build.kept_variants()
    assert [row["name"] for row in rows] == [item.name for item in kept]
    assert [row["why"] for row in rows] == [item.why for item in kept]
    assert all(row["policy_set"]["front"]["kind"] for row in rows)
    text = call("variants").stdout
    assert "unified_mask" in text
    assert f"{len(kept)} variants" in text
    assert len(answer("variants", "--sweep", "owner")) == len(sweeps.expand("owner"))


def test_listing_needs_no_compiler(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert answer("variants")[0]["digest"] is None
    assert "no compiler" in call("show", "unified").stdout
    assert "no C++ compiler" in one_line("build", "bypass")


def test_show() -> None:
    item = built("unified")
    row = answer("show", "unified")
    assert row["digest"] == item.digest
    assert row["folder"] == str(item.folder)
    assert row["built"] is True
    text = call("show", "unified").stdout
    assert item.digest in text
    assert "page_tag" in text
    changed = answer("show", "unified", "--set", "owner=mask", "--set", "front.refill=16")
    assert changed["policy_set"]["owner"]["kind"] == "mask"
    assert changed["policy_set"]["front"]["refill"] == 16
    assert "using Owner = owner::Mask;" in call("show", "unified", "--set", "owner=mask", "--header").stdout


def test_path_prints_one_path_and_builds_when_needed() -> None:
    library = Path(call("path", "bypass").stdout.rstrip("\n"))
    assert library == built("bypass").library
    assert call("path", "bypass", "--of", "module").stdout.strip() == str(built("bypass").module)
    assert "--of: expected library, module, header or folder" in one_line("path", "bypass", "--of", "door")


def test_path_takes_a_file_of_ones_own(tmp_path: Path) -> None:
    own = tmp_path / "mine.toml"
    own.write_text('name = "mine"\nwhy = "A test."\nfront = "sll"\n')
    assert Path(call("path", str(own)).stdout.strip()).name == "libhakmem_mine.so"
    own.write_text('name = "mine"\nwhy = "A test."\nfront = "sl"\n')
    assert f"{own}: front: expected one of sll" in one_line("path", str(own))


def test_build_names_and_sweeps() -> None:
    result = answer("build", "bypass", "unified", "--set", "guard=checks")
    assert [row["name"] for row in result["variants"]] == ["bypass__guard_checks", "unified__guard_checks"]
    assert all(row["built"] for row in result["variants"])
    result = answer("build", "--sweep", "thread_slot")
    names = [item.name for item in sweeps.expand("thread_slot")]
    assert [row["name"] for row in result["variants"]] == names
    assert result["same_code"] == sorted([sorted(names[:2]), sorted(names[2:])])
    assert "4 of 4 variants are built" in call("build", "--sweep", "thread_slot").stdout


def test_a_failing_variant_is_reported_and_the_others_are_built(stub: Path) -> None:
    header = stub / "source" / "cpp" / "hakmem" / "owner" / "registry.hpp"
    text = header.read_text()
    try:
        header.write_text('#error "Registry: not today"\n')
        result = answer("build", "bypass", "unified_registry", code=1)
        assert [row["built"] for row in result["variants"]] == [True, False]
        assert "Registry: not today" in result["variants"][1]["error"]
        shown = call("build", "bypass", "unified_registry", code=1)
        assert "error: unified_registry did not build: " in shown.stderr
        rows = answer("check", "unified_registry", code=1)
        assert "Registry: not today" in rows[0]["reason"]
    finally:
        header.write_text(text)


def test_check_runs_the_suite_and_remembers_a_pass() -> None:
    rows = answer("check", "bypass")
    assert rows[0]["passed"] is True
    assert rows[0]["tests"] == 2
    item = built("bypass")
    assert json.loads((item.folder / "checked.json").read_text())["passed"] is True
    assert answer("check", "bypass")[0]["seconds"] == rows[0]["seconds"]
    kept = check.last_check(item)
    assert kept is not None
    assert kept.passed
    (row,) = [row for row in answer("variants") if row["name"] == "bypass"]
    assert row["checked"] is True
    assert "passed bypass (2 tests" in call("check", "bypass").stdout


def test_a_changed_suite_counts_as_unchecked(stub: Path) -> None:
    call("check", "bypass")
    extra = stub / "suite" / "test_more.py"
    extra.write_text("def test_more():\n    pass\n")
    try:
        assert check.last_check(built("bypass")) is None
        assert answer("check", "bypass")[0]["tests"] == 3
    finally:
        extra.unlink()


def test_a_crashing_a_hanging_and_a_failing_variant_are_named_and_the_others_go_on() -> None:
    rows = answer("check", "sfc", "magazine", "sll", "bypass", "--timeout", "20", code=1)
    reasons = {row["name"]: row["reason"] for row in rows}
    assert reasons["sfc"] == "ended by SIGSEGV"
    assert reasons["magazine"] == "no end after 20 s"
    assert reasons["sll"].startswith("FAILED ")
    assert "test_one" in reasons["sll"]
    assert reasons["bypass"] == ""
    assert all(row["log"] for row in rows)
    assert check.last_check(built("sll")) is not None
    assert "failed sll" in call("check", "sll", code=1).stdout


def test_a_variant_with_overrides_is_checked_as_built() -> None:
    (row,) = answer("check", "unified", "--set", "owner=mask")
    assert row["passed"] is True
    assert row["name"] == "unified__owner_mask"


@pytest.mark.parametrize("command", ["show", "path", "build", "check", "run"])
def test_an_unknown_variant_is_one_line(command: str) -> None:
    arguments = ["run", "unifid", "--", "true"] if command == "run" else [command, "unifid"]
    assert "variant 'unifid' is not known; did you mean unified" in one_line(*arguments)


def test_wrong_overrides_and_sweeps_are_one_line() -> None:
    assert "--set: owner: expected one of" in one_line("build", "unified", "--set", "owner=msk")
    assert "sweep 'ful' is not known; did you mean full" in one_line("build", "--sweep", "ful")


def test_an_unwritable_cache_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HAKMEM_CACHE", str(tmp_path / "file"))
    assert "expected a folder that can be written" in one_line("build", "bypass")


def test_bench_and_pick_hand_their_options_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[tuple[str, dict[str, object]]] = []

    def door(name: str) -> types.ModuleType:
        def called(**options: object) -> int:
            seen.append((name, options))
            return 3 if name == "pick" else 0

        module = types.ModuleType(f"hakmem.{name}")
        setattr(module, f"cli_{name}", called)
        return module

    for name in ("bench", "pick"):
        monkeypatch.setitem(sys.modules, f"hakmem.{name}", door(name))
    run = ("--suite", "quick", "--rounds", "3", "--seed", "7", "--export", "rows.csv")
    call("bench", "sll", "sfc", *run, "--peers", "--peer", "a=glibc", "--peer", "b=glibc", "--html", "b.html")
    quick = ("--quick", "--no-programs", "--fresh", "--peer", "c=glibc")
    call("pick", *quick, "--out", str(tmp_path), "--html", "page.html", code=3)
    assert seen == [
        (
            "bench",
            {
                "names": ["sll", "sfc"],
                "sweep": [],
                "suite": "quick",
                "rounds": 3,
                "seed": 7,
                "as_json": False,
                "export": Path("rows.csv"),
                "instructions": False,
                "with_peers": True,
                "peers": ["a=glibc", "b=glibc"],
                "html": Path("b.html"),
            },
        ),
        (
            "pick",
            {
                "names": [],
                "quick": True,
                "suite": "default",
                "out": tmp_path,
                "memory_budget": 1.5,
                "as_json": False,
                "html": Path("page.html"),
                "programs": False,
                "fresh": True,
                "with_peers": False,
                "peers": ["c=glibc"],
            },
        ),
    ]


def test_axes_page_and_json() -> None:
    assert call("axes").stdout == (Path(__file__).parents[1] / "docs" / "axes.md").read_text()
    table = answer("axes")
    assert table["owner"]["default"] == "page_tag"
    assert table["front"]["kinds"]["sll"]["options"]["cap"]["default"] == 256


def test_version_and_help() -> None:
    assert call("--version").stdout.startswith("hakmem ")
    text = call("--help").stdout
    for command in ("variants", "show", "path", "build", "check", "bench", "pick", "run"):
        assert command in text


def spawn(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """The real command in a process of its own, over the stub sources."""
    code = (
        "import sys; from pathlib import Path; from hakmem import cli, sources\n"
        "source = Path(sys.argv.pop(1)); sources.root = lambda: source\n"
        "cli.main()\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(cli.__file__).parents[1])}
    return subprocess.Popen(
        [sys.executable, "-c", code, str(folder / "source"), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_run_proves_the_allocator_and_passes_the_exit_code_on(stub: Path) -> None:
    item = built("unified")
    process = spawn(stub, "run", "unified", "--", sys.executable, "-c", "print('out'); raise SystemExit(9)")
    output, complaint = process.communicate(timeout=60)
    assert process.returncode == 9
    assert output == "out\n"
    assert complaint.startswith(f"hakmem: unified {item.digest} serves ")
    assert str(item.library) in complaint
    process = spawn(stub, "run", "unified", "--quiet", "--", "true", "--not-an-option-of-ours")
    assert process.communicate(timeout=60) == ("", "")
    assert process.returncode == 0


def test_run_refuses_a_missing_program_in_one_line() -> None:
    assert "command: expected a program in PATH" in one_line("run", "unified", "--", "nonesuch")


def test_ctrl_c_during_a_build_exits_130_and_a_second_start_resumes(stub: Path) -> None:
    compiler = stub / "slow-c++"
    real = toolchain.find_compiler()
    begun = stub / "begun"
    compiler.write_text(
        f'#!/bin/sh\ncase "$*" in *variant_table*) touch {begun}; sleep 1;; esac\nexec {real} "$@"\n'
    )
    compiler.chmod(compiler.stat().st_mode | stat.S_IXUSR)
    environment = {"CXX": str(compiler)}
    os.environ.update(environment)
    try:
        process = spawn(stub, "build", "direct", "diet", "split", "--jobs", "1")
        while not begun.exists() and process.poll() is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGINT)
        _, complaint = process.communicate(timeout=60)
        assert process.returncode == 130, complaint
        assert "Traceback" not in complaint
        process = spawn(stub, "build", "direct", "diet", "split", "--jobs", "2")
        output, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint
        assert "3 of 3 variants are built" in output
    finally:
        del os.environ["CXX"]


@pytest.mark.parametrize("command", ["count", "bench", "containers", "scale", "replay"])
def test_help_names_the_variant_that_is_meant_where_none_is(command: str) -> None:
    assert f"(default: {spec.DEFAULT_VARIANT})" in " ".join(call(command, "--help").stdout.split())


def test_cmake_builds_that_variant_where_none_is_named() -> None:
    text = (sources.root() / "CMakeLists.txt").read_text(encoding="utf-8")
    assert f'set(HAKMEM_VARIANTS "{spec.DEFAULT_VARIANT}" CACHE' in text
