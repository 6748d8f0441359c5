// The resident set of this process, looked at while a loop runs: one read of a file that is open already, into the stack.
// Any thread may look. Nothing is allocated.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <stdexcept>

namespace hakmem::bench {

class ResidentSet {
 public:
  ResidentSet() : file_(::open("/proc/self/statm", O_RDONLY | O_CLOEXEC)) {
    if (file_ < 0) throw std::runtime_error("/proc/self/statm: cannot be read");
  }
  ResidentSet(const ResidentSet&) = delete;
  ~ResidentSet() { ::close(file_); }

  // KiB; 0 when the system does not say.
  std::uint64_t kib() const noexcept {
    char text[128];
    const ssize_t length = ::pread(file_, text, sizeof text - 1, 0);
    if (length <= 0) return 0;
    text[length] = '\0';
    char* resident = nullptr;
    std::strtoull(text, &resident, 10);  // the size comes before it
    return std::strtoull(resident, nullptr, 10) * page_kib_;
  }

 private:
  int file_;
  std::uint64_t page_kib_ = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)) >> 10;
};

}  // namespace hakmem::bench
