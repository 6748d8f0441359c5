// No guard: an empty type; frees are believed.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::guard {

struct None {
  static constexpr bool kEnabled = false;
  using Links = base::PlainLinks;
  template <std::size_t kRegion>
  struct Map {};  // what it keeps in a region's header
};

}  // namespace hakmem::guard
