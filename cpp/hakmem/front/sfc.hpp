// SFC, the Super Front Cache: intrusive LIFO with a count and a capacity per class; it spills when it is more than
// spill_percent full, down to half. The owning thread's. Alone, or over another front in a `stack`.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct SfcOptions {
  unsigned cap = 256;           // blocks held per class: 16 .. 256
  unsigned refill = 128;        // blocks fetched after a miss: 1 .. 256, at most the spill mark
  unsigned spill_percent = 90;  // fullness at which a push spills: 50 .. 100
};

template <SfcOptions O = SfcOptions{}>
struct Sfc {
  static constexpr unsigned kMark = O.cap * O.spill_percent / 100;
  static_assert(O.cap >= 16 && O.cap <= 256, "Sfc: cap must be 16 .. 256");
  static_assert(O.spill_percent >= 50 && O.spill_percent <= 100, "Sfc: spill_percent must be 50 .. 100");
  static_assert(O.refill >= 1 && O.refill <= 256, "Sfc: refill must be 1 .. 256");
  static constexpr unsigned kRefill = O.refill < kMark ? O.refill : kMark;

  template <class Classes, class Links = base::PlainLinks>
  class Type {
   public:
    constexpr Type() noexcept = default;  // every mark is 0: empty and full, the sentinel's state
    void open() noexcept {
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) marks_[c] = base::bounded_capacity(kMark, Classes::block_size(c));
    }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      base::Block* block = heads_[c];
      if (block == nullptr) [[unlikely]] return nullptr;
      heads_[c] = Links::next(block);
      base::write_in_sight(counts_[c], counts_[c] - 1u);
      return block;
    }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      if (counts_[c] >= marks_[c]) [[unlikely]] return false;
      base::write_in_sight(counts_[c], counts_[c] + 1u);
      Links::link(block, heads_[c]);
      heads_[c] = block;
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept { return kRefill < marks_[c] ? kRefill : marks_[c]; }
    unsigned flush_want(base::ClassIndex c) noexcept { return counts_[c] - counts_[c] / 2; }
    unsigned size(base::ClassIndex c) const noexcept { return base::relaxed_load(counts_[c]); }

    // Whole runs of blocks, at a cost that does not grow with them but for the walk to the end of what is taken.
    base::Chain take_chain(base::ClassIndex c, unsigned n) noexcept {
      const base::Chain chain = base::cut<Links>(heads_[c], n);
      base::write_in_sight(counts_[c], counts_[c] - chain.count);
      return chain;
    }
    void put_chain(base::ClassIndex c, base::Chain chain) noexcept {
      base::splice<Links>(heads_[c], chain);
      base::write_in_sight(counts_[c], counts_[c] + chain.count);
    }
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      return base::each<Links>(take_chain(c, n), sink);
    }

   private:
    base::Block* heads_[Classes::kCount + 1]{};
    std::uint32_t counts_[Classes::kCount + 1]{};
    std::uint32_t marks_[Classes::kCount + 1]{};
  };
};

}  // namespace hakmem::front
