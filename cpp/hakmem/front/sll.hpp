// SLL: one intrusive LIFO per class, head and remaining room side by side in 16 bytes; `cap` bounds every class alike.
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

  template <class Classes, class Links = base::PlainLinks>
  class Type {
   public:
    constexpr Type() noexcept = default;  // no room anywhere: empty and full, the sentinel's state
    void open() noexcept {
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) base::relaxed_store(lists_[c].room, kFull + capacity(c));
    }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      List& list = lists_[c];
      base::Block* block = list.head;
      if (block == nullptr) [[unlikely]] return nullptr;
      list.head = Links::next(block);
      base::write_in_sight(list.room, list.room + 1u);
      return block;
    }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      List& list = lists_[c];
      if (list.room <= kFull) [[unlikely]] return false;
      base::write_in_sight(list.room, list.room - 1u);
      Links::link(block, list.head);
      list.head = block;
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept {
      const unsigned room = lists_[c].room - kFull;
      return O.refill < room ? O.refill : room;
    }
    unsigned flush_want(base::ClassIndex c) noexcept { return capacity(c) / 2; }
    unsigned size(base::ClassIndex c) const noexcept {
      const unsigned room = base::relaxed_load(lists_[c].room);
      return room == 0 ? 0 : kFull + capacity(c) - room;
    }

    // Whole runs of blocks, at a cost that does not grow with them but for the walk to the end of what is taken.
    base::Chain take_chain(base::ClassIndex c, unsigned n) noexcept {
      const base::Chain chain = base::cut<Links>(lists_[c].head, n);
      base::write_in_sight(lists_[c].room, lists_[c].room + chain.count);
      return chain;
    }
    void put_chain(base::ClassIndex c, base::Chain chain) noexcept {
      base::splice<Links>(lists_[c].head, chain);
      base::write_in_sight(lists_[c].room, lists_[c].room - chain.count);
    }
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      return base::each<Links>(take_chain(c, n), sink);
    }

   private:
    // Room is counted from 1 in an open class: a comparison with 0 takes one instruction more (g++ 12).
    static constexpr std::uint32_t kFull = 1;
    static constexpr unsigned capacity(base::ClassIndex c) noexcept {
      return base::bounded_capacity(O.cap, Classes::block_size(c));
    }

    struct List {
      base::Block* head = nullptr;
      std::uint32_t room = 0;
    };
    List lists_[Classes::kCount + 1];
  };
};

}  // namespace hakmem::front
