// SlabStore: which blocks of one slab are free. One thread at a time. The slab counts; a store only remembers.
// A policy gives it as Type<Links, kSmallest>: how free blocks would be linked, and the bytes of the shortest.
#pragma once

#include <concepts>

#include <hakmem/base/types.hpp>
#include <hakmem/concepts/constant_initialisable.hpp>

namespace hakmem::concepts {

template <class S, class Geometry>
concept SlabStore = requires(S& s, base::Block* block, const Geometry& geometry) {
  requires std::same_as<decltype(S::kIntrusive), const bool>;   // true: free blocks are linked from `free`
  { s.take(geometry) } noexcept -> std::same_as<base::Block*>;  // a block given before; nullptr: none
  { s.give(block, geometry) } noexcept -> std::same_as<void>;   // a block of this geometry that is not in the store
  requires !S::kIntrusive || requires { { s.free } -> std::same_as<base::Block*&>; };  // the list a sharded front pops from
  requires ConstantInitialisable<S>;                            // empty; and a slab is forgotten without a call
};

}  // namespace hakmem::concepts
