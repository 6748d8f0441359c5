// Blocks of one small size in six orders of life. One operation is a malloc and its free; one thread.
// Orders named in the seeds' pattern suite; `live` and the definitions below are ours.
#pragma once

#include <hakmem/bench/run.hpp>
#include <hakmem/bench/trace.hpp>

namespace hakmem::bench {

inline constexpr ParameterInfo kSize{"size", 16, kSmallest, 1 << 20, "bytes of every block"};
inline constexpr ParameterInfo kLive{"live", 100, 1, 10'000'000, "blocks alive at a time"};
inline constexpr ParameterInfo kPairs{"pairs", 100'000, 1, 1'000'000'000, "operations in one pass, about"};
inline constexpr ParameterInfo kSeed{"seed", 42, 0, ~std::uint64_t{0}, "seed of every random choice"};

inline constexpr ParameterInfo kPairParameters[] = {{"pairs", 100'000, 1, 1'000'000'000, "operations in one pass"},
                                                    kSize};
inline constexpr ParameterInfo kOrderParameters[] = {kSize, kLive, kPairs};
inline constexpr ParameterInfo kDrawnOrderParameters[] = {kSize, kLive, kPairs, kSeed};

inline constexpr WorkloadInfo kPair16{"pair_16", "pair", "malloc and free at once", kPairParameters};
inline constexpr WorkloadInfo kLifo{"lifo", "pair", "fill `live` slots, free the newest first", kOrderParameters};
inline constexpr WorkloadInfo kFifo{"fifo", "pair", "fill `live` slots, free the oldest first", kOrderParameters};
inline constexpr WorkloadInfo kRandomFree{"random_free", "pair", "fill `live` slots, free in a drawn order",
                                          kDrawnOrderParameters};
inline constexpr WorkloadInfo kInterleaved{"interleaved", "pair",
                                           "`live` blocks stay; malloc one, free another in a drawn order, and so on",
                                           kDrawnOrderParameters};
inline constexpr WorkloadInfo kLongLived{"long_lived", "pair",
                                         "`live` blocks stay with holes between them; batches of 100 come and go",
                                         kDrawnOrderParameters};

template <concepts::Allocator A>
void pair_16(const A& a, const Parameters& p, Run& run) {
  const std::uint64_t pairs = p["pairs"], size = p["size"];
  run.histogram.add(size, pairs);
  run.measure(pairs, [&] {
    for (std::uint64_t i = 0; i < pairs; ++i) a.free(touch(a.malloc(size)));
  });
  void* q = a.malloc(size);
  run.sample(a, q);
  a.free(q);
}

// free_all(slots) frees what `live` mallocs put there.
template <concepts::Allocator A, class FreeAll>
void fill_and_free(const A& a, const Parameters& p, Run& run, FreeAll&& free_all) {
  const std::uint64_t size = p["size"], live = p["live"], rounds = std::max<std::uint64_t>(1, p["pairs"] / live);
  MappedArray<void*> slots(live);
  run.histogram.add(size, rounds * live);
  run.measure(rounds * live, [&] {
    for (std::uint64_t round = 0; round < rounds; ++round) {
      for (void*& slot : slots) slot = touch(a.malloc(size));
      free_all(slots);
    }
  });
  for (void*& slot : slots) run.sample(a, slot = a.malloc(size));
  free_all(slots);
}

template <concepts::Allocator A>
void lifo(const A& a, const Parameters& p, Run& run) {
  fill_and_free(a, p, run, [&](MappedArray<void*>& slots) {
    for (void** slot = slots.end(); slot != slots.begin();) a.free(*--slot);
  });
}

template <concepts::Allocator A>
void fifo(const A& a, const Parameters& p, Run& run) {
  fill_and_free(a, p, run, [&](MappedArray<void*>& slots) {
    for (void* block : slots) a.free(block);
  });
}

template <concepts::Allocator A>
void random_free(const A& a, const Parameters& p, Run& run) {
  const MappedArray<std::uint32_t> order = draw_order(p["live"], p["seed"]);
  fill_and_free(a, p, run, [&](MappedArray<void*>& slots) {
    for (std::uint32_t i : order) a.free(slots[i]);
  });
}

template <concepts::Allocator A>
void interleaved(const A& a, const Parameters& p, Run& run) {
  const std::uint64_t size = p["size"], live = p["live"], rounds = std::max<std::uint64_t>(1, p["pairs"] / live);
  const MappedArray<std::uint32_t> order = draw_order(live, p["seed"]);
  MappedArray<void*> slots(live);
  for (void*& slot : slots) slot = touch(a.malloc(size));
  run.histogram.add(size, rounds * live);
  run.measure(rounds * live, [&] {
    for (std::uint64_t round = 0; round < rounds; ++round) {
      for (std::uint32_t i : order) {
        void* fresh = touch(a.malloc(size));
        a.free(slots[i]);
        slots[i] = fresh;
      }
    }
  });
  for (void* block : slots) run.sample(a, block);
  for (void* block : slots) a.free(block);
}

template <concepts::Allocator A>
void long_lived(const A& a, const Parameters& p, Run& run) {
  constexpr std::uint64_t kBatch = 100;
  const std::uint64_t size = p["size"], live = p["live"], rounds = std::max<std::uint64_t>(1, p["pairs"] / kBatch);
  MappedArray<void*> residents(2 * live);
  for (void*& slot : residents) slot = touch(a.malloc(size));
  // A drawn half of them goes before the loop: the residents that stay fragment the memory of the others.
  const MappedArray<std::uint32_t> order = draw_order(2 * live, p["seed"]);
  for (std::uint64_t i = 0; i < live; ++i) a.free(std::exchange(residents[order[i]], nullptr));

  MappedArray<void*> slots(kBatch);
  run.histogram.add(size, rounds * kBatch);
  run.measure(rounds * kBatch, [&] {
    for (std::uint64_t round = 0; round < rounds; ++round) {
      for (void*& slot : slots) slot = touch(a.malloc(size));
      for (void* block : slots) a.free(block);
    }
  });
  for (void* block : residents) run.sample(a, block);
  for (void* block : residents) a.free(block);
}

}  // namespace hakmem::bench
