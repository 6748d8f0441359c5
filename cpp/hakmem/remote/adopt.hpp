// Remote frees under `adopt`: there are none. Whoever frees a block caches it, whatever thread allocated it; slabs
// belong to the process and are reached in batches under one lock per class. Free needs no owner check. What one
// thread's cache spills waits in a depot for the next cache that misses.
// Idea: the central free lists of Ghemawat and Menage, 2007, "TCMalloc".
#pragma once

namespace hakmem::remote {

struct AdoptOptions {
  unsigned depot = 256;  // blocks of a class that may wait between caches, 64 KiB of them at most: 0 .. 1024; 0: none
};

template <AdoptOptions O = AdoptOptions{}>
struct Adopt {
  static_assert(O.depot <= 1024, "Adopt: depot must be 0 .. 1024");
  static constexpr bool kHeapsOwnSlabs = false;  // slabs are shared
  static constexpr bool kOneHeap = false;
  static constexpr unsigned kDepot = O.depot;
};

}  // namespace hakmem::remote
