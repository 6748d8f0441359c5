// Engine<Variant>: the malloc family, and the only place that binds a variant's policies together. Any thread.
//
//   malloc ── pop ─────────────────────────────────> block
//     ├── refill_and_pop ── remote queue, slabs ───> block        free ── push ──> done
//     └── malloc_large ── page runs, regions ──────> block          ├── free_uncached ── flush_and_push
//                                                                   └── free_outside, free_elsewhere ── remote, run, large, foreign
//
// The hot halves are inlined into their callers: no call, no lock, no test for initialisation; a thread without a heap
// finds the sentinel, which is always empty and always full, and so reaches a cold half, where it adopts a heap.
// (remote::None alone holds the process's lock around each call.)
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <new>
#include <type_traits>

#include <hakmem/base/fatal.hpp>
#include <hakmem/concepts/front_policy.hpp>
#include <hakmem/concepts/probe.hpp>
#include <hakmem/concepts/remote_queue.hpp>
#include <hakmem/concepts/sharded_front.hpp>
#include <hakmem/concepts/thread_slot.hpp>
#include <hakmem/engine/heap.hpp>
#include <hakmem/engine/idle_heaps.hpp>
#include <hakmem/engine/parts.hpp>
#include <hakmem/pages/options.hpp>
#include <hakmem/pages/os_memory.hpp>
#include <hakmem/probe/events.hpp>
#include <hakmem/thread/exit_hook.hpp>
#include <hakmem/thread/process_slot.hpp>

namespace hakmem::engine {

template <class V>
class Engine {
 public:
  using Variant = V;
  using P = Parts<V>;
  using Classes = typename P::Classes;
  using Heap = engine::Heap<V, P>;
  static constexpr bool kLends = requires { requires V::Thread::kLends; };  // a thread has a heap within a call alone

 private:
  using Block = base::Block;
  using ClassIndex = base::ClassIndex;
  using Event = probe::Event;
  using Flow = probe::Flow;
  using SuperSlab = typename P::SuperSlab;
  using Slab = typename P::Slab;
  using Region = typename P::Region;
  using Large = typename back::LargeBlocks<P>::Large;
  using Runs = back::PageRuns<P>;
  using Returns = typename P::Bin::Returns;

  static constexpr bool kDirect = P::kDirect;
  static constexpr bool kOneHeap = V::Remote::kOneHeap;
  static constexpr bool kOwned = P::kHeapsOwnSlabs;
  static constexpr bool kSharded = Heap::kSharded;
  static constexpr bool kGuarded = V::Guard::kEnabled;
  static constexpr bool kChains = P::kChains && requires(typename Heap::Front& front) { front.take_chain(1, 1u); };
  static constexpr std::size_t kPrefix = P::kPrefix;
  using Canary = typename V::Guard::Canary;
  static constexpr bool kSealed = Canary::kBytes != 0;
  static constexpr bool kQuarantined = V::Guard::kQuarantine != 0;
  static constexpr bool kRetires = kSealed || V::Guard::kZero || kQuarantined;
  static constexpr bool kUnbounded = Heap::kUnbounded;
  static constexpr unsigned kDepot = P::kDepot;
  static constexpr bool kKeepsRuns = Heap::kRunCacheBytes != 0;
  static constexpr std::size_t kLargestSmall = kDirect ? 0 : Classes::kLargest - kPrefix;
  // What has a run for want of a size class, or since it has grown.
  static constexpr std::size_t kSmallestRun = kLargestSmall < base::kPage ? kLargestSmall : base::kPage;
  static constexpr std::size_t kLargestMedium = kDirect ? 0 : Runs::kLargest - kPrefix;
  // Whether the thread's latest block that grows has the longest run of its cache, up to so many bytes.
  static constexpr bool kGrowsRuns = kKeepsRuns && !kGuarded;
  static constexpr std::size_t kMostRoom = std::min(Heap::Runs::kLargest, Runs::kLargest) - kPrefix;

  static_assert([] {
    if constexpr (kSharded) return concepts::ShardedFront<typename Heap::Front, Slab>;
    else return concepts::FrontPolicy<typename Heap::Front>;
  }(), "Engine: Front is no FrontPolicy (where it says kSharded: no ShardedFront)");
  static_assert(!Heap::kHasQueue || concepts::RemoteQueue<decltype(Heap::queue)>, "Engine: Remote's Queue is no RemoteQueue");
  static_assert(concepts::Probe<typename V::Probe, Event, Flow>, "Engine: Probe is no Probe");
  static_assert([] {
    if constexpr (requires { Heap::Front::covers(Classes::kCount); }) return Heap::Front::covers(Classes::kCount);
    return true;
  }(), "Engine: hot_mag covers only the smallest classes; put it under split or stack");
  static_assert(!kSharded || kOwned, "Engine: sharded pops from slabs that one heap owns; adopt has no owners");
  static_assert(!kSharded || P::Store::kIntrusive, "Engine: sharded pops from the slab's own free list; a bitmap has none");
  static_assert(!kUnbounded || kOwned,
                "Engine: an uncounted list cannot bound blocks it adopts from other threads");
  static_assert(Classes::kAlign >= base::kBlockAlign || kPrefix == 0, "Engine: a header needs 16-byte blocks");
  static_assert(!kDirect || std::is_empty_v<typename Heap::Front>,
                "Engine: direct goes with bypass only: every block is its own mapping; nothing to cache");
  static_assert(!kDirect || (!kOwned && !kOneHeap),
                "Engine: direct goes with adopt only: every block is its own mapping; no heap owns it");
  static_assert(!kDirect || kPrefix == 0,
                "Engine: direct goes without header: every block is its own mapping; there is no class to write before it");

  static_assert(!kDirect || !V::Pages::kHugePages,
                "Engine: direct goes without mmap_thp: every block is its own mapping; a huge page for each would fill "
                "the memory");

  template <class Slot, bool>
  struct SlotOf {
    using Type = typename Slot::template Type<Heap>;
  };
  template <class Slot>
  struct SlotOf<Slot, true> {
    using Type = thread::ProcessSlot::Type<Heap>;
  };
  using Slot = typename SlotOf<typename V::Thread, kOneHeap>::Type;
  static_assert(concepts::ThreadSlot<Slot, Heap>, "Engine: Thread is no ThreadSlot");
  static_assert(!kOneHeap || !requires { requires V::Thread::kCostsACall; },
                "Engine: one heap for all threads needs no thread slot");
  static_assert(!kLends || !kOwned, "Engine: per_cpu goes with adopt only: a heap that is lent has no blocks of its own");
  static_assert(!kLends || !V::Probe::kRoute,
                "Engine: per_cpu goes without route: a heap that is lent has the calls of many threads");

 public:
  // For the length of a call: holds the process's lock where there is one heap, and the heap where heaps are lent.
  struct Serial {
    HAKMEM_HOT Serial() noexcept {
      if constexpr (kOneHeap) one_heap_.lock();
      if constexpr (kLends) outer = Slot::borrow();
    }
    HAKMEM_HOT ~Serial() {
      if constexpr (kOneHeap) one_heap_.unlock();
      if constexpr (kLends) {
        if (Heap* spare = Slot::give_back(outer)) [[unlikely]] leave_idle(spare);
      }
    }
    struct Nothing {};
    [[no_unique_address]] std::conditional_t<kLends, Heap*, Nothing> outer;
  };

  // True where every block is aligned as the C library's are and every foreign pointer is recognised.
  static constexpr bool kInterposable = Classes::kAlign >= base::kBlockAlign && V::Owner::kRejectsForeign;
  static constexpr bool kRejectsForeign = V::Owner::kRejectsForeign;

  // nullptr with errno ENOMEM when memory is out or n is above PTRDIFF_MAX. n == 0 gives a block of its own.
  HAKMEM_HOT static void* malloc(std::size_t n) noexcept {
    Serial serial;
    return seal(allocate(padded(n)), n);
  }

  // Any pointer that this engine gave out and that was not freed since, or nullptr. errno is kept.
  HAKMEM_HOT static void free(void* p) noexcept {
    Serial serial;
    discard(p);
  }

  // Zeroed; nullptr with errno ENOMEM, also when count * size overflows.
  static void* calloc(std::size_t count, std::size_t size) noexcept {
    Serial serial;
    std::size_t n;
    if (__builtin_mul_overflow(count, size, &n)) return no_memory();
    const std::size_t wanted = padded(n);
    bool zeroed = false;
    void* p = wanted > kLargestMedium ? map_large(wanted, base::kBlockAlign, wanted, zeroed) : allocate(wanted);
    if (p != nullptr && !zeroed) std::memset(p, 0, n);
    return seal(p, n);
  }

  // As the C library's: realloc(nullptr, n) is malloc(n); realloc(p, 0) frees p and gives nullptr. On failure p lives on.
  static void* realloc(void* p, std::size_t n) noexcept {
    Serial serial;
    std::size_t old;
    if (kGuarded || n == 0 || !is_here(p, old)) return resize_any(p, n);
    if (!suits(n, old)) return resize(p, n, old);
    count(Event::kReallocInPlace);
    return p;
  }

  // nullptr with errno EINVAL when align is no power of two, ENOMEM when memory is out.
  static void* aligned_alloc(std::size_t align, std::size_t n) noexcept {
    Serial serial;
    if (!base::is_power_of_two(align)) {
      errno = EINVAL;
      return nullptr;
    }
    if (n > base::kLargestRequest || align > base::kLargestRequest) return no_memory();
    return seal(align <= Classes::kAlign ? allocate(padded(n)) : allocate_aligned(align, padded(n)), n);
  }

  // The bytes of p's block that the program may use: at least what it asked for. 0 for nullptr.
  static std::size_t usable_size(const void* p) noexcept {
    Serial serial;
    return p == nullptr ? 0 : asked_of(p, size_of(p));
  }

  // Whether p lies in memory of this engine. Defined for every address; reads none that is not ours.
  static bool owns(const void* p) noexcept { return p != nullptr && parts_.owner.region_of(p) != nullptr; }

  // The calling thread's caches go back to their slabs; what is empty then goes back to the system.
  static void collect() noexcept {
    Serial serial;
    reclaim();
  }

  // The allocator that gets foreign pointers; without one they end the process. Before other threads start.
  struct Next {
    void (*free)(void*) = nullptr;
    void* (*realloc)(void*, std::size_t) = nullptr;
    std::size_t (*usable_size)(void*) = nullptr;
  };
  static void hand_foreign_to(const Next& next) noexcept { next_ = next; }

  // To be called around fork(): no lock of the engine may be held by a thread that the child does not have.
  static void before_fork() noexcept { each_mutex([](thread::Mutex& mutex) { mutex.lock(); }); }
  static void after_fork() noexcept { each_mutex([](thread::Mutex& mutex) { mutex.unlock(); }); }

  // The bytes of a class that a program can use; 0: a class that is never served, being smaller than what each block needs.
  static constexpr std::size_t class_bytes(ClassIndex c) noexcept {
    const std::size_t bytes = Classes::block_size(c);
    return bytes > kPrefix + Canary::kBytes ? bytes - kPrefix - Canary::kBytes : 0;
  }

  // For the statistics and the tests: what is shared, and the heaps there are.
  static constexpr P& parts() noexcept { return parts_; }
  static Heap* heaps() noexcept { return __atomic_load_n(&heaps_, __ATOMIC_ACQUIRE); }
  static Heap* heap() noexcept { return Slot::current(); }
  static constexpr Heap* const* heaps_word() noexcept { return &heaps_; }
  // Bytes of blocks freed by another thread than their owner's that have not come home yet.
  static std::uint64_t bytes_in_transit() noexcept {
    if constexpr (Heap::kHasQueue) {
      std::uint64_t sent = base::relaxed_load(sent_without_heap_), home = 0;
      for (const Heap* heap = heaps(); heap != nullptr; heap = heap->next) {
        sent += base::relaxed_load(heap->travel.sent);
        home += base::relaxed_load(heap->travel.home);
      }
      return sent > home ? sent - home : 0;
    }
    return 0;
  }

 private:
  // ---- hot -----------------------------------------------------------------------------------------------------------

  HAKMEM_HOT static void* allocate(std::size_t n) noexcept {
    if (kDirect || n > kLargestSmall) [[unlikely]] return malloc_large(n);
    Heap* heap = Slot::current();
    const ClassIndex c = Classes::class_of(n + kPrefix);
    Block* block = heap->front.pop(c);
    if (block == nullptr) [[unlikely]] return refill_and_pop(n);
    if constexpr (kGuarded) {
      mark_live(block);
    } else if (!__builtin_constant_p(n)) {  // in line, where n is a constant, the block goes wherever its user wants it
      base::to_be_returned(block);
    }
    heap->probe.on(Event::kMallocFrontHit, c);
    return block;
  }

  HAKMEM_HOT static void release(void* p) noexcept {
    Heap* heap = Slot::current();
    const ClassIndex c = class_here(p, heap);
    if (c > kLastHere) [[unlikely]] return free_outside(p);
    auto* block = static_cast<Block*>(p);
    if constexpr (kSharded) {
      if (c == 0) [[unlikely]] return free_elsewhere(p);
      if constexpr (kGuarded) {
        if (!mark_free(block)) [[unlikely]] return invalid_free(p);
      }
      heap->probe.on(Event::kFreeFrontHit, c);
      if (heap->front.push(block)) [[unlikely]] return wake_slab(block);
    } else {
      if constexpr (kGuarded) {
        if (c != 0 && !mark_free(block)) [[unlikely]] return invalid_free(p);
      }
      if (!heap->front.push(c, block)) [[unlikely]] return free_uncached(block, c);
      heap->probe.on(Event::kFreeFrontHit, c);
    }
  }

  // The class whose cache in this thread's front may take p. 0 or above kLastHere: none; above it in a thread without a heap.
  static constexpr ClassIndex kLastHere = kOwned ? Classes::kCount : base::kMaxClasses;
  HAKMEM_HOT static ClassIndex class_here(const void* p, const Heap* heap) noexcept {
    const base::Tag tag = P::Owner::tag_of(heap->view, p);
    if constexpr (kOwned) return tag - heap->tag;
    return tag;
  }

  // ---- cold: small ---------------------------------------------------------------------------------------------------

  HAKMEM_COLD static void* refill_and_pop(std::size_t n) noexcept {
    Heap* heap = own_heap();
    if (heap == nullptr) return no_memory();
    const ClassIndex c = Classes::class_of((n == 0 ? 1 : n) + kPrefix);
    Block* block = fetch(heap, c);
    if (block == nullptr) {
      reclaim();
      block = fetch(heap, c);
      if (block == nullptr) return no_memory();
    }
    if constexpr (kGuarded) mark_live(block);
    heap->probe.on(Event::kRefill, c);
    return block;
  }

  // One block of class c, and a refill of the front with it. nullptr: out of memory.
  static Block* fetch(Heap* heap, ClassIndex c) noexcept {
    decay();
    if constexpr (Heap::kHasQueue) {
      heap->outgoing.send();
      if (!heap->queue.looks_empty()) come_home(heap);
    }
    if constexpr (kSharded) {
      return next_slab_and_pop(heap, c);
    } else {
      if (Block* cached = heap->front.pop(c)) return cached;  // prewarmed, or brought by a destructor that ran just now
      FrontSink sink(heap, c);
      const unsigned want = 1 + heap->front.refill_want(c);
      unsigned got;
      if constexpr (kOwned) {
        got = heap->bins[c].refill(parts_, c, heap, heap->tag + c, want, sink);
      } else {
        if (take_from_depot(heap, c, want, sink)) return sink.settle();
        auto& shared = parts_.shared[c];
        thread::Lock lock(shared.mutex);
        got = shared.bin.refill(parts_, c, nullptr, c, want, sink);
      }
      heap->probe.moved(Flow::kFetched, c, got);
      return sink.settle();
    }
  }

  // Where a refill's blocks go: one to the caller, the others to the front, which hands them out in the order in which they
  // came: a program's neighbours in time are neighbours in memory, by ascending addresses where they are fresh.
  class FrontSink {
   public:
    FrontSink(Heap* heap, ClassIndex c) noexcept : heap_(heap), c_(c) {}
    void operator()(Block* block) noexcept {
      V::Back::hint(block);
      blocks_[count_++] = block;
    }
    void chain(base::Chain chain) noexcept
      requires kChains
    {
      if (count_ == 0) {
        blocks_[count_++] = chain.first;
        if (--chain.count == 0) return;
        chain.first = P::Links::next(chain.first);
      }
      heap_->front.put_chain(c_, chain);
    }
    // The caller's block; nullptr: none came.
    Block* settle() noexcept {
      for (; count_ > 1; --count_) heap_->front.push(c_, blocks_[count_ - 1]);
      return count_ == 0 ? nullptr : blocks_[0];
    }

   private:
    Heap* heap_;
    ClassIndex c_;
    unsigned count_ = 0;
    Block* blocks_[concepts::kMostRefilled + 1];
  };

  // At most `want` blocks of the class's depot to sink; whether there were any.
  static bool take_from_depot([[maybe_unused]] Heap* heap, [[maybe_unused]] ClassIndex c, [[maybe_unused]] unsigned want,
                              [[maybe_unused]] FrontSink& sink) noexcept {
    if constexpr (kDepot != 0) {
      auto& shared = parts_.shared[c];
      if (shared.depot.size() == 0) return false;
      typename P::Depot::Slots taken;
      unsigned n;
      {
        thread::Lock lock(shared.mutex);
        n = shared.depot.take(parts_.depots[c], want, taken);
      }
      for (unsigned i = 0; i < n; ++i) sink(taken[i]);  // under no lock: each may be a line that another processor has
      heap->probe.moved(Flow::kTaken, c, n);
      return n != 0;
    }
    return false;
  }
  // Of n blocks of the front those that the depot has room for; how many are left.
  static unsigned put_into_depot([[maybe_unused]] Heap* heap, [[maybe_unused]] ClassIndex c, unsigned n) noexcept {
    if constexpr (kDepot != 0) {
      auto& shared = parts_.shared[c];
      const auto bound = static_cast<unsigned>(base::kCachedClassBytes / Classes::block_size(c));
      if (n == 0 || shared.depot.room(bound) == 0) return n;
      thread::Lock lock(shared.mutex);
      const unsigned room = shared.depot.room(bound);
      const unsigned put =
          heap->front.drain(c, n < room ? n : room, [&](Block* block) { shared.depot.put(parts_.depots[c], block); });
      heap->probe.moved(Flow::kLeft, c, put);
      n -= put;
    }
    return n;
  }
  // Of every class's depot what has lain idle, or `all`, to its slabs.
  static void empty_depots(bool all) noexcept {
    if constexpr (kDepot != 0) {
      Heap* heap = Slot::current();
      for (ClassIndex c = 1; c <= Classes::kCount; ++c) {
        auto& shared = parts_.shared[c];
        if (shared.depot.size() == 0) continue;
        thread::Lock lock(shared.mutex);
        const unsigned n = shared.depot.drain_idle(parts_.depots[c], all, Returns(parts_, shared.bin));
        if (heap == &Heap::sentinel) continue;
        heap->probe.moved(Flow::kTaken, c, n);
        heap->probe.moved(Flow::kReturned, c, n);
      }
    }
  }

  static Block* next_slab_and_pop(Heap* heap, ClassIndex c) noexcept {
    for (;;) {
      if (Block* block = heap->front.pop(c)) return block;
      Slab* slab = heap->front.current(c);
      if (slab != nullptr && !slab->exhausted_fresh()) {
        // a page's worth of fresh blocks goes to the slab's own list
        const std::size_t page = base::kPage / slab->geometry.stride;
        slab->store.give_chain(P::Bin::carve(parts_, slab, heap->tag + c, page == 0 ? 1 : static_cast<unsigned>(page)));
        continue;
      }
      if (slab != nullptr) {
        heap->front.set_current(c, nullptr);
        heap->bins[c].return_slab(parts_, slab);
      }
      slab = heap->bins[c].take_slab();
      if (slab == nullptr) slab = parts_.pool.take(parts_, c, heap, heap->tag + c);
      if (slab == nullptr) return nullptr;
      heap->front.set_current(c, slab);
    }
  }

  // No block of this heap's, or there is no heap yet.
  HAKMEM_COLD static void free_outside(void* p) noexcept {
    if (p == nullptr) return;
    if (Slot::current() == &Heap::sentinel && own_heap() != nullptr) return release(p);
    free_elsewhere(p);
  }

  // The front has refused.
  HAKMEM_COLD static void free_uncached(Block* block, ClassIndex c) noexcept {
    if (c == 0) return free_elsewhere(block);
    if constexpr (!kSharded) flush_and_push(block, c);
  }

  // The cache of class c is full, or there was no memory for a heap.
  static void flush_and_push(Block* block, ClassIndex c) noexcept {
    Heap* heap = Slot::current();
    if (heap == &Heap::sentinel) return give_back(nullptr, c, block);
    heap->probe.on(Event::kFlush, c);
    decay();
    drain(heap, c, put_into_depot(heap, c, heap->front.flush_want(c)));
    if (!heap->front.push(c, block)) give_back(heap, c, block);
  }

  static void drain(Heap* heap, ClassIndex c, unsigned n) noexcept {
    if (n == 0) return;
    if constexpr (kChains) {
      const base::Chain chain = heap->front.take_chain(c, n);
      heap->probe.moved(Flow::kReturned, c, chain.count);
      if constexpr (kOwned) {
        heap->bins[c].give_chain(parts_, chain);
      } else {
        thread::Lock lock(parts_.shared[c].mutex);
        parts_.shared[c].bin.give_chain(parts_, chain);
      }
    } else if constexpr (kOwned) {
      heap->probe.moved(Flow::kReturned, c, heap->front.drain(c, n, Returns(parts_, heap->bins[c])));
    } else {
      thread::Lock lock(parts_.shared[c].mutex);
      heap->probe.moved(Flow::kReturned, c, heap->front.drain(c, n, Returns(parts_, parts_.shared[c].bin)));
    }
  }

  static void give_back(Heap* heap, ClassIndex c, Block* block) noexcept {
    if (heap != nullptr) heap->probe.moved(Flow::kReturned, c, 1);
    if constexpr (kOwned) {
      give_home(heap, block);
    } else {
      thread::Lock lock(parts_.shared[c].mutex);
      parts_.shared[c].bin.give(parts_, &SuperSlab::around(block)->slab_of(block), block);
    }
  }

  // A block of a slab that `heap` owns.
  static void give_home(Heap* heap, Block* block) noexcept {
    if constexpr (kOwned) {
      Slab& slab = SuperSlab::around(block)->slab_of(block);
      heap->bins[slab.size_class].give(parts_, &slab, block);
    }
  }

  // Takes in blocks of this heap's slabs that other threads freed; how many.
  static std::size_t come_home(Heap* heap) noexcept {
    return heap->queue.drain(kDrain, [heap](Block* block) {
      const Slab& slab = SuperSlab::around(block)->slab_of(block);
      base::relaxed_store(heap->travel.home, heap->travel.home + slab.geometry.stride - kPrefix);
      heap->probe.moved(Flow::kHome, slab.size_class, 1);
      give_home(heap, block);
    });
  }

  HAKMEM_COLD static void wake_slab(Block* block) noexcept {
    if constexpr (kSharded) {
      Slab& slab = SuperSlab::around(block)->slab_of(block);
      Slot::current()->bins[slab.size_class].woken(parts_, &slab);
    }
  }

  // ---- cold: medium, large, remote, foreign --------------------------------------------------------------------------

  HAKMEM_WARM static void* malloc_large(std::size_t n) noexcept {
    if (fits_kept(n)) {
      if (void* p = malloc_kept(Slot::current(), n)) return p;
    }
    return malloc_uncached(n);
  }
  HAKMEM_COLD static void* malloc_uncached(std::size_t n) noexcept {
    if (n <= kLargestMedium) return medium(n);
    bool zeroed;
    return map_large(n, base::kBlockAlign, n, zeroed);
  }

  static constexpr bool fits_kept(std::size_t n) noexcept { return kKeepsRuns && n <= Heap::Runs::kLargest - kPrefix; }
  static constexpr unsigned pages_of(std::size_t n) noexcept {
    return static_cast<unsigned>((n + kPrefix + base::kPage - 1) / base::kPage);
  }
  // A run of the heap's cache. nullptr: see its take().
  HAKMEM_HOT static void* malloc_kept([[maybe_unused]] Heap* heap, [[maybe_unused]] std::size_t n) noexcept {
    if constexpr (kKeepsRuns) {
      const std::size_t length = back::RunLengths::kIndex[pages_of(n)];
      void* run;
      if (heap->runs.take(length, run)) [[likely]] {
        Runs::use(run, length);
        return block_in(heap, run);
      }
    }
    return nullptr;
  }
  HAKMEM_HOT static void* block_in(Heap* heap, void* run) noexcept {
    heap->probe.on(Event::kMediumMalloc, 0);
    void* p = static_cast<std::byte*>(run) + kPrefix;
    parts_.owner.stamp(p, 0);
    return p;
  }

  // A run for a block that grows: the longest that a thread keeps, whose room it has until the thread's next one grows, so that
  // it lengthens without a lock; or else one where there is most room behind it.
  static void* growing_run(std::size_t n) noexcept {
    Heap* heap = own_heap();
    if (heap == nullptr) return no_memory();
    if constexpr (kGrowsRuns) {
      if (n <= kMostRoom) {
        const std::size_t bytes = std::min(with_growth(n), kMostRoom) + kPrefix;
        void*& growing = heap->runs.growing();
        parts_.runs.settle(parts_, growing);
        void* p = malloc_kept(heap, kMostRoom);
        if (p == nullptr) {
          decay();
          heap->runs.clock_seen();
          void* run = parts_.runs.take(parts_, bytes, kMostRoom + kPrefix);
          if (run == nullptr) return medium(n);
          p = block_in(heap, run);
        }
        Runs::begin_growth(static_cast<std::byte*>(p) - kPrefix, bytes, &growing);
        return p;
      }
    }
    const std::size_t bytes = with_growth(n) + kPrefix;
    void* run = parts_.runs.take(parts_, bytes, bytes);
    if (run == nullptr) return medium(n);
    decay();
    return block_in(heap, run);
  }

  static void* medium(std::size_t n) noexcept {
    Heap* heap = own_heap();
    if (heap == nullptr) return no_memory();
    decay();
    unsigned pages = pages_of(n == 0 ? 1 : n);
    if constexpr (kKeepsRuns) {
      heap->runs.clock_seen();
      pages = back::RunLengths::rounded(pages);
    }
    if (fits_kept(n)) {
      if (void* p = malloc_kept(heap, n)) return p;
    }
    const std::size_t bytes = std::size_t{pages} * base::kPage;
    void* run = parts_.runs.take(parts_, bytes);
    if (run == nullptr) {
      reclaim();
      run = parts_.runs.take(parts_, bytes);
      if (run == nullptr) return no_memory();
    }
    return block_in(heap, run);
  }

  static void* map_large(std::size_t n, std::size_t align, std::size_t room, bool& zeroed) noexcept {
    if (n > base::kLargestRequest) return no_memory();
    Heap* heap = own_heap();
    if (heap == nullptr) return no_memory();
    void* p = parts_.large.take(parts_, n, align, room, zeroed);
    if (p == nullptr) {
      if (n > parts_.pages.range_bytes()) return no_memory();  // nothing that could come back would do
      reclaim();
      p = parts_.large.take(parts_, n, align, n, zeroed);
      if (p == nullptr) return no_memory();
    }
    heap->probe.on(Event::kLargeMalloc, 0);
    decay();
    return p;
  }

  // align is above what every block has.
  static void* allocate_aligned(std::size_t align, std::size_t n) noexcept {
    bool zeroed;
    if constexpr (kDirect) {
      return map_large(n, align, n, zeroed);
    } else if constexpr (kPrefix != 0) {
      if (align > base::kPage || n + align > kLargestMedium) return map_large(n, align, n, zeroed);
      void* p = allocate(n + align);
      if (p == nullptr) return nullptr;
      void* q = reinterpret_cast<void*>(base::align_up(base::address(p), align));
      if (q != p) move_start(p, q);
      return q;
    } else {
      if (align > base::kPage) return map_large(n, align, n, zeroed);
      const std::size_t rounded = n <= kLargestSmall ? base::align_up(n > align ? n : align, align) : n;
      if (rounded <= kLargestSmall) {
        // slabs begin on a page: a block size that is a multiple of `align` keeps every block on one; most maps have it here
        for (ClassIndex c = Classes::class_of(rounded); c <= Classes::kCount; ++c) {
          const std::size_t size = Classes::block_size(c);
          if ((size & (align - 1)) == 0) return allocate(size);
        }
      }
      return n <= kLargestMedium ? medium(n) : map_large(n, align, n, zeroed);
    }
  }

  HAKMEM_WARM static void free_elsewhere(void* p) noexcept {
    Region* region = parts_.owner.region_of(p);
    if constexpr (kKeepsRuns) {
      if (region != nullptr && region->kind == slab::RegionKind::kRuns && keep_run(p)) return;
    }
    free_in_region(region, p);
  }
  // Whether p began a block of a run, which is in this thread's cache now.
  HAKMEM_HOT static bool keep_run(void* p) noexcept {
    Heap* heap = Slot::current();
    const std::size_t length = Runs::length_at(p);
    auto* start = static_cast<std::byte*>(p) - kPrefix;
    if (length >= back::RunLengths::kCount) [[unlikely]] return false;
    if (!heap->runs.give(start, length)) [[unlikely]] return false;
    Runs::keep(start);
    heap->probe.on(Event::kMediumFree, 0);
    return true;
  }
  HAKMEM_COLD static void free_in_region(Region* region, void* p) noexcept {
    if (region == nullptr) return free_foreign(p);
    switch (region->kind) {
      case slab::RegionKind::kSlabs: return free_in_slab(static_cast<SuperSlab*>(region), p);
      case slab::RegionKind::kRuns: {
        std::byte* start;
        std::size_t bytes;
        if (!parts_.runs.find_used(p, start, bytes)) return invalid_free(p);
        if constexpr (kGrowsRuns) {
          if (Slot::current()->runs.grows(start)) {
            Runs::end_growth(start);
            if (keep_run(p)) return;
          }
        }
        count(Event::kMediumFree);
        parts_.runs.give(parts_, start);
        return decay();
      }
      case slab::RegionKind::kLarge: {
        auto* large = static_cast<Large*>(region);
        if (large->block != p) return invalid_free(p);
        count(Event::kLargeFree);
        parts_.large.give(parts_, large);
        return decay();
      }
      case slab::RegionKind::kNone: break;
    }
    free_foreign(p);
  }

  // A block that another heap owns, or an aligned block inside one of ours.
  static void free_in_slab(SuperSlab* super, void* p) noexcept {
    if (super->tag_of(p) == 0) return invalid_free(p);
    if constexpr (kGuarded) {
      if (!mark_free(p)) return invalid_free(p);
    }
    Slab& slab = super->slab_of(p);
    Block* block = block_of(slab, p);
    const ClassIndex c = slab.size_class;
    Heap* heap = own_heap();
    if constexpr (kOwned) {
      auto* owner = static_cast<Heap*>(slab.heap);
      if (owner != heap) {
        if constexpr (Heap::kHasQueue) {
          if (heap == nullptr) {
            __atomic_fetch_add(&sent_without_heap_, slab.geometry.stride - kPrefix, __ATOMIC_RELAXED);
            return owner->queue.push(block, block);
          }
          heap->probe.on(Event::kFreeRemote, c);
          base::relaxed_store(heap->travel.sent, heap->travel.sent + slab.geometry.stride - kPrefix);
          return heap->outgoing.add(owner, block);
        }
      }
    }
    if constexpr (kSharded) {
      heap->probe.on(Event::kFreeFrontHit, c);
      if (heap->front.push(block)) wake_slab(block);
    } else {
      if (heap == nullptr || !heap->front.push(c, block)) return flush_and_push(block, c);
      heap->probe.on(Event::kFreeFrontHit, c);
    }
  }

  HAKMEM_COLD static void free_foreign(void* p) noexcept {
    if (p == nullptr) return;
    count(Event::kFreeForeign);
    if (next_.free != nullptr) return next_.free(p);
    base::fatal("free of ", p, " which this allocator does not own");
  }

  HAKMEM_COLD static void invalid_free(void* p) noexcept {
    if constexpr (kGuarded) {
      Region* region = parts_.owner.region_of(p);
      if (region != nullptr && region->kind == slab::RegionKind::kSlabs && region->tag_of(p) != 0 &&
          block_of(static_cast<SuperSlab*>(region)->slab_of(p), p) == p) {
        base::fatal("double free of ", p, "");
      }
    }
    base::fatal("invalid free of ", p, ": no live block begins there");
  }

  // ---- guards --------------------------------------------------------------------------------------------------------

  // What is asked of the back for a program's n bytes.
  HAKMEM_HOT static std::size_t padded(std::size_t n) noexcept {
    if constexpr (kSealed) return n > base::kLargestRequest ? n : n + Canary::kBytes;
    return n;
  }
  HAKMEM_HOT static void* seal(void* p, [[maybe_unused]] std::size_t n) noexcept {
    if constexpr (kSealed) {
      if (p != nullptr) Canary::seal(p, n, size_of(p));
    }
    return p;
  }
  // The bytes that the program may use of the `room` at p.
  static std::size_t asked_of(const void* p, std::size_t room) noexcept {
    if constexpr (kSealed) {
      std::size_t n;
      if (!live(p)) return room;
      if (!Canary::asked(p, room, n)) base::fatal("heap overflow: the bytes behind the block at ", p, " were changed");
      return n;
    }
    return room;
  }
  HAKMEM_HOT static void discard(void* p) noexcept {
    if constexpr (kRetires) {
      release(retire(p));
    } else {
      release(p);
    }
  }
  // p, or what leaves the quarantine for it; what no live block begins at is left to release(), which says so.
  static void* retire(void* p) noexcept {
    if (!live(p)) return p;
    const std::size_t room = size_of(p);
    asked_of(p, room);
    if constexpr (V::Guard::kZero) std::memset(p, 0, room);
    if constexpr (kQuarantined) {
      Region* region = parts_.owner.region_of(p);
      if (region->kind != slab::RegionKind::kSlabs) return p;
      Heap* heap = own_heap();
      if (heap == nullptr) return p;
      mark_free(p);
      p = heap->quarantine.swap_in(p, static_cast<SuperSlab*>(region)->slab_of(p).size_class);
      if (p != nullptr) leave_quarantine(p);
    }
    return p;
  }
  // To be freed at last, like a live block.
  static void leave_quarantine(void* p) noexcept {
    if constexpr (V::Guard::kZero) {
      const auto* words = static_cast<const std::uint64_t*>(p);
      std::uint64_t any = 0;
      for (std::size_t i = 0, n = size_of(p) / sizeof *words; i < n; ++i) any |= words[i];
      if (any != 0) base::fatal("write after free into the block at ", p, "");
    }
    mark_live(p);
  }
  // Whether a live block begins at p; known where frees are checked.
  static bool live(const void* p) noexcept {
    Region* region = p == nullptr ? nullptr : parts_.owner.region_of(p);
    if (region == nullptr) return false;
    switch (region->kind) {
      case slab::RegionKind::kSlabs: {
        if constexpr (kGuarded) {
          auto* super = static_cast<SuperSlab*>(region);
          return super->tag_of(p) != 0 && super->guard.live(base::address(p) - base::address(super));
        }
        return true;
      }
      case slab::RegionKind::kRuns: {
        std::byte* start;
        std::size_t bytes;
        return parts_.runs.find_used(p, start, bytes);
      }
      case slab::RegionKind::kLarge: return static_cast<Large*>(region)->block == p;
      case slab::RegionKind::kNone: break;
    }
    return false;
  }

  // ---- blocks --------------------------------------------------------------------------------------------------------

  static Block* block_of(Slab& slab, const void* p) noexcept {
    return slab.geometry.block(slab.geometry.index_of(p));
  }
  HAKMEM_HOT static void mark_live(void* p) noexcept {
    auto* super = SuperSlab::around(p);
    super->guard.set(base::address(p) - base::address(super));
  }
  // False: no live block of a slab begins at p. A header's tag may be the program's own data, so the region is asked.
  HAKMEM_HOT static bool mark_free(void* p) noexcept {
    auto* super = SuperSlab::around(p);
    if (parts_.owner.region_of(p) != super || super->kind != slab::RegionKind::kSlabs) return false;
    return super->guard.clear(base::address(p) - base::address(super));
  }

  // The block that began at p is known to the program by q, inside it, from now on.
  static void move_start(void* p, void* q) noexcept {
    parts_.owner.stamp(q, 0);
    if (SuperSlab::around(p)->kind == slab::RegionKind::kRuns) return parts_.runs.set_block(q);
    if constexpr (kGuarded) {
      mark_free(p);
      mark_live(q);
    }
  }

  HAKMEM_HOT static std::size_t size_of(const void* p) noexcept {
    std::size_t bytes;
    return is_here(p, bytes) ? bytes : size_by_region(p);
  }
  // Whether p's block is known without its region to be of this thread's classes; then its bytes.
  HAKMEM_HOT static bool is_here([[maybe_unused]] const void* p, [[maybe_unused]] std::size_t& bytes) noexcept {
    if constexpr (kPrefix == 0 && !kDirect) {  // with a prefix, an aligned block lies inside another
      const ClassIndex c = class_here(p, Slot::current());
      if (c == 0 || c > kLastHere) return false;
      bytes = Classes::block_size(c);
      return true;
    }
    return false;
  }
  static std::size_t size_by_region(const void* p) noexcept {
    Region* region = parts_.owner.region_of(p);
    if (region == nullptr) {
      if (next_.usable_size != nullptr) return next_.usable_size(const_cast<void*>(p));
      base::fatal("size of ", p, " asked, which this allocator does not own");
    }
    switch (region->kind) {
      case slab::RegionKind::kSlabs: {
        Slab& slab = static_cast<SuperSlab*>(region)->slab_of(p);
        const std::size_t before = base::address(p) - base::address(block_of(slab, p));
        return slab.geometry.stride - kPrefix - before;
      }
      case slab::RegionKind::kRuns: {
        std::byte* start;
        std::size_t bytes;
        if (!parts_.runs.find_used(p, start, bytes)) break;
        return bytes - (base::address(p) - base::address(start));
      }
      case slab::RegionKind::kLarge: return static_cast<Large*>(region)->usable;
      case slab::RegionKind::kNone: break;
    }
    base::fatal("size of ", p, " asked: no live block begins there");
  }

  // A block for one that has outgrown its own: where it can be, among free pages or addresses, to grow on without a copy.
  static void* with_room(std::size_t n, bool& zeroed) noexcept {
    if (n > kLargestMedium) return map_large(n, base::kBlockAlign, n * 2, zeroed);
    const std::size_t room = with_small_growth(n);
    return room > kSmallestRun ? growing_run(n) : allocate(room);
  }
  // A small block cannot grow where it is: it has some of what it may want next, so that not every step copies (gperftools: a
  // quarter of the old block at the least). Never so much that the next realloc would shrink it.
  static std::size_t with_small_growth(std::size_t n) noexcept {
    if constexpr (!kDirect) {
      std::size_t room = n + n * V::Back::kReallocRoomPercent / 100;
      if (room > kLargestSmall) room = kLargestSmall;
      if (suits(n, Classes::block_size(Classes::class_of(room + kPrefix)) - kPrefix)) return room;
    }
    return n;
  }
  // What is set aside for a run of n bytes that grows, so that not every step takes the lock over all runs: twice as much, in
  // whole pages and no more, as realloc shrinks a block to less than half. What the program does not touch is but addresses.
  static std::size_t with_growth(std::size_t n) noexcept {
    const std::size_t room = 2 * n / base::kPage * base::kPage - kPrefix;
    return room < n || room > kLargestMedium ? n : room;
  }

  // realloc of whatever p is.
  HAKMEM_WARM static void* resize_any(void* p, std::size_t n) noexcept {
    if (grow_alone(p, n)) {
      count(Event::kReallocInPlace);
      return p;
    }
    if (p == nullptr) return seal(allocate(padded(n)), n);
    if (next_.realloc != nullptr && !owns(p)) return next_.realloc(p, n);
    if (n == 0) {
      discard(p);
      return nullptr;
    }
    if constexpr (kGuarded) {
      if (owns(p) && !live(p)) invalid_free(p);
    }
    return resize(p, n, size_of(p));
  }
  // A live block of `old` bytes becomes one of n, which is not 0.
  HAKMEM_WARM static void* resize(void* p, std::size_t n, std::size_t old) noexcept {
    const std::size_t asked = asked_of(p, old);
    const std::size_t wanted = padded(n);
    if (suits(wanted, old) || resize_in_place(p, wanted, old)) {
      count(Event::kReallocInPlace);
      return seal(p, n);
    }
    bool zeroed = false;
    void* q = wanted > old && n <= base::kLargestRequest / 4 ? with_room(wanted, zeroed) : allocate(wanted);
    if (q == nullptr) return nullptr;
    std::memcpy(q, p, asked < n ? asked : n);
    discard(p);
    return seal(q, n);
  }
  // Whether a block of `old` bytes is left as it is for n: large enough, and not too large by more than half.
  static constexpr bool suits(std::size_t n, std::size_t old) noexcept { return n <= old && (n >= old / 2 || old <= 128); }

  // Whether p's block is the thread's latest that grows, and now one for n bytes.
  HAKMEM_HOT static bool grow_alone([[maybe_unused]] void* p, [[maybe_unused]] std::size_t n) noexcept {
    if constexpr (kGrowsRuns) {
      void* start = static_cast<std::byte*>(p) - kPrefix;
      if (p == nullptr || n > kMostRoom || !Slot::current()->runs.grows(start)) return false;
      const std::size_t old = Runs::grown(start) - kPrefix;
      if (n <= old) return suits(n, old);
      return Runs::grow(start, n + kPrefix, with_growth(n) + kPrefix);
    }
    return false;
  }

  static bool resize_in_place(void* p, std::size_t n, std::size_t old) noexcept {
    if (n > base::kLargestRequest) return false;
    Region* region = parts_.owner.region_of(p);
    if (region->kind == slab::RegionKind::kLarge) {
      return n > kLargestMedium && parts_.large.resize(parts_, static_cast<Large*>(region), n);
    }
    if (region->kind == slab::RegionKind::kSlabs) {  // where classes lie far apart, no other has a better block for it
      return n <= old && Classes::block_size(Classes::class_of(n + kPrefix)) == old + kPrefix;
    }
    if (region->kind != slab::RegionKind::kRuns || n <= kSmallestRun || n > kLargestMedium) return false;
    std::byte* start;
    std::size_t bytes;
    if (!parts_.runs.find_used(p, start, bytes)) return false;
    const std::size_t before = bytes - old;
    const std::size_t most = n > old ? with_growth(n) : n;
    return before + n <= Runs::kLargest && parts_.runs.resize(parts_, start, before + n, before + most);
  }

  // ---- heaps ---------------------------------------------------------------------------------------------------------

  static constexpr std::size_t kDrain = 256;  // remote frees taken in by one refill at the most

  // The calling thread's heap, adopted now if it has none. nullptr: out of memory.
  static Heap* own_heap() noexcept {
    Heap* heap = Slot::current();
    if (heap != &Heap::sentinel) return heap;
    heap = adopt_heap();
    if (heap != nullptr) return heap;
    reclaim();
    return adopt_heap();
  }

  HAKMEM_COLD static Heap* adopt_heap() noexcept {
    Heap* heap;
    {
      thread::Lock lock(heaps_mutex_);
      heap = idle_heaps_.take();
      if (heap == nullptr) heap = new_heap();
      if (heap == nullptr) return nullptr;
    }
    Slot::set(heap);
    if constexpr (!kOneHeap && !kLends) thread::ExitHook<&Engine::on_thread_exit>::arm(heap);
    if constexpr (requires { Heap::Front::kPrewarm; }) {
      // no request is served by a class that a prefix fills, and a link has no place in it
      const ClassIndex first = Classes::class_of(1 + kPrefix);
      for (ClassIndex c = first; Heap::Front::kPrewarm != 0 && c <= Classes::kCount; ++c) prewarm(heap, c);
    }
    return heap;
  }

  static void prewarm(Heap* heap, ClassIndex c) noexcept {
    // a page's worth of a class at most: warming must not cost more memory than the program
    const std::size_t fit = 4 * base::kPage / Classes::block_size(c);
    const std::size_t want = fit < Heap::Front::kPrewarm ? fit : Heap::Front::kPrewarm;
    while (heap->front.size(c) < want) {
      const unsigned before = heap->front.size(c);
      Block* block = fetch_fresh(heap, c);
      if (block == nullptr) return;
      if (!heap->front.push(c, block)) return give_back(heap, c, block);
      if (heap->front.size(c) <= before) return;
    }
  }
  static Block* fetch_fresh(Heap* heap, ClassIndex c) noexcept {
    Block* first = nullptr;
    const auto sink = [&](Block* block) { first = block; };
    if constexpr (kOwned) {
      heap->bins[c].refill(parts_, c, heap, heap->tag + c, 1, sink);
    } else {
      thread::Lock lock(parts_.shared[c].mutex);
      parts_.shared[c].bin.refill(parts_, c, nullptr, c, 1, sink);
    }
    if (first != nullptr) heap->probe.moved(Flow::kFetched, c, 1);
    return first;
  }

  // Under heaps_mutex_.
  static Heap* new_heap() noexcept {
    constexpr std::size_t kBytes = base::align_up(sizeof(Heap), 128);
    constexpr std::size_t kChunk = base::align_up(kBytes, P::kRegion);
    if (!parts_.pages.reserve() || !parts_.owner.start(parts_.pages)) return nullptr;
    if constexpr (kSealed) {
      if (heap_count_ == 0) Canary::seed(pages::random_word());
    }
    if constexpr (P::Links::kKeyed) {
      if (heap_count_ == 0) P::Links::seed(pages::random_word());
    }
    if (heap_room_ < kBytes) {
      void* memory = parts_.pages.map(kChunk);
      if (memory == nullptr) return nullptr;
      if (heap_count_ == 0) parts_.pages.begin_blocks();
      next_heap_ = static_cast<std::byte*>(memory);
      heap_room_ = kChunk;
    }
    auto* heap = new (next_heap_) Heap;  // every member has its initializer; braces would clear all of it first
    next_heap_ += kBytes;
    heap_room_ -= kBytes;
    ++heap_count_;
    if constexpr (kOwned) heap->tag = static_cast<base::Tag>(heap_count_ << base::kTagShift);
    heap->view = parts_.owner.view();
    if constexpr (Heap::kDecays) heap->emptied_ms = pages::now_ms();
    heap->front.open();
    heap->runs.open();
    heap->next = heaps_;
    __atomic_store_n(&heaps_, heap, __ATOMIC_RELEASE);  // pairs with heaps()
    return heap;
  }

  static void on_thread_exit(void* value) noexcept {
    auto* heap = static_cast<Heap*>(value);
    empty(heap);
    Slot::set(&Heap::sentinel);
    leave_idle(heap);
  }
  HAKMEM_COLD static void leave_idle(Heap* heap) noexcept {
    thread::Lock lock(heaps_mutex_);
    idle_heaps_.give(heap);
  }
  static Heap* take_idle() noexcept {
    thread::Lock lock(heaps_mutex_);
    return idle_heaps_.take();
  }
  // Where heaps are lent: each that no call has, in its turn as this thread's.
  template <class Visit>
  static void each_idle_heap([[maybe_unused]] Visit&& visit) noexcept {
    if constexpr (kLends) {
      Heap* mine = Slot::current();
      std::size_t idle;
      {
        thread::Lock lock(heaps_mutex_);
        Slot::recall([](Heap* heap) { idle_heaps_.give(heap); });
        idle = idle_heaps_.count();
      }
      for (; idle != 0; --idle) {
        Heap* heap = take_idle();
        if (heap == nullptr) break;
        Slot::set(heap);
        visit(heap);
        leave_idle(heap);
      }
      Slot::set(mine);
    }
  }

  // What lies idle in this thread's caches and in the shared ones goes back to the system.
  static void reclaim() noexcept {
    if (Heap* heap = Slot::current(); heap != &Heap::sentinel) empty(heap);
    each_idle_heap([](Heap* heap) { empty(heap); });
    empty_depots(true);
    if constexpr (!kOwned) {
      for (ClassIndex c = 1; c <= Classes::kCount; ++c) {
        thread::Lock lock(parts_.shared[c].mutex);
        parts_.shared[c].bin.collect(parts_);
      }
    }
    parts_.pool.collect(parts_);
    parts_.runs.collect(parts_);
    parts_.regions.flush(parts_.pages);
  }

  // Twice in decay_ms: what was empty the time before and has not been needed since goes back to the system; kept runs
  // and a front that grows are emptied into what then waits. Called wherever a cache has missed or spilled or a block
  // was no small one: there is no thread that would do it instead.
  static void decay() noexcept {
    if constexpr (P::kOptions.purge == pages::Purge::kDecay) {
      // before the clock, so that no other thread's reading is ahead of ours
      const std::uint64_t last = base::relaxed_load(last_decay_ms_), now = pages::now_ms();
      if constexpr (Heap::kDecays) {
        Heap* heap = Slot::current();
        if (heap != &Heap::sentinel && now - heap->emptied_ms >= kDecayPeriod) [[unlikely]] begin_anew(heap, now);
      }
      if (now - last >= kDecayPeriod) [[unlikely]] give_back_idle(last, now);
    }
  }
  HAKMEM_COLD static void begin_anew(Heap* heap, std::uint64_t now) noexcept {
    heap->emptied_ms = now;
    empty_runs(heap);
    if constexpr (kUnbounded || Heap::kGrows) {
      empty_caches(heap);
      heap->front.open();
    }
  }
  HAKMEM_COLD static void give_back_idle(std::uint64_t last, std::uint64_t now) noexcept {
    // one thread alone: two decays in a row would find idle what has just been freed
    if (!__atomic_compare_exchange_n(&last_decay_ms_, &last, now, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) return;
    if constexpr (Heap::kDecays) {
      each_idle_heap([now](Heap* heap) {
        if (heap->emptied_ms + kDecayPeriod <= now) begin_anew(heap, now);
      });
    }
    empty_depots(false);
    parts_.pool.decay(parts_);
    parts_.runs.decay(parts_);
    parts_.regions.decay(parts_.pages);
  }

  static void empty(Heap* heap) noexcept {
    if constexpr (kQuarantined) {
      heap->quarantine.drain([](void* p) {
        leave_quarantine(p);
        release(p);
      });
    }
    empty_runs(heap);
    empty_caches(heap);
  }
  static void empty_runs(Heap* heap) noexcept {
    if constexpr (kGrowsRuns) parts_.runs.settle(parts_, heap->runs.growing());
    heap->runs.drain([](void* run) { parts_.runs.give(parts_, run); });
  }

  // All that the heap's caches hold goes back to slabs, and its empty slabs to the pool.
  static void empty_caches(Heap* heap) noexcept {
    if constexpr (Heap::kHasQueue) {
      heap->outgoing.send();
      while (come_home(heap) != 0) {
      }
    }
    for (ClassIndex c = 1; c <= Classes::kCount; ++c) {
      if constexpr (kSharded) {
        if (Slab* slab = heap->front.current(c)) {
          heap->front.set_current(c, nullptr);
          heap->bins[c].return_slab(parts_, slab);
        }
      } else {
        while (const unsigned n = heap->front.size(c)) drain(heap, c, n);
      }
      if constexpr (kOwned) heap->bins[c].collect(parts_);
    }
  }

  // ---- the rest ------------------------------------------------------------------------------------------------------

  static void count(Event event) noexcept {
    if constexpr (V::Probe::kEnabled) {
      if (Heap* heap = Slot::current(); heap != &Heap::sentinel) heap->probe.on(event, 0);
    }
  }

  HAKMEM_COLD static void* no_memory() noexcept {
    errno = ENOMEM;
    return nullptr;
  }

  // In the order in which they nest.
  template <class Visit>
  static void each_mutex(Visit&& visit) noexcept {
    visit(one_heap_);
    visit(heaps_mutex_);
    for (auto& shared : parts_.shared) visit(shared.mutex);
    visit(parts_.runs.mutex());
    visit(parts_.pool.mutex());
    if constexpr (requires { parts_.owner.mutex(); }) visit(parts_.owner.mutex());
    visit(parts_.regions.mutex());
    visit(parts_.pages.mutex());
  }

  static inline constinit P parts_{};
  static inline constinit thread::Mutex one_heap_{};
  static inline constinit thread::Mutex heaps_mutex_{};
  static inline constinit Heap* heaps_ = nullptr;
  static inline constinit IdleHeaps<Heap> idle_heaps_{};
  static inline constinit Next next_{};
  static inline constinit std::byte* next_heap_ = nullptr;
  static constexpr std::uint64_t kDecayPeriod = P::kOptions.decay_ms / 2 + 1;
  static inline constinit std::uint64_t last_decay_ms_ = 0;
  static inline constinit std::size_t heap_room_ = 0;
  static inline constinit std::size_t heap_count_ = 0;
  static inline constinit std::uint64_t sent_without_heap_ = 0;
};

}  // namespace hakmem::engine
