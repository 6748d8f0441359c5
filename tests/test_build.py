"""Building into the cache, finding, loading, and what happens when the machine does not play along.

The core is a stub (stub_core.py), so that the machinery is tested in seconds and apart from the real core.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import stub_core
from hakmem import build, objects, preload, sources, spec, toolchain
from hakmem.build import BuildFailure, Built
from hakmem.errors import BuildError, HakmemError, LoadError
from hakmem.load import load
from hakmem.spec import Variant


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stub source tree and a cache in which `unified` and `sfc` are built."""
    folder = tmp_path_factory.mktemp("stub")
    (folder / "source").mkdir()
    stub_core.write(folder / "source")
    with pytest.MonkeyPatch.context() as patch:
        _use(patch, folder)
        assert all(isinstance(item, Built) for item in build.build(["unified", "sfc"], jobs=1).values())
    return folder


def _use(patch: pytest.MonkeyPatch, folder: Path) -> None:
    patch.setattr(sources, "root", lambda: folder / "source")
    patch.setenv("HAKMEM_CACHE", str(folder / "cache"))


@pytest.fixture
def stub(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    _use(monkeypatch, shared)
    return shared


@pytest.fixture
def own(shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of the stub sources that a test may change, with an empty cache."""
    shutil.copytree(shared / "source", tmp_path / "source")
    _use(monkeypatch, tmp_path)
    yield tmp_path


def found(name: str) -> Built:
    built = build.find(name)
    assert built is not None
    return built


def test_a_built_variant_has_every_artefact(stub: Path) -> None:
    built = found("unified")
    names = {path.name for path in built.folder.iterdir()}
    assert names == {
        "_engine.so",
        "libhakmem_unified.so",
        "hakmem_variant.hpp",
        "variant.toml",
        "policy.json",
    }
    record = json.loads((built.folder / "policy.json").read_text())
    assert record["name"] == "unified"
    assert record["digest"] == built.digest == built.folder.name
    assert record["policy_set"] == built.variant.policies.as_json()
    assert spec.parse_file(built.folder / "variant.toml").policies == built.variant.policies
    assert build.at(built.folder).variant.policies == built.variant.policies
    assert build.built_of(str(built.folder)).digest == built.digest


def test_a_second_build_does_nothing(stub: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in found("unified").folder.iterdir()}
    steps: list[str] = []
    results = build.build(["unified"], progress=lambda _done, _total, text: steps.append(text))
    assert list(results) == ["unified"]
    assert not steps
    assert {path: path.stat().st_mtime_ns for path in found("unified").folder.iterdir()} == times


def test_objects_are_dropped_from_the_tree_and_the_common_ones_kept(stub: Path) -> None:
    (tree,) = [path for path in (stub / "cache").glob("build-*") if path.is_dir()]
    left = sorted(path.name for path in tree.rglob("*.cpp.o"))
    assert set(left) - {"precompiled.cpp.o"} == {"module.cpp.o", "table_runner.cpp.o"}


def test_many_variants_load_into_one_process_with_their_own_identity(stub: Path) -> None:
    engines = [load(found(name)) for name in ("unified", "sfc")]
    assert [engine.name for engine in engines] == ["unified", "sfc"]
    for engine in engines:
        assert engine.digest == engine.built.digest
        assert engine.policy_set() == engine.built.variant.policies.as_json()
    assert load(found("sfc")) is engines[1]


def test_a_module_that_is_not_what_its_folder_says_is_refused(stub: Path, tmp_path: Path) -> None:
    built = found("unified")
    shutil.copytree(built.folder, tmp_path / "copy")
    with pytest.raises(LoadError, match="digest: expected 0000000000000000, got "):
        load(Built(built.variant, "0" * 16, tmp_path / "copy"))
    other = spec.resolve(built.variant, ["owner=mask"])
    shutil.copytree(built.folder, tmp_path / "other")
    wrong = Built(Variant("unified", "w", other.policies), built.digest, tmp_path / "other")
    with pytest.raises(LoadError, match="policy set: expected "):
        load(wrong)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "_engine.so").write_bytes(b"nothing")
    with pytest.raises(LoadError, match=r"_engine\.so: "):
        load(Built(built.variant, built.digest, tmp_path / "broken"))


def test_the_library_says_who_it_is(stub: Path) -> None:
    built = found("sfc")
    assert preload.probe(built) == f"sfc {built.digest}"
    wrong = Built(built.variant, "0" * 16, built.folder)
    with pytest.raises(HakmemError, match="expected hakmem_id 'sfc 0000000000000000'"):
        preload.probe(wrong)


def test_a_variant_that_does_not_compile_keeps_its_last_lines_and_the_others_go_on(own: Path) -> None:
    header = own / "source" / "cpp" / "hakmem" / "owner" / "mask.hpp"
    header.write_text('#pragma once\n#error "Mask: not today"\n')
    results = build.build(["sll", "unified_mask", "magazine"], jobs=1)
    assert list(results) == ["sll", "unified_mask", "magazine"]
    assert isinstance(results["sll"], Built)
    assert isinstance(results["magazine"], Built)
    failure = results["unified_mask"]
    assert isinstance(failure, BuildFailure)
    assert "Mask: not today" in failure.message
    assert "Mask: not today" in failure.log
    assert "\n" not in failure.message
    assert build.find("unified_mask") is None
    with pytest.raises(BuildError, match="variant unified_mask did not build: .*Mask: not today"):
        build.build_one("unified_mask")
    header.write_text("#pragma once\nnamespace hakmem::owner { struct Mask {}; }\n")
    assert build.build_one("unified_mask").is_whole()


def test_a_common_object_that_does_not_compile_fails_every_variant_with_the_reason(own: Path) -> None:
    (own / "source" / "cpp" / "src" / "module.cpp").write_text('#error "module: not today"\n')
    results = build.build(["sll", "magazine"], jobs=1)
    for failure in results.values():
        assert isinstance(failure, BuildFailure)
        assert "module: not today" in failure.message


def test_changed_sources_change_the_digest_so_nothing_stale_is_found(own: Path) -> None:
    before = build.build_one("sll")
    with (own / "source" / "cpp" / "hakmem" / "front" / "sll.hpp").open("a") as file:
        file.write("// changed\n")
    assert build.find("sll") is None
    after = build.build_one("sll")
    assert after.digest != before.digest
    assert load(after).digest == after.digest
    with (own / "source" / "cpp" / "src" / "runner.cpp").open("a") as file:
        file.write("// changed\n")
    assert found("sll").digest == after.digest


def test_sources_that_change_during_a_build_are_noticed(own: Path) -> None:
    def change(_done: int, _total: int, text: str) -> None:
        if text == "configuring":
            with (own / "source" / "cpp" / "hakmem" / "front" / "sll.hpp").open("a") as file:
                file.write("// changed\n")

    with pytest.raises(BuildError, match="changed while they were compiled; build again"):
        build.build(["sll"], jobs=1, progress=change)
    assert build.find("sll") is None


def test_ctrl_c_keeps_what_is_finished_and_a_second_start_resumes(own: Path) -> None:
    def interrupt(_done: int, _total: int, text: str) -> None:
        if "libhakmem_sll.so" in text:
            raise KeyboardInterrupt

    names = ["sll", "magazine", "sfc"]
    with pytest.raises(KeyboardInterrupt):
        build.build(names, jobs=1, progress=interrupt)
    kept = [name for name in names if build.find(name)]
    assert "sll" in kept
    assert all(isinstance(item, Built) for item in build.build(names, jobs=1).values())


def test_a_map_with_blocks_of_8_bytes_has_a_module_and_no_malloc_library(stub: Path) -> None:
    wanted = spec.resolve(build.variant("unified_pow2"), ["classes.smallest=8"])
    built = build.build_one(wanted)
    assert load(built).name == wanted.name
    with pytest.raises(BuildError, match="has no malloc library"):
        _ = built.library


def test_a_missing_compiler_is_one_line(stub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        BuildError, match=r"^no C\+\+ compiler: expected \$CXX or one of c\+\+, g\+\+, clang\+\+ in PATH"
    ):
        build.build(["magazine"])
    assert build.find("magazine") is None
    monkeypatch.setenv("CXX", "nonesuch")
    with pytest.raises(
        BuildError, match=r"^CXX: expected the name or path of one C\+\+ compiler, got 'nonesuch'"
    ):
        build.build(["magazine"])


def test_a_compiler_that_does_not_work_is_one_line(
    stub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    broken = tmp_path / "c++"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(broken.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("CXX", str(broken))
    with pytest.raises(BuildError, match="failed with exit code 3"):
        build.build(["magazine"])


def test_the_compilers_identity_does_not_depend_on_the_name_it_is_started_by() -> None:
    identities = {toolchain.compiler_id(Path(path)) for path in map(shutil.which, ("c++", "g++")) if path}
    assert len(identities) == 1


def test_without_a_compiler_the_packages_own_variant_is_found(
    stub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    built = found("unified")
    monkeypatch.setattr(
        build, "_builtin", lambda wanted: iter([built.folder] if wanted.name == "unified" else [])
    )
    monkeypatch.setenv("HAKMEM_CACHE", str(tmp_path / "empty"))
    assert found("unified").folder == built.folder
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    assert found("unified").folder == built.folder
    assert build.build(["unified"])["unified"] == found("unified")
    monkeypatch.setattr(sources, "sources_hash", lambda: "changed")
    assert build.find("unified") is None


@pytest.mark.parametrize("place", ["file", "file/below"])
def test_a_cache_that_cannot_be_written_is_one_line(
    stub: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, place: str
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HAKMEM_CACHE", str(tmp_path / place))
    with pytest.raises(
        BuildError, match=r"^cache .*: expected a folder that can be written, got: .*set HAKMEM_CACHE"
    ):
        build.build(["magazine"])


def test_no_room_on_disk_is_one_line(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(stub)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1 << 20))
    with pytest.raises(BuildError, match=r"^no room on disk: expected \d+ MiB free in .*, got 1 MiB$"):
        build.build(["magazine"])


def test_a_disk_that_fills_up_is_one_line(stub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(spec, "write_if_changed", full)
    with pytest.raises(BuildError, match="^no room on disk: somewhere: No space left on device$"):
        build.build(["magazine"])


def test_an_unknown_variant_is_one_line() -> None:
    with pytest.raises(HakmemError, match=r"^variant 'unifed' is not known; did you mean unified"):
        build.variant("unifed")


def test_two_processes_build_at_once(own: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from hakmem import build, sources\n"
        "sources.root = lambda: Path(sys.argv[1])\n"
        "assert all(isinstance(b, build.Built) for b in build.build(['sll', 'magazine'], jobs=1).values())\n"
    )
    command = [sys.executable, "-c", code, str(own / "source")]
    environment = {**os.environ, "PYTHONPATH": str(Path(build.__file__).parents[1])}
    both = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        _, complaint = process.communicate(timeout=120)
        assert process.returncode == 0, complaint
    assert found("sll").is_whole()


def test_variants_with_the_same_object_code_are_reported(own: Path) -> None:
    # The stub's code depends on front, owner and remote only: guard changes the policy set, not the code.
    same = spec.resolve(build.variant("unified"), ["guard=checks"])
    results = build.build(["unified", same, "sll"], jobs=1)
    builts = [item for item in results.values() if isinstance(item, Built)]
    assert len(builts) == 3
    assert build.same_code(builts) == [["unified", same.name]]


def test_code_hash_sees_code_and_constants_but_not_identity(tmp_path: Path) -> None:
    def hashed(name: str, text: str) -> str:
        source = tmp_path / f"{name}.cpp"
        source.write_text(text)
        target = tmp_path / f"{name}.o"
        subprocess.run([toolchain.find_compiler(), "-O2", "-c", source, "-o", target], check=True)
        return objects.code_hash(target)

    text = (
        'extern const char kName[] = "{}"; extern const int table[] = {{{}}}; '
        "int f(int x) {{ return x * {}; }}"
    )
    one = hashed("one", text.format("one", 1, 3))
    assert one == hashed("two", text.format("another", 1, 3))
    assert one != hashed("three", text.format("one", 2, 3))
    assert one != hashed("four", text.format("one", 1, 5))
    (tmp_path / "no.o").write_text("no")
    with pytest.raises(BuildError, match="expected a 64-bit ELF object"):
        objects.code_hash(tmp_path / "no.o")


def test_the_runner_is_built_once(stub: Path) -> None:
    path = build.runner()
    assert path.is_file()
    assert (path.parent / "libhakmem_null.so").is_file()
    time = path.stat().st_mtime_ns
    assert build.runner() == path
    assert path.stat().st_mtime_ns == time
    subprocess.run([path], check=True)


@pytest.fixture
def announced() -> tuple[list[preload.Proof], Callable[[preload.Proof], None]]:
    proofs: list[preload.Proof] = []
    return proofs, proofs.append


def test_a_program_started_on_a_library_is_proved_to_run_on_it(
    stub: Path, announced: tuple[list[preload.Proof], Callable[[preload.Proof], None]]
) -> None:
    proofs, announce = announced
    built = found("unified")
    assert (
        preload.run(
            built, [sys.executable, "-c", "import time; time.sleep(0.3); raise SystemExit(7)"], announce
        )
        == 7
    )
    assert proofs[0].mapped is True
    assert proofs[0].id == f"unified {built.digest}"
    assert preload.run(built, ["sh", "-c", "kill -TERM $$"], announce) == 128 + 15


def test_a_script_is_followed_to_its_interpreter(
    stub: Path, tmp_path: Path, announced: tuple[list[preload.Proof], Callable[[preload.Proof], None]]
) -> None:
    script = tmp_path / "script"
    script.write_text("#!/bin/sh\nexit 5\n")
    script.chmod(0o755)
    assert preload.run(found("unified"), [str(script)], announced[1]) == 5


def test_a_static_program_is_refused_with_the_reason(stub: Path, tmp_path: Path) -> None:
    source, program = tmp_path / "p.cpp", tmp_path / "p"
    source.write_text("int main() { return 0; }\n")
    subprocess.run([toolchain.find_compiler(), "-static", source, "-o", program], check=True)
    with pytest.raises(HakmemError, match="is statically linked: LD_PRELOAD has no effect"):
        preload.run(found("unified"), [str(program)], lambda _proof: None)


def test_a_setgid_program_is_refused_with_the_reason(stub: Path, tmp_path: Path) -> None:
    program = tmp_path / "p"
    shutil.copy2("/bin/true", program)
    program.chmod(0o2755)
    with pytest.raises(HakmemError, match="is setuid or setgid: the loader ignores LD_PRELOAD"):
        preload.run(found("unified"), [str(program)], lambda _proof: None)


def test_a_missing_program_is_one_line(stub: Path) -> None:
    with pytest.raises(HakmemError, match="^command: expected a program in PATH or a path, got 'nonesuch'$"):
        preload.run(found("unified"), ["nonesuch"], lambda _proof: None)
