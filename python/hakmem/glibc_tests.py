"""glibc's generic malloc tests, from Debian's source package of the glibc that is installed.

The package is fetched by apt into a scratch folder with lists of its own, so nothing of the system changes
and no rights are needed. Its tests are compiled against the installed glibc; what they need of glibc's build
is the folder ``support`` and a few headers. Nothing of it is ever part of this repository.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from .errors import HakmemError

TESTS = (
    "tst-calloc",
    "tst-free-errno",
    "tst-malloc",
    "tst-malloc-check",
    "tst-malloc-fork-deadlock",
    "tst-malloc-thread-exit",
    "tst-malloc-thread-fail",
    "tst-malloc-too-large",
    "tst-mallocalign1",
    "tst-mallocfork",
    "tst-mallocfork2",
    "tst-mallocfork3",
    "tst-memalign",
    "tst-posix_memalign",
    "tst-pvalloc",
    "tst-realloc",
    "tst-reallocarray",
    "tst-valloc",
    "tst-trim1",
)
"""The tests that ask for nothing but the documented interface."""

# The part of glibc's test support that these tests link.
_SUPPORT = (
    "check",
    "oom_error",
    "support_record_failure",
    "support_shared_allocate",
    "support_test_compare_failure",
    "support_test_main",
    "support_test_verify_impl",
    "temp_file",
    "write_message",
    "xasprintf",
    "xcalloc",
    "xchdir",
    "xfclose",
    "xfopen",
    "xfork",
    "xmalloc",
    "xmmap",
    "xmunmap",
    "xopen",
    "xpthread_barrier_destroy",
    "xpthread_barrier_init",
    "xpthread_barrier_wait",
    "xpthread_barrierattr_destroy",
    "xpthread_barrierattr_init",
    "xpthread_barrierattr_setpshared",
    "xpthread_check_return",
    "xpthread_create",
    "xpthread_join",
    "xpthread_kill",
    "xsignal",
    "xstrdup",
    "xwaitpid",
    "xwrite",
)
# Headers that are glibc's own. The rest of their folders would hide the installed ones.
_HEADERS = ("include/array_length.h", "include/libc-diag.h", "sysdeps/generic/malloc-size.h")
_HEADERS_IF_THERE = ("include/libc-pointer-arith.h", "sysdeps/generic/malloc-alignment.h")
# glibc's flags for its tests, and no knowledge of malloc in the compiler: every call reaches the library.
_FLAGS = ("-std=gnu11", "-O2", "-w", "-fno-builtin", "-D_GNU_SOURCE", "-include", "limits.h")
_DEFINED = ("-DTEST_NO_MALLOPT", "-DTIMEOUTFACTOR=1")
_ORIGINS = ("Debian", "Ubuntu")
_DEBUG_LIBRARY = "libc_malloc_debug.so.0"

Say = Callable[[str], None]


def stock_environment(name: str) -> dict[str, str]:
    """What glibc's makefile adds to the environment of a test run on glibc's own malloc."""
    return {"LD_PRELOAD": _DEBUG_LIBRARY} if name == "tst-malloc-check" else {}


def environment(name: str) -> dict[str, str]:
    """What glibc's makefile adds to the environment of a test on any malloc."""
    return {"MALLOC_CHECK_": "3"} if name == "tst-malloc-check" else {}


def installed_version() -> str:
    """Version of the Debian source package that the installed glibc was made from."""
    query = ["dpkg-query", "-W", "-f", "${source:Version}", "libc6"]
    return _answer(query, "the version of the installed libc6").strip()


def programs(scratch: Path, names: Sequence[str], say: Say) -> dict[str, Path]:
    """Fetch and compile what is missing in ``scratch``; every name of `TESTS` given maps to its program."""
    top = scratch / f"glibc-{installed_version()}"
    source, tree = top / "source", top / "build"
    if not source.is_dir():
        say("fetching glibc's source package")
        _fetch(top, source)
    missing = [name for name in names if not (tree / name).is_file()]
    if missing:
        say(f"compiling {len(missing)} of glibc's tests")
        _compile(source, tree, missing)
    return {name: tree / name for name in names}


def _answer(command: Sequence[str], what: str, folder: Path | None = None) -> str:
    if shutil.which(command[0]) is None:
        raise HakmemError(
            f"glibc's tests: {command[0]} is missing: expected Debian or Ubuntu, where apt has the sources"
        )
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, errors="replace", check=False, timeout=900
    )
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        worst = next((line for line in lines if line.startswith(("E:", "dpkg")) or "error:" in line), "")
        raise HakmemError(f"glibc's tests: {what}: {worst or (lines or ['no output'])[-1]}")
    return done.stdout


def source_lines(targets: str) -> str:
    """Lines ``deb-src`` for the archives of apt's index targets, ``origin uri release component`` each."""
    found = set()
    for line in targets.splitlines():
        origin, *rest = line.split()
        if origin in _ORIGINS and len(rest) == 3:
            found.add("deb-src {} {} {}\n".format(*rest))
    if not found:
        raise HakmemError(
            f"glibc's tests: expected an archive of {' or '.join(_ORIGINS)} among apt's sources, got none; "
            "apt-get update"
        )
    return "".join(sorted(found))


def _fetch(top: Path, source: Path) -> None:
    """Put the package's tree, Debian's patches applied, at ``source`` by one rename."""
    lists, package = top / "lists", top / "package"
    (lists / "partial").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(package, ignore_errors=True)
    package.mkdir()
    targets = ["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI) $(RELEASE) $(COMPONENT)"]
    sources = top / "sources.list"
    sources.write_text(source_lines(_answer([*targets, "Created-By: Packages"], "apt's sources")))
    own = ["-o", f"Dir::Etc::SourceList={sources}", "-o", "Dir::Etc::SourceParts=/dev/null"]
    own += ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={top}", "-o", "APT::Sandbox::User="]
    _answer(["apt-get", "-q", *own, "update"], "the list of source packages", top)
    wanted = f"glibc={installed_version()}"
    _answer(["apt-get", "-q", *own, "--download-only", "source", wanted], wanted, package)
    (description,) = package.glob("*.dsc")
    unpacked = package / "tree"
    _answer(["dpkg-source", "--extract", str(description), str(unpacked)], description.name, package)
    unpacked.rename(source)
    shutil.rmtree(package)


def _compile(source: Path, tree: Path, names: Sequence[str]) -> None:
    headers, objects = tree / "include", tree / "objects"
    headers.mkdir(parents=True, exist_ok=True)
    objects.mkdir(exist_ok=True)
    for header in [*_HEADERS, *(name for name in _HEADERS_IF_THERE if (source / name).is_file())]:
        shutil.copy2(source / header, headers)
    roots = tree / "roots.c"
    roots.write_text('const char support_objdir_root[] = "/nonexistent";\n', encoding="utf-8")
    units = [*(source / "support" / f"{name}.c" for name in _SUPPORT), roots]
    _link(headers / "support", source / "support")
    include = [f"-I{headers}", f"-I{source / 'support'}"]
    linked = []
    for unit in units:
        made = objects / f"{unit.stem}.o"
        _answer(["gcc", *_FLAGS, *_DEFINED, *include, "-c", str(unit), "-o", str(made)], unit.name, tree)
        linked.append(str(made))
    for name in names:
        temporary = tree / f".{name}-{os.getpid()}"
        unit = source / "malloc" / f"{name}.c"
        command = ["gcc", *_FLAGS, *_DEFINED, *include, str(unit), *linked, "-pthread", "-o", str(temporary)]
        _answer(command, unit.name, tree)
        temporary.rename(tree / name)


def _link(path: Path, to: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to(to)
