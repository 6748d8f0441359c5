"""`hakmem scale`: each curve grows by one parameter, runs at tiny sizes, and keeps within its memory."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from hakmem import bench, build, scale, scale_report, workloads
from hakmem.scale import Curve
from hakmem.store import Result, Store
from hakmem.workloads import Row
from results import result

TINY = scale.curves(threads=(1, 3), live=(10, 200), heap_mib=(2, 4), cycles=2000)


def by_name(curves: list[Curve]) -> dict[str, Curve]:
    return {curve.name: curve for curve in curves}


def test_the_curves_ask_what_they_say() -> None:
    whole, quick = by_name(scale.curves()), by_name(scale.curves(quick=True))
    assert set(whole["mixed"].rows) == set(whole["cross"].rows) == {1, 2, 4, 8, 16}
    assert set(whole["live"].rows) == {10**exponent for exponent in range(2, 8)}
    assert max(whole["heap"].rows) == 8192
    assert max(quick["live"].rows) == 10**5 and max(quick["heap"].rows) == 256
    assert set(quick["mixed"].rows) == set(whole["mixed"].rows)
    for count, row in whole["cross"].rows.items():
        assert row.threads == row.params["threads"] == count
    for count, row in whole["live"].rows.items():
        assert row.params["working_set"] == 2 * count, "half of the slots are occupied"
        assert row.params["cycles"] >= 2 * count, "every slot's turn comes in a pass"
        assert (row.params["min"], row.params["max"]) == (16, 64)
    for mib, row in whole["heap"].rows.items():
        live = row.params["working_set"] / 2 * (row.params["min"] + row.params["max"]) / 2
        assert live == pytest.approx(mib << 20, rel=0.05)
    labels = [row.label for curve in whole.values() for row in curve.rows.values()]
    assert len(set(labels)) == len(labels)


def test_every_row_is_within_what_its_workload_takes() -> None:
    known = {
        item["name"]: {param["name"]: param for param in item["params"]}
        for item in workloads.catalogue(build.runner())
    }
    for curve in scale.curves():
        for row in curve.rows.values():
            for name, value in row.params.items():
                assert known[row.workload][name]["min"] <= value <= known[row.workload][name]["max"], row


def test_the_command_measures_every_point_and_draws_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "default_store", lambda: Store(tmp_path / "results.sqlite"))
    page = tmp_path / "scale.html"
    answered = scale_report.cli_scale_report(["unified"], 2, False, False, [], True, page, TINY, min_ms=1)
    said = capsys.readouterr()
    assert answered == 0 and "is ended" in said.err
    answer = json.loads(said.out)
    assert [curve["name"] for curve in answer["curves"]] == ["mixed", "cross", "live", "heap"]
    for curve, asked in zip(answer["curves"], TINY, strict=True):
        assert set(curve["contestants"]) == {"libc", "null", "unified"}
        for points in curve["contestants"].values():
            assert [point["at"] for point in points] == list(asked.rows)
            for point in points:
                assert 0 < point["ns"]["low"] <= point["ns"]["value"] <= point["ns"]["high"]
                assert point["ratio"]["value"] > 0 and point["net_ns"] is not None
    text = page.read_text(encoding="utf-8")
    assert "Plotly" in text and "http" not in text.split("<body")[1].split("<script")[0]
    assert all(f'id="{curve.name}"' in text and f'"{curve.name}":' in text for curve in TINY)
    assert scale_report.cli_scale_report(["unified"], 1, False, False, [], False, None, TINY[:1], 1) == 0
    assert "Threads that keep to themselves" in capsys.readouterr().out


def test_points_have_intervals_and_are_less_the_loop() -> None:
    row = Row("r", "random_mixed")

    def cell(name: str, values: list[float]) -> list[Result]:
        return [
            replace(result(), variant=name, label="r", round=index, ns_per_op=value, peak_rss_kib=900)
            for index, value in enumerate(values)
        ]

    rows = cell("libc", [10.0, 20.0, 30.0]) + cell("own", [5.0, 10.0, 15.0]) + cell("null", [1.0, 1.0, 1.0])
    curve = Curve("c", "", "", "", {1: row, 2: Row("never run", "random_mixed")})
    found = scale.points(rows, ["libc", "own", "gone"], curve)
    assert set(found) == {"libc", "own"} and set(found["own"]) == {1}
    own = found["own"][1]
    assert own.ns.value == 10.0 and 5.0 <= own.ns.low < 10.0 < own.ns.high <= 15.0
    assert own.net_ns == 9.0 and own.ratio and own.ratio.value == pytest.approx(0.5)
    assert own.peak_kib == 890
    assert scale.interval([7.0]).low == scale.interval([7.0]).high == 7.0


def test_a_process_that_passes_its_bound_is_ended_and_said() -> None:
    row = Row("much", "burst", {"live": 2_000_000})
    with pytest.raises(bench.RunnerError, match="resident memory passed the bound of 64 MiB"):
        scale.measure(build.runner(), bench.libc(), row, 60_000, 64 << 10)


def test_a_command_within_its_bound_ends_as_by_itself() -> None:
    def code(text: str) -> int:
        command = [sys.executable, "-I", "-S", str(scale._BOUNDED), str(1 << 20), sys.executable, "-c", text]
        return subprocess.run(command, check=False, capture_output=True).returncode

    assert code("raise SystemExit(7)") == 7
    assert code("import os; os.abort()") == -6


def test_the_bound_is_never_more_than_what_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 0 < scale.bound_kib() <= scale.BOUND_KIB
    monkeypatch.setattr(scale, "BOUND_KIB", 1 << 10)
    assert scale.bound_kib() == 1 << 10
