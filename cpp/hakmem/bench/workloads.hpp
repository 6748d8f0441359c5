// Every workload that a loop can run: its description and its function, over one allocator type. `startup` is not here:
// it needs fresh processes and is the runner's own.
#pragma once

#include <hakmem/bench/batches.hpp>
#include <hakmem/bench/larson.hpp>
#include <hakmem/bench/mixed.hpp>
#include <hakmem/bench/patterns.hpp>
#include <hakmem/bench/producer_consumer.hpp>
#include <hakmem/bench/reallocs.hpp>
#include <hakmem/bench/remote_mixed.hpp>

namespace hakmem::bench {

template <concepts::Allocator A>
struct Workload {
  const WorkloadInfo* info;
  void (*run)(const A&, const Parameters&, Run&);
};

template <concepts::Allocator A>
inline constexpr Workload<A> kWorkloads[] = {
    {&kPair16, &pair_16<A>},
    {&kLifo, &lifo<A>},
    {&kFifo, &fifo<A>},
    {&kRandomFree, &random_free<A>},
    {&kInterleaved, &interleaved<A>},
    {&kLongLived, &long_lived<A>},
    {&kRandomMixed, &random_mixed<A>},
    {&kTinyHot, &tiny_hot<A>},
    {&kFixed, &fixed<A>},
    {&kApp, &app<A>},
    {&kLarson, &larson<A>},
    {&kRemoteMixed, &remote_mixed<A>},
    {&kProducerConsumer, &producer_consumer<A>},
    {&kMidLargeMt, &mid_large_mt<A>},
    {&kVmMixed, &random_mixed<A>},
    {&kReallocGrow, &realloc_grow<A>},
    {&kReallocStep, &realloc_step<A>},
    {&kCalloc, &calloc_mixed<A>},
    {&kBurst, &burst<A>},
    {&kMid, &random_mixed<A>},
    {&kLarge, &random_mixed<A>},
};

template <concepts::Allocator A>
const Workload<A>& find_workload(std::string_view name) {
  std::string known;
  for (const Workload<A>& each : kWorkloads<A>) {
    if (each.info->name == name) return each;
    known += (known.empty() ? "" : ", ") + std::string(each.info->name);
  }
  throw std::invalid_argument("workload '" + std::string(name) + "' is not known; expected one of " + known +
                              ", startup (runner only)");
}

}  // namespace hakmem::bench
