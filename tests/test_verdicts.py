"""Several hosts' verdicts side by side: who agrees with whom, what is refused, no figures mixed."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import typer.testing

from hakmem import build, cli, verdicts
from hakmem.tuned import TuneResult
from test_report import _Links, figures
from test_tune_report import result as _result
from test_verdict import decided, measured

result = _result
Keep = Callable[..., Path]


@pytest.fixture
def keep(result: TuneResult, tmp_path: Path) -> Keep:
    """Writes what a tune prints on a host where contestants take these times of libc's."""

    def host(name: str, times: Mapping[str, float], seed: int = 2, **changes: Any) -> Path:
        results = measured(times, seed, noise=0.005)
        found = dataclasses.replace(
            result,
            verdict=decided(results, *times),
            results=tuple(results),
            sets={one: build.variant(one).policies.as_json() for one in times},
            machine={"processor": f"processor {name} x8", "kernel": "Linux 6", "C library": "glibc 2.36"},
            **changes,
        )
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(found.to_dict()), encoding="utf-8")
        return path

    return host


def invoked(*words: object) -> Any:
    return typer.testing.CliRunner().invoke(cli.app, ["verdicts", *map(str, words)], prog_name="hakmem")


def said(*paths: Path) -> verdicts.Agreement:
    return verdicts.agreement(verdicts.read_hosts(paths))


def test_hosts_that_name_the_same_set_agree(keep: Keep) -> None:
    found = said(keep("a", {"unified": 0.8}), keep("b", {"unified": 0.5}, seed=4))
    assert found.agreed == ("unified",) and found.sentence == "The 2 hosts agree: each names unified."


def test_hosts_whose_ties_overlap_agree_within_them(keep: Keep) -> None:
    tie, winner = keep("a", {"unified": 0.8, "unified_home": 0.8}), keep("b", {"unified_home": 0.8})
    hosts = verdicts.read_hosts([tie, winner])
    assert [host.verdict.kind for host in hosts] == ["tie", "winner"]
    assert hosts[0].verdict.name == "unified" != hosts[1].verdict.name
    found = verdicts.agreement(hosts)
    assert found.agreed == ("unified_home",)
    assert found.sentence == "The 2 hosts agree within their ties: none tells unified_home from its best."


def test_hosts_that_allow_nothing_in_common_do_not_agree(keep: Keep) -> None:
    paths = [keep("a", {"unified": 0.8}), keep("b", {"unified": 1.3}), keep("c", {"sll": 0.8})]
    found = said(*paths)
    assert found.agreed == ()
    assert found.sentence == (
        f"The 3 hosts do not agree: {paths[0]} allows unified; {paths[1]} allows libc; {paths[2]} allows sll."
    )
    assert said(*paths[1:2]).sentence == "One host alone: there is nothing to agree with."
    both_keep = said(paths[1], keep("d", {"sll": 1.2}))
    assert both_keep.agreed == ("libc",) and "each names libc" in both_keep.sentence


def test_a_set_of_the_same_name_with_other_policies_is_another(keep: Keep) -> None:
    one, other = keep("a", {"unified": 0.8}), keep("b", {"unified": 0.8})
    values = json.loads(other.read_text(encoding="utf-8"))
    values["sets"]["unified"]["owner"] = {"kind": "mask"}
    other.write_text(json.dumps(values), encoding="utf-8")
    found = said(one, other)
    assert found.agreed == () and found.sentence.endswith("Policy sets of one name differ.")


def test_hosts_that_were_asked_differently_say_so(keep: Keep) -> None:
    one = keep("a", {"unified": 0.8})
    other = keep("b", {"unified": 0.8}, question="the program that", max_rss=1.1)
    assert said(one, other).sentence.endswith(
        "They were asked with different questions. They were asked with different memory budgets."
    )


def test_the_table_and_the_json_have_each_hosts_own_figures(keep: Keep) -> None:
    paths = [keep("a", {"unified": 0.8}), keep("b", {"unified": 0.5}, seed=4), keep("c", {"unified": 1.3})]
    kept = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    done = invoked(*paths)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert len(lines) == 5 and lines[-1].startswith("The 3 hosts do not agree: ")
    for path, values, line in zip(paths, kept, lines[1:4], strict=True):
        verdict = values["verdict"]
        for text in (
            str(path),
            f"processor {path.stem} x8, Linux 6, glibc 2.36",
            verdict["name"],
            verdict["sentence"],
            f"{verdict['time']['value']:.3f}",
            f"{100 * verdict['noise_floor']:.1f} %",
            f"{verdict['memory']['value']:.2f}",
        ):
            assert text in line
    found = json.loads(invoked(*paths, "--json").stdout)
    assert [host["verdict"] for host in found["hosts"]] == [values["verdict"] for values in kept]
    assert found["agreement"]["agreed"] == []


def test_the_page_is_whole_loads_nothing_and_has_a_point_for_each_host(keep: Keep, tmp_path: Path) -> None:
    bad = '"><script>alert(1)</script>'
    paths = [keep("a", {"unified": 0.8}), keep("b", {"unified": 0.5}, seed=4, question=bad)]
    assert invoked(*paths, "--html", tmp_path / "hosts.html").exit_code == 0
    page = (tmp_path / "hosts.html").read_text(encoding="utf-8")
    links = _Links()
    links.feed(page)
    assert links.links == ["data:,"] and len(links.ids) == len(set(links.ids))
    assert "<script>alert" not in page and html.escape(bad) in page
    shown = figures(page)
    assert set(shown) == {"hosts"} <= set(links.ids)
    hosts = verdicts.read_hosts(paths)
    points = shown["hosts"]["data"][0]
    assert points["y"] == [str(path) for path in reversed(paths)]
    assert points["x"] == [host.verdict.time.value for host in reversed(hosts) if host.verdict.time]
    for host in hosts:
        assert html.escape(host.verdict.sentence) in page and host.machine["processor"] in page
        assert (
            f"<details><summary>policy set</summary><code>{html.escape(json.dumps(host.policies['unified']))}"
            in (page)
        )


def without(key: str) -> Callable[[dict[str, Any]], object]:
    return lambda values: values.pop(key)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (without("verdict"), "verdict: expected it, got nothing"),
        (without("machine"), "machine: expected it, got nothing"),
        (lambda v: v["machine"].pop("kernel"), "machine.kernel: expected a text"),
        (lambda v: v["verdict"].update(kind="maybe"), "verdict.kind: expected winner, tie or keep libc, got"),
        (
            lambda v: v["verdict"].update(noise_floor=float("nan")),
            "verdict.noise_floor: expected a number, got",
        ),
        (lambda v: v["verdict"].update(tied=["x", "y"]), "verdict.tied: expected a tie with unified in it"),
        (lambda v: v["verdict"].update(tied=[1]), "verdict.tied.0: expected a valid string, got 1"),
        (
            lambda v: v["verdict"]["time"].update(low=True),
            "verdict.time.low: expected a valid number, got true",
        ),
        (lambda v: v["verdict"]["time"].update(low=9), "verdict.time: expected a ratio within its interval"),
        (lambda v: v["verdict"]["time"].pop("high"), "verdict.time.high: expected it, got nothing"),
        (lambda v: v["verdict"].pop("memory"), "verdict.memory: expected it, got nothing"),
        (lambda v: v.update(sets={"unified": 5}), "sets.unified: expected an object, got 5"),
        (lambda v: v.update(standings=[7]), "standings.0: expected an object, got 7"),
        (lambda v: v.update(max_rss="1.5x"), 'max_rss: expected a valid number, got "1.5x"'),
    ],
)
def test_a_file_that_is_no_verdict_is_one_line(
    keep: Keep, spoil: Callable[[dict[str, Any]], object], says: str
) -> None:
    good, path = keep("good", {"unified": 0.8}), keep("spoilt", {"unified": 0.8})
    values = json.loads(path.read_text(encoding="utf-8"))
    spoil(values)
    path.write_text(json.dumps(values), encoding="utf-8")
    done = invoked(good, path)
    assert done.exit_code == 2 and done.stdout == ""
    assert done.stderr.startswith(f"error: {path}: {says}") and done.stderr.count("\n") == 1


def test_files_that_cannot_be_read_or_come_twice_are_one_line(keep: Keep, tmp_path: Path) -> None:
    good = keep("good", {"unified": 0.8})
    text = tmp_path / "text"
    text.write_text("not JSON", encoding="utf-8")
    for words, says in (
        ((good, tmp_path / "none"), "none: cannot be read: No such file"),
        ((text,), "text: expected JSON, got"),
        ((good, tmp_path / "." / good.name), "expected each host's file once, got it twice"),
    ):
        done = invoked(*words)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        assert re.match(r"error: .*" + re.escape(says), done.stderr)
