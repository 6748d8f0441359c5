"""The malloc library in real programs, and the functions that only it has."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from elftools.elf.elffile import ELFFile

from hakmem.build import Built
from hakmem.load import Engine

SCRIPT = """
import ctypes, json, threading
program = ctypes.CDLL(None)
program.hakmem_id.restype = ctypes.c_char_p
program.malloc.restype = program.strdup.restype = ctypes.c_void_p
program.hakmem_owns.argtypes = program.free.argtypes = [ctypes.c_void_p]
for p in (program.malloc(100), program.malloc(1 << 20), program.strdup(b"text"), id(object())):
    assert program.hakmem_owns(p), hex(p)
text = json.dumps([{"key": str(i), "value": [i] * 20} for i in range(300)])
assert json.loads(text)[299]["value"] == [299] * 20
def work(): [bytes(n) for n in range(0, 20000, 7)]
threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(program.hakmem_id().decode(), sum(map(ord, text)))
"""


def run(library: Path | None, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONMALLOC": "malloc", "LC_ALL": "C"}
    environment.pop("LD_PRELOAD", None)
    if library:
        environment["LD_PRELOAD"] = str(library)
    return subprocess.run(
        list(command), env=environment, capture_output=True, text=True, check=False, timeout=120
    )


@pytest.fixture(scope="module")
def functions(library: Path) -> ctypes.CDLL:
    """The library, loaded beside the C library rather than before it."""
    loaded = ctypes.CDLL(str(library), use_errno=True)
    size = ctypes.c_size_t
    pointer = ctypes.c_void_p
    for name, arguments in {
        "malloc": [size],
        "calloc": [size, size],
        "realloc": [pointer, size],
        "reallocarray": [pointer, size, size],
        "aligned_alloc": [size, size],
        "memalign": [size, size],
        "valloc": [size],
        "pvalloc": [size],
    }.items():
        getattr(loaded, name).argtypes = arguments
        getattr(loaded, name).restype = pointer
    loaded.malloc_usable_size.argtypes = [pointer]
    loaded.malloc_usable_size.restype = size
    loaded.posix_memalign.argtypes = [ctypes.POINTER(pointer), size, size]
    loaded.free.argtypes = loaded.cfree.argtypes = [pointer]
    loaded.malloc_trim.argtypes = [size]
    return loaded


def test_python_runs_on_it(engine: Engine, library: Path) -> None:
    answer = run(library, [sys.executable, "-S", "-c", SCRIPT])
    assert (answer.returncode, answer.stderr) == (0, "")
    assert answer.stdout.split()[:2] == [engine.name, engine.digest]


def test_a_compiled_program_runs_on_it_and_says_the_same(library: Path) -> None:
    for command in (["ls", "-la", "/usr/bin"], ["sort", "/proc/self/environ"]):
        with_libc, with_ours = run(None, command), run(library, command)
        assert with_ours.returncode == 0 and with_ours.stderr == ""
        assert command[0] == "sort" or with_ours.stdout == with_libc.stdout
    maps = run(library, [str(shutil.which("cat")), "/proc/self/maps"])
    assert str(library.resolve()) in maps.stdout


def test_errno_tells_no_memory_from_a_bad_alignment(functions: ctypes.CDLL) -> None:
    for call, expected in (
        (lambda: functions.malloc(1 << 63), errno.ENOMEM),
        (lambda: functions.malloc((1 << 64) - 1), errno.ENOMEM),
        (lambda: functions.calloc(1 << 33, 1 << 33), errno.ENOMEM),
        (lambda: functions.realloc(None, 1 << 63), errno.ENOMEM),
        (lambda: functions.reallocarray(None, 1 << 33, 1 << 33), errno.ENOMEM),
        (lambda: functions.aligned_alloc(64, 1 << 63), errno.ENOMEM),
        (lambda: functions.aligned_alloc(48, 100), errno.EINVAL),
        (lambda: functions.aligned_alloc(0, 100), errno.EINVAL),
        (lambda: functions.memalign(1 << 63, 100), errno.ENOMEM),
        (lambda: functions.memalign((1 << 63) + 1, 100), errno.EINVAL),
        (lambda: functions.pvalloc((1 << 64) - 1), errno.ENOMEM),
    ):
        ctypes.set_errno(0)
        assert call() is None  # type: ignore[no-untyped-call]
        assert ctypes.get_errno() == expected


def test_errno_is_kept_by_what_succeeds(functions: ctypes.CDLL) -> None:
    for n in (1, 100, 5000, 70_000, 600_000, 3 << 20):
        ctypes.set_errno(77)
        p = functions.malloc(n)
        assert ctypes.get_errno() == 77
        p = functions.realloc(p, 2 * n)
        assert ctypes.get_errno() == 77
        functions.free(p)
        assert ctypes.get_errno() == 77, f"free of {n} bytes changed errno"
    functions.free(None)
    functions.malloc_trim(0)
    assert ctypes.get_errno() == 77


def test_posix_memalign_answers_by_its_result(functions: ctypes.CDLL) -> None:
    p = ctypes.c_void_p(1)
    ctypes.set_errno(77)
    for align in (8, 16, 64, 4096, 1 << 20, 4 << 20):
        assert functions.posix_memalign(ctypes.byref(p), align, 100) == 0
        assert p.value and p.value % align == 0
        functions.free(p)
    kept = p.value
    for align in (0, 1, 4, 24, 4097):
        assert functions.posix_memalign(ctypes.byref(p), align, 100) == errno.EINVAL
    assert ctypes.get_errno() == 77
    for align in (8, 64, 4096, 1 << 20, 1 << 63):
        ctypes.set_errno(77)
        assert functions.posix_memalign(ctypes.byref(p), align, 1 << 63) == errno.ENOMEM
        assert p.value == kept and ctypes.get_errno() == errno.ENOMEM


def test_the_older_functions(functions: ctypes.CDLL) -> None:
    page = os.sysconf("SC_PAGESIZE")
    p = functions.valloc(10)
    assert p % page == 0
    functions.cfree(p)
    p = functions.pvalloc(10)
    assert p % page == 0 and functions.malloc_usable_size(p) >= page
    functions.free(p)
    p = functions.memalign(100, 10)  # rounded up to a power of two, as glibc does
    assert p % 128 == 0
    functions.free(p)
    p = functions.reallocarray(None, 10, 10)
    assert functions.malloc_usable_size(p) >= 100
    functions.free(p)
    assert functions.malloc_usable_size(None) == 0


def test_freeing_what_is_foreign_names_the_pointer(built: Built, library: Path) -> None:
    text = "import ctypes, resource\nresource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
    text += "ctypes.CDLL(None).free(ctypes.c_void_p(0xdead0000))"
    answer = run(library, [sys.executable, "-I", "-S", "-c", text])
    assert answer.returncode == -6
    assert answer.stderr == "hakmem: free of 0xdead0000 which this allocator does not own\n"


def test_a_library_opened_late_hands_foreign_blocks_to_the_process_s_malloc(library: Path) -> None:
    text = f"""
import ctypes
pointer, size = ctypes.c_void_p, ctypes.c_size_t
process, late = ctypes.CDLL(None), ctypes.CDLL({str(library)!r})
for functions in process, late:
    functions.malloc.restype = functions.realloc.restype = pointer
    functions.malloc.argtypes = [size]
    functions.realloc.argtypes = [pointer, size]
    functions.free.argtypes = functions.malloc_usable_size.argtypes = [pointer]
    functions.malloc_usable_size.restype = size
late.hakmem_owns.argtypes = [pointer]
for n in (1, 100, 5000, 1 << 20):
    p = process.malloc(n)
    assert not late.hakmem_owns(p)
    assert late.malloc_usable_size(p) == process.malloc_usable_size(p) >= n
    ctypes.memset(p, 7, n)
    q = late.realloc(p, 2 * n)
    assert not late.hakmem_owns(q) and ctypes.string_at(q, n) == bytes([7]) * n
    late.free(q)
    own = late.malloc(n)
    assert late.hakmem_owns(own)
    late.free(own)
"""
    answer = run(None, [sys.executable, "-I", "-S", "-c", text])
    assert (answer.returncode, answer.stderr) == (0, "")


def test_the_names_around_malloc_lead_to_the_same_blocks(library: Path) -> None:
    text = """
import ctypes
pointer, size = ctypes.c_void_p, ctypes.c_size_t
program = ctypes.CDLL(None)
program.hakmem_owns.argtypes = program.free.argtypes = program.__libc_free.argtypes = [pointer]
program.free_sized.argtypes, program.free_aligned_sized.argtypes = [pointer, size], [pointer, size, size]
def block(name, *arguments):
    function = getattr(program, name)
    function.restype, function.argtypes = pointer, [size] * len(arguments)
    p = function(*arguments)
    assert program.hakmem_owns(p), name
    return p
program.free(block("__libc_malloc", 100))
program.free(block("__libc_calloc", 10, 10))
program.free(block("__libc_memalign", 64, 100))
program.free(block("__libc_valloc", 100))
program.free(block("__libc_pvalloc", 100))
program.__libc_realloc.restype, program.__libc_realloc.argtypes = pointer, [pointer, size]
p = program.__libc_realloc(block("malloc", 100), 100_000)
assert program.hakmem_owns(p)
program.__libc_free(p)
program.free_sized(block("malloc", 100), 100)
program.free_aligned_sized(block("aligned_alloc", 64, 128), 64, 128)
assert program.mallopt(-3, 1 << 20) == 1
"""
    answer = run(library, [sys.executable, "-I", "-S", "-c", text])
    assert (answer.returncode, answer.stderr) == (0, "")


def test_glibcs_reports_are_answered(engine: Engine, library: Path) -> None:
    """What mallinfo2, mallinfo, malloc_stats and malloc_info say follows what the program has live."""
    text = """
import ctypes, os, sys
import xml.etree.ElementTree as tree
program = ctypes.CDLL(None)
pointer, size = ctypes.c_void_p, ctypes.c_size_t
names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost".split()
class Wide(ctypes.Structure): _fields_ = [(name, size) for name in names]
class Narrow(ctypes.Structure): _fields_ = [(name, ctypes.c_int) for name in names]
program.mallinfo2.restype, program.mallinfo.restype = Wide, Narrow
program.malloc.restype = program.fdopen.restype = pointer
program.malloc_info.argtypes = [ctypes.c_int, pointer]
program.fclose.argtypes = [pointer]
def live():
    info = program.mallinfo2()
    return info.uordblks + info.hblkhd
before, blocks = live(), program.mallinfo2().hblks
held = [program.malloc(size(n)) for n in [300] * 1000 + [5000] * 100 + [8 << 20]]
info = program.mallinfo2()
more, asked = live() - before, 300 * 1000 + 5000 * 100 + (8 << 20)
own_pages = sys.argv[2] == "True"  # for every block
assert asked <= more and (own_pages or more < 2 * asked), (more, asked)
assert info.hblks > blocks and info.hblkhd >= 8 << 20
assert info.uordblks + info.fordblks == info.arena
assert abs(program.mallinfo().hblkhd - info.hblkhd) < 1 << 20
read, write = os.pipe()
stream = program.fdopen(write, b"w")
assert program.malloc_info(1, stream) == 22
assert program.malloc_info(0, stream) == 0
program.fclose(stream)
document = tree.fromstring(os.read(read, 1 << 16))
assert document.get("version") == "1" and document.get("allocator") == sys.argv[1]
sizes = [(int(row.get("from")), int(row.get("to")), int(row.get("total")), int(row.get("count")))
         for row in document.iter("size")]
assert all(first <= last and total == last * count for first, last, total, count in sizes)
many = [(first, last) for first, last, total, count in sizes if count >= 1000]
assert own_pages or any(first <= 300 <= last for first, last in many), sizes
assert int(document.find("system").get("size")) >= 8 << 20
program.malloc_stats()
"""
    direct = engine.policy_set()["back"]["kind"] == "direct"
    name = f"{engine.name} {engine.digest}"
    answer = run(library, [sys.executable, "-I", "-S", "-c", text, name, str(direct)])
    assert answer.returncode == 0, answer.stderr
    first, *rest = answer.stderr.splitlines()
    assert first == name
    said = {line.partition(" = ")[0].strip(): int(line.partition(" = ")[2]) for line in rest}
    assert said["mapped bytes"] >= said["live bytes"] >= said["large bytes"] >= 8 << 20


def test_what_begins_as_zeroes_is_not_in_the_file(library: Path) -> None:
    """A heap whose caches lie in the file is read from it, pages around it too, by every process: half a MiB
    it was."""
    with library.open("rb") as file:
        assert ELFFile(file).get_section_by_name(".data").data_size < 32 << 10
