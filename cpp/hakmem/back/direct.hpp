// The direct back: every block is a region of its own. Slow, wasteful and simple enough to be believed: the oracle that
// other policy sets are compared with.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::back {

struct Direct {
  static constexpr bool kDirect = true;
  static constexpr std::size_t kRunCacheBytes = 0;
  static void hint(const void*) noexcept {}
};

}  // namespace hakmem::back
