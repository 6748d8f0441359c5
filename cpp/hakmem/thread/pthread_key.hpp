// Thread slot kept under a pthread key: works where static TLS is not to be had; a library call on every malloc and
// free. The calling thread's own.
#pragma once

#include <pthread.h>

#include <atomic>

#include <hakmem/base/attributes.hpp>

namespace hakmem::thread {

struct PthreadKey {
  static constexpr bool kCostsACall = true;  // so it is refused where no slot is needed

  template <class Heap>
  class Type {
   public:
    HAKMEM_HOT static Heap* current() noexcept {
      // acquire: pairs with the release in set(); 0 means that no thread has a heap yet
      const unsigned key = key_.load(std::memory_order_acquire);
      void* heap = key != 0 ? ::pthread_getspecific(key - 1) : nullptr;
      return heap != nullptr ? static_cast<Heap*>(heap) : &Heap::sentinel;
    }

    // The slot remembers nullptr for the sentinel. Called under the engine's start-up order: the first call creates the
    // key, before any other thread can have a heap.
    static void set(Heap* heap) noexcept {
      unsigned key = key_.load(std::memory_order_acquire);
      if (key == 0) {
        pthread_key_t fresh;
        if (::pthread_key_create(&fresh, nullptr) != 0) __builtin_trap();
        if (key_.compare_exchange_strong(key, fresh + 1, std::memory_order_acq_rel)) {
          key = fresh + 1;
        } else {
          ::pthread_key_delete(fresh);
        }
      }
      ::pthread_setspecific(key - 1, heap == &Heap::sentinel ? nullptr : heap);
    }

   private:
    static inline constinit std::atomic<unsigned> key_{0};
  };
};

}  // namespace hakmem::thread
