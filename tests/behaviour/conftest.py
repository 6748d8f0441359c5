"""The behaviour suite: what every variant must do, asked of one built variant after the other.

``pytest tests/behaviour --variant NAME`` asks the variant of that name (a kept one, a ``.toml`` file or the
folder of a built one) in this process; the option may be repeated. Without it every kept variant and every
variant of the sweep `covering` is asked, each in a process of its own (test_every_variant.py), so that one
that crashes or hangs fails by name and the others go on.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis.configuration import set_hypothesis_home_dir

from hakmem import build as builds
from hakmem.build import Built
from hakmem.load import Engine, load
from system_thread import SystemThread

SUITE = Path(__file__).resolve().parent
EVERY_VARIANT = "test_every_variant.py"
OUT = ("slabs_in_use", "slab_blocks_out", "medium_runs", "large_blocks")
"""The statistics that are 0 when every block has been freed and every cache emptied."""


def _named(config: pytest.Config) -> list[str]:
    return list(config.getoption("--variant", default=None) or [])


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("hakmem").addoption(
        "--variant",
        action="append",
        metavar="NAME",
        help="ask this variant, in this process: a kept variant, a .toml file or the folder of a built one",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "guard(option, small=False): only over variants whose guard has this option on, and small blocks",
    )
    # Hypothesis keeps files under the current folder unless told otherwise; an installed suite is read-only.
    set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "hakmem-hypothesis")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if collection_path.parent != SUITE or not collection_path.name.startswith("test_"):
        return None
    return True if (collection_path.name == EVERY_VARIANT) == bool(_named(config)) else None


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "variant" in metafunc.fixturenames:
        names = _named(metafunc.config) or builds.variant_names()
        metafunc.parametrize("variant", names, ids=[Path(name).name for name in names], scope="session")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what a variant does not offer: reports of misuse, a malloc library."""
    out = [item for item in items if isinstance(item, pytest.Function) and not _offers(item)]
    if out:
        config.hook.pytest_deselected(items=out)
        items[:] = [item for item in items if item not in out]


def _offers(item: pytest.Function) -> bool:
    name = getattr(item, "callspec", None) and item.callspec.params.get("variant")
    if not name:
        return True
    folder = Path(str(name))
    chosen = builds.at(folder).variant if (folder / "policy.json").is_file() else builds.variant(str(name))
    guard = chosen.policies["guard"]
    guarded = guard.kind != "none"
    asked = item.get_closest_marker("guard")
    return (
        (guarded or "guarded" not in item.fixturenames)
        and (chosen.interposable or "library" not in item.fixturenames)
        and (asked is None or bool(dict(guard.options).get(asked.args[0])))
        and not (asked and asked.kwargs.get("small") and chosen.policies["back"].kind == "direct")
    )


@pytest.fixture(scope="session")
def built(variant: str) -> Built:
    """The variant as built."""
    return builds.built_of(variant)


@pytest.fixture(scope="session")
def engine(built: Built) -> Engine:
    """The variant, loaded."""
    return load(built)


@pytest.fixture(scope="session")
def guarded(engine: Engine) -> Engine:
    """The variant, loaded; tests that ask for it run only over variants that report misuse."""
    return engine


@pytest.fixture(scope="session")
def library(built: Built) -> Path:
    """The variant's malloc library; tests that ask for it run only over variants that have one."""
    return built.library


@pytest.fixture(scope="session")
def direct(engine: Engine) -> bool:
    """Whether every block has its own mapping, without size classes, slabs or runs."""
    return bool(engine.policy_set()["back"]["kind"] == "direct")


@pytest.fixture(scope="session")
def classes(engine: Engine) -> list[int]:
    """What a program can use of a block of each size class, in bytes, smallest first."""
    return engine.class_bytes()


@dataclass(frozen=True)
class Ending:
    """How a process ended and what it had printed."""

    code: int | None
    signal: str | None
    out: str
    err: str


Endings = Callable[[Sequence[str]], list[Ending]]


@pytest.fixture(scope="session")
def endings(built: Built) -> Endings:
    """Runs pieces of Python, each in a fresh process that has the variant's module as `engine`."""

    def run(cases: Sequence[str]) -> list[Ending]:
        answer = subprocess.run(
            [sys.executable, "-I", "-S", str(SUITE / "child.py")],
            input=json.dumps({"module": str(built.module), "cases": list(cases)}),
            capture_output=True,
            text=True,
            check=True,
            timeout=120,
        )
        return [
            Ending(
                code=None if row["status"] < 0 else row["status"],
                signal=signal.Signals(-row["status"]).name if row["status"] < 0 else None,
                out=row["out"],
                err=row["err"],
            )
            for row in json.loads(answer.stdout)
        ]

    return run


def _collect_in_every_heap(engine: Engine, heaps: int) -> None:
    """Take over every heap there is, the dead threads' too, and empty it."""
    here = threading.Barrier(heaps + 1)

    def work() -> None:
        engine.free(engine.malloc(16))
        here.wait()
        engine.collect()

    threads = [SystemThread(target=work) for _ in range(heaps)]
    for thread in threads:
        thread.start()
    here.wait()
    for thread in threads:
        thread.join()
    engine.collect()


@pytest.fixture
def nothing_lost(engine: Engine) -> Callable[[], None]:
    """Asserts that no more blocks are out, in a cache or anywhere else, than when the test began.

    The heaps are gone through twice: what the first round sends home is taken in by the second.
    """

    def out() -> dict[str, Any]:
        found = engine.statistics()
        return {key: found[key] for key in OUT}

    def settled(expected: dict[str, Any]) -> dict[str, Any]:
        for _ in range(2):
            _collect_in_every_heap(engine, engine.statistics()["heaps"])
            if out() == expected:
                break
        return out()

    before = dict.fromkeys(OUT, 0)
    if out() != before:
        before = settled(before)

    def check() -> None:
        assert settled(before) == before

    return check
