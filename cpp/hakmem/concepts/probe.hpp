// Probe: what is told of an engine's events. The heap's own thread tells; any thread may read the counts.
#pragma once

#include <concepts>
#include <type_traits>

#include <hakmem/base/types.hpp>
#include <hakmem/concepts/constant_initialisable.hpp>

namespace hakmem::concepts {

template <class P, class Event, class Flow>
concept Probe = requires(P& p, const P& q, Event event, Flow flow, std::uint32_t size_class, std::size_t n) {
  requires std::same_as<decltype(P::kEnabled), const bool>;         // whether anything is recorded at all
  requires std::same_as<decltype(P::kRoute), const bool>;           // whether the order of events is, too
  { p.on(event, size_class) } noexcept -> std::same_as<void>;       // 0: no class
  { p.moved(flow, size_class, n) } noexcept -> std::same_as<void>;  // n blocks between program, cache and slabs
  requires P::kEnabled || std::is_empty_v<P>;                       // disabled means nothing is left of it
  requires !P::kEnabled || requires { { q.count(n) } noexcept -> std::same_as<std::uint64_t>; };  // how often the n-th event
  requires !P::kRoute || requires { q.each([](const auto&) {}); };  // the last steps, oldest first
  requires ConstantInitialisable<P>;                                // the sentinel heap holds one
};

}  // namespace hakmem::concepts
