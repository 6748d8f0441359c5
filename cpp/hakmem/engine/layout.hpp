// Where an engine's counts lie, for a reader outside the process: python/hakmem/live.py finds this object in a library
// and reads the rest through the process's memory. Constant, words of eight bytes only. What it points to is written by
// its own threads all the time: each count is whole, their sums are of no one instant.
#pragma once

#include <array>

#include <hakmem/base/types.hpp>
#include <hakmem/probe/events.hpp>

namespace hakmem::engine {

struct Layout {
  std::uint64_t magic = 0x31'6d65'6d6b'6168;  // "hakmem1", so read in memory order
  std::uint64_t bytes = sizeof(Layout);
  const char* name;
  const char* digest;

  const void* heaps;            // holds the address of the newest heap; 0: none
  const void* model;            // a heap never in use; the next four lie in each heap as they lie in this one
  const void* model_next;       // the address of the next older heap; 0: the oldest
  const void* model_counts;     // an 8-byte count per event; nullptr: the library was built without counters
  const void* model_blocks;     // an 8-byte count of blocks per flow and class
  const void* model_kept;       // pages + 2^32 * number of the page runs that it keeps, 8 bytes; nullptr: it keeps none
  std::uint64_t flow_stride;    // bytes from one flow's counts to the next's; class c's count is the c-th, from 0
  std::uint64_t flows;
  std::uint64_t events;
  const char* const* event_names;
  std::uint64_t caches;         // 0: heaps keep no blocks but those in their slabs

  std::uint64_t classes;
  const std::uint64_t* class_bytes;  // usable bytes of a block of class 1, 2, ...
  std::uint64_t prefix;              // bytes before each block that are not usable

  // Each the address of one 8-byte count.
  const std::size_t* medium_runs;
  const std::size_t* medium_pages;  // of 4 KiB
  const std::size_t* large_bytes;
  const std::size_t* large_cached_bytes;
  const std::size_t* mapped_bytes;
  const std::size_t* purged_bytes;
};

template <class Engine>
struct LayoutOf {
  using Classes = typename Engine::Classes;
  static constexpr auto kClassBytes = [] {
    std::array<std::uint64_t, Classes::kCount> bytes{};
    for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) bytes[c - 1] = Engine::class_bytes(c);
    return bytes;
  }();

  static constexpr Layout make() noexcept {
    using Probe = typename Engine::Variant::Probe;
    const auto& model = Engine::Heap::sentinel;
    auto& parts = Engine::parts();
    const void* counts = nullptr;
    const void* blocks = nullptr;
    if constexpr (Probe::kEnabled) {
      counts = model.probe.counts_word();
      blocks = model.probe.blocks_word();
    }
    return {
        .name = Engine::Variant::kName,
        .digest = Engine::Variant::kDigest,
        .heaps = Engine::heaps_word(),
        .model = &model,
        .model_next = &model.next,
        .model_counts = counts,
        .model_blocks = blocks,
        .model_kept = model.runs.kept_word(),
        .flow_stride = (base::kMaxClasses + 1) * sizeof(std::uint64_t),
        .flows = probe::kFlows,
        .events = probe::kEvents,
        .event_names = probe::kEventNames.data(),
        .caches = !Engine::Heap::kSharded,
        .classes = Classes::kCount,
        .class_bytes = kClassBytes.data(),
        .prefix = Engine::P::kPrefix,
        .medium_runs = parts.runs.used_runs_word(),
        .medium_pages = parts.runs.used_pages_word(),
        .large_bytes = parts.large.usable_word(),
        .large_cached_bytes = parts.regions.bytes_word(),
        .mapped_bytes = parts.pages.mapped_word(),
        .purged_bytes = parts.pages.purged_word(),
    };
  }
};

}  // namespace hakmem::engine
