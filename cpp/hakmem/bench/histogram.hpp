// How many requests of which size a workload makes in one pass: counts by power of two. One thread.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace hakmem::bench {

class Histogram {
 public:
  static constexpr unsigned kBuckets = 48;

  void add(std::size_t bytes, std::uint64_t count = 1) noexcept {
    counts_[bytes <= 1 ? 0 : std::bit_width(bytes - 1)] += count;
  }
  // Requests of more than limit(i - 1) and at most limit(i) bytes.
  std::uint64_t count(unsigned i) const noexcept { return counts_[i]; }
  static std::uint64_t limit(unsigned i) noexcept { return std::uint64_t{1} << i; }

 private:
  std::array<std::uint64_t, kBuckets> counts_{};
};

}  // namespace hakmem::bench
