"""The functions of the package: record, look, replay, as a script would call them, with typed results."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hakmem
from hakmem.errors import HakmemError
from hakmem.replay import Replayed, Standing
from hakmem.stats import Ratio
from hakmem.trace import TraceError
from hakmem.trace_summary import Summary

WORK = "held = [bytearray(5000) for _ in range(300)]; del held[::2]"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A trace of a small program, recorded by the function."""
    path = tmp_path_factory.mktemp("python") / "run.trace"
    done = hakmem.record([sys.executable, "-I", "-S", "-c", WORK], str(path))
    assert (done.code, done.path, done.stopped) == (0, path, None)
    assert done.events == hakmem.trace(path).events
    return str(path)


def test_a_trace_is_summed_up(path: str) -> None:
    found = hakmem.trace(path)
    assert isinstance(found, Summary)
    assert found.sizes[5001] == 300  # a bytearray ends with a zero
    assert found == hakmem.trace(Path(path), process=found.process.number)


def test_a_trace_is_replayed(path: str) -> None:
    seen: list[str] = []
    found = hakmem.replay(path, ["unified"], rounds=2, progress=lambda _done, _all, text: seen.append(text))
    assert isinstance(found, Replayed)
    assert [item.name for item in found.standings] == ["libc", "null", "unified"]
    assert {item.calls for item in found.standings} == {sum(found.calls.values())}
    assert found.failures == () and found.cut is None
    ratio = found.standings[2].ratio
    assert ratio is not None and 0 < ratio.low <= ratio.value <= ratio.high
    assert any("unified" in text for text in seen)


def test_what_cannot_be_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no trace at all")
    for call in (hakmem.trace, hakmem.replay):
        with pytest.raises(TraceError, match=r"text: expected a trace of hakmem record, got another kind"):
            call(tmp_path / "text")
    with pytest.raises(HakmemError, match="expected a program in PATH or a path, got 'nonesuch'"):
        hakmem.record(["nonesuch"], tmp_path / "run.trace")


def test_modules_and_functions_agree_whichever_is_imported_first() -> None:
    code = (
        "import sys, hakmem\n"
        "for name in ('frame', 'load', 'record', 'replay', 'trace', 'verify'):\n"
        "    door = getattr(hakmem, name)\n"
        "    assert callable(door) and door is sys.modules['hakmem.' + name], name\n"
        "    assert callable(getattr(door, name)), name\n"
    )
    for first in ("", "from hakmem import cli\n", "from hakmem.record import Recording\n"):
        subprocess.run([sys.executable, "-c", first + code], check=True)


RECORDS = [
    Standing("libc", "libc", 2, 1.0, 10.0, 0.0, None, 100.0, 5),
    Standing("unified", "variant", 2, 0.8, 8.0, 0.0, Ratio(0.8, 0.7, 0.9), 90.0, 5),
]


def test_records_become_a_data_frame() -> None:
    found = hakmem.frame(RECORDS)
    assert list(found["name"]) == ["libc", "unified"]
    assert list(found["seconds"]) == [1.0, 0.8]
    assert found["ratio.low"][1] == 0.7
    with pytest.raises(HakmemError, match="expected records that are dataclasses, got int"):
        hakmem.frame([1])


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(HakmemError, match="a data frame needs the package pandas: pip install pandas"):
        hakmem.frame(RECORDS)
