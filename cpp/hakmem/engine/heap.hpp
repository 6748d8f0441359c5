// One thread's state: its front, and, where heaps own their slabs, their bins and what travels between heaps. Heaps are
// never unmapped, so that a queue can be pushed to at any time; a dead thread's heap is taken over by a new thread.
#pragma once

#include <type_traits>

#include <hakmem/back/run_cache.hpp>
#include <hakmem/base/types.hpp>
#include <hakmem/guard/quarantine.hpp>
#include <hakmem/pages/options.hpp>

namespace hakmem::engine {

template <class V, class P>
struct Heap {
  using Classes = typename P::Classes;
  using Links = typename P::Links;
  static constexpr bool kSharded = requires { V::Front::kSharded; };
  static constexpr bool kHasQueue = P::kHeapsOwnSlabs && !V::Remote::kOneHeap;

  template <class F, bool>
  struct FrontOf {
    using Type = typename F::template Type<Classes, Links>;
  };
  template <class F>
  struct FrontOf<F, true> {
    using Type = typename F::template Type<Classes, typename P::SuperSlab, Links>;
  };
  using Front = typename FrontOf<typename V::Front, kSharded>::Type;
  // What is purged at once is not kept.
  static constexpr std::size_t kRunCacheBytes =
      P::kOptions.purge == pages::Purge::kEager ? 0 : V::Back::kRunCacheBytes;
  using Runs = back::RunCache<kRunCacheBytes>;
  static constexpr bool kUnbounded = requires { requires Front::kUnbounded; };
  static constexpr bool kGrows = requires { requires Front::kGrows; };

  struct NoTime {};
  struct NoQueue {};
  template <class R, bool>
  struct QueueOf {
    using Queue = NoQueue;
    using Outgoing = NoQueue;
  };
  template <class R>
  struct QueueOf<R, true> {
    using Queue = typename R::template Queue<Links>;
    using Outgoing = typename R::template Outgoing<Heap, Links>;
  };

  typename P::Owner::View view{};  // the lookup's state; zero in the sentinel, which therefore takes nothing for its own
  base::Tag tag = 0;  // this heap's id, shifted into place; 0: the sentinel, or blocks without owners
  [[no_unique_address]] typename V::Probe probe{};
  Front front{};
  [[no_unique_address]] typename QueueOf<typename V::Remote, kHasQueue>::Queue queue{};
  [[no_unique_address]] typename QueueOf<typename V::Remote, kHasQueue>::Outgoing outgoing{};
  typename P::Bin bins[P::kHeapsOwnSlabs ? Classes::kCount + 1 : 1]{};
  [[no_unique_address]] guard::Quarantine<V::Guard::kQuarantine, Classes::kCount + 1> quarantine{};
  [[no_unique_address]] Runs runs{};
  // Bytes of blocks that this heap's thread freed for other heaps, and of those that others freed for this one.
  struct Travel {
    std::uint64_t sent = 0, home = 0;
  };
  [[no_unique_address]] std::conditional_t<kHasQueue, Travel, NoQueue> travel{};
  // Whether something idle in this heap is emptied at every decay, and when it last was.
  static constexpr bool kDecays = kUnbounded || kGrows || kRunCacheBytes != 0;
  [[no_unique_address]] std::conditional_t<kDecays, std::uint64_t, NoTime> emptied_ms{};
  Heap* next = nullptr;            // all heaps
  Heap* next_idle = nullptr;       // those that no thread has

  // Always empty and always full: the heap of a thread that has none yet. Never written.
  static Heap sentinel;
};

template <class V, class P>
inline constinit Heap<V, P> Heap<V, P>::sentinel{};

}  // namespace hakmem::engine
