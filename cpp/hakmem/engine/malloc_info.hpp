// glibc's reports, answered from an engine's own totals: mallinfo2, malloc_stats and malloc_info. Any thread, while others
// work. Nothing here allocates but the C library's stream that malloc_info is given.
#pragma once

#include <malloc.h>

#include <cerrno>
#include <climits>
#include <cstdio>

#include <hakmem/engine/statistics.hpp>

namespace hakmem::engine {

template <class Engine>
Totals<Engine> serial_totals() noexcept {
  typename Engine::Serial serial;
  return totals<Engine>();
}

// In bytes, but for the two counts: `arena` all that is mapped and no large block; `uordblks` of it live, `fordblks` the
// rest; `hblks` large blocks of `hblkhd`; `fsmblks` in caches; `keepcost` what malloc_trim would give back at once.
template <class Engine>
struct mallinfo2 mallinfo2_of() noexcept {
  const auto sum = serial_totals<Engine>();
  struct mallinfo2 info {};
  info.hblks = Engine::parts().large.count();
  info.hblkhd = sum.large;
  info.arena = sum.mapped > sum.large ? sum.mapped - sum.large : 0;
  info.uordblks = sum.live > sum.large ? sum.live - sum.large : 0;
  info.fordblks = info.arena > info.uordblks ? info.arena - info.uordblks : 0;
  info.fsmblks = sum.cached;
  info.keepcost = Engine::parts().regions.bytes();
  return info;
}

// The same in ints; what does not fit is INT_MAX.
inline struct mallinfo narrowed(const struct mallinfo2& wide) noexcept {
  const auto narrow = [](std::size_t n) { return n > INT_MAX ? INT_MAX : static_cast<int>(n); };
  struct mallinfo info {};
  info.arena = narrow(wide.arena);
  info.hblks = narrow(wide.hblks);
  info.hblkhd = narrow(wide.hblkhd);
  info.fsmblks = narrow(wide.fsmblks);
  info.uordblks = narrow(wide.uordblks);
  info.fordblks = narrow(wide.fordblks);
  info.keepcost = narrow(wide.keepcost);
  return info;
}

// Text on standard error, a line each.
template <class Engine>
void print_stats() noexcept {
  const auto sum = serial_totals<Engine>();
  std::fprintf(stderr,
               "%s %s\nmapped bytes     = %10zu\nlive bytes       = %10zu\ncached bytes     = %10zu\n"
               "in transit bytes = %10zu\nlarge bytes      = %10zu\nthread heaps     = %10zu\n",
               Engine::Variant::kName, Engine::Variant::kDigest, sum.mapped, sum.live, sum.cached, sum.transit, sum.large,
               sum.heaps);
}

// XML in the shape of glibc's version 1: the classes as one heap's sizes, then the totals. `options` must be 0.
template <class Engine>
int write_info(int options, std::FILE* stream) noexcept {
  if (options != 0) return EINVAL;
  const auto sum = serial_totals<Engine>();
  std::fprintf(stream, "<malloc version=\"1\" allocator=\"%s %s\">\n<heap nr=\"0\">\n<sizes>\n", Engine::Variant::kName,
               Engine::Variant::kDigest);
  std::size_t from = 1;
  for (base::ClassIndex c = 1; c < sum.kClasses; ++c) {
    const std::size_t bytes = Engine::class_bytes(c);
    if (bytes == 0) continue;
    if (sum.out_of[c] != 0) {
      std::fprintf(stream, "  <size from=\"%zu\" to=\"%zu\" total=\"%zu\" count=\"%zu\"/>\n", from, bytes,
                   sum.out_of[c] * bytes, sum.out_of[c]);
    }
    from = bytes + 1;
  }
  std::fprintf(stream,
               "</sizes>\n</heap>\n<total type=\"fast\" size=\"%zu\"/>\n<total type=\"rest\" size=\"%zu\"/>\n"
               "<total type=\"mmap\" count=\"%zu\" size=\"%zu\"/>\n<system type=\"current\" size=\"%zu\"/>\n</malloc>\n",
               sum.cached, sum.live - (sum.large < sum.live ? sum.large : sum.live),
               static_cast<std::size_t>(Engine::parts().large.count()), sum.large, sum.mapped);
  return std::ferror(stream) != 0 ? EIO : 0;
}

}  // namespace hakmem::engine
