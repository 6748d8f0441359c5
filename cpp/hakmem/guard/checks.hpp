// Knows which blocks are live: one bit per 16 bytes of a region, set by malloc and cleared by free. A free of anything
// but the start of a live block finds its bit clear: double frees and frees of inner pointers are found at once, for
// every block of a slab. (Blocks outside slabs are checked by the back that holds them.) Any thread; one locked
// operation per malloc and per free.
#pragma once

#include <hakmem/guard/none.hpp>

namespace hakmem::guard {

struct Checks : None {
  static constexpr bool kEnabled = true;

  template <std::size_t kRegion>
  class Map {
   public:
    void set(std::size_t offset) noexcept {
      __atomic_fetch_or(&live_[offset / 16 / 64], bit(offset), __ATOMIC_RELAXED);
    }
    // False: there was no live block here.
    bool clear(std::size_t offset) noexcept {
      if (offset % 16 != 0) return false;
      return (__atomic_fetch_and(&live_[offset / 16 / 64], ~bit(offset), __ATOMIC_RELAXED) & bit(offset)) != 0;
    }

    bool live(std::size_t offset) const noexcept {
      return offset % 16 == 0 && (base::relaxed_load(live_[offset / 16 / 64]) & bit(offset)) != 0;
    }

   private:
    static std::uint64_t bit(std::size_t offset) noexcept { return std::uint64_t{1} << (offset / 16 % 64); }
    std::uint64_t live_[kRegion / 16 / 64];
  };
};

}  // namespace hakmem::guard
