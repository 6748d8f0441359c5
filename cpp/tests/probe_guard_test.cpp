// Probes record what they are told; the guard's map knows which blocks are live.
#include <hakmem/guard/checks.hpp>
#include <hakmem/probe/route.hpp>

#include <vector>

#include "check.hpp"

namespace {

using namespace hakmem;
using probe::Event;
using test::check;

const test::Test counters{"counters count each event by itself", [] {
  probe::Counters counters;
  for (std::size_t e = 0; e < probe::kEvents; ++e) {
    for (std::size_t i = 0; i <= e; ++i) counters.on(static_cast<Event>(e), 0);
  }
  for (std::size_t e = 0; e < probe::kEvents; ++e) test::check_equal(counters.count(e), e + 1);
}};

const test::Test route{"a route keeps the last 64 steps in order", [] {
  probe::Route route;
  std::vector<unsigned> seen;
  const auto walk = [&] {
    seen.clear();
    route.each([&](const auto& step) { seen.push_back(step.size_class); });
  };
  walk();
  check(seen.empty());
  for (unsigned i = 1; i <= 200; ++i) {
    route.on(Event::kRefill, i % 250);
    walk();
    const unsigned length = i < 64 ? i : 64;
    if (!check(seen.size() == length && seen.front() == i - length + 1 && seen.back() == i)) return;
  }
  test::check_equal(route.count(static_cast<std::size_t>(Event::kRefill)), 200u);
}};

const test::Test guard{"the guard finds frees of what is not live", [] {
  constexpr std::size_t kRegion = base::kUnit;
  static guard::Checks::Map<kRegion> map;
  for (std::size_t offset = 0; offset < kRegion; offset += 16) {
    check(!map.clear(offset), "nothing is live at first");
    map.set(offset);
    check(!map.clear(offset + 8), "an inner pointer");
    check(map.clear(offset), "a live block");
    check(!map.clear(offset), "a block freed twice");
  }
}};

}  // namespace
