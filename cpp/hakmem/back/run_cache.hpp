// A thread's own free page runs, by length, up to a budget in bytes: medium blocks without the lock over all runs. They stay
// resident until the thread's next decay. The owning thread's, but for bytes() and runs().
// Idea: thread caches up to 256 KiB under one byte budget (tcmalloc; Ghemawat and Menage, 2007).
#pragma once

#include <array>
#include <bit>

#include <hakmem/base/types.hpp>

namespace hakmem::back {

// Lengths are rounded up to one of four per doubling, so that a run that comes back fits the next of about its length.
struct RunLengths {
  static constexpr unsigned kMost = 64;  // pages
  static constexpr unsigned kCount = 20;

  static constexpr auto kPages = [] {
    std::array<std::uint8_t, kCount> pages{};
    unsigned length = 0;
    for (auto& of : pages) of = static_cast<std::uint8_t>(length += length < 8 ? 1 : std::bit_floor(length) / 4);
    return pages;
  }();
  static_assert(kPages[kCount - 1] == kMost);
  // Of 0 .. kMost pages: the length that holds them.
  static constexpr auto kIndex = [] {
    std::array<std::uint8_t, kMost + 1> index{};
    for (unsigned pages = 1, i = 0; pages <= kMost; ++pages) {
      if (kPages[i] < pages) ++i;
      index[pages] = static_cast<std::uint8_t>(i);
    }
    return index;
  }();
  static constexpr unsigned rounded(unsigned pages) noexcept { return pages <= kMost ? kPages[kIndex[pages]] : pages; }
};

template <std::size_t kBudget>
class RunCache {
  static constexpr unsigned kDepth = 16;  // runs of one length

 public:
  static constexpr unsigned rounded(unsigned pages) noexcept { return RunLengths::rounded(pages); }

  // A run of pages's rounded length, or nullptr.
  void* take(unsigned pages) noexcept {
    if (pages > RunLengths::kMost) return nullptr;
    const unsigned length = RunLengths::kIndex[pages];
    Stack& stack = stacks_[length];
    if (stack.count == 0) return nullptr;
    count(-1, RunLengths::kPages[length]);
    return stack.runs[--stack.count];
  }
  // True at every fourth call: to look at the clock costs half as much as all else.
  bool is_time() noexcept { return ++takes_ % 4 == 0; }
  // False: not kept.
  bool give(void* run, unsigned pages) noexcept {
    if (pages > RunLengths::kMost) return false;
    const unsigned length = RunLengths::kIndex[pages];
    Stack& stack = stacks_[length];
    if (RunLengths::kPages[length] != pages || stack.count == kDepth || kept_[0] + pages * base::kPage > kBudget) return false;
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
  unsigned takes_ = 0;
};

template <>
class RunCache<0> {
 public:
  static constexpr unsigned rounded(unsigned pages) noexcept { return pages; }
  static constexpr void* take(unsigned) noexcept { return nullptr; }
  static constexpr bool is_time() noexcept { return false; }
  static constexpr bool give(void*, unsigned) noexcept { return false; }
  template <class Sink>
  static constexpr void drain(Sink&&) noexcept {}
  static constexpr std::size_t bytes() noexcept { return 0; }
  static constexpr std::size_t runs() noexcept { return 0; }
  static constexpr const std::size_t* kept_words() noexcept { return nullptr; }
};

}  // namespace hakmem::back
