// The tests' harness: a test registers itself by being a static object, `check` reports the line that called it, and
// run_tests() runs every test of the program, or those whose names contain the first argument. One thread registers;
// any thread may check.
#pragma once

#include <atomic>
#include <cstdio>
#include <cstring>
#include <source_location>
#include <string>

namespace hakmem::test {

inline std::atomic<int> failures{0};

// Reports a failure at the calling line and goes on; after 20 of them it stays silent.
inline bool check(bool holds, const char* what = "", std::source_location at = std::source_location::current()) {
  if (!holds && failures.fetch_add(1, std::memory_order_relaxed) < 20) {
    std::fprintf(stderr, "%s:%u: in %s: does not hold%s%s\n", at.file_name(), at.line(), at.function_name(),
                 *what != '\0' ? ": " : "", what);
  }
  return holds;
}

template <class A, class B>
bool check_equal(const A& got, const B& expected, std::source_location at = std::source_location::current()) {
  if (got == static_cast<A>(expected)) return true;
  if constexpr (std::is_convertible_v<A, long long>) {
    const std::string what = "got " + std::to_string(got) + ", expected " + std::to_string(expected);
    return check(false, what.c_str(), at);
  } else {
    return check(false, "not equal", at);
  }
}

struct Test {
  using Body = void (*)();
  Test(const char* test_name, Body test_body) : name(test_name), body(test_body) {
    Test** end = &first;
    while (*end != nullptr) end = &(*end)->next;
    *end = this;
  }
  const char* name;
  Body body;
  Test* next = nullptr;
  static inline Test* first = nullptr;
};

inline int run_tests(int argc, char** argv) {
  int ran = 0;
  for (Test* test = Test::first; test != nullptr; test = test->next) {
    if (argc > 1 && std::strstr(test->name, argv[1]) == nullptr) continue;
    const int before = failures.load();
    test->body();
    std::printf("%s  %s\n", failures.load() == before ? "ok  " : "FAIL", test->name);
    std::fflush(stdout);
    ++ran;
  }
  if (ran == 0) std::fprintf(stderr, "no test has a name with %s in it\n", argc > 1 ? argv[1] : "");
  return ran == 0 || failures.load() != 0 ? 1 : 0;
}

}  // namespace hakmem::test
