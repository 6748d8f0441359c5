// Size classes given one by one, as a program's own sizes call for them. Loses what its list loses; costs one byte of
// table per 16 bytes up to the largest. Any thread; stateless. Idea: Grunwald and Zorn, 1993, "CustoMalloc".
#pragma once

#include <hakmem/base/size_table.hpp>

namespace hakmem::classes {

struct FittedOptions {
  // block sizes in bytes: ascending multiples of 16, 16 .. 262144; what is behind them is 0
  std::array<std::uint32_t, 128> sizes = {16,  32,  48,  64,  80,  96,  112, 128, 160, 192,
                                          224, 256, 320, 384, 448, 512, 640, 768, 896, 1024};
};

template <FittedOptions O = FittedOptions{}>
class Fitted {
  static constexpr std::size_t count() noexcept {
    std::size_t k = 0;
    while (k < O.sizes.size() && O.sizes[k] != 0) ++k;
    return k;
  }
  static constexpr bool is_legal() noexcept {
    for (std::size_t k = 0; k < O.sizes.size(); ++k) {
      if (k >= count() ? O.sizes[k] != 0 : O.sizes[k] % 16 != 0 || O.sizes[k] > 262144) return false;
      if (k != 0 && k < count() && O.sizes[k] <= O.sizes[k - 1]) return false;
    }
    return count() != 0;
  }
  static_assert(is_legal(), "Fitted: sizes must be ascending multiples of 16 from 16 to 262144");

 public:
  static constexpr base::ClassIndex kCount = count();
  static constexpr std::size_t kLargest = count() == 0 ? 16 : O.sizes[count() - 1];
  static constexpr std::size_t kAlign = 16;

  HAKMEM_HOT static base::ClassIndex class_of(std::size_t n) noexcept { return kTable.class_of(n); }
  static constexpr std::size_t block_size(base::ClassIndex c) noexcept { return kTable.block_size[c]; }

 private:
  static constexpr base::SizeTable<kCount, kLargest, 16> kTable{[] {
    std::array<std::uint32_t, kCount> sizes{};
    for (std::size_t k = 0; k < kCount; ++k) sizes[k] = O.sizes[k];
    return sizes;
  }()};
};

}  // namespace hakmem::classes
