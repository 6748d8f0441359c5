// Counts events, one set of counters per heap. The heap's own thread counts; any thread may read (each number is whole,
// their sum is of no one instant). Cost: one load and one store per event.
#pragma once

#include <hakmem/base/types.hpp>
#include <hakmem/probe/events.hpp>

namespace hakmem::probe {

class Counters {
 public:
  static constexpr bool kEnabled = true;
  static constexpr bool kRoute = false;

  HAKMEM_HOT void on(Event event, std::uint32_t) noexcept {
    std::uint64_t& n = counts_[static_cast<std::size_t>(event)];
    base::relaxed_store(n, base::relaxed_load(n) + 1);
  }
  std::uint64_t count(std::size_t event) const noexcept { return base::relaxed_load(counts_[event]); }

 private:
  std::uint64_t counts_[kEvents]{};
};

}  // namespace hakmem::probe
