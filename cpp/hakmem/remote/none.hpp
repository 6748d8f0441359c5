// Remote frees under `none`: there are none, because the whole process has one heap behind one lock.
// Smallest memory, no scaling: every malloc and free is one lock and one unlock.
#pragma once

namespace hakmem::remote {

struct None {
  static constexpr bool kHeapsOwnSlabs = true;
  static constexpr bool kOneHeap = true;
};

}  // namespace hakmem::remote
