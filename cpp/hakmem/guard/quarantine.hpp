// Quarantine: a freed small block waits until kBlocks more were freed by its thread before it is handed out again.
// Promise: a write through a stale pointer meets no new owner's data for that long; where freed blocks are cleared, it is
// found when the block leaves. Medium and large blocks do not wait.
// The owning thread's. Idea: AddressSanitizer (Serebryany, Bruening, Potapenko and Vyukov, 2012).
#pragma once

#include <hakmem/base/types.hpp>

namespace hakmem::guard {

template <unsigned kBlocks, unsigned kClasses>
class Quarantine {
 public:
  // Takes p, of class c, in; what has waited long enough, or nullptr.
  void* swap_in(void* p, base::ClassIndex c) noexcept {
    Waiting& slot = waiting_[next_++ % kBlocks];
    void* out = slot.block;
    if (out != nullptr) leave(slot.size_class);
    slot = {p, c};
    base::relaxed_store(size_of_[c], size_of_[c] + 1);
    return out;
  }

  // How many of class c wait. Any thread.
  unsigned size(base::ClassIndex c) const noexcept { return base::relaxed_load(size_of_[c]); }
  // All that waits goes to the sink, which may free it.
  template <class Sink>
  void drain(Sink&& sink) noexcept {
    for (Waiting& slot : waiting_) {
      if (void* p = slot.block) {
        slot.block = nullptr;
        leave(slot.size_class);
        sink(p);
      }
    }
  }

 private:
  struct Waiting {
    void* block = nullptr;
    base::ClassIndex size_class = 0;
  };
  void leave(base::ClassIndex c) noexcept { base::relaxed_store(size_of_[c], size_of_[c] - 1); }

  Waiting waiting_[kBlocks]{};
  unsigned size_of_[kClasses]{};
  unsigned next_ = 0;
};

template <unsigned kClasses>
class Quarantine<0, kClasses> {
 public:
  static constexpr unsigned size(base::ClassIndex) noexcept { return 0; }
};

}  // namespace hakmem::guard
