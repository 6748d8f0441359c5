// A server's life: each thread replaces random blocks of a set by blocks of new random sizes, then hands its set to
// another thread, which goes on with it. One operation is a free and a malloc.
// P. Larson, M. Krishnan, "Memory allocation for long-running server applications", 1998; sets are handed over through a
// queue of one set more than threads, so that no thread waits and no thread is created in the loop.
#pragma once

#include <sched.h>

#include <atomic>

#include <hakmem/bench/mixed.hpp>
#include <hakmem/bench/team.hpp>

namespace hakmem::bench {

consteval ParameterInfo threads(std::uint64_t fallback, std::uint64_t min = 1) {
  return {"threads", fallback, min, 64, "threads"};
}

inline constexpr ParameterInfo kLarsonParameters[] = {
    min_size(8), max_size(1024), {"chunks", 10'000, 1, 10'000'000, "blocks of one set"},
    {"rounds", 10, 1, 1'000'000, "times that a thread changes sets in one pass; it replaces `chunks` blocks in each"},
    threads(1), kMixedSeed};
inline constexpr WorkloadInfo kLarson{"larson", "pair", "threads replace blocks of sets that they hand round",
                                      kLarsonParameters};

// Sets waiting for a thread, first in first out; never empty for who gives before he takes.
class SetQueue {
 public:
  explicit SetQueue(std::size_t capacity) : sets_(capacity) {}
  void give(void** set) noexcept {
    lock();
    sets_[tail_++ % sets_.size()] = set;
    unlock();
  }
  void** take() noexcept {
    lock();
    void** set = sets_[head_++ % sets_.size()];
    unlock();
    return set;
  }

 private:
  void lock() noexcept {
    while (locked_.test_and_set(std::memory_order_acquire)) ::sched_yield();
  }
  void unlock() noexcept { locked_.clear(std::memory_order_release); }

  MappedArray<void**> sets_;
  std::size_t head_ = 0;
  std::size_t tail_ = 0;
  std::atomic_flag locked_;
};

template <concepts::Allocator A>
void larson(const A& a, const Parameters& p, Run& run) {
  const std::uint64_t count = p["threads"], chunks = p["chunks"], rounds = p["rounds"];
  std::vector<MappedArray<Step>> traces;
  for (std::uint64_t t = 0; t < count; ++t) {
    traces.push_back(draw_trace(chunks * rounds, chunks, p["seed"], t, run.histogram, uniform(p)));
  }
  MappedArray<void*> slots(chunks * (count + 1));
  SetQueue queue(count + 1);
  for (std::uint64_t set = 0; set <= count; ++set) {
    for (std::uint64_t i = 0; i < chunks; ++i) {
      slots[set * chunks + i] = touch(a.malloc(traces[set % count][i].size));
    }
    queue.give(&slots[set * chunks]);
  }

  measure_threads(run, static_cast<unsigned>(count), count * rounds * chunks, [&](unsigned thread, std::uint64_t) {
    const Step* step = traces[thread].begin();
    void** set = queue.take();
    for (std::uint64_t round = 0; round < rounds; ++round) {
      for (std::uint64_t i = 0; i < chunks; ++i, ++step) {
        void*& slot = set[step->slot];
        a.free(slot);
        slot = touch(a.malloc(step->size));
      }
      queue.give(set);
      set = queue.take();
    }
    queue.give(set);
  });
  for (void* block : slots) run.sample(a, block);
  for (void* block : slots) a.free(block);
}

}  // namespace hakmem::bench
