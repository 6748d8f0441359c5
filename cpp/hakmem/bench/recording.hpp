// How a recording lies on disk while the program runs: written by cpp/src/recorder.cpp, read by cpp/src/merge.cpp, and gone
// when the trace is made. One file a process: a page with a FileHeader, then chunks. Some of them are mapped, filled by one
// thread after another, and copied to the place of a new chunk when they are full. A chunk holds events up to a head of 0,
// which stands after the last. An event is a head of two bytes, which is written last, and three numbers of 0 to 8 bytes each
// (the third of 6 at most), whose lengths the head gives. Little-endian.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace hakmem::bench {

enum class Recorded : std::uint8_t {
  kBegin = 1,  // a thread's turn in this chunk: its number, the sequence number before, milliseconds
  kTick,       // the clock moved: 0, milliseconds
  kMalloc,     // address, bytes, sequence number
  kCalloc,
  kAligned,  // bytes are shifted left by kAlignBits; below stands the logarithm of the alignment
  kFree,     // address, 0, sequence number
  kResize,   // a realloc that moved nothing: address, bytes, sequence number
  kLeave,    // a realloc that moves: the old address, 0, sequence number from before the call ...
  kArrive,   // ... and the next of this thread: the new address, bytes, sequence number from after it
};

// Addresses are differences to the thread's last one in this turn, in words of 8 bytes, with the sign in the lowest bit;
// sequence numbers are differences to the thread's last one, less 1.
inline constexpr unsigned kAlignBits = 6;
inline constexpr std::size_t kLongestEvent = 2 + 3 * 8;
inline constexpr std::size_t kFirstChunk = 1 << 12;
inline constexpr std::size_t kChunk = 1 << 17;

struct Head {
  std::uint16_t bits;
  static constexpr Head of(Recorded kind, unsigned a, unsigned b, unsigned c) noexcept {
    return {static_cast<std::uint16_t>(static_cast<unsigned>(kind) | a << 4 | b << 8 | c << 12)};
  }
  constexpr Recorded kind() const noexcept { return static_cast<Recorded>(bits & 15); }
  constexpr unsigned length(unsigned number) const noexcept { return bits >> (4 * number + 4) & 15; }
};

struct FileHeader {
  static constexpr std::uint64_t kMagic = 0x3130'6365'726b'6168;  // "hakrec01"
  std::uint64_t magic;
  std::uint64_t pid;
  std::uint64_t parent;
  std::uint64_t forked;              // 1: by a fork of its parent, 0: by starting a program
  std::uint64_t started_ns;           // CLOCK_MONOTONIC
  std::atomic<std::uint64_t> chunks;  // that were begun
  char program[2048];
};
static_assert(sizeof(FileHeader) <= kFirstChunk);

// The file "control" of a recording, shared by all of its processes. Times are CLOCK_MONOTONIC in milliseconds.
struct Control {
  std::atomic<std::uint64_t> bytes;  // of chunks begun
  std::uint64_t most_bytes;
  std::uint64_t from_ms;
  std::uint64_t until_ms;
  std::atomic<std::uint64_t> stopped;  // bits: 1 by until_ms, 2 by most_bytes, 4 by a failing system call
};

}  // namespace hakmem::bench
