// Sharded: no cache of its own; blocks are popped from the free list of their class's current slab and pushed to the
// list of their own slab, wherever that is. Frees stay local to their slab; a malloc walks one slab at a time. It knows
// slabs, so it has a clause of its own among the fronts: SuperSlab is its second argument. The owning thread's.
// Idea: Leijen, Zorn and de Moura, 2019, "Mimalloc: free list sharding in action".
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct Sharded {
  static constexpr bool kSharded = true;

  template <class Classes, class SuperSlab, class Links = base::PlainLinks>
  class Type {
   public:
    using Slab = typename SuperSlab::SlabType;

    constexpr Type() noexcept {
      for (auto& slab : current_) slab = &none_;
    }
    void open() noexcept {}

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      Slab* slab = current_[c];
      base::Block* block = slab->store.free;
      if (block == nullptr) [[unlikely]] return nullptr;
      slab->store.free = Links::next(block);
      base::relaxed_store(slab->used, slab->used + 1);
      return block;
    }
    // True: the slab's bin must hear of it. `block` lies in a slab of this front's heap.
    HAKMEM_HOT static bool push(base::Block* block) noexcept {
      return SuperSlab::around(block)->slab_of(block).give(block);
    }

    // The slab that pop(c) takes from; nullptr: none yet.
    Slab* current(base::ClassIndex c) const noexcept { return current_[c] == &none_ ? nullptr : current_[c]; }
    void set_current(base::ClassIndex c, Slab* slab) noexcept { current_[c] = slab != nullptr ? slab : &none_; }
    unsigned size(base::ClassIndex) const noexcept { return 0; }

   private:
    static inline constinit Slab none_{};  // never written: its list is empty for ever

    Slab* current_[Classes::kCount + 1];
  };
};

}  // namespace hakmem::front
