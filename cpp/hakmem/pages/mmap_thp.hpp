// Page source that asks the kernel for transparent huge pages: fewer TLB misses on large heaps, more resident memory on
// small ones. Any thread.
#pragma once

#include <hakmem/pages/options.hpp>
#include <hakmem/pages/os_memory.hpp>
#include <hakmem/pages/range.hpp>

namespace hakmem::pages {

struct MmapThpOptions {
  unsigned superslab_kib = MmapOptions{}.superslab_kib;
  unsigned reserve_gib = MmapOptions{}.reserve_gib;
  Purge purge = MmapOptions{}.purge;
  std::uint64_t decay_ms = MmapOptions{}.decay_ms;
  unsigned large_cache_mib = MmapOptions{}.large_cache_mib;
  unsigned after_mib = 8;  // MiB that the heap has on ordinary OS pages first: 0 .. 65536

  constexpr MmapOptions shared() const noexcept { return {superslab_kib, reserve_gib, purge, decay_ms, large_cache_mib}; }
  constexpr bool valid() const noexcept { return shared().valid() && after_mib <= 65536; }
};

template <MmapThpOptions O = MmapThpOptions{}>
struct MmapThp {
  static_assert(O.valid(), "MmapThp: an option is out of its range");
  static constexpr MmapOptions kOptions = O.shared();
  static constexpr bool kHugePages = true;
  using Type =
      Range<OsMemory<std::size_t{O.after_mib} << 20>, std::size_t{O.superslab_kib} << 10, std::size_t{O.reserve_gib} << 30>;
};

}  // namespace hakmem::pages
