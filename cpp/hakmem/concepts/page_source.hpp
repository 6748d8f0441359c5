// PageSource: where regions come from. Any thread may call it. One contiguous range of addresses, so that owner lookups
// can be total; memory is always zeroed, so there is no flag to ask for it; nullptr or false = refused, nothing changed.
#pragma once

#include <concepts>

#include <hakmem/base/types.hpp>
#include <hakmem/concepts/constant_initialisable.hpp>

namespace hakmem::concepts {

template <class P>
concept PageSource = requires(P& p, const P& q, void* start, std::size_t n) {
  requires base::is_power_of_two(P::kGranule) && P::kGranule >= base::kUnit;  // sizes are multiples of it, so is alignment
  { p.reserve() } noexcept -> std::same_as<bool>;             // the range exists afterwards; false: refused, ask again later
  { p.begin_blocks() } noexcept -> std::same_as<void>;        // metadata is mapped, what is mapped from here on is for blocks
  { p.map(n) } noexcept -> std::same_as<void*>;               // n zeroed bytes at a multiple of the granule
  { p.map(n, n, n) } noexcept -> std::same_as<void*>;         // bytes, align, offset: address + offset is a multiple of align
  { p.extend(start, n, n) } noexcept -> std::same_as<bool>;   // a mapping, its bytes, the bytes wanted: grown where it lies
  { p.unmap(start, n) } noexcept -> std::same_as<void>;       // a whole mapping; its addresses may be handed out again
  { p.purge(start, n) } noexcept -> std::same_as<void>;       // drops contents: whole OS pages inside read as zero afterwards
  { p.fence(start, n) } noexcept -> std::same_as<void>;       // whole OS pages: a write there faults, where the system can say so
  { p.unfence(start, n) } noexcept -> std::same_as<void>;     // and no longer
  { q.base() } noexcept -> std::same_as<std::uintptr_t>;      // where the range begins, 0 before reserve()
  { q.range_bytes() } noexcept -> std::same_as<std::size_t>;  // its length; readable from end to end for ever
  { q.os_maps() } noexcept -> std::same_as<std::size_t>;      // calls that made memory usable
  { q.os_purges() } noexcept -> std::same_as<std::size_t>;    // calls that gave memory back
  { p.mutex().lock() } noexcept;                              // its lock, for fork
  { p.mutex().unlock() } noexcept;
  requires ConstantInitialisable<P>;                          // usable before every constructor and after every destructor
};

}  // namespace hakmem::concepts
