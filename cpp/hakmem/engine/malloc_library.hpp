// What a malloc library shows beside the malloc family: who it is, and what is its own. Any thread. Linked with
// hakmem::malloc_<variant> or hakmem::malloc_<variant>_static, or found in a process that runs under LD_PRELOAD.
#pragma once

#include <cstddef>

namespace hakmem {

extern "C" {

// "<variant> <digest>".
const char* hakmem_id() noexcept;
// The policies, as JSON.
const char* hakmem_policy_set() noexcept;
// 1 when p lies in memory of this library, 0 for every other address.
int hakmem_owns(const void* p) noexcept;
// Writes JSON text and returns its length; when that exceeds `capacity` the text was cut: call again.
std::size_t hakmem_statistics(char* text, std::size_t capacity) noexcept;
// The calling thread's caches go back to slabs, empty slabs and SuperSlabs to the operating system.
void hakmem_collect() noexcept;

}  // extern "C"

}  // namespace hakmem
