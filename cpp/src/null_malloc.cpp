// The null allocator's library: every request gets the same buffer, nothing is ever kept.
#include <hakmem/bench/null_allocator.hpp>

namespace {
alignas(4096) constinit std::byte buffer[4096]{};
}

extern "C" {
[[gnu::visibility("default")]] void* hakmem_null_malloc(std::size_t) noexcept { return buffer; }
[[gnu::visibility("default")]] void* hakmem_null_calloc(std::size_t, std::size_t) noexcept { return buffer; }
[[gnu::visibility("default")]] void* hakmem_null_realloc(void*, std::size_t) noexcept { return buffer; }
[[gnu::visibility("default")]] void* hakmem_null_aligned_alloc(std::size_t, std::size_t) noexcept { return buffer; }
[[gnu::visibility("default")]] void hakmem_null_free(void*) noexcept {}
[[gnu::visibility("default")]] std::size_t hakmem_null_usable_size(const void*) noexcept { return sizeof buffer; }
[[gnu::visibility("default")]] int hakmem_null_owns(const void* p) noexcept { return p == buffer; }
}
