"""A peer for machines that have none: a malloc library of a few lines over glibc's own, built in a second.

It says version 3.14.15 of itself. Kinds: "plain"; "trap" ends the process that asks for 4321 bytes; "unbound"
calls a function that nobody has, so no process can load it; "partial" has no calloc; "guest" has only the
version; "counting" says at the end of a process how many blocks are alive.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from hakmem import toolchain

_SOURCE = """
#include <atomic>
#include <cstddef>
#include <cstdio>
static std::atomic<long> live{0};
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void __libc_free(void*);
void nobody_has_this();
#ifndef GUEST
void* malloc(std::size_t n) {
  live.fetch_add(1, std::memory_order_relaxed);
#ifdef TRAP
  if (n == 4321) __builtin_trap();
#endif
#ifdef UNBOUND
  nobody_has_this();
#endif
  return __libc_malloc(n);
}
#ifndef PARTIAL
void* calloc(std::size_t count, std::size_t n) { live.fetch_add(1, std::memory_order_relaxed);
  return __libc_calloc(count, n); }
#endif
void* realloc(void* p, std::size_t n) {
  if (!p) live.fetch_add(1, std::memory_order_relaxed);
  return __libc_realloc(p, n);
}
void free(void* p) {
  if (p) live.fetch_sub(1, std::memory_order_relaxed);
  __libc_free(p);
}
#ifdef COUNTING
[[gnu::destructor]] void say() { std::fprintf(stderr, "%ld blocks are alive\\n", live.load()); }
#endif
#endif
int mi_version() { return 31415; }
}
"""


def build(library: Path, kind: str = "plain") -> Path:
    """Compile the library of a kind."""
    library.parent.mkdir(parents=True, exist_ok=True)
    options = ["-std=c++20", "-O2", "-shared", "-fPIC", "-fno-builtin", "-Wl,-z,now", f"-D{kind.upper()}"]
    command = [str(toolchain.find_compiler()), *options, "-x", "c++", "-", "-o", str(library)]
    subprocess.run(command, input=_SOURCE, text=True, check=True)
    return library
