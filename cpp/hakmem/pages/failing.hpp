// Page source that refuses on command: for tests of what a caller does when memory runs out. Wraps another source.
// Any thread. `fail_from(n)`: n more calls of map or extend succeed, all after them are refused; `recover()` ends that.
#pragma once

#include <atomic>

#include <hakmem/base/types.hpp>

namespace hakmem::pages {

template <class Inner>
struct Failing {
  static constexpr auto kOptions = Inner::kOptions;
  static constexpr bool kHugePages = Inner::kHugePages;

  class Type : public Inner::Type {
    using Base = typename Inner::Type;

   public:
    void* map(std::size_t bytes, std::size_t align = Base::kGranule, std::size_t offset = 0) noexcept {
      return refused() ? nullptr : Base::map(bytes, align, offset);
    }
    bool extend(void* p, std::size_t bytes, std::size_t wanted) noexcept {
      return !refused() && Base::extend(p, bytes, wanted);
    }
  };

  static void fail_from(long n) noexcept { left_.store(n, std::memory_order_relaxed); }
  static void recover() noexcept { left_.store(kNever, std::memory_order_relaxed); }

 private:
  static constexpr long kNever = -1;
  static bool refused() noexcept {
    long left = left_.load(std::memory_order_relaxed);
    if (left > 0) left_.store(left - 1, std::memory_order_relaxed);
    return left == 0;
  }
  static inline constinit std::atomic<long> left_{kNever};
};

}  // namespace hakmem::pages
