// The slabs of one class that have free blocks, oldest first, so that frees gather in a slab before it is used again.
// One thread at a time: the heap that owns the bin, or the holder of the class's lock.
// A slab leaves the list when its last block is taken and comes back at the first free; the count of blocks out lives
// in the slab and moves with the blocks, so a batch can not be forgotten.
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::back {

template <class Parts>
class SlabBin {
  using SuperSlab = typename Parts::SuperSlab;
  using Slab = typename SuperSlab::SlabType;
  using Links = typename Parts::Links;

 public:
  constexpr SlabBin() noexcept = default;

  // At most `want` blocks of class c to sink; how many came. 0: out of memory.
  template <class Sink>
  unsigned refill(Parts& parts, base::ClassIndex c, void* heap, base::Tag tag, unsigned want, Sink&& sink) noexcept {
    unsigned n = 0;
    while (n < want) {
      Slab* slab = head_;
      if (slab == nullptr) {
        if (n != 0) break;  // what there is will do; the next refill may find blocks that came back
        slab = parts.pool.take(parts, c, heap, tag);
        if (slab == nullptr) break;
        list(slab);
      }
      const unsigned got = take_from(parts, slab, tag, want - n, sink);
      n += got;
      if (n < want) unlist_full(slab);
    }
    return n;
  }

  // A block of a slab of this bin. Empty slabs go back to the pool, but for the last one listed.
  void give(Parts& parts, Slab* slab, base::Block* block) noexcept {
    if (slab->give(block)) [[unlikely]] woken(parts, slab);
  }

  // A chain of blocks of this bin's slabs; neighbours in the chain that share a slab go back together.
  void give_chain(Parts& parts, base::Chain chain) noexcept {
    while (chain.count != 0) {
      Slab* slab = &SuperSlab::around(chain.first)->slab_of(chain.first);
      base::Chain run{chain.first, chain.first, 1};
      base::Block* next = Links::next(run.first);
      while (run.count < chain.count && base::address(next) >> base::kUnitShift == base::address(run.first) >> base::kUnitShift) {
        run.last = next;
        next = Links::next(next);
        ++run.count;
      }
      chain.first = next;
      chain.count -= run.count;
      slab->store.give_chain(run);
      count_back(parts, slab, run.count);
    }
  }

  // Takes back blocks of this bin's slabs one after the other; neighbours that share a slab are counted together, when
  // another slab's comes or at the end.
  class Returns {
   public:
    Returns(Parts& parts, SlabBin& bin) noexcept : parts_(parts), bin_(bin) {}
    Returns(const Returns&) = delete;
    Returns& operator=(const Returns&) = delete;
    ~Returns() { bin_.count_back(parts_, slab_, count_); }

    void operator()(base::Block* block) noexcept {
      const std::uintptr_t unit = base::address(block) >> base::kUnitShift;
      if (unit != unit_) {
        bin_.count_back(parts_, slab_, count_);
        unit_ = unit;
        slab_ = &SuperSlab::around(block)->slab_of(block);
        count_ = 0;
      }
      slab_->store.give(block, slab_->geometry);
      ++count_;
    }

   private:
    Parts& parts_;
    SlabBin& bin_;
    Slab* slab_ = nullptr;
    std::uintptr_t unit_ = 0;
    std::uint32_t count_ = 0;
  };

  // What a slab's `used` reaching its `wake` asks for.
  HAKMEM_COLD void woken(Parts& parts, Slab* slab) noexcept {
    if (!slab->listed) list(slab);
    if (slab->used == 0 && (head_ != slab || tail_ != slab)) {
      unlist(slab);
      parts.pool.give(parts, slab);
    }
  }

  // The oldest slab with free blocks leaves the list for the caller alone; nullptr: none.
  Slab* take_slab() noexcept {
    Slab* slab = head_;
    if (slab != nullptr) {
      unlist(slab);
      slab->wake = Slab::kNever;
    }
    return slab;
  }
  // Ends that: the slab is listed, full or empty as it is.
  void return_slab(Parts& parts, Slab* slab) noexcept {
    if (slab->used == slab->capacity) {
      slab->wake = slab->capacity - 1;
    } else {
      woken(parts, slab);
    }
  }

  // Every empty slab goes back to the pool.
  void collect(Parts& parts) noexcept {
    for (Slab* slab = head_; slab != nullptr;) {
      Slab* next = slab->next;
      if (slab->used == 0) {
        unlist(slab);
        parts.pool.give(parts, slab);
      }
      slab = next;
    }
  }

  // Up to `want` blocks of one slab to sink: returned ones first, then fresh ones; as chains where store and sink know
  // them.
  template <class Sink>
  static unsigned take_from(Parts& parts, Slab* slab, base::Tag tag, unsigned want, Sink&& sink) noexcept {
    unsigned n = 0;
    if constexpr (Parts::kChains && requires(base::Chain chain) { sink.chain(chain); }) {
      const base::Chain returned = slab->store.take_chain(want);
      if (returned.count != 0) sink.chain(returned);
      const base::Chain fresh = carve(parts, slab, tag, want - returned.count);
      if (fresh.count != 0) sink.chain(fresh);
      n = returned.count + fresh.count;
    } else {
      for (; n < want; ++n) {
        base::Block* block = slab->store.take(slab->geometry);
        if (block == nullptr) break;
        sink(block);
      }
      for (; n < want && !slab->exhausted_fresh(); ++n) {
        base::Block* block = slab->take_fresh();
        parts.owner.stamp(block, tag);
        sink(block);
      }
    }
    base::relaxed_store(slab->used, slab->used + n);
    return n;
  }

  // Up to `want` blocks that were never handed out, linked in the slab's order.
  static base::Chain carve(Parts& parts, Slab* slab, base::Tag tag, unsigned want) noexcept {
    const std::uint32_t left = slab->capacity - slab->fresh;
    base::Chain chain;
    chain.count = want < left ? want : left;
    if (chain.count == 0) return chain;
    if constexpr (decltype(slab->order)::kRandom) {
      chain.first = chain.last = slab->take_fresh();
      parts.owner.stamp(chain.first, tag);
      for (unsigned i = 1; i < chain.count; ++i) {
        base::Block* block = slab->take_fresh();
        parts.owner.stamp(block, tag);
        Links::link(chain.last, block);
        chain.last = block;
      }
      return chain;
    }
    chain.first = slab->geometry.block(slab->fresh);
    slab->fresh += chain.count;
    const std::uint32_t stride = slab->geometry.stride;
    auto* block = reinterpret_cast<std::byte*>(chain.first);
    for (unsigned i = 1; i < chain.count; ++i, block += stride) {
      parts.owner.stamp(block, tag);
      Links::link(reinterpret_cast<base::Block*>(block), reinterpret_cast<base::Block*>(block + stride));
    }
    parts.owner.stamp(block, tag);
    chain.last = reinterpret_cast<base::Block*>(block);
    return chain;
  }

 private:
  // n blocks have gone back to the slab's store.
  void count_back(Parts& parts, Slab* slab, std::uint32_t n) noexcept {
    if (n == 0) return;
    const std::uint32_t before = slab->used;
    base::relaxed_store(slab->used, before - n);
    if (before > slab->wake && slab->wake >= before - n) [[unlikely]] woken(parts, slab);
  }
  void list(Slab* slab) noexcept {
    slab->listed = true;
    slab->wake = 0;
    slab->next = nullptr;
    slab->prev = tail_;
    (tail_ != nullptr ? tail_->next : head_) = slab;
    tail_ = slab;
  }
  void unlist(Slab* slab) noexcept {
    slab->listed = false;
    (slab->prev != nullptr ? slab->prev->next : head_) = slab->next;
    (slab->next != nullptr ? slab->next->prev : tail_) = slab->prev;
  }
  void unlist_full(Slab* slab) noexcept {
    unlist(slab);
    slab->wake = slab->capacity - 1;
  }

  Slab* head_ = nullptr;
  Slab* tail_ = nullptr;
};

}  // namespace hakmem::back
