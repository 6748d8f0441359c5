// One measurement of one workload: repeats whole passes until enough time has passed, and keeps what was seen.
// Time and page faults cover the passes alone; one pass before them is not counted. One thread (team.hpp: many).
#pragma once

#include <sys/resource.h>
#include <time.h>

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include <hakmem/bench/histogram.hpp>
#include <hakmem/concepts/allocator.hpp>

namespace hakmem::bench {

inline std::uint64_t now_ns() noexcept {
  timespec t;
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1'000'000'000u + static_cast<std::uint64_t>(t.tv_nsec);
}

// Writes the block's first word, as a program would; volatile, so that no allocation can be optimised away.
inline void* touch(void* p) noexcept {
  *static_cast<volatile std::uint64_t*>(p) = 0x68616b6d656d;
  return p;
}

// Smallest size that touch() may write to.
inline constexpr std::uint64_t kSmallest = sizeof(std::uint64_t);

struct Limits {
  std::uint64_t min_ns = 200'000'000;  // passes are repeated until this has gone by
  std::uint64_t passes = 0;            // exactly so many, when not 0
  void (*on_begin)() = nullptr;        // called right before and after the counted passes
  void (*on_end)() = nullptr;
};

class Run {
 public:
  explicit Run(const Limits& limits) noexcept : limits_(limits) {}

  template <class Pass>
  void measure(std::uint64_t ops_per_pass, Pass&& pass) {
    pass();
    begin();
    do pass();
    while (!finished_pass());
    ops = passes * ops_per_pass;
  }

  // Called by exactly one thread: begin, then finished_pass after each pass until it says true.
  void begin() noexcept {
    if (limits_.on_begin) limits_.on_begin();
    count_faults(-1);
    start_ = now_ns();
  }
  bool finished_pass() noexcept {
    ++passes;
    if (limits_.passes ? passes < limits_.passes : now_ns() - start_ < limits_.min_ns) return false;
    ns = now_ns() - start_;
    count_faults(1);
    if (limits_.on_end) limits_.on_end();
    return true;
  }

  // Asks whether the allocator under test served p. Never inside the counted passes.
  template <concepts::Allocator A>
  void sample(const A& a, const void* p) noexcept {
    if (!p || sampled == kSamples) return;
    ++sampled;
    owned += a.owns(p);
  }

  static constexpr std::uint64_t kSamples = 256;

  std::uint64_t ops = 0;
  std::uint64_t ns = 0;
  std::uint64_t passes = 0;
  std::uint64_t threads = 1;
  std::uint64_t sampled = 0;
  std::uint64_t owned = 0;
  std::uint64_t mean_rss_kib = 0;  // over the passes; 0: nobody looked
  std::uint64_t most_rss_kib = 0;  // of those looks
  long minor_faults = 0;
  long major_faults = 0;
  Histogram histogram;
  std::vector<std::pair<std::string_view, double>> extra;  // figures that only this workload has

 private:
  void count_faults(int sign) noexcept {
    rusage usage;
    ::getrusage(RUSAGE_SELF, &usage);
    minor_faults += sign * usage.ru_minflt;
    major_faults += sign * usage.ru_majflt;
  }

  Limits limits_;
  std::uint64_t start_ = 0;
};

}  // namespace hakmem::bench
