// What the lookups over one contiguous range share. The range is readable from end to end for ever, so the header that
// an address in it would have can be read before anything is known of the address. Any thread.
#pragma once

#include <hakmem/base/types.hpp>
#include <hakmem/slab/region.hpp>

namespace hakmem::owner {

// A heap's own copy of where the range lies, so that the hot path finds it in the heap's lines. Zero: nothing is ours.
struct RangeView {
  std::uintptr_t base = 0;
  std::size_t bytes = 0;

  HAKMEM_HOT std::size_t offset(const void* p) const noexcept { return base::address(p) - base; }
};

template <std::size_t kRegion>
class RangeLookup {
  using Region = slab::Region<kRegion>;

 public:
  // p's region, nullptr for a foreign pointer.
  Region* region_of(const void* p) const noexcept {
    if (base::address(p) - 1 - base::relaxed_load(base_) >= base::relaxed_load(bytes_)) return nullptr;
    Region* region = Region::around(p);
    return base::relaxed_load(region->self) == region ? region : nullptr;
  }
  RangeView view() const noexcept { return {base::relaxed_load(base_), base::relaxed_load(bytes_)}; }

  // Before the first heap and the first region; the page source has its range by then.
  template <class Pages>
  bool start(Pages& pages) noexcept {
    base::relaxed_store(base_, pages.base());
    base::relaxed_store(bytes_, pages.range_bytes());
    return true;
  }
  template <class Pages>
  bool enroll(Pages&, Region* region) noexcept {
    base::relaxed_store(region->self, region);
    return true;
  }
  void withdraw(Region* region) noexcept { base::relaxed_store(region->self, static_cast<Region*>(nullptr)); }
  void tag(Region* region, std::size_t unit, std::size_t units, base::Tag tag) noexcept {
    for (std::size_t u = unit; u < unit + units; ++u) base::relaxed_store(region->tags[u], tag);
  }

 private:
  std::uintptr_t base_ = 0;
  std::size_t bytes_ = 0;
};

}  // namespace hakmem::owner
