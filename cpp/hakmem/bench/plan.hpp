// A plan: a process's trace made ready for replay by cpp/src/plan.cpp, so that nothing is left to work out while the clock
// runs. Blocks stand in slots, recorded threads sit in seats. The calls are cut into windows of kWindow; in each window every
// seat has a run of words of its own. In one window a slot is filled at most once, so a seat that needs another's block waits
// until the slot holds something; a slot that was emptied is filled again in a later window (with one seat: at once).
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>

#include <hakmem/bench/histogram.hpp>
#include <hakmem/bench/mapped_array.hpp>

namespace hakmem::bench {

// A call is a word, the slot above the kind, and then: malloc and calloc the bytes; aligned the logarithm of the alignment and
// the bytes; realloc the slot that it fills and the bytes; free nothing. Bytes of kWide or more: kWide and two words, the
// lower first.
enum class Call : std::uint32_t { kMalloc, kCalloc, kAligned, kRealloc, kFree };
inline constexpr unsigned kCalls = 5;
inline constexpr unsigned kCallBits = 3;
inline constexpr std::uint32_t kWide = 0xffff'ffff;
inline constexpr std::uint64_t kMostSlots = std::uint64_t{1} << (32 - kCallBits);
inline constexpr std::uint64_t kWindow = 1 << 15;

struct PlanHeader {
  static constexpr std::uint64_t kMagic = 0x3130'6e61'6c70'6b68;  // "hkplan01"
  std::uint64_t magic;
  std::uint64_t seats;
  std::uint64_t windows;
  std::uint64_t slots;
  std::uint64_t index;  // where the offsets are: one for each window and seat, and the end
  std::uint64_t calls[kCalls];
  std::uint64_t sizes[Histogram::kBuckets];
};

// An opened plan. Any thread may read from it.
class Plan {
 public:
  explicit Plan(const std::string& path) : file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (file_ < 0) throw std::invalid_argument("--replay: " + path + ": cannot be read");
    if (::pread(file_, &header_, sizeof header_, 0) != sizeof header_ || header_.magic != PlanHeader::kMagic) {
      throw std::invalid_argument("--replay: " + path + ": expected a plan made by hakmem_plan");
    }
    offsets_ = MappedArray<std::uint64_t>(header_.windows * header_.seats + 1);
    read(offsets_.begin(), offsets_.size() * sizeof(std::uint64_t), header_.index);
  }
  Plan(const Plan&) = delete;
  ~Plan() { ::close(file_); }

  const PlanHeader& header() const noexcept { return header_; }

  std::uint64_t words(std::uint64_t window, std::uint64_t seat) const noexcept {
    return bytes(window, seat) / sizeof(std::uint32_t);
  }
  // Words of a seat in its fullest window.
  std::size_t most_words(std::uint64_t seat) const noexcept {
    std::uint64_t most = 0;
    for (std::uint64_t w = 0; w < header_.windows; ++w) most = std::max(most, words(w, seat));
    return most;
  }
  std::uint64_t calls() const noexcept { return std::accumulate(header_.calls, std::end(header_.calls), std::uint64_t{0}); }
  std::uint64_t calls_in(std::uint64_t window) const noexcept { return std::min(kWindow, calls() - window * kWindow); }
  // The seat with the most to do in a window: the others wait for it at the window's end.
  std::uint64_t busiest(std::uint64_t window) const noexcept {
    std::uint64_t found = 0;
    for (std::uint64_t seat = 1; seat < header_.seats; ++seat) {
      if (words(window, seat) > words(window, found)) found = seat;
    }
    return found;
  }
  // Reads a seat's words of a window; returns how many.
  std::size_t read_window(std::uint64_t window, std::uint64_t seat, std::uint32_t* to) const {
    read(to, bytes(window, seat), offsets_[window * header_.seats + seat]);
    return words(window, seat);
  }

 private:
  std::uint64_t bytes(std::uint64_t window, std::uint64_t seat) const noexcept {
    const std::size_t i = window * header_.seats + seat;
    return offsets_[i + 1] - offsets_[i];
  }
  void read(void* to, std::size_t bytes, std::uint64_t offset) const {
    for (std::size_t done = 0; done < bytes;) {
      const ssize_t n = ::pread(file_, static_cast<char*>(to) + done, bytes - done, static_cast<off_t>(offset + done));
      if (n <= 0) throw std::runtime_error("--replay: the plan is cut off");
      done += static_cast<std::size_t>(n);
    }
  }

  int file_;
  PlanHeader header_{};
  MappedArray<std::uint64_t> offsets_;
};

}  // namespace hakmem::bench
