"""Builds, the behaviour suite and counts, spread over a Dask cluster of two processes and their cache."""

from __future__ import annotations

import io
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest
import typer.testing
from rich.console import Console

from hakmem import build, cli, cluster, spec, toolchain, workloads
from hakmem.workloads import Row


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workers' cache."""
    return tmp_path_factory.mktemp("far")


@pytest.fixture(scope="module")
def scheduler(far: Path) -> Iterator[str]:
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", env={"HAKMEM_CACHE": str(far)}
    ) as local:
        yield local.scheduler_address


@pytest.fixture(autouse=True)
def near(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This process's cache: what the workers build is not in it."""
    monkeypatch.setenv("HAKMEM_CACHE", str(tmp_path / "near"))
    return tmp_path / "near"


def call(*arguments: str, code: int = 0) -> typer.testing.Result:
    result = typer.testing.CliRunner().invoke(cli.app, arguments, prog_name="hakmem")
    assert result.exit_code == code, result.output + result.stderr
    return result


def digest(name: str) -> str:
    return spec.digest(build.variant(name), toolchain.detect())


def test_builds_are_done_by_the_workers(scheduler: str, far: Path) -> None:
    words = ("build", "bypass", "unified", "--set", "owner=mask", "--scheduler", scheduler, "--json")
    answers: list[dict[str, Any]] = json.loads(call(*words).stdout)
    assert {item["name"] for item in answers} == {"bypass__owner_mask", "unified__owner_mask"}
    for item in answers:
        assert item["problem"] == "" and item["host"]
        folder = Path(item["figures"]["folder"])
        assert folder.is_relative_to(far) and folder.name == item["digest"]
        assert build.at(folder).is_whole()
        assert build.find(spec.resolve(build.variant(item["name"].split("__")[0]), ["owner=mask"])) is None


def test_the_suite_is_run_by_the_workers(scheduler: str) -> None:
    shown = call("check", "bypass", "--scheduler", scheduler).stdout
    assert shown.startswith(f"passed bypass {digest('bypass')} (")
    assert build.find("bypass") is None
    shown = call("check", "bypass", "--timeout", "0.01", "--fresh", "--scheduler", scheduler, code=1).stdout
    assert shown.startswith(f"failed bypass {digest('bypass')} (0 tests, ")
    assert ": no end after 0.01 s" in shown


def test_instructions_are_counted_by_the_workers_as_here(
    scheduler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = Row("lifo 16 B, 100 live", "lifo", {"size": 16, "live": 100})
    threads = Row("larson, 1 threads", "larson", {"threads": 1})
    monkeypatch.setattr(workloads, "suite", lambda _name: [row, threads])
    (there,) = json.loads(call("count", spec.DEFAULT_VARIANT, "--scheduler", scheduler, "--json").stdout)
    assert there["problem"] == "" and list(there["figures"]) == [row.label]
    counted = there["figures"][row.label]
    assert counted["counter"] == "callgrind" and counted["per_op"] > 1
    shown = call("count").stdout
    assert shown.startswith(f"counted {spec.DEFAULT_VARIANT} {there['digest']} on ")
    here = re.search(rf"^ {row.label} +(\d+\.\d)", shown, re.MULTILINE)
    assert here is not None
    assert counted["per_op"] == pytest.approx(float(here[1]), rel=0.02)


def test_counts_of_many_variants_go_down_the_page() -> None:
    answers = [
        cluster.Answer(f"canary_links_{index}", "0" * 16, "here", figures={"lifo": {"per_op": 30.0 + index}})
        for index in range(12)
    ]
    page = io.StringIO()
    Console(width=80, file=page).print(cluster.count_table(answers))
    lines = page.getvalue().splitlines()[1:]
    assert [line.split() for line in lines] == [
        [one.name, f"{30 + index}.0"] for index, one in enumerate(answers)
    ]


def test_what_goes_wrong_there_is_the_answers_problem(scheduler: str) -> None:
    (answer,) = cluster.spread(scheduler, cluster.check_here, [build.variant("unified")])
    assert answer.problem.startswith("TypeError: ") and "'timeout_s' and 'fresh'" in answer.problem
    assert (answer.name, answer.digest) == ("unified", digest("unified"))


def test_a_worker_with_another_compiler_says_so(
    scheduler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "c++"
    real = toolchain.find_compiler()
    other.write_text(
        f'#!/bin/sh\nif [ "$1" = --version ]; then echo "other (it) 99"; else exec {real} "$@"; fi\n'
    )
    other.chmod(0o755)
    monkeypatch.setenv("CXX", str(other))
    shown = call("build", "unified", "--scheduler", scheduler, code=1).stdout
    assert shown.startswith("failed unified ")
    assert f"expected the sources and the compiler that give {digest('unified')}, got those of " in shown


def one_line(*arguments: str) -> str:
    said = call(*arguments, code=2).stderr
    assert said.startswith("error: ") and said.count("\n") == 1
    return said


def test_a_cluster_that_cannot_be_used_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setattr(cluster, "_CONNECT_S", 1)
        said = one_line("build", "unified", "--scheduler", address)
    assert f"--scheduler {address}: expected a Dask scheduler that answers, got: " in said
    assert "expected a Dask scheduler that answers" in one_line(
        "check", "unified", "--scheduler", "what://is"
    )
    with distributed.LocalCluster(
        n_workers=0, dashboard_address=":0", processes=False, protocol="tcp"
    ) as empty:
        said = one_line("build", "unified", "--scheduler", empty.scheduler_address)
    assert "expected workers, got a scheduler that has none" in said
    monkeypatch.setitem(sys.modules, "distributed", None)
    said = one_line("count", "unified", "--scheduler", address)
    assert "--scheduler needs the package distributed: pip install distributed" in said
