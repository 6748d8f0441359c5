// Store of a slab's free blocks as one bit each, beside the slab: a freed block is not touched, the lowest free address
// is handed out first, and 512 bytes of header serve a slab where no block is shorter than 16 bytes. One thread at a time.
// Idea: the bitmaps of hakmem's first tiny pool and of Evans, 2006, "A scalable concurrent malloc implementation".
#pragma once

#include <bit>

#include <hakmem/slab/geometry.hpp>

namespace hakmem::slab {

// kSmallest: bytes of the shortest block.
template <std::size_t kSmallest>
struct BitPerBlock {
  static constexpr bool kIntrusive = false;
  static constexpr std::uint32_t kWords = (base::kUnit / kSmallest + 63) / 64;  // a longer slab has some sixteen blocks at most

  base::Block* take(const Geometry& geometry) noexcept {
    for (std::uint32_t w = lowest; w <= highest; ++w) {
      if (free[w] != 0) {
        const auto bit = static_cast<std::uint32_t>(std::countr_zero(free[w]));
        free[w] &= free[w] - 1;
        lowest = static_cast<std::uint16_t>(w);
        return geometry.block(w * 64 + bit);
      }
    }
    lowest = kWords;
    highest = 0;
    return nullptr;
  }
  void give(base::Block* block, const Geometry& geometry) noexcept {
    const std::uint32_t index = geometry.index_of(block);
    free[index / 64] |= std::uint64_t{1} << (index % 64);
    if (index / 64 < lowest) lowest = static_cast<std::uint16_t>(index / 64);
    if (index / 64 > highest) highest = static_cast<std::uint16_t>(index / 64);
  }

  std::uint16_t lowest = kWords, highest = 0;  // words outside hold no free block
  std::uint64_t free[kWords]{};
};

struct Bitmap {
  template <class, std::size_t kSmallest = 8>  // whatever the links: there are none
  using Type = BitPerBlock<kSmallest>;
};

}  // namespace hakmem::slab
