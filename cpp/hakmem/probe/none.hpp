// No probe: an empty type; nothing of it is left in the code.
#pragma once

#include <hakmem/probe/events.hpp>

namespace hakmem::probe {

struct None {
  static constexpr bool kEnabled = false;
  static constexpr bool kRoute = false;
  void on(Event, std::uint32_t) noexcept {}
  void moved(Flow, std::uint32_t, std::size_t) noexcept {}
};

}  // namespace hakmem::probe
