// Makes slabs out of SuperSlabs and takes empty ones back; slabs of any class live in any SuperSlab. Any thread; one
// lock, taken once per slab. Empty units go back to the system by the purge policy, empty SuperSlabs to the region cache.
// `Parts` names the other policies: Classes, SuperSlab, Pages, Owner, Regions, kPrefix, kOptions.
#pragma once

#include <bit>
#include <initializer_list>
#include <new>

#include <hakmem/base/types.hpp>
#include <hakmem/pages/options.hpp>
#include <hakmem/pages/os_memory.hpp>
#include <hakmem/slab/geometry.hpp>
#include <hakmem/slab/region.hpp>
#include <hakmem/thread/mutex.hpp>

namespace hakmem::back {

template <class Parts>
class SlabPool {
  using SuperSlab = typename Parts::SuperSlab;
  using Slab = typename SuperSlab::SlabType;
  using Classes = typename Parts::Classes;
  static constexpr auto kPurge = Parts::kOptions.purge;
  static_assert(Classes::kLargest * 8 <= Parts::kRegion,
                "SlabPool: a slab holds at least eight blocks and must fit its SuperSlab");

 public:
  constexpr SlabPool() noexcept = default;

  // An empty slab for blocks of class c, owned by `heap` (nullptr: shared), tagged. nullptr: out of memory.
  Slab* take(Parts& parts, base::ClassIndex c, void* heap, base::Tag tag) noexcept {
    const unsigned units = units_of(c);
    thread::Lock lock(mutex_);
    unsigned unit = 0;
    SuperSlab* super = find(units, unit);
    if (super == nullptr) {
      super = map(parts);
      if (super == nullptr) return nullptr;
      unit = SuperSlab::first_unit();
    }
    const std::uint64_t mask = mask_of(unit, units);
    super->free_units &= ~mask;
    if (super->free_units == 0) move(super, open_, full_);
    super->dirty_units &= ~mask;
    for (unsigned u = unit; u < unit + units; ++u) super->head[u] = static_cast<std::uint8_t>(unit);
    Slab* slab = new (&super->slabs[unit]) Slab{};
    const auto stride = static_cast<std::uint32_t>(Classes::block_size(c));
    std::byte* start = super->unit_start(unit);
    const std::byte* end = super->unit_end(unit + units - 1);
    slab->capacity = static_cast<std::uint32_t>(static_cast<std::size_t>(end - start) / stride);
    slab->geometry.first = start + Parts::kPrefix;
    slab->geometry.stride = stride;
    slab->geometry.inverse = slab::Geometry::inverse_of(stride);
    slab->units = static_cast<std::uint16_t>(units);
    slab->size_class = static_cast<std::uint8_t>(c);
    slab->heap = heap;
    if constexpr (decltype(slab->order)::kRandom) slab->order.draw(pages::random_word(), slab->capacity);
    parts.owner.tag(super, unit, units, tag);
    ++slabs_;
    return slab;
  }

  // A slab none of whose blocks is out.
  void give(Parts& parts, Slab* slab) noexcept {
    SuperSlab* super = SuperSlab::around(slab);
    const auto unit = static_cast<unsigned>(slab - super->slabs);
    const unsigned units = slab->units;
    thread::Lock lock(mutex_);
    --slabs_;
    parts.owner.tag(super, unit, units, 0);
    if constexpr (kPurge == pages::Purge::kEager) give_back(parts, super, mask_of(unit, units));
    if (super->free_units == 0) move(super, full_, open_);
    super->free_units |= mask_of(unit, units);
    if constexpr (kPurge != pages::Purge::kEager) {
      super->dirty_units |= mask_of(unit, units);
      super->fresh_units |= mask_of(unit, units);
    }
    if (super->free_units == SuperSlab::all_units()) {
      unlink(super, open_);
      parts.owner.withdraw(super);
      parts.unfence(super, SuperSlab::header_bytes());
      parts.regions.give(parts.pages, super, Parts::kRegion, Parts::kRegion);
    }
  }

  // Gives back the empty units that nobody has wanted since the last decay.
  void decay(Parts& parts) noexcept {
    thread::Lock lock(mutex_);
    for (SuperSlab* s = open_; s != nullptr; s = s->next) purge(parts, s, s->dirty_units & ~s->fresh_units);
  }

  // Every empty unit goes back to the system.
  void collect(Parts& parts) noexcept {
    thread::Lock lock(mutex_);
    for (SuperSlab* s = open_; s != nullptr; s = s->next) purge(parts, s, s->dirty_units);
  }

  struct Totals {
    std::size_t super_slabs, slabs, blocks_out;
    std::size_t out_of[Classes::kCount + 1];  // blocks out, by class
  };
  Totals totals() noexcept {
    thread::Lock lock(mutex_);
    Totals t{0, slabs_, 0, {}};
    for (SuperSlab* list : {open_, full_}) {
      for (SuperSlab* s = list; s != nullptr; s = s->next) {
        ++t.super_slabs;
        for (unsigned u = SuperSlab::first_unit(); u < SuperSlab::kUnits;) {
          if (s->free_units >> u & 1) {
            ++u;
            continue;
          }
          const std::size_t used = base::relaxed_load(s->slabs[u].used);
          t.blocks_out += used;
          t.out_of[s->slabs[u].size_class] += used;
          u += s->slabs[u].units;
        }
      }
    }
    return t;
  }
  thread::Mutex& mutex() noexcept { return mutex_; }

 private:
  // A slab holds at least eight blocks where its SuperSlab is long enough for them.
  static constexpr unsigned units_of(base::ClassIndex c) noexcept {
    const std::size_t wanted = Classes::block_size(c) * 8 > base::kUnit ? Classes::block_size(c) * 8 : base::kUnit;
    const std::size_t units = (wanted + base::kUnit - 1) / base::kUnit;
    const std::size_t most = SuperSlab::kUnits - SuperSlab::first_unit();
    return static_cast<unsigned>(units < most ? units : most);
  }
  static constexpr std::uint64_t mask_of(unsigned unit, unsigned units) noexcept {
    return (units == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << units) - 1) << unit;
  }

  // A run of free units in a SuperSlab that we have; looks at a bounded number of them.
  SuperSlab* find(unsigned units, unsigned& unit) noexcept {
    int looked = 0;
    for (SuperSlab* s = open_; s != nullptr && looked < 16; s = s->next, ++looked) {
      std::uint64_t runs = s->free_units;  // bit u: `units` free ones start at u
      for (unsigned i = 1; i < units && runs != 0; ++i) runs &= s->free_units >> i;
      if (runs == 0) continue;
      // units that are still resident first: they cost no page faults
      const std::uint64_t dirty = runs & s->dirty_units;
      unit = static_cast<unsigned>(std::countr_zero(dirty != 0 ? dirty : runs));
      move(s, open_, open_);  // the next search begins here
      return s;
    }
    return nullptr;
  }

  SuperSlab* map(Parts& parts) noexcept {
    const auto taken = parts.regions.take_exactly(parts.pages, Parts::kRegion);
    if (taken.start == nullptr) return nullptr;
    auto* super = new (taken.start) SuperSlab{};
    super->kind = slab::RegionKind::kSlabs;
    super->bytes = Parts::kRegion;
    if (!parts.owner.enroll(parts.pages, super)) {
      parts.pages.unmap(super, Parts::kRegion);
      return nullptr;
    }
    parts.fence(super, SuperSlab::header_bytes());
    if (taken.touched != 0) super->dirty_units = super->free_units;
    link(super, open_);
    return super;
  }

  // Gives `units` of the dirty ones back; none is fresh then.
  static void purge(Parts& parts, SuperSlab* super, std::uint64_t units) noexcept {
    give_back(parts, super, units);
    super->dirty_units &= ~units;
    super->fresh_units = 0;
  }
  static void give_back(Parts& parts, SuperSlab* super, std::uint64_t units) noexcept {
    while (units != 0) {
      const auto first = static_cast<unsigned>(std::countr_zero(units));
      const auto count = static_cast<unsigned>(std::countr_one(units >> first));
      std::byte* start = super->unit_start(first);
      std::byte* end = super->unit_end(first + count - 1);
      parts.pages.purge(start, static_cast<std::size_t>(end - start));
      units &= ~mask_of(first, count);
    }
  }

  static void link(SuperSlab* s, SuperSlab*& list) noexcept {
    s->prev = nullptr;
    s->next = list;
    if (list != nullptr) list->prev = s;
    list = s;
  }
  static void unlink(SuperSlab* s, SuperSlab*& list) noexcept {
    (s->prev != nullptr ? s->prev->next : list) = s->next;
    if (s->next != nullptr) s->next->prev = s->prev;
  }
  static void move(SuperSlab* s, SuperSlab*& from, SuperSlab*& to) noexcept {
    unlink(s, from);
    link(s, to);
  }

  thread::Mutex mutex_;
  SuperSlab* open_ = nullptr;  // SuperSlabs with free units
  SuperSlab* full_ = nullptr;  // the others
  std::size_t slabs_ = 0;
};

}  // namespace hakmem::back
