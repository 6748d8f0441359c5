// A word for each processor, exchanged by whoever runs on it without a locked operation: a restartable sequence, which the
// kernel begins anew when its thread is taken off the processor before the last instruction. It stands in the area that
// the C library has registered. Idea and interface: Desnoyers et al., 2018, rseq(2).
#pragma once

#include <cstddef>

#include <hakmem/base/attributes.hpp>

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && __has_include(<sys/rseq.h>)
#define HAKMEM_HAS_RSEQ 1
extern "C" {
extern const std::ptrdiff_t __rseq_offset;  // of the area, from the thread pointer
extern const unsigned int __rseq_size;      // 0: the C library has registered none
}
#else
#define HAKMEM_HAS_RSEQ 0
#endif

namespace hakmem::base {

struct alignas(64) ProcessorPlace {
  void* held = nullptr;
};
inline constexpr std::size_t kProcessorPlaces = 512;  // processors beyond have none

// Whether there are places at all: not on another machine than x86-64, under ThreadSanitizer, which would not see what they
// order, without a kernel and a C library that know of them, and under valgrind.
inline bool has_processor_places() noexcept {
#if HAKMEM_HAS_RSEQ
  return __rseq_size != 0;
#else
  return false;
#endif
}

// Puts `item` into the place of the processor that this runs on and returns what was there; `item` where there is no place
// or while `closed` is not 0.
HAKMEM_HOT void* exchange_here([[maybe_unused]] ProcessorPlace* places, [[maybe_unused]] const int& closed, void* item) noexcept {
#if HAKMEM_HAS_RSEQ
  static_assert(sizeof(ProcessorPlace) == 64, "exchange_here: the sequence shifts by 6");
  void* found;
  std::size_t at;
  asm volatile(
      ".pushsection __rseq_cs, \"aw?\"\n"
      ".balign 32\n"
      "3: .long 0, 0\n"
      ".quad 1f, 2f - 1f, 4f\n"
      ".popsection\n"
      "0: leaq 3b(%%rip), %[at]\n"
      "movq %[at], 8(%[area])\n"
      "1: movq %[item], %[found]\n"
      "movl 4(%[area]), %k[at]\n"
      "cmpl %[most], %k[at]\n"
      "jae 2f\n"
      "cmpl $0, %[closed]\n"
      "jne 2f\n"
      "shlq $6, %[at]\n"
      "movq (%[places], %[at]), %[found]\n"
      "movq %[item], (%[places], %[at])\n"
      "2: movq $0, 8(%[area])\n"  // else the kernel would read the descriptor when the library may be gone
      ".pushsection __rseq_failure, \"ax?\"\n"
      ".byte 0x0f, 0xb9, 0x3d\n"
      ".long 0x53053053\n"  // the signature that the C library has registered
      "4: jmp 0b\n"
      ".popsection\n"
      : [found] "=&r"(found), [at] "=&r"(at)
      : [area] "r"(static_cast<std::byte*>(__builtin_thread_pointer()) + __rseq_offset), [item] "r"(item),
        [places] "r"(places), [most] "i"(kProcessorPlaces), [closed] "m"(closed)
      : "memory", "cc");
  return found;
#else
  return item;
#endif
}

}  // namespace hakmem::base
