// One size class per 16 bytes: no table, the class is the size in granules. Nothing is lost to rounding beyond 15
// bytes; the price is many classes. Any thread; stateless. class_of(0) is 0, which every cache refuses.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::classes {

struct Linear16Options {
  std::size_t largest = 1024;  // largest small block in bytes: a multiple of 256, 256 .. 3840
};

template <Linear16Options O = Linear16Options{}>
class Linear16 {
  static_assert(O.largest % 256 == 0 && O.largest >= 256 && O.largest <= 3840,
                "Linear16: largest must be a multiple of 256 from 256 to 3840");

 public:
  static constexpr base::ClassIndex kCount = O.largest / 16;
  static constexpr std::size_t kLargest = O.largest;
  static constexpr std::size_t kAlign = 16;

  HAKMEM_HOT static base::ClassIndex class_of(std::size_t n) noexcept {
    return static_cast<base::ClassIndex>((n + 15) / 16);
  }
  static constexpr std::size_t block_size(base::ClassIndex c) noexcept { return std::size_t{c} * 16; }
};

}  // namespace hakmem::classes
