// A program that allocates wherever a process may: before main, in thread-local destructors, after a thread's keys are
// gone, in signal handlers, fork handlers and exit handlers. It prints the stages it went through, one a line.
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

namespace {

void say(const char* text) {
  [[maybe_unused]] const auto written = ::write(STDOUT_FILENO, text, std::strlen(text));
}

// Blocks of every kind, written from end to end.
void use() {
  for (std::size_t n : {1u, 24u, 500u, 4000u, 50'000u, 300'000u}) {
    void* p = std::malloc(n);
    if (!p) std::abort();
    std::memset(p, 0x5a, n);
    p = std::realloc(p, n * 2);
    void* q = std::calloc(n, 3);
    if (!p || !q) std::abort();
    std::free(p);
    std::free(q);
  }
}

[[gnu::constructor(101)]] void early() {
  use();
  say("constructor\n");
}
[[gnu::destructor]] void late() {
  use();
  say("destructor\n");
}

struct Static {
  std::string text;
  Static() : text(1000, 's') { use(); }
  ~Static() {
    use();
    say("static destructor\n");
  }
} one_static;

struct OfThread {
  std::vector<int> values = std::vector<int>(5000, 1);
  ~OfThread() { use(); }
};
thread_local OfThread of_thread;

// The keys' destructors run for several rounds while each sets its key again, after the allocator's own may have run.
pthread_key_t key;
void key_destructor(void* value) {
  use();
  const auto round = reinterpret_cast<std::uintptr_t>(value);
  if (round < 4) ::pthread_setspecific(key, reinterpret_cast<void*>(round + 1));
}

void on_signal(int) { use(); }

}  // namespace

int main() {
  std::atexit([] {
    use();
    say("atexit\n");
  });
  if (::pthread_key_create(&key, key_destructor)) return 1;
  for (int i = 0; i < 40; ++i) {
    std::thread([] {
      use();
      of_thread.values.push_back(2);
      ::pthread_setspecific(key, reinterpret_cast<void*>(std::uintptr_t{1}));
    }).join();
  }
  say("threads\n");

  struct sigaction action {};
  action.sa_handler = on_signal;
  ::sigaction(SIGUSR1, &action, nullptr);
  for (int i = 0; i < 20; ++i) ::raise(SIGUSR1);
  say("signals\n");

  ::pthread_atfork([] { use(); }, [] { use(); }, [] { use(); });
  for (int i = 0; i < 4; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      use();
      ::_exit(0);
    }
    int status = 1;
    ::waitpid(child, &status, 0);
    if (status != 0) return 1;
  }
  say("forks\n");
  use();
  return 0;
}
