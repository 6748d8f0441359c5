// Remote frees under `adopt`: there are none. Whoever frees a block caches it, whatever thread allocated it; slabs
// belong to the process and are reached in batches under one lock per class. Free needs no owner check.
// Idea: the central free lists of Ghemawat and Menage, 2007, "TCMalloc".
#pragma once

namespace hakmem::remote {

struct Adopt {
  static constexpr bool kHeapsOwnSlabs = false;  // slabs are shared
  static constexpr bool kOneHeap = false;
};

}  // namespace hakmem::remote
