"""Picking: gates, narrowing, ties, the answer "nothing beats libc", resuming, and taking the winner away."""

from __future__ import annotations

import dataclasses
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from hakmem import bench, pick, programs, ranking, spec, stats, workloads
from hakmem import build as builds
from hakmem import check as checks
from hakmem.build import BuildFailure, Built
from hakmem.check import CheckResult
from hakmem.errors import HakmemError, UnknownNameError
from hakmem.outcome import FINALIST, NARROWED, REJECTED, Outcome
from hakmem.pick import Plan, Stage
from synthetic import SyntheticRacer

NAMES = ["bypass", "sfc", "sll", "unified", "unified_mask"]
PLAN = Plan(
    budget_s=0,
    heats=(Stage("first heat", "quick", 1, 10, 4), Stage("second heat", "quick", 2, 10, 3)),
    final=Stage("final", "quick", 5, 10, 1),
    least_rounds=4,
)


@pytest.fixture(autouse=True)
def nothing_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Builds and checks answer at once; `unified_header` does not build and `magazine` is not green."""

    def build(variants: Sequence[spec.Variant], **_: object) -> dict[str, Built | BuildFailure]:
        return {
            item.name: BuildFailure(item, "0" * 16, "error: no", "")
            if item.name == "unified_header"
            else Built(item, f"{index:016x}", tmp_path / "built" / item.name)
            for index, item in enumerate(variants)
        }

    def check(built: Built, timeout_s: float, fresh: bool) -> CheckResult:
        green = built.name != "magazine"
        reason = "" if green else "FAILED test_contents_are_kept"
        return CheckResult(built.name, built.digest, green, 40, 1.0, reason, "", "suite")

    monkeypatch.setenv("HAKMEM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(builds, "build", build)
    monkeypatch.setattr(checks, "check", check)


def picked(racer: SyntheticRacer, names: Sequence[str] = NAMES, plan: Plan = PLAN) -> Outcome:
    return pick.pick(names, racer=racer, plan=plan)


def status(outcome: Outcome) -> dict[str, str]:
    return {item.name: item.status for item in outcome.variants}


def reason(outcome: Outcome, name: str) -> str:
    return next(item.reason for item in outcome.variants if item.name == name)


def test_the_fastest_is_named_and_the_slow_are_narrowed_out() -> None:
    racer = SyntheticRacer({"unified": 0.6, "sfc": 0.7, "sll": 0.8, "unified_mask": 0.75, "bypass": 5.0})
    outcome = picked(racer)
    assert outcome.winner == outcome.fastest == "unified"
    assert outcome.tied == ("unified",) and outcome.beats_libc
    assert outcome.verdict.startswith("unified is the fastest policy set here: 1.")
    assert re.search(
        r"; cpython takes 0\.\d\d of libc's time; sqlite3 takes 0\.\d\d of libc's time\.$", outcome.verdict
    )
    assert status(outcome) == {
        "bypass": NARROWED, "sfc": FINALIST, "sll": NARROWED, "unified": FINALIST, "unified_mask": FINALIST
    }  # fmt: skip
    assert "beyond hope" in reason(outcome, "bypass")
    assert reason(outcome, "sll") == "place 4 of 4 in the second heat"
    assert 0 < outcome.noise_floor < 0.03


def test_the_final_ends_when_time_is_up_but_not_before_its_least_rounds() -> None:
    racer = SyntheticRacer({"unified": 0.6})
    outcome = picked(racer, ["unified"])
    assert [rounds for stage, rounds, _ in racer.asked if stage == "final"] == [1, 2, 3, 4]
    assert outcome.plan[-1] == "done: 4 rounds of the final"
    assert {row.cells["unified"].rounds for row in outcome.rows} == {4}


def test_every_stage_races_libc_and_the_final_its_twin_the_null_allocator_and_programs() -> None:
    racer = SyntheticRacer({"unified": 0.6})
    picked(racer, ["unified"])
    fields = {stage: names for stage, _, names in racer.asked}
    assert set(fields["first heat"]) == {"libc", "unified"}
    assert set(fields["final"]) == {"libc", "libc#2", "null", "unified"}
    assert set(fields["programs"]) == {"libc", "libc#2", "unified"}
    programs = [len(names) for stage, _, names in racer.asked if stage == "programs"]
    assert programs[0] == 2, "the programs join in the last heat already"


def test_nothing_beats_libc_is_an_answer() -> None:
    outcome = picked(SyntheticRacer({"unified": 1.3, "sll": 1.2}), ["sll", "unified"])
    assert outcome.winner is None and not outcome.beats_libc
    assert outcome.fastest == "sll"
    assert outcome.verdict.startswith("Nothing beats libc here: the best, sll, takes 1.")


def test_a_lead_within_the_noise_is_a_tie_and_the_simpler_wins() -> None:
    racer = SyntheticRacer({"unified": 0.6, "unified_mask": 0.6}, noise=0.0)
    outcome = picked(racer, ["unified", "unified_mask"])
    assert set(outcome.tied) == {"unified", "unified_mask"}
    assert outcome.winner == "unified"
    assert "unified_mask ties with it and it is the simplest of them" in outcome.verdict


def test_a_variant_that_fails_a_gate_is_not_raced_and_says_why() -> None:
    racer = SyntheticRacer({"unified": 0.6})
    outcome = picked(racer, ["magazine", "unified", "unified_header"])
    assert status(outcome)["magazine"] == status(outcome)["unified_header"] == REJECTED
    assert reason(outcome, "magazine") == "behaviour suite: FAILED test_contents_are_kept"
    assert reason(outcome, "unified_header") == "did not build: error: no"
    assert all("magazine" not in names for _, _, names in racer.asked)
    assert outcome.gates[0].endswith("1 of 3 variants")


def test_memory_beyond_the_budget_rejects_and_names_the_row() -> None:
    racer = SyntheticRacer({"unified": 0.6, "sfc": 0.5}, memories={"sfc": 2.0, "unified": 1.4})
    outcome = picked(racer, ["sfc", "unified"])
    assert status(outcome) == {"sfc": REJECTED, "unified": FINALIST}
    assert reason(outcome, "sfc").startswith("memory: ") and ", allowed " in reason(outcome, "sfc")
    assert outcome.winner == "unified"


def test_two_mib_above_libc_are_always_allowed() -> None:
    small = dataclasses.replace(SyntheticRacer()._result("libc", "app", "app", 0, {}), peak_rss_kib=1000)
    cells = stats.cells([small, dataclasses.replace(small, variant="unified", peak_rss_kib=3500)])
    assert pick.memory_problem(cells, "unified", 1.5) == ""
    cells = stats.cells([small, dataclasses.replace(small, variant="unified", peak_rss_kib=3600)])
    assert pick.memory_problem(cells, "unified", 1.5) == (
        "memory: app peaks at 3.5 MiB, libc at 1.0, allowed 3.5"
    )


@pytest.mark.parametrize("stage", ["first heat", "final"])
def test_a_variant_that_crashes_leaves_and_the_others_go_on(stage: str) -> None:
    racer = SyntheticRacer({"unified": 0.6, "sfc": 0.5}, crashes={"sfc": stage})
    outcome = picked(racer, ["sfc", "unified"])
    assert status(outcome)["sfc"] == REJECTED
    assert reason(outcome, "sfc") == f"{stage}: app: ended by SIGSEGV"
    assert outcome.winner == "unified"
    finals = {tuple(names) for asked, _, names in racer.asked if asked == "final"}
    assert len(finals) == 1, "the field of the final stays the same, so that its rounds are one run"


def test_libc_that_fails_stops_the_pick() -> None:
    with pytest.raises(HakmemError, match="libc could not be measured: app: ended by SIGSEGV"):
        picked(SyntheticRacer(crashes={"libc": "first heat"}))


def test_when_every_variant_is_rejected_libc_stays() -> None:
    outcome = picked(SyntheticRacer(), ["magazine"])
    assert outcome.winner is None and outcome.rows == ()
    assert outcome.verdict == "No variant passed the final: 1 were rejected by a gate, so libc stays."


def test_simplicity_counts_fronts_then_axes_then_options() -> None:
    names = ["sll", "unified", "unified_mask", "unified_fixed", "stack", "minimal_front", "bypass"]
    order = sorted(map(builds.variant, names), key=ranking.simplicity)
    assert order[0].name == "bypass"
    assert [item.name for item in order].index("unified") < [item.name for item in order].index(
        "unified_mask"
    )
    assert {order[-1].name, order[-2].name} == {"stack", "minimal_front"}


def test_an_unknown_suite_or_variant_is_one_line_before_anything_runs() -> None:
    with pytest.raises(UnknownNameError, match="suite 'quik' is not known; did you mean quick"):
        pick.pick(["unified"], suite="quik", programs=False)
    with pytest.raises(UnknownNameError, match="variant 'unifed' is not known"):
        pick.pick(["unifed"])


def test_the_plan_is_told_first() -> None:
    told: list[str] = []
    pick.pick(["unified"], racer=SyntheticRacer({"unified": 0.6}), plan=PLAN, announce=told.extend)
    assert told[0].startswith("build 1 variants and run the behaviour suite")
    assert any("libc again and the null allocator" in line for line in told)


@pytest.mark.parametrize("quick", [False, True])
def test_both_plans_name_suites_that_exist(quick: bool) -> None:
    plan = pick.plan_for(quick, "default")
    for stage in (*plan.heats, plan.final):
        assert workloads.suite(stage.suite)
    assert plan.final.min_ms >= 200, "what is ranked is timed for 200 ms or more"
    assert plan.budget_s <= (300 if quick else 1200)


# ----------------------------------------------------------------------------------------------------
# Peers

PEERS = [bench.Contestant(name, None, {"KNOB": name}, kind="peer") for name in ("je", "mi")]


def test_peers_race_in_the_final_for_reference_and_cannot_win() -> None:
    racer = SyntheticRacer({"unified": 0.6, "mi": 0.4, "je": 0.8})
    outcome = pick.pick(["unified"], racer=racer, plan=PLAN, peers=PEERS)
    fields = {stage: names for stage, _, names in racer.asked}
    assert set(fields["first heat"]) == {"libc", "unified"}
    assert set(fields["final"]) == {"libc", "libc#2", "je", "mi", "null", "unified"}
    assert set(fields["programs"]) == {"libc", "libc#2", "je", "mi", "unified"}
    assert outcome.winner == "unified" and [item.name for item in outcome.variants] == ["unified"]
    assert outcome.peers == ["mi", "je"] and set(outcome.reference) == {"libc#2", "je", "mi"}
    assert all({"je", "mi"} <= set(row.cells) for row in outcome.rows)
    assert re.search(r"; the best peer, mi, takes 0\.\d+ of libc's time \(.*\)\.$", outcome.verdict)
    assert any("with the peers je, mi, on the rows" in line for line in outcome.plan)


def test_a_peer_that_fails_leaves_and_the_others_go_on() -> None:
    racer = SyntheticRacer({"unified": 0.6, "mi": 0.4}, crashes={"mi": "final"})
    outcome = pick.pick(["unified"], racer=racer, plan=PLAN, peers=PEERS)
    assert outcome.winner == "unified" and outcome.peers == ["je"]
    assert outcome.peer_failures == {"mi": "final: app: ended by SIGSEGV"}
    assert all("mi" not in row.cells for row in outcome.rows)
    assert len({tuple(names) for stage, _, names in racer.asked if stage == "final"}) == 1


def test_a_program_that_a_peer_does_not_serve_drops_the_peer_only(monkeypatch: pytest.MonkeyPatch) -> None:
    knobs: list[object] = []

    def run(
        program: programs.Program, preload: Path | None = None, environment: object = None, cpu: int = 0
    ) -> programs.ProgramRun:
        knobs.append(environment)
        if environment == {"KNOB": "je"}:
            raise programs.NotServedError("cpython: is not mapped")
        return programs.ProgramRun(0.5, 0.4, 0.1, 20000, 10, 0, "1\ndone\n", program.name, (), 9000)

    monkeypatch.setattr(programs, "run", run)
    with bench.default_store() as store:
        journal = pick._Journal.open(PLAN, {}, 42, fresh=False)
        racer = pick.BenchRacer(store, [programs.cpython()], 42, journal, lambda *_: None, PEERS)
        race = racer.programs(2, {"libc": None, "je": None, "mi": None})
    assert race.failures == {"je": "cpython: cpython: is not mapped"}
    assert sorted(result.variant for result in race.results) == ["libc", "libc", "mi", "mi"]
    assert {"KNOB": "mi"} in knobs and {result.kind for result in race.results} == {"libc", "peer"}


# ----------------------------------------------------------------------------------------------------
# Resuming


def test_an_interrupted_pick_is_gone_on_with_and_a_finished_one_is_not() -> None:
    built = {"unified": Built(builds.variant("unified"), "1" * 16, Path("nowhere"))}
    first = pick._Journal.open(PLAN, built, 42, fresh=False)
    assert first.is_new("final") and not first.is_new("final")
    again = pick._Journal.open(PLAN, built, 42, fresh=False)
    assert not again.is_new("final"), "interrupted: its rows are used"
    assert pick._Journal.open(PLAN, built, 42, fresh=True).is_new("final")
    assert pick._Journal.open(PLAN, built, 43, fresh=False).is_new("final")
    again.finish()
    assert pick._Journal.open(PLAN, built, 42, fresh=False).is_new("final")


def test_programs_already_run_are_not_run_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def run(program: programs.Program, preload: Path | None = None, **_: object) -> programs.ProgramRun:
        ran.append(program.name)
        return programs.ProgramRun(0.5, 0.4, 0.1, 20000, 10, 0, "1\ndone\n", program.name, (), 9000)

    monkeypatch.setattr(programs, "run", run)
    with bench.default_store() as store:
        for rounds, expected in ((2, 1 + 2 * 2), (3, 1 + 2)):
            journal = pick._Journal.open(PLAN, {}, 42, fresh=False)
            racer = pick.BenchRacer(store, [programs.cpython()], 42, journal, lambda *_: None)
            race = racer.programs(rounds, {"libc": None, "libc#2": None})
            assert len(race.results) == 2 * rounds
            assert len(ran) == expected, "the reference run, and only what is missing"
            ran.clear()
    assert {result.variant for result in race.results} == {"libc", "libc#2"}
    assert race.results[0].ns_per_op == pytest.approx(5e8)


def test_a_program_that_answers_otherwise_drops_its_variant_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(program: programs.Program, preload: Path | None = None, **_: object) -> programs.ProgramRun:
        output = "2\ndone\n" if preload else "1\ndone\n"
        return programs.ProgramRun(0.5, 0.4, 0.1, 20000, 10, 0, output, program.name, (), 9000)

    monkeypatch.setattr(programs, "run", run)
    with bench.default_store() as store:
        racer = pick.BenchRacer(
            store, [programs.cpython()], 42, pick._Journal.open(PLAN, {}, 42, False), lambda *_: None
        )
        built = Built(builds.variant("unified"), "1" * 16, tmp_path)
        race = racer.programs(2, {"libc": None, "unified": built})
    assert len(race.results) == 2
    assert "line 1 of its output differs from libc's" in race.failures["unified"]


# ----------------------------------------------------------------------------------------------------
# Taking away


def _artefacts(folder: Path) -> Built:
    folder.mkdir(parents=True)
    for name in ("libhakmem_unified.so", "hakmem_variant.hpp", "variant.toml", "policy.json"):
        (folder / name).write_text(name)
    return Built(builds.variant("unified"), "1" * 16, folder)


def test_the_winner_is_copied_whole(tmp_path: Path) -> None:
    written = pick.take_away(_artefacts(tmp_path / "built"), tmp_path / "deep" / "winner")
    assert sorted(path.name for path in written) == [
        "hakmem_variant.hpp", "libhakmem_unified.so", "policy.json", "unified.toml"
    ]  # fmt: skip
    assert all(path.is_file() for path in written)


def test_a_folder_that_is_not_empty_or_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    with pytest.raises(HakmemError, match="expected a new or empty folder, got one that is not empty"):
        pick.check_out_folder(tmp_path / "full")
    (tmp_path / "file").write_text("")
    with pytest.raises(HakmemError, match="expected a new or empty folder, got a file"):
        pick.check_out_folder(tmp_path / "file")
    pick.check_out_folder(tmp_path / "new" / "folder")


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(HakmemError, match=r"expected a folder that can be written, got .* which is not"):
        pick.check_out_folder(tmp_path / "new")


def test_the_command_writes_the_page_the_json_and_the_winner(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = picked(SyntheticRacer({"unified": 0.6}), ["unified"])
    monkeypatch.setattr(pick, "pick", lambda *_, **__: outcome)
    monkeypatch.setattr(builds, "build_one", lambda name: _artefacts(tmp_path / "built" / str(name)))
    page = tmp_path / "page.html"
    assert pick.cli_pick(["unified"], out=tmp_path / "winner", html=page, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["winner"] == "unified"
    assert json.loads(page.with_suffix(".json").read_text())["verdict"] == outcome.verdict
    assert page.read_text().startswith("<!doctype html>")
    assert (tmp_path / "winner" / "libhakmem_unified.so").is_file()


def test_the_command_takes_peers_and_names_one_that_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    racer = SyntheticRacer({"unified": 0.6}, crashes={"bad": "final"})
    real = pick.pick
    monkeypatch.setattr(
        pick, "pick", lambda names, **options: real(names, racer=racer, plan=PLAN, peers=options["peers"])
    )
    given = ["bad=glibc,A=1", "good=glibc,MALLOC_ARENA_MAX=1"]
    assert pick.cli_pick(["unified"], html=tmp_path / "page.html", peers=given) == 0
    told = capsys.readouterr()
    assert "error: peer bad left the race: final: app: ended by SIGSEGV" in told.err
    assert re.search(r"^ ?good +peer +", told.out, re.MULTILINE)
    with pytest.raises(HakmemError, match="got 'unified' for the second time"):
        pick.cli_pick(["unified"], peers=["unified=glibc"])


def test_ctrl_c_says_that_nothing_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setattr(pick, "pick", interrupted)
    with pytest.raises(SystemExit, match="130"):
        pick.cli_pick(["unified"], html=tmp_path / "page.html")
    assert "what was measured is kept" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()
