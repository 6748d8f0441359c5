// Quarantine: a freed small block waits until kBlocks more were freed by its thread before it is handed out again.
// Promise: a write through a stale pointer meets no new owner's data for that long. Medium and large blocks do not wait.
// The owning thread's. Idea: AddressSanitizer (Serebryany, Bruening, Potapenko and Vyukov, 2012).
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::guard {

template <unsigned kBlocks>
class Quarantine {
 public:
  // Takes p in; what has waited long enough, or nullptr.
  void* swap_in(void* p) noexcept {
    void*& slot = waiting_[next_++ % kBlocks];
    void* out = slot;
    slot = p;
    return out;
  }

  // How many wait.
  unsigned size() const noexcept {
    unsigned n = 0;
    for (const void* p : waiting_) n += p != nullptr;
    return n;
  }
  // All that waits goes to the sink, which may free it.
  template <class Sink>
  void drain(Sink&& sink) noexcept {
    for (void*& slot : waiting_) {
      if (void* p = slot) {
        slot = nullptr;
        sink(p);
      }
    }
  }

 private:
  void* waiting_[kBlocks]{};
  unsigned next_ = 0;
};

template <>
class Quarantine<0> {
 public:
  static constexpr unsigned size() noexcept { return 0; }
};

}  // namespace hakmem::guard
