// Page source that asks the kernel for transparent huge pages: fewer TLB misses on large heaps, more resident memory on
// small ones. Any thread.
#pragma once

#include <hakmem/pages/options.hpp>
#include <hakmem/pages/os_memory.hpp>
#include <hakmem/pages/range.hpp>

namespace hakmem::pages {

template <MmapOptions O = MmapOptions{}>
struct MmapThp {
  static_assert(O.valid(), "MmapThp: an option is out of its range");
  static constexpr MmapOptions kOptions = O;
  static constexpr bool kHugePages = true;
  using Type =
      Range<OsMemory<std::size_t{O.after_mib} << 20>, std::size_t{O.superslab_kib} << 10, std::size_t{O.reserve_gib} << 30>;
};

}  // namespace hakmem::pages
