// In which order the blocks of a fresh slab are handed out. One thread at a time, as the slab.
#pragma once

#include <numeric>

#include <hakmem/base/types.hpp>

namespace hakmem::guard {

// By address: neighbours in time are neighbours in memory.
struct InOrder {
  static constexpr bool kRandom = false;
  static constexpr std::uint32_t at(std::uint32_t i) noexcept { return i; }
};

// Shuffled: one of the slab's affine permutations, drawn anew for each slab. Promise: which block comes next is not told by
// the last one; whoever has seen three of one slab can tell. Freed blocks come back in their front's order.
struct Shuffled {
  static constexpr bool kRandom = true;
  std::uint32_t step = 1, start = 0, capacity = 1;

  void draw(std::uint64_t random, std::uint32_t blocks) noexcept {
    capacity = blocks;
    start = static_cast<std::uint32_t>((random >> 32) % blocks);
    // a step between a quarter and three quarters of the slab, or just beyond: a short one would be nearly by address
    step = blocks / 4 + static_cast<std::uint32_t>(random) % (blocks / 2 + 1);
    while (std::gcd(step, blocks) != 1) ++step;
  }
  std::uint32_t at(std::uint32_t i) const noexcept {
    return static_cast<std::uint32_t>((std::uint64_t{step} * i + start) % capacity);
  }
};

}  // namespace hakmem::guard
