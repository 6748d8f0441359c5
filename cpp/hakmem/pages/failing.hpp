// Page source that refuses on command: for tests of what a caller does when memory runs out. Wraps another source.
// Any thread, though calls at the same moment may count as one. Calls of reserve, map and extend count.
#pragma once

#include <atomic>

#include <hakmem/base/types.hpp>

namespace hakmem::pages {

template <class Inner>
struct Failing {
  static constexpr auto kOptions = Inner::kOptions;
  static constexpr bool kHugePages = Inner::kHugePages;
  static constexpr long kForEver = -1;

  class Type : public Inner::Type {
    using Base = typename Inner::Type;

   public:
    bool reserve() noexcept { return !refused() && Base::reserve(); }
    void* map(std::size_t bytes, std::size_t align = Base::kGranule, std::size_t offset = 0) noexcept {
      return refused() ? nullptr : Base::map(bytes, align, offset);
    }
    bool extend(void* p, std::size_t bytes, std::size_t wanted) noexcept {
      return !refused() && Base::extend(p, bytes, wanted);
    }
  };

  // n more calls succeed, the `times` after them are refused, then calls succeed again.
  static void fail_from(long n, long times = kForEver) noexcept {
    times_.store(times, std::memory_order_relaxed);
    left_.store(n, std::memory_order_relaxed);
  }
  // The call after n more is refused, alone.
  static void fail_once(long n) noexcept { fail_from(n, 1); }
  static void recover() noexcept { left_.store(kNever, std::memory_order_relaxed); }

  // Calls refused so far.
  static long refusals() noexcept { return refusals_.load(std::memory_order_relaxed); }

 private:
  static constexpr long kNever = -1;
  static bool refused() noexcept {
    const long left = left_.load(std::memory_order_relaxed);
    if (left > 0) left_.store(left - 1, std::memory_order_relaxed);
    if (left != 0) return false;
    refusals_.fetch_add(1, std::memory_order_relaxed);
    if (const long times = times_.load(std::memory_order_relaxed); times != kForEver) {
      times_.store(times - 1, std::memory_order_relaxed);
      if (times <= 1) recover();
    }
    return true;
  }
  static inline constinit std::atomic<long> left_{kNever};
  static inline constinit std::atomic<long> times_{kForEver};
  static inline constinit std::atomic<long> refusals_{0};
};

}  // namespace hakmem::pages
