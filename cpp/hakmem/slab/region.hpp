// The first words of every region: an aligned stretch of addresses that holds slabs, page runs or one large block.
// Written under the lock of the back that made it; read by any thread.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::slab {

enum class RegionKind : std::uint32_t { kNone, kSlabs, kRuns, kLarge };

template <std::size_t kRegion>
struct Region {
  static constexpr std::size_t kUnits = kRegion / base::kUnit;

  base::Tag tags[kUnits]{};  // class and owner of the slab that holds a unit; 0: none. First: a lookup needs no offset
  Region* self = nullptr;    // this region's own address while it is enrolled: anything else is not a header
  RegionKind kind = RegionKind::kNone;
  std::size_t bytes = 0;     // of the whole region, a multiple of kRegion

  // Where the header of p's region would be. A block may start exactly one region behind its header, never at it.
  HAKMEM_HOT static Region* around(const void* p) noexcept {
    return reinterpret_cast<Region*>((base::address(p) - 1) & ~(kRegion - 1));
  }
  HAKMEM_HOT static std::size_t unit_of(const void* p) noexcept {
    return (base::address(p) >> base::kUnitShift) & (kUnits - 1);
  }
  HAKMEM_HOT base::Tag tag_of(const void* p) const noexcept { return base::relaxed_load(tags[unit_of(p)]); }
};

}  // namespace hakmem::slab
