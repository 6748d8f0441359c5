// The back's parts on a fixed arena that refuses on command: depots, region cache, large blocks, slabs and bins.
#include <hakmem/slab/bitmap.hpp>

#include <algorithm>
#include <map>
#include <vector>

#include "check.hpp"
#include "random.hpp"
#include "toy_variant.hpp"

namespace {

using namespace hakmem;
using base::Block;
using base::ClassIndex;
using test::check;
using test::check_equal;
using test::Parts;
using test::started;
using test::ToyVariant;
using test::with;

// ---- depots -------------------------------------------------------------------------------------------------------------

const test::Test depot{"a depot takes what it has room for, gives the last put first, and tells what lay idle", [] {
  using Depot = back::Depot<8>;
  Depot depot;
  Depot::Slots slots{}, taken{};
  Block blocks[10];
  std::vector<Block*> drained;
  const auto sink = [&](Block* block) { drained.push_back(block); };
  check_equal(depot.room(100), 8u);
  check_equal(depot.room(3), 3u);
  for (int i = 0; i < 6; ++i) depot.put(slots, &blocks[i]);
  check_equal(depot.size(), 6u);
  check_equal(depot.room(100), 2u);
  check_equal(depot.room(5), 0u);
  check_equal(depot.drain_idle(slots, false, sink), 0u);  // all of it is fresh
  check_equal(depot.take(slots, 4, taken), 4u);
  check(taken[0] == &blocks[2] && taken[3] == &blocks[5], "the last four, in their order");
  for (int i = 6; i < 9; ++i) depot.put(slots, &blocks[i]);
  check_equal(depot.drain_idle(slots, false, sink), 2u);  // never fewer than two since
  check(drained == std::vector<Block*>{&blocks[0], &blocks[1]}, "the oldest");
  check_equal(depot.take(slots, 8, taken), 3u);
  check(taken[0] == &blocks[6] && taken[2] == &blocks[8], "what is left moved down");
  check_equal(depot.take(slots, 8, taken), 0u);
  depot.put(slots, &blocks[9]);
  check_equal(depot.drain_idle(slots, false, sink), 0u);
  check_equal(depot.drain_idle(slots, true, sink), 1u);
  check_equal(depot.size(), 0u);
}};

// ---- regions and large blocks ------------------------------------------------------------------------------------------

const test::Test cache{"the region cache is bounded, gives back all it has, and loses nothing", [] {
  struct Tag {};
  using V = ToyVariant<Tag>;
  static constinit Parts<V> parts{};
  started<V>(parts);
  constexpr std::size_t kRegion = Parts<V>::kRegion;
  test::Random random(1);
  using Taken = decltype(parts.regions)::Taken;
  std::vector<Taken> mine;
  const auto last_word = [](const Taken& taken, std::size_t bytes) -> std::size_t& {
    return static_cast<std::size_t*>(taken.start)[bytes / sizeof(std::size_t) - 1];
  };
  const auto give = [&](const Taken& taken) { parts.regions.give(parts.pages, taken.start, taken.bytes, taken.touched); };
  for (int step = 0; step < 5000; ++step) {
    if (random.below(2) == 0) {
      const std::size_t bytes = kRegion * (1 + random.below(12));
      const bool exactly = random.below(3) == 0;
      Taken taken = exactly ? parts.regions.take_exactly(parts.pages, bytes) : parts.regions.take(parts.pages, bytes);
      if (taken.start == nullptr) continue;
      check(taken.bytes >= bytes && taken.bytes <= bytes + (exactly ? 0 : bytes / 4), "as long as asked");
      check(taken.touched <= taken.bytes, "touched within it");
      if (taken.touched == 0) check(*static_cast<std::size_t*>(taken.start) == 0, "zeroed when it says so");
      if (taken.touched < taken.bytes) check(last_word(taken, taken.bytes) == 0, "zeroed beyond what was touched");
      if (const std::size_t touch = kRegion * random.below(taken.bytes / kRegion + 1); touch > taken.touched) taken.touched = touch;
      if (taken.touched != 0) *static_cast<std::size_t*>(taken.start) = last_word(taken, taken.touched) = 1;
      mine.push_back(taken);
    } else if (!mine.empty()) {
      std::swap(mine[random.below(mine.size())], mine.back());
      give(mine.back());
      mine.pop_back();
    }
    check(parts.regions.bytes() <= std::size_t{test::kToyPages.large_cache_mib} << 20, "bounded");
  }
  for (const Taken& taken : mine) give(taken);
  parts.regions.flush(parts.pages);
  check_equal(parts.regions.bytes(), 0u);
  check(parts.pages.map(parts.pages.range_bytes()) != nullptr, "everything is back");
}};

// `take` gives a piece of memory, `give` takes it back, `decay` is what is tested; a piece's first word tells whether it was
// given back to the source, which clears what it gets.
template <class Take, class Give, class Decay>
void gives_back_what_idles(Take take, Give give, Decay decay) {
  std::size_t* idle = take();
  std::size_t* busy = take();
  std::size_t* live = take();
  *idle = *busy = *live = 1;
  give(idle);
  decay();
  check_equal(*idle, 1u);
  for (int i = 0; i < 3; ++i) {
    give(busy);
    decay();
    check_equal(*idle, 0u);
    check_equal(*busy, 1u);
    // the one that is still resident, or the lowest
    std::size_t* again = take();
    if (again != busy) {
      busy = take();
      give(again);
    }
    *busy = 1;
  }
  give(busy);
  decay();
  decay();
  check_equal(*busy, 0u);
  check_equal(*live, 1u);
  give(live);
}

const test::Test idle{"what idles from one decay to the next goes back, whatever comes and goes beside it", [] {
  struct Tag {};
  using V = ToyVariant<Tag, with(pages::Purge::kDecay)>;
  static constinit Parts<V> parts{};
  started<V>(parts);
  constexpr std::size_t kRegion = Parts<V>::kRegion;
  gives_back_what_idles([] { return static_cast<std::size_t*>(parts.regions.take(parts.pages, kRegion).start); },
                        [](std::size_t* p) { parts.regions.give(parts.pages, p, kRegion, kRegion); },
                        [] { parts.regions.decay(parts.pages); });
  gives_back_what_idles([] { return static_cast<std::size_t*>(parts.runs.take(parts, 3 * base::kPage)); },
                        [](std::size_t* p) { parts.runs.give(parts, p); }, [] { parts.runs.decay(parts); });
  using Slab = typename Parts<V>::SuperSlab::SlabType;
  std::map<std::size_t*, Slab*> slabs;
  gives_back_what_idles(
      [&] {
        Slab* slab = parts.pool.take(parts, 1, nullptr, 0);
        auto* first = reinterpret_cast<std::size_t*>(slab->geometry.block(0));
        slabs[first] = slab;
        return first;
      },
      [&](std::size_t* p) { parts.pool.give(parts, slabs.at(p)); }, [] { parts.pool.decay(parts); });
}};

const test::Test large{"large blocks are aligned, keep their contents when they grow in place, and come back", [] {
  struct Tag {};
  using V = ToyVariant<Tag>;
  static constinit Parts<V> parts{};
  started<V>(parts);
  using Large = back::LargeBlocks<Parts<V>>::Large;
  for (std::size_t align = 16; align <= (std::size_t{4} << 20); align *= 2) {
    for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{100000}, std::size_t{1} << 20}) {
      bool zeroed = false;
      auto* p = static_cast<std::byte*>(parts.large.take(parts, n, align, n, zeroed));
      if (!check(p != nullptr && base::address(p) % align == 0, "aligned")) continue;
      if (n != 0) p[0] = p[n - 1] = std::byte{7};
      auto* region = static_cast<Large*>(parts.owner.region_of(p));
      check(region != nullptr && region->block == p && region->usable >= n, "known by its address");
      const bool grown = parts.large.resize(parts, region, 2 * n + 1);
      if (grown) p[2 * n] = std::byte{9};
      if (n != 0) check(p[0] == std::byte{7} && p[n - 1] == std::byte{7}, "contents are kept");
      check(parts.large.resize(parts, region, 1) && region->usable >= 1 && region->usable <= base::kPage, "and shrinks");
      parts.large.give(parts, region);
      check(parts.owner.region_of(p) == nullptr, "gone");
    }
  }
  check_equal(parts.large.count(), 0u);
  check_equal(parts.large.bytes(), 0u);
  parts.regions.flush(parts.pages);
  bool zeroed = false;
  check(parts.large.take(parts, base::kLargestRequest, 16, base::kLargestRequest, zeroed) == nullptr, "far too much");
  check(parts.pages.map(parts.pages.range_bytes()) != nullptr, "everything is back");
}};

// ---- slabs -------------------------------------------------------------------------------------------------------------

template <class V>
class Bins {
  using Slab = typename Parts<V>::Slab;
  using SuperSlab = typename Parts<V>::SuperSlab;

 public:
  Bins(Parts<V>& parts, std::uint64_t seed) : parts_(parts), random_(seed) {}

  void run(int steps) {
    for (int step = 0; step < steps && test::failures == 0; ++step) {
      const ClassIndex c = 1 + random_.below(V::Classes::kCount);
      switch (random_.below(8)) {
        case 0:
        case 1:
        case 2: refill(c); break;
        case 3: collect(c); break;
        case 4: give_chain(c); break;
        default: give(c);
      }
      if (step % 50 == 0) count();
    }
    for (ClassIndex c = 1; c <= V::Classes::kCount; ++c) {
      while (!out_[c].empty()) give(c);
      bins_[c].collect(parts_);
    }
    count();
    check_equal(parts_.pool.totals().slabs, 0u);
    check_equal(parts_.pool.totals().super_slabs, 0u);
  }

 private:
  static constexpr base::Tag kHeapTag = 3 << base::kTagShift;

  void refill(ClassIndex c) {
    const auto want = static_cast<unsigned>(1 + random_.below(200));
    unsigned came = 0;
    const unsigned said = bins_[c].refill(parts_, c, this, kHeapTag + static_cast<base::Tag>(c), want, [&](Block* block) {
      ++came;
      const auto p = base::address(block);
      check(p % V::Classes::kAlign == 0, "aligned");
      auto* super = SuperSlab::around(block);
      check(super->tag_of(block) == kHeapTag + c, "tagged with class and owner");
      Slab& slab = super->slab_of(block);
      check(slab.size_class == c && slab.heap == this, "of a slab of this class");
      check(slab.geometry.block(slab.geometry.index_of(block)) == block, "on its place");
      const auto next = live_.lower_bound(p);
      const std::size_t size = V::Classes::block_size(c);
      check(next == live_.end() || p + size <= next->first, "apart from the next");
      check(next == live_.begin() || std::prev(next)->first + std::prev(next)->second <= p, "and the one before");
      live_[p] = size;
      out_[c].push_back(block);
      ++out_of_[&slab];
    });
    check(said == came && came <= want, "at most what was asked for");
  }
  Block* pick(ClassIndex c) {
    std::swap(out_[c][random_.below(out_[c].size())], out_[c].back());
    Block* block = out_[c].back();
    out_[c].pop_back();
    live_.erase(base::address(block));
    --out_of_[slab_of(block)];
    return block;
  }
  void give(ClassIndex c) {
    for (std::size_t n = random_.below(60); n > 0 && !out_[c].empty(); --n) {
      Block* block = pick(c);
      bins_[c].give(parts_, slab_of(block), block);
    }
    if (!out_[c].empty()) {
      Block* block = pick(c);
      bins_[c].give(parts_, slab_of(block), block);
    }
  }
  void give_chain(ClassIndex c) {
    if constexpr (Parts<V>::kChains) {
      base::Chain chain;
      for (std::size_t n = 1 + random_.below(100); n > 0 && !out_[c].empty(); --n) {
        Block* block = pick(c);
        Parts<V>::Links::link(block, chain.first);
        chain.first = block;
        if (chain.last == nullptr) chain.last = block;
        ++chain.count;
      }
      bins_[c].give_chain(parts_, chain);
    } else {
      give(c);
    }
  }
  void collect(ClassIndex c) { bins_[c].collect(parts_); }
  static Slab* slab_of(Block* block) { return &SuperSlab::around(block)->slab_of(block); }

  // A slab's `used` is the number of its blocks that are out, and the pool's total is their sum.
  void count() {
    std::size_t sum = 0;
    for (auto it = out_of_.begin(); it != out_of_.end();) {
      if (it->second == 0) {
        it = out_of_.erase(it);  // it may be gone
        continue;
      }
      check_equal(it->first->used, it->second);
      sum += it->second;
      ++it;
    }
    check_equal(sum, live_.size());
    check_equal(parts_.pool.totals().blocks_out, sum);
  }

  Parts<V>& parts_;
  test::Random random_;
  typename Parts<V>::Bin bins_[V::Classes::kCount + 1];
  std::vector<Block*> out_[V::Classes::kCount + 1];
  std::map<std::uintptr_t, std::size_t> live_;
  std::map<Slab*, std::size_t> out_of_;
};

template <class V>
void bins_against_a_model() {
  static constinit Parts<V> parts{};
  started<V>(parts);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) Bins<V>(parts, seed).run(3000);
  parts.regions.flush(parts.pages);
  check(parts.pages.map(parts.pages.range_bytes()) != nullptr, "everything is back");
}

struct Listed {};
struct Mapped {};
struct Eager {};
struct WithBitmap : ToyVariant<Mapped> {
  using Store = slab::Bitmap;
};
struct Encoded : ToyVariant<Encoded> {
  using Guard = test::EncodedGuard;
};

const test::Test bins{"a slab's count of blocks out is right after any refills and returns", [] {
  bins_against_a_model<ToyVariant<Listed>>();
  bins_against_a_model<WithBitmap>();
  bins_against_a_model<Encoded>();
  bins_against_a_model<ToyVariant<Eager, with(pages::Purge::kEager)>>();
}};

// ---- exhaustion --------------------------------------------------------------------------------------------------------

const test::Test exhaustion{"whichever call for memory is refused, nothing is lost and service goes on", [] {
  struct Tag {};
  using V = ToyVariant<Tag>;
  static constinit Parts<V> parts{};
  started<V>(parts);
  using Large = back::LargeBlocks<Parts<V>>::Large;
  for (long n = 0; n < 12; ++n) {
    typename Parts<V>::Bin bin;
    std::vector<void*> runs, larges;
    std::vector<Block*> blocks;
    V::Pages::fail_from(n);
    for (int step = 0, refused = 0; refused < 3 && step < 3000; ++step) {
      refused = 0;
      if (void* run = parts.runs.take(parts, 30000)) {
        runs.push_back(run);
      } else {
        ++refused;
      }
      if (bin.refill(parts, 20, nullptr, 20, 32, [&](Block* block) { blocks.push_back(block); }) == 0) ++refused;
      bool zeroed = false;
      if (void* p = parts.large.take(parts, 300000, 16, 300000, zeroed)) {
        larges.push_back(p);
      } else {
        ++refused;
      }
    }
    check_equal(parts.runs.used_runs(), runs.size());
    check_equal(parts.large.count(), larges.size());
    check_equal(parts.pool.totals().blocks_out, blocks.size());
    V::Pages::recover();
    void* more = parts.runs.take(parts, 30000);
    check(more != nullptr, "service goes on");
    runs.push_back(more);
    for (void* run : runs) parts.runs.give(parts, run);
    for (Block* block : blocks) bin.give(parts, &Parts<V>::SuperSlab::around(block)->slab_of(block), block);
    for (void* p : larges) parts.large.give(parts, static_cast<Large*>(parts.owner.region_of(p)));
    bin.collect(parts);
    parts.runs.collect(parts);
    parts.regions.flush(parts.pages);
    check_equal(parts.pool.totals().super_slabs, 0u);
    void* whole = parts.pages.map(parts.pages.range_bytes());
    check(whole != nullptr, "nothing is lost");
    parts.pages.unmap(whole, parts.pages.range_bytes());
  }
}};

}  // namespace
