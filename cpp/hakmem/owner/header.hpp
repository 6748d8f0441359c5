// Owner lookup by a tag in the 16 bytes before every block: free reads one word beside the block. The price is 16 bytes
// a block, and a request pays for them in its class. A tag is written when a block is carved and when an aligned block
// is placed inside a larger one; it reads 0 where the slow lookup must decide. Any thread.
// Idea: hakmem's header class index; boundary tags before blocks are Knuth's, 1968, "Fundamental Algorithms", 2.5.
#pragma once

#include <hakmem/owner/range_lookup.hpp>

namespace hakmem::owner {

struct Header {
  static constexpr bool kRejectsForeign = true;
  static constexpr std::size_t kBlockPrefix = 16;

  template <std::size_t kRegion, bool kHeapsOwnSlabs>
  class Type : public RangeLookup<kRegion> {
   public:
    using View = RangeView;

    HAKMEM_HOT static base::Tag tag_of(const View& view, const void* p) noexcept {
      if (view.offset(p) - kBlockPrefix >= view.bytes) [[unlikely]] return base::kOutside;
      return base::relaxed_load(*tag_at(const_cast<void*>(p)));
    }
    static void stamp(void* p, base::Tag tag) noexcept { base::relaxed_store(*tag_at(p), tag); }

   private:
    static base::Tag* tag_at(void* p) noexcept { return static_cast<base::Tag*>(p) - 2; }
  };
};

}  // namespace hakmem::owner
