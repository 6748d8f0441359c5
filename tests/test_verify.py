"""A folder that was handed over is asked again: the verdict holds here or not, by real runs of a program."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import typer.testing

import hakmem
from hakmem import build, cli, handover
from hakmem.errors import HakmemError
from hakmem.store import Result
from hakmem.verify import FASTER, SAME, SLOWER, compare
from results import result

STEADY = (1.00, 1.01, 0.99, 1.00, 1.01, 0.99, 1.00)
FACTOR = {FASTER: 0.8, SAME: 1.0, SLOWER: 1.3}


def race(factor: float, again: float = 1.0, memory: float = 1.0) -> list[Result]:
    """Rounds of libc, libc again and unified, which takes ``factor`` of libc's time."""
    rows = []
    for index, value in enumerate(STEADY):
        for name, times, peak in (("libc", 1.0, 1.0), ("libc#2", again, 1.0), ("unified", factor, memory)):
            rows.append(
                replace(
                    result(),
                    variant=name,
                    label="it",
                    round=index,
                    ops=1,
                    ns_per_op=value * times * 1e9,
                    peak_rss_kib=round(10000 * peak),
                    harness_kib=0,
                )
            )
    return rows


def working(where: str) -> list[str]:
    """A program that has a hundred times as much to do under the library, or under libc."""
    much, little = ("n=1", "n=300000") if where == "libc" else ("n=300000", "n=1")
    count = f"case $LD_PRELOAD in *hakmem_unified*) {much};; *) {little};; esac"
    return ["sh", "-c", f"{count}; while [ $n -gt 0 ]; do n=$((n - 1)); done"]


def handed_over(folder: Path, rows: Sequence[Result], command: Sequence[str] | None) -> Path:
    built = build.build_one("unified")
    kept = [asdict(row) for row in rows]
    handover.hand_over(built, folder, verdict="So it was.", command=command, rows=kept, page=None)
    return folder


def call(*arguments: str, code: int) -> typer.testing.Result:
    found = typer.testing.CliRunner().invoke(cli.app, ["verify", *arguments], prog_name="hakmem")
    assert found.exit_code == code, found.output + found.stderr
    return found


@pytest.mark.parametrize(
    ("factor", "again", "word"),
    [(0.8, 1.0, FASTER), (1.3, 1.0, SLOWER), (0.97, 1.05, SAME), (1.0, 1.0, SAME), (1.03, 1.05, SAME)],
)
def test_a_difference_counts_beyond_the_noise_only(factor: float, again: float, word: str) -> None:
    found = compare(race(factor, again, 0.9), "unified")
    assert found is not None
    assert found.word == word
    assert found.time.value == pytest.approx(factor)
    assert found.memory.value == pytest.approx(0.9)
    assert found.noise == pytest.approx(again - 1)
    assert compare(race(factor), "sfc") is None


@pytest.mark.parametrize(
    ("there", "here", "holds"),
    [(FASTER, FASTER, True), (SAME, FASTER, True), (SAME, SLOWER, False), (FASTER, SLOWER, False)],
)
def test_the_verdict_holds_or_not(there: str, here: str, holds: bool, tmp_path: Path) -> None:
    command = working("libc" if here == FASTER else "the library")
    folder = handed_over(tmp_path / "folder", race(FACTOR[there]), command)
    shown = call(str(folder), "--rounds", "3", code=0 if holds else 1).stdout
    assert "So it was." in shown and "rule: faster or slower is" in shown
    assert f"unified there: {there}: {FACTOR[there]:.3f} of libc's time" in shown
    assert f"unified here: {here}: " in shown
    assert ("the verdict holds here" in shown) == holds
    assert ("the verdict does not hold here" in shown) != holds


def test_the_answer_is_json_too(tmp_path: Path) -> None:
    folder, slow = handed_over(tmp_path / "folder", race(1.0), None), working("the library")
    answer: dict[str, Any] = json.loads(
        call(str(folder), "--rounds", "3", "--json", "--", *slow, code=1).stdout
    )
    assert (answer["there"]["word"], answer["here"]["word"], answer["holds"]) == (SAME, SLOWER, False)
    assert answer["command"] == slow
    served = {(row["variant"], row["round"]): row["digest"] for row in answer["results"]}
    assert set(served) == {(name, index) for name in ("libc", "libc#2", "unified") for index in range(3)}
    assert served["unified", 0] == answer["digest"] and served["libc", 0] is None


def test_a_folder_without_a_race_is_told_how_it_stands(tmp_path: Path) -> None:
    folder = handed_over(tmp_path / "folder", [], working("libc"))
    found = hakmem.verify(folder, rounds=2)
    assert (found.there, found.holds, found.here.word) == (None, None, FASTER)
    assert "no verdict was handed over" in call(str(folder), "--rounds", "2", code=0).stdout


def test_what_cannot_be_asked_is_one_line(tmp_path: Path) -> None:
    folder = handed_over(tmp_path / "folder", [], None)

    def says(*arguments: str) -> str:
        found = call(*arguments, code=1)
        assert found.stderr.startswith("error: ") and found.stderr.count("\n") == 1
        return found.stderr

    assert "expected a command behind --" in says(str(folder))
    assert "expected a program in PATH" in says(str(folder), "--", "nonesuch")
    assert "expected a folder that hakmem handed over" in says(str(tmp_path / "other"), "--", "true")
    assert "libc: ended with exit code 3" in says(str(folder), "--", "sh", "-c", "exit 3")
    only = "case $LD_PRELOAD in *hakmem_unified*) exit 4;; esac"
    assert "unified: ended with exit code 4" in says(str(folder), "--", "sh", "-c", only)


def test_a_library_of_another_machine_is_one_line(tmp_path: Path) -> None:
    folder = handed_over(tmp_path / "folder", [], ["true"])
    library = folder / "lib" / "libhakmem_unified.so"
    content = bytearray(library.read_bytes())
    content[18:20] = (0xF3).to_bytes(2, "little")  # e_machine: RISC-V
    before = hashlib.sha256(library.read_bytes()).hexdigest()
    library.write_bytes(content)
    said = call(str(folder), code=1).stderr
    assert "libhakmem_unified.so: expected the content that was handed over, got another" in said
    sums = (folder / "SHA256SUMS").read_text()
    (folder / "SHA256SUMS").write_text(sums.replace(before, hashlib.sha256(content).hexdigest()))
    said = call(str(folder), code=1).stderr
    assert said.count("\n") == 1
    assert "libhakmem_unified.so: expected hakmem_id 'unified " in said and "cannot be preloaded" in said


def test_a_folder_that_was_copied_elsewhere_serves_from_there(tmp_path: Path) -> None:
    folder = handed_over(tmp_path / "folder", [], None)
    moved = Path(shutil.copytree(folder, tmp_path / "deep" / "copy"))
    shutil.rmtree(folder)
    found = hakmem.verify(moved, ["true"], rounds=2)
    assert {row.served_share for row in found.results} == {1.0}
    with pytest.raises(HakmemError, match="expected a folder that hakmem handed over"):
        hakmem.verify(folder, ["true"])
