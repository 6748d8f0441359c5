// OwnerLookup: from a pointer to the tag of its slab (the hot way) and to its region (the sure way). Any thread looks up;
// regions come and go under the lock of the back that holds them. `Policy` is the tag, `O` its type for regions `Region`.
// Two lookups instead of one `find`: free's fast path needs a tag only, and nothing may be read on the way to it.
#pragma once

#include <concepts>
#include <type_traits>

#include <hakmem/base/types.hpp>
#include <hakmem/concepts/constant_initialisable.hpp>

namespace hakmem::concepts {

template <class O, class Policy, class Region, class Pages>
concept OwnerLookup = requires(O& o, const O& q, const typename O::View& view, Pages& pages, Region* region, void* block,
                               const void* p, std::size_t unit, base::Tag tag) {
  requires std::same_as<decltype(Policy::kRejectsForeign), const bool>;  // true: both lookups are defined for every address
  requires Policy::kBlockPrefix % base::kBlockAlign == 0;      // bytes before every block: they keep its alignment
  requires std::is_nothrow_default_constructible_v<typename O::View>;  // a heap's copy; zero: nothing is ours
  { q.view() } noexcept -> std::same_as<typename O::View>;     // after start()
  { O::tag_of(view, p) } noexcept -> std::same_as<base::Tag>;  // of the slab that holds p; 0: not of a slab, or ask
                                                               // region_of; base::kOutside: not in our memory
  { q.region_of(p) } noexcept -> std::same_as<Region*>;        // nullptr: foreign
  { o.start(pages) } noexcept -> std::same_as<bool>;           // before the first heap; may be called again; false: no memory
  { o.enroll(pages, region) } noexcept -> std::same_as<bool>;  // from now on its addresses are ours; false: no memory
  { o.withdraw(region) } noexcept -> std::same_as<void>;       // and no longer
  { o.tag(region, unit, unit, tag) } noexcept -> std::same_as<void>;  // first unit, units: they belong to a slab of this tag
  { O::stamp(block, tag) } noexcept -> std::same_as<void>;     // a block is about to be given out for the first time
  requires ConstantInitialisable<O>;                           // usable before every constructor and after every destructor
};

}  // namespace hakmem::concepts
