// The variant that the generated header names, under many threads: blocks change hands, threads die with blocks in
// their caches, the process forks in the middle of it, and at the end every block has come back.
// Arguments: rounds (default 1), a factor on the work of every part.
#include <hakmem_variant.hpp>

#include <hakmem/engine/engine.hpp>
#include <hakmem/engine/statistics.hpp>
#include <hakmem/thread/fork_handlers.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "check.hpp"
#include "random.hpp"

namespace {

using namespace hakmem;
using test::check;
using test::check_equal;
using Engine = engine::Engine<Variant>;

constexpr unsigned kThreads = 4;
int rounds = 1;

[[maybe_unused]] const int& fork_handlers = thread::ForkHandlers<&Engine::before_fork, &Engine::after_fork>::registered;

// The first words of every block: its size, and a mark made of its address. The last byte repeats the mark.
struct Header {
  std::size_t bytes;
  std::uintptr_t mark;
};

std::uintptr_t mark_of(const void* p, std::size_t bytes) { return (base::address(p) * 0x9E3779B97F4A7C15u) ^ bytes; }

void* sealed(void* p, std::size_t bytes) {
  if (!check(p != nullptr, "memory")) std::exit(1);
  *static_cast<Header*>(p) = {bytes, mark_of(p, bytes)};
  if (bytes > sizeof(Header)) static_cast<unsigned char*>(p)[bytes - 1] = static_cast<unsigned char>(mark_of(p, bytes));
  return p;
}
void verify(const void* p) {
  const auto* header = static_cast<const Header*>(p);
  check(header->mark == mark_of(p, header->bytes), "the block is as it was left");
  if (header->bytes > sizeof(Header)) {
    check(static_cast<const unsigned char*>(p)[header->bytes - 1] == static_cast<unsigned char>(header->mark), "to its end");
  }
}
void drop(void* p) {
  if (p == nullptr) return;
  verify(p);
  Engine::free(p);
}

std::size_t some_size(test::Random& random) {
  switch (random.below(64)) {
    case 0: return sizeof(Header) + random.below(std::size_t{600} << 10);
    case 1:
    case 2: return sizeof(Header) + random.below(60000);
    case 3:
    case 4:
    case 5:
    case 6: return sizeof(Header) + random.below(4000);
    default: return sizeof(Header) + random.below(200);
  }
}

void* make(test::Random& random) {
  const std::size_t n = some_size(random);
  switch (random.below(12)) {
    case 0: {
      auto* p = static_cast<unsigned char*>(Engine::calloc(1, n));
      check(p != nullptr && p[0] == 0 && p[n / 2] == 0 && p[n - 1] == 0, "zeroed");
      return sealed(p, n);
    }
    case 1: return sealed(Engine::aligned_alloc(std::size_t{8} << random.below(10), n), n);
    default: return sealed(Engine::malloc(n), n);
  }
}
void* resized(void* p, test::Random& random) {
  const Header before = *static_cast<Header*>(p);
  const std::size_t n = some_size(random);
  auto* q = static_cast<Header*>(Engine::realloc(p, n));
  check(q != nullptr && q->bytes == before.bytes && q->mark == before.mark, "realloc keeps contents");
  return sealed(q, n);
}

template <class Body>
void in_threads(unsigned count, Body&& body) {
  std::vector<std::thread> team;
  for (unsigned t = 0; t < count; ++t) team.emplace_back([&body, t] { body(t); });
  for (auto& thread : team) thread.join();
}

// A table through which blocks pass from thread to thread.
class Exchange {
 public:
  // Leaves p (or nothing) in some slot and gives what was there. acq_rel: a block comes with its contents.
  void* swap(test::Random& random, void* p) {
    return slots_[random.below(kSlots)].exchange(p, std::memory_order_acq_rel);
  }
  void clear() {
    for (auto& slot : slots_) drop(slot.exchange(nullptr, std::memory_order_acq_rel));
  }

 private:
  static constexpr std::size_t kSlots = 512;
  std::atomic<void*> slots_[kSlots]{};
};
Exchange exchange;

void churn(test::Random& random, int steps) {
  std::vector<void*> mine;
  for (int step = 0; step < steps; ++step) {
    switch (random.below(8)) {
      case 0: drop(exchange.swap(random, nullptr)); break;
      case 1:
        if (!mine.empty()) mine.back() = resized(mine.back(), random);
        break;
      case 2:
      case 3:
        if (mine.size() < 200) mine.push_back(make(random));
        break;
      case 4:
      case 5:
        if (mine.empty()) break;
        std::swap(mine[random.below(mine.size())], mine.back());
        drop(mine.back());
        mine.pop_back();
        break;
      default: drop(exchange.swap(random, make(random)));
    }
  }
  for (void* p : mine) drop(p);
}

// Each heap there is finds a thread again and gives back what it holds or was sent; twice, since giving back sends.
void nothing_is_out() {
  exchange.clear();
  const auto count = [] {
    unsigned heaps = 1;
    for (const auto* heap = Engine::heaps(); heap != nullptr; heap = heap->next) ++heaps;
    return heaps;
  };
  for (int round = 0; round < 2; ++round) {
    const unsigned heaps = count();
    std::barrier all_adopted(heaps);
    in_threads(heaps, [&](unsigned) {
      Engine::free(Engine::malloc(16));
      all_adopted.arrive_and_wait();
      Engine::collect();
    });
    Engine::collect();
  }
  auto& parts = Engine::parts();
  check_equal(parts.pool.totals().blocks_out, 0u);
  check_equal(parts.runs.used_runs(), 0u);
  check_equal(parts.large.count(), 0u);
}

const test::Test hands{"blocks change hands between threads and keep their contents", [] {
  std::atomic<bool> done{false};
  std::thread watcher([&] {  // statistics and collections at any time
    std::vector<char> text(65536);
    while (!done.load()) {
      const std::size_t length = engine::statistics<Engine>(text.data(), text.size());
      check(length > 2 && length < text.size() && text[length - 1] == '}', "statistics are whole");
      Engine::free(Engine::malloc(40));
      Engine::collect();
      check(!Engine::owns(&length) && !Engine::owns(reinterpret_cast<void*>(base::address(&text) << 7)), "foreign");
      std::this_thread::yield();
    }
  });
  in_threads(kThreads, [](unsigned t) {
    test::Random random(t);
    churn(random, 60000 * rounds);
  });
  done = true;
  watcher.join();
  nothing_is_out();
}};

const test::Test producers{"one thread allocates, another frees", [] {
  in_threads(kThreads, [](unsigned t) {
    test::Random random(100 + t);
    for (int step = 0; step < 60000 * rounds; ++step) {
      drop(exchange.swap(random, t % 2 == 0 ? sealed(Engine::malloc(64), 64) : nullptr));
    }
  });
  nothing_is_out();
}};

const test::Test generations{"threads die with blocks in their caches, and their heaps are taken over", [] {
  for (int generation = 0; generation < 60 * rounds; ++generation) {
    in_threads(kThreads, [generation](unsigned t) {
      test::Random random(static_cast<std::uint64_t>(generation) * kThreads + t);
      churn(random, 300);
      for (int i = 0; i < 30; ++i) drop(exchange.swap(random, make(random)));
      for (int i = 0; i < 50; ++i) Engine::free(Engine::malloc(16 + 16 * static_cast<std::size_t>(i)));
    });
  }
  unsigned heaps = 0;
  for (const auto* heap = Engine::heaps(); heap != nullptr; heap = heap->next) ++heaps;
  check(heaps <= 40, "no more heaps than threads at one time");
  nothing_is_out();
}};

const test::Test fork{"a child forked amid other threads' calls can allocate and free", [] {
  std::atomic<bool> done{false};
  std::vector<std::thread> team;
  for (unsigned t = 0; t < 2; ++t) {
    team.emplace_back([&done, t] {
      test::Random random(200 + t);
      while (!done.load()) churn(random, 200);
    });
  }
  test::Random random(300);
  for (int i = 0; i < 5 * rounds; ++i) {
    void* before = make(random);
    const pid_t child = ::fork();
    if (child == 0) {
      drop(before);
      churn(random, 500);
      ::_exit(test::failures.load() == 0 ? 0 : 1);
    }
    int status = -1;
    check(child > 0 && ::waitpid(child, &status, 0) == child && status == 0, "the child ended well");
    drop(before);
  }
  done = true;
  for (auto& thread : team) thread.join();
  nothing_is_out();
}};

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1) rounds = std::atoi(argv[1]);
  return test::run_tests(1, argv);
}
