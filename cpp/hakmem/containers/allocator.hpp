// Allocator<T, Variant>: std::allocator's interface over one engine, for the containers of the standard library and those
// that follow it. It holds nothing: all objects of one Variant are equal and may free each other's blocks, in any thread.
// Where the number of objects is a constant, as a node container's 1 is, the size class is one too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <type_traits>

#include <hakmem/containers/blocks.hpp>

namespace hakmem::containers {

template <class T, class Variant>
class Allocator {
 public:
  using value_type = T;
  using is_always_equal = std::true_type;
  using propagate_on_container_move_assignment = std::true_type;

  constexpr Allocator() noexcept = default;
  template <class U>
  constexpr Allocator(const Allocator<U, Variant>&) noexcept {}

  // Room for n objects. Throws std::bad_array_new_length when their size is no size_t, std::bad_alloc when memory is out.
  [[nodiscard]] HAKMEM_HOT T* allocate(std::size_t n) {
    if (n > SIZE_MAX / sizeof(T)) [[unlikely]] throw std::bad_array_new_length();
    return static_cast<T*>(Blocks<Variant>::take(n * sizeof(T), alignof(T)));
  }

  // What allocate(n) gave, with the same n.
  HAKMEM_HOT void deallocate(T* p, std::size_t n) noexcept { Blocks<Variant>::give(p, n * sizeof(T), alignof(T)); }

  template <class U>
  friend constexpr bool operator==(const Allocator&, const Allocator<U, Variant>&) noexcept {
    return true;
  }
};

}  // namespace hakmem::containers
