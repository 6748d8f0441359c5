// A policy set over a fixed arena that refuses on command: the neighbours that a test does not care about.
// Derive and hide what is to be different. Every `Tag` has its own arena.
#pragma once

#include <hakmem/back/superslab.hpp>
#include <hakmem/classes/geometric4.hpp>
#include <hakmem/engine/parts.hpp>
#include <hakmem/front/unified.hpp>
#include <hakmem/guard/encoded_links.hpp>
#include <hakmem/guard/none.hpp>
#include <hakmem/owner/mask.hpp>
#include <hakmem/pages/failing.hpp>
#include <hakmem/pages/fixed_arena.hpp>
#include <hakmem/pages/os_memory.hpp>
#include <hakmem/probe/none.hpp>
#include <hakmem/remote/adopt.hpp>
#include <hakmem/slab/freelist.hpp>
#include <hakmem/thread/tls_pointer.hpp>

#include "check.hpp"

namespace hakmem::test {

inline constexpr pages::MmapOptions kToyPages{.superslab_kib = 256, .decay_ms = 1, .large_cache_mib = 2};

template <class Tag, pages::MmapOptions O = kToyPages>
struct ToyVariant {
  static constexpr char kName[] = "toy";
  static constexpr char kDigest[] = "0000000000000000";
  static constexpr char kPolicySet[] = "{}";
  using Front = front::Unified<>;
  using Classes = classes::Geometric4<classes::Geometric4Options{.largest = 4096}>;
  using Store = slab::Freelist;
  using Owner = owner::Mask;
  using Remote = remote::Adopt<>;
  using Pages = pages::Failing<pages::FixedArena<std::size_t{24} << 20, Tag, O>>;
  using Thread = thread::TlsPointer;
  using Guard = guard::None;
  using Probe = probe::None;
  using Back = back::SuperSlab<>;
};

// Nothing but encoded links.
struct EncodedGuard : guard::None {
  using Links = guard::EncodedLinks;
};

constexpr pages::MmapOptions with(pages::Purge purge) {
  pages::MmapOptions options = kToyPages;
  options.purge = purge;
  return options;
}

template <class V>
using Parts = engine::Parts<V>;

// The parts of a variant without an engine around them.
template <class V>
Parts<V>& started(Parts<V>& parts) {
  V::Pages::recover();
  if constexpr (Parts<V>::Links::kKeyed) Parts<V>::Links::seed(pages::random_word());
  check(parts.pages.reserve() && parts.owner.start(parts.pages));
  return parts;
}

}  // namespace hakmem::test
