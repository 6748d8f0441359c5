"""The rules of the house that can be executed: floors, sizes, macros, names, atomics, what is left out."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hakmem import sources, toolchain
from hakmem.axes import AXES

ROOT = sources.root()
CPP = ROOT / "cpp"
CORE = CPP / "hakmem"
HEADERS = sorted(CORE.rglob("*.hpp"))
UNITS = sorted(
    [*(CPP / "src").glob("*.cpp"), *(CPP / "tests").rglob("*.cpp"), *(CPP / "tests").rglob("*.hpp")]
)
EVERYTHING = [*HEADERS, *UNITS]

FLOORS = (
    {"base"},
    {"concepts"},
    {"thread"},
    {"classes", "pages", "remote", "probe", "guard", "front"},
    {"slab"},
    {"owner"},
    {"back"},
    {"engine"},
    {"bench", "containers"},
)
FLOOR = {folder: number for number, floor in enumerate(FLOORS) for folder in floor}

POLICIES = {f"{axis.folder}/{kind.header}" for axis in AXES for kind in axis.kinds}
"""Headers that a generated header may name: they never include each other."""

LONGEST = 400
LONGER = (
    # the one place that binds policies: its paths are read together, from the call tree on top
    "engine/engine.hpp",
)

ALLOWED_SAME_FOLDER_POLICY = {
    "probe/route.hpp": {"probe/counters.hpp"},  # a route is counters and the order of events
}


def name_of(path: Path) -> str:
    return path.relative_to(CORE if path.is_relative_to(CORE) else CPP).as_posix()


def code_of(path: Path) -> str:
    """The text without comments and string literals, line by line as it was."""
    text = re.sub(r'R"json\(.*?\)json"|"(?:\\.|[^"\\\n])*"', '""', path.read_text(encoding="utf-8"))
    text = re.sub(r"/\*.*?\*/", lambda found: "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    return re.sub(r"//[^\n]*", "", text)


def includes(path: Path) -> list[str]:
    return re.findall(r"^#include <hakmem/([\w/]+\.hpp)>", path.read_text(encoding="utf-8"), re.MULTILINE)


def lines_with(path: Path, pattern: str) -> Iterator[str]:
    for number, line in enumerate(code_of(path).splitlines(), 1):
        if re.search(pattern, line):
            yield f"{name_of(path)}:{number}: {line.strip()}"


def test_there_is_a_core_to_look_at() -> None:
    assert len(HEADERS) > 50
    assert {path.parent.name for path in HEADERS} == set(FLOOR)
    assert all((CORE / name).is_file() for name in POLICIES)
    assert all((CORE / name).is_file() for name in [*LONGER, *ALLOWED_SAME_FOLDER_POLICY])


@pytest.mark.parametrize("path", HEADERS, ids=name_of)
def test_a_header_includes_lower_floors_only(path: Path) -> None:
    folder = path.parent.name
    for other in includes(path):
        above = other.partition("/")[0]
        assert (CORE / other).is_file(), f"{name_of(path)} includes {other}, which does not exist"
        assert above == folder or FLOOR[above] < FLOOR[folder], (
            f"{name_of(path)} on floor {FLOOR[folder]} includes {other} on floor {FLOOR[above]}"
        )


def test_no_policy_includes_another_policy_of_its_folder() -> None:
    for name in sorted(POLICIES):
        siblings = {other for other in includes(CORE / name) if other.split("/")[0] == name.split("/")[0]}
        wrong = (siblings & POLICIES) - ALLOWED_SAME_FOLDER_POLICY.get(name, set())
        assert not wrong, f"{name} includes its siblings {sorted(wrong)}"


def test_only_generated_headers_and_tests_name_concrete_policies() -> None:
    for path in [*HEADERS, *(CPP / "src").glob("*.cpp")]:
        if name_of(path) in POLICIES:
            continue
        wrong = {other for other in includes(path) if other in POLICIES}
        assert not wrong, f"{name_of(path)} includes the policies {sorted(wrong)}"


def test_fronts_know_no_slabs() -> None:
    for path in (CORE / "front").glob("*.hpp"):
        found = list(lines_with(path, r"\bslab::|\bback::|\bengine::|\bowner::"))
        assert not found, f"a front meets slabs as template arguments only: {found}"


def test_conditional_compilation_and_macros_stay_in_base() -> None:
    allowed = {
        # how the malloc family is exported, and that a name of it is another's alias
        r"src/variant_malloc\.cpp:\d+: #define HAKMEM_(EXPORT|SAME_AS)\b",
        r"src/variant_malloc\.cpp:\d+: #pragma GCC diagnostic ",
    }
    found = [
        line
        for path in EVERYTHING
        if path.parent != CORE / "base"
        for line in lines_with(path, r"^\s*#\s*(?!include\b|pragma once\b)\w+")
        if not any(re.match(pattern, line) for pattern in allowed)
    ]
    assert not found, found


def test_every_header_is_guarded_once() -> None:
    for path in [path for path in EVERYTHING if path.suffix == ".hpp"]:
        assert path.read_text(encoding="utf-8").count("#pragma once\n") == 1, name_of(path)


@pytest.mark.parametrize("path", EVERYTHING, ids=name_of)
def test_a_file_says_what_it_is_and_stays_short(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    head = 0
    while head < len(lines) and lines[head].startswith("//"):
        head += 1
    assert 1 <= head <= 12, f"{name_of(path)} begins with {head} lines of comment, expected 1 to 12"
    if name_of(path) not in LONGER:
        assert len(lines) <= LONGEST, f"{name_of(path)} has {len(lines)} lines, at most {LONGEST} are allowed"
    assert not [line for line in lines if line != line.rstrip() or "\t" in line], (
        f"{name_of(path)}: stray white space"
    )


def test_longer_files_are_still_longer() -> None:
    for name in LONGER:
        lines = len((CORE / name).read_text(encoding="utf-8").splitlines())
        assert lines > LONGEST, f"{name} has {lines} lines: it needs no exception any more"


def test_files_are_named_for_what_they_hold() -> None:
    vague = re.compile(r"^(utils?|common|misc|helpers?)$")
    roots = [CPP, ROOT / "python", ROOT / "tests", ROOT / "cmake", ROOT / "examples"]
    for path in [path for root in roots for path in root.rglob("*")]:
        assert not vague.match(path.stem), f"{path.relative_to(ROOT)} says nothing of what it holds"
        if path.suffix in {".hpp", ".cpp"}:
            assert re.fullmatch(r"[a-z][a-z0-9_]*", path.stem), f"{path.name} is not in snake_case"


def test_a_header_holds_its_namespace() -> None:
    for path in [path for path in HEADERS if name_of(path) != "base/attributes.hpp"]:
        folder = path.parent.name
        expected = rf"^namespace hakmem(::{folder})? \{{"
        assert re.search(expected, path.read_text(encoding="utf-8"), re.MULTILINE), (
            f"{name_of(path)} does not open namespace hakmem::{folder}"
        )


CORE_ONLY = [path for path in HEADERS if path.parent.name != "bench"]


def test_the_core_stays_clear_of_what_allocates_locks_or_prints() -> None:
    headers = r"functional|iostream|fstream|sstream|mutex|condition_variable|string|memory|vector|map|thread"
    words = r"std::(function|string|cout|cerr|mutex|vector|map|unique_ptr|shared_ptr|thread)\b"
    words += r"|\bprintf\(|\bgetenv\("
    for path in CORE_ONLY:
        found = [*lines_with(path, rf"^#include <({headers})>"), *lines_with(path, words)]
        assert not found, found


def test_only_pages_thread_and_the_last_words_talk_to_the_system() -> None:
    system = r"^#include <(sys/\w+|unistd|pthread|linux/\w+|time|fcntl|signal)\.h>"
    for path in CORE_ONLY:
        if path.parent.name in {"pages", "thread"} or name_of(path) == "base/fatal.hpp":
            continue
        assert not list(lines_with(path, system)), (
            f"{name_of(path)}: calls to the system live in pages/ and thread/"
        )


def _calls(text: str, pattern: str) -> Iterator[tuple[str, str]]:
    """Name and arguments of each call that matches, parentheses balanced."""
    for found in re.finditer(pattern, text):
        depth, end = 1, found.end()
        while depth and end < len(text):
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        yield found[1], text[found.end() : end - 1]


def test_atomics_name_their_order() -> None:
    member = r"\.(load|store|exchange|compare_exchange_weak|compare_exchange_strong|fetch_\w+)\("
    builtin = r"\b(__atomic_(?:load_n|store_n|exchange_n|fetch_\w+|compare_exchange_n))\("
    for path in CORE_ONLY:
        text = code_of(path)
        for name, arguments in _calls(text, member):
            assert "std::memory_order_" in arguments, f"{name_of(path)}: .{name}({arguments}) names no order"
        for name, arguments in _calls(text, builtin):
            assert "__ATOMIC_" in arguments, f"{name_of(path)}: {name}({arguments}) names no order"
        implicit = r"std::atomic<[^;]*>\s+(\w+)"
        for variable in re.findall(implicit, text):
            found = list(lines_with(path, rf"(\+\+|--)\s*{variable}\b|\b{variable}\s*(\+\+|--|[-+|&]?=[^=])"))
            assert not found, f"an atomic changed without naming its order: {found}"


def test_orders_stronger_than_relaxed_say_what_they_pair_with() -> None:
    strong = r"memory_order_(?:acquire|release|acq_rel|seq_cst)|__ATOMIC_(?:ACQUIRE|RELEASE|ACQ_REL|SEQ_CST)"
    for path in CORE_ONLY:
        text = path.read_text(encoding="utf-8")
        if re.search(strong, text):
            assert re.search(r"//.*\bpairs with\b", text), f"{name_of(path)}: say what the order pairs with"


def test_statics_are_constant_initialised() -> None:
    for path in CORE_ONLY:
        found = [
            line
            for line in lines_with(path, r"\b(static inline|inline static|thread_local)\b")
            if "constinit" not in line and "constexpr" not in line and "(" not in line
        ]
        assert not found, found


@pytest.mark.parametrize("folder", sorted(FLOOR))
def test_every_header_compiles_alone(folder: str, tmp_path: Path) -> None:
    compiler = str(toolchain.find_compiler())
    failed = []
    for path in sorted((CORE / folder).glob("*.hpp")):
        command = [compiler, "-std=c++20", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", f"-I{CPP}"]
        source = tmp_path / f"{path.stem}.cpp"
        source.write_text(f"#include <hakmem/{folder}/{path.name}>\n", encoding="utf-8")
        done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            failed.append(f"{folder}/{path.name}: {done.stderr.splitlines()[:3]}")
    assert not failed, failed
