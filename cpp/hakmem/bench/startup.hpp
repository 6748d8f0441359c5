// Start-up: fresh processes of an otherwise empty program under the same environment, so under the same allocator.
// One operation is the first allocation of such a process (first_allocation.hpp): the median over the processes. Beside it,
// `spawn_ns` is the median time from starting a process to its end, loading of libraries included.
#pragma once

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <vector>

#include <hakmem/bench/first_allocation.hpp>
#include <hakmem/bench/parameters.hpp>
#include <hakmem/bench/run.hpp>

namespace hakmem::bench {

inline constexpr ParameterInfo kStartupParameters[] = {
    {"processes", 20, 1, 100'000, "fresh processes of one pass"}};
inline constexpr WorkloadInfo kStartup{"startup", "process", "first allocation in a fresh process", kStartupParameters};

inline std::uint64_t median(std::vector<std::uint64_t>& values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// Starts this program once more; it writes its first_allocation_ns to the pipe and ends.
inline std::uint64_t start_process(const char* allocator, char** environment) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC)) throw std::runtime_error("startup: no pipe");
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  char program[] = "/proc/self/exe";
  std::string flag = kStartupFlag, which = allocator;
  char* arguments[] = {program, flag.data(), which.data(), nullptr};
  pid_t pid = 0;
  const int error = ::posix_spawn(&pid, program, &actions, nullptr, arguments, environment);
  posix_spawn_file_actions_destroy(&actions);
  ::close(ends[1]);
  std::uint64_t ns = 0;
  const bool told = !error && ::read(ends[0], &ns, sizeof ns) == sizeof ns;
  ::close(ends[0]);
  int status = 0;
  if (!error) ::waitpid(pid, &status, 0);
  if (!told || status != 0) throw std::runtime_error("startup: the fresh process failed");
  return ns;
}

inline void startup(const Parameters& p, Run& run, const char* allocator, char** environment) {
  std::vector<std::uint64_t> first, spawn;
  const std::uint64_t processes = p["processes"];
  run.measure(processes, [&] {
    for (std::uint64_t i = 0; i < processes; ++i) {
      const std::uint64_t from = now_ns();
      first.push_back(start_process(allocator, environment));
      spawn.push_back(now_ns() - from);
    }
  });
  run.histogram.add(64, processes);
  run.ns = median(first) * run.ops;
  run.extra.emplace_back("spawn_ns", static_cast<double>(median(spawn)));
}

}  // namespace hakmem::bench
