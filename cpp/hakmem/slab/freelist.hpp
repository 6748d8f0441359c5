// Store of a slab's free blocks as an intrusive list: two loads a block, LIFO, the link in the block itself.
// One thread at a time.
#pragma once

#include <hakmem/slab/geometry.hpp>

namespace hakmem::slab {

struct Freelist {
  template <class Links = base::PlainLinks, std::size_t = 8>  // however short a block: it has room for a link
  struct Type {
    static constexpr bool kIntrusive = true;

    HAKMEM_HOT base::Block* take(const Geometry&) noexcept {
      base::Block* block = free;
      if (block != nullptr) free = Links::next(block);
      return block;
    }
    HAKMEM_HOT void give(base::Block* block, const Geometry&) noexcept {
      Links::link(block, free);
      free = block;
    }
    base::Chain take_chain(unsigned n) noexcept { return base::cut<Links>(free, n); }
    void give_chain(base::Chain chain) noexcept { base::splice<Links>(free, chain); }

    base::Block* free = nullptr;
  };
};

}  // namespace hakmem::slab
