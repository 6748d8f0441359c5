// ThreadSlot: the calling thread's heap. There is no adopt() here: making a heap is the engine's work, keeping it the
// slot's. Neither operation allocates from the engine.
#pragma once

#include <concepts>

namespace hakmem::concepts {

template <class S, class Heap>
concept ThreadSlot = requires(Heap* heap) {
  { S::current() } noexcept -> std::same_as<Heap*>;  // never nullptr: the sentinel before the first set()
  { S::set(heap) } noexcept -> std::same_as<void>;   // for the calling thread alone; the sentinel's address clears it
};

}  // namespace hakmem::concepts
