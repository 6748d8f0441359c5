// SizeClassMap: which block sizes exist, and which of them serves a request. Classes are 1 .. kCount; 0 is no class, and
// class_of(0) may be 0. Any thread; stateless. What a concept cannot ask (block_size(class_of(n)) >= n for every n) the
// tests ask of every n.
#pragma once

#include <concepts>

#include <hakmem/base/types.hpp>

namespace hakmem::concepts {

// Every block size is larger than the one before it and a multiple of kAlign; the last one is kLargest.
template <class C>
constexpr bool has_ascending_sizes() noexcept {
  std::size_t before = 0;
  for (base::ClassIndex c = 1; c <= C::kCount; ++c) {
    if (C::block_size(c) <= before || C::block_size(c) % C::kAlign != 0) return false;
    before = C::block_size(c);
  }
  return before == C::kLargest;
}

template <class C>
concept SizeClassMap = requires(std::size_t n, base::ClassIndex c) {
  requires C::kCount >= 1 && C::kCount <= base::kMaxClasses;      // there is a class, and its number fits a tag
  requires base::is_power_of_two(C::kAlign) && C::kAlign >= 8;    // what every block is aligned to: a link must fit
  { C::class_of(n) } noexcept -> std::same_as<base::ClassIndex>;  // the smallest class for n in 0 .. kLargest
  { C::block_size(c) } noexcept -> std::same_as<std::size_t>;     // bytes of a block of class c in 1 .. kCount
  requires has_ascending_sizes<C>();                              // known at compile time, ascending, ending in kLargest
};

}  // namespace hakmem::concepts
