// The lock, the hook at thread exit, and the three thread slots.
#include <hakmem/thread/exit_hook.hpp>
#include <hakmem/thread/mutex.hpp>
#include <hakmem/thread/process_slot.hpp>
#include <hakmem/thread/pthread_key.hpp>
#include <hakmem/thread/tls_pointer.hpp>

#include <atomic>
#include <cerrno>
#include <thread>
#include <vector>

#include "check.hpp"

namespace {

using namespace hakmem;
using test::check;

const test::Test mutex{"the lock lets one thread in at a time and keeps errno", [] {
  static constinit thread::Mutex lock{};
  static long counter = 0;
  constexpr int kThreads = 4, kEach = 20000;
  std::vector<std::thread> team;
  for (int t = 0; t < kThreads; ++t) {
    team.emplace_back([t] {
      errno = 1000 + t;
      for (int i = 0; i < kEach; ++i) {
        thread::Lock held(lock);
        const long before = counter;
        if (i % 500 == 0) std::this_thread::yield();  // others must wait in the kernel now and then
        counter = before + 1;
      }
      test::check_equal(errno, 1000 + t);
    });
  }
  for (auto& thread : team) thread.join();
  test::check_equal(counter, long{kThreads} * kEach);
}};

std::atomic<int> exits{0};
void on_exit(void* value) { exits += *static_cast<int*>(value); }

const test::Test hook{"the exit hook runs once for each thread that armed it", [] {
  using Hook = thread::ExitHook<on_exit>;
  static int one = 1;
  std::vector<std::thread> team;
  for (int t = 0; t < 8; ++t) {
    team.emplace_back([t] {
      if (t == 7) return;  // never armed
      Hook::arm(&one);
      Hook::arm(&one);
      if (t == 6) Hook::arm(nullptr);
    });
  }
  for (auto& thread : team) thread.join();
  test::check_equal(exits.load(), 6);
}};

struct Heap {
  static Heap sentinel;
};
constinit Heap Heap::sentinel{};

template <class Slot>
void each_thread_has_its_own() {
  Heap mine;
  check(Slot::current() == &Heap::sentinel, "the sentinel at first");
  Slot::set(&mine);
  check(Slot::current() == &mine);
  std::thread([] {
    Heap other;
    check(Slot::current() == &Heap::sentinel, "another thread has none yet");
    Slot::set(&other);
    check(Slot::current() == &other);
    Slot::set(&Heap::sentinel);
    check(Slot::current() == &Heap::sentinel, "cleared");
  }).join();
  check(Slot::current() == &mine, "untouched by the other thread");
  Slot::set(&Heap::sentinel);
}

const test::Test slots{"thread slots keep threads apart; the process slot does not", [] {
  each_thread_has_its_own<thread::TlsPointer::Type<Heap>>();
  each_thread_has_its_own<thread::PthreadKey::Type<Heap>>();
  using Shared = thread::ProcessSlot::Type<Heap>;
  static Heap one;
  check(Shared::current() == &Heap::sentinel);
  Shared::set(&one);
  std::thread([] { check(Shared::current() == &one); }).join();
}};

}  // namespace
