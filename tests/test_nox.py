"""The sessions: all there, one per variant, the same as JSON, and one line when the compiler is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hakmem import build, sources

pytestmark = pytest.mark.usefixtures("checkout")
SESSIONS = (
    *("lint", "tests", "build", "matrix", "golden", "conformance", "pick", "fuzz", "churn"),
    *("asan", "tsan", "ubsan"),
)


@pytest.fixture
def checkout() -> Path:
    assert sources.is_checkout()
    return sources.root()


def nox(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nox", "-f", str(sources.root() / "noxfile.py"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture(scope="module")
def jobs() -> dict[str, dict[str, Any]]:
    answer = nox("-s", "jobs")
    assert answer.returncode == 0, answer.stderr
    return {job["name"]: job for job in json.loads(answer.stdout)}


def test_every_session_is_a_job_with_a_sentence_tags_and_its_command(jobs: dict[str, dict[str, Any]]) -> None:
    assert set(SESSIONS) <= set(jobs)
    for name, job in jobs.items():
        assert job["what"].endswith("."), name
        assert job["tags"] and job["minutes"] > 0
        assert name in job["command"]


def test_each_kept_variant_has_its_tests_and_its_bench(jobs: dict[str, dict[str, Any]]) -> None:
    wanted = {f"{kind}({name})" for kind in ("tests", "bench") for name in build.variant_names()}
    assert {name for name in jobs if "(" in name} == wanted


def test_jobs_are_chosen_by_tags(jobs: dict[str, dict[str, Any]]) -> None:
    answer = nox("-s", "jobs", "--", "ci", "sanitizers")
    chosen = [job["name"] for job in json.loads(answer.stdout)]
    assert chosen == [name for name, job in jobs.items() if {"ci", "sanitizers"} & set(job["tags"])]
    assert "asan" in chosen and "lint" in chosen and "soak" not in chosen
    answer = nox("-s", "jobs", "--", "ci", "sanitisers")
    assert answer.returncode != 0 and answer.stdout == ""
    assert "expected tags of bench, ci, " in answer.stderr and ", got sanitisers" in answer.stderr


def test_the_example_workflow_runs_jobs_that_are(jobs: dict[str, dict[str, Any]]) -> None:
    path = sources.root() / "examples" / "ci" / "hakmem.yml"
    text = path.read_text(encoding="utf-8")
    parts = yaml.safe_load(text)["jobs"]
    (listing,) = [step for step in parts["list"]["steps"] if step.get("id") == "list"]
    assert parts["list"]["outputs"] == {"jobs": "${{ steps.list.outputs.jobs }}"}
    assert parts["run"]["needs"] == "list"
    assert parts["run"]["strategy"]["matrix"] == {"job": "${{ fromJSON(needs.list.outputs.jobs) }}"}
    # what the first job hands to the second, by the very line that it runs
    command = re.fullmatch(
        r'echo "jobs=\$\(nox (-s jobs -- [\w ]+) \| jq -c \.\)" >> "\$GITHUB_OUTPUT"', listing["run"]
    )
    assert command is not None
    chosen = json.loads(nox(*command[1].split()).stdout)
    assert 10 < len(chosen) <= 256  # a matrix has no more
    for key in re.findall(r"matrix\.job\.(\w+)", text):
        assert all(job[key] for job in chosen), key
    assert parts["run"]["steps"][-1]["run"] == "${{ matrix.job.command }}"
    assert not any("bench" in job["tags"] for job in chosen)  # runs on shared machines time nothing
    named = re.findall(r"nox -s (\w+)", text)
    assert set(named) - {"jobs"} <= set(jobs)
    # the same packages as the project's own script
    script = (sources.root() / ".ci" / "run").read_text(encoding="utf-8")
    (packages,) = re.findall(r"apt-get install -y (.+)$", text, re.MULTILINE)
    for package in packages.split():
        assert f"missing+=({package})" in script


def test_the_whole_suite_is_one_session_and_not_one_per_variant() -> None:
    answer = nox("-s", "tests", "--list", "--json")
    assert [item["session"] for item in json.loads(answer.stdout)] == ["tests"]


@pytest.mark.parametrize("session", ["tests(sfc)", "bench(unified)"])
def test_a_variants_session_is_selected_by_its_full_name(session: str) -> None:
    answer = nox("-s", session, "--list", "--json")
    assert [item["session"] for item in json.loads(answer.stdout)] == [session]


def test_a_missing_compiler_is_one_line() -> None:
    answer = nox("-s", "build", CXX="no_such_compiler -O2")
    assert answer.returncode != 0
    lines = [line for line in answer.stderr.splitlines() if "missing" in line]
    assert len(lines) == 1
    assert "the C++ compiler no_such_compiler is missing: apt-get install g++" in lines[0]
    assert "Traceback" not in answer.stderr
