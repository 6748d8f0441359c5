// What the page sources that map memory share: their options.
#pragma once

#include <cstdint>

namespace hakmem::pages {

enum class Purge : std::uint8_t {
  kNever,  // empty memory stays resident until its cache is full
  kDecay,  // empty memory is given back when it has not been needed for half of decay_ms to all of it
  kEager,  // empty memory is given back at once
};

struct MmapOptions {
  unsigned superslab_kib = 1024;     // bytes of a SuperSlab and alignment of every region: 64 .. 4096, a power of two
  unsigned reserve_gib = 1024;       // addresses reserved, not memory: 1 .. 16384, a power of two
  Purge purge = Purge::kDecay;
  std::uint64_t decay_ms = 1000;     // 1 .. 3600000
  unsigned large_cache_mib = 64;     // empty regions kept for reuse: 0 .. 65536

  constexpr bool valid() const noexcept {
    return superslab_kib >= 64 && superslab_kib <= 4096 && (superslab_kib & (superslab_kib - 1)) == 0 &&
           reserve_gib >= 1 && reserve_gib <= 16384 && (reserve_gib & (reserve_gib - 1)) == 0 && decay_ms >= 1 &&
           decay_ms <= 3600000 && large_cache_mib <= 65536;
  }
};

}  // namespace hakmem::pages
