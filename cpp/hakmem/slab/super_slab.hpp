// A slab is a run of equal blocks; a SuperSlab is a region of slabs, with all that is known of them in its header.
// One thread at a time: the heap that owns the slab, or the holder of its class's lock.
#pragma once

#include <hakmem/slab/geometry.hpp>
#include <hakmem/slab/region.hpp>

namespace hakmem::slab {

template <class Store, class Order>
struct Slab {
  static constexpr std::uint32_t kNever = ~std::uint32_t{0};

  Store store;
  std::uint32_t used = 0;      // blocks out: live, or in some cache, or on their way home
  std::uint32_t wake = kNever; // giving a block back is an event when `used` falls to this
  std::uint32_t fresh = 0;     // blocks from here on were never handed out
  std::uint32_t capacity = 0;
  Geometry geometry;
  [[no_unique_address]] Order order{};  // in which its fresh blocks come
  std::uint16_t units = 0;
  std::uint8_t size_class = 0;
  bool listed = false;         // in its bin's list of slabs with free blocks
  void* heap = nullptr;        // the heap that owns it; nullptr: shared
  Slab* next = nullptr;
  Slab* prev = nullptr;

  bool exhausted_fresh() const noexcept { return fresh == capacity; }

  // The next of those that were never handed out.
  HAKMEM_HOT base::Block* take_fresh() noexcept { return geometry.block(order.at(fresh++)); }

  // Gives one block back. True: `used` has reached `wake`.
  HAKMEM_HOT bool give(base::Block* block) noexcept {
    store.give(block, geometry);
    // other threads may sum `used` for the statistics
    base::relaxed_store(used, used - 1);
    return used == wake;
  }
};

template <class Store, class Order, class GuardMap, std::size_t kRegion, std::size_t kFence = 0>
struct SuperSlab : Region<kRegion> {
  using SlabType = Slab<Store, Order>;
  static constexpr std::size_t kUnits = Region<kRegion>::kUnits;
  static_assert(kUnits <= 64, "SuperSlab: at most 64 units, so 4 MiB");

  std::uint64_t free_units = all_units();
  std::uint64_t dirty_units = 0;       // free, yet still resident
  std::uint64_t fresh_units = 0;       // of those, what has come since the last decay; of others, whatever
  SuperSlab* next = nullptr;           // in the pool's lists
  SuperSlab* prev = nullptr;
  std::uint8_t head[kUnits]{};         // the first unit of the slab that a unit belongs to
  SlabType slabs[kUnits]{};            // by first unit
  [[no_unique_address]] GuardMap guard{};

  static constexpr std::size_t header_bytes() noexcept { return base::align_up(sizeof(SuperSlab), base::kPage); }
  // The header and its fence may be longer than a unit: slabs begin in the unit where they end.
  static constexpr std::size_t first_unit() noexcept { return (header_bytes() + kFence) / base::kUnit; }
  static constexpr std::uint64_t all_units() noexcept {
    static_assert(header_bytes() + 2 * kFence + 16384 <= kRegion, "SuperSlab: the header leaves too little of a region");
    return (kUnits == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << kUnits) - 1) >> first_unit() << first_unit();
  }

  HAKMEM_HOT static SuperSlab* around(const void* p) noexcept {
    return static_cast<SuperSlab*>(Region<kRegion>::around(p));
  }
  HAKMEM_HOT SlabType& slab_of(const void* p) noexcept { return slabs[head[Region<kRegion>::unit_of(p)]]; }
  std::byte* unit_start(std::size_t unit) noexcept {
    return reinterpret_cast<std::byte*>(this) + (unit == first_unit() ? header_bytes() + kFence : unit * base::kUnit);
  }
  std::byte* unit_end(std::size_t unit) noexcept {
    const std::size_t end = (unit + 1) * base::kUnit;
    return reinterpret_cast<std::byte*>(this) + (end == kRegion ? end - kFence : end);
  }
};

}  // namespace hakmem::slab
