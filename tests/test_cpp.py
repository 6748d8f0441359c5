"""The C++ side: its tests under the sanitizers, and what must not compile.

The sanitized builds here hold every unit test and a few pairs of front and remote; the nox sessions asan,
tsan and ubsan stress every legal pair.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cmake
import ninja
import pytest

from hakmem import axes, sources, spec, toolchain
from hakmem.axes import AXES, ILLEGAL_PAIRS, IllegalPair
from hakmem.spec import PolicySet, Variant

ROOT = sources.root()
CPP = ROOT / "cpp"
CMAKE = Path(cmake.CMAKE_BIN_DIR)

PAIRS = {
    "address,undefined": ["sharded__return_home", "stack__adopt", "sll__none"],
    "thread": ["unified__adopt", "stack__return_home", "ultra_sll__none"],
}
"""Sanitizers, and the pairs stressed under them here. Together they hold every remote policy."""


def units(sanitizers: str) -> set[str]:
    """The unit tests that a sanitizer can say something about: for threads, those that start some."""
    paths = (CPP / "tests").glob("*_test.cpp")
    return {path.stem for path in paths if sanitizers != "thread" or "std::thread" in path.read_text()}


def run(command: list[str]) -> str:
    """The output of a command that must succeed; its last lines are the failure's message."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n" + "\n".join(done.stdout.splitlines()[-60:])
    return done.stdout


@pytest.mark.parametrize("sanitizers", list(PAIRS))
def test_the_cpp_tests_pass_under(sanitizers: str, tmp_path: Path) -> None:
    build = tmp_path / "build"
    configure = {
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_COMPILER": str(toolchain.find_compiler()),
        "CMAKE_MAKE_PROGRAM": str(Path(ninja.BIN_DIR) / "ninja"),
        "HAKMEM_PYTHON": sys.executable,
        "HAKMEM_PYTHON_MODULE": "OFF",
        "HAKMEM_RUNNER": "OFF",
        "HAKMEM_VARIANTS": "",
        "HAKMEM_TESTS": "ON",
        "HAKMEM_SANITIZE": sanitizers,
        "HAKMEM_STRESS": ";".join(PAIRS[sanitizers]),
    }
    run([str(CMAKE / "cmake"), "-S", str(ROOT), "-B", str(build), "-G", "Ninja"]
        + [f"-D{key}={value}" for key, value in configure.items()])  # fmt: skip
    programs = units(sanitizers) | {
        f"{kind}_{pair}" for kind in ("stress", "fuzz") for pair in PAIRS[sanitizers]
    }
    wanted = programs | {f"faults_{pair}" for pair in PAIRS[sanitizers] if sanitizers != "thread"}
    run([str(CMAKE / "cmake"), "--build", str(build), "-j", "1", "--target", *sorted(programs)])
    only = ["--tests-regex", f"^({'|'.join(sorted(wanted))})$"]
    output = run([str(CMAKE / "ctest"), "--test-dir", str(build), "--output-on-failure", *only])
    assert set(re.findall(r"Test +#\d+: (\w+) \.*", output)) == wanted
    shutil.rmtree(build)


def test_every_legal_pair_of_front_and_remote_is_stressed() -> None:
    script = CPP / "tests" / "stress_variants.py"
    sys.path.insert(0, str(script.parent))
    try:
        import stress_variants  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(script.parent))
    variants: dict[str, Variant] = stress_variants.pairs()
    fronts = {policy.kind for variant in variants.values() for policy in variant.policies["front"].walk()}
    assert fronts == {kind.name for kind in axes.AXIS["front"].kinds}
    labels = {name.rpartition("__")[0] for name in variants}
    remotes = {kind.name for kind in axes.AXIS["remote"].kinds}
    illegal = {(label, "adopt") for label in ("sharded", "ultra_sll")}
    assert set(variants) == {
        f"{label}__{remote}" for label in labels for remote in remotes if (label, remote) not in illegal
    }
    for axis in ("owner", "store", "thread", "guard", "probe"):
        kinds = {variant.policies[axis].kind for variant in variants.values()}
        assert kinds == {kind.name for kind in axes.AXIS[axis].kinds}, f"{axis}: the pairs hold {kinds} only"
    pages = [variant.policies["pages"] for variant in variants.values()]
    assert {policy["purge"] for policy in pages} == {"decay", "eager", "never"}
    assert {policy["superslab_kib"] for policy in pages} == {256, 1024}
    assert {pair for pairs in PAIRS.values() for pair in pairs} <= set(variants)


CONCEPTS = sorted(path.stem for path in (CPP / "hakmem" / "concepts").glob("*.hpp"))


@pytest.mark.parametrize("concept", CONCEPTS)
def test_a_concept_accepts_its_archetype_and_rejects_every_broken_twin(concept: str) -> None:
    source = CPP / "tests" / "concepts" / f"{concept}.cpp"
    assert source.is_file(), f"{concept} has no archetype and no twins"
    name = "".join(part.capitalize() for part in concept.split("_"))
    text = source.read_text()
    assert f"static_assert({name}<" in text
    header = (CPP / "hakmem" / "concepts" / f"{concept}.hpp").read_text()
    clauses = re.search(rf"concept {name} = (.*?)\n\}};|concept {name} = (.*?);\n", header, re.DOTALL)
    assert clauses, f"{concept}.hpp does not define {name}"
    wanted = len(re.findall(r"^  (?:\{|requires|typename)", clauses[0], re.MULTILINE))
    twins = len(re.findall(rf"static_assert\(!{name}<", text))
    assert twins >= wanted, f"{wanted} clauses of {name}, {twins} twins"
    run(
        [
            str(toolchain.find_compiler()),
            "-std=c++20",
            "-fsyntax-only",
            "-Wall",
            "-Wextra",
            f"-I{CPP}",
            str(source),
        ]
    )


# ----------------------------------------------------------------------------------------------------
# What must not compile: Python refuses it first; C++ refuses it by itself, naming the fault


def header_of(**chosen: object) -> str:
    """The generated header of axis values that Python's checks of combinations did not see."""
    table = {axis.name: axis.default for axis in AXES} | {"front": "unified"} | chosen
    policies = [(axis.name, spec.read_policy(axis, table[axis.name], "test", axis.name)) for axis in AXES]
    variant = Variant("broken", "to be refused", PolicySet(tuple(policies)))
    return spec.header_text(variant, "0" * 16)


def complaints(header: str, folder: Path) -> list[str]:
    """The compiler's errors about an engine of this header."""
    (folder / "hakmem_variant.hpp").write_text(header, encoding="utf-8")
    source = folder / "engine.cpp"
    source.write_text(
        "#include <hakmem_variant.hpp>\n#include <hakmem/engine/engine.hpp>\n"
        "static_assert(sizeof(hakmem::engine::Engine<hakmem::Variant>) != 0);\n"
        "void* (*use)(std::size_t) noexcept = hakmem::engine::Engine<hakmem::Variant>::malloc;\n",
        encoding="utf-8",
    )
    command = [str(toolchain.find_compiler()), "-std=c++20", "-fsyntax-only", f"-I{CPP}", f"-I{folder}"]
    done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
    errors = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert (done.returncode == 0) == (not errors), done.stderr
    return errors


EXAMPLES: dict[tuple[str, str], dict[str, object]] = {
    ("sharded", "adopt"): {"front": "sharded"},
    ("sharded", "bitmap"): {"front": "sharded", "remote": "return_home", "store": "bitmap"},
    ("ultra_sll, anywhere in the front", "adopt"): {
        "front": {"kind": "stack", "first": "ultra_sll", "second": "sll"}
    },
    ("anything but bypass", "direct"): {"back": "direct", "front": "sll"},
    ("anything but adopt", "direct"): {"back": "direct", "front": "bypass", "remote": "return_home"},
    ("mmap_thp", "direct"): {"back": "direct", "front": "bypass", "pages": "mmap_thp"},
    ("pow2 with smallest = 8", "header"): {"classes": {"kind": "pow2", "smallest": 8}, "owner": "header"},
    ("header", "direct"): {"back": "direct", "front": "bypass", "owner": "header"},
    ("geometric4, fitted or pow2 with largest > superslab_kib * 128", "that superslab_kib"): {
        "classes": {"kind": "geometric4", "largest": 16384},
        "pages": {"kind": "mmap", "superslab_kib": 64},
    },
    ("anything but adopt", "per_cpu"): {"remote": "none", "thread": "per_cpu"},
    ("route", "per_cpu"): {"probe": "route", "thread": "per_cpu"},
    ("none", "pthread_key"): {"remote": "none", "thread": "pthread_key"},
}


def test_every_illegal_pair_has_an_example() -> None:
    assert set(EXAMPLES) == {(pair.left, pair.right) for pair in ILLEGAL_PAIRS}


@pytest.mark.parametrize(
    "pair", ILLEGAL_PAIRS, ids=lambda pair: f"{pair.axes[0]}-{pair.axes[1]}-{pair.right}"
)
def test_cpp_refuses_an_illegal_pair_for_the_reason_that_python_gives(
    pair: IllegalPair, tmp_path: Path
) -> None:
    errors = complaints(header_of(**EXAMPLES[pair.left, pair.right]), tmp_path)
    named = [line for line in errors if "static assertion failed: " in line and pair.reason in line]
    assert len(named) == 1, errors
    assert re.search(r"static assertion failed: (Engine|SlabPool): ", named[0])


FRONTS = {
    "HotMag<>": "hot_mag covers only the smallest classes",
    "Split<SplitOptions{.at = 5}, HotMag<>, Sll<>>": "Split: low must cover classes 1 .. at",
    "Split<SplitOptions{}, Sll<>, HotMag<>>": "Split: high must cover every class",
    "Stack<StackOptions{}, Sll<>, HotMag<>>": "Stack: second must cover every class",
}


@pytest.mark.parametrize(("front", "message"), FRONTS.items(), ids=["alone", "low", "high", "second"])
def test_cpp_refuses_a_front_that_does_not_cover_every_class(
    front: str, message: str, tmp_path: Path
) -> None:
    front = re.sub(r"\b(?=[A-Z])", "front::", front)
    header = re.sub(r"  using Front = .*;", f"  using Front = {front};", header_of())
    errors = complaints("\n".join([*headers_of("front"), header]), tmp_path)
    assert any("static assertion failed: " in line and message in line for line in errors), errors


BROKEN_OPTIONS: dict[str, str] = {
    "front::Sll<front::SllOptions{.cap = 8}>": "Sll: cap must be 16 .. 4096",
    "front::Sll<front::SllOptions{.cap = 16, .refill = 17}>": "Sll: refill must be",
    "front::UltraSll<front::UltraSllOptions{.refill = 0}>": "UltraSll: refill must be 1 .. 256",
    "front::Sfc<front::SfcOptions{.cap = 512}>": "Sfc: cap must be 16 .. 256",
    "front::Sfc<front::SfcOptions{.spill_percent = 101}>": "Sfc: spill_percent must be 50 .. 100",
    "front::HotMag<front::HotMagOptions{.slots = 4}>": "HotMag: slots must be 8 .. 1024",
    "front::HotMag<front::HotMagOptions{.classes = 9}>": "HotMag: classes must be 1 .. 8",
    "front::Magazine<front::MagazineOptions{.slots = 16, .refill = 32}>": "Magazine: refill must be",
    "front::Unified<front::UnifiedOptions{.refill = 65}>": "Unified: refill must be 1 .. 64",
    "front::Unified<front::UnifiedOptions{.capacity = {1, 2, 2, 2, 2, 2, 2, 2}}>": "Unified: every capacity",
    "front::Split<front::SplitOptions{.at = 17}, front::Sll<>, front::Sll<>>": "Split: at must be 1 .. 16",
    "front::Stack<front::StackOptions{.cascade = 65}, front::Sll<>, front::Sll<>>": "Stack: cascade must be",
    "classes::Fitted<classes::FittedOptions{.sizes = {32, 16}}>": "Fitted: sizes must be ascending",
    "classes::Fitted<classes::FittedOptions{.sizes = {24}}>": "Fitted: sizes must be ascending",
    "classes::Fitted<classes::FittedOptions{.sizes = {16, 0, 32}}>": "Fitted: sizes must be ascending",
    "classes::Geometric4<classes::Geometric4Options{.largest = 3000}>": "Geometric4: largest must be",
    "classes::Linear16<classes::Linear16Options{.largest = 4096}>": "Linear16: largest must be",
    "classes::Pow2<classes::Pow2Options{.smallest = 32}>": "Pow2: smallest must be 8 or 16",
    "remote::ReturnHome<remote::ReturnHomeOptions{.batch = 257}>": "ReturnHome: batch must be 1 .. 256",
    "pages::Mmap<pages::MmapOptions{.superslab_kib = 96}>": "Mmap: an option is out of its range",
    "pages::MmapThp<pages::MmapThpOptions{.reserve_gib = 3}>": "MmapThp: an option is out of its range",
}


def headers_of(folder: str) -> Iterator[str]:
    axis = next(axis for axis in AXES if axis.folder == folder)
    return (f"#include <hakmem/{folder}/{kind.header}>" for kind in axis.kinds)


def test_every_option_out_of_range_is_refused_with_a_message_that_names_the_policy(tmp_path: Path) -> None:
    lines = [line for folder in ("front", "classes", "remote", "pages") for line in headers_of(folder)]
    lines.append("namespace hakmem {")
    for number, broken in enumerate(BROKEN_OPTIONS):
        # a size-class map is known by its size, a policy by its options
        lines.append(f"inline constexpr auto size_{number} = sizeof({broken});")
    source = tmp_path / "options.cpp"
    source.write_text("\n".join([*lines, "}", ""]), encoding="utf-8")
    command = [str(toolchain.find_compiler()), "-std=c++20", "-fsyntax-only", f"-I{CPP}", str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    for broken, message in BROKEN_OPTIONS.items():
        assert f"static assertion failed: {message}" in done.stderr, f"{broken}: {done.stderr[-2000:]}"


def test_a_policy_that_breaks_its_concept_is_refused_by_name(tmp_path: Path) -> None:
    good = header_of()
    broken = {
        "Front": (
            "struct Broken { template <class, class> struct Type { void open() noexcept {} }; };",
            "FrontPolicy",
        ),
        "Classes": (
            "struct Broken : classes::Geometric4<> { static base::ClassIndex class_of(std::size_t); };",
            "SizeClassMap",
        ),
        "Store": (
            "struct Broken { template <class L, std::size_t> struct Type : slab::Freelist::Type<L> "
            "{ int take(const slab::Geometry&); }; };",
            "SlabStore",
        ),
        "Probe": ("struct Broken : probe::None { int wasted; };", "Probe"),
    }
    assert complaints(good, tmp_path) == []
    for member, (definition, concept) in broken.items():
        header = re.sub(rf"  using {member} = .*;", f"  using {member} = Broken;", good)
        header = header.replace("namespace hakmem {\n", f"namespace hakmem {{\n{definition}\n", 1)
        errors = complaints(header, tmp_path)
        assert any(f"is no {concept}" in line for line in errors), f"{member}: {errors}"


def test_links_that_do_not_fit_the_smallest_block_are_refused(tmp_path: Path) -> None:
    encoded = "struct Encoded : guard::None { using Links = guard::EncodedLinks; };"
    for smallest, expected in ((16, None), (8, "Parts: a free block has no room for the links of Guard")):
        header = header_of(classes={"kind": "pow2", "smallest": smallest})
        header = re.sub(r"  using Guard = .*;", "  using Guard = Encoded;", header)
        header = header.replace("namespace hakmem {\n", f"namespace hakmem {{\n{encoded}\n", 1)
        errors = complaints("#include <hakmem/guard/encoded_links.hpp>\n" + header, tmp_path)
        if expected is None:
            assert errors == []
        else:
            assert any(f"static assertion failed: {expected}" in line for line in errors), errors
