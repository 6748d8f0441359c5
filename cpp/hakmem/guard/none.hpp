// No guard: an empty type; frees are believed.
#pragma once

#include <cstddef>

namespace hakmem::guard {

struct None {
  static constexpr bool kEnabled = false;
  template <std::size_t kRegion>
  struct Map {};  // what it keeps in a region's header
};

}  // namespace hakmem::guard
