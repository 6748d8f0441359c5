// Canary: 16 bytes at the end of every block that say how many bytes were asked for, keyed with a random number of the
// process; the bytes between are filled up to 16. Promise: a program that writes past what it asked for is told when it
// frees or resizes the block, for every size, if it changed one of the first 16 bytes behind its own or the last 16 of the
// block. Reads past the end are not found. Price: 16 bytes a block. Any thread.
// Idea: StackGuard's canaries (Cowan et al., 1998) on the heap; the distance kept in the canary as in guarded padding.
#pragma once

#include <cstring>

#include <hakmem/base/types.hpp>

namespace hakmem::guard {

struct NoCanary {
  static constexpr std::size_t kBytes = 0;
};

class Canary {
 public:
  static constexpr std::size_t kBytes = 16;

  // Once, before the first block; of several calls the first one counts.
  static void seed(std::uint64_t random) noexcept {
    std::uint64_t none = 0;
    __atomic_compare_exchange_n(&key_, &none, random | 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }

  // The block at p has `room` bytes, of which the program asked for n <= room - kBytes.
  static void seal(void* p, std::size_t n, std::size_t room) noexcept {
    const std::uint64_t slack = room - kBytes - n;
    auto* start = static_cast<unsigned char*>(p);
    std::memset(start + n, kFill, slack < kFilled ? slack : kFilled);
    const std::uint64_t words[2] = {slack ^ key(), check(p, slack)};
    std::memcpy(start + room - kBytes, words, kBytes);
  }

  // The bytes that the program asked for; false: somebody wrote behind them.
  static bool asked(const void* p, std::size_t room, std::size_t& n) noexcept {
    const auto* start = static_cast<const unsigned char*>(p);
    std::uint64_t words[2];
    std::memcpy(words, start + room - kBytes, kBytes);
    const std::uint64_t slack = words[0] ^ key();
    if (words[1] != check(p, slack) || slack > room - kBytes) return false;
    n = room - kBytes - slack;
    for (std::size_t i = 0; i < slack && i < kFilled; ++i) {
      if (start[n + i] != kFill) return false;
    }
    return true;
  }

 private:
  static constexpr unsigned char kFill = 0xC5;
  static constexpr std::size_t kFilled = 16;

  static std::uint64_t key() noexcept { return base::relaxed_load(key_); }
  static std::uint64_t check(const void* p, std::uint64_t slack) noexcept {
    return (base::address(p) + slack + 1) * key() ^ key() >> 32;
  }
  static inline constinit std::uint64_t key_ = 0;
};

}  // namespace hakmem::guard
