// Calls a function with a pointer when the calling thread ends (not when the process does), through a pthread key.
// arm(nullptr) disarms. Arming may allocate inside the C library: the caller's heap must be in place before.
#pragma once

#include <pthread.h>

#include <atomic>

namespace hakmem::thread {

template <void (*kOnExit)(void*)>
class ExitHook {
 public:
  static void arm(void* value) noexcept {
    unsigned key = key_.load(std::memory_order_acquire);
    if (key == 0) {
      pthread_key_t fresh;
      if (::pthread_key_create(&fresh, kOnExit) != 0) return;  // no key left: heaps of dead threads are not taken over
      // release: pairs with the acquire above
      if (key_.compare_exchange_strong(key, fresh + 1, std::memory_order_acq_rel)) {
        key = fresh + 1;
      } else {
        ::pthread_key_delete(fresh);
      }
    }
    ::pthread_setspecific(key - 1, value);
  }

 private:
  static inline constinit std::atomic<unsigned> key_{0};  // key + 1; 0 before the first thread
};

}  // namespace hakmem::thread
