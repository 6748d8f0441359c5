"""A source tree with a core of empty policies over libc, for testing the build machinery in a second.

Its policy headers are written from the table of axes, so compiling them also checks that a generated
header names options that exist, in the order of their declaration.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from hakmem import axes, sources

_TABLE = """
#include "hakmem_variant.hpp"
#include "hakmem/engine/engine_table.hpp"
#include <cstdlib>
#include <malloc.h>
namespace hakmem {
using V = Variant;
static_assert(sizeof(V::Front) && sizeof(V::Classes) && sizeof(V::Store) && sizeof(V::Owner));
static_assert(sizeof(V::Remote) && sizeof(V::Pages) && sizeof(V::Thread) && sizeof(V::Guard));
static_assert(sizeof(V::Probe) && sizeof(V::Back));
std::size_t statistics(char* json, std::size_t n) noexcept {
  if (n > 1) { json[0] = '{'; json[1] = '}'; }
  return 2;
}
constexpr std::size_t kSalt = sizeof(V::Front) + 2 * sizeof(V::Owner) + 4 * sizeof(V::Remote);
const EngineTable engine_table = {
  V::kName, V::kDigest, V::kPolicySet,
  [](std::size_t n) noexcept { return std::malloc(n + kSalt); },
  [](std::size_t c, std::size_t n) noexcept { return std::calloc(c, n); },
  [](void* p, std::size_t n) noexcept { return std::realloc(p, n); },
  [](std::size_t a, std::size_t n) noexcept { return std::aligned_alloc(a, n); },
  [](void* p) noexcept { std::free(p); },
  [](const void* p) noexcept { return ::malloc_usable_size(const_cast<void*>(p)); },
  [](const void*) noexcept { return true; },
  &statistics, []() noexcept {}, 0, [](std::size_t) noexcept { return std::size_t{16}; }};
}
"""

_LIBRARY = """
#include "hakmem_variant.hpp"
#define EXPORT extern "C" __attribute__((visibility("default")))
EXPORT const char* hakmem_id() { static char id[128]; char* to = id;
  for (const char* c = hakmem::Variant::kName; *c; ++c) *to++ = *c;
  *to++ = ' ';
  for (const char* c = hakmem::Variant::kDigest; *c; ++c) *to++ = *c;
  return id; }
EXPORT const char* hakmem_policy_set() { return hakmem::Variant::kPolicySet; }
"""

_MODULE = """
#include <Python.h>
#include "hakmem/engine/engine_table.hpp"
using hakmem::engine_table;
static PyObject* name(PyObject*, PyObject*) { return PyUnicode_FromString(engine_table.name); }
static PyObject* digest(PyObject*, PyObject*) { return PyUnicode_FromString(engine_table.digest); }
static PyObject* policy_set(PyObject*, PyObject*) { return PyUnicode_FromString(engine_table.policy_set); }
static PyObject* nothing(PyObject*, PyObject*) { Py_RETURN_NONE; }
#define F(n, f) {#n, f, METH_VARARGS, nullptr}
static PyMethodDef functions[] = {
  F(name, name), F(digest, digest), F(policy_set, policy_set), F(malloc, nothing), F(calloc, nothing),
  F(realloc, nothing), F(aligned_alloc, nothing), F(free, nothing), F(usable_size, nothing),
  F(owns, nothing), F(collect, nothing), F(read, nothing), F(write, nothing), {nullptr, nullptr, 0, nullptr}};
static PyModuleDef definition = {
  PyModuleDef_HEAD_INIT, "_engine", nullptr, -1, functions, nullptr, nullptr, nullptr, nullptr};
PyMODINIT_FUNC PyInit__engine() { return PyModule_Create(&definition); }
"""


def _policy_header(axis: axes.Axis, kind: axes.Kind) -> str:
    space = f"namespace hakmem::{axis.folder}"
    if not kind.options:
        return f"#pragma once\n{space} {{ struct {kind.tag} {{}}; }}\n"
    options = f"{kind.tag}Options"
    guard = f"HAKMEM_STUB_{axis.folder}_{options}"
    enums, members, inner = "", "", 0
    for option in kind.options:
        if option.type == "policy":
            inner += 1
        elif option.type == "choice":
            values = ", ".join(f"k{choice.capitalize()}" for choice in option.choices)
            enums += f"enum class {option.choice_type} {{ {values} }};\n"
            members += f"  {option.choice_type} {option.name};\n"
        elif option.type in ("ints", "sizes"):
            members += f"  int {option.name}[{option.count}];\n"
        else:
            members += f"  {'bool' if option.type == 'bool' else 'unsigned long'} {option.name};\n"
    parameters = f"{options} O" + "".join(f", class T{index}" for index in range(inner))
    return (
        f"#pragma once\n#ifndef {guard}\n#define {guard}\n{space} "
        f"{{\n{enums}struct {options} {{\n{members}}};\n}}\n#endif\n"
        f"{space} {{ template <{parameters}> struct {kind.tag} {{ char size[1 + {len(kind.name)}]; }}; }}\n"
    )


def write(folder: Path) -> Path:
    """Make the tree in ``folder`` from the real CMake files and kept variants, and return it."""
    top = sources.root()
    shutil.copytree(top / "cmake", folder / "cmake")
    shutil.copy2(top / "CMakeLists.txt", folder)
    shutil.copytree(top / "variants", folder / "variants")
    for axis in axes.AXES:
        for kind in axis.kinds:
            path = folder / "cpp" / "hakmem" / axis.folder / kind.header
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(_policy_header(axis, kind), encoding="utf-8")
    source = folder / "cpp" / "src"
    source.mkdir()
    texts = {
        "variant_table.cpp": _TABLE,
        "variant_malloc.cpp": _LIBRARY,
        "module.cpp": _MODULE,
        "table_runner.cpp": "namespace hakmem { int table_runner_stub; }\n",
        "null_malloc.cpp": "extern int null_malloc_stub;\n",
        "runner.cpp": "int main() { return 0; }\n",
        "recorder.cpp": "extern int recorder_stub;\n",
        "merge.cpp": "int main() { return 0; }\n",
        "plan.cpp": "int main() { return 0; }\n",
    }
    for real in ("src/witness.cpp", "hakmem/base/decimal.hpp", "hakmem/engine/engine_table.hpp"):
        (folder / "cpp" / real).parent.mkdir(exist_ok=True)
        shutil.copy2(top / "cpp" / real, folder / "cpp" / real)
    for name, text in texts.items():
        (source / name).write_text(text, encoding="utf-8")
    return folder
