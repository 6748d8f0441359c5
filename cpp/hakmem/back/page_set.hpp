// A set of pages by number, held as bits; grows by runs of pages. Not thread-safe: the caller's lock guards it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

namespace hakmem::back {

template <std::size_t kPages>
class PageSet {
  static constexpr std::size_t kBits = 64;

 public:
  constexpr PageSet() noexcept = default;

  // first + count <= kPages, here and below.
  void add(std::size_t first, std::size_t count) noexcept {
    while (count != 0) {
      const std::size_t bit = first % kBits, here = count < kBits - bit ? count : kBits - bit;
      words_[first / kBits] |= ~std::uint64_t{0} >> (kBits - here) << bit;
      first += here;
      count -= here;
    }
  }
  void remove(const PageSet& other) noexcept {
    for (std::size_t w = 0; w < kWords; ++w) words_[w] &= ~other.words_[w];
  }

  bool empty() const noexcept {
    for (const std::uint64_t word : words_) {
      if (word != 0) return false;
    }
    return true;
  }

  // Calls visit(first, count) for every longest run of those pages that are in the set, in ascending order.
  template <class Visit>
  void each_run(std::size_t first, std::size_t count, Visit visit) const noexcept {
    const std::size_t end = first + count;
    for (std::size_t at = next(first, end, 0); at < end;) {
      const std::size_t after = next(at, end, ~std::uint64_t{0});
      visit(at, after - at);
      at = next(after, end, 0);
    }
  }

 private:
  static constexpr std::size_t kWords = (kPages + kBits - 1) / kBits;

  // The first page from `from` on, before `end`, whose bit differs from those of `flip`; `end`: none does.
  std::size_t next(std::size_t from, std::size_t end, std::uint64_t flip) const noexcept {
    for (std::size_t w = from / kBits; from < end; from = ++w * kBits) {
      const std::uint64_t bits = (words_[w] ^ flip) >> from % kBits;
      if (bits == 0) continue;
      from += static_cast<std::size_t>(std::countr_zero(bits));
      return from < end ? from : end;
    }
    return end;
  }

  std::uint64_t words_[kWords]{};
};

}  // namespace hakmem::back
