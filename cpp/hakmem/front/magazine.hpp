// Magazine: an array of pointers per class, used as a stack through a pointer to its top. A free touches neither the block
// nor its slab; a malloc hands out a block whose line may be cold. A class that keeps missing or spilling grows out of the
// heap's budget. The owning thread's. Idea: Bonwick and Adams, 2001, "Magazines and vmem".
#pragma once

#include <array>
#include <type_traits>

#include <hakmem/base/types.hpp>
#include <hakmem/front/growth.hpp>

namespace hakmem::front {

struct MagazineOptions {
  unsigned slots = 128;           // pointers per class: 8 .. 1024
  unsigned refill = 32;           // blocks fetched after a miss: 1 .. 256, at most slots
  std::size_t growth_kib = 512;   // KiB by which all classes of a thread may grow together: 0 .. 65536; 0: none grows
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

    // Every top lies above an empty slot and every limit is null: empty and full, the sentinel's state. Half a MiB of slots
    // stays untouched until blocks come.
    constexpr Type() noexcept {
      for (auto& top : tops_) top = &nothing_[1];
      if (std::is_constant_evaluated()) {
        for (auto& slot : slots_) slot = nullptr;
      }
    }
    void open() noexcept {
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) {
        base::relaxed_store(tops_[c], bottom(c));
        limits_[c] = bottom(c) + initial(c);
        bottom(c)[-1] = nullptr;
      }
      if constexpr (kGrows) growth_.reset();
    }

    HAKMEM_HOT base::Block* pop(base::ClassIndex c) noexcept {
      base::Block* block = tops_[c][-1];
      if (block == nullptr) [[unlikely]] return nullptr;
      base::write_in_sight(tops_[c], tops_[c] - 1);
      return block;
    }
    HAKMEM_HOT bool push(base::ClassIndex c, base::Block* block) noexcept {
      base::Block** top = tops_[c];
      if (top >= limits_[c]) [[unlikely]] return false;
      *top = block;
      base::write_in_sight(tops_[c], top + 1);
      return true;
    }

    static constexpr bool covers(base::ClassIndex) noexcept { return true; }
    unsigned refill_want(base::ClassIndex c) noexcept {
      grow(c);
      const auto room = static_cast<unsigned>(limits_[c] - tops_[c]);
      return O.refill < room ? O.refill : room;
    }
    unsigned flush_want(base::ClassIndex c) noexcept {
      grow(c);
      const auto held = static_cast<unsigned>(limits_[c] - bottom(c));
      return held < 8 ? held / 2 : held / 4;  // a share: what stays is moved down
    }
    unsigned size(base::ClassIndex c) const noexcept {
      base::Block* const* top = base::relaxed_load(tops_[c]);
      return top == &nothing_[1] ? 0 : static_cast<unsigned>(top - bottom(c));
    }

    // The oldest blocks go first: the youngest are the warm ones.
    template <class Sink>
    unsigned drain(base::ClassIndex c, unsigned n, Sink&& sink) noexcept {
      const unsigned have = size(c);
      if (n > have) n = have;
      base::Block** slots = bottom(c);
      for (unsigned i = 0; i < n; ++i) sink(slots[i]);
      for (unsigned i = n; i < have; ++i) slots[i - n] = slots[i];
      base::write_in_sight(tops_[c], tops_[c] - n);
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
    // Where each class's slots begin, behind one that stays empty.
    static constexpr auto kBottoms = [] {
      std::array<std::uint32_t, Classes::kCount + 2> at{};
      at[1] = 1;
      for (base::ClassIndex c = 1; c <= Classes::kCount; ++c) at[c + 1] = at[c] + most(c) + 1;
      return at;
    }();
    base::Block** bottom(base::ClassIndex c) noexcept { return slots_ + kBottoms[c]; }
    base::Block* const* bottom(base::ClassIndex c) const noexcept { return slots_ + kBottoms[c]; }

    void grow(base::ClassIndex c) noexcept {
      if constexpr (kGrows) limits_[c] += growth_.step(c, static_cast<unsigned>(limits_[c] - bottom(c)), most(c));
    }

    struct NoGrowth {};
    static inline constinit base::Block* nothing_[1]{};
    base::Block** tops_[Classes::kCount + 1];
    base::Block** limits_[Classes::kCount + 1]{};
    [[no_unique_address]] std::conditional_t<kGrows, Budget, NoGrowth> growth_{};
    base::Block* slots_[kBottoms[Classes::kCount + 1]];
  };
};

}  // namespace hakmem::front
