// Function attributes of the hot and cold paths: the only macros of the core.
// HAKMEM_HOT   part of a fast path: always inlined into its caller.
// HAKMEM_WARM  a fast path behind the fastest: never inlined, so that the fastest saves no registers for it.
// HAKMEM_COLD  reached by one jump from a fast path: never inlined, laid out away from it.
// HAKMEM_EXPORT          a symbol that the malloc library shows to the program.
// HAKMEM_SAME_AS(name)   another name of the function whose symbol is `name`, in the same file.
#pragma once

#define HAKMEM_HOT [[gnu::always_inline]] inline
#define HAKMEM_WARM [[gnu::noinline]]
#define HAKMEM_COLD [[gnu::noinline, gnu::cold]]
#define HAKMEM_EXPORT [[gnu::visibility("default")]]
#define HAKMEM_SAME_AS(name) HAKMEM_EXPORT [[gnu::alias(name)]]
