// Threads that have allocated and freed much and then wait, while the first goes on for 2.5 s: what do their caches keep? Prints
// the anonymous memory of the process. Argument: how many threads, 1 to 1024.
// g++ -std=c++20 -O2 -pthread -o waiting waiting.cpp && LD_PRELOAD=$(hakmem path magazine_per_cpu) ./waiting 256
#include <barrier>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace {

void allocate_and_free(unsigned seed) {
  std::minstd_rand random(seed + 1);
  std::uniform_int_distribution<std::size_t> size(16, 1015);
  std::vector<void*> blocks(4096);
  for (int round = 0; round < 20; ++round) {
    for (void*& block : blocks) {
      const std::size_t bytes = size(random);
      block = std::malloc(bytes);
      std::memset(block, 1, bytes);
    }
    for (void* block : blocks) std::free(block);
  }
}

}  // namespace

int main(int count, char** words) {
  const int threads = count == 2 ? std::atoi(words[1]) : 0;
  if (threads < 1 || threads > 1024) {
    std::cerr << "waiting: expected a number of threads, 1 to 1024\n";
    return 2;
  }
  std::barrier here(threads + 1);
  std::vector<std::thread> team;
  for (int i = 0; i < threads; ++i) {
    team.emplace_back([&here, i] {
      allocate_and_free(static_cast<unsigned>(i));
      here.arrive_and_wait();  // all have freed what they had
      here.arrive_and_wait();  // the memory has been read
    });
  }
  here.arrive_and_wait();
  std::vector<void*> blocks(20'000);
  const auto end = std::chrono::steady_clock::now() + std::chrono::milliseconds(2500);
  while (std::chrono::steady_clock::now() < end) {
    for (void*& block : blocks) block = std::malloc(100);
    for (void* block : blocks) std::free(block);
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  std::ifstream memory("/proc/self/smaps_rollup");
  for (std::string line; std::getline(memory, line);) {
    if (line.starts_with("Pss_Anon:")) std::cout << threads << " threads wait: " << std::stol(line.substr(9)) / 1024.0 << " MiB\n";
  }
  here.arrive_and_wait();
  for (std::thread& thread : team) thread.join();
}
