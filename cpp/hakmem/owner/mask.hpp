// Owner lookup by alignment: the header of a block's SuperSlab lies at its address with the low bits cleared. Total
// over all addresses because everything lies in one readable range. Any thread; touches the header's first line.
// Idea: Berger, McKinley, Blumofe and Wilson, 2000, "Hoard".
#pragma once

#include <hakmem/owner/range_lookup.hpp>

namespace hakmem::owner {

struct Mask {
  static constexpr bool kRejectsForeign = true;
  static constexpr std::size_t kBlockPrefix = 0;

  template <std::size_t kRegion, bool kHeapsOwnSlabs>
  class Type : public RangeLookup<kRegion> {
   public:
    // Its base is one more than the range's: a block may start at the end of its region, never at the begin.
    struct View : RangeView {};
    View view() const noexcept {
      const RangeView range = RangeLookup<kRegion>::view();
      return {{range.base + 1, range.bytes}};
    }

    // The tag of the slab that p lies in, 0 when it lies in none.
    HAKMEM_HOT static base::Tag tag_of(const View& view, const void* p) noexcept {
      if (view.offset(p) >= view.bytes) [[unlikely]] return base::kOutside;
      const base::Tag tag = slab::Region<kRegion>::around(p)->tag_of(p);
      if constexpr (kHeapsOwnSlabs) return tag;
      return static_cast<std::uint8_t>(tag);  // a class and nothing else: never kOutside, and the compiler knows
    }
    static void stamp(void*, base::Tag) noexcept {}
  };
};

}  // namespace hakmem::owner
