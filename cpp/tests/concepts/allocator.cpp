// The least that concepts::Allocator accepts, and one type for each clause that breaks it alone. Compiling is the test.
#include <hakmem/concepts/allocator.hpp>

#include <hakmem/bench/null_allocator.hpp>
#include <hakmem/bench/process_allocator.hpp>
#include <hakmem/bench/table_allocator.hpp>

namespace {

using hakmem::concepts::Allocator;

struct Archetype {
  void* malloc(std::size_t) const;
  void* calloc(std::size_t, std::size_t) const;
  void* realloc(void*, std::size_t) const;
  void* aligned_alloc(std::size_t, std::size_t) const;
  void free(void*) const;
  std::size_t usable_size(const void*) const;
  bool owns(const void*) const;
};
static_assert(Allocator<Archetype>);

struct MallocGivesAnInt : Archetype {
  int malloc(std::size_t) const;
};
static_assert(!Allocator<MallocGivesAnInt>);
struct CallocTakesTheProductOnly : Archetype {
  void* calloc(std::size_t) const;
};
static_assert(!Allocator<CallocTakesTheProductOnly>);
struct ReallocNeedsTheOldSize : Archetype {
  void* realloc(void*, std::size_t, std::size_t) const;
};
static_assert(!Allocator<ReallocNeedsTheOldSize>);
struct NoAlignedAlloc : Archetype {
  void* aligned_alloc(std::size_t, std::size_t) const = delete;
};
static_assert(!Allocator<NoAlignedAlloc>);
struct FreeNeedsTheSize : Archetype {
  void free(void*, std::size_t) const;
};
static_assert(!Allocator<FreeNeedsTheSize>);
struct UsableSizeIsSigned : Archetype {
  long usable_size(const void*) const;
};
static_assert(!Allocator<UsableSizeIsSigned>);
struct OwnsIsAPointer : Archetype {
  void* owns(const void*) const;
};
static_assert(!Allocator<OwnsIsAPointer>);
struct MallocChangesTheObject : Archetype {
  void* malloc(std::size_t);
};
static_assert(!Allocator<MallocChangesTheObject>);
static_assert(!Allocator<int>);

static_assert(Allocator<hakmem::bench::ProcessAllocator>, "the C library's family runs the same loops");
static_assert(Allocator<hakmem::bench::NullAllocator>);
static_assert(Allocator<hakmem::bench::TableAllocator>);

}  // namespace
