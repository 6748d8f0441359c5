// What every guard starts from: nothing. A guard replaces what it is about.
#pragma once

#include <hakmem/guard/block_order.hpp>
#include <hakmem/guard/canary.hpp>

namespace hakmem::guard {

struct Unguarded {
  using Links = base::PlainLinks;            // of free blocks
  using Canary = NoCanary;                   // behind every block
  using Order = InOrder;                     // of a slab's fresh blocks
  static constexpr bool kZero = false;       // clear on free
  static constexpr std::size_t kFence = 0;    // bytes of the fences around metadata
  static constexpr unsigned kQuarantine = 0;  // small blocks that wait before they are used again
};

}  // namespace hakmem::guard
