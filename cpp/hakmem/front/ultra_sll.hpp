// Ultra-SLL: the intrusive LIFO per class without a count: the shortest push and pop there are, and no bound but what
// the thread itself once had live; the engine empties it at every decay. For heaps that own their slabs only. The owning
// thread's.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct UltraSllOptions {
  unsigned refill = 64;  // blocks fetched after a miss: 1 .. 256
};

template <UltraSllOptions O = UltraSllOptions{}>
struct UltraSll {
  static_assert(O.refill >= 1 && O.refill <= 256, "UltraSll: refill must be 1 .. 256");

  template <class Classes, class Links = base::PlainLinks>
  class Type {
   public:
    static constexpr bool kUnbounded = true;

    constexpr Type() noexcept = default;
    void open() noexcept {}

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      base::Block* block = heads_[c];
      if (block == nullptr) [[unlikely]] return nullptr;
      heads_[c] = Links::next(block);
      return block;
    }
    // Only class 0, which is none, is refused.
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      if (c == 0) [[unlikely]] return false;
      Links::link(block, heads_[c]);
      heads_[c] = block;
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept { return base::bounded_capacity(O.refill, Classes::block_size(c)); }
    unsigned flush_want(base::ClassIndex) noexcept { return 0; }
    unsigned size(base::ClassIndex c) const noexcept {
      unsigned n = 0;
      for (const base::Block* block = heads_[c]; block != nullptr; block = Links::next(block)) ++n;
      return n;
    }

    // Whole runs of blocks, at a cost that does not grow with them but for the walk to the end of what is taken.
    base::Chain take_chain(base::ClassIndex c, unsigned n) noexcept {
      return base::cut<Links>(heads_[c], n);
    }
    void put_chain(base::ClassIndex c, base::Chain chain) noexcept {
      base::splice<Links>(heads_[c], chain);
    }
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      return base::each<Links>(take_chain(c, n), sink);
    }

   private:
    base::Block* heads_[Classes::kCount + 1]{};
  };
};

}  // namespace hakmem::front
