// The direct back: every block is a region of its own. Slow, wasteful and simple enough to be believed: the oracle that
// other policy sets are compared with.
#pragma once

namespace hakmem::back {

struct Direct {
  static constexpr bool kDirect = true;
};

}  // namespace hakmem::back
