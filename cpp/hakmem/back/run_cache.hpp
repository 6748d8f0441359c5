// A thread's own free page runs, by length, up to a budget in bytes: medium blocks without the lock over all runs. They stay
// resident until the thread's next decay. The owning thread's, but for bytes() and runs().
// Idea: thread caches up to 256 KiB under one byte budget (tcmalloc; Ghemawat and Menage, 2007).
#pragma once

#include <bit>

#include <hakmem/base/types.hpp>

namespace hakmem::back {

// Lengths are rounded up to one of four per doubling, so that a run that comes back fits the next of about its length.
struct RunLengths {
  static constexpr unsigned kMost = 64;  // pages
  static constexpr unsigned kCount = 20;

  static constexpr unsigned rounded(unsigned pages) noexcept {
    if (pages <= 8 || pages > kMost) return pages;
    const unsigned shift = shift_of(pages);
    return (((pages - 1) >> shift) + 1) << shift;
  }
  // Of a rounded length, 1 .. kMost.
  static constexpr unsigned index_of(unsigned pages) noexcept {
    if (pages <= 8) return pages - 1;
    const unsigned shift = shift_of(pages);
    return 4 + shift * 4 + (pages >> shift) - 5;
  }

 private:
  static constexpr unsigned shift_of(unsigned pages) noexcept { return static_cast<unsigned>(std::bit_width(pages - 1)) - 3; }
};

template <std::size_t kBudget>
class RunCache {
  static constexpr unsigned kDepth = 8;  // runs of one length

 public:
  static constexpr unsigned rounded(unsigned pages) noexcept { return RunLengths::rounded(pages); }

  // A run of that rounded length, or nullptr.
  void* take(unsigned pages) noexcept {
    if (pages > RunLengths::kMost) return nullptr;
    Stack& stack = stacks_[RunLengths::index_of(pages)];
    if (stack.count == 0) return nullptr;
    count(-1, pages);
    return stack.runs[--stack.count];
  }
  // False: not kept.
  bool give(void* run, unsigned pages) noexcept {
    if (pages > RunLengths::kMost || rounded(pages) != pages || kept_[0] + pages * base::kPage > kBudget) return false;
    Stack& stack = stacks_[RunLengths::index_of(pages)];
    if (stack.count == kDepth) return false;
    stack.runs[stack.count++] = run;
    count(1, pages);
    return true;
  }
  // All of them go to the sink.
  template <class Sink>
  void drain(Sink&& sink) noexcept {
    for (Stack& stack : stacks_) {
      while (stack.count != 0) sink(stack.runs[--stack.count]);
    }
    base::relaxed_store(kept_[0], std::size_t{0});
    base::relaxed_store(kept_[1], std::size_t{0});
  }
  std::size_t bytes() const noexcept { return base::relaxed_load(kept_[0]); }
  std::size_t runs() const noexcept { return base::relaxed_load(kept_[1]); }
  // For a reader outside the process: bytes, then runs.
  constexpr const std::size_t* kept_words() const noexcept { return kept_; }

 private:
  struct Stack {
    void* runs[kDepth];
    unsigned count;
  };
  void count(int by, unsigned pages) noexcept {
    base::relaxed_store(kept_[0], kept_[0] + static_cast<std::size_t>(by) * pages * base::kPage);
    base::relaxed_store(kept_[1], kept_[1] + static_cast<std::size_t>(by));
  }
  Stack stacks_[RunLengths::kCount]{};
  std::size_t kept_[2]{};  // bytes, runs
};

template <>
class RunCache<0> {
 public:
  static constexpr unsigned rounded(unsigned pages) noexcept { return pages; }
  static constexpr void* take(unsigned) noexcept { return nullptr; }
  static constexpr bool give(void*, unsigned) noexcept { return false; }
  template <class Sink>
  static constexpr void drain(Sink&&) noexcept {}
  static constexpr std::size_t bytes() noexcept { return 0; }
  static constexpr std::size_t runs() noexcept { return 0; }
  static constexpr const std::size_t* kept_words() noexcept { return nullptr; }
};

}  // namespace hakmem::back
