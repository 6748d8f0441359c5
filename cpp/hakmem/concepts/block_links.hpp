// BlockLinks: what a free block holds that says which one follows it. Lists of every kind are templates over it: fronts,
// free lists of slabs, remote queues; the list's own head is a plain pointer, nullptr where the list is empty. Any thread
// that holds the list. Stateless but for the key.
#pragma once

#include <concepts>

#include <hakmem/base/types.hpp>

namespace hakmem::concepts {

template <class L>
concept BlockLinks = requires(const base::Block* block, base::Block* free, base::Block* next, std::uint64_t random) {
  requires L::kBytes >= sizeof(void*) && L::kBytes <= base::kBlockAlign;  // of a free block that it writes, from its start
  requires std::same_as<decltype(L::kKeyed), const bool>;                 // whether it has a key
  { L::next(block) } noexcept -> std::same_as<base::Block*>;              // what was linked; nullptr: the last one
  { L::link(free, next) } noexcept -> std::same_as<void>;                 // nullptr: nothing follows
  requires !L::kKeyed || requires { { L::seed(random) } noexcept -> std::same_as<void>; };  // before the first link is made
};

}  // namespace hakmem::concepts
