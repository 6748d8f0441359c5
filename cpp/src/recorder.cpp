// Preloaded by `hakmem record`: wraps whatever malloc the process has and notes each call in the process's file in the folder
// that HAKMEM_RECORDER names. A block's birth is noted after the allocator gave it, its free before the allocator gets it
// back: so a free by another thread, and the next use of an address, stand in their true order.
#include <dlfcn.h>
#include <malloc.h>
#include <unistd.h>

#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include <hakmem/base/new_handler.hpp>
#include <hakmem/bench/recording_writer.hpp>

namespace {

using hakmem::bench::kAlignBits;
using hakmem::bench::Recorded;
using namespace hakmem::bench::recording;

// The malloc behind this one.
struct Real {
  void* (*malloc)(std::size_t);
  void (*free)(void*);
  void* (*calloc)(std::size_t, std::size_t);
  void* (*realloc)(void*, std::size_t);
  void* (*memalign)(std::size_t, std::size_t);
  void* (*aligned_alloc)(std::size_t, std::size_t);
  int (*posix_memalign)(void**, std::size_t, std::size_t);
  void* (*valloc)(std::size_t);
  void* (*pvalloc)(std::size_t);
};
constinit Real real{};
constinit std::atomic<bool> resolved{false};

// dlsym itself may ask for memory. These blocks are never given back.
alignas(16) constinit char early[1 << 14]{};
constinit std::size_t early_used = 0;

void* early_block(std::size_t n) noexcept {
  const std::size_t at = early_used;
  if (n > sizeof early - at) return nullptr;
  early_used = (at + n + 15) & ~std::size_t{15};
  return early + at;
}
bool is_early(const void* p) noexcept { return p >= early && p < early + sizeof early; }

template <class F>
void find(F*& function, const char* name) noexcept {
  function = reinterpret_cast<F*>(::dlsym(RTLD_NEXT, name));
}

// Runs on the first call, when the process has one thread; false while it runs.
[[gnu::cold, gnu::noinline]] bool resolve() noexcept {
  static constinit bool running = false;
  if (running) return false;
  running = true;
  Real found{};
  find(found.malloc, "malloc");
  find(found.free, "free");
  find(found.calloc, "calloc");
  find(found.realloc, "realloc");
  find(found.memalign, "memalign");
  find(found.aligned_alloc, "aligned_alloc");
  find(found.posix_memalign, "posix_memalign");
  find(found.valloc, "valloc");
  find(found.pvalloc, "pvalloc");
  real = found;
  resolved.store(true, std::memory_order_release);
  return true;
}
inline bool ready() noexcept { return resolved.load(std::memory_order_relaxed) || resolve(); }

void* born_aligned(void* p, std::size_t align, std::size_t n) noexcept {
  if (p != nullptr) {
    const auto bits = align <= 1 ? 0u : static_cast<unsigned>(std::bit_width(align - 1));
    note(Recorded::kAligned, p, static_cast<std::uint64_t>(n) << kAlignBits | bits);
  }
  return p;
}

std::size_t os_page() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

// A program that asks for nothing is a process of the recording too.
[[gnu::constructor]] void open_library() noexcept {
  if (ready() && state.load(std::memory_order_relaxed) == State::kFresh) start();
}

}  // namespace

extern "C" {

[[gnu::visibility("default")]] void* malloc(std::size_t n) noexcept {
  if (!ready()) [[unlikely]] return early_block(n);
  void* p = real.malloc(n);
  if (p != nullptr) note(Recorded::kMalloc, p, n);
  return p;
}

[[gnu::visibility("default")]] void free(void* p) noexcept {
  if (p == nullptr || is_early(p)) return;
  note(Recorded::kFree, p, 0);
  real.free(p);
}

[[gnu::visibility("default")]] void* calloc(std::size_t count, std::size_t n) noexcept {
  if (!ready()) [[unlikely]] return early_block(count * n);
  void* p = real.calloc(count, n);
  if (p != nullptr) note(Recorded::kCalloc, p, count * n);
  return p;
}

[[gnu::visibility("default")]] void* realloc(void* p, std::size_t n) noexcept {
  if (p == nullptr) return malloc(n);
  if (is_early(p)) {
    void* moved = malloc(n);
    const std::size_t held = static_cast<std::size_t>(early + sizeof early - static_cast<char*>(p));
    if (moved != nullptr) std::memcpy(moved, p, held < n ? held : n);
    return moved;
  }
  const std::uint64_t before = next_number();
  void* q = real.realloc(p, n);
  if (q == p) {
    note(Recorded::kResize, p, n, before);
  } else if (q != nullptr) {
    note(Recorded::kLeave, p, 0, before);
    note(Recorded::kArrive, q, n);
  } else if (n == 0) {
    note(Recorded::kFree, p, 0, before);
  }
  return q;
}

[[gnu::visibility("default")]] void* reallocarray(void* p, std::size_t count, std::size_t size) noexcept {
  std::size_t n;
  if (__builtin_mul_overflow(count, size, &n)) {
    errno = ENOMEM;
    return nullptr;
  }
  return realloc(p, n);
}

[[gnu::visibility("default")]] void* memalign(std::size_t align, std::size_t n) noexcept {
  return ready() ? born_aligned(real.memalign(align, n), align, n) : nullptr;
}
[[gnu::visibility("default")]] void* aligned_alloc(std::size_t align, std::size_t n) noexcept {
  return ready() ? born_aligned(real.aligned_alloc(align, n), align, n) : nullptr;
}
[[gnu::visibility("default")]] int posix_memalign(void** result, std::size_t align, std::size_t n) noexcept {
  if (!ready()) return ENOMEM;
  const int error = real.posix_memalign(result, align, n);
  if (error == 0) born_aligned(*result, align, n);
  return error;
}
[[gnu::visibility("default")]] void* valloc(std::size_t n) noexcept {
  return ready() ? born_aligned(real.valloc(n), os_page(), n) : nullptr;
}
[[gnu::visibility("default")]] void* pvalloc(std::size_t n) noexcept {
  const std::size_t page = os_page();
  return ready() ? born_aligned(real.pvalloc(n), page, (n + page - 1) / page * page) : nullptr;
}

}  // extern "C"

// A malloc library may have operators of its own, whose calls would pass this one by.
namespace {

// align 0: malloc's own.
void* made_new(std::size_t n, std::size_t align, bool may_throw) {
  const auto take = [=] { return align == 0 ? malloc(n) : memalign(align, n); };
  void* p = take();
  return p != nullptr ? p : hakmem::base::ask_new_handler(take, may_throw);
}
void* made_new_nothrow(std::size_t n, std::size_t align) noexcept { return made_new(n, align, false); }

}  // namespace

void* operator new(std::size_t n) { return made_new(n, 0, true); }
void* operator new[](std::size_t n) { return made_new(n, 0, true); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return made_new_nothrow(n, 0); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return made_new_nothrow(n, 0); }
void* operator new(std::size_t n, std::align_val_t a) { return made_new(n, static_cast<std::size_t>(a), true); }
void* operator new[](std::size_t n, std::align_val_t a) { return made_new(n, static_cast<std::size_t>(a), true); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return made_new_nothrow(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return made_new_nothrow(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { free(p); }
void operator delete[](void* p) noexcept { free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { free(p); }
void operator delete(void* p, std::size_t) noexcept { free(p); }
void operator delete[](void* p, std::size_t) noexcept { free(p); }
void operator delete(void* p, std::align_val_t) noexcept { free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { free(p); }
void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept { free(p); }
void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept { free(p); }
