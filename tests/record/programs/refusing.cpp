// Loaded before others: refuses memory to a process's engines now and then. HAKMEM_REFUSE="EVERY WHICH": of the calls that make
// memory usable, number WHICH of each EVERY. At the end a line goes to HAKMEM_REFUSE_LOG: calls, and how many were refused.
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace {

std::atomic<long> calls{0}, refused{0};
long every = 0, which = 0;

[[gnu::constructor]] void begin() {
  const char* wanted = std::getenv("HAKMEM_REFUSE");
  if (wanted != nullptr && std::sscanf(wanted, "%ld %ld", &every, &which) != 2) every = 0;
}
[[gnu::destructor]] void end() {
  const char* path = std::getenv("HAKMEM_REFUSE_LOG");
  std::FILE* log = path != nullptr ? std::fopen(path, "a") : nullptr;
  if (log == nullptr) return;
  std::fprintf(log, "%ld %ld\n", calls.load(), refused.load());
  std::fclose(log);
}

}  // namespace

extern "C" [[gnu::visibility("default")]] int mprotect(void* start, std::size_t bytes, int allowed) noexcept {
  if (every != 0 && allowed == (PROT_READ | PROT_WRITE) && calls.fetch_add(1) % every == which) {
    refused.fetch_add(1);
    errno = ENOMEM;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_mprotect, start, bytes, allowed));
}
