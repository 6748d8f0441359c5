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
  // The length that is just these pages, or kCount.
  static constexpr unsigned exactly(unsigned pages) noexcept {
    return pages <= kMost && kPages[kIndex[pages]] == pages ? kIndex[pages] : kCount;
  }
};

template <std::size_t kBudget>
class RunCache {
  static constexpr unsigned kDepth = 32;  // runs of one length
  static constexpr int kTakes = 64;       // between two looks at the clock, each of which costs as much as two takes

 public:
  static constexpr std::size_t kLargest = RunLengths::kMost * base::kPage;

  // Zeroed it keeps nothing; from now on it does.
  void open() noexcept { budget_ = kBudget / base::kPage; }
  // A run of this length. False: none is kept, or it is time to look at the clock.
  HAKMEM_HOT bool take(std::size_t length, void*& run) noexcept {
    const unsigned kept = kept_[length];
    if (kept == 0) [[unlikely]] return false;
    if (--takes_left_ < 0) [[unlikely]] return false;
    kept_[length] = kept - 1;
    base::relaxed_store(sum_, sum_ - kSummand[length]);
    run = runs_[length][kept - 1];
    if (run == nullptr) __builtin_unreachable();  // so that callers need not ask
    return true;
  }
  // The clock has been looked at.
  void clock_seen() noexcept { takes_left_ = kTakes; }
  // False: there is no room for it.
  HAKMEM_HOT bool give(void* run, std::size_t length) noexcept {
    const unsigned kept = kept_[length];
    const std::uint64_t sum = sum_ + kSummand[length];
    if (kept == kDepth || static_cast<std::uint32_t>(sum) > budget_) [[unlikely]] return false;
    kept_[length] = kept + 1;
    base::relaxed_store(sum_, sum);
    runs_[length][kept] = run;
    return true;
  }
  // The run of the thread's latest block that grows, with all its room, or nullptr. Another thread that frees it clears this.
  void*& growing() noexcept { return growing_; }
  bool grows(const void* run) const noexcept { return base::relaxed_load(growing_) == run; }
  // All of them go to the sink.
  template <class Sink>
  void drain(Sink&& sink) noexcept {
    for (unsigned length = 0; length < RunLengths::kCount; ++length) {
      while (kept_[length] != 0) sink(runs_[length][--kept_[length]]);
    }
    base::relaxed_store(sum_, std::uint64_t{0});
  }
  std::size_t bytes() const noexcept { return static_cast<std::uint32_t>(base::relaxed_load(sum_)) * base::kPage; }
  std::size_t runs() const noexcept { return base::relaxed_load(sum_) >> 32; }
  // For a reader outside the process: pages + 2^32 * runs.
  constexpr const std::uint64_t* kept_word() const noexcept { return &sum_; }

 private:
  static constexpr auto kSummand = [] {
    std::array<std::uint64_t, RunLengths::kCount> summand{};
    for (unsigned length = 0; length < RunLengths::kCount; ++length) {
      summand[length] = RunLengths::kPages[length] + (std::uint64_t{1} << 32);
    }
    return summand;
  }();

  std::uint32_t kept_[RunLengths::kCount]{};
  std::uint64_t sum_ = 0;     // of all runs kept
  std::uint32_t budget_ = 0;  // in pages
  int takes_left_ = 0;
  void* growing_ = nullptr;
  void* runs_[RunLengths::kCount][kDepth]{};
};

template <>
class RunCache<0> {
 public:
  static constexpr std::size_t kLargest = 0;
  static constexpr void open() noexcept {}
  template <class Sink>
  static constexpr void drain(Sink&&) noexcept {}
  static constexpr std::size_t bytes() noexcept { return 0; }
  static constexpr std::size_t runs() noexcept { return 0; }
  static constexpr const std::uint64_t* kept_word() noexcept { return nullptr; }
};

}  // namespace hakmem::back
