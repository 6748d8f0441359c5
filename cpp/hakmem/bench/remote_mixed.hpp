// Slots toggled per thread; a drawn share of the frees is sent through a ring to the next thread, which does it. One
// operation is one malloc or one free. Who finds the ring full frees what has been sent to him, and tries again;
// `remote_share` is the share of frees that went to another thread. Also mid_large_mt: the same without rings.
#pragma once

#include <sched.h>

#include <memory>

#include <hakmem/bench/larson.hpp>
#include <hakmem/bench/ring.hpp>

namespace hakmem::bench {

inline constexpr ParameterInfo kRemoteMixedParameters[] = {
    {"remote_percent", 50, 0, 100, "share of frees sent to the next thread"}, threads(2), cycles(200'000),
    working_set(8192), {"ring", 4096, 64, 1 << 24, "blocks that fit between two threads; a power of two"},
    min_size(16), max_size(2048), kMixedSeed};
inline constexpr ParameterInfo kMidLargeMtParameters[] = {threads(2), cycles(60'000), working_set(256), min_size(8192),
                                                          max_size(32768), kMixedSeed};

inline constexpr WorkloadInfo kRemoteMixed{"remote_mixed", "call", "slots toggled by threads that free for each other",
                                           kRemoteMixedParameters};
inline constexpr WorkloadInfo kMidLargeMt{"mid_large_mt", "call", "slots toggled by each thread, 8-32 KiB",
                                          kMidLargeMtParameters};

struct ThreadSlots {
  MappedArray<Step> trace;
  MappedArray<void*> slots;
};

template <concepts::Allocator A>
std::vector<ThreadSlots> draw_threads(const A& a, const Parameters& p, Run& run) {
  std::vector<ThreadSlots> all(p["threads"]);
  std::uint64_t stream = 0;
  for (ThreadSlots& each : all) {
    each.trace = draw_trace(p["cycles"], p["working_set"], p["seed"], stream, run.histogram, uniform(p));
    each.slots = MappedArray<void*>(p["working_set"]);
    fill_half(each.trace, each.slots, p["seed"], stream++, [&](std::size_t n) { return a.malloc(n); });
  }
  return all;
}

template <concepts::Allocator A>
void free_rest(const A& a, const std::vector<ThreadSlots>& all, Run& run) {
  for (const ThreadSlots& each : all) {
    for (void* block : each.slots) run.sample(a, block);
    for (void* block : each.slots) a.free(block);
  }
}

template <concepts::Allocator A>
void mid_large_mt(const A& a, const Parameters& p, Run& run) {
  std::vector<ThreadSlots> all = draw_threads(a, p, run);
  measure_threads(run, static_cast<unsigned>(all.size()), all.size() * p["cycles"], [&](unsigned thread, std::uint64_t) {
    toggle(a, all[thread].trace, all[thread].slots, [&](std::size_t n) { return a.malloc(n); });
  });
  free_rest(a, all, run);
}

template <concepts::Allocator A>
void remote_mixed(const A& a, const Parameters& p, Run& run) {
  constexpr std::uint64_t kStepsBetweenDrains = 32;
  if (p["ring"] & (p["ring"] - 1)) throw std::invalid_argument("workload remote_mixed: ring: expected a power of two");
  std::vector<ThreadSlots> all = draw_threads(a, p, run);
  const unsigned count = static_cast<unsigned>(all.size());
  std::vector<MappedArray<bool>> remote;  // whether a step's free is sent away
  std::vector<std::unique_ptr<Ring>> inboxes;
  for (unsigned t = 0; t < count; ++t) {
    remote.push_back(draw_chances(p["cycles"], p["remote_percent"], p["seed"], kRemoteStream + t));
    inboxes.push_back(std::make_unique<Ring>(p["ring"]));
  }
  const auto drain = [&](Ring& inbox) {
    while (void* block = inbox.pop()) a.free(block);
  };
  std::atomic<std::uint64_t> done{0}, sent_in_all{0}, frees_in_all{0};  // `done`: passes ended, over all threads

  measure_threads(run, count, count * p["cycles"], [&](unsigned thread, std::uint64_t pass) {
    const MappedArray<Step>& trace = all[thread].trace;
    MappedArray<void*>& slots = all[thread].slots;
    Ring& inbox = *inboxes[thread];
    Ring& outbox = *inboxes[(thread + 1) % count];
    std::uint64_t sent = 0, frees = 0;
    for (std::uint64_t i = 0; i < trace.size(); ++i) {
      const Step step = trace[i];
      void*& slot = slots[step.slot];
      if (!slot) {
        slot = touch(a.malloc(step.size));
      } else {
        ++frees;
        if (remote[thread][i]) {
          ++sent;
          for (; !outbox.push(slot); ::sched_yield()) drain(inbox);
        } else {
          a.free(slot);
        }
        slot = nullptr;
      }
      if (i % kStepsBetweenDrains == 0) drain(inbox);
    }
    sent_in_all.fetch_add(sent, std::memory_order_relaxed);
    frees_in_all.fetch_add(frees, std::memory_order_relaxed);
    // Others may still wait for room in this thread's inbox.
    done.fetch_add(1, std::memory_order_relaxed);
    for (; done.load(std::memory_order_relaxed) < (pass + 1) * count; ::sched_yield()) drain(inbox);
    drain(inbox);
  });
  for (const auto& inbox : inboxes) drain(*inbox);
  run.extra.emplace_back("remote_share", static_cast<double>(sent_in_all) / static_cast<double>(frees_in_all));
  free_rest(a, all, run);
}

}  // namespace hakmem::bench
