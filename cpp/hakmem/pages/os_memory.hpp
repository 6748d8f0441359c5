// Calls to the kernel for address space (reserve, commit, discard), time and chance. Any thread. errno is left as it was.
// A reservation reads as zero, cannot be written and is not counted; commit makes a part of it usable, discard drops its contents.
#pragma once

#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>

#include <hakmem/base/types.hpp>

namespace hakmem::pages {

struct Reserved {
  void* start;
  std::size_t bytes;  // 0: refused
};

inline constexpr std::size_t kNeverHuge = ~std::size_t{0};

// kHugeAfter: bytes for blocks that lie on ordinary OS pages before huge ones are asked for; kNeverHuge: all of them.
template <std::size_t kHugeAfter>
struct OsMemory {
  // Up to `wanted` bytes aligned to `align`; less where an address-space limit is in force (half of what it allows, so
  // that stacks and the program's own mappings find room too) or the kernel refuses the whole.
  static Reserved reserve(std::size_t wanted, std::size_t align) noexcept {
    const int saved = errno;
    rlimit limit{};
    if (::getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur / 2 < wanted) {
      wanted = std::bit_floor(static_cast<std::size_t>(limit.rlim_cur / 2));
    }
    constexpr std::size_t kHuge = std::size_t{2} << 20;
    const std::size_t slack = align > kHuge ? align : kHuge;
    Reserved result{nullptr, 0};
    for (std::size_t bytes = wanted; bytes >= 4 * slack; bytes /= 2) {
      void* p = ::mmap(nullptr, bytes, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      if (p == MAP_FAILED) continue;
      const std::uintptr_t start = base::align_up(base::address(p), slack);
      ::madvise(p, bytes, MADV_NOHUGEPAGE);
      result = {reinterpret_cast<void*>(start), bytes - (start - base::address(p))};
      break;
    }
    errno = saved;
    return result;
  }

  static bool commit(void* p, std::size_t bytes) noexcept {
    const int saved = errno;
    const bool done = ::mprotect(p, bytes, PROT_READ | PROT_WRITE) == 0;
    errno = saved;
    return done;
  }

  // [p, p + bytes) is for blocks, what lies before it was for metadata, spread thin.
  static void begin_blocks(void* p, std::size_t bytes) noexcept {
    if (kHugeAfter >= bytes) return;
    const int saved = errno;
    ::madvise(static_cast<std::byte*>(p) + kHugeAfter, bytes - kHugeAfter, MADV_HUGEPAGE);
    errno = saved;
  }

  static void forbid_writes(void* p, std::size_t bytes) noexcept {
    const int saved = errno;
    ::mprotect(p, bytes, PROT_READ);
    errno = saved;
  }

  static void discard(void* p, std::size_t bytes) noexcept {
    const int saved = errno;
    const std::size_t os_page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::uintptr_t first = base::align_up(base::address(p), os_page);
    const std::uintptr_t last = (base::address(p) + bytes) & ~(os_page - 1);
    if (first < last) ::madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED);
    errno = saved;
  }
};

// Milliseconds on a clock that only goes forward; coarse (a few ms), cheap (no system call).
inline std::uint64_t now_ms() noexcept {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &t);
  return static_cast<std::uint64_t>(t.tv_sec) * 1000 + static_cast<std::uint64_t>(t.tv_nsec) / 1000000;
}

// A number that differs from process to process: mixed from the 16 bytes that the kernel hands to each program at its start.
// The C library makes its stack canary of them, so it does for want of better only.
inline std::uint64_t exec_random() noexcept {
  std::uint64_t words[2];
  std::memcpy(words, reinterpret_cast<const void*>(::getauxval(AT_RANDOM)), sizeof words);
  return std::rotl(words[0], 29) * 0x9E3779B97F4A7C15u + words[1];
}

// A random number; exec_random() where the kernel has none yet (early in boot) or the call is forbidden. Never waits.
inline std::uint64_t random_word() noexcept {
  const int saved = errno;
  std::uint64_t word;
  if (::syscall(SYS_getrandom, &word, sizeof word, GRND_NONBLOCK) != sizeof word) word = exec_random();
  errno = saved;
  return word;
}

}  // namespace hakmem::pages
