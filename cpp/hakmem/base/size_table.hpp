// A dense table from request size to class, built at compile time from the class's block sizes: one load a lookup.
// Cost: one byte per granule up to the largest size; only the lines of the sizes in use are ever touched.
#pragma once

#include <array>

#include <hakmem/base/types.hpp>

namespace hakmem::base {

template <std::size_t kCount, std::size_t kLargest, std::size_t kGranule>
struct SizeTable {
  static_assert(kCount <= kMaxClasses, "SizeTable: at most 255 classes fit a tag");
  static constexpr std::size_t kEntries = kLargest / kGranule + 1;

  std::array<std::uint32_t, kCount + 1> block_size{};  // [0] is unused
  std::array<std::uint8_t, kEntries> class_of_granule{};

  // `sizes` are ascending multiples of the granule; the last is kLargest.
  constexpr explicit SizeTable(const std::array<std::uint32_t, kCount>& sizes) noexcept {
    std::size_t c = 1;
    for (std::size_t i = 0; i < kCount; ++i) block_size[i + 1] = sizes[i];
    for (std::size_t g = 0; g < kEntries; ++g) {
      while (block_size[c] < g * kGranule) ++c;
      class_of_granule[g] = static_cast<std::uint8_t>(c);
    }
  }

  HAKMEM_HOT ClassIndex class_of(std::size_t n) const noexcept {
    return class_of_granule[(n + kGranule - 1) / kGranule];
  }
};

}  // namespace hakmem::base
