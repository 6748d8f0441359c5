// No guard: empty types; frees are believed.
#pragma once

#include <hakmem/guard/unguarded.hpp>

namespace hakmem::guard {

struct None : Unguarded {
  static constexpr bool kEnabled = false;
  template <std::size_t kRegion>
  struct Map {};  // what it keeps in a region's header
};

}  // namespace hakmem::guard
