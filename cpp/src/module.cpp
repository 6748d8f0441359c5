// The Python module `_engine` of every variant: functions only, over `extern const EngineTable engine_table`.
// Compiled once and linked with each variant's table, so it names no policy. Pointers cross as int, JSON as str.
// Every function may be called from any Python thread; run_workload releases the GIL while it works.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "hakmem/bench/table_runner.hpp"
#include "hakmem/engine/engine_table.hpp"

namespace py = pybind11;

namespace {

using hakmem::engine_table;
using Address = std::uintptr_t;

Address to_address(const void* p) { return reinterpret_cast<Address>(p); }
void* to_pointer(Address a) { return reinterpret_cast<void*>(a); }

std::string statistics() {
  std::string text(4096, '\0');
  for (;;) {
    const std::size_t length = engine_table.statistics(text.data(), text.size());
    const bool whole = length <= text.size();
    text.resize(length);
    if (whole) return text;
  }
}

std::vector<std::size_t> class_bytes() {
  std::vector<std::size_t> bytes;
  for (std::size_t i = 1; i <= engine_table.class_count; ++i) {
    if (engine_table.class_bytes(i) != 0) bytes.push_back(engine_table.class_bytes(i));
  }
  return bytes;
}

}  // namespace

PYBIND11_MODULE(_engine, m) {
  m.doc() = "One variant of hakmem: its malloc family and its workloads.";
  m.def("name", [] { return engine_table.name; }, "Name of the variant.");
  m.def("digest", [] { return engine_table.digest; }, "Digest that was compiled in.");
  m.def("policy_set", [] { return engine_table.policy_set; }, "Policy set that was compiled in, as JSON.");

  m.def("malloc", [](std::size_t n) { return to_address(engine_table.malloc(n)); }, py::arg("n"),
        "Address of a block of at least n bytes; 0 when there is no memory.");
  m.def("calloc", [](std::size_t count, std::size_t n) { return to_address(engine_table.calloc(count, n)); },
        py::arg("count"), py::arg("n"), "Address of count * n zeroed bytes; 0 on overflow or without memory.");
  m.def("realloc", [](Address p, std::size_t n) { return to_address(engine_table.realloc(to_pointer(p), n)); },
        py::arg("p"), py::arg("n"), "Address of the block grown or shrunk to n bytes; 0 leaves the block as it was.");
  m.def("aligned_alloc",
        [](std::size_t align, std::size_t n) { return to_address(engine_table.aligned_alloc(align, n)); },
        py::arg("align"), py::arg("n"), "Address of n bytes aligned to a power of two; 0 for a bad alignment.");
  m.def("free", [](Address p) { engine_table.free(to_pointer(p)); }, py::arg("p"), "Give a block back; 0 is ignored.");
  m.def("usable_size", [](Address p) { return engine_table.usable_size(to_pointer(p)); }, py::arg("p"),
        "Bytes that may be used at p.");
  m.def("owns", [](Address p) { return engine_table.owns(to_pointer(p)); }, py::arg("p"),
        "Whether p points into memory of this engine.");
  m.def("statistics", &statistics, "Statistics as JSON text.");
  m.def("collect", [] { engine_table.collect(); }, py::call_guard<py::gil_scoped_release>(),
        "Empty the calling thread's caches and return free memory to the operating system.");
  m.def("class_bytes", &class_bytes, "What a program can use of a block of each size class that is served, in bytes, smallest first.");

  m.def("run_workload",
        [](const std::string& name, const std::vector<std::pair<std::string, std::string>>& parameters) {
          return hakmem::run_workload_json(engine_table, name, parameters);
        },
        py::arg("name"), py::arg("parameters"), py::call_guard<py::gil_scoped_release>(),
        "Run a workload and return its row as JSON text; ValueError names a wrong name or parameter.");

  m.def("read", [](Address p, std::size_t n) { return py::bytes(static_cast<const char*>(to_pointer(p)), n); },
        py::arg("p"), py::arg("n"), "Copy of the n bytes at p.");
  m.def("write",
        [](Address p, const py::bytes& content) {
          char* bytes = nullptr;
          Py_ssize_t length = 0;
          if (PyBytes_AsStringAndSize(content.ptr(), &bytes, &length) != 0) throw py::error_already_set();
          std::memcpy(to_pointer(p), bytes, static_cast<std::size_t>(length));
        },
        py::arg("p"), py::arg("content"), "Copy bytes to p.");
}
