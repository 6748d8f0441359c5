// No guard: empty types; frees are believed.
#pragma once

#include <hakmem/guard/block_order.hpp>
#include <hakmem/guard/canary.hpp>
#include <hakmem/guard/quarantine.hpp>

namespace hakmem::guard {

struct None {
  static constexpr bool kEnabled = false;
  template <std::size_t kRegion>
  struct Map {};  // what it keeps in a region's header
  using Links = base::PlainLinks;
  using Canary = NoCanary;
  using Order = InOrder;
  static constexpr bool kZero = false;
  static constexpr unsigned kQuarantine = 0;
};

}  // namespace hakmem::guard
