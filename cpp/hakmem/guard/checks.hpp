// Knows which blocks are live: one bit per 16 bytes of a region, set by malloc and cleared by free. A free of anything
// but the start of a live block finds its bit clear: double frees and frees of inner pointers are found at once, for
// every block of a slab. (Blocks outside slabs are checked by the back that holds them.) Any thread; one locked
// operation per malloc and per free.
#pragma once

#include <hakmem/guard/live_map.hpp>
#include <hakmem/guard/unguarded.hpp>

namespace hakmem::guard {

struct Checks : Unguarded {
  static constexpr bool kEnabled = true;
  template <std::size_t kRegion>
  using Map = LiveMap<kRegion>;  // what it keeps in a region's header
};

}  // namespace hakmem::guard
