// HotMag: an array of 128 pointers for each of the smallest classes only; other classes are not its business, so it
// stands under `split` or `stack`. The owning thread's.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct HotMagOptions {
  unsigned slots = 128;  // pointers per class: 8 .. 1024
  unsigned classes = 3;  // classes 1 .. this are covered: 1 .. 8
  unsigned refill = 32;  // blocks fetched after a miss: 1 .. 256, at most slots
};

template <HotMagOptions O = HotMagOptions{}>
struct HotMag {
  static_assert(O.slots >= 8 && O.slots <= 1024, "HotMag: slots must be 8 .. 1024");
  static_assert(O.classes >= 1 && O.classes <= 8, "HotMag: classes must be 1 .. 8");
  static_assert(O.refill >= 1 && O.refill <= 256 && O.refill <= O.slots,
                "HotMag: refill must be 1 .. 256 and at most slots");

  template <class Classes, class = base::PlainLinks>
  class Type {
   public:
    constexpr Type() noexcept = default;  // limit 0: empty and full, the sentinel's state
    void open() noexcept { limit_ = O.slots; }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      if (c > O.classes) return nullptr;
      const std::uint32_t n = counts_[c];
      if (n == 0) [[unlikely]] return nullptr;
      base::write_in_sight(counts_[c], n - 1);
      return slots_[c][n - 1];
    }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      if (c - 1 >= O.classes) return false;
      const std::uint32_t n = counts_[c];
      if (n >= limit_) [[unlikely]] return false;
      slots_[c][n] = block;
      base::write_in_sight(counts_[c], n + 1);
      return true;
    }

    static constexpr bool covers(base::ClassIndex c) noexcept { return c >= 1 && c <= O.classes; }
    unsigned refill_want(base::ClassIndex c) noexcept { return covers(c) ? O.refill : 0; }
    unsigned flush_want(base::ClassIndex c) noexcept { return covers(c) ? O.slots / 2 : 0; }
    unsigned size(base::ClassIndex c) const noexcept { return covers(c) ? base::relaxed_load(counts_[c]) : 0; }

    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      if (!covers(c)) return 0;
      const std::uint32_t have = counts_[c];
      if (n > have) n = have;
      for (unsigned i = 0; i < n; ++i) sink(slots_[c][i]);
      for (unsigned i = n; i < have; ++i) slots_[c][i - n] = slots_[c][i];
      base::write_in_sight(counts_[c], have - n);
      return n;
    }

   private:
    std::uint32_t limit_ = 0;
    std::uint32_t counts_[O.classes + 1]{};
    base::Block* slots_[O.classes + 1][O.slots]{};
  };
};

}  // namespace hakmem::front
