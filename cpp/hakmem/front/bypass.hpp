// Bypass: no cache at all; every call goes to the back. The control that shows what a front is worth.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct Bypass {
  template <class Classes, class = base::PlainLinks>
  class Type {
   public:
    constexpr Type() noexcept = default;
    void open() noexcept {}
    HAKMEM_HOT base::Block* pop(base::ClassIndex) noexcept { return nullptr; }
    HAKMEM_HOT bool push(base::ClassIndex, base::Block*) noexcept { return false; }
    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex) noexcept { return 0; }
    unsigned flush_want(base::ClassIndex) noexcept { return 0; }
    unsigned size(base::ClassIndex) const noexcept { return 0; }
    template <class Sink>
    unsigned drain(base::ClassIndex, unsigned, Sink&&) noexcept {
      return 0;
    }
  };
};

}  // namespace hakmem::front
