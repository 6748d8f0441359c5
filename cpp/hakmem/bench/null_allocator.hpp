// Serves every request with one static buffer, from functions in a library of its own: the cost of the calls and of the
// loop alone. Any thread; blocks overlap, so nothing but a block's first word may be used.
#pragma once

#include <cstddef>

#include <hakmem/concepts/allocator.hpp>

extern "C" {
void* hakmem_null_malloc(std::size_t n) noexcept;
void* hakmem_null_calloc(std::size_t count, std::size_t n) noexcept;
void* hakmem_null_realloc(void* p, std::size_t n) noexcept;
void* hakmem_null_aligned_alloc(std::size_t align, std::size_t n) noexcept;
void hakmem_null_free(void* p) noexcept;
std::size_t hakmem_null_usable_size(const void* p) noexcept;
int hakmem_null_owns(const void* p) noexcept;
}

namespace hakmem::bench {

struct NullAllocator {
  void* malloc(std::size_t n) const noexcept { return hakmem_null_malloc(n); }
  void* calloc(std::size_t count, std::size_t n) const noexcept { return hakmem_null_calloc(count, n); }
  void* realloc(void* p, std::size_t n) const noexcept { return hakmem_null_realloc(p, n); }
  void* aligned_alloc(std::size_t align, std::size_t n) const noexcept { return hakmem_null_aligned_alloc(align, n); }
  void free(void* p) const noexcept { hakmem_null_free(p); }
  std::size_t usable_size(const void* p) const noexcept { return hakmem_null_usable_size(p); }
  bool owns(const void* p) const noexcept { return hakmem_null_owns(p) != 0; }
};

static_assert(concepts::Allocator<NullAllocator>);

}  // namespace hakmem::bench
