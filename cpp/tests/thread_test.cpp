// The lock, the hook at thread exit, and the four thread slots.
#include <hakmem/thread/exit_hook.hpp>
#include <hakmem/thread/mutex.hpp>
#include <hakmem/thread/per_cpu.hpp>
#include <hakmem/thread/process_slot.hpp>
#include <hakmem/thread/pthread_key.hpp>
#include <hakmem/thread/tls_pointer.hpp>

#include <atomic>
#include <cerrno>
#include <deque>
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

struct Lent {
  long calls = 0;
  static Lent sentinel;
};
constinit Lent Lent::sentinel{};

// What an engine does for heaps without a place: keeps them, and makes new ones.
class Idle {
 public:
  Lent* take() {
    thread::Lock lock(mutex_);
    ++taken;
    if (idle_.empty()) return &all_.emplace_back();
    Lent* heap = idle_.back();
    idle_.pop_back();
    return heap;
  }
  void keep(Lent* heap) {
    thread::Lock lock(mutex_);
    idle_.push_back(heap);
  }
  template <class Slot>
  void recall() {
    thread::Lock lock(mutex_);
    Slot::recall([this](Lent* heap) { idle_.push_back(heap); });
  }
  long calls() const {
    long sum = 0;
    for (const Lent& heap : all_) sum += heap.calls;
    return sum;
  }
  bool all_are_here() const { return idle_.size() == all_.size(); }

  long taken = 0;

 private:
  thread::Mutex mutex_;
  std::deque<Lent> all_;
  std::vector<Lent*> idle_;
};

const test::Test lent{"a heap that is lent is one call's alone, though others are recalled and threads move", [] {
  using Slot = thread::PerCpu::Type<Lent>;
  constexpr int kThreads = 6, kEach = 40000;
  Idle idle;
  std::vector<std::thread> team;
  for (int t = 0; t < kThreads; ++t) {
    team.emplace_back([&, t] {
      for (int i = 0; i < kEach; ++i) {
        Lent* outer = Slot::borrow();
        if (Slot::current() == &Lent::sentinel) Slot::set(idle.take());
        Lent* heap = Slot::current();
        const long before = heap->calls;
        if (i % 500 == t) std::this_thread::yield();  // another thread is lent another one meanwhile
        if (i % 1000 == t) idle.recall<Slot>();
        heap->calls = before + 1;
        check(Slot::current() == heap);
        if (Lent* spare = Slot::give_back(outer)) idle.keep(spare);
        check(Slot::current() == &Lent::sentinel);
      }
    });
  }
  for (auto& thread : team) thread.join();
  test::check_equal(idle.calls(), long{kThreads} * kEach);
  idle.recall<Slot>();
  check(idle.all_are_here(), "none is lost");
  check(!base::has_processor_places() || idle.taken < long{kThreads} * kEach / 2, "most calls find one at their processor");
}};

const test::Test nested{"a call within a call has a heap of its own, and the outer one its own again", [] {
  using Slot = thread::PerCpu::Type<Lent>;
  static Lent one, other;
  Lent* outer = Slot::borrow();
  Slot::set(&one);
  Lent* inner = Slot::borrow();
  check(inner == &one && Slot::current() == &Lent::sentinel, "the processor has none");
  Slot::set(&other);
  Slot::give_back(inner);
  check(Slot::current() == &one);
  Slot::give_back(outer);
  check(Slot::current() == &Lent::sentinel);
  Slot::recall([](Lent*) {});
}};

}  // namespace
