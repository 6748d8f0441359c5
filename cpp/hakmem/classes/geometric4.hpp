// Size classes in steps of 16 bytes up to 128, then four steps per doubling: at most 25 % lost to rounding, 12 % on
// average. Any thread; stateless. Idea: the spacing of Grunwald and Zorn, 1993, "CustoMalloc", as jemalloc uses it.
#pragma once

#include <hakmem/base/size_table.hpp>

namespace hakmem::classes {

struct Geometric4Options {
  std::size_t largest = 32768;  // largest small block in bytes: a power of two, 1024 .. 262144
};

template <Geometric4Options O = Geometric4Options{}>
class Geometric4 {
  static_assert(base::is_power_of_two(O.largest) && O.largest >= 1024 && O.largest <= 262144,
                "Geometric4: largest must be a power of two from 1024 to 262144");

  static constexpr std::size_t next(std::size_t n) noexcept {
    std::size_t step = 16;
    while (step * 8 <= n) step *= 2;
    return n + step;
  }
  static constexpr std::size_t count() noexcept {
    std::size_t k = 1;
    for (std::size_t n = 16; n < O.largest; n = next(n)) ++k;
    return k;
  }

 public:
  static constexpr base::ClassIndex kCount = count();
  static constexpr std::size_t kLargest = O.largest;
  static constexpr std::size_t kAlign = 16;

  HAKMEM_HOT static base::ClassIndex class_of(std::size_t n) noexcept { return kTable.class_of(n); }
  static constexpr std::size_t block_size(base::ClassIndex c) noexcept { return kTable.block_size[c]; }

 private:
  static constexpr base::SizeTable<kCount, kLargest, 16> kTable{[] {
    std::array<std::uint32_t, kCount> sizes{};
    std::size_t n = 16;
    for (auto& size : sizes) {
      size = static_cast<std::uint32_t>(n);
      n = next(n);
    }
    return sizes;
  }()};
};

}  // namespace hakmem::classes
