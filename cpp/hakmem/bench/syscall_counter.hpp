// Counts the system calls that a child makes, in any of its threads, between two markers (a prctl that the kernel
// refuses). The harness's own kinds (barriers, yields, clocks) are told apart. Parent: one thread.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <stdexcept>
#include <string>

namespace hakmem::bench {

inline constexpr int kMarkerBegin = 0x68616b31;
inline constexpr int kMarkerEnd = 0x68616b32;

inline void mark_begin() { ::syscall(SYS_prctl, kMarkerBegin, 0, 0, 0, 0); }
inline void mark_end() { ::syscall(SYS_prctl, kMarkerEnd, 0, 0, 0, 0); }

inline bool is_harness_call(std::uint64_t number) {
  return number == SYS_futex || number == SYS_sched_yield || number == SYS_clock_gettime || number == SYS_getrusage ||
         number == SYS_prctl;
}

struct SyscallCount {
  int status = 0;  // the child's, as of waitpid
  std::map<std::uint64_t, std::uint64_t> by_number;
};

// The child must have called ptrace(PTRACE_TRACEME) and stopped itself.
inline SyscallCount count_syscalls(pid_t child) {
  SyscallCount count;
  int status = 0;
  ::waitpid(child, &status, 0);
  if (!WIFSTOPPED(status)) throw std::runtime_error("--count-syscalls: the traced process did not start");
  const long options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
  if (::ptrace(PTRACE_SETOPTIONS, child, nullptr, options)) {
    throw std::runtime_error("--count-syscalls: this system does not allow ptrace");
  }
  ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);

  bool counting = false;
  for (;;) {
    const pid_t thread = ::waitpid(-1, &status, __WALL);
    if (thread < 0 && errno == EINTR) continue;
    if (thread < 0) break;
    if (WIFEXITED(status) || WIFSIGNALED(status)) {
      if (thread == child) {
        count.status = status;
        break;
      }
      continue;
    }
    const int signal = WSTOPSIG(status);
    long deliver = 0;
    if (signal == (SIGTRAP | 0x80)) {
      __ptrace_syscall_info info{};
      ::ptrace(PTRACE_GET_SYSCALL_INFO, thread, sizeof info, &info);
      if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
        if (info.entry.nr == SYS_prctl && info.entry.args[0] == kMarkerBegin) counting = true;
        if (info.entry.nr == SYS_prctl && info.entry.args[0] == kMarkerEnd) counting = false;
        if (counting) ++count.by_number[info.entry.nr];
      }
    } else if (status >> 16 == 0 && !(signal == SIGSTOP && thread != child)) {  // not an event, not a thread's first stop
      deliver = signal;
    }
    ::ptrace(PTRACE_SYSCALL, thread, nullptr, deliver);
  }
  return count;
}

// Names of those that allocators use; others by number.
inline std::string syscall_name(std::uint64_t number) {
  static constexpr std::pair<std::uint64_t, const char*> kNames[] = {
      {SYS_mmap, "mmap"},       {SYS_munmap, "munmap"},     {SYS_mremap, "mremap"},
      {SYS_madvise, "madvise"}, {SYS_mprotect, "mprotect"}, {SYS_brk, "brk"},
      {SYS_futex, "futex"},     {SYS_sched_yield, "sched_yield"}};
  for (const auto& [known, name] : kNames) {
    if (known == number) return name;
  }
  return std::to_string(number);
}

}  // namespace hakmem::bench
