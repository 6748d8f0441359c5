// Thread slot: one initial-exec thread-local pointer, initialised to the sentinel heap, so that reading it needs no
// test. Two instructions. The calling thread's own. A dynamically loaded module takes 8 bytes of static TLS.
#pragma once

#include <hakmem/base/attributes.hpp>

namespace hakmem::thread {

struct TlsPointer {
  template <class Heap>
  class Type {
   public:
    HAKMEM_HOT static Heap* current() noexcept { return heap_; }
    static void set(Heap* heap) noexcept { heap_ = heap; }

   private:
    [[gnu::tls_model("initial-exec")]] static inline constinit thread_local Heap* heap_ = &Heap::sentinel;
  };
};

}  // namespace hakmem::thread
