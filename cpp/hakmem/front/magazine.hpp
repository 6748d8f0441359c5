// Magazine: an array of pointers per class, used as a stack. A free touches neither the block nor its slab; a malloc
// hands out a block whose line may be cold. The owning thread's. Idea: Bonwick and Adams, 2001, "Magazines and vmem".
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct MagazineOptions {
  unsigned slots = 128;  // pointers per class: 8 .. 1024
  unsigned refill = 32;  // blocks fetched after a miss: 1 .. 256, at most slots
};

template <MagazineOptions O = MagazineOptions{}>
struct Magazine {
  static_assert(O.slots >= 8 && O.slots <= 1024, "Magazine: slots must be 8 .. 1024");
  static_assert(O.refill >= 1 && O.refill <= 256 && O.refill <= O.slots,
                "Magazine: refill must be 1 .. 256 and at most slots");

  template <class Classes, class = base::PlainLinks>
  class Type {
   public:
    constexpr Type() noexcept = default;  // every limit is 0: empty and full, the sentinel's state
    void open() noexcept {
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) limits_[c] = limit_of(c);
    }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      const std::uint32_t n = counts_[c];
      if (n == 0) [[unlikely]] return nullptr;
      base::write_in_sight(counts_[c], n - 1);
      return slots_[c][n - 1];
    }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      const std::uint32_t n = counts_[c];
      if (n >= limits_[c]) [[unlikely]] return false;
      slots_[c][n] = block;
      base::write_in_sight(counts_[c], n + 1);
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept { return O.refill < limits_[c] ? O.refill : limits_[c]; }
    unsigned flush_want(base::ClassIndex c) noexcept { return limits_[c] / 2; }
    unsigned size(base::ClassIndex c) const noexcept { return base::relaxed_load(counts_[c]); }

    // The oldest blocks go first: the youngest are the warm ones.
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      const std::uint32_t have = counts_[c];
      if (n > have) n = have;
      for (unsigned i = 0; i < n; ++i) sink(slots_[c][i]);
      for (unsigned i = n; i < have; ++i) slots_[c][i - n] = slots_[c][i];
      base::write_in_sight(counts_[c], have - n);
      return n;
    }

   private:
    static constexpr unsigned limit_of(base::ClassIndex c) noexcept {
      return base::bounded_capacity(O.slots, Classes::block_size(c));
    }

    std::uint32_t counts_[Classes::kCount + 1]{};
    std::uint32_t limits_[Classes::kCount + 1]{};
    base::Block* slots_[Classes::kCount + 1][O.slots]{};
  };
};

}  // namespace hakmem::front
