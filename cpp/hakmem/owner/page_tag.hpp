// Owner lookup by a dense map: one small load by (address - base) >> 16 gives class, owner and "ours"; it touches
// neither the block nor its slab, so a free of a cold block into an array costs no cache miss there. Any thread.
// Idea: the page map of Ghemawat and Menage, 2007, "TCMalloc", made dense over one reserved range.
#pragma once

#include <type_traits>

#include <hakmem/owner/range_lookup.hpp>

namespace hakmem::owner {

struct PageTag {
  static constexpr bool kRejectsForeign = true;
  static constexpr std::size_t kBlockPrefix = 0;

  template <std::size_t kRegion, bool kHeapsOwnSlabs>
  class Type : public RangeLookup<kRegion> {
    using Lookup = RangeLookup<kRegion>;
    using Entry = std::conditional_t<kHeapsOwnSlabs, base::Tag, std::uint8_t>;

   public:
    struct View : RangeView {
      const Entry* table = nullptr;
    };

    HAKMEM_HOT static base::Tag tag_of(const View& view, const void* p) noexcept {
      const std::size_t offset = view.offset(p);
      if (offset >= view.bytes) [[unlikely]] return base::kOutside;
      return base::relaxed_load(view.table[offset >> base::kUnitShift]);
    }
    View view() const noexcept { return {Lookup::view(), table_}; }

    // The table covers the whole range; only what is used of it is ever touched.
    template <class Pages>
    bool start(Pages& pages) noexcept {
      if (table_ == nullptr) {
        const std::size_t entries = pages.range_bytes() / base::kUnit;
        table_ = static_cast<Entry*>(pages.map(base::align_up(entries * sizeof(Entry), Pages::kGranule)));
      }
      return table_ != nullptr && Lookup::start(pages);
    }
    void tag(slab::Region<kRegion>* region, std::size_t unit, std::size_t units, base::Tag tag) noexcept {
      Lookup::tag(region, unit, units, tag);
      const std::size_t at = (Lookup::view().offset(region) >> base::kUnitShift) + unit;
      for (std::size_t u = 0; u < units; ++u) base::relaxed_store(table_[at + u], static_cast<Entry>(tag));
    }
    static void stamp(void*, base::Tag) noexcept {}

   private:
    Entry* table_ = nullptr;
  };
};

}  // namespace hakmem::owner
