// The least that concepts::Interposable accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/interposable.hpp>

#include <hakmem/bench/process_allocator.hpp>

namespace {

using hakmem::concepts::Interposable;

struct Archetype {
  static constexpr bool kRejectsForeign = true;
  static constexpr bool kInterposable = true;
  void* malloc(std::size_t) const;
  void* calloc(std::size_t, std::size_t) const;
  void* realloc(void*, std::size_t) const;
  void* aligned_alloc(std::size_t, std::size_t) const;
  void free(void*) const;
  std::size_t usable_size(const void*) const;
  bool owns(const void*) const;
};
static_assert(Interposable<Archetype>);

struct NoAllocator : Archetype {
  void* realloc(void*, std::size_t) const = delete;
};
static_assert(!Interposable<NoAllocator>);
struct BelievesForeignPointers : Archetype {
  static constexpr bool kRejectsForeign = false;
};
static_assert(!Interposable<BelievesForeignPointers>);
struct AlignsToEight : Archetype {
  static constexpr bool kInterposable = false;
};
static_assert(!Interposable<AlignsToEight>);

static_assert(!Interposable<hakmem::bench::ProcessAllocator>, "it makes no promise about foreign pointers");

}  // namespace
