// Calls a function before fork(), and another after it in parent and child: so that no lock of an engine is held by a
// thread that the child does not have. Naming `registered` anywhere registers them once, before main begins.
#pragma once

#include <pthread.h>

namespace hakmem::thread {

template <void (*kBefore)() noexcept, void (*kAfter)() noexcept>
struct ForkHandlers {
  // 0, or the error of a system that has no memory left for the registration.
  static inline const int registered = ::pthread_atfork(kBefore, kAfter, kAfter);
};

}  // namespace hakmem::thread
