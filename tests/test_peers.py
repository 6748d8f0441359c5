"""Peers: found or given, asked in a process that they serve, and every fault of a --peer in one line."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import typer.testing

import fake_peer
from hakmem import bench, build, cli, peers
from hakmem.errors import HakmemError
from hakmem.peers import Known, Peer
from hakmem.workloads import Row


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fake_peer.build(tmp_path_factory.mktemp("peer") / "libplain.so")


@pytest.fixture
def none_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "KNOWN", (Known("nosuch", "libnosuch.so.7", "libnosuch7"),))


def call(*arguments: str, code: int = 0) -> typer.testing.Result:
    result = typer.testing.CliRunner().invoke(cli.app, ["peers", *arguments], prog_name="hakmem")
    assert result.exit_code == code, result.output + result.stderr
    return result


def listed(*arguments: str, code: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(call("--json", *arguments, code=code).stdout)
    return found


def test_glibc_is_always_there_and_serves() -> None:
    libc = peers.glibc()
    assert libc.path is None and libc.problem == ""
    assert libc.home and libc.home.is_file() and libc.home.name.startswith("libc")
    assert libc.version and f"glibc {libc.version}" == os.confstr("CS_GNU_LIBC_VERSION")


def test_a_library_is_asked_in_a_process_that_it_serves(plain: Path) -> None:
    peer = peers.asked(Peer("mine", plain))
    assert (peer.home, peer.version, peer.problem) == (plain, "3.14.15", "")
    again = peers.asked(Peer("other", plain))
    assert again.content_hash() == peer.content_hash() != peers.glibc().content_hash()


def test_the_version_is_of_the_library_that_serves_not_of_another(plain: Path, tmp_path: Path) -> None:
    guest = fake_peer.build(tmp_path / "libguest.so", "guest")
    for preload, version in ((guest, peers.glibc().version), (f"{plain}:{guest}", "3.14.15")):
        homes, complaint = peers._ask(str(preload), {})
        assert homes["version"] == version and complaint == ""
    homes, _ = peers._ask(f"{guest}:{plain}", {})
    assert homes["malloc"] == str(plain) and homes["version"] is None


@pytest.mark.parametrize(
    ("kind", "problem"),
    [
        ("unbound", "a process with it ended with exit code 127: .*undefined symbol: nobody_has_this"),
        ("partial", "calloc comes from .*libc.*, not from .*libpartial.so"),
    ],
)
def test_a_library_that_does_not_serve_says_why(tmp_path: Path, kind: str, problem: str) -> None:
    library = fake_peer.build(tmp_path / f"lib{kind}.so", kind)
    peer = peers.asked(Peer("bad", library))
    assert re.search(problem, peer.problem) and peer.version is None


def test_a_file_that_the_loader_refuses_is_named_with_its_complaint(tmp_path: Path) -> None:
    library = tmp_path / "libtext.so"
    library.write_text("not a library")
    peer = peers.asked(Peer("text", library))
    assert peer.problem.startswith("malloc comes from ") and "cannot be preloaded" in peer.problem


def test_a_known_peer_is_found_as_the_loader_finds_it(
    plain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "libfound.so.1").write_bytes(plain.read_bytes())
    known = (Known("found", "libfound.so.1", "libfound1"), Known("nosuch", "libnosuch.so.7", "libnosuch7"))
    monkeypatch.setattr(peers, "KNOWN", known)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    here, missing = peers.found()
    assert [(peer.name, peer.path, peer.version) for peer in here] == [
        ("found", tmp_path / "libfound.so.1", "3.14.15")
    ]
    assert missing == [known[1]]
    assert peers.parse("mine=found,A=1") == Peer("mine", tmp_path / "libfound.so.1", {"A": "1"})


def test_every_known_peer_serves_or_is_named_as_missing() -> None:
    here, missing = peers.found()
    assert sorted([*(peer.name for peer in here), *(known.name for known in missing)]) == [
        "jemalloc", "mimalloc", "tcmalloc"
    ]  # fmt: skip
    for peer in here:
        assert peer.problem == "" and peer.version and peer.path and peer.path.is_file()


def test_a_variants_library_may_be_a_peer_under_another_name() -> None:
    built = build.build_one("unified")
    (peer,) = peers.given([f"yesterday={built.library}"])
    assert peer.problem == "" and peer.version == f"unified {built.digest}"
    row = Row("lifo", "lifo", {"live": 10, "pairs": 1000})
    answer = bench.start_runner(build.runner(), bench.peer(peer), row, extra=["--passes", "1"])
    assert answer["served_share"] == 1.0 and answer["served"]["malloc"] == str(built.library)


def test_the_list_names_what_is_missing_with_its_package(none_known: None, plain: Path) -> None:
    knobs = ["--peer", f"mine={plain},OPTIONS=a:1,b:2", "--peer", "arena1=glibc,MALLOC_ARENA_MAX=1"]
    found = listed(*knobs)
    assert found["missing"] == [{"name": "nosuch", "soname": "libnosuch.so.7", "package": "libnosuch7"}]
    by_name = {peer["name"]: peer for peer in found["peers"]}
    assert list(by_name) == ["glibc", "mine", "arena1"]
    assert by_name["mine"]["environment"] == {"OPTIONS": "a:1,b:2"} and by_name["mine"]["serves"]
    assert by_name["arena1"]["environment"] == {"MALLOC_ARENA_MAX": "1"}
    assert by_name["arena1"]["path"] == by_name["glibc"]["path"]
    text = call(*knobs).stdout
    assert str(plain) in text and "nosuch is not on this machine: apt-get install libnosuch7" in text


def test_one_that_does_not_serve_is_one_line_and_the_others_are_listed(
    none_known: None, tmp_path: Path
) -> None:
    library = fake_peer.build(tmp_path / "libpartial.so", "partial")
    result = call("--peer", f"bad={library}", code=1)
    assert result.stderr.startswith("error: bad: calloc comes from ")
    assert result.stderr.count("\n") == 1 and "glibc" in result.stdout
    assert [peer["serves"] for peer in listed("--peer", f"bad={library}", code=1)["peers"]] == [True, False]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mine", "expected NAME=PATH[,VAR=VALUE...], got 'mine'"),
        ("mine=", "expected NAME=PATH[,VAR=VALUE...], got 'mine='"),
        ("a b=glibc", "expected a name of letters, digits and _.+-, got 'a b'"),
        ("mine#2=glibc", "expected a name of letters, digits and _.+-, got 'mine#2'"),
        ("mine=/no/where.so", "exports malloc, got /no/where.so: No such file"),
        (f"mine={__file__}", "which is not ELF"),
        ("mine=/no/a:b.so", "expected a path without spaces and colons"),
        ("mine=nosuch", "expected nosuch on this machine, got none; apt-get install libnosuch7"),
        ("mine=glibc,MALLOC_ARENA_MAX", "expected VAR=VALUE, got 'MALLOC_ARENA_MAX'"),
        ("mine=glibc,A=1,B", "expected VAR=VALUE, got 'B'"),
        ("mine=glibc,1A=1", "expected VAR=VALUE, got '1A=1'"),
        ("mine=glibc,a:1", "expected VAR=VALUE, got 'a:1'"),
        ("mine=glibc,A=1,A=2", "expected each variable once, got A twice"),
        ("mine=glibc,LD_PRELOAD=x", "expected a variable that does not load a library, got LD_PRELOAD"),
        ("glibc=glibc", "expected a name that no other has, got 'glibc' for the second time"),
        ("nosuch=glibc", "expected a name that no other has, got 'nosuch' for the second time"),
    ],
)
def test_a_fault_is_one_line(none_known: None, text: str, line: str) -> None:
    result = call("--peer", text, code=2)
    assert result.stderr.startswith(f"error: --peer {text}: ") and line in result.stderr
    assert result.stderr.count("\n") == 1 and result.stdout == ""


def test_a_library_without_malloc_and_a_program_are_refused(tmp_path: Path) -> None:
    libc = peers.glibc().home
    assert libc
    maths = next(path for path in libc.parent.glob("libm.so.*"))
    with pytest.raises(HakmemError, match="exports malloc, got .*, which exports none"):
        peers.parse(f"mine={maths}")
    (tmp_path / "object.o").write_bytes(maths.read_bytes()[:16] + b"\1\0" + maths.read_bytes()[18:])
    with pytest.raises(HakmemError, match="which is ELF of another kind"):
        peers.parse(f"mine={tmp_path / 'object.o'}")


def test_a_name_used_twice_is_refused(plain: Path) -> None:
    with pytest.raises(HakmemError, match="got 'mine' for the second time"):
        peers.given([f"mine={plain}", "mine=glibc"])
    with pytest.raises(HakmemError, match="got 'unified' for the second time"):
        peers.given([f"unified={plain}"], ["libc", "unified"])
