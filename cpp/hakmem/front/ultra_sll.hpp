// Ultra-SLL: the intrusive LIFO per class without a count: the shortest push and pop there are, and no bound but what
// the thread itself once had live. For heaps that own their slabs only. The owning thread's.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct UltraSllOptions {
  unsigned refill = 64;  // blocks fetched after a miss: 1 .. 256
};

template <UltraSllOptions O = UltraSllOptions{}>
struct UltraSll {
  static_assert(O.refill >= 1 && O.refill <= 256, "UltraSll: refill must be 1 .. 256");

  template <class Classes>
  class Type {
   public:
    static constexpr bool kUnbounded = true;

    constexpr Type() noexcept = default;
    void open() noexcept {}

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      base::Block* block = heads_[c];
      if (block == nullptr) [[unlikely]] return nullptr;
      heads_[c] = block->next;
      return block;
    }
    // Only class 0, which is none, is refused.
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      if (c == 0) [[unlikely]] return false;
      block->next = heads_[c];
      heads_[c] = block;
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex) noexcept { return O.refill; }
    unsigned flush_want(base::ClassIndex) noexcept { return 0; }
    unsigned size(base::ClassIndex c) const noexcept {
      unsigned n = 0;
      for (const base::Block* block = heads_[c]; block != nullptr; block = block->next) ++n;
      return n;
    }

    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      unsigned done = 0;
      for (; done < n; ++done) {
        base::Block* block = pop(c);
        if (block == nullptr) break;
        sink(block);
      }
      return done;
    }

   private:
    base::Block* heads_[Classes::kCount + 1]{};
  };
};

}  // namespace hakmem::front
