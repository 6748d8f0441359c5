// Bounded queue of blocks from one thread to one other; neither side waits. Lamport 1983, "Specifying concurrent program
// modules", with the other side's index cached as in Lee, Bu, Chandranmenon 2009 (MCRingBuffer).
#pragma once

#include <atomic>
#include <cstddef>

#include <hakmem/bench/mapped_array.hpp>

namespace hakmem::bench {

class Ring {
 public:
  explicit Ring(std::size_t capacity) : items_(capacity) {}  // a power of two

  bool push(void* p) noexcept {  // false: full
    const std::size_t at = tail_.load(std::memory_order_relaxed);
    if (at - head_seen_ == items_.size()) {
      head_seen_ = head_.load(std::memory_order_acquire);  // pairs with pop's release: the place is free
      if (at - head_seen_ == items_.size()) return false;
    }
    items_[at & (items_.size() - 1)] = p;
    tail_.store(at + 1, std::memory_order_release);  // pairs with pop's acquire: the block's content
    return true;
  }

  void* pop() noexcept {  // nullptr: empty
    const std::size_t at = head_.load(std::memory_order_relaxed);
    if (at == tail_seen_) {
      tail_seen_ = tail_.load(std::memory_order_acquire);
      if (at == tail_seen_) return nullptr;
    }
    void* p = items_[at & (items_.size() - 1)];
    head_.store(at + 1, std::memory_order_release);
    return p;
  }

 private:
  MappedArray<void*> items_;
  alignas(64) std::atomic<std::size_t> tail_{0};
  std::size_t head_seen_ = 0;
  alignas(64) std::atomic<std::size_t> head_{0};
  std::size_t tail_seen_ = 0;
};

}  // namespace hakmem::bench
