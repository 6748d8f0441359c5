// A program that forks where malloc's locks are hard to take: from a signal that comes while a fork has them all, then
// beside threads that hold locks of the C library's files and allocate, or hold the list of files and wait for those.
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>
#include <vector>

namespace {

bool raise_in_fork = false;

void use_and_fork() {
  for (const std::size_t n : {24u, 5000u, 200'000u, 9'000'000u}) std::free(std::malloc(n));
  const pid_t child = ::fork();
  if (child < 0) std::abort();
  if (child == 0) {
    for (const std::size_t n : {24u, 5000u, 200'000u, 9'000'000u}) std::free(std::malloc(n));
    ::_exit(17);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
  }
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 17) std::abort();
}

void on_signal(int) { use_and_fork(); }

// The first to be registered is the last to run before a fork: a malloc library's own handler has taken its locks.
void raise_once() {
  if (!raise_in_fork) return;
  raise_in_fork = false;
  ::raise(SIGUSR1);
}
void register_first(int, char**, char**) { ::pthread_atfork(raise_once, nullptr, nullptr); }
[[gnu::section(".preinit_array"), gnu::used]] void (*const first)(int, char**, char**) = register_first;

void read_a_long_line(FILE* file, const std::atomic<bool>& done) {
  while (!done) {
    std::rewind(file);
    char* line = nullptr;
    std::size_t room = 0;
    if (::getline(&line, &room, file) != 50'001) std::abort();
    std::free(line);
  }
}

}  // namespace

int main() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGUSR1, &action, nullptr);
  raise_in_fork = true;
  use_and_fork();
  if (raise_in_fork) std::abort();
  std::puts("signal");

  std::atomic<bool> done = false;
  std::vector<FILE*> files;
  for (int i = 0; i < 3; ++i) {
    FILE* file = files.emplace_back(std::tmpfile());
    for (int n = 0; n < 50'000; ++n) std::fputc('x', file);
    std::fputc('\n', file);
    std::fflush(file);
  }
  std::vector<std::thread> threads;
  for (FILE* file : files) threads.emplace_back([&done, file] { read_a_long_line(file, done); });
  // One flush a fork: a thread that flushed without end would keep the list's lock to itself.
  std::atomic<int> flushes = 0;
  threads.emplace_back([&done, &flushes] {
    for (int n = 0; !done;) {
      if (n < flushes) {
        std::fflush(nullptr);
        ++n;
      } else {
        std::this_thread::yield();
      }
    }
  });
  std::vector<std::thread> forkers;
  for (int i = 0; i < 2; ++i) {
    forkers.emplace_back([&flushes] {
      for (int n = 0; n < 10; ++n) {
        ++flushes;
        use_and_fork();
      }
    });
  }
  for (auto& thread : forkers) thread.join();
  done = true;
  for (auto& thread : threads) thread.join();
  std::puts("files");
}
