// Growth: which classes of a front may hold more blocks than they began with. A class that keeps missing or spilling doubles,
// up to kClassBytes of blocks, out of one budget of bytes for all classes of a heap. A front that grows says kGrows: the
// engine empties and reopens it at every decay, so that what was needed once is not held for ever. The owning thread's.
// Idea: thread caches that grow out of a common budget (Ghemawat and Menage, 2007, "TCMalloc").
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

template <class Classes, std::size_t kBudget>
class Growth {
  static constexpr unsigned kPatience = 4;  // misses and spills of a class before it grows

 public:
  static constexpr unsigned kMostMoved = 64;  // blocks in one batch of a class that has grown
  static constexpr std::size_t kClassBytes = std::size_t{256} << 10;

  // The most blocks that class c may ever hold, having begun with `initial`.
  static constexpr unsigned most(base::ClassIndex c, unsigned initial) noexcept {
    const std::size_t fit = kClassBytes / Classes::block_size(c);
    return fit > initial ? static_cast<unsigned>(fit) : initial;
  }

  // The blocks to move at once: `refill`, or a quarter of what a class that has grown from `initial` may hold by now, up to
  // kMostMoved.
  static constexpr unsigned batch(unsigned refill, unsigned now, unsigned initial) noexcept {
    if (now <= initial) return refill;
    const unsigned quarter = now / 4 < kMostMoved ? now / 4 : kMostMoved;
    return quarter > refill ? quarter : refill;
  }

  void reset() noexcept {
    left_ = kBudget;
    for (auto& count : pressure_) count = 0;
  }
  // Class c, which may hold `now` blocks of at most `most`, has missed or spilled: by how many it grows. 0: not now.
  unsigned step(base::ClassIndex c, unsigned now, unsigned most) noexcept {
    if (now == 0 || ++pressure_[c] < kPatience) return 0;
    pressure_[c] = 0;
    const std::size_t affordable = left_ / Classes::block_size(c);
    unsigned more = now < most - now ? now : most - now;
    if (affordable < more) more = static_cast<unsigned>(affordable);
    left_ -= more * Classes::block_size(c);
    return more;
  }

 private:
  std::size_t left_ = 0;
  std::uint8_t pressure_[Classes::kCount + 1]{};
};

}  // namespace hakmem::front
