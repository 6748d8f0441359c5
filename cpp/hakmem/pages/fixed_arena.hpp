// Page source over a fixed number of bytes: what a test, or a target without an OS, has. It refuses when it is full.
// Any thread. Each tag type has its own arena.
#pragma once

#include <cstring>

#include <hakmem/pages/options.hpp>
#include <hakmem/pages/range.hpp>

namespace hakmem::pages {

template <std::size_t kBytes, class Tag>
struct StaticMemory {
  struct Reserved {
    void* start;
    std::size_t bytes;
  };
  static Reserved reserve(std::size_t, std::size_t align) noexcept {
    const std::uintptr_t start = base::align_up(base::address(arena), align);
    return {reinterpret_cast<void*>(start), (kBytes - (start - base::address(arena))) / align * align};
  }
  static bool commit(void*, std::size_t) noexcept { return true; }
  static void begin_blocks(void*, std::size_t) noexcept {}
  static void forbid_writes(void*, std::size_t) noexcept {}
  static void discard(void* p, std::size_t bytes) noexcept { std::memset(p, 0, bytes); }

  static inline constinit std::byte arena[kBytes]{};
};

template <std::size_t kBytes, class Tag, MmapOptions O = MmapOptions{}>
struct FixedArena {
  static_assert(O.valid(), "FixedArena: an option is out of its range");
  static constexpr MmapOptions kOptions = O;
  static constexpr bool kHugePages = false;
  using Type = Range<StaticMemory<kBytes, Tag>, std::size_t{O.superslab_kib} << 10, kBytes>;
};

}  // namespace hakmem::pages
