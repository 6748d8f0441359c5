// What a loop over slots will do, drawn before it runs: at each step a slot and a size, from independent draws.
#pragma once

#include <algorithm>
#include <cstdint>

#include <hakmem/bench/histogram.hpp>
#include <hakmem/bench/mapped_array.hpp>
#include <hakmem/bench/parameters.hpp>
#include <hakmem/bench/random.hpp>

namespace hakmem::bench {

struct Step {
  std::uint32_t slot;
  std::uint32_t size;
};

// size(random) draws one size. `stream` tells threads apart.
template <class Size>
MappedArray<Step> draw_trace(std::uint64_t steps, std::uint64_t slots, std::uint64_t seed, std::uint64_t stream,
                             Histogram& histogram, Size&& size) {
  MappedArray<Step> trace(steps);
  Random slot_random(seed, 2 * stream + 1);
  Random size_random(seed, 2 * stream + 2);
  for (Step& step : trace) {
    step = {static_cast<std::uint32_t>(slot_random.below(slots)), static_cast<std::uint32_t>(size(size_random))};
    histogram.add(step.size);
  }
  return trace;
}

// Whether something happens, at each of `count` steps, with a chance of `percent` in a hundred.
inline MappedArray<bool> draw_chances(std::uint64_t count, std::uint64_t percent, std::uint64_t seed,
                                      std::uint64_t stream) {
  MappedArray<bool> chances(count);
  Random random(seed, stream);
  for (bool& chance : chances) chance = random.below(100) < percent;
  return chances;
}

inline auto uniform(const Parameters& p) {
  return [min = p["min"], max = p["max"]](Random& random) { return random.between(min, max); };
}

// The numbers 0 .. count-1 in random order (Fisher, Yates 1938).
inline MappedArray<std::uint32_t> draw_order(std::uint64_t count, std::uint64_t seed) {
  MappedArray<std::uint32_t> order(count);
  Random random(seed);
  for (std::uint32_t i = 0; i < count; ++i) order[i] = i;
  for (std::uint64_t i = count; i > 1; --i) std::swap(order[i - 1], order[random.below(i)]);
  return order;
}

}  // namespace hakmem::bench
