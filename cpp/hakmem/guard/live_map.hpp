// Which blocks of a region's slabs are live: one bit per 16 bytes, set by malloc and cleared by free. Any thread; one locked
// operation per change.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::guard {

template <std::size_t kRegion>
class LiveMap {
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

}  // namespace hakmem::guard
