// SLL: one intrusive LIFO per class, head and count side by side in 16 bytes; `cap` bounds every class alike.
// The owning thread's; a pop or a push touches one line of the heap and the block. Idea: the TLS free lists of
// Evans, 2006, "A scalable concurrent malloc implementation", and of hakmem's first front.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct SllOptions {
  unsigned cap = 256;    // blocks held per class: 16 .. 4096
  unsigned refill = 64;  // blocks fetched after a miss: 1 .. 256, at most cap
};

template <SllOptions O = SllOptions{}>
struct Sll {
  static_assert(O.cap >= 16 && O.cap <= 4096, "Sll: cap must be 16 .. 4096");
  static_assert(O.refill >= 1 && O.refill <= 256 && O.refill <= O.cap, "Sll: refill must be 1 .. 256 and at most cap");

  template <class Classes>
  class Type {
   public:
    constexpr Type() noexcept {
      for (auto& list : lists_) list.count = O.cap;  // empty and full: the sentinel's state
    }
    void open() noexcept {
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) lists_[c].count = 0;
    }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      List& list = lists_[c];
      base::Block* block = list.head;
      if (block == nullptr) [[unlikely]] return nullptr;
      list.head = block->next;
      --list.count;
      return block;
    }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      List& list = lists_[c];
      if (list.count >= O.cap) [[unlikely]] return false;
      ++list.count;
      block->next = list.head;
      list.head = block;
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex) noexcept { return O.refill; }
    unsigned flush_want(base::ClassIndex) noexcept { return O.cap / 2; }
    unsigned size(base::ClassIndex c) const noexcept { return lists_[c].head == nullptr ? 0 : lists_[c].count; }

    // Whole runs of blocks, at a cost that does not grow with them but for the walk to the end of what is taken.
    base::Chain take_chain(base::ClassIndex c, unsigned n) noexcept {
      const base::Chain chain = base::cut(lists_[c].head, n);
      lists_[c].count -= chain.count;
      return chain;
    }
    void put_chain(base::ClassIndex c, base::Chain chain) noexcept {
      base::splice(lists_[c].head, chain);
      lists_[c].count += chain.count;
    }
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      return base::each(take_chain(c, n), sink);
    }

   private:
    struct List {
      base::Block* head = nullptr;
      std::uint32_t count = 0;
    };
    List lists_[Classes::kCount + 1];
  };
};

}  // namespace hakmem::front
