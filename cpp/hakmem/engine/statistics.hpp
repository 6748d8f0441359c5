// An engine's statistics as JSON text, written without allocating. Any thread; shared numbers are read under their
// locks, the cached counts are those of the calling thread.
#pragma once

#include <cstring>

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
    char digits[20];
    int n = 0;
    do {
      digits[n++] = static_cast<char>('0' + value % 10);
      value /= 10;
    } while (value != 0);
    while (n > 0) put(digits[--n]);
    return *this;
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

// Returns the length of the text; when it exceeds `capacity` the text was cut.
template <class Engine>
std::size_t statistics(char* text, std::size_t capacity) noexcept {
  using Classes = typename Engine::Classes;
  using Probe = typename Engine::Variant::Probe;
  typename Engine::Serial serial;  // where threads share a heap its front and probe change under any of them
  auto& parts = Engine::parts();
  const auto slabs = parts.pool.totals();
  const auto* mine = Engine::heap();
  const bool adopted = mine != &Engine::Heap::sentinel;
  std::size_t heaps = 0;
  [[maybe_unused]] std::uint64_t events[probe::kEvents]{};
  for (const auto* heap = Engine::heaps(); heap != nullptr; heap = heap->next) {
    ++heaps;
    if constexpr (Probe::kEnabled) {
      for (std::size_t e = 0; e < probe::kEvents; ++e) events[e] += heap->probe.count(e);
    }
  }
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
  json.key("heaps").number(heaps);
  json.key("quarantined").number(adopted ? mine->quarantine.size() : 0);
  json.key("os_maps").number(parts.pages.os_maps());
  json.key("os_purges").number(parts.pages.os_purges());
  json.key("classes").begin('[');
  for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) {
    if (c > 1) json.raw(",");
    json.begin('{');
    json.key("bytes").number(Engine::class_bytes(c));
    json.key("cached").number(adopted ? mine->front.size(c) : 0);
    json.end('}');
  }
  json.end(']');
  json.key("events").begin('{');
  if constexpr (Probe::kEnabled) {
    using E = probe::Event;
    const auto of = [&](E event) { return events[static_cast<std::size_t>(event)]; };
    json.key("malloc").number(of(E::kMallocFrontHit) + of(E::kRefill) + of(E::kMediumMalloc) + of(E::kLargeMalloc));
    for (std::size_t e = 0; e < probe::kEvents; ++e) json.key(probe::kEventNames[e]).number(events[e]);
    // a free that found its cache full is counted once, as a flush
    json.key("free").number(of(E::kFreeFrontHit) + of(E::kFlush) + of(E::kFreeRemote) + of(E::kMediumFree) +
                            of(E::kLargeFree));
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
