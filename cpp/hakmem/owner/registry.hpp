// Owner lookup by a hash table of regions with linear probing: needs no contiguous range. Any thread looks up without a
// lock; enroll and withdraw are serialised by one. The table doubles when half full; an old one stays readable, since a
// lookup may still be in it: all old ones together are smaller than the newest. Idea: hakmem's SuperSlab registry.
#pragma once

#include <hakmem/base/types.hpp>
#include <hakmem/slab/region.hpp>
#include <hakmem/thread/mutex.hpp>

namespace hakmem::owner {

struct Registry {
  static constexpr bool kRejectsForeign = true;
  static constexpr std::size_t kBlockPrefix = 0;

  template <std::size_t kRegion, bool kHeapsOwnSlabs>
  class Type {
    using Region = slab::Region<kRegion>;

   public:
    // A heap sees the registry itself: the table may be replaced at any time.
    struct View {
      const Type* registry = nullptr;
    };
    View view() const noexcept { return {this}; }

    HAKMEM_HOT static base::Tag tag_of(const View& view, const void* p) noexcept {
      if (view.registry == nullptr) [[unlikely]] return base::kOutside;
      const Region* region = find(view.registry->table(), p);
      if (region == nullptr) [[unlikely]] return base::kOutside;
      return region->tag_of(p);
    }
    HAKMEM_HOT Region* region_of(const void* p) const noexcept {
      const Table* now = table();
      return now == nullptr ? nullptr : find(now, p);
    }

    template <class Pages>
    bool start(Pages& pages) noexcept {
      thread::Lock lock(mutex_);
      return table_ != nullptr || grow(pages);
    }
    template <class Pages>
    bool enroll(Pages& pages, Region* region) noexcept {
      thread::Lock lock(mutex_);
      if (taken_ * 2 >= table_->mask && !grow(pages)) return false;
      region->self = region;
      if (insert(table_, region)) ++taken_;
      return true;
    }
    void withdraw(Region* region) noexcept {
      thread::Lock lock(mutex_);
      region->self = nullptr;
      for (std::size_t i = hash(region);; ++i) {
        Region*& slot = table_->slots[i & table_->mask];
        if (slot == region) {
          base::relaxed_store(slot, gone());
          return;
        }
      }
    }
    void tag(Region* region, std::size_t unit, std::size_t units, base::Tag tag) noexcept {
      for (std::size_t u = unit; u < unit + units; ++u) base::relaxed_store(region->tags[u], tag);
    }
    static void stamp(void*, base::Tag) noexcept {}
    thread::Mutex& mutex() noexcept { return mutex_; }

   private:
    struct Table {
      std::size_t mask;
      Region* slots[1];  // mask + 1 of them
    };
    static constexpr std::size_t kHeader = offsetof(Table, slots);

    static Region* gone() noexcept { return reinterpret_cast<Region*>(1); }  // was taken: probing goes on past it
    static std::size_t hash(const Region* region) noexcept {
      return static_cast<std::size_t>((base::address(region) / kRegion * 0x9E3779B97F4A7C15u) >> 40);
    }
    // acquire: pairs with the release in grow(), after the table was filled
    HAKMEM_HOT const Table* table() const noexcept { return __atomic_load_n(&table_, __ATOMIC_ACQUIRE); }
    HAKMEM_HOT static Region* find(const Table* table, const void* p) noexcept {
      Region* wanted = Region::around(p);
      for (std::size_t i = hash(wanted);; ++i) {
        Region* found = base::relaxed_load(table->slots[i & table->mask]);
        if (found == wanted) [[likely]] return found;
        if (found == nullptr) return nullptr;
      }
    }
    // True: a slot that was never taken before is taken now.
    static bool insert(Table* table, Region* region) noexcept {
      for (std::size_t i = hash(region);; ++i) {
        Region*& slot = table->slots[i & table->mask];
        if (slot == nullptr || slot == gone()) {
          const bool was_empty = slot == nullptr;
          base::relaxed_store(slot, region);
          return was_empty;
        }
      }
    }
    template <class Pages>
    bool grow(Pages& pages) noexcept {
      // twice as many even when most are gone: a table for all addresses ever seen fills up once, not again and again
      const std::size_t old = table_ == nullptr ? 0 : table_->mask + 1;
      const std::size_t slots = old == 0 ? 2048 : old * 2;
      const std::size_t bytes = base::align_up(kHeader + slots * sizeof(Region*), Pages::kGranule);
      auto* table = static_cast<Table*>(pages.map(bytes));
      if (table == nullptr) return false;
      table->mask = slots - 1;
      taken_ = 0;
      for (std::size_t i = 0; i < old; ++i) {
        Region* region = table_->slots[i];
        if (region != nullptr && region != gone()) {
          insert(table, region);
          ++taken_;
        }
      }
      __atomic_store_n(&table_, table, __ATOMIC_RELEASE);
      return true;
    }

    Table* table_ = nullptr;  // before start()
    std::size_t taken_ = 0;  // slots of the table that are not free for the end of a probe
    thread::Mutex mutex_;
  };
};

}  // namespace hakmem::owner
