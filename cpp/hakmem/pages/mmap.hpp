// Page source of ordinary OS pages: one reserved range, never huge pages, so that what is resident is what was touched.
// Any thread.
#pragma once

#include <hakmem/pages/options.hpp>
#include <hakmem/pages/os_memory.hpp>
#include <hakmem/pages/range.hpp>

namespace hakmem::pages {

template <MmapOptions O = MmapOptions{}>
struct Mmap {
  static_assert(O.valid(), "Mmap: an option is out of its range");
  static constexpr MmapOptions kOptions = O;
  static constexpr bool kHugePages = false;
  using Type = Range<OsMemory<kNeverHuge>, std::size_t{O.superslab_kib} << 10, std::size_t{O.reserve_gib} << 30>;
};

}  // namespace hakmem::pages
