// hakmem_runner: one workload in one process over the malloc that this process has (started under LD_PRELOAD or not), or
// over the null allocator; prints one line of JSON. Bad input: one line on stderr, exit 2.
#include <sched.h>

#include <charconv>
#include <cstdio>
#include <iterator>

#include <hakmem/bench/first_allocation.hpp>
#include <hakmem/bench/process_allocator.hpp>
#include <hakmem/bench/replay.hpp>
#include <hakmem/bench/report.hpp>
#include <hakmem/bench/served.hpp>
#include <hakmem/bench/startup.hpp>
#include <hakmem/bench/syscall_counter.hpp>
#include <hakmem/bench/workloads.hpp>

namespace {

using namespace hakmem::bench;

[[gnu::section(".preinit_array"), gnu::used]] void (*at_start)(int, char**, char**) = &time_first_allocation;

constexpr const char* kUsage =
    "usage: hakmem_runner --list | --workload NAME [--set PARAM=VALUE]... | --replay PLAN [--allocator process|null] "
    "[--cpu N[,N]...] [--min-ms N] [--passes N] [--count-syscalls]";

struct Options {
  std::string workload;
  std::string plan;  // of a replay, which has no other workload
  NamedTexts set;
  std::string allocator = "process";
  std::vector<std::uint64_t> cpus;
  std::uint64_t min_ms = 200;
  std::uint64_t passes = 0;
  bool list = false;
  bool count_syscalls = false;
  bool marked = false;  // the traced child of --count-syscalls
};

std::uint64_t integer(std::string_view option, std::string_view text, std::uint64_t max) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size() || value > max) {
    throw std::invalid_argument(std::string(option) + ": expected an integer of 0 to " + std::to_string(max) + ", got '" +
                                std::string(text) + "'");
  }
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string_view option = argv[i];
    if (option == "--list" || option == "--count-syscalls" || option == "--marked") {
      (option == "--list" ? options.list : option == "--marked" ? options.marked : options.count_syscalls) = true;
      continue;
    }
    if (i + 1 == argc) throw std::invalid_argument(std::string(option) + ": expected a value; " + kUsage);
    const std::string_view value = argv[++i];
    if (option == "--workload") {
      options.workload = value;
    } else if (option == "--replay") {
      options.plan = value;
      options.workload = kReplay.name;
    } else if (option == "--set") {
      const std::size_t equals = value.find('=');
      if (equals == value.npos) {
        throw std::invalid_argument("--set: expected PARAM=VALUE, got '" + std::string(value) + "'");
      }
      options.set.emplace_back(value.substr(0, equals), value.substr(equals + 1));
    } else if (option == "--allocator" && (value == "process" || value == "null")) {
      options.allocator = value;
    } else if (option == "--allocator") {
      throw std::invalid_argument("--allocator: expected process or null, got '" + std::string(value) + "'");
    } else if (option == "--cpu") {
      for (std::size_t at = 0; at <= value.size();) {
        const std::size_t comma = std::min(value.find(',', at), value.size());
        options.cpus.push_back(integer(option, value.substr(at, comma - at), CPU_SETSIZE - 1));
        at = comma + 1;
      }
    } else if (option == "--min-ms") {
      options.min_ms = integer(option, value, 600'000);
    } else if (option == "--passes") {
      options.passes = integer(option, value, 1'000'000'000);
    } else {
      throw std::invalid_argument("unknown option '" + std::string(option) + "'; " + kUsage);
    }
  }
  if (!options.list && options.workload.empty()) throw std::invalid_argument(kUsage);
  return options;
}

void pin(const std::vector<std::uint64_t>& cpus) {
  if (cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const std::uint64_t cpu : cpus) CPU_SET(cpu, &set);
  if (::sched_setaffinity(0, sizeof set, &set)) throw std::invalid_argument("--cpu: this process may not use that cpu");
}

void print_list() {
  std::string all;
  for (const Workload<ProcessAllocator>& each : kWorkloads<ProcessAllocator>) all += workload_json(*each.info) + ",\n ";
  std::printf("[%s]\n", (all + workload_json(kStartup)).c_str());
}

template <hakmem::concepts::Allocator A>
Json run_row(const Options& options) {
  const bool is_startup = options.workload == kStartup.name;
  const bool is_replay = !options.plan.empty();
  const Workload<A>* workload = is_startup || is_replay ? nullptr : &find_workload<A>(options.workload);
  const Parameters parameters(is_startup ? kStartup : is_replay ? kReplay : *workload->info, options.set);
  pin(options.cpus);

  Run run({.min_ns = options.min_ms * 1'000'000,
           .passes = is_replay ? 1 : options.passes,
           .on_begin = options.marked ? &mark_begin : nullptr,
           .on_end = options.marked ? &mark_end : nullptr});
  const A allocator;
  if (is_startup || is_replay) {
    if (is_startup) startup(parameters, run, options.allocator.c_str(), environ);
    if (is_replay) replay(allocator, options.plan, run);
    void* p = allocator.malloc(64);
    run.sample(allocator, p);
    allocator.free(p);
  } else {
    workload->run(allocator, parameters, run);
  }
  const std::uint64_t end_kib = status_kib("VmRSS:");
  const std::uint64_t peak_kib = std::max(status_kib("VmHWM:"), run.most_rss_kib);  // the kernel's lags by some pages

  Json json;
  json.text("workload", options.workload)
      .raw("params", parameters_json(parameters))
      .text("allocator", options.allocator)
      .raw("served", served_json(run));
  if (options.marked) {
    json.number("ops", run.ops).number("passes", run.passes).number("threads", run.threads);
  } else {
    json.number("startup_ns", first_allocation_ns);
    add_measurement(json, run, peak_kib, end_kib);
  }
  return json;
}

Json row(const Options& options) {
  return options.allocator == "null" ? run_row<NullAllocator>(options) : run_row<ProcessAllocator>(options);
}

// Runs this program once more, traced, with its line read through a pipe; prints that line with the counts.
int count_syscalls_of(int argc, char** argv) {
  int ends[2];
  if (::pipe(ends)) throw std::runtime_error("--count-syscalls: no pipe");
  const pid_t child = ::fork();
  if (child < 0) throw std::runtime_error("--count-syscalls: no process");
  if (child == 0) {
    ::dup2(ends[1], STDOUT_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    std::vector<char*> arguments(argv, argv + argc);
    char marked[] = "--marked";
    for (char*& each : arguments) {
      if (std::strcmp(each, "--count-syscalls") == 0) each = marked;
    }
    arguments.push_back(nullptr);
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    ::execv("/proc/self/exe", arguments.data());
    ::_exit(127);
  }
  ::close(ends[1]);
  const SyscallCount count = count_syscalls(child);
  std::string line;
  char part[4096];
  for (ssize_t got; (got = ::read(ends[0], part, sizeof part)) > 0;) line.append(part, static_cast<std::size_t>(got));
  if (WIFSIGNALED(count.status)) {
    throw std::runtime_error("--count-syscalls: the traced process was ended by signal " +
                             std::to_string(WTERMSIG(count.status)));
  }
  if (WEXITSTATUS(count.status) != 0 || line.empty()) return WEXITSTATUS(count.status);  // it has said why

  Json kinds;
  std::uint64_t in_loop = 0;
  for (const auto& [number, calls] : count.by_number) {
    if (number == SYS_prctl || number == SYS_getrusage || number == SYS_clock_gettime) continue;
    kinds.number(syscall_name(number), calls);
    if (!is_harness_call(number)) in_loop += calls;
  }
  line.erase(line.rfind('}'));
  std::printf("%s, \"syscalls_in_loop\": %llu, \"syscalls\": %s}\n", line.c_str(),
              static_cast<unsigned long long>(in_loop), kinds.str().c_str());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 3 && std::strcmp(argv[1], kStartupFlag) == 0) {
    return ::write(STDOUT_FILENO, &first_allocation_ns, sizeof first_allocation_ns) == sizeof first_allocation_ns ? 0 : 1;
  }
  try {
    Options options = parse(argc, argv);
    if (options.list) {
      print_list();
    } else if (options.count_syscalls) {
      return count_syscalls_of(argc, argv);
    } else {
      if (options.marked && options.passes == 0) options.passes = 1;
      std::printf("%s\n", row(options).str().c_str());
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "hakmem_runner: %s\n", error.what());
    return 2;
  }
}
