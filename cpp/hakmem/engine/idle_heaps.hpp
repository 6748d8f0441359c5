// Heaps that no thread has: those of dead threads, and lent ones that have no place. First in, first out: what others send to
// a heap without a thread lies there until it is taken over. The caller holds the lock over heaps.
#pragma once

#include <cstddef>

namespace hakmem::engine {

template <class Heap>
class IdleHeaps {
 public:
  void give(Heap* heap) noexcept {
    heap->next_idle = nullptr;
    (last_ == nullptr ? first_ : last_->next_idle) = heap;
    last_ = heap;
    ++count_;
  }
  // nullptr: there is none.
  Heap* take() noexcept {
    Heap* heap = first_;
    if (heap == nullptr) return nullptr;
    first_ = heap->next_idle;
    if (first_ == nullptr) last_ = nullptr;
    --count_;
    return heap;
  }
  std::size_t count() const noexcept { return count_; }

 private:
  Heap* first_ = nullptr;
  Heap* last_ = nullptr;
  std::size_t count_ = 0;
};

}  // namespace hakmem::engine
