"""Building variants on demand, into a per-user cache keyed by digest.

The cache is ``$HAKMEM_CACHE`` or the platform's cache folder. In it:

- ``build-<key>/``: one CMake tree per compiler and Python; objects common to all variants are compiled
  there once;
- ``<python>/<name>/<digest>/``: the finished folder of a variant, put there by one rename, so it is whole
  or absent;
- ``runner-<key>/``: the benchmark runner and the null allocator.

One lock per CMake tree lets several processes build at once.
"""

from __future__ import annotations

import errno
import hashlib
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import platformdirs

from . import objects, sources, spec
from . import toolchain as toolchains
from .errors import BuildError, UnknownNameError
from .spec import Variant
from .toolchain import Toolchain

MODULE = "_engine.so"
WITNESS = "libhakmem_witness.so"
RECORDER = "libhakmem_recorder.so"
Progress = Callable[[int, int, str], None]
"""Called with steps done, steps in all (0: unknown), and a line saying what is done."""

_BYTES_PER_VARIANT = 4 << 20
_BYTES_AT_LEAST = 64 << 20
_KEPT_LINES = 15
_TREE_ENVIRONMENT = (
    "CXXFLAGS",
    "CFLAGS",
    "CPPFLAGS",
    "LDFLAGS",
    "LD_PRELOAD",
    "CMAKE_GENERATOR",
    "DESTDIR",
    "MAKEFLAGS",
)


@dataclass(frozen=True)
class Built:
    """A variant that is built and whole: its digest and the folder of its artefacts."""

    variant: Variant
    digest: str
    folder: Path

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.variant.name

    @property
    def module(self) -> Path:
        """The Python module."""
        return self.folder / MODULE

    @property
    def library(self) -> Path:
        """The malloc library, for LD_PRELOAD or linking."""
        if not self.variant.interposable:
            raise BuildError(
                f"variant {self.name} has no malloc library: its blocks of 8 bytes are not "
                "aligned as malloc must"
            )
        return self.folder / library_name(self.name)

    @property
    def header(self) -> Path:
        """The generated C++ header."""
        return self.folder / "hakmem_variant.hpp"

    def is_whole(self) -> bool:
        """Whether every artefact is there."""
        wanted = [self.module, self.header] + ([self.library] if self.variant.interposable else [])
        return all(path.is_file() for path in wanted)

    def code_hash(self) -> str | None:
        """Hash of the object code without its identity, or None when it was not kept."""
        record = self.folder / "policy.json"
        kept = json.loads(record.read_text(encoding="utf-8")).get("code") if record.is_file() else None
        table = self.folder / "table.o"
        return kept or (objects.code_hash(table) if table.is_file() else None)


@dataclass(frozen=True)
class BuildFailure:
    """A variant that did not compile or link: the first error on one line, and the compiler's last lines."""

    variant: Variant
    digest: str
    message: str
    log: str

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.variant.name


def library_name(name: str) -> str:
    """File name of a variant's malloc library."""
    return f"libhakmem_{name}.so"


# ----------------------------------------------------------------------------------------------------
# Kept variants


def variant_names() -> list[str]:
    """Names of the kept variants, sorted."""
    return sorted(path.stem for path in sources.variants_folder().glob("*.toml"))


def kept_variants() -> list[Variant]:
    """Every kept variant, sorted by name. A file that is wrong is a `SpecError`."""
    return [spec.load_variant(path) for path in sorted(sources.variants_folder().glob("*.toml"))]


def variant(name: str) -> Variant:
    """The kept variant of this name, or the one in the file of this path when it ends in ``.toml``."""
    if name.endswith(".toml"):
        return spec.load_variant(Path(name))
    path = sources.variants_folder() / f"{name}.toml"
    if not spec.NAME_PATTERN.fullmatch(name) or not path.is_file():
        raise UnknownNameError("variant", name, variant_names())
    return spec.load_variant(path)


def at(folder: Path) -> Built:
    """The built variant whose artefacts are in ``folder``, from the record that lies beside them."""
    record = folder / "policy.json"
    if not record.is_file():
        raise BuildError(f"{folder}: expected the folder of a built variant, got none with a policy.json")
    kept = json.loads(record.read_text(encoding="utf-8"))
    return Built(spec.parse_file(folder / "variant.toml"), str(kept["digest"]), folder)


def built_of(what: str, progress: Progress | None = None) -> Built:
    """What ``--variant`` names: a kept variant, a ``.toml`` file, or the folder of a built variant."""
    folder = Path(what)
    return at(folder) if (folder / "policy.json").is_file() else build_one(what, progress)


# ----------------------------------------------------------------------------------------------------
# Places


def toolchain() -> Toolchain:
    """The compiler and flags in use. A missing compiler is a `BuildError` in one line."""
    return toolchains.detect()


def cache_root() -> Path:
    """The cache folder, made if needed. One that cannot be written is a `BuildError` in one line."""
    chosen = os.environ.get("HAKMEM_CACHE")
    root = Path(chosen).expanduser().absolute() if chosen else platformdirs.user_cache_path("hakmem")
    try:
        root.mkdir(parents=True, exist_ok=True)
        writable = os.access(root, os.W_OK | os.X_OK)
        problem = "it is not writable"
    except OSError as error:
        writable, problem = False, error.strerror or str(error)
    if not writable:
        raise BuildError(
            f"cache {root}: expected a folder that can be written, got: {problem}; set "
            "HAKMEM_CACHE to another one"
        )
    return root


def _python_tag() -> str:
    return str(sysconfig.get_config_var("SOABI") or f"{sys.implementation.cache_tag}")


def _built_folder(root: Path, name: str, digest: str) -> Path:
    return root / _python_tag() / name / digest


def _builtin(wanted: Variant) -> Iterator[Path]:
    folder = Path(__file__).resolve().parent / "_builtin" / wanted.name
    if folder.is_dir():
        yield from sorted(folder.iterdir())


def find(wanted: str | Variant, tools: Toolchain | None = None) -> Built | None:
    """The built variant that matches today's sources, compiler and flags, or None.

    The variant built with the package is looked at first, then the cache. Without a compiler the package's
    own is still good as long as its sources are those installed.
    """
    chosen = variant(wanted) if isinstance(wanted, str) else wanted
    try:
        tools = tools or toolchain()
    except BuildError:
        return _find_without_compiler(chosen)
    digest = spec.digest(chosen, tools)
    for folder in _builtin(chosen):
        if folder.name == digest and Built(chosen, digest, folder).is_whole():
            return Built(chosen, digest, folder)
    built = Built(chosen, digest, _built_folder(cache_root(), chosen.name, digest))
    return built if built.is_whole() else None


def _find_without_compiler(chosen: Variant) -> Built | None:
    for folder in _builtin(chosen):
        built = Built(chosen, folder.name, folder)
        record = folder / "policy.json"
        if not built.is_whole() or not record.is_file():
            continue
        kept = json.loads(record.read_text(encoding="utf-8"))
        if kept["policy_set"] == chosen.policies.as_json() and kept.get("sources") == sources.sources_hash():
            return built
    return None


# ----------------------------------------------------------------------------------------------------
# Building


def build(
    variants: Iterable[Variant | str], jobs: int | None = None, progress: Progress | None = None
) -> dict[str, Built | BuildFailure]:
    """Build the variants that are not built yet; every name given maps to what became of it.

    One variant that does not compile does not stop the others. Ctrl-C keeps those that are finished.
    ``jobs`` is the number of parallel compilations (default: the processors this process may use).
    """
    chosen = [variant(item) if isinstance(item, str) else item for item in variants]
    by_name = {item.name: item for item in chosen}
    for item in chosen:
        if by_name[item.name].policies != item.policies:
            raise BuildError(
                f"two variants named {item.name!r} with different policies cannot be built together"
            )
    tools: Toolchain | None
    try:
        tools = toolchain()
    except BuildError:
        found = {item.name: _find_without_compiler(item) for item in chosen}
        if all(found.values()):
            return {name: built for name, built in found.items() if built}
        raise
    results: dict[str, Built | BuildFailure] = {}
    missing: list[Variant] = []
    for item in by_name.values():
        built = find(item, tools)
        if built:
            results[item.name] = built
        else:
            missing.append(item)
    if missing:
        with _disk_errors():
            results.update(_Tree(tools, progress).build(missing, jobs or _processors()))
    return {name: results[name] for name in by_name}


def build_one(wanted: Variant | str, progress: Progress | None = None) -> Built:
    """Build one variant, or find it built. A variant that does not compile is a `BuildError`."""
    (built,) = build_or_raise([wanted], progress)
    return built


def build_or_raise(variants: Iterable[Variant | str], progress: Progress | None = None) -> list[Built]:
    """Build what is not built yet, in the order named; a variant that does not compile is a `BuildError`."""
    found = []
    for result in build(variants, progress=progress).values():
        if isinstance(result, BuildFailure):
            raise BuildError(f"variant {result.name} did not build: {result.message}")
        found.append(result)
    return found


def install(built: Built, prefix: Path) -> None:
    """Put what C++ programs link and include under ``prefix``: `cmake --install` of this variant alone.

    Its archive is compiled for that. Sources, compiler or flags that are no longer those of the build are a
    `BuildError`: the archive would be another allocator.
    """
    tools = toolchain()
    if spec.digest(built.variant, tools) != built.digest:
        raise BuildError(
            f"variant {built.name}: expected the sources, compiler and flags that {built.digest} was built "
            "with, got others; build it again"
        )
    with _disk_errors():
        _Tree(tools, None).install(built, prefix)


def runner(progress: Progress | None = None) -> Path:
    """The benchmark runner's path; ``libhakmem_null.so`` lies beside it. Built when needed."""
    tools = toolchain()
    text = "\n".join([sources.runner_hash(), tools.compiler_id, tools.flags])
    folder = cache_root() / f"runner-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not (folder / "hakmem_runner").is_file():
        with _disk_errors():
            _Tree(tools, progress, for_runner=True).build_runner(folder)
    return folder / "hakmem_runner"


def witness(progress: Progress | None = None) -> Path:
    """The library preloaded by `hakmem run` beside a malloc library: the package's own, or built now."""
    return _beside("witness", WITNESS, "hakmem_witness", progress)


def recorder(progress: Progress | None = None) -> Path:
    """The library preloaded by `hakmem record`; ``hakmem_merge`` lies beside it. Found or built likewise."""
    return _beside("recorder", RECORDER, "hakmem_recording", progress)


def _beside(name: str, file: str, target: str, progress: Progress | None) -> Path:
    own = Path(__file__).resolve().parent / "_builtin" / file
    if own.is_file():
        return own
    tools = toolchain()
    text = "\n".join([sources.runner_hash(), tools.compiler_id, tools.flags])
    folder = cache_root() / f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"
    if not (folder / file).is_file():
        with _disk_errors():
            _Tree(tools, progress, for_runner=True).build_runner(folder, target, file)
    return folder / file


def same_code(builts: Iterable[Built]) -> list[list[str]]:
    """Groups of names whose object code is the same bytes: one allocator under several names."""
    groups: dict[str, list[str]] = {}
    for built in builts:
        code = built.code_hash()
        if code:
            groups.setdefault(code, []).append(built.name)
    return sorted(sorted(names) for names in groups.values() if len(names) > 1)


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if isinstance(error, FileNotFoundError):
            raise
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise BuildError(
                f"no room on disk: {error.filename or cache_root()}: {error.strerror}"
            ) from error
        raise BuildError(f"cache: {error.filename or cache_root()}: {error.strerror or error}") from error


def _tool(name: str, attribute: str) -> str:
    try:
        path = Path(getattr(importlib.import_module(name), attribute)) / name
        if path.is_file():
            return str(path)
    except (ImportError, AttributeError):
        pass
    found = shutil.which(name)
    if found is None:
        raise BuildError(
            f"{name} is missing: expected the Python package {name!r} or the program in PATH; "
            f"pip install {name}"
        )
    return found


def _cmake_text(path: Path) -> str:
    return str(path).replace("\\", "/").replace('"', '\\"')


class _Tree:
    """One CMake tree of the cache."""

    def __init__(self, tools: Toolchain, progress: Progress | None, for_runner: bool = False) -> None:
        self._tools = tools
        self._progress = progress or (lambda _done, _total, _text: None)
        self._for_runner = for_runner
        self._root = cache_root()
        self._source = sources.root()
        pybind11_version = getattr(importlib.import_module("pybind11"), "__version__", "")
        parts = [
            str(self._source),
            str(tools.compiler),
            tools.compiler_id,
            sys.executable,
            _python_tag(),
            pybind11_version,
        ]
        if not sources.is_checkout():
            parts.append(tools.sources)  # installed files' times say nothing about their content
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]
        self._tree = self._root / (f"build-runner-{key}" if for_runner else f"build-{key}")
        self._environment = {
            name: value for name, value in os.environ.items() if name not in _TREE_ENVIRONMENT
        }
        self._environment["NINJA_STATUS"] = "[%f/%t] "

    @contextmanager
    def _locked(self, wanted: int) -> Iterator[None]:
        room = shutil.disk_usage(self._root).free
        needed = _BYTES_AT_LEAST + wanted * _BYTES_PER_VARIANT
        if room < needed:
            raise BuildError(
                f"no room on disk: expected {needed >> 20} MiB free in {self._root}, got {room >> 20} MiB"
            )
        self._tree.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self._tree.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except filelock.Timeout:
            self._progress(0, 0, "waiting for another build to finish")
            lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def build(self, missing: Sequence[Variant], jobs: int) -> dict[str, Built | BuildFailure]:
        """Build variants in this tree; each finished one is put in its place at once."""
        with self._locked(len(missing)):
            done: dict[str, Built | BuildFailure] = {}
            todo: dict[str, Built] = {}
            for item in missing:
                built = find(item, self._tools)  # another process may have built it while this one waited
                if built:
                    done[item.name] = built
                else:
                    digest = spec.digest(item, self._tools)
                    todo[item.name] = Built(item, digest, _built_folder(self._root, item.name, digest))
            if not todo:
                return done
            self._write_list(todo.values())
            self._configure()
            log = _Log()
            try:
                for line in self._ninja(["hakmem_variants"], jobs):
                    log.add(line)
                    for name in self._just_linked(line, log, todo):
                        done[name] = self._finish(todo[name])
            finally:
                for name, built in todo.items():
                    if (
                        name not in done
                        and self._has_outputs(built)
                        and sources.sources_hash() == self._tools.sources
                    ):
                        done[name] = self._finish(built)
            if sources.sources_hash() != self._tools.sources:
                raise BuildError(
                    f"the sources in {self._source} changed while they were compiled; build again"
                )
            for name, built in todo.items():
                if name not in done:
                    done[name] = log.failure(built)
            return done

    def build_runner(self, folder: Path, target: str = "hakmem_runner", file: str = "hakmem_runner") -> None:
        """Build the runner and the null allocator, or the witness, and put them in ``folder``."""
        with self._locked(1):
            if (folder / file).is_file():
                return
            self._write_list([])
            self._configure()
            log = _Log()
            for line in self._ninja([target], _processors()):
                log.add(line)
            made = self._tree / "runner"
            if log.failed or not (made / file).is_file():
                raise BuildError(f"{target} did not build: {log.first_error()}")
            temporary = folder.with_name(f".{folder.name}-{os.getpid()}")
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            for path in made.iterdir():
                shutil.copy2(path, temporary / path.name)
            _rename(temporary, folder)

    def install(self, built: Built, prefix: Path) -> None:
        """Build a variant's library and archive and install them with headers and package files."""
        with self._locked(1):
            self._write_list([built])
            self._configure("-DCMAKE_INSTALL_LIBDIR=lib")
            log = _Log()
            for line in self._ninja([f"malloc_{built.name}", f"malloc_{built.name}_archive"], _processors()):
                log.add(line)
            if log.failed:
                raise BuildError(f"variant {built.name} did not build: {log.first_error()}")
            self._cmake("--install", str(self._tree), "--prefix", str(prefix))
            self._drop(built)

    def _write_list(self, todo: Iterable[Built]) -> None:
        calls = []
        for built in todo:
            headers = self._tree / "gen" / f"{built.digest}-{built.name}"
            spec.write_if_changed(
                headers / "hakmem_variant.hpp", spec.header_text(built.variant, built.digest)
            )
            extra = "" if built.variant.interposable else " NO_LIBRARY"
            calls.append(
                f"hakmem_add_variant(NAME {built.name} DIGEST {built.digest} "
                f'HEADER_DIR "{_cmake_text(headers)}"{extra})\n'
            )
        spec.write_if_changed(self._tree / "variants.cmake", "".join(calls))

    def _configure(self, *more: str) -> None:
        switch = "ON" if self._for_runner else "OFF"
        other = "OFF" if self._for_runner else "ON"
        arguments = [
            "-S", str(self._source),
            "-B", str(self._tree),
            "-G", "Ninja",
            f"-DCMAKE_MAKE_PROGRAM={_tool('ninja', 'BIN_DIR')}",
            f"-DCMAKE_CXX_COMPILER={self._tools.compiler}",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DHAKMEM_PYTHON={sys.executable}",
            f"-DHAKMEM_PYTHON_MODULE={other}",
            f"-DHAKMEM_RUNNER={switch}",
            f"-DHAKMEM_VARIANT_LIST={_cmake_text(self._tree / 'variants.cmake')}",
            *more,
        ]  # fmt: skip
        self._progress(0, 0, "configuring")
        try:
            self._cmake(*arguments)
        except BuildError:
            (self._tree / "CMakeCache.txt").unlink(missing_ok=True)
            raise

    def _cmake(self, *arguments: str) -> None:
        answer = subprocess.run(
            [_tool("cmake", "CMAKE_BIN_DIR"), *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
        )
        if answer.returncode != 0:
            what = "install" if arguments[0] == "--install" else "configure"
            complaint = _cmake_complaint(answer.stdout + answer.stderr)
            raise BuildError(f"CMake could not {what} {self._tree}: {complaint}")

    def _ninja(self, targets: Sequence[str], jobs: int) -> Iterator[str]:
        command = [
            _tool("ninja", "BIN_DIR"),
            "-C",
            str(self._tree),
            "-k",
            "0",
            "-j",
            str(max(1, jobs)),
            *targets,
        ]
        process = subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                step = re.match(r"\[(\d+)/(\d+)\] (.*)", line)
                if step:
                    self._progress(int(step[1]), int(step[2]), step[3])
                if line.startswith("ninja: build stopped: interrupted"):
                    raise KeyboardInterrupt  # it heard of the Ctrl-C first
                yield line.rstrip("\n")
        finally:
            # Ninja has the same SIGINT as this process and removes what is half written.
            process.stdout.close()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.terminate()
                process.wait()

    def _output(self, built: Built) -> Path:
        return self._tree / "out" / f"{built.digest}-{built.name}"

    def _has_outputs(self, built: Built) -> bool:
        return Built(built.variant, built.digest, self._with_header(built)).is_whole()

    def _with_header(self, built: Built) -> Path:
        output = self._output(built)
        if output.is_dir():
            spec.write_if_changed(
                output / "hakmem_variant.hpp", spec.header_text(built.variant, built.digest)
            )
        return output

    def _just_linked(self, line: str, log: _Log, todo: dict[str, Built]) -> Iterator[str]:
        linked = re.match(r"\[\d+/\d+\] Linking CXX \S+ \S+ out/([0-9a-f]{16})-(\w+)/(\S+)$", line)
        built = todo.get(linked[2]) if linked else None
        if linked is None or built is None or built.digest != linked[1]:
            return
        files = log.linked.setdefault(built.name, set())
        files.add(linked[3])
        wanted = {MODULE} | ({library_name(built.name)} if built.variant.interposable else set())
        if wanted <= files and sources.sources_hash() == self._tools.sources:
            yield built.name

    def _finish(self, built: Built) -> Built:
        """Move a variant's outputs to their place by one rename and drop its objects from the tree."""
        objects_folder = self._tree / "CMakeFiles" / f"table_{built.name}.dir"
        table = next(objects_folder.rglob("variant_table.cpp.o"), None)
        temporary = built.folder.with_name(f".{built.digest}-{os.getpid()}")
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        for path in self._with_header(built).iterdir():
            shutil.copy2(path, temporary / path.name)
        spec.write_record(
            built.variant, built.digest, self._tools, temporary, objects.code_hash(table) if table else None
        )
        _rename(temporary, built.folder)
        self._drop(built)
        return built

    def _drop(self, built: Built) -> None:
        """Remove a variant's outputs and objects from the tree."""
        shutil.rmtree(self._output(built), ignore_errors=True)
        for part in ("table", "module", "malloc"):
            shutil.rmtree(self._tree / "CMakeFiles" / f"{part}_{built.name}.dir", ignore_errors=True)


def _rename(temporary: Path, folder: Path) -> None:
    if folder.exists():  # left by an earlier, incomplete one
        shutil.rmtree(folder)
    temporary.rename(folder)


def _cmake_complaint(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for index, line in enumerate(lines):
        if line.startswith("CMake Error"):
            return " ".join(lines[index : index + 4])
    return lines[-1] if lines else "no output"


class _Log:
    """What Ninja printed, sorted by the variant each failed step belongs to."""

    def __init__(self) -> None:
        self.linked: dict[str, set[str]] = {}
        self.failed: dict[str, list[str]] = {}
        self._block: list[str] | None = None
        self._command_next = False
        self._last: list[str] = []

    def add(self, line: str) -> None:
        """Take one line."""
        self._last = [*self._last[-_KEPT_LINES:], line]
        if line.startswith("FAILED: "):
            owner = re.search(
                r"(?:CMakeFiles/(?:table|module|malloc)_|out/[0-9a-f]{16}-)(\w+?)(?:\.dir)?/", line
            )
            self._block = self.failed.setdefault(owner[1] if owner else "", [])
            self._command_next = True
            return
        if self._command_next:  # Ninja repeats the command of a step that failed
            self._command_next = False
            return
        if re.match(r"\[\d+/\d+\] ", line) or line.startswith("ninja: "):
            self._block = None
        if self._block is not None:
            self._block.append(line)

    def failure(self, built: Built) -> BuildFailure:
        """What became of a variant whose artefacts are not there."""
        lines = self.failed.get(built.name) or self.failed.get("") or self._last
        return BuildFailure(built.variant, built.digest, _first_error(lines), "\n".join(_last_lines(lines)))

    def first_error(self) -> str:
        """The first error of any step, on one line."""
        return _first_error([line for lines in self.failed.values() for line in lines] or self._last)


def _first_error(lines: Sequence[str]) -> str:
    for line in lines:
        if re.search(r"(error: |undefined reference|No space left)", line):
            return line.strip()
    return lines[-1].strip() if lines else "no output"


def _last_lines(lines: Sequence[str]) -> list[str]:
    """The lines worth keeping: from the first error on, at most `_KEPT_LINES`, commands left out."""
    start = next(
        (index for index, line in enumerate(lines) if "error: " in line), max(0, len(lines) - _KEPT_LINES)
    )
    return list(lines[start : start + _KEPT_LINES])
