// Magazine: an array of pointers per class, used as a stack through the index of its top. A free touches neither the block
// nor its slab; a malloc hands out a block whose line may be cold. A class that keeps missing or spilling grows out of a
// budget of the heap. The owning thread's. Idea: Bonwick and Adams, 2001, "Magazines and vmem".
#pragma once

#include <array>
#include <cstring>
#include <type_traits>

#include <hakmem/base/types.hpp>
#include <hakmem/front/growth.hpp>

namespace hakmem::front {

struct MagazineOptions {
  unsigned slots = 128;           // pointers per class: 8 .. 1024
  unsigned refill = 32;           // blocks fetched after a miss: 1 .. 256, at most slots
  // KiB by which all classes of a thread up to 1 KiB may grow together, those above by four times as much: 0 .. 65536; 0: none
  // grows.
  std::size_t growth_kib = 512;
};

template <MagazineOptions O = MagazineOptions{}>
struct Magazine {
  static_assert(O.slots >= 8 && O.slots <= 1024, "Magazine: slots must be 8 .. 1024");
  static_assert(O.refill >= 1 && O.refill <= 256 && O.refill <= O.slots,
                "Magazine: refill must be 1 .. 256 and at most slots");
  static_assert(O.growth_kib <= 65536, "Magazine: growth_kib must be 0 .. 65536");

  template <class Classes, class = base::PlainLinks>
  class Type {
   public:
    static constexpr bool kGrows = O.growth_kib != 0;
    static constexpr bool kRefusesUnwritten = true;  // push to a front that is not open writes nothing

    // All zeroes: every top is slot 0, which stays empty, and so is every limit: empty and full, the sentinel's state, which takes
    // no room in a file. Half a MiB of slots stays untouched until blocks come: heaps begin as zeroes.
    constexpr Type() noexcept {
      if (std::is_constant_evaluated()) {
        for (auto& slot : slots_) slot = nullptr;
      }
    }
    void open() noexcept {
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) {
        base::relaxed_store(tops_[c], kBottoms[c]);
        limits_[c] = kBottoms[c] + initial(c);
      }
      if constexpr (kGrows) growth_.reset();
    }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      base::Block* block = slots_[tops_[c]];
      if (block == nullptr) [[unlikely]] return nullptr;
      base::write_in_sight(tops_[c], tops_[c] - 1);
      return block;
    }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      const std::size_t top = tops_[c];
      if (top >= limits_[c]) [[unlikely]] return false;
      slots_[top + 1] = block;
      base::write_in_sight(tops_[c], top + 1);
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept {
      grow(c);
      const auto room = static_cast<unsigned>(limits_[c] - tops_[c]);
      const unsigned want = batch(c);
      return want < room ? want : room;
    }
    unsigned flush_want(base::ClassIndex c) noexcept {
      grow(c);
      const unsigned held = capacity(c);
      return held < 8 ? held / 2 : held / 4;
    }
    unsigned size(base::ClassIndex c) const noexcept {
      const std::size_t top = base::relaxed_load(tops_[c]), bottom = bottom_at(c, top);
      return top > bottom ? static_cast<unsigned>(top - bottom) : 0;
    }

    // The youngest blocks go: their lines are warm still, and a slab writes its list into them.
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      const unsigned have = size(c);
      if (n > have) n = have;
      const std::size_t top = tops_[c];
      for (std::size_t slot = top - n; slot != top;) sink(slots_[++slot]);
      base::write_in_sight(tops_[c], top - n);
      return n;
    }

   private:
    using Budget = Growth<Classes, (O.growth_kib << 10)>;

    static constexpr unsigned initial(base::ClassIndex c) noexcept {
      return base::bounded_capacity(O.slots, Classes::block_size(c));
    }
    static constexpr unsigned most(base::ClassIndex c) noexcept {
      return kGrows ? Budget::most(c, initial(c)) : initial(c);
    }
    // The slot below each class's, which stays empty: side by side, so that a few pages hold what most threads need, and apart for
    // a class that has grown.
    template <class Capacity>
    static constexpr auto places(std::size_t first, Capacity&& capacity) noexcept {
      std::array<std::size_t, Classes::kCount + 2> at{};
      at[1] = first;
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) at[c + 1] = at[c] + capacity(c) + 1;
      return at;
    }
    static constexpr auto kBottoms = places(0, [](base::ClassIndex c) { return initial(c); });
    static constexpr auto kGrownBottoms = places(kBottoms[Classes::kCount + 1], [](base::ClassIndex c) { return most(c); });
    // By one of the class's slots.
    static constexpr std::size_t bottom_at(base::ClassIndex c, std::size_t slot) noexcept {
      return kGrows && slot >= kGrownBottoms[1] ? kGrownBottoms[c] : kBottoms[c];
    }
    unsigned capacity(base::ClassIndex c) const noexcept {
      return static_cast<unsigned>(limits_[c] - bottom_at(c, limits_[c]));
    }

    unsigned batch(base::ClassIndex c) const noexcept {
      if constexpr (kGrows) return Budget::batch(O.refill, capacity(c), initial(c));
      return O.refill;
    }
    void grow(base::ClassIndex c) noexcept {
      if constexpr (kGrows) {
        const unsigned now = capacity(c), more = growth_.step(c, now, most(c));
        if (more == 0) return;
        const unsigned held = size(c);
        const std::size_t bottom = kGrownBottoms[c];
        if (limits_[c] < bottom) {
          std::memcpy(slots_ + bottom + 1, slots_ + kBottoms[c] + 1, held * sizeof *slots_);
          base::relaxed_store(tops_[c], bottom + held);
        }
        limits_[c] = bottom + now + more;
      }
    }

    struct NoGrowth {};
    std::size_t tops_[Classes::kCount + 1]{};  // each class's youngest block, or its bottom
    std::size_t limits_[Classes::kCount + 1]{};
    [[no_unique_address]] std::conditional_t<kGrows, Budget, NoGrowth> growth_{};
    base::Block* slots_[(kGrows ? kGrownBottoms : kBottoms)[Classes::kCount + 1]];
  };
};

}  // namespace hakmem::front
