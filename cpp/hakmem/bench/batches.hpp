// Many blocks at once, then none: small hot batches of one size, and bursts of mixed sizes. One operation is a malloc and
// its free; one thread.
#pragma once

#include <hakmem/bench/patterns.hpp>

namespace hakmem::bench {

inline constexpr ParameterInfo kTinyHotParameters[] = {
    {"size", 64, kSmallest, 1 << 20, "bytes of every block"}, {"batch", 100, 1, 1'000'000, "blocks of one batch"}, kPairs};
inline constexpr ParameterInfo kBurstParameters[] = {
    {"live", 100'000, 1, 100'000'000, "blocks at the peak"},
    {"min", 16, kSmallest, 1 << 20, "smallest block in bytes"},
    {"max", 1040, kSmallest, 1 << 20, "largest block in bytes"},
    kSeed};

inline constexpr WorkloadInfo kTinyHot{"tiny_hot", "pair", "batches of one tiny size, freed newest first",
                                       kTinyHotParameters};
inline constexpr WorkloadInfo kBurst{"burst", "pair", "grow to `live` blocks, drop all of them, again",
                                     kBurstParameters};

template <concepts::Allocator A>
void tiny_hot(const A& a, const Parameters& p, Run& run) {
  const std::uint64_t size = p["size"], batch = p["batch"], rounds = std::max<std::uint64_t>(1, p["pairs"] / batch);
  MappedArray<void*> slots(batch);
  run.histogram.add(size, rounds * batch);
  run.measure(rounds * batch, [&] {
    for (std::uint64_t round = 0; round < rounds; ++round) {
      for (void*& slot : slots) slot = touch(a.malloc(size));
      for (void** slot = slots.end(); slot != slots.begin();) a.free(*--slot);
    }
  });
  void* q = a.malloc(size);
  run.sample(a, q);
  a.free(q);
}

template <concepts::Allocator A>
void burst(const A& a, const Parameters& p, Run& run) {
  const std::uint64_t live = p["live"];
  const MappedArray<Step> trace = draw_trace(live, live, p["seed"], 0, run.histogram, uniform(p));
  MappedArray<void*> slots(live);
  const auto grow = [&] {
    for (std::uint64_t i = 0; i < live; ++i) slots[i] = touch(a.malloc(trace[i].size));
  };
  const auto drop = [&] {
    for (void* block : slots) a.free(block);
  };
  run.measure(live, [&] {
    grow();
    drop();
  });
  grow();
  for (void* block : slots) run.sample(a, block);
  drop();
}

}  // namespace hakmem::bench
