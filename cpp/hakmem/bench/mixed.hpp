// Slots toggled by a drawn trace: an occupied slot is freed, an empty one gets a block of the step's size. One operation
// is one malloc or one free. A drawn half of the slots is filled before the first pass and slots keep their state from pass
// to pass, so half of them are occupied all the time and the counted passes are the steady state.
// The seeds' bench_random_mixed, with slot and size from independent draws.
#pragma once

#include <hakmem/bench/run.hpp>
#include <hakmem/bench/trace.hpp>

namespace hakmem::bench {

inline constexpr ParameterInfo kMixedSeed{"seed", 42, 0, ~std::uint64_t{0}, "seed of every random choice"};
inline constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 31;
inline constexpr std::uint64_t kFillStream = 1'000'000;  // streams of draws, far from those of the traces
inline constexpr std::uint64_t kRemoteStream = 2'000'000;

consteval ParameterInfo cycles(std::uint64_t fallback) {
  return {"cycles", fallback, 1, 1'000'000'000, "steps of one pass"};
}
consteval ParameterInfo working_set(std::uint64_t fallback) {
  return {"working_set", fallback, 1, 100'000'000, "slots; half of them are occupied at a time"};
}
consteval ParameterInfo min_size(std::uint64_t fallback) {
  return {"min", fallback, kSmallest, kMaxSize, "smallest block in bytes"};
}
consteval ParameterInfo max_size(std::uint64_t fallback) {
  return {"max", fallback, kSmallest, kMaxSize, "largest block in bytes"};
}

inline constexpr ParameterInfo kRandomMixedParameters[] = {cycles(1'000'000), working_set(400), kMixedSeed,
                                                           min_size(16), max_size(1040)};
inline constexpr ParameterInfo kFixedParameters[] = {
    {"size", 128, kSmallest, kMaxSize, "bytes of every block"}, cycles(1'000'000), working_set(8192), kMixedSeed};
inline constexpr ParameterInfo kAppParameters[] = {cycles(1'000'000), working_set(8192), kMixedSeed};
inline constexpr ParameterInfo kMidParameters[] = {cycles(100'000), working_set(256), kMixedSeed, min_size(4 << 10),
                                                   max_size(256 << 10)};
inline constexpr ParameterInfo kLargeParameters[] = {cycles(20'000), working_set(32), kMixedSeed, min_size(256 << 10),
                                                     max_size(4 << 20)};
inline constexpr ParameterInfo kVmMixedParameters[] = {cycles(20'000), working_set(64), kMixedSeed, min_size(512 << 10),
                                                       max_size(2 << 20)};
inline constexpr ParameterInfo kCallocParameters[] = {cycles(1'000'000), working_set(8192), kMixedSeed, min_size(16),
                                                      max_size(1040)};

inline constexpr WorkloadInfo kRandomMixed{"random_mixed", "call", "slots toggled at random, uniform sizes",
                                           kRandomMixedParameters};
inline constexpr WorkloadInfo kFixed{"fixed", "call", "slots toggled at random, one size", kFixedParameters};
inline constexpr WorkloadInfo kApp{"app", "call", "80 % of 16-256 B, 15 % up to 2 KiB, 5 % up to 32 KiB",
                                   kAppParameters};
inline constexpr WorkloadInfo kMid{"mid", "call", "slots toggled at random, 4-256 KiB, first word touched",
                                   kMidParameters};
inline constexpr WorkloadInfo kLarge{"large", "call", "slots toggled at random, 256 KiB-4 MiB, first word touched",
                                     kLargeParameters};
inline constexpr WorkloadInfo kVmMixed{"vm_mixed", "call", "slots toggled at random, 512 KiB-2 MiB, first word touched",
                                       kVmMixedParameters};
inline constexpr WorkloadInfo kCalloc{"calloc", "call", "as random_mixed, with calloc", kCallocParameters};

// Fills a drawn half of the slots, with sizes from the trace. `stream` tells threads apart.
template <class Allocate>
void fill_half(const MappedArray<Step>& trace, MappedArray<void*>& slots, std::uint64_t seed, std::uint64_t stream,
               Allocate&& allocate) {
  const MappedArray<bool> chosen = draw_chances(slots.size(), 50, seed, kFillStream + stream);
  for (std::uint64_t i = 0; i < slots.size(); ++i) {
    if (chosen[i]) slots[i] = touch(allocate(trace[i % trace.size()].size));
  }
}

template <class Allocate, concepts::Allocator A>
inline void toggle(const A& a, const MappedArray<Step>& trace, MappedArray<void*>& slots, Allocate&& allocate) {
  for (const Step& step : trace) {
    void*& slot = slots[step.slot];
    if (slot) {
      a.free(slot);
      slot = nullptr;
    } else {
      slot = touch(allocate(step.size));
    }
  }
}

template <concepts::Allocator A, class Size, class Allocate>
void toggle_slots(const A& a, const Parameters& p, Run& run, Size&& size, Allocate&& allocate) {
  const std::uint64_t working_set = p["working_set"];
  const MappedArray<Step> trace = draw_trace(p["cycles"], working_set, p["seed"], 0, run.histogram, size);
  MappedArray<void*> slots(working_set);
  fill_half(trace, slots, p["seed"], 0, allocate);
  run.measure(trace.size(), [&] { toggle(a, trace, slots, allocate); });
  for (void* block : slots) run.sample(a, block);
  for (void* block : slots) a.free(block);
}

template <concepts::Allocator A>
void random_mixed(const A& a, const Parameters& p, Run& run) {  // also mid, large, vm_mixed
  toggle_slots(a, p, run, uniform(p), [&](std::size_t n) { return a.malloc(n); });
}

template <concepts::Allocator A>
void fixed(const A& a, const Parameters& p, Run& run) {
  const std::uint64_t size = p["size"];
  toggle_slots(a, p, run, [size](Random&) { return size; }, [&](std::size_t n) { return a.malloc(n); });
}

template <concepts::Allocator A>
void calloc_mixed(const A& a, const Parameters& p, Run& run) {
  toggle_slots(a, p, run, uniform(p), [&](std::size_t n) { return a.calloc(1, n); });
}

template <concepts::Allocator A>
void app(const A& a, const Parameters& p, Run& run) {
  const auto size = [](Random& random) {
    const std::uint64_t percent = random.below(100);
    if (percent < 80) return random.between(16, 256);
    return percent < 95 ? random.between(257, 2048) : random.between(2049, 32768);
  };
  toggle_slots(a, p, run, size, [&](std::size_t n) { return a.malloc(n); });
}

}  // namespace hakmem::bench
