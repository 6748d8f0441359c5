// Pairs of threads: one allocates, the other frees. One operation is a malloc and its free on the other thread. A side
// that must wait spins, then yields.
#pragma once

#include <sched.h>

#include <memory>

#include <hakmem/bench/larson.hpp>
#include <hakmem/bench/ring.hpp>

namespace hakmem::bench {

inline constexpr ParameterInfo kProducerConsumerParameters[] = {
    min_size(16), max_size(256), {"threads", 2, 2, 64, "threads, an even number: one half allocates, one half frees"},
    {"items", 200'000, 1, 1'000'000'000, "blocks that each producer makes in one pass"},
    {"ring", 1024, 64, 1 << 24, "blocks that fit between two threads; a power of two"}, kMixedSeed};
inline constexpr WorkloadInfo kProducerConsumer{"producer_consumer", "pair", "one thread allocates, another frees",
                                                kProducerConsumerParameters};

class Patience {
 public:
  void wait() noexcept {
    asm volatile("" ::: "memory");
    if (++spins_ % 1024 == 0) ::sched_yield();
  }

 private:
  unsigned spins_ = 0;
};

template <concepts::Allocator A>
void producer_consumer(const A& a, const Parameters& p, Run& run) {
  const std::uint64_t count = p["threads"], items = p["items"];
  if (count % 2) throw std::invalid_argument("workload producer_consumer: threads: expected an even number");
  if (p["ring"] & (p["ring"] - 1)) {
    throw std::invalid_argument("workload producer_consumer: ring: expected a power of two");
  }
  std::vector<MappedArray<Step>> traces;
  std::vector<std::unique_ptr<Ring>> rings;
  for (std::uint64_t t = 0; t < count / 2; ++t) {
    traces.push_back(draw_trace(items, 1, p["seed"], t, run.histogram, uniform(p)));
    rings.push_back(std::make_unique<Ring>(p["ring"]));
  }

  measure_threads(run, static_cast<unsigned>(count), count / 2 * items, [&](unsigned thread, std::uint64_t) {
    Ring& ring = *rings[thread / 2];
    Patience patience;
    if (thread % 2 == 0) {
      for (const Step& step : traces[thread / 2]) {
        void* block = touch(a.malloc(step.size));
        while (!ring.push(block)) patience.wait();
      }
    } else {
      for (std::uint64_t i = 0; i < items; ++i) {
        void* block;
        while (!(block = ring.pop())) patience.wait();
        touch(block);
        a.free(block);
      }
    }
  });
  void* block = a.malloc(p["min"]);
  run.sample(a, block);
  a.free(block);
}

}  // namespace hakmem::bench
