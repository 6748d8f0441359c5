// Unified: ONE bounded cache per class over the back and nothing between; intrusive LIFO, heads and remaining room in
// two flat arrays, so that neither direction computes an address twice. Capacities by block size; refills in batches;
// optionally adaptive: a class that keeps missing or spilling doubles its room up to max_capacity, or 64 KiB. The owning thread's.
// Idea: glibc's tcache (DJ Delorie, 2017) with tcmalloc's slow start (Ghemawat and Menage, 2007).
#pragma once

#include <array>
#include <bit>
#include <type_traits>

#include <hakmem/base/types.hpp>

namespace hakmem::front {

struct UnifiedOptions {
  // Blocks held per class; entry i serves blocks of up to 8 << i bytes, larger blocks halve it per doubling down to 2.
  // Each 2 .. 4096.
  std::array<unsigned, 8> capacity{128, 128, 96, 64, 48, 32, 24, 16};
  unsigned refill = 32;           // blocks fetched after a miss: 1 .. 64
  bool adaptive = false;          // let a class grow its room
  unsigned max_capacity = 2048;   // bound of that growth: 16 .. 4096
};

template <UnifiedOptions O = UnifiedOptions{}>
struct Unified {
  static_assert([] {
    for (unsigned n : O.capacity) {
      if (n < 2 || n > 4096) return false;
    }
    return true;
  }(), "Unified: every capacity must be 2 .. 4096");
  static_assert(O.refill >= 1 && O.refill <= 64, "Unified: refill must be 1 .. 64");
  static_assert(O.max_capacity >= 16 && O.max_capacity <= 4096, "Unified: max_capacity must be 16 .. 4096");

  template <class Classes, class Links = base::PlainLinks>
  class Type {
   public:
    constexpr Type() noexcept = default;  // no room anywhere: empty and full, the sentinel's state
    void open() noexcept {
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) {
        rooms_[c] = kFull + capacity(c);
        if constexpr (O.adaptive) capacities_.of[c] = capacity(c);
      }
    }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      base::Block* block = heads_[c];
      if (block == nullptr) [[unlikely]] return nullptr;
      heads_[c] = Links::next(block);
      base::write_in_sight(rooms_[c], rooms_[c] + 1u);
      return block;
    }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      if (rooms_[c] <= kFull) [[unlikely]] return false;
      Links::link(block, heads_[c]);
      heads_[c] = block;
      base::write_in_sight(rooms_[c], rooms_[c] - 1u);
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept {
      grow(c);
      const unsigned room = rooms_[c] - kFull;
      return O.refill < room ? O.refill : room;
    }
    unsigned flush_want(base::ClassIndex c) noexcept {
      grow(c);
      const unsigned half = limit(c) / 2;
      return half < O.refill ? half : O.refill;
    }
    unsigned size(base::ClassIndex c) const noexcept {
      const unsigned most = kFull + limit(c);
      const unsigned room = base::relaxed_load(rooms_[c]);
      return room == 0 || room > most ? 0 : most - room;  // above it: another thread's class, growing just now
    }

    // Whole runs of blocks, at a cost that does not grow with them but for the walk to the end of what is taken.
    base::Chain take_chain(base::ClassIndex c, unsigned n) noexcept {
      const base::Chain chain = base::cut<Links>(heads_[c], n);
      base::write_in_sight(rooms_[c], rooms_[c] + chain.count);
      return chain;
    }
    void put_chain(base::ClassIndex c, base::Chain chain) noexcept {
      base::splice<Links>(heads_[c], chain);
      base::write_in_sight(rooms_[c], rooms_[c] - chain.count);
    }
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      return base::each<Links>(take_chain(c, n), sink);
    }

   private:
    // An open class counts its room from 1: a comparison with 1 is one instruction, with 0 a load and a test (g++ 12).
    // 0 is the sentinel's state.
    static constexpr std::uint32_t kFull = 1;

    static constexpr unsigned capacity(base::ClassIndex c) noexcept {
      const std::size_t bytes = Classes::block_size(c);
      const unsigned doubling = static_cast<unsigned>(std::bit_width((bytes - 1) / 8));
      if (doubling < 8) return O.capacity[doubling];
      const unsigned halved = O.capacity[7] >> (doubling - 7);
      return halved < 2 ? 2 : halved;
    }
    unsigned limit(base::ClassIndex c) const noexcept {
      if constexpr (O.adaptive) {
        return base::relaxed_load(capacities_.of[c]);
      } else {
        return capacity(c);
      }
    }
    void grow(base::ClassIndex c) noexcept {
      if constexpr (O.adaptive) {
        const unsigned now = capacities_.of[c];
        if (now == 0 || ++capacities_.pressure[c] < 8) return;
        capacities_.pressure[c] = 0;
        const unsigned most = base::bounded_capacity(O.max_capacity, Classes::block_size(c));
        const unsigned then = now * 2 < most ? now * 2 : most;
        if (then <= now) return;
        base::relaxed_store(capacities_.of[c], then);
        base::write_in_sight(rooms_[c], rooms_[c] + (then - now));
      }
    }

    struct Fixed {};
    struct Adaptive {
      std::uint32_t of[Classes::kCount + 1]{};
      std::uint8_t pressure[Classes::kCount + 1]{};  // misses and spills since the last growth
    };
    base::Block* heads_[Classes::kCount + 1]{};
    std::uint32_t rooms_[Classes::kCount + 1]{};
    [[no_unique_address]] std::conditional_t<O.adaptive, Adaptive, Fixed> capacities_{};
  };
};

}  // namespace hakmem::front
