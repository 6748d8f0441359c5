// The two backs, as tags; engine/ puts the parts together.
// SuperSlab: small blocks from slabs, medium ones from page runs, large ones from regions of their own.
#pragma once

namespace hakmem::back {

struct SuperSlab {
  static constexpr bool kDirect = false;
};

}  // namespace hakmem::back
