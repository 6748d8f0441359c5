// The first allocation of a process, timed before any constructor has run: malloc, one write, free. The executable puts
// time_first_allocation into its .preinit_array: that runs once symbols are bound, before the constructors of the C++
// library and of a preloaded one, so no malloc of this process came before it (the loader's own aside).
#pragma once

#include <time.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include <hakmem/bench/null_allocator.hpp>

namespace hakmem::bench {

inline constinit std::uint64_t first_allocation_ns = 0;

inline constexpr const char* kStartupFlag = "--startup-child";  // followed by process or null

inline void time_first_allocation(int argc, char** argv, char**) {
  bool null = false;
  for (int i = 1; i + 1 < argc; ++i) null = null || std::strcmp(argv[i + 1], "null") == 0;
  timespec from, to;
  ::clock_gettime(CLOCK_MONOTONIC, &from);  // the first call finds the clock's page; it does not count
  ::clock_gettime(CLOCK_MONOTONIC, &from);
  void* p = null ? hakmem_null_malloc(64) : std::malloc(64);
  *static_cast<volatile std::uint64_t*>(p) = 1;
  null ? hakmem_null_free(p) : std::free(p);
  ::clock_gettime(CLOCK_MONOTONIC, &to);
  first_allocation_ns = static_cast<std::uint64_t>((to.tv_sec - from.tv_sec) * 1'000'000'000 + (to.tv_nsec - from.tv_nsec));
}

}  // namespace hakmem::bench
