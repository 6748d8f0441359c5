// An engine's statistics as JSON text, written without allocating. Any thread, while others work: each number is whole,
// and the sums are exact when no other thread is inside malloc or free. docs/statistics.md says what each key means.
#pragma once

#include <cstring>
#include <initializer_list>

#include <hakmem/base/decimal.hpp>
#include <hakmem/base/types.hpp>
#include <hakmem/probe/events.hpp>

namespace hakmem::engine {

// JSON text into a buffer that may be too short: counts what it would have needed.
class JsonText {
 public:
  JsonText(char* text, std::size_t capacity) noexcept : text_(text), capacity_(capacity) {}

  JsonText& raw(const char* piece) noexcept {
    for (; *piece != '\0'; ++piece) put(*piece);
    return *this;
  }
  JsonText& number(std::uint64_t value) noexcept {
    return raw(base::Decimal(value).text());
  }
  // ,"key":  (names and digests need no escaping)
  JsonText& key(const char* name) noexcept {
    if (open_) put(',');
    open_ = true;
    return raw("\"").raw(name).raw("\":");
  }
  JsonText& begin(char bracket) noexcept {
    put(bracket);
    open_ = false;
    return *this;
  }
  JsonText& begin_item(char bracket) noexcept {
    if (open_) put(',');
    return begin(bracket);
  }
  JsonText& end(char bracket) noexcept {
    put(bracket);
    open_ = true;
    return *this;
  }
  std::size_t length() const noexcept { return length_; }

 private:
  void put(char c) noexcept {
    if (length_ < capacity_) text_[length_] = c;
    ++length_;
  }
  char* text_;
  std::size_t capacity_;
  std::size_t length_ = 0;
  bool open_ = false;
};

// Sums over events, of which of(e) says how often each happened.
template <class Of>
std::uint64_t mallocs(Of&& of) noexcept {
  using E = probe::Event;
  std::uint64_t sum = 0;
  for (E e : {E::kMallocFrontHit, E::kRefill, E::kMediumMalloc, E::kLargeMalloc}) sum += of(static_cast<std::size_t>(e));
  return sum;
}
// A free that found its cache full is counted once, as a flush.
template <class Of>
std::uint64_t frees(Of&& of) noexcept {
  using E = probe::Event;
  std::uint64_t sum = 0;
  for (E e : {E::kFreeFrontHit, E::kFlush, E::kFreeRemote, E::kMediumFree, E::kLargeFree}) {
    sum += of(static_cast<std::size_t>(e));
  }
  return sum;
}

// Bytes that a heap's front and its quarantine hold. False in `counted`: the front keeps no count, and only its own thread may walk its lists.
template <class Engine>
std::size_t cached_bytes(const typename Engine::Heap* heap, bool& counted) noexcept {
  using Classes = typename Engine::Classes;
  if constexpr (Engine::Heap::kUnbounded) {
    counted = Engine::Variant::Remote::kOneHeap || heap == Engine::heap();
    if (!counted) return 0;
  }
  std::size_t bytes = 0;
  for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) {
    bytes += (heap->front.size(c) + heap->quarantine.size(c)) * Engine::class_bytes(c);
  }
  return bytes;
}

// The bytes of an engine by where they are. Live, cached and in transit add up to what has left the slabs, the runs and
// the large blocks. By class: `out_of` its blocks out of their slabs, `cached_of` those of them in a counted cache or in
// the depot, `depot_of` the latter.
template <class Engine>
struct Totals {
  static constexpr std::size_t kClasses = Engine::Classes::kCount + 1;
  const typename Engine::Heap* newest = nullptr;
  std::size_t medium_cached = 0;
  std::size_t heaps = 0, live = 0, cached = 0, depot = 0, transit = 0, medium = 0, large = 0, mapped = 0;
  std::size_t out_of[kClasses]{}, cached_of[kClasses]{}, depot_of[kClasses]{};
};

template <class Engine>
Totals<Engine> totals() noexcept {
  Totals<Engine> sum;
  auto& parts = Engine::parts();
  sum.newest = Engine::heaps();
  for (const auto* heap = sum.newest; heap != nullptr; heap = heap->next) {
    ++sum.heaps;
    bool counted = true;
    sum.cached += cached_bytes<Engine>(heap, counted);
    sum.medium_cached += heap->runs.bytes() - heap->runs.runs() * Engine::P::kPrefix;
    for (base::ClassIndex c = 1; c < sum.kClasses && counted; ++c) sum.cached_of[c] += heap->front.size(c) + heap->quarantine.size(c);
  }
  if constexpr (Engine::P::kDepot != 0) {
    for (base::ClassIndex c = 1; c < sum.kClasses; ++c) {
      sum.depot_of[c] = parts.shared[c].depot.size();
      sum.cached_of[c] += sum.depot_of[c];
      sum.depot += sum.depot_of[c] * Engine::class_bytes(c);
    }
    sum.cached += sum.depot;
  }
  const auto slabs = parts.pool.totals();
  std::size_t slab_bytes = 0;
  for (base::ClassIndex c = 1; c < sum.kClasses; ++c) {
    sum.out_of[c] = slabs.out_of[c];
    slab_bytes += slabs.out_of[c] * Engine::class_bytes(c);
  }
  sum.transit = Engine::bytes_in_transit();
  const std::size_t idle_runs = parts.runs.used_runs() * Engine::P::kPrefix + sum.medium_cached;
  const std::size_t runs = parts.runs.used_bytes();
  sum.medium = runs > idle_runs ? runs - idle_runs : 0;  // other threads may take and give meanwhile
  sum.large = parts.large.usable_bytes();
  sum.mapped = parts.pages.mapped_bytes();
  const std::size_t idle = sum.cached + sum.transit;
  sum.live = slab_bytes - (idle < slab_bytes ? idle : slab_bytes) + sum.medium + sum.large;
  return sum;
}

// Returns the length of the text; when it exceeds `capacity` the text was cut.
template <class Engine>
std::size_t statistics(char* text, std::size_t capacity) noexcept {
  using Classes = typename Engine::Classes;
  using Probe = typename Engine::Variant::Probe;
  typename Engine::Serial serial;  // where threads share a heap its front and probe change under any of them
  auto& parts = Engine::parts();
  const auto* mine = Engine::heap();
  const bool adopted = mine != &Engine::Heap::sentinel;
  const auto sum = totals<Engine>();
  const auto slabs = parts.pool.totals();
  const std::size_t region_bytes = (slabs.super_slabs + parts.runs.chunks()) * Engine::P::kRegion + parts.large.bytes();

  JsonText json(text, capacity);
  json.begin('{');
  json.key("name").raw("\"").raw(Engine::Variant::kName).raw("\"");
  json.key("digest").raw("\"").raw(Engine::Variant::kDigest).raw("\"");
  json.key("regions").number(slabs.super_slabs + parts.runs.chunks() + parts.large.count());
  json.key("region_bytes").number(region_bytes);
  json.key("superslabs").number(slabs.super_slabs);
  json.key("slabs_in_use").number(slabs.slabs);
  json.key("slab_blocks_out").number(slabs.blocks_out);
  json.key("medium_runs").number(parts.runs.used_runs());
  json.key("large_blocks").number(parts.large.count());
  json.key("large_cached_bytes").number(parts.regions.bytes());
  json.key("heaps").number(sum.heaps);
  // of the calling thread's heap; where heaps are lent, which it is hangs on the processor, and they all count
  const auto in_mine = [&](auto of) {
    std::size_t n = 0;
    if constexpr (Engine::kLends) {
      for (const auto* heap = sum.newest; heap != nullptr; heap = heap->next) n += of(heap);
    } else if (adopted) {
      n = of(mine);
    }
    return n;
  };
  std::size_t quarantined = 0;
  for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) {
    quarantined += in_mine([c](const auto* heap) -> std::size_t { return heap->quarantine.size(c); });
  }
  json.key("quarantined").number(quarantined);
  json.key("os_maps").number(parts.pages.os_maps());
  json.key("os_purges").number(parts.pages.os_purges());
  json.key("live_bytes").number(sum.live);
  json.key("cached_bytes").number(sum.cached);
  json.key("depot_bytes").number(sum.depot);
  json.key("in_transit_bytes").number(sum.transit);
  json.key("medium_bytes").number(sum.medium);
  json.key("medium_cached_bytes").number(sum.medium_cached);
  json.key("large_bytes").number(sum.large);
  json.key("mapped_bytes").number(sum.mapped);
  json.key("purged_bytes").number(parts.pages.purged_bytes());
  json.key("classes").begin('[');
  for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) {
    const std::size_t bytes = Engine::class_bytes(c);
    if (bytes == 0) continue;
    json.begin_item('{');
    json.key("bytes").number(bytes);
    json.key("cached").number(in_mine([c](const auto* heap) -> std::size_t { return heap->front.size(c); }));
    json.key("depot").number(sum.depot_of[c]);
    json.key("out_bytes").number(sum.out_of[c] * bytes);
    json.key("cached_bytes").number(sum.cached_of[c] * bytes);
    json.end('}');
  }
  json.end(']');
  json.key("thread_heaps").begin('[');
  std::size_t number = sum.heaps;
  for (const auto* heap = sum.newest; heap != nullptr; heap = heap->next, --number) {
    bool counted = true;
    json.begin_item('{');
    json.key("heap").number(number);
    json.key("cached_bytes").number(cached_bytes<Engine>(heap, counted));
    json.key("counted").raw(counted ? "true" : "false");
    if constexpr (Probe::kEnabled) {
      json.key("malloc").number(mallocs([heap](auto e) { return heap->probe.count(e); }));
      json.key("free").number(frees([heap](auto e) { return heap->probe.count(e); }));
    }
    json.end('}');
  }
  json.end(']');
  json.key("events").begin('{');
  if constexpr (Probe::kEnabled) {
    const auto of = [&](std::size_t e) {
      std::uint64_t count = 0;
      for (const auto* heap = sum.newest; heap != nullptr; heap = heap->next) count += heap->probe.count(e);
      return count;
    };
    json.key("malloc").number(mallocs(of));
    for (std::size_t e = 0; e < probe::kEvents; ++e) json.key(probe::kEventNames[e]).number(of(e));
    json.key("free").number(frees(of));
  }
  json.end('}');
  if constexpr (Probe::kRoute) {
    json.key("route").begin('[');
    bool first = true;
    if (adopted) {
      mine->probe.each([&](const auto& step) {
        if (!first) json.raw(",");
        first = false;
        json.raw("\"").raw(probe::kEventNames[static_cast<std::size_t>(step.event)]);
        if (step.size_class != 0) {
          json.raw(":").number(Engine::class_bytes(step.size_class));
        }
        json.raw("\"");
      });
    }
    json.end(']');
  }
  json.end('}');
  return json.length();
}

}  // namespace hakmem::engine
