// Slot of a process that has one heap for all its threads; whoever reads it holds the engine's lock.
#pragma once

#include <hakmem/base/attributes.hpp>

namespace hakmem::thread {

struct ProcessSlot {
  template <class Heap>
  class Type {
   public:
    HAKMEM_HOT static Heap* current() noexcept { return heap_; }
    static void set(Heap* heap) noexcept { heap_ = heap; }

   private:
    static inline constinit Heap* heap_ = &Heap::sentinel;
  };
};

}  // namespace hakmem::thread
