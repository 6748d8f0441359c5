// A lock for the cold paths: constant-initialised, one word, no allocation, no destructor. Any thread.
// Uncontended: one locked operation each way. Idea: Drepper, 2011, "Futexes are tricky" (the three-state mutex).
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>

#include <hakmem/base/attributes.hpp>

namespace hakmem::thread {

class Mutex {
 public:
  constexpr Mutex() noexcept = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() noexcept {
    std::uint32_t expected = kFree;
    // acquire: pairs with the release in unlock()
    if (state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) [[likely]] return;
    wait();
  }

  void unlock() noexcept {
    // release: pairs with the acquires of the next holder
    if (state_.exchange(kFree, std::memory_order_release) == kContended) [[unlikely]] {
      futex(FUTEX_WAKE_PRIVATE, 1);
    }
  }

 private:
  static constexpr std::uint32_t kFree = 0, kHeld = 1, kContended = 2;

  // errno is the program's: a lock inside free must not change it.
  HAKMEM_COLD void futex(int operation, std::uint32_t value) noexcept {
    const int saved = errno;
    ::syscall(SYS_futex, &state_, operation, value, nullptr, nullptr, 0);
    errno = saved;
  }

  HAKMEM_COLD void wait() noexcept {
    for (int spin = 0; spin < 100; ++spin) {
      std::uint32_t expected = kFree;
      if (state_.load(std::memory_order_relaxed) == kFree &&
          state_.compare_exchange_strong(expected, kHeld, std::memory_order_acquire)) {
        return;
      }
      __builtin_ia32_pause();
    }
    while (state_.exchange(kContended, std::memory_order_acquire) != kFree) {
      futex(FUTEX_WAIT_PRIVATE, kContended);
    }
  }

  std::atomic<std::uint32_t> state_{kFree};
};

// Holds a mutex for a scope.
class Lock {
 public:
  explicit Lock(Mutex& mutex) noexcept : mutex_(mutex) { mutex_.lock(); }
  ~Lock() { mutex_.unlock(); }
  Lock(const Lock&) = delete;
  Lock& operator=(const Lock&) = delete;

 private:
  Mutex& mutex_;
};

}  // namespace hakmem::thread
