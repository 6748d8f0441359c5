// The hand that writes a process's recording: note() adds an event of the calling thread. Events go straight into shared
// mappings of the file: what a thread has written is in the file however the process ends. Every event takes a number from
// one counter of the process, which is their order over all threads. An order per chunk would be cheaper, and would not say
// which of two threads had an address first. Only system calls, no memory of a malloc; any thread, not from signal handlers.
#pragma once

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/single_threaded.h>
#include <time.h>
#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>

#include <hakmem/base/decimal.hpp>
#include <hakmem/bench/recording.hpp>

namespace hakmem::bench {
namespace recording {

enum class State { kFresh, kStarting, kWaiting, kOn, kOff };
inline constinit std::atomic<State> state{State::kFresh};
inline constinit std::atomic<std::uint64_t> sequence{1};
inline constinit std::atomic<std::uint64_t> threads{0};
inline constinit Control* control = nullptr;
inline constinit FileHeader* header = nullptr;
inline constinit bool forked = false;
inline constinit pthread_key_t at_thread_end{};
inline constinit bool has_key = false;
inline constinit unsigned char in_no_file = 1;
inline constinit unsigned char* alive = &in_no_file;  // a page that the kernel empties in a forked child, however it was forked
inline char path[4096]{};  // of this process's file

struct Writer {
  unsigned char* at = nullptr;  // while it is below `end`, kSpare bytes are free
  unsigned char* end = nullptr;
  std::uint64_t sequence = 0;
  std::uint64_t address = 0;
  std::uint64_t ms = 0;      // as of the last kTick or kBegin
  unsigned until_time = 0;   // events before the next look at the clock
  unsigned per_time = 1;     // events from one look to the next
  std::uint64_t number = 0;  // of the thread, from 1
  bool busy = false;
  bool announced = false;  // its end will be heard of
};
[[gnu::tls_model("initial-exec")]] inline constinit thread_local Writer self;

// The clock costs as much as the rest of an event: while it stands still, it is looked at ever less often, down to once in so
// many events; when it has moved, at the next event again.
inline constexpr unsigned kMostEventsPerTime = 16;

inline std::uint64_t milliseconds(const timespec& t) noexcept {
  return static_cast<std::uint64_t>(t.tv_sec) * 1000 + static_cast<std::uint64_t>(t.tv_nsec) / 1'000'000;
}

inline void store(unsigned char* at, std::uint64_t value) noexcept { std::memcpy(at, &value, sizeof value); }

// The three numbers first and the head last: a process that is killed in between has not written the event.
inline void write(Writer& w, Recorded kind, std::uint64_t a, std::uint64_t b, std::uint64_t c) noexcept {
  const auto length = [](std::uint64_t value) { return static_cast<unsigned>(std::bit_width(value) + 7) >> 3; };
  const unsigned of_a = length(a), of_b = length(b), of_c = length(c);
  unsigned char* to = w.at + sizeof(Head);
  store(to, a);
  store(to += of_a, b);
  store(to += of_b, c);
  const Head head = Head::of(kind, of_a, of_b, of_c);
  std::atomic_thread_fence(std::memory_order_release);
  std::memcpy(w.at, &head, sizeof head);
  w.at = to + of_c;
}

class Lock {
 public:
  Lock() noexcept {
    while (held.exchange(true, std::memory_order_acquire)) ::sched_yield();
  }
  ~Lock() { held.store(false, std::memory_order_release); }
  Lock(const Lock&) = delete;
  static constinit inline std::atomic<bool> held{false};
};

// What ended threads left of their chunks, for the next thread that needs room.
struct Rest {
  unsigned char* at;
  unsigned char* end;
};
inline constinit Rest rests[64]{};
inline constinit std::size_t rest_count = 0;

inline void stop(std::uint64_t why) noexcept {
  if (control != nullptr) control->stopped.fetch_or(why, std::memory_order_relaxed);
  state.store(State::kOff, std::memory_order_relaxed);
}

inline void* map_shared(int file, std::size_t bytes, std::size_t offset, int more = 0) noexcept {
  void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | more, file, static_cast<off_t>(offset));
  return p == MAP_FAILED ? nullptr : p;
}

// path := "<folder>/<name>[<number>.<again>]"
inline void name_file(const char* folder, const char* name, std::uint64_t number, unsigned again) noexcept {
  std::size_t n = 0;
  const auto add = [&](const char* text) {
    for (; *text != '\0' && n < sizeof path - 64; ++text) path[n++] = *text;
  };
  add(folder);
  add("/");
  add(name);
  if (number != 0) {
    add(base::Decimal(number).text());
    add(".");
    add(base::Decimal(again).text());
  }
  path[n] = '\0';
}

inline bool open_recording(const char* folder) noexcept {
  if (control == nullptr) {
    name_file(folder, "control", 0, 0);
    const int file = ::open(path, O_RDWR | O_CLOEXEC);
    if (file < 0) return false;
    control = static_cast<Control*>(map_shared(file, sizeof(Control), 0));
    ::close(file);
    if (control == nullptr) return false;
    void* page = ::mmap(nullptr, kFirstChunk, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED || ::madvise(page, kFirstChunk, MADV_WIPEONFORK) != 0) return false;
    alive = static_cast<unsigned char*>(page);
    *alive = 1;
  }
  const auto pid = static_cast<std::uint64_t>(::getpid());
  int file = -1;
  for (unsigned again = 0; file < 0; ++again) {  // a process that starts another program keeps its number
    name_file(folder, "process.", pid, again);
    file = ::open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (file < 0 && errno != EEXIST) return false;
  }
  void* page = ::posix_fallocate(file, 0, kFirstChunk) == 0 ? map_shared(file, kFirstChunk, 0) : nullptr;
  ::close(file);
  if (page == nullptr) return false;
  header = static_cast<FileHeader*>(page);
  header->pid = pid;
  header->parent = static_cast<std::uint64_t>(::getppid());
  header->forked = forked;
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  header->started_ns = static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<std::uint64_t>(now.tv_nsec);
  [[maybe_unused]] const auto length = ::readlink("/proc/self/exe", header->program, sizeof header->program - 1);
  std::atomic_ref(header->magic).store(FileHeader::kMagic, std::memory_order_release);
  return true;
}

inline constexpr std::size_t kSpare = 3 * (kLongestEvent + 8);  // beyond `end`: a beginning, a tick and an event

inline void leave_chunk(Writer& w) noexcept {
  if (w.end != nullptr) ::munmap(w.end + kSpare - kChunk, kChunk);
  w.at = w.end = nullptr;
}

// The mappings of the parent's file are the child's too: it leaves its own of them and begins a file.
inline void forget_parent(Writer& w) noexcept {
  Lock::held.store(false, std::memory_order_relaxed);
  leave_chunk(w);
  rest_count = 0;
  w.number = 0;
  threads.store(0, std::memory_order_relaxed);
  forked = true;
  *alive = 1;
  state.store(State::kFresh, std::memory_order_relaxed);
}

// Begins the process's file. False where there is none to begin, or not yet.
inline bool start() noexcept {
  State before = State::kFresh;
  if (environ == nullptr) return false;  // the C library has not been initialised
  if (!state.compare_exchange_strong(before, State::kStarting, std::memory_order_acq_rel)) {
    while (state.load(std::memory_order_acquire) == State::kStarting) ::sched_yield();
    return true;
  }
  const char* folder = ::secure_getenv("HAKMEM_RECORDER");
  if (folder == nullptr) {
    state.store(State::kOff, std::memory_order_release);
    return false;
  }
  if (!open_recording(folder)) {
    stop(4);
    return false;
  }
  if (!has_key) {
    has_key = ::pthread_key_create(&at_thread_end, [](void*) {
                Writer& w = self;
                w.announced = false;
                const Lock lock;
                if (w.at >= w.end || rest_count == std::size(rests)) return leave_chunk(w);
                rests[rest_count++] = {w.at, w.end};
                w.at = w.end = nullptr;
              }) == 0;
  }
  state.store(State::kWaiting, std::memory_order_release);
  return true;
}

// A place for one more chunk in the file; 0: the bytes are used up.
inline std::size_t next_place() noexcept {
  if (control->bytes.fetch_add(kChunk, std::memory_order_relaxed) + kChunk > control->most_bytes) {
    stop(2);
    return 0;
  }
  return kFirstChunk + kChunk * header->chunks.fetch_add(1, std::memory_order_relaxed);
}

// Opened anew each time: programs close files that they did not open.
inline int open_file() noexcept { return ::open(path, O_RDWR | O_CLOEXEC); }

inline bool next_chunk(Writer& w) noexcept {
  {
    const Lock lock;
    if (rest_count != 0) {
      const Rest rest = rests[--rest_count];
      w.at = rest.at;
      w.end = rest.end;
      return true;
    }
  }
  const std::size_t place = next_place();
  if (place == 0) return false;
  const int file = open_file();
  void* chunk = nullptr;
  if (file >= 0 && ::posix_fallocate(file, static_cast<off_t>(place), kChunk) == 0) {
    chunk = map_shared(file, kChunk, place, MAP_POPULATE);
  }
  if (file >= 0) ::close(file);
  if (chunk == nullptr) {
    stop(4);
    return false;
  }
  w.at = static_cast<unsigned char*>(chunk);
  w.end = w.at + kChunk - kSpare;
  return true;
}

// Copies a full chunk to a place of its own and begins it anew: a copy costs a quarter of a new mapping. A process that is
// killed in here leaves events twice, under the same number.
inline bool empty_chunk(Writer& w) noexcept {
  const std::size_t place = next_place();
  if (place == 0) return false;
  unsigned char* const chunk = w.end + kSpare - kChunk;
  const int file = open_file();
  std::size_t done = 0;
  while (file >= 0 && done < kChunk) {
    const ssize_t n = ::pwrite(file, chunk + done, kChunk - done, static_cast<off_t>(place + done));
    if (n <= 0 && errno != EINTR) break;
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  if (file >= 0) ::close(file);
  if (done < kChunk) {
    stop(4);
    return false;
  }
  std::memset(chunk, 0, sizeof(Head));
  std::atomic_thread_fence(std::memory_order_release);
  w.at = chunk;
  return true;
}

inline bool make_room(Writer& w) noexcept {
  if (state.load(std::memory_order_acquire) <= State::kStarting && !start()) return false;
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  w.ms = milliseconds(now);
  w.until_time = w.per_time = 1;
  if (state.load(std::memory_order_acquire) == State::kWaiting) {
    if (w.ms < control->from_ms) return false;
    State waiting = State::kWaiting;
    state.compare_exchange_strong(waiting, State::kOn, std::memory_order_relaxed);
  }
  if (state.load(std::memory_order_acquire) != State::kOn || !(w.end == nullptr ? next_chunk(w) : empty_chunk(w))) {
    leave_chunk(w);
    return false;
  }
  if (w.number == 0) w.number = threads.fetch_add(1, std::memory_order_relaxed) + 1;
  w.address = 0;
  write(w, Recorded::kBegin, w.number, w.sequence, w.ms);
  if (has_key && !w.announced) w.announced = ::pthread_setspecific(at_thread_end, &w) == 0;
  return true;
}

// Makes room for the thread's next event; false when it is not to be recorded.
[[gnu::cold, gnu::noinline]] inline bool has_room_now(Writer& w) noexcept {
  if (w.busy || state.load(std::memory_order_relaxed) == State::kOff) return false;
  const int saved = errno;
  if (*alive == 0) forget_parent(w);
  w.busy = true;  // what pthread_setspecific asks for is not the program's
  const bool made = make_room(w);
  w.busy = false;
  errno = saved;
  return made;
}
inline bool has_room(Writer& w) noexcept { return (w.at < w.end && *alive != 0) || has_room_now(w); }

[[gnu::noinline]] inline void note_time(Writer& w) noexcept {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  const std::uint64_t ms = milliseconds(now);
  w.per_time = ms != w.ms ? 1 : w.per_time < kMostEventsPerTime ? 2 * w.per_time : kMostEventsPerTime;
  w.until_time = w.per_time;
  if (ms >= control->until_ms) {
    stop(1);
  } else if (ms != w.ms) {
    write(w, Recorded::kTick, 0, ms, 0);
    w.ms = ms;
  }
  if (state.load(std::memory_order_relaxed) != State::kOn) leave_chunk(w);
}

inline std::uint64_t next_number() noexcept {
  if (!__libc_single_threaded) return sequence.fetch_add(1, std::memory_order_relaxed);
  const std::uint64_t number = sequence.load(std::memory_order_relaxed);
  sequence.store(number + 1, std::memory_order_relaxed);
  return number;
}

inline void note(Recorded kind, const void* p, std::uint64_t bytes, std::uint64_t number = 0) noexcept {
  Writer& w = self;
  if (!has_room(w)) return;
  if (--w.until_time == 0) [[unlikely]] {
    note_time(w);
    if (w.end == nullptr) return;
  }
  if (number <= w.sequence) number = next_number();
  const auto address = reinterpret_cast<std::uintptr_t>(p);
  const auto away = static_cast<std::int64_t>(address - w.address) >> 3;
  w.address = address;
  const std::uint64_t gap = number - w.sequence - 1;
  w.sequence = number;
  write(w, kind, static_cast<std::uint64_t>(away) << 1 ^ static_cast<std::uint64_t>(away >> 63), bytes, gap);
}

}  // namespace recording
}  // namespace hakmem::bench
