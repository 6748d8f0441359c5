// Interposable: an allocator that may stand in for the C library's in a whole process, where pointers from elsewhere
// arrive and programs rely on malloc's alignment.
#pragma once

#include <hakmem/concepts/allocator.hpp>

namespace hakmem::concepts {

template <class A>
concept Interposable = Allocator<A> && requires {
  requires A::kRejectsForeign;  // a pointer that is not its own is recognised, whatever it is
  requires A::kInterposable;    // every block is aligned as the C library's are
};

}  // namespace hakmem::concepts
