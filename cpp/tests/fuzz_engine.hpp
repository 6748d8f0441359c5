// What fuzz_engine.cpp offers to a program without libFuzzer. One thread.
#pragma once

#include <cstddef>
#include <cstdint>

namespace hakmem::test {

struct FuzzCounts {
  std::uint64_t operations;        // asked of the engine
  std::uint64_t requests_refused;  // that answered NULL
  std::uint64_t calls_refused;     // of the page source
};

// Plays a stream. fail_from >= 0: that many page-source calls succeed, the `times` after them are refused, and what the
// stream itself orders to be refused is not; -1: the stream's orders are followed. Counts are the process's so far,
// calls_refused this stream's.
FuzzCounts run_stream(const std::uint8_t* data, std::size_t size, long fail_from, long times);
FuzzCounts fuzz_counts(long refusals_before);

}  // namespace hakmem::test
