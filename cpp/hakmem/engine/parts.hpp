// Binds the policies of a variant to one another: the types they become, and the process-wide parts that all heaps share.
#pragma once

#include <hakmem/back/depot.hpp>
#include <hakmem/back/large_blocks.hpp>
#include <hakmem/back/page_runs.hpp>
#include <hakmem/back/region_cache.hpp>
#include <hakmem/back/slab_bin.hpp>
#include <hakmem/back/slab_pool.hpp>
#include <hakmem/concepts/block_links.hpp>
#include <hakmem/concepts/owner_lookup.hpp>
#include <hakmem/concepts/page_source.hpp>
#include <hakmem/concepts/size_class_map.hpp>
#include <hakmem/concepts/slab_store.hpp>
#include <hakmem/slab/super_slab.hpp>
#include <hakmem/thread/mutex.hpp>

namespace hakmem::engine {

template <class V>
struct Parts {
  using Classes = typename V::Classes;
  using Pages = typename V::Pages::Type;
  static constexpr auto kOptions = V::Pages::kOptions;
  static constexpr std::size_t kRegion = Pages::kGranule;
  static constexpr bool kHeapsOwnSlabs = V::Remote::kHeapsOwnSlabs;
  static constexpr std::size_t kPrefix = V::Owner::kBlockPrefix;
  using Links = typename V::Guard::Links;
  using Store = typename V::Store::template Type<Links, Classes::block_size(1)>;
  using Owner = typename V::Owner::template Type<kRegion, kHeapsOwnSlabs>;
  using Region = slab::Region<kRegion>;
  static constexpr bool kDirect = V::Back::kDirect;
  static constexpr std::size_t kFence = V::Guard::kFence;
  using SuperSlab =
      slab::SuperSlab<Store, typename V::Guard::Order, typename V::Guard::template Map<kRegion>, kRegion, kFence>;
  using Slab = typename SuperSlab::SlabType;
  // Blocks pass between fronts and slabs in chains where both link them through the blocks themselves.
  static constexpr bool kChains = Store::kIntrusive;
  using Regions = back::RegionCache<Pages, kOptions>;
  using Bin = back::SlabBin<Parts>;
  // Blocks of a class between caches; what is purged at once is not kept.
  static constexpr unsigned kDepot = [] {
    if constexpr (requires { V::Remote::kDepot; }) return kDirect || kOptions.purge == pages::Purge::kEager ? 0 : V::Remote::kDepot;
    return 0u;
  }();
  using Depot = back::Depot<kDepot == 0 ? 1 : kDepot>;

  static_assert(concepts::BlockLinks<Links>, "Parts: Guard's Links are no BlockLinks");
  static_assert(Classes::kAlign >= Links::kBytes, "Parts: a free block has no room for the links of Guard");
  static_assert(concepts::SizeClassMap<Classes>, "Parts: Classes is no SizeClassMap");
  static_assert(concepts::PageSource<Pages>, "Parts: Pages is no PageSource");
  static_assert(concepts::SlabStore<Store, slab::Geometry>, "Parts: Store is no SlabStore");
  static_assert(concepts::OwnerLookup<Owner, typename V::Owner, Region, Pages>, "Parts: Owner is no OwnerLookup");

  Owner owner;
  Pages pages;
  Regions regions;
  back::SlabPool<Parts> pool;
  back::PageRuns<Parts> runs;
  back::LargeBlocks<Parts> large;

  // Fences behind a region's header and at its end; a large block's header has none.
  void fence(void* region, std::size_t header) noexcept {
    if constexpr (kFence != 0) pages.fence(static_cast<std::byte*>(region) + header, kFence);
    fence_end(region, kRegion);
  }
  void unfence(void* region, std::size_t header) noexcept {
    if constexpr (kFence != 0) pages.unfence(static_cast<std::byte*>(region) + header, kFence);
    unfence_end(region, kRegion);
  }
  void fence_end(void* region, std::size_t bytes) noexcept {
    if constexpr (kFence != 0) pages.fence(static_cast<std::byte*>(region) + bytes - kFence, kFence);
  }
  void unfence_end(void* region, std::size_t bytes) noexcept {
    if constexpr (kFence != 0) pages.unfence(static_cast<std::byte*>(region) + bytes - kFence, kFence);
  }

  // The slabs of one class that all threads share, and what passes between caches; unused where heaps own their slabs.
  struct alignas(64) SharedBin {
    thread::Mutex mutex;
    Bin bin;
    Depot depot;
  };
  SharedBin shared[kHeapsOwnSlabs ? 1 : Classes::kCount + 1];
  typename Depot::Slots depots[kDepot == 0 ? 1 : Classes::kCount + 1];
};

}  // namespace hakmem::engine
