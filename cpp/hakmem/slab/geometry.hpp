// Where the blocks of a slab lie: first block, distance, and a division by multiplication for the way back.
// `first` is what a program gets, so a prefix before each block is already inside it.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::slab {

struct Geometry {
  std::byte* first = nullptr;
  std::uint64_t inverse = 0;  // ceil(2^40 / (stride / 8)): exact for every offset in the largest slab, 2^22 bytes
  std::uint32_t stride = 0;

  static constexpr std::uint64_t inverse_of(std::uint32_t stride) noexcept {
    const std::uint64_t eighths = stride / 8;
    return ((std::uint64_t{1} << 40) + eighths - 1) / eighths;
  }

  base::Block* block(std::uint32_t index) const noexcept {
    return reinterpret_cast<base::Block*>(first + std::size_t{index} * stride);
  }
  // The index of the block that holds p, which may point into it.
  std::uint32_t index_of(const void* p) const noexcept {
    const std::uint64_t eighths = static_cast<std::uint64_t>(base::address(p) - base::address(first)) / 8;
    return static_cast<std::uint32_t>((eighths * inverse) >> 40);
  }
};

}  // namespace hakmem::slab
