// Random numbers for traces: xoshiro256** seeded through splitmix64. Not for concurrent use; about 1 ns a draw.
// D. Blackman, S. Vigna, "Scrambled linear pseudorandom number generators", 2018; G. Steele, D. Lea, C. Flood, "Fast
// splittable pseudorandom number generators", 2014.
#pragma once

#include <bit>
#include <cstdint>

namespace hakmem::bench {

class Random {
 public:
  // Different streams of one seed are independent draws.
  explicit Random(std::uint64_t seed, std::uint64_t stream = 0) noexcept {
    std::uint64_t x = seed ^ (stream * 0xd1342543de82ef95u);
    for (std::uint64_t& word : state_) word = split_mix(x);
  }

  std::uint64_t next() noexcept {
    const std::uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const std::uint64_t t = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= t;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // Uniform in 0 .. n-1, n <= 2^32; by multiplication, whose bias is below n / 2^32.
  std::uint64_t below(std::uint64_t n) noexcept { return ((next() >> 32) * n) >> 32; }

  // Uniform in min .. max, both included.
  std::uint64_t between(std::uint64_t min, std::uint64_t max) noexcept { return min + below(max - min + 1); }

 private:
  static std::uint64_t split_mix(std::uint64_t& x) noexcept {
    std::uint64_t z = (x += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  std::uint64_t state_[4];
};

}  // namespace hakmem::bench
