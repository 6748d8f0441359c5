// Unified: ONE bounded cache per class over the back and nothing between; intrusive LIFO, heads and remaining room in
// two flat arrays, so that neither direction computes an address twice. Capacities by block size; refills in batches; a
// class that keeps missing or spilling grows out of a budget of the heap. The owning thread's.
// Idea: glibc's tcache (DJ Delorie, 2017) with tcmalloc's slow start (Ghemawat and Menage, 2007).
#pragma once

#include <array>
#include <bit>
#include <type_traits>

#include <hakmem/base/types.hpp>
#include <hakmem/front/growth.hpp>

namespace hakmem::front {

struct UnifiedOptions {
  // Blocks held per class; entry i serves blocks of up to 8 << i bytes, larger blocks halve it per doubling down to 2.
  // Each 2 .. 4096.
  std::array<unsigned, 8> capacity{128, 128, 96, 64, 48, 32, 24, 16};
  unsigned refill = 32;           // blocks fetched after a miss: 1 .. 64
  // KiB by which all classes of a thread up to 1 KiB may grow together, those above by four times as much: 0 .. 65536; 0: none
  // grows.
  std::size_t growth_kib = 512;
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
  static_assert(O.growth_kib <= 65536, "Unified: growth_kib must be 0 .. 65536");

  template <class Classes, class Links = base::PlainLinks>
  class Type {
   public:
    static constexpr bool kGrows = O.growth_kib != 0;

    constexpr Type() noexcept = default;  // no room anywhere: empty and full, the sentinel's state
    void open() noexcept {
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) {
        base::relaxed_store(rooms_[c], static_cast<std::int32_t>(capacity(c)));
        if constexpr (kGrows) base::relaxed_store(grown_.capacities[c], capacity(c));
      }
      if constexpr (kGrows) grown_.growth.reset();
    }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      base::Block* block = heads_[c];
      if (block == nullptr) [[unlikely]] return nullptr;
      heads_[c] = Links::next(block);
      base::write_in_sight(rooms_[c], rooms_[c] + 1);
      return block;
    }
    // Takes the room first: to count and to compare is one instruction then.
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      if (base::takes_below_zero(rooms_[c])) [[unlikely]] {
        base::write_in_sight(rooms_[c], 0);
        return false;
      }
      Links::link(block, heads_[c]);
      heads_[c] = block;
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept {
      grow(c);
      const auto room = static_cast<unsigned>(rooms_[c]);
      const unsigned want = batch(c);
      return want < room ? want : room;
    }
    unsigned flush_want(base::ClassIndex c) noexcept {
      grow(c);
      const unsigned half = limit(c) / 2;
      const unsigned want = batch(c);
      return half < want ? half : want;
    }
    unsigned size(base::ClassIndex c) const noexcept {
      const auto most = static_cast<std::int32_t>(limit(c));
      const std::int32_t room = base::relaxed_load(rooms_[c]);
      // beyond them: another thread's class, being opened, pushed to or growing just now
      return room < 0 || room > most ? 0 : static_cast<unsigned>(most - room);
    }

    // Whole runs of blocks, at a cost that does not grow with them but for the walk to the end of what is taken.
    base::Chain take_chain(base::ClassIndex c, unsigned n) noexcept {
      const base::Chain chain = base::cut<Links>(heads_[c], n);
      base::write_in_sight(rooms_[c], rooms_[c] + static_cast<std::int32_t>(chain.count));
      return chain;
    }
    void put_chain(base::ClassIndex c, base::Chain chain) noexcept {
      base::splice<Links>(heads_[c], chain);
      base::write_in_sight(rooms_[c], rooms_[c] - static_cast<std::int32_t>(chain.count));
    }
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      return base::each<Links>(take_chain(c, n), sink);
    }

   private:
    static constexpr unsigned capacity(base::ClassIndex c) noexcept {
      const std::size_t bytes = Classes::block_size(c);
      const unsigned doubling = static_cast<unsigned>(std::bit_width((bytes - 1) / 8));
      if (doubling < 8) return O.capacity[doubling];
      const unsigned halved = O.capacity[7] >> (doubling - 7);
      return halved < 2 ? 2 : halved;
    }
    unsigned limit(base::ClassIndex c) const noexcept {
      if constexpr (kGrows) return base::relaxed_load(grown_.capacities[c]);
      return capacity(c);
    }
    unsigned batch(base::ClassIndex c) const noexcept {
      if constexpr (kGrows) return decltype(grown_.growth)::batch(O.refill, grown_.capacities[c], capacity(c));
      return O.refill;
    }
    void grow(base::ClassIndex c) noexcept {
      if constexpr (kGrows) {
        const unsigned now = grown_.capacities[c];
        const unsigned more = grown_.growth.step(c, now, grown_.growth.most(c, capacity(c)));
        base::relaxed_store(grown_.capacities[c], now + more);
        base::write_in_sight(rooms_[c], rooms_[c] + static_cast<std::int32_t>(more));
      }
    }

    struct Fixed {};
    struct Grown {
      std::uint32_t capacities[Classes::kCount + 1]{};
      Growth<Classes, (O.growth_kib << 10)> growth{};
    };
    base::Block* heads_[Classes::kCount + 1]{};
    std::int32_t rooms_[Classes::kCount + 1]{};
    [[no_unique_address]] std::conditional_t<kGrows, Grown, Fixed> grown_{};
  };
};

}  // namespace hakmem::front
