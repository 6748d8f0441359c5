// Stack: a first front over a second one. A pop that misses the first takes from the second and brings up to `cascade`
// more along; blocks move one way, up, and spill from the second. The owning thread's.
// Idea: hakmem's cascade from SLL to SFC, and BENCH_FASTPATH, whose caches were filled beforehand (`prewarm`).
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct StackOptions {
  unsigned cascade = 16;  // blocks moved up after a miss of the first front: 1 .. 64
  unsigned prewarm = 0;   // blocks per class fetched when a thread starts: 0 .. 128
};

template <StackOptions O, class First, class Second>
struct Stack {
  static_assert(O.cascade >= 1 && O.cascade <= 64, "Stack: cascade must be 1 .. 64");
  static_assert(O.prewarm <= 128, "Stack: prewarm must be 0 .. 128");

  template <class Classes, class Links = base::PlainLinks>
  class Type {
    using FirstFront = typename First::template Type<Classes, Links>;
    using SecondFront = typename Second::template Type<Classes, Links>;
    static_assert(SecondFront::covers(1) && SecondFront::covers(Classes::kCount), "Stack: second must cover every class");

   public:
    static constexpr bool kUnbounded = requires { FirstFront::kUnbounded; } || requires { SecondFront::kUnbounded; };
    static constexpr bool kGrows = requires { requires FirstFront::kGrows; } || requires { requires SecondFront::kGrows; };
    static constexpr unsigned kPrewarm = O.prewarm;

    constexpr Type() noexcept = default;
    void open() noexcept {
      first_.open();
      second_.open();
    }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      base::Block* block = first_.pop(c);
      if (block != nullptr) [[likely]] return block;
      return cascade_and_pop(c);
    }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      if (first_.push(c, block)) [[likely]] return true;
      return second_.push(c, block);
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept { return second_.refill_want(c); }
    unsigned flush_want(base::ClassIndex c) noexcept { return second_.flush_want(c); }
    unsigned size(base::ClassIndex c) const noexcept { return first_.size(c) + second_.size(c); }
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      const unsigned done = second_.drain(c, n, sink);
      return done + first_.drain(c, n - done, sink);
    }

   private:
    HAKMEM_COLD base::Block* cascade_and_pop(base::ClassIndex c) noexcept {
      base::Block* block = second_.pop(c);
      if (block == nullptr) return nullptr;
      for (unsigned i = 0; i < O.cascade; ++i) {
        base::Block* more = second_.pop(c);
        if (more == nullptr) break;
        if (!first_.push(c, more)) {
          second_.push(c, more);
          break;
        }
      }
      return block;
    }

    FirstFront first_;
    SecondFront second_;
  };
};

}  // namespace hakmem::front
