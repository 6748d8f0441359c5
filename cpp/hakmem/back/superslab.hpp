// The two backs, as tags; engine/ puts the parts together.
// SuperSlab: small blocks from slabs, medium ones from page runs, large ones from regions of their own.
#pragma once

#include <cstdint>

#include <hakmem/base/types.hpp>

namespace hakmem::back {

// What the processor is asked for when a refill gives a block to a front.
enum class RefillHint : std::uint8_t {
  kNone,
  kNear,         // the block's first line, in the nearest cache
  kNonTemporal,  // the same, where it displaces least
};

struct SuperSlabOptions {
  unsigned run_cache_kib = 16384;  // back/run_cache.hpp: medium blocks that a thread keeps: 0 .. 65536; none with eager purge
  unsigned realloc_room_percent = 50;  // more than asked for, in a small block that realloc moves to grow: 0 .. 100
  RefillHint refill_hint = RefillHint::kNear;
};

template <SuperSlabOptions O = SuperSlabOptions{}>
struct SuperSlab {
  static_assert(O.run_cache_kib <= 65536, "SuperSlab: run_cache_kib must be 0 .. 65536");
  static_assert(O.realloc_room_percent <= 100, "SuperSlab: realloc_room_percent must be 0 .. 100");
  static constexpr bool kDirect = false;
  static constexpr std::size_t kRunCacheBytes = std::size_t{O.run_cache_kib} << 10;
  static constexpr unsigned kReallocRoomPercent = O.realloc_room_percent;

  // A block that the program will soon write to. Asked for as if it were read: for a write, compilers that have prefetchw know
  // no other kind.
  static void hint([[maybe_unused]] const void* block) noexcept {
    if constexpr (O.refill_hint == RefillHint::kNear) __builtin_prefetch(block, 0, 3);
    if constexpr (O.refill_hint == RefillHint::kNonTemporal) __builtin_prefetch(block, 0, 0);
  }
};

}  // namespace hakmem::back
