// Growth: which classes of a front may hold more blocks than they began with. A class that keeps missing or spilling doubles,
// up to kClassBytes or kClassBlocks, out of a budget of bytes: one for all classes of a heap up to kSmall, another, kLargerTimes
// as much, for all above it, which would have room for a few blocks in the first. A front that grows says kGrows: the engine
// empties and reopens it at every decay, so that what was needed once is not held for ever. The owning thread's.
// Idea: thread caches that grow out of a common budget (Ghemawat and Menage, 2007, "TCMalloc").
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

template <class Classes, std::size_t kBudget>
class Growth {
  static constexpr unsigned kPatience = 4;  // misses and spills of a class before it grows
  static constexpr std::size_t kSmall = 1024;  // bytes of a block

 public:
  static constexpr std::size_t kLargerTimes = 4;
  static constexpr unsigned kMostMoved = 64;  // blocks in one batch of a class that has grown
  static constexpr std::size_t kClassBytes = std::size_t{256} << 10;
  static constexpr unsigned kClassBlocks = 32;

  // The most blocks that class c may ever hold, having begun with `initial`.
  static constexpr unsigned most(base::ClassIndex c, unsigned initial) noexcept {
    std::size_t fit = kClassBytes / Classes::block_size(c);
    if (fit < kClassBlocks) fit = kClassBlocks;
    return fit > initial ? static_cast<unsigned>(fit) : initial;
  }

  // The blocks to move at once: `refill`, or of what a class that has grown from `initial` may hold by now a quarter, up to
  // kMostMoved, if that is more, and a half at the most.
  static constexpr unsigned batch(unsigned refill, unsigned now, unsigned initial) noexcept {
    if (now <= initial) return refill;
    const unsigned quarter = now / 4 < kMostMoved ? now / 4 : kMostMoved, half = now / 2;
    const unsigned wanted = quarter > refill ? quarter : refill;
    return wanted < half ? wanted : half;
  }

  void reset() noexcept {
    left_[0] = kBudget;
    left_[1] = kLargerTimes * kBudget;
    for (auto& count : pressure_) count = 0;
  }
  // Class c, which may hold `now` blocks of at most `most`, has missed or spilled: by how many it grows. 0: not now.
  unsigned step(base::ClassIndex c, unsigned now, unsigned most) noexcept {
    if (now == 0 || ++pressure_[c] < kPatience) return 0;
    pressure_[c] = 0;
    const std::size_t size = Classes::block_size(c);
    std::size_t& left = left_[size > kSmall];
    unsigned more = now < most - now ? now : most - now;
    if (left / size < more) more = static_cast<unsigned>(left / size);
    left -= more * size;
    return more;
  }

 private:
  std::size_t left_[2]{};  // of classes up to kSmall, of those above
  std::uint8_t pressure_[Classes::kCount + 1]{};
};

}  // namespace hakmem::front
