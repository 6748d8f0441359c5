// Who serves this process: the files that hold the functions which its calls of malloc and its kin reach, the malloc
// library that says so of itself, and how many of a run's sampled blocks were the contestant's own.
#pragma once

#include <dlfcn.h>

#include <cstdlib>
#include <string>

#include <hakmem/bench/json.hpp>
#include <hakmem/bench/run.hpp>

namespace hakmem::bench {

// The file that holds the function which this program's calls of `symbol` reach.
inline std::string home(const char* symbol, const void* called) {
  const void* found = ::dlsym(RTLD_DEFAULT, symbol);
  Dl_info info{};
  if (!found || !::dladdr(found, &info) || !info.dli_fname) return "";
  return found == called ? info.dli_fname : std::string(info.dli_fname) + " (not what is called)";
}

inline std::string served_json(const Run& run) {
  Json json;
  const auto id = reinterpret_cast<const char* (*)()>(::dlsym(RTLD_DEFAULT, "hakmem_id"));
  if (id) {
    json.text("id", id());
  } else {
    json.raw("id", "null");
  }
  json.text("malloc", home("malloc", reinterpret_cast<const void*>(&::malloc)))
      .text("free", home("free", reinterpret_cast<const void*>(&::free)))
      .text("calloc", home("calloc", reinterpret_cast<const void*>(&::calloc)))
      .text("realloc", home("realloc", reinterpret_cast<const void*>(&::realloc)))
      .number("sampled", run.sampled)
      .number("owned", run.owned);
  return json.str();
}

}  // namespace hakmem::bench
