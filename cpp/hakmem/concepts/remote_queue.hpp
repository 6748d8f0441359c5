// RemoteQueue: blocks on their way to the heap that owns their slab. Only policies in which heaps own slabs have one.
#pragma once

#include <concepts>

#include <hakmem/base/types.hpp>
#include <hakmem/concepts/constant_initialisable.hpp>
#include <hakmem/concepts/front_policy.hpp>

namespace hakmem::concepts {

template <class Q>
concept RemoteQueue = requires(Q& q, const Q& r, base::Block* first, base::Block* last, std::size_t most, AnySink sink) {
  { q.push(first, last) } noexcept -> std::same_as<void>;         // any thread: a chain; never refused
  { q.drain(most, sink) } noexcept -> std::same_as<std::size_t>;  // the owner: at most so many to the sink; how many
  { r.looks_empty() } noexcept -> std::same_as<bool>;             // the owner: false when something surely waits; cheap
  requires ConstantInitialisable<Q>;                              // the sentinel heap holds one
};

}  // namespace hakmem::concepts
