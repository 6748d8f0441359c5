// ShardedFront: a front without a cache of its own, which pops from one slab of a class and pushes to the slab of the
// block. It knows slabs, so it has its own clause instead of flags in FrontPolicy. The owning thread's.
#pragma once

#include <concepts>

#include <hakmem/base/types.hpp>
#include <hakmem/concepts/constant_initialisable.hpp>

namespace hakmem::concepts {

template <class F, class Slab>
concept ShardedFront = requires(F& f, const F& g, base::ClassIndex c, base::Block* block, Slab* slab) {
  { f.open() } noexcept -> std::same_as<void>;                // once, before the owner uses it
  { f.pop(c) } noexcept -> std::same_as<base::Block*>;        // from the current slab of class c; nullptr: its list is empty
  { f.push(block) } noexcept -> std::same_as<bool>;           // never refused; true: the bin of the slab must hear of it
  { g.current(c) } noexcept -> std::same_as<Slab*>;           // the slab that pop(c) takes from; nullptr: none
  { f.set_current(c, slab) } noexcept -> std::same_as<void>;  // nullptr: none
  { g.size(c) } noexcept -> std::same_as<unsigned>;           // 0: what lies in slabs is not cached
  requires ConstantInitialisable<F>;                          // the sentinel heap holds one
};

}  // namespace hakmem::concepts
