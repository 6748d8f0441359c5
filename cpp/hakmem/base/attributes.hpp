// Function attributes of the hot and cold paths: the only macros of the core.
// HAKMEM_HOT   part of a fast path: always inlined into its caller.
// HAKMEM_COLD  reached by one jump from a fast path: never inlined, laid out away from it.
#pragma once

#define HAKMEM_HOT [[gnu::always_inline]] inline
#define HAKMEM_COLD [[gnu::noinline, gnu::cold]]
