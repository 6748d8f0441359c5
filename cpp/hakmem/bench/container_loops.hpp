// What C++ containers do with allocators of their own: loops over the standard library's containers, the allocator coming
// from a Scheme. One thread. A Scheme has a template Allocator<T>, an object of it by of<T>(), and owns(p): whether p is
// what it should have given.
#pragma once

#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <hakmem/bench/run.hpp>
#include <hakmem/bench/trace.hpp>

namespace hakmem::bench {

inline constexpr std::uint64_t kContainerSeed = 42;
inline constexpr std::uint64_t kContainerSteps = 200'000;

template <class Scheme>
void look(const Scheme& scheme, Run& run, const void* p) noexcept {
  ++run.sampled;
  run.owned += scheme.owns(p);
}

struct PairNode {
  std::uint64_t words[5];
};

// One operation: allocate(1) and deallocate(1) of 40 bytes, 100 live, the newest first.
template <class Scheme>
void node_pairs(Scheme& scheme, Run& run) {
  using Allocator = typename Scheme::template Allocator<PairNode>;
  using Traits = std::allocator_traits<Allocator>;
  Allocator allocator = scheme.template of<PairNode>();
  PairNode* nodes[100];
  constexpr std::uint64_t kRounds = kContainerSteps / std::size(nodes);
  run.histogram.add(sizeof(PairNode), kContainerSteps);
  run.measure(kContainerSteps, [&] {
    for (std::uint64_t round = 0; round < kRounds; ++round) {
      for (PairNode*& node : nodes) touch(node = Traits::allocate(allocator, 1));
      for (PairNode** at = std::end(nodes); at != std::begin(nodes);) Traits::deallocate(allocator, *--at, 1);
    }
  });
  PairNode* last = Traits::allocate(allocator, 1);
  look(scheme, run, last);
  Traits::deallocate(allocator, last, 1);
}

// One operation: a push at the back and a pop at the front of a list of 1000.
template <class Scheme>
void list_queue(Scheme& scheme, Run& run) {
  std::list<std::uint64_t, typename Scheme::template Allocator<std::uint64_t>> list(scheme.template of<std::uint64_t>());
  for (std::uint64_t i = 0; i < 1000; ++i) list.push_back(i);
  run.measure(kContainerSteps, [&] {
    for (std::uint64_t i = 0; i < kContainerSteps; ++i) {
      list.push_back(i);
      list.pop_front();
    }
  });
  for (const std::uint64_t& each : list) look(scheme, run, &each);
}

// One operation: a drawn key comes if it is not there and goes if it is; half of 16384 are there.
template <class Scheme, class Map>
void toggle_keys(const Scheme& scheme, Run& run, Map& map) {
  const MappedArray<Step> steps =
      draw_trace(kContainerSteps, 16384, kContainerSeed, 0, run.histogram, [](Random&) { return std::uint64_t{8}; });
  for (std::uint64_t key = 0; key < 16384; key += 2) map.try_emplace(key, key);
  run.measure(steps.size(), [&] {
    for (const Step& step : steps) {
      const auto [at, fresh] = map.try_emplace(step.slot, step.size);
      if (!fresh) map.erase(at);
    }
  });
  for (const auto& each : map) look(scheme, run, &each);
}
template <class Scheme>
void map_toggle(Scheme& scheme, Run& run) {
  using Pair = std::pair<const std::uint64_t, std::uint64_t>;
  std::map<std::uint64_t, std::uint64_t, std::less<>, typename Scheme::template Allocator<Pair>> map(
      scheme.template of<Pair>());
  toggle_keys(scheme, run, map);
}
template <class Scheme>
void unordered_map_toggle(Scheme& scheme, Run& run) {
  using Pair = std::pair<const std::uint64_t, std::uint64_t>;
  std::unordered_map<std::uint64_t, std::uint64_t, std::hash<std::uint64_t>, std::equal_to<>,
                     typename Scheme::template Allocator<Pair>>
      map(scheme.template of<Pair>());
  toggle_keys(scheme, run, map);
}

// One operation: one of 1000 strings is replaced by one of 16 to 200 characters.
template <class Scheme>
void string_churn(Scheme& scheme, Run& run) {
  using String = std::basic_string<char, std::char_traits<char>, typename Scheme::template Allocator<char>>;
  const MappedArray<Step> steps = draw_trace(kContainerSteps, 1000, kContainerSeed, 0, run.histogram,
                                             [](Random& random) { return random.between(16, 200); });
  const auto allocator = scheme.template of<char>();
  std::vector<String> strings;
  strings.reserve(1000);
  while (strings.size() < strings.capacity()) strings.emplace_back(100, 'x', allocator);
  run.measure(steps.size(), [&] {
    for (const Step& step : steps) {
      String fresh(step.size, 'y', allocator);
      strings[step.slot].swap(fresh);
    }
  });
  for (const String& each : strings) look(scheme, run, each.data());
}

// One operation: a vector grows by push_back to 1 to 64 numbers and is dropped.
template <class Scheme>
void vector_growth(Scheme& scheme, Run& run) {
  using Vector = std::vector<std::uint64_t, typename Scheme::template Allocator<std::uint64_t>>;
  const MappedArray<Step> steps = draw_trace(kContainerSteps / 10, 1, kContainerSeed, 0, run.histogram,
                                             [](Random& random) { return random.between(1, 64); });
  run.measure(steps.size(), [&] {
    for (const Step& step : steps) {
      Vector numbers(scheme.template of<std::uint64_t>());
      for (std::uint32_t i = 0; i < step.size; ++i) numbers.push_back(i);
      touch(numbers.data());
    }
  });
  const Vector last(8, 7, scheme.template of<std::uint64_t>());
  look(scheme, run, last.data());
}

template <class Scheme>
struct ContainerLoop {
  std::string_view name;
  void (*run)(Scheme&, Run&);
};

template <class Scheme>
inline constexpr ContainerLoop<Scheme> kContainerLoops[] = {
    {"nodes", &node_pairs<Scheme>},
    {"list", &list_queue<Scheme>},
    {"map", &map_toggle<Scheme>},
    {"unordered_map", &unordered_map_toggle<Scheme>},
    {"string", &string_churn<Scheme>},
    {"vector", &vector_growth<Scheme>},
};

}  // namespace hakmem::bench
