// Counts events and remembers the last 64 of them with their class, in order: which way the calls went.
// The heap's own thread records; it alone may read the route.
#pragma once

#include <hakmem/probe/counters.hpp>

namespace hakmem::probe {

class Route : public Counters {
 public:
  static constexpr bool kRoute = true;
  static constexpr std::uint32_t kSteps = 64;
  struct Step {
    Event event;
    std::uint8_t size_class;  // 0: no class
  };

  HAKMEM_HOT void on(Event event, std::uint32_t size_class) noexcept {
    Counters::on(event, size_class);
    steps_[next_++ % kSteps] = {event, static_cast<std::uint8_t>(size_class)};
  }

  // The steps, oldest first, to visit(step).
  template <class Visit>
  void each(Visit&& visit) const noexcept {
    for (std::uint32_t i = next_ < kSteps ? 0 : next_ - kSteps; i < next_; ++i) visit(steps_[i % kSteps]);
  }

 private:
  Step steps_[kSteps]{};
  std::uint32_t next_ = 0;
};

}  // namespace hakmem::probe
