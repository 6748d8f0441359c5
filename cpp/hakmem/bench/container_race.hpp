// The main function of a program that runs one container loop under one scheme in one process and prints one line of JSON,
// with the keys of the runner's. Bad input: one line on stderr, exit 2.
//   PROGRAM SCHEME LOOP CPU MIN_MS
#pragma once

#include <sched.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>

#include <hakmem/bench/container_loops.hpp>
#include <hakmem/bench/report.hpp>
#include <hakmem/bench/served.hpp>

namespace hakmem::bench {

template <class Scheme>
void race_one(std::string_view loop, Run& run) {
  for (const ContainerLoop<Scheme>& each : kContainerLoops<Scheme>) {
    if (each.name == loop) {
      Scheme scheme;
      return each.run(scheme, run);
    }
  }
  throw std::invalid_argument("no loop is called " + std::string(loop));
}

// `engine` names the engine that is compiled in.
template <class... Schemes>
int race_containers(int argc, char** argv, std::string_view engine) {
  try {
    if (argc != 5) throw std::invalid_argument("expected SCHEME LOOP CPU MIN_MS");
    const std::string_view scheme = argv[1], loop = argv[2];
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(static_cast<std::size_t>(std::atoi(argv[3])), &set);
    if (::sched_setaffinity(0, sizeof set, &set)) throw std::invalid_argument("this process may not use that cpu");
    Run run({.min_ns = static_cast<std::uint64_t>(std::atoll(argv[4])) * 1'000'000});
    const bool found = ((scheme == Schemes::kName && (race_one<Schemes>(loop, run), true)) || ...);
    if (!found) throw std::invalid_argument("no scheme is called " + std::string(scheme));
    const std::uint64_t peak_kib = status_kib("VmHWM:"), end_kib = status_kib("VmRSS:");
    Json json;
    json.text("scheme", scheme).text("engine", engine).raw("params", "{}").raw("served", served_json(run));
    json.number("startup_ns", std::uint64_t{0});
    add_measurement(json, run, peak_kib, end_kib);
    std::printf("%s\n", json.str().c_str());
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 2;
  }
}

}  // namespace hakmem::bench
