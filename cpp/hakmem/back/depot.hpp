// Depot: what a spilling cache leaves for the next that misses. Blocks of one class, as an array of pointers: they pass
// without a slab's header or the blocks themselves being touched, and whoever takes them links them by stores, which wait
// for nobody, where a list that another processor has linked is read at the price of one missed line after the other.
// One thread at a time; size() and room(): any thread.
// Idea: the transfer caches of Ghemawat and Menage, 2007, "TCMalloc"; the depot of full magazines in Bonwick and Adams,
// 2001, "Magazines and Vmem: Extending the Slab Allocator to Many CPUs and Arbitrary Resources".
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::back {

// The counts alone: where the blocks' addresses are, in `slots`, is touched by those who use them only.
template <unsigned kMost>
class Depot {
 public:
  using Slots = base::Block* [kMost];

  constexpr Depot() noexcept = default;

  // How many more it takes, where it may hold `bound` and kMost at the most.
  unsigned room(unsigned bound) const noexcept {
    if (bound > kMost) bound = kMost;
    const unsigned now = size();
    return now < bound ? bound - now : 0;
  }
  void put(Slots& slots, base::Block* block) noexcept {
    slots[count_] = block;
    base::relaxed_store(count_, count_ + 1);
  }
  // Copies at most `want` blocks, those put last, to `taken`; how many.
  unsigned take(const Slots& slots, unsigned want, Slots& taken) noexcept {
    const unsigned n = want < count_ ? want : count_;
    base::relaxed_store(count_, count_ - n);
    for (unsigned i = 0; i < n; ++i) taken[i] = slots[count_ + i];
    if (count_ < least_) least_ = count_;
    return n;
  }
  // The blocks that nobody has needed since this was last called, to sink; `all`: all of them. How many.
  template <class Sink>
  unsigned drain_idle(Slots& slots, bool all, Sink&& sink) noexcept {
    const unsigned n = all ? count_ : least_;
    for (unsigned i = 0; i < n; ++i) sink(slots[i]);
    for (unsigned i = n; i < count_; ++i) slots[i - n] = slots[i];
    base::relaxed_store(count_, count_ - n);
    least_ = count_;
    return n;
  }
  unsigned size() const noexcept { return base::relaxed_load(count_); }

 private:
  unsigned count_ = 0;
  unsigned least_ = 0;  // the smallest count since the last drain_idle: what lies below it was not needed
};

}  // namespace hakmem::back
