// FrontPolicy: a thread's cache of free blocks, bound to a size-class map. The owning thread's alone; bounded, unless it
// says kUnbounded. flush_want() and open() complete refill_want(): how much a full class spills is the front's own
// choice, and a front is born shut, empty and full at once, which is what a thread without a heap needs to find. One that
// says kRefusesUnwritten writes nothing when it refuses while it is shut. It may rely on lying in memory that began as
// zeroes, as heaps do: what it does not write costs no page.
#pragma once

#include <concepts>
#include <type_traits>

#include <hakmem/base/types.hpp>
#include <hakmem/concepts/constant_initialisable.hpp>

namespace hakmem::concepts {

// The most blocks that a front may ask for after a miss.
inline constexpr unsigned kMostRefilled = 256;

// A callable that takes a block.
struct AnySink {
  void operator()(base::Block*) noexcept {}
};

template <class F>
concept FrontPolicy = requires(F& f, const F& g, base::ClassIndex c, base::Block* block, unsigned n, AnySink sink) {
  { F::covers(c) } noexcept -> std::same_as<bool>;             // whether class c is its business: what is not always misses
  typename std::bool_constant<F::covers(1)>;                   // and that is known at compile time
  { f.open() } noexcept -> std::same_as<void>;                 // once, before the owner uses it; pop misses and push refuses till then
  { f.pop(c) } noexcept -> std::same_as<base::Block*>;         // a block of class c; nullptr: a miss
  { f.push(c, block) } noexcept -> std::same_as<bool>;         // false: full, or c == 0; the block is untouched
  { f.refill_want(c) } noexcept -> std::same_as<unsigned>;     // after a miss: so many pushes succeed; at most kMostRefilled
  { f.flush_want(c) } noexcept -> std::same_as<unsigned>;      // after a refusal: drain so many and one push succeeds; 0: never
  { g.size(c) } noexcept -> std::same_as<unsigned>;            // blocks of class c held; any thread, unless kUnbounded
  { f.drain(c, n, sink) } noexcept -> std::same_as<unsigned>;  // n blocks, or all there are, to the sink; how many
  requires ConstantInitialisable<F>;                           // the sentinel heap holds one
};

}  // namespace hakmem::concepts
