// Split: classes 1 .. `at` live in one front, the others in another. One comparison per call, none where the class is
// known. The owning thread's. Idea: hakmem's MINIMAL_FRONT and HotMag, which treated the smallest classes apart.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct SplitOptions {
  unsigned at = 3;  // the last class of the low front: 1 .. 16
};

template <SplitOptions O, class Low, class High>
struct Split {
  static_assert(O.at >= 1 && O.at <= 16, "Split: at must be 1 .. 16");

  template <class Classes, class Links = base::PlainLinks>
  class Type {
    using LowFront = typename Low::template Type<Classes, Links>;
    using HighFront = typename High::template Type<Classes, Links>;
    static_assert(O.at < Classes::kCount, "Split: at must be less than the number of classes");
    static_assert(LowFront::covers(1) && LowFront::covers(O.at), "Split: low must cover classes 1 .. at");
    static_assert(HighFront::covers(O.at + 1) && HighFront::covers(Classes::kCount),
                  "Split: high must cover every class");

   public:
    static constexpr bool kUnbounded = requires { LowFront::kUnbounded; } || requires { HighFront::kUnbounded; };
    static constexpr bool kGrows = requires { requires LowFront::kGrows; } || requires { requires HighFront::kGrows; };

    constexpr Type() noexcept = default;
    void open() noexcept {
      low_.open();
      high_.open();
    }

    // Class 0 goes to the high front, which refuses it.
    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept { return low(c) ? low_.pop(c) : high_.pop(c); }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      return low(c) ? low_.push(c, block) : high_.push(c, block);
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept { return low(c) ? low_.refill_want(c) : high_.refill_want(c); }
    unsigned flush_want(base::ClassIndex c) noexcept { return low(c) ? low_.flush_want(c) : high_.flush_want(c); }
    unsigned size(base::ClassIndex c) const noexcept { return low(c) ? low_.size(c) : high_.size(c); }
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      return low(c) ? low_.drain(c, n, sink) : high_.drain(c, n, sink);
    }

   private:
    static constexpr bool low(base::ClassIndex c) noexcept { return c - 1 < O.at; }

    LowFront low_;
    HighFront high_;
  };
};

}  // namespace hakmem::front
