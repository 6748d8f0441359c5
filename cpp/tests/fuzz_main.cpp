// Plays streams on fuzz_engine.cpp without libFuzzer.
//   inputs COUNT SEED   that many generated streams
//   faults COUNT SEED   that many streams in which each call of the page source is refused in turn, alone and with the two
//                       after it (the engine asks twice); a fresh process for each, so that the first calls come up, too
//   FILE...             streams that libFuzzer has kept
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <vector>

#include "fuzz_engine.hpp"
#include "random.hpp"

namespace {

using namespace hakmem;
using Stream = std::vector<std::uint8_t>;

Stream generated(std::uint64_t seed, std::size_t bytes) {
  test::Random random(seed);
  Stream stream(bytes);
  for (auto& byte : stream) byte = static_cast<std::uint8_t>(random.next());
  return stream;
}

void inputs(unsigned long count, unsigned long seed) {
  test::FuzzCounts counts{};
  for (unsigned long i = 0; i < count; ++i) {
    const Stream stream = generated(seed * 1000003 + i, 4096);
    counts = test::run_stream(stream.data(), stream.size(), -1, 0);
  }
  std::printf("%lu streams, %llu operations, %llu requests refused\n", count,
              static_cast<unsigned long long>(counts.operations), static_cast<unsigned long long>(counts.requests_refused));
}

struct Faults {
  unsigned long calls = 0, operations = 0, requests_refused = 0;
};

// Refuses the calls n .. n + times - 1 of a stream, in a process of its own. False: the stream makes fewer calls.
bool refuse(const Stream& stream, long n, long times, test::FuzzCounts& shared, Faults& faults) {
  const pid_t child = ::fork();
  if (child == 0) {
    shared = test::run_stream(stream.data(), stream.size(), n, times);
    ::_exit(0);
  }
  int status = -1;
  if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
    std::fprintf(stderr, "with %ld calls refused from call %ld on, the child ended with status %d\n", times, n, status);
    std::exit(1);
  }
  if (shared.calls_refused == 0) return false;
  faults.calls += shared.calls_refused;
  faults.operations += shared.operations;
  faults.requests_refused += shared.requests_refused;
  return true;
}

int inject_faults(unsigned long count, unsigned long seed) {
  void* memory = ::mmap(nullptr, sizeof(test::FuzzCounts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 1;
  auto& shared = *static_cast<test::FuzzCounts*>(memory);
  Faults faults;
  for (unsigned long i = 0; i < count; ++i) {
    const Stream stream = generated(seed * 1000003 + i, 2048);
    for (const long times : {1, 3}) {
      for (long n = 0; refuse(stream, n, times, shared, faults);) ++n;
    }
  }
  std::printf("%lu calls refused, %lu operations, %lu requests refused\n", faults.calls, faults.operations,
              faults.requests_refused);
  return faults.requests_refused == 0 ? 1 : 0;  // a run in which nothing failed shows nothing
}

int replay(int count, char** paths) {
  for (int i = 0; i < count; ++i) {
    std::ifstream file(paths[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "%s: cannot be read\n", paths[i]);
      return 2;
    }
    const Stream stream((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    test::run_stream(stream.data(), stream.size(), -1, 0);
    std::printf("%s: played\n", paths[i]);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 4 && std::strcmp(argv[1], "inputs") == 0) {
    inputs(std::strtoul(argv[2], nullptr, 10), std::strtoul(argv[3], nullptr, 10));
    return 0;
  }
  if (argc == 4 && std::strcmp(argv[1], "faults") == 0) {
    return inject_faults(std::strtoul(argv[2], nullptr, 10), std::strtoul(argv[3], nullptr, 10));
  }
  if (argc < 2) {
    std::fprintf(stderr, "usage: fuzz_main inputs COUNT SEED | faults COUNT SEED | FILE...\n");
    return 2;
  }
  return replay(argc - 1, argv + 1);
}
