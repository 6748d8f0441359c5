// The calls of a plan, made once, from the cold: every seat a thread, the first one the main thread. Each block's first and
// last byte are written when it is made or resized. Between windows the threads wait for each other, so none is ahead by more
// than a window; within one, a thread waits for a block that another one has yet to make. What is live at the end stays so.
// What the loop itself needs is read from the file a window at a time, into memory that is not the allocator's.
// The resident set is looked at kLooks times, evenly over the calls, by the seat that has the most to do in that window. It is
// what the others wait for at the window's end, so its time for looking is everybody's, and is taken off the measured time.
#pragma once

#include <pthread.h>
#include <sched.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <system_error>
#include <vector>

#include <hakmem/bench/null_allocator.hpp>
#include <hakmem/bench/parameters.hpp>
#include <hakmem/bench/plan.hpp>
#include <hakmem/bench/resident_set.hpp>
#include <hakmem/bench/run.hpp>

namespace hakmem::bench {

inline constexpr WorkloadInfo kReplay{"replay", "call", "a recorded program's calls", {}};
inline constexpr std::uint64_t kLooks = 64;
inline constexpr const char* kCallNames[kCalls] = {"mallocs", "callocs", "aligned", "reallocs", "frees"};

template <concepts::Allocator A>
class Replay {
 public:
  Replay(const A& allocator, const Plan& plan, Run& run)
      : a_(allocator), plan_(plan), run_(run), slots_(plan.header().slots), seats_(plan.header().seats) {
    for (std::size_t i = 0; i < seats_.size(); ++i) {
      seats_[i].replay = this;
      seats_[i].number = i;
      seats_[i].words = MappedArray<std::uint32_t>(plan.most_words(i));
    }
    place_looks();
    pthread_barrier_init(&barrier_, nullptr, static_cast<unsigned>(seats_.size()));
  }
  Replay(const Replay&) = delete;
  ~Replay() { pthread_barrier_destroy(&barrier_); }

  void work() {
    for (std::size_t i = 1; i < seats_.size(); ++i) {
      const int error = pthread_create(&seats_[i].thread, nullptr, &Replay::enter, &seats_[i]);
      if (error) throw std::system_error(error, std::generic_category(), "pthread_create");
    }
    wait();
    run_.begin();
    play(seats_[0]);
    run_.finished_pass();
    for (std::size_t i = 1; i < seats_.size(); ++i) pthread_join(seats_[i].thread, nullptr);
    run_.threads = seats_.size();
    std::uint64_t looks = 0, seen_kib = 0;
    for (const Seat& seat : seats_) {
      looks += seat.looks;
      seen_kib += seat.seen_kib;
      run_.most_rss_kib = std::max(run_.most_rss_kib, seat.most_kib);
      run_.ns -= std::min(run_.ns, seat.looking_ns);
      for (unsigned i = 0; i < kCalls; ++i) run_.ops += seat.calls[i];
    }
    run_.mean_rss_kib = seen_kib / std::max(looks, std::uint64_t{1});
    for (unsigned i = 0; i < kCalls; ++i) {
      std::uint64_t count = 0;
      for (const Seat& seat : seats_) count += seat.calls[i];
      run_.extra.emplace_back(kCallNames[i], static_cast<double>(count));
    }
    for (void* block : slots_) run_.sample(a_, block);
  }

 private:
  struct Seat {
    Replay* replay;
    std::size_t number;
    pthread_t thread;
    MappedArray<std::uint32_t> words;
    std::array<std::uint64_t, kCalls> calls{};
    std::uint64_t looks = 0, seen_kib = 0, most_kib = 0, looking_ns = 0;
  };

  struct Look {
    std::uint64_t window = ~std::uint64_t{0};
    std::uint64_t seat = 0;
    std::uint64_t word = 0;  // where the seat is in that window
  };

  static void* enter(void* argument) {
    Seat& seat = *static_cast<Seat*>(argument);
    seat.replay->wait();
    seat.replay->play(seat);
    return nullptr;
  }

  void wait() noexcept {
    if (seats_.size() > 1) pthread_barrier_wait(&barrier_);
  }

  // In the middles of as many equal parts of the calls; one more that never comes ends them.
  void place_looks() noexcept {
    for (std::uint64_t i = 0; i < kLooks && plan_.calls(); ++i) {
      const std::uint64_t call = (2 * i + 1) * plan_.calls() / (2 * kLooks);
      const std::uint64_t window = call / kWindow, seat = plan_.busiest(window);
      looks_[i] = {window, seat, call % kWindow * plan_.words(window, seat) / plan_.calls_in(window)};
    }
  }

  void play(Seat& seat) {
    const Look* next = looks_.data();
    for (std::uint64_t window = 0; window < plan_.header().windows; ++window) {
      const std::uint32_t* at = seat.words.begin();
      const std::uint32_t* const end = at + plan_.read_window(window, seat.number, seat.words.begin());
      for (;;) {
        const bool looks = next->window == window && next->seat == seat.number;
        const std::uint32_t* const mark = looks ? seat.words.begin() + next->word : end;
        while (at < mark) at = call(seat, at);
        if (!looks) break;
        look(seat);
        ++next;
      }
      while (next->window == window) ++next;  // another seat's
      wait();
    }
  }

  void look(Seat& seat) noexcept {
    const std::uint64_t begun = now_ns();
    if (const std::uint64_t kib = resident_.kib()) {
      ++seat.looks;
      seat.seen_kib += kib;
      seat.most_kib = std::max(seat.most_kib, kib);
    }
    seat.looking_ns += now_ns() - begun;
  }

  const std::uint32_t* call(Seat& seat, const std::uint32_t* at) noexcept {
    const std::uint32_t word = *at++;
    const auto kind = static_cast<Call>(word & ((1u << kCallBits) - 1));
    const std::uint32_t slot = word >> kCallBits;
    ++seat.calls[static_cast<unsigned>(kind)];
    if (kind == Call::kFree) {
      a_.free(take(slot));
    } else if (kind == Call::kMalloc) {
      const std::size_t n = size(at);
      put(slot, a_.malloc(n), n);
    } else if (kind == Call::kRealloc) {
      const std::uint32_t to = *at++;
      const std::size_t n = size(at);
      put(to, a_.realloc(take(slot), std::max(n, std::size_t{1})), n);  // 0 would be a free to some
    } else if (kind == Call::kCalloc) {
      const std::size_t n = size(at);
      put(slot, a_.calloc(1, n), n);
    } else {
      const std::size_t align = std::max(std::size_t{1} << *at++, sizeof(void*));
      const std::size_t n = size(at);
      put(slot, a_.aligned_alloc(align, n), n);
    }
    return at;
  }

  static std::size_t size(const std::uint32_t*& at) noexcept {
    const std::uint32_t n = *at++;
    if (n != kWide) [[likely]] return n;
    const std::uint64_t wide = at[0] | std::uint64_t{at[1]} << 32;
    at += 2;
    return wide;
  }

  // acquire pairs with the release in put: the block is the other thread's until the slot says so.
  void* take(std::uint32_t slot) noexcept {
    const std::atomic_ref<void*> held(slots_[slot]);
    void* p = held.load(std::memory_order_acquire);
    for (unsigned tries = 0; p == nullptr; p = held.load(std::memory_order_acquire)) {
      if (++tries % 64 == 0) ::sched_yield();
    }
    held.store(nullptr, std::memory_order_relaxed);
    return p;
  }

  void put(std::uint32_t slot, void* p, std::size_t n) noexcept {
    if (p == nullptr) [[unlikely]] refused(n);
    auto* bytes = static_cast<volatile unsigned char*>(p);
    if (n != 0) {
      bytes[0] = 1;
      // the null allocator's one buffer is smaller than some of its blocks
      bytes[std::is_same_v<A, NullAllocator> ? (n - 1) % 4096 : n - 1] = 1;
    }
    std::atomic_ref<void*>(slots_[slot]).store(p, std::memory_order_release);
  }

  // Others may be waiting for the block: there is nothing to go on with.
  [[noreturn, gnu::cold]] static void refused(std::size_t n) noexcept {
    std::fprintf(stderr, "hakmem_runner: --replay: the allocator refused %zu bytes\n", n);
    ::_exit(2);
  }

  const A& a_;
  const Plan& plan_;
  Run& run_;
  ResidentSet resident_;
  std::array<Look, kLooks + 1> looks_;
  MappedArray<void*> slots_;
  std::vector<Seat> seats_;
  pthread_barrier_t barrier_;
};

template <concepts::Allocator A>
void replay(const A& a, const std::string& path, Run& run) {
  const Plan plan(path);
  for (unsigned i = 0; i < Histogram::kBuckets; ++i) {
    if (plan.header().sizes[i]) run.histogram.add(Histogram::limit(i), plan.header().sizes[i]);
  }
  Replay<A>(a, plan, run).work();
}

}  // namespace hakmem::bench
