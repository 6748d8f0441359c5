"""What a variant says of itself, from every side."""

from __future__ import annotations

import ctypes
import json
from pathlib import Path

from hakmem.build import Built
from hakmem.load import Engine


def test_nobody_knew_whether_the_fast_path_was_on(engine: Engine, built: Built) -> None:
    """Record, bug 7: a macro defined as 0 was taken for on. What is compiled in is what the file says."""
    assert engine.name == built.name
    assert engine.digest == built.digest
    assert engine.policy_set() == built.variant.policies.as_json()
    statistics = engine.statistics()
    assert (statistics["name"], statistics["digest"]) == (built.name, built.digest)
    header = built.header.read_text(encoding="utf-8")
    text = json.dumps(engine.policy_set(), separators=(",", ":"))
    assert f'R"json({text})json"' in header and f'kDigest[] = "{built.digest}"' in header


def test_the_malloc_library_says_the_same(engine: Engine, library: Path) -> None:
    loaded = ctypes.CDLL(str(library))
    loaded.hakmem_id.restype = loaded.hakmem_policy_set.restype = ctypes.c_char_p
    assert loaded.hakmem_id().decode() == f"{engine.name} {engine.digest}"
    assert json.loads(loaded.hakmem_policy_set()) == engine.policy_set()


def test_class_sizes_are_ascending_and_those_of_the_statistics(engine: Engine, classes: list[int]) -> None:
    sizes = engine.class_bytes()
    assert sizes == sorted(set(sizes)) and classes[0] >= 8
    assert [row["bytes"] for row in engine.statistics()["classes"]] == sizes


def test_statistics_are_whole_before_anything_was_allocated(endings: object, engine: Engine) -> None:
    """Record, bug 13: the start of the statistics was left out together with a debug print."""
    assert callable(endings)
    (ending,) = endings(["print(engine.statistics())"])
    assert ending.code == 0, ending.err
    before = json.loads(ending.out)
    assert before.keys() == engine.statistics().keys()
    assert not any(value for value in before.values() if isinstance(value, int))
    assert all(row["cached"] == 0 for row in before["classes"])
