// The last words of a process whose memory can no longer be trusted: one line on standard error, then abort.
// Any thread; allocates nothing.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include <hakmem/base/types.hpp>

namespace hakmem::base {

// Prints "hakmem: <before>0x<address><after>".
[[noreturn]] HAKMEM_COLD inline void fatal(const char* before, const void* address, const char* after) noexcept {
  char line[160] = "hakmem: ";
  std::size_t n = std::strlen(line);
  const auto append = [&](const char* text) {
    while (*text != '\0' && n < sizeof line - 1) line[n++] = *text++;
  };
  append(before);
  append("0x");
  const std::uintptr_t value = base::address(address);
  for (int shift = 60, started = 0; shift >= 0; shift -= 4) {
    const unsigned digit = value >> shift & 15;
    if (digit == 0 && !started && shift != 0) continue;
    started = 1;
    const char text[2] = {"0123456789abcdef"[digit], '\0'};
    append(text);
  }
  append(after);
  line[n++] = '\n';
  [[maybe_unused]] const auto written = ::write(STDERR_FILENO, line, n);
  std::abort();
}

}  // namespace hakmem::base
