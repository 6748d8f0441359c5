// Remote frees under `return_home`: a block freed by another thread travels back to the heap that owns its slab, in
// batches of up to `batch` blocks for one owner, over a lock-free stack. Idea: the remote queues of Lietar, Butler,
// Clebsch et al., 2019, "snmalloc: a message passing allocator"; the stack is Treiber's, 1986.
#pragma once

#include <atomic>

#include <hakmem/base/types.hpp>

namespace hakmem::remote {

struct ReturnHomeOptions {
  unsigned batch = 32;  // blocks gathered for one owner before they are sent: 1 .. 256
};

template <ReturnHomeOptions O = ReturnHomeOptions{}>
struct ReturnHome {
  static_assert(O.batch >= 1 && O.batch <= 256, "ReturnHome: batch must be 1 .. 256");
  static constexpr bool kHeapsOwnSlabs = true;
  static constexpr bool kOneHeap = false;

  // Blocks on their way to the heap that owns this queue. push: any thread. drain, looks_empty: the owner.
  template <class Links = base::PlainLinks>
  class Queue {
   public:
    constexpr Queue() noexcept = default;

    // A chain from first to last, linked by Links; one locked operation when nobody interferes.
    void push(base::Block* first, base::Block* last) noexcept {
      base::Block* head = head_.load(std::memory_order_relaxed);
      do {
        Links::link(last, head);
        // release: pairs with the acquire in drain(), which reads the links
      } while (!head_.compare_exchange_weak(head, first, std::memory_order_release, std::memory_order_relaxed));
    }

    bool looks_empty() const noexcept {
      return pending_ == nullptr && head_.load(std::memory_order_relaxed) == nullptr;
    }

    // Hands at most `max` blocks to sink; the rest wait for the next call. Returns how many.
    template <class Sink>
    std::size_t drain(std::size_t max, Sink&& sink) noexcept {
      std::size_t n = 0;
      while (n < max) {
        if (pending_ == nullptr) {
          if (head_.load(std::memory_order_relaxed) == nullptr) break;
          pending_ = head_.exchange(nullptr, std::memory_order_acquire);
        }
        base::Block* block = pending_;
        pending_ = Links::next(block);
        sink(block);
        ++n;
      }
      return n;
    }

   private:
    alignas(64) std::atomic<base::Block*> head_{nullptr};
    alignas(64) base::Block* pending_ = nullptr;  // taken off the shared stack, not yet handed out
  };

  // Blocks that this thread freed for one other heap and has not sent yet. The calling thread's own.
  template <class Heap, class Links = base::PlainLinks>
  class Outgoing {
   public:
    void add(Heap* owner, base::Block* block) noexcept {
      if (owner != owner_) {
        send();
        owner_ = owner;
      }
      Links::link(block, first_);
      if (first_ == nullptr) last_ = block;
      first_ = block;
      if (++count_ >= O.batch) send();
    }

    void send() noexcept {
      if (first_ != nullptr) owner_->queue.push(first_, last_);
      first_ = nullptr;
      count_ = 0;
    }

   private:
    Heap* owner_ = nullptr;
    base::Block* first_ = nullptr;
    base::Block* last_ = nullptr;
    unsigned count_ = 0;
  };
};

}  // namespace hakmem::remote
