// Thread slot of heaps that belong to processors: a call borrows the heap of the processor that it runs on, has it to
// itself, wherever the thread may be moved to, and puts it back where it then runs. What lies idle in caches is bounded
// by the number of processors, however many threads there are. A call that finds no heap (another thread was taken off
// this processor within one) gets one from the engine; a heap that finds its place taken goes back there, and so does
// every heap where there are no places.
// Idea: Dice and Garthwaite, 2002, "Mostly lock-free malloc" (processor-local heaps, restarted when preempted).
#pragma once

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include <hakmem/base/processor_place.hpp>
#include <hakmem/base/types.hpp>

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
      base::relaxed_store(closed_, 1);
      // membarrier(2), after which every sequence that had not seen it has ended or begins anew
      const bool barred = base::has_processor_places() &&
                          ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0 &&
                          ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ, 0, 0) == 0;
      for (auto& place : places_) {
        void* heap = barred ? base::relaxed_load(place.held) : nullptr;
        if (heap == nullptr) continue;
        base::relaxed_store(place.held, static_cast<void*>(nullptr));
        sink(static_cast<Heap*>(heap));
      }
      // release: pairs with the sequences, whose loads x86-64 does in order; whoever finds a place open finds it empty
      __atomic_store_n(&closed_, 0, __ATOMIC_RELEASE);
      errno = saved;
    }

   private:
    HAKMEM_HOT static Heap* exchange(Heap* heap) noexcept {
      return static_cast<Heap*>(base::exchange_here(places_, closed_, heap));
    }

    static inline constinit base::ProcessorPlace places_[base::kProcessorPlaces]{};
    static inline constinit int closed_ = 0;  // whether heaps are being recalled
    [[gnu::tls_model("initial-exec")]] static inline constinit thread_local Heap* heap_ = &Heap::sentinel;
  };
};

}  // namespace hakmem::thread
