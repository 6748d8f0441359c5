// Threads that start, allocate, hand over and die, over the malloc that its process has. A generation is 1, 2, .. THREADS
// threads in turn, all alive at once: each takes what others left in boxes, checks and frees it, fills the boxes anew and
// ends with its caches full. Every block carries its size and a mark; a wrong one ends the program with exit code 1.
// In the first tenth of the run a thread takes on one processor and gives back on the next, of THREADS + 1 in turn: later
// ones meet no processor's heap that is new, however busy the machine.
// The resident set is read after each generation, with what is live always the same. It prints its peak in KiB in the
// first tenth of the run and in the whole of it.
// Arguments: THREADS, generations, seconds; one of the last two is 0, the other says how long the run is.
#include <fcntl.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <barrier>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "../../../cpp/tests/random.hpp"

extern "C" [[gnu::weak]] const char* hakmem_id();

namespace {

using hakmem::test::Random;

struct Header {
  std::size_t bytes;
  std::uint64_t mark;
};

std::uint64_t mark_of(const void* p, std::size_t bytes) {
  return (reinterpret_cast<std::uintptr_t>(p) ^ bytes) * 0x9E3779B97F4A7C15u;
}

[[noreturn]] void fail(const char* what, std::size_t n) {
  std::fprintf(stderr, "churn: %s: %zu\n", what, n);
  std::_Exit(1);
}

// One in 64 is a page run, one in 1024 a region of its own.
std::size_t draw_size(Random& random) {
  const std::uint64_t kind = random.below(1024);
  if (kind == 0) return 1'000'000 + random.below(500'000);
  if (kind < 17) return 40'000 + random.below(100'000);
  if (kind < 128) return 1024 + random.below(8192);
  return sizeof(Header) + random.below(600);
}

void* make(std::size_t bytes) {
  void* p = std::malloc(bytes);
  if (p == nullptr) fail("no memory", bytes);
  std::memset(p, static_cast<int>(bytes), bytes);
  *static_cast<Header*>(p) = {bytes, mark_of(p, bytes)};
  return p;
}
void drop(void* p) {
  if (p == nullptr) return;
  const auto* header = static_cast<const Header*>(p);
  const std::size_t bytes = header->bytes;
  if (header->mark != mark_of(p, bytes)) fail("a block's head has changed", bytes);
  const auto* last = static_cast<const unsigned char*>(p) + bytes - 1;
  if (bytes > sizeof(Header) && *last != static_cast<unsigned char>(bytes)) fail("a block's end has changed", bytes);
  std::free(p);
}

constexpr std::size_t kBoxes = 8192;
std::atomic<void*> boxes[kBoxes];
std::size_t sizes[kBoxes];

// Of the whole process, in KiB, without a call that allocates.
std::size_t resident_kib() {
  const int file = ::open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  char text[128]{};
  if (file < 0 || ::read(file, text, sizeof text - 1) <= 0) fail("statm cannot be read", 0);
  ::close(file);
  const char* second = std::strchr(text, ' ');
  return std::strtoull(second, nullptr, 10) * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) / 1024;
}

double now_s() {
  timespec t{};
  ::clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// The first `most` processors that this process may use.
std::vector<int> usable_processors(std::size_t most) {
  cpu_set_t usable;
  if (::sched_getaffinity(0, sizeof usable, &usable) != 0) fail("the usable processors cannot be read", 0);
  std::vector<int> found;
  for (int number = 0; number < CPU_SETSIZE && found.size() < most; ++number)
    if (CPU_ISSET(number, &usable)) found.push_back(number);
  return found;
}

void move_to(int processor) {
  cpu_set_t only;
  CPU_ZERO(&only);
  CPU_SET(processor, &only);
  if (::sched_setaffinity(0, sizeof only, &only) != 0) fail("cannot move to processor", static_cast<std::size_t>(processor));
}

void live(std::uint64_t seed, std::barrier<>& all_are_born, const std::vector<int>& processors) {
  if (!processors.empty()) move_to(processors[seed % processors.size()]);
  std::free(std::malloc(1));
  all_are_born.arrive_and_wait();
  Random random{seed};
  std::vector<void*> own;
  for (int i = 0; i < 300; ++i) own.push_back(make(draw_size(random) % 20'000 + sizeof(Header)));
  for (int i = 0; i < 300; ++i) {
    // each box has its size for good: what is live stays the same however the threads meet
    const std::size_t box = random.below(kBoxes);
    drop(boxes[box].exchange(make(sizes[box]), std::memory_order_acq_rel));
  }
  if (!processors.empty()) move_to(processors[(seed + 1) % processors.size()]);
  for (void* p : own) drop(p);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: churn THREADS GENERATIONS SECONDS\n");
    return 2;
  }
  const std::uint64_t threads = std::strtoull(argv[1], nullptr, 10), generations = std::strtoull(argv[2], nullptr, 10);
  const double seconds = std::strtod(argv[3], nullptr);
  std::vector<int> processors = usable_processors(threads + 1);
  Random random{1};
  for (std::size_t box = 0; box < kBoxes; ++box) {
    sizes[box] = draw_size(random);
    boxes[box] = make(sizes[box]);
  }
  std::size_t early = 0, peak = 0;
  std::uint64_t done = 0, born = 0;
  const double start = now_s();
  for (double passed = 0; done < generations || passed < seconds; ++done, passed = now_s() - start) {
    const double part = generations != 0 ? static_cast<double>(done) / static_cast<double>(generations) : passed / seconds;
    if (part >= 0.1) processors.clear();
    std::vector<std::thread> team;
    const std::uint64_t size = 1 + done % threads;
    std::barrier all_are_born(static_cast<std::ptrdiff_t>(size));
    for (std::uint64_t t = 0; t < size; ++t) team.emplace_back([&, t] { live(done * threads + t, all_are_born, processors); });
    born += size;
    for (std::thread& each : team) each.join();
    peak = std::max(peak, resident_kib());
    if (generations != 0 ? done < generations / 10 : passed < seconds / 10) early = peak;
  }
  for (auto& box : boxes) drop(box.load());
  std::printf("%llu threads, %zu KiB, %zu KiB, %s\n", static_cast<unsigned long long>(born), early, peak,
              hakmem_id != nullptr ? hakmem_id() : "libc");
  return 0;
}
