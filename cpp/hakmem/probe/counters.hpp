// Counts events, and the blocks of each class that move, one set of counters per heap. The heap's own thread counts; any
// thread or process may read (each number is whole, their sum is of no one instant). Cost: two loads and stores per
// event of a class, one otherwise.
#pragma once

#include <hakmem/base/types.hpp>
#include <hakmem/probe/events.hpp>

namespace hakmem::probe {

class Counters {
 public:
  static constexpr bool kEnabled = true;
  static constexpr bool kRoute = false;

  // size_class 0: none.
  HAKMEM_HOT void on(Event event, std::uint32_t size_class) noexcept {
    add(counts_[static_cast<std::size_t>(event)], 1);
    if (event == Event::kMallocFrontHit || event == Event::kRefill) moved(Flow::kMalloc, size_class, 1);
    if (event == Event::kFreeFrontHit || event == Event::kFlush) moved(Flow::kFree, size_class, 1);
    if (event == Event::kFreeRemote) moved(Flow::kSent, size_class, 1);
  }
  // n blocks of a class went that way.
  HAKMEM_HOT void moved(Flow flow, std::uint32_t size_class, std::size_t n) noexcept {
    add(blocks_[static_cast<std::size_t>(flow)][size_class], n);
  }
  std::uint64_t count(std::size_t event) const noexcept { return base::relaxed_load(counts_[event]); }
  std::uint64_t blocks(Flow flow, std::size_t size_class) const noexcept {
    return base::relaxed_load(blocks_[static_cast<std::size_t>(flow)][size_class]);
  }

  // For a reader outside the process: by event; by flow and class.
  constexpr const std::uint64_t* counts_word() const noexcept { return counts_; }
  constexpr const std::uint64_t* blocks_word() const noexcept { return blocks_[0]; }

 private:
  HAKMEM_HOT static void add(std::uint64_t& count, std::uint64_t n) noexcept {
    base::relaxed_store(count, base::relaxed_load(count) + n);
  }

  std::uint64_t counts_[kEvents]{};
  std::uint64_t blocks_[kFlows][base::kMaxClasses + 1]{};
};

}  // namespace hakmem::probe
