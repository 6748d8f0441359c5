// Allocator: the malloc family as an object. The C library satisfies it, so baselines run the very loops that variants run.
// Every operation may be called from any thread.
#pragma once

#include <concepts>
#include <cstddef>

namespace hakmem::concepts {

template <class A>
concept Allocator = requires(const A& a, void* p, const void* q, std::size_t n) {
  { a.malloc(n) } -> std::same_as<void*>;             // at least n bytes; nullptr = no memory
  { a.calloc(n, n) } -> std::same_as<void*>;          // count, size: zeroed; nullptr also when the product overflows
  { a.realloc(p, n) } -> std::same_as<void*>;         // contents kept up to the smaller size; nullptr leaves p as it was
  { a.aligned_alloc(n, n) } -> std::same_as<void*>;   // alignment (a power of two), size
  { a.free(p) } -> std::same_as<void>;                // nullptr is ignored
  { a.usable_size(q) } -> std::same_as<std::size_t>;  // >= the size asked for
  { a.owns(q) } -> std::same_as<bool>;                // whether this allocator served q
};

}  // namespace hakmem::concepts
