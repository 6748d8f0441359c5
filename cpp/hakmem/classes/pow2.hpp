// Size classes at the powers of two: few classes, up to half of a block lost to rounding. Any thread; stateless.
// Idea: Knowlton, 1965, "A fast storage allocator". `smallest` 8 gives the historical eight classes 8 .. 1024 B, whose
// 8-byte blocks are not aligned to 16: such a map serves modules and containers, never a malloc library.
#pragma once

#include <hakmem/base/size_table.hpp>

namespace hakmem::classes {

struct Pow2Options {
  std::size_t largest = 1024;  // largest small block in bytes: a power of two, 512 .. 262144
  std::size_t smallest = 16;   // smallest block in bytes: 8 or 16
};

template <Pow2Options O = Pow2Options{}>
class Pow2 {
  static_assert(base::is_power_of_two(O.largest) && O.largest >= 512 && O.largest <= 262144,
                "Pow2: largest must be a power of two from 512 to 262144");
  static_assert(O.smallest == 8 || O.smallest == 16, "Pow2: smallest must be 8 or 16");

  static constexpr std::size_t count() noexcept {
    std::size_t k = 1;
    for (std::size_t n = O.smallest; n < O.largest; n *= 2) ++k;
    return k;
  }

 public:
  static constexpr base::ClassIndex kCount = count();
  static constexpr std::size_t kLargest = O.largest;
  static constexpr std::size_t kAlign = O.smallest;

  HAKMEM_HOT static base::ClassIndex class_of(std::size_t n) noexcept { return kTable.class_of(n); }
  static constexpr std::size_t block_size(base::ClassIndex c) noexcept { return kTable.block_size[c]; }

 private:
  static constexpr base::SizeTable<kCount, kLargest, O.smallest> kTable{[] {
    std::array<std::uint32_t, kCount> sizes{};
    std::size_t n = O.smallest;
    for (auto& size : sizes) {
      size = static_cast<std::uint32_t>(n);
      n *= 2;
    }
    return sizes;
  }()};
};

}  // namespace hakmem::classes
