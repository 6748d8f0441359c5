// Thread slot of heaps that belong to processors: a call borrows the heap of the processor that it runs on, has it to
// itself, wherever the thread may be moved to, and puts it back where it then runs. What lies idle in caches is bounded
// by the number of processors, however many threads there are. A call that finds no heap (another thread was taken off
// this processor within one) gets one from the engine; a heap that finds its place taken goes back there.
// Places are exchanged by restartable sequences in the area that the C library has registered: no locked operation. Where
// there is none (another machine than x86-64, a kernel without them, valgrind), every call goes to the engine.
// Ideas: Dice and Garthwaite, 2002, "Mostly lock-free malloc" (processor-local heaps, restarted when preempted);
// Desnoyers et al., 2018, rseq(2) and membarrier(2).
#pragma once

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include <hakmem/base/attributes.hpp>
#include <hakmem/base/types.hpp>

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && __has_include(<sys/rseq.h>)
#include <sys/rseq.h>
#define HAKMEM_HAS_RSEQ 1
#else
#define HAKMEM_HAS_RSEQ 0
#endif

namespace hakmem::thread {

struct PerCpu {
  static constexpr bool kLends = true;  // a thread has a heap within a call alone

  template <class Heap>
  class Type {
   public:
    HAKMEM_HOT static Heap* current() noexcept { return heap_; }
    static void set(Heap* heap) noexcept { heap_ = heap; }

    // At the beginning of a call. Returns what the thread had before: the sentinel, but in a call within a call.
    HAKMEM_HOT static Heap* borrow() noexcept {
      Heap* outer = heap_;
      Heap* heap = exchange(nullptr);
      heap_ = heap != nullptr ? heap : &Heap::sentinel;
      return outer;
    }

    // At its end, with what borrow() returned. Returns a heap that has no place now, which the engine keeps; or nullptr.
    HAKMEM_HOT static Heap* give_back(Heap* outer) noexcept {
      Heap* heap = heap_;
      heap_ = outer;
      return heap == &Heap::sentinel ? nullptr : exchange(heap);
    }

    // Takes the heaps of all processors but those that calls have, each to sink. Not by two threads at a time.
    template <class Sink>
    static void recall(Sink&& sink) noexcept {
      const int saved = errno;
      __atomic_store_n(&closed_, 1, __ATOMIC_SEQ_CST);
      // afterwards every sequence that had not seen it has ended or begins anew
      const bool barred = ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0 &&
                          ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0;
      for (Place& place : places_) {
        Heap* heap = barred ? base::relaxed_load(place.heap) : nullptr;
        if (heap == nullptr) continue;
        base::relaxed_store(place.heap, static_cast<Heap*>(nullptr));
        sink(heap);
      }
      __atomic_store_n(&closed_, 0, __ATOMIC_SEQ_CST);
      errno = saved;
    }

   private:
    static constexpr std::size_t kPlaces = 512;  // processors beyond have none
    struct alignas(64) Place {
      Heap* heap = nullptr;
    };

    // Puts `heap` into the place of the processor that this runs on; returns what was there, or `heap` where there is no
    // place. A thread that is taken off its processor before the last instruction begins anew.
    HAKMEM_HOT static Heap* exchange(Heap* heap) noexcept {
#if HAKMEM_HAS_RSEQ
      static_assert(sizeof(Place) == 64, "PerCpu: the sequence shifts by 6");
      Heap* found;
      std::size_t at;
      asm volatile(
          ".pushsection __rseq_cs, \"aw?\"\n"
          ".balign 32\n"
          "3: .long 0, 0\n"
          ".quad 1f, 2f - 1f, 4f\n"
          ".popsection\n"
          "0: leaq 3b(%%rip), %[at]\n"
          "movq %[at], 8(%[area])\n"
          "1: movq %[heap], %[found]\n"
          "movl 4(%[area]), %k[at]\n"
          "cmpl %[most], %k[at]\n"
          "jae 2f\n"
          "cmpl $0, %[closed]\n"
          "jne 2f\n"
          "shlq $6, %[at]\n"
          "movq (%[places], %[at]), %[found]\n"
          "movq %[heap], (%[places], %[at])\n"
          "2: movq $0, 8(%[area])\n"  // else the kernel would read the descriptor when the library may be gone
          ".pushsection __rseq_failure, \"ax?\"\n"
          ".byte 0x0f, 0xb9, 0x3d\n"
          ".long %c[signature]\n"
          "4: jmp 0b\n"
          ".popsection\n"
          : [found] "=&r"(found), [at] "=&r"(at)
          : [area] "r"(static_cast<std::byte*>(__builtin_thread_pointer()) + __rseq_offset), [heap] "r"(heap),
            [places] "r"(places_), [most] "i"(kPlaces), [closed] "m"(closed_), [signature] "i"(RSEQ_SIG)
          : "memory", "cc");
      return found;
#else
      return heap;
#endif
    }

    static inline constinit Place places_[kPlaces]{};
    static inline constinit int closed_ = 0;  // whether places are being recalled
    [[gnu::tls_model("initial-exec")]] static inline constinit thread_local Heap* heap_ = &Heap::sentinel;
  };
};

}  // namespace hakmem::thread
