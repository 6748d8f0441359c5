// A number as decimal text, where nothing may be allocated and no stream is there.
#pragma once

#include <cstdint>

namespace hakmem::base {

class Decimal {
 public:
  explicit constexpr Decimal(std::uint64_t value) noexcept {
    do digits_[--begin_] = static_cast<char>('0' + value % 10);
    while ((value /= 10) != 0);
  }
  // Ends with a zero; lives as long as this object.
  constexpr const char* text() const noexcept { return digits_ + begin_; }

 private:
  char digits_[21]{};
  unsigned begin_ = sizeof digits_ - 1;
};

}  // namespace hakmem::base
