// The malloc family as the process resolves it: libc's, or a preloaded library's. Built without -fbuiltin-malloc and with
// -fno-plt, a call is one indirect call, as in any program.
#pragma once

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>

#include <hakmem/concepts/allocator.hpp>

namespace hakmem::bench {

class ProcessAllocator {
 public:
  void* malloc(std::size_t n) const noexcept { return ::malloc(n); }
  void* calloc(std::size_t count, std::size_t n) const noexcept { return ::calloc(count, n); }
  void* realloc(void* p, std::size_t n) const noexcept { return ::realloc(p, n); }
  // By posix_memalign: some libraries' aligned_alloc refuses bytes that are no multiple of the alignment.
  void* aligned_alloc(std::size_t align, std::size_t n) const noexcept {
    void* p = nullptr;
    return ::posix_memalign(&p, align, n) == 0 ? p : nullptr;
  }
  void free(void* p) const noexcept { ::free(p); }
  std::size_t usable_size(const void* p) const noexcept { return ::malloc_usable_size(const_cast<void*>(p)); }

  // Only a hakmem library can say; without one, false.
  bool owns(const void* p) const noexcept { return owns_ && owns_(p); }

 private:
  using Owns = int (*)(const void*);
  Owns owns_ = reinterpret_cast<Owns>(::dlsym(RTLD_DEFAULT, "hakmem_owns"));
};

static_assert(concepts::Allocator<ProcessAllocator>);

}  // namespace hakmem::bench
