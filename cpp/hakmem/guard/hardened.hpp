// Hardened: the checks of every free, and the guards that its options choose, one at a time or together. Each guard's
// header says what it promises. fences: a linear write from a small or medium block ends at the latest where its region's
// blocks end, before it has changed what the allocator knows; from a large block it ends before the next region's metadata, not
// before its own; in the first 8192 regions. zero: a freed block's bytes are 0 before it is anybody else's (but for the links that a
// free block holds), and so no secret outlives its block. Any thread.
#pragma once

#include <type_traits>

#include <hakmem/guard/encoded_links.hpp>
#include <hakmem/guard/live_map.hpp>
#include <hakmem/guard/quarantine.hpp>
#include <hakmem/guard/unguarded.hpp>

namespace hakmem::guard {

struct HardenedOptions {
  bool canary = true;        // guard/canary.hpp: 16 bytes behind every block
  bool fences = true;        // an OS page that faults when written to, between a region's metadata and any block
  bool links = true;         // guard/encoded_links.hpp: the links of free blocks
  unsigned quarantine = 64;  // guard/quarantine.hpp: small blocks that wait, per thread: 0 .. 1024
  bool shuffle = true;       // guard/block_order.hpp: fresh blocks in random order
  bool zero = true;          // a block's bytes are cleared when it is freed
};

template <HardenedOptions O = HardenedOptions{}>
struct Hardened : Unguarded {
  static constexpr bool kEnabled = true;
  template <std::size_t kRegion>
  using Map = LiveMap<kRegion>;
  static_assert(O.quarantine <= 1024, "Hardened: quarantine must be 0 .. 1024");
  using Links = std::conditional_t<O.links, EncodedLinks, base::PlainLinks>;
  using Canary = std::conditional_t<O.canary, guard::Canary, NoCanary>;
  using Order = std::conditional_t<O.shuffle, Shuffled, InOrder>;
  static constexpr std::size_t kFence = O.fences ? base::kPage : 0;
  static constexpr bool kZero = O.zero;
  static constexpr unsigned kQuarantine = O.quarantine;
};

}  // namespace hakmem::guard
