// The one variant that the generated header names, as a process's malloc: for LD_PRELOAD or linking.
// Imports neither an allocator nor the C++ runtime: what operator new needs of it is found only where it is loaded.
#include <hakmem_variant.hpp>

#include <malloc.h>
#include <pthread.h>
#include <sys/single_threaded.h>

#include <cerrno>
#include <bit>
#include <cstdlib>
#include <new>

#include <hakmem/base/new_handler.hpp>
#include <hakmem/engine/engine.hpp>
#include <hakmem/engine/layout.hpp>
#include <hakmem/engine/malloc_info.hpp>
#include <hakmem/engine/malloc_library.hpp>
#include <hakmem/engine/statistics.hpp>

// The lock over the C library's list of open files, which fork() takes too. Recursive.
extern "C" {
[[gnu::weak]] void _IO_list_lock() noexcept;
[[gnu::weak]] void _IO_list_unlock() noexcept;
}

namespace {

using Engine = hakmem::engine::Engine<hakmem::Variant>;
static_assert(Engine::kInterposable,
              "malloc library: blocks must be aligned to 16 bytes and foreign pointers recognised");

constexpr char kSpace[] = " ";
template <std::size_t A, std::size_t B>
struct Id {
  char text[A + B];
  constexpr Id(const char (&name)[A], const char (&digest)[B]) noexcept : text{} {
    std::size_t n = 0;
    for (std::size_t i = 0; i + 1 < A; ++i) text[n++] = name[i];
    text[n++] = kSpace[0];
    for (std::size_t i = 0; i + 1 < B; ++i) text[n++] = digest[i];
  }
};
constexpr Id kId{hakmem::Variant::kName, hakmem::Variant::kDigest};

}  // namespace

// This library's own free, whatever the process's is.
extern "C" [[gnu::alias("free"), gnu::visibility("hidden")]] void own_free(void*) noexcept;

namespace {

// A process of one thread forks without locks: what it holds it holds itself, in the child as well, and a signal may
// have come while it held it. With more threads the list of files is locked first: one who walks it waits for a file
// whose user may be waiting in malloc.
constinit bool locked_for_fork = false;  // written by who holds every lock

void before_fork() noexcept {
  if (__libc_single_threaded) return;
  if (_IO_list_lock != nullptr) _IO_list_lock();
  Engine::before_fork();
  locked_for_fork = true;
}
void after_fork_in_child() noexcept {  // fork() has made the list's lock anew
  if (!locked_for_fork) return;
  locked_for_fork = false;
  Engine::after_fork();
}
void after_fork_in_parent() noexcept {
  if (!locked_for_fork) return;
  after_fork_in_child();
  if (_IO_list_unlock != nullptr) _IO_list_unlock();
}

// Whether the process's malloc is not this one. In a program at a fixed address the functions' addresses are stubs of the
// program's, wherever they lead: there a block tells.
bool process_has_another_malloc() noexcept {
  if (&::free == &own_free) return false;
  void* (*volatile allocate)(std::size_t) = ::malloc;
  void (*volatile release)(void*) = ::free;
  void* block = allocate(1);
  const bool another = block != nullptr && !Engine::owns(block);
  release(block);
  return another;
}

// Where the process's malloc is another one (this library was opened late, for itself), foreign pointers are that one's.
// The dynamic linker has said which it is: no look-up is needed.
[[gnu::constructor]] void open_library() noexcept {
  ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  if (process_has_another_malloc()) Engine::hand_foreign_to({::free, ::realloc, ::malloc_usable_size});
}

// align 0: malloc's own.
HAKMEM_COLD void* new_failed(std::size_t n, std::size_t align, bool may_throw) {
  const auto take = [=] { return align == 0 ? Engine::malloc(n) : Engine::aligned_alloc(align, n); };
  return hakmem::base::ask_new_handler(take, may_throw);
}
HAKMEM_COLD void* nothrow_failed(std::size_t n, std::size_t align) noexcept {
  return new_failed(n, align, false);
}
inline void* aligned(std::size_t align, std::size_t n) noexcept { return Engine::aligned_alloc(align, n); }

std::size_t os_page() noexcept { return static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)); }

}  // namespace

extern "C" {

HAKMEM_EXPORT void* malloc(std::size_t n) noexcept { return Engine::malloc(n); }
HAKMEM_EXPORT void free(void* p) noexcept { Engine::free(p); }
HAKMEM_EXPORT void* calloc(std::size_t count, std::size_t n) noexcept { return Engine::calloc(count, n); }
HAKMEM_EXPORT void* realloc(void* p, std::size_t n) noexcept { return Engine::realloc(p, n); }
HAKMEM_EXPORT void* reallocarray(void* p, std::size_t count, std::size_t size) noexcept {
  std::size_t n;
  if (__builtin_mul_overflow(count, size, &n)) {
    errno = ENOMEM;
    return nullptr;
  }
  return Engine::realloc(p, n);
}
HAKMEM_EXPORT void* aligned_alloc(std::size_t align, std::size_t n) noexcept { return aligned(align, n); }
// An alignment that is no power of two is rounded up to one, as glibc does; above the largest there is none.
HAKMEM_EXPORT void* memalign(std::size_t align, std::size_t n) noexcept {
  if (align > hakmem::base::kLargestRequest + 1) {
    errno = EINVAL;
    return nullptr;
  }
  return aligned(std::bit_ceil(align == 0 ? 1 : align), n);
}
// Sets errno when memory is out, as glibc does; POSIX leaves it open.
HAKMEM_EXPORT int posix_memalign(void** result, std::size_t align, std::size_t n) noexcept {
  if (!hakmem::base::is_power_of_two(align) || align % sizeof(void*) != 0) return EINVAL;
  void* p = aligned(align, n);
  if (p == nullptr) return ENOMEM;
  *result = p;
  return 0;
}
HAKMEM_EXPORT void* valloc(std::size_t n) noexcept { return aligned(os_page(), n); }
HAKMEM_EXPORT void* pvalloc(std::size_t n) noexcept {
  const std::size_t page = os_page();
  if (n > hakmem::base::kLargestRequest - page) {
    errno = ENOMEM;
    return nullptr;
  }
  return aligned(page, hakmem::base::align_up(n, page));
}
HAKMEM_EXPORT std::size_t malloc_usable_size(void* p) noexcept { return Engine::usable_size(p); }
HAKMEM_EXPORT int malloc_trim(std::size_t) noexcept {
  const std::size_t before = Engine::parts().pages.os_purges();
  Engine::collect();
  return Engine::parts().pages.os_purges() != before;
}

// What a variant does is fixed when it is built: every parameter is accepted, as glibc accepts those it does not know.
HAKMEM_EXPORT int mallopt(int, int) noexcept { return 1; }

HAKMEM_EXPORT struct mallinfo2 mallinfo2() noexcept { return hakmem::engine::mallinfo2_of<Engine>(); }
HAKMEM_EXPORT struct mallinfo mallinfo() noexcept { return hakmem::engine::narrowed(mallinfo2()); }
HAKMEM_EXPORT void malloc_stats() noexcept { hakmem::engine::print_stats<Engine>(); }
HAKMEM_EXPORT int malloc_info(int options, FILE* stream) noexcept {
  return hakmem::engine::write_info<Engine>(options, stream);
}

HAKMEM_EXPORT const char* hakmem_id() noexcept { return kId.text; }
HAKMEM_EXPORT const char* hakmem_policy_set() noexcept { return hakmem::Variant::kPolicySet; }
HAKMEM_EXPORT int hakmem_owns(const void* p) noexcept { return Engine::owns(p); }
HAKMEM_EXPORT std::size_t hakmem_statistics(char* text, std::size_t capacity) noexcept {
  return hakmem::engine::statistics<Engine>(text, capacity);
}
// Read from outside the process; python/hakmem/live.py says how.
HAKMEM_EXPORT extern const hakmem::engine::Layout hakmem_layout;
constinit const hakmem::engine::Layout hakmem_layout = hakmem::engine::LayoutOf<Engine>::make();
HAKMEM_EXPORT void hakmem_collect() noexcept { Engine::collect(); }

}  // extern "C"

// One body each for what differs in behaviour; the other spellings are names of the same code.
HAKMEM_EXPORT void* operator new(std::size_t n) {
  void* p = Engine::malloc(n);
  if (p == nullptr) [[unlikely]] return new_failed(n, 0, true);
  return p;
}
HAKMEM_EXPORT void* operator new(std::size_t n, const std::nothrow_t&) noexcept {
  void* p = Engine::malloc(n);
  if (p == nullptr) [[unlikely]] return nothrow_failed(n, 0);
  return p;
}
HAKMEM_EXPORT void* operator new(std::size_t n, std::align_val_t a) {
  void* p = aligned(static_cast<std::size_t>(a), n);
  return p != nullptr ? p : new_failed(n, static_cast<std::size_t>(a), true);
}
HAKMEM_EXPORT void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  void* p = aligned(static_cast<std::size_t>(a), n);
  return p != nullptr ? p : nothrow_failed(n, static_cast<std::size_t>(a));
}

// The sized and aligned deletes take arguments that free has no use for; the calling convention lets it ignore them.
// (-Wno-attribute-alias and -Wno-missing-attributes in HakmemFlags.cmake are for these.)
HAKMEM_SAME_AS("_Znwm") void* operator new[](std::size_t);
HAKMEM_SAME_AS("_ZnwmRKSt9nothrow_t") void* operator new[](std::size_t, const std::nothrow_t&) noexcept;
HAKMEM_SAME_AS("_ZnwmSt11align_val_t") void* operator new[](std::size_t, std::align_val_t);
HAKMEM_SAME_AS("_ZnwmSt11align_val_tRKSt9nothrow_t")
void* operator new[](std::size_t, std::align_val_t, const std::nothrow_t&) noexcept;
extern "C" {
HAKMEM_SAME_AS("free") void cfree(void*) noexcept;
HAKMEM_SAME_AS("free") void free_sized(void*, std::size_t) noexcept;                       // C23
HAKMEM_SAME_AS("free") void free_aligned_sized(void*, std::size_t, std::size_t) noexcept;  // C23
// Under these names glibc's malloc is reached around whatever stands before it; a block of one must fit the other's free.
HAKMEM_SAME_AS("malloc") void* __libc_malloc(std::size_t) noexcept;
HAKMEM_SAME_AS("free") void __libc_free(void*) noexcept;
HAKMEM_SAME_AS("calloc") void* __libc_calloc(std::size_t, std::size_t) noexcept;
HAKMEM_SAME_AS("realloc") void* __libc_realloc(void*, std::size_t) noexcept;
HAKMEM_SAME_AS("reallocarray") void* __libc_reallocarray(void*, std::size_t, std::size_t) noexcept;
HAKMEM_SAME_AS("memalign") void* __libc_memalign(std::size_t, std::size_t) noexcept;
HAKMEM_SAME_AS("valloc") void* __libc_valloc(std::size_t) noexcept;
HAKMEM_SAME_AS("pvalloc") void* __libc_pvalloc(std::size_t) noexcept;
HAKMEM_SAME_AS("posix_memalign") int __posix_memalign(void**, std::size_t, std::size_t) noexcept;
HAKMEM_SAME_AS("mallopt") int __libc_mallopt(int, int) noexcept;
HAKMEM_SAME_AS("mallinfo") struct mallinfo __libc_mallinfo() noexcept;
}
HAKMEM_SAME_AS("free") void operator delete(void*) noexcept;
HAKMEM_SAME_AS("free") void operator delete[](void*) noexcept;
HAKMEM_SAME_AS("free") void operator delete(void*, const std::nothrow_t&) noexcept;
HAKMEM_SAME_AS("free") void operator delete[](void*, const std::nothrow_t&) noexcept;
HAKMEM_SAME_AS("free") void operator delete(void*, std::size_t) noexcept;
HAKMEM_SAME_AS("free") void operator delete[](void*, std::size_t) noexcept;
HAKMEM_SAME_AS("free") void operator delete(void*, std::align_val_t) noexcept;
HAKMEM_SAME_AS("free") void operator delete[](void*, std::align_val_t) noexcept;
HAKMEM_SAME_AS("free") void operator delete(void*, std::size_t, std::align_val_t) noexcept;
HAKMEM_SAME_AS("free") void operator delete[](void*, std::size_t, std::align_val_t) noexcept;
HAKMEM_SAME_AS("free") void operator delete(void*, std::align_val_t, const std::nothrow_t&) noexcept;
HAKMEM_SAME_AS("free") void operator delete[](void*, std::align_val_t, const std::nothrow_t&) noexcept;
