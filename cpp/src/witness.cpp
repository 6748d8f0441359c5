// Preloaded by `hakmem run` beside a malloc library: each process notes, in the folder that HAKMEM_WITNESS names, whose
// malloc it calls, each program it starts, and at its end the allocator's statistics. Only system calls and one buffer of
// its own mapping; nothing is kept, so it may run between vfork and exec. Between fields stands 0x1f; records
// end with 0x1e.
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include <hakmem/base/decimal.hpp>

extern "C" {
[[gnu::weak]] const char* hakmem_id() noexcept;
[[gnu::weak]] int hakmem_owns(const void*) noexcept;
[[gnu::weak]] std::size_t hakmem_statistics(char*, std::size_t) noexcept;
}

namespace {

constexpr std::size_t kPath = 4096;
char folder[kPath];  // empty: nobody asked

// A path inside the folder: "<folder>/<name>[<number>]".
struct Place {
  char text[kPath + 64];
  explicit Place(const char* name, const char* number = "") noexcept {
    std::size_t n = 0;
    for (const char* from : {static_cast<const char*>(folder), "/", name, number}) {
      for (; *from != '\0' && n < sizeof text - 1; ++from) text[n++] = *from;
    }
    text[n] = '\0';
  }
};

// One record, written in one go to the end of the journal. In a mapping of its own: stacks may be small.
class Record {
 public:
  Record(const char* kind, long pid) noexcept {
    void* memory = ::mmap(nullptr, kRoom, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    text_ = static_cast<char*>(memory);
    field(kind);
    number(pid);
  }
  Record& field(const char* text) noexcept {
    if (text_ == nullptr) return *this;
    for (; *text != '\0' && length_ < kRoom - 2; ++text) text_[length_++] = *text;
    return end_field();
  }
  Record& number(long value) noexcept {
    return field(hakmem::base::Decimal(static_cast<std::uint64_t>(value)).text());
  }
  Record& link(const char* path) noexcept {
    if (text_ == nullptr) return *this;
    const ssize_t n = ::readlink(path, text_ + length_, kRoom - 2 - length_);
    if (n > 0) length_ += static_cast<std::size_t>(n);
    return end_field();
  }
  void write() noexcept {
    if (text_ == nullptr) return;
    text_[length_ - 1] = '\x1e';
    const int file = ::open(Place("journal").text, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (file >= 0) {
      [[maybe_unused]] const auto written = ::write(file, text_, length_);
      ::close(file);
    }
    ::munmap(text_, kRoom);
  }

 private:
  static constexpr std::size_t kRoom = 8 * kPath;
  Record& end_field() noexcept {
    if (length_ < kRoom) text_[length_++] = '\x1f';
    return *this;
  }
  char* text_ = nullptr;
  std::size_t length_ = 0;
};

// A block that the program's own malloc gave: is it the library's?
void note_process(const char* kind) noexcept {
  const char* owned = "unknown";
  if (hakmem_owns != nullptr) {
    void* p = ::malloc(1);
    owned = hakmem_owns(p) ? "yes" : "no";
    ::free(p);
  }
  Record(kind, ::getpid()).field(hakmem_id != nullptr ? hakmem_id() : "").field(owned).link("/proc/self/exe").write();
}

const char* value_of(const char* name, char* const* environment) noexcept {
  const std::size_t length = std::strlen(name);
  for (; environment != nullptr && *environment != nullptr; ++environment) {
    if (std::strncmp(*environment, name, length) == 0 && (*environment)[length] == '=') return *environment + length + 1;
  }
  return "";
}

// `path` is searched for in PATH where it has no slash and `search` says so.
void note_start(const char* kind, long pid, const char* path, bool search, char* const* environment) noexcept {
  if (folder[0] == '\0' || path == nullptr) return;
  const char* where = search && std::strchr(path, '/') == nullptr ? value_of("PATH", environ) : "";
  Record record(kind, pid);
  record.field(path).link("/proc/self/cwd").field(where).field(value_of("LD_PRELOAD", environment)).write();
}
void note_failure() noexcept {
  const int saved = errno;
  if (folder[0] != '\0') Record("failed", ::getpid()).write();
  errno = saved;
}

void write_statistics() noexcept {
  if (folder[0] == '\0' || hakmem_statistics == nullptr) return;
  const hakmem::base::Decimal pid(static_cast<std::uint64_t>(::getpid()));
  for (std::size_t room = std::size_t{1} << 16;;) {
    void* text = ::mmap(nullptr, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (text == MAP_FAILED) return;
    const std::size_t length = hakmem_statistics(static_cast<char*>(text), room);
    if (length <= room) {
      const int file = ::open(Place("statistics.", pid.text()).text, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
      std::size_t done = 0;
      while (file >= 0 && done < length) {
        const ssize_t n = ::write(file, static_cast<char*>(text) + done, length - done);
        if (n <= 0) break;
        done += static_cast<std::size_t>(n);
      }
      if (file >= 0) ::close(file);
    }
    ::munmap(text, room);
    if (length <= room) return;
    room = 2 * length;
  }
}

[[gnu::constructor]] void start() noexcept {
  const char* wanted = ::secure_getenv("HAKMEM_WITNESS");
  if (wanted == nullptr || std::strlen(wanted) >= sizeof folder) return;
  std::strcpy(folder, wanted);
  note_process("start");
  ::pthread_atfork(nullptr, nullptr, [] { note_process("fork"); });
}
[[gnu::destructor]] void end() noexcept { write_statistics(); }

template <class F>
F* next(const char* name) noexcept {
  return reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

int run(const char* path, bool search, char* const* arguments, char* const* environment) noexcept {
  note_start("exec", ::getpid(), path, search, environment);
  const int result = next<decltype(::execvpe)>(search ? "execvpe" : "execve")(path, arguments, environment);
  note_failure();
  return result;
}

// The arguments of an execl call as an array, and what stands behind them, for go().
template <class Go>
int with_array(const char* first, va_list list, Go&& go) noexcept {
  va_list ahead;
  va_copy(ahead, list);
  std::size_t count = 1;
  while (va_arg(ahead, const char*) != nullptr) ++count;
  va_end(ahead);
  auto** arguments = static_cast<char**>(__builtin_alloca((count + 1) * sizeof(char*)));
  arguments[0] = const_cast<char*>(first);
  for (std::size_t i = 1; i <= count; ++i) arguments[i] = va_arg(list, char*);
  return go(arguments, list);
}

}  // namespace

extern "C" {

[[noreturn, gnu::visibility("default")]] void _exit(int code) {
  write_statistics();
  for (;;) ::syscall(SYS_exit_group, code);
}
[[noreturn, gnu::visibility("default")]] void _Exit(int code) noexcept { _exit(code); }

[[gnu::visibility("default")]] int execve(const char* path, char* const* arguments, char* const* environment) noexcept {
  return run(path, false, arguments, environment);
}
[[gnu::visibility("default")]] int execv(const char* path, char* const* arguments) noexcept {
  return run(path, false, arguments, environ);
}
[[gnu::visibility("default")]] int execvp(const char* path, char* const* arguments) noexcept {
  return run(path, true, arguments, environ);
}
[[gnu::visibility("default")]] int execvpe(const char* path, char* const* arguments, char* const* environment) noexcept {
  return run(path, true, arguments, environment);
}

[[gnu::visibility("default")]] int execl(const char* path, const char* first, ...) noexcept {
  va_list list;
  va_start(list, first);
  const int result = with_array(first, list, [path](char** arguments, va_list) {
    return run(path, false, arguments, environ);
  });
  va_end(list);
  return result;
}
[[gnu::visibility("default")]] int execlp(const char* path, const char* first, ...) noexcept {
  va_list list;
  va_start(list, first);
  const int result = with_array(first, list, [path](char** arguments, va_list) {
    return run(path, true, arguments, environ);
  });
  va_end(list);
  return result;
}
[[gnu::visibility("default")]] int execle(const char* path, const char* first, ...) noexcept {
  va_list list;
  va_start(list, first);
  const int result = with_array(first, list, [path](char** arguments, va_list rest) {
    return run(path, false, arguments, va_arg(rest, char* const*));
  });
  va_end(list);
  return result;
}

[[gnu::visibility("default")]] int posix_spawn(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                                               const posix_spawnattr_t* attributes, char* const* arguments,
                                               char* const* environment) noexcept {
  pid_t child = 0;
  const int result = next<decltype(::posix_spawn)>("posix_spawn")(&child, path, actions, attributes, arguments, environment);
  if (result == 0) note_start("spawn", child, path, false, environment);
  if (result == 0 && pid != nullptr) *pid = child;
  return result;
}
[[gnu::visibility("default")]] int posix_spawnp(pid_t* pid, const char* path, const posix_spawn_file_actions_t* actions,
                                                const posix_spawnattr_t* attributes, char* const* arguments,
                                                char* const* environment) noexcept {
  pid_t child = 0;
  const int result =
      next<decltype(::posix_spawnp)>("posix_spawnp")(&child, path, actions, attributes, arguments, environment);
  if (result == 0) note_start("spawn", child, path, true, environment);
  if (result == 0 && pid != nullptr) *pid = child;
  return result;
}

}  // extern "C"
