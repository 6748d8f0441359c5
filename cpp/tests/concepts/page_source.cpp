// The least that concepts::PageSource accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/page_source.hpp>

#include <hakmem/pages/failing.hpp>
#include <hakmem/pages/fixed_arena.hpp>
#include <hakmem/pages/mmap.hpp>
#include <hakmem/pages/mmap_thp.hpp>

namespace {

using hakmem::concepts::PageSource;

struct Lockable {
  void lock() noexcept;
  void unlock() noexcept;
};

struct Archetype {
  static constexpr std::size_t kGranule = hakmem::base::kUnit;
  bool reserve() noexcept;
  void begin_blocks() noexcept;
  void* map(std::size_t, std::size_t = kGranule, std::size_t = 0) noexcept;
  bool extend(void*, std::size_t, std::size_t) noexcept;
  void unmap(void*, std::size_t) noexcept;
  void purge(void*, std::size_t) noexcept;
  void fence(void*, std::size_t) noexcept;
  void unfence(void*, std::size_t) noexcept;
  std::uintptr_t base() const noexcept;
  std::size_t range_bytes() const noexcept;
  std::size_t os_maps() const noexcept;
  std::size_t os_purges() const noexcept;
  Lockable& mutex() noexcept;
};
static_assert(PageSource<Archetype>);

struct GranuleIsNoPowerOfTwo : Archetype {
  static constexpr std::size_t kGranule = 3 * hakmem::base::kUnit;
};
static_assert(!PageSource<GranuleIsNoPowerOfTwo>);
struct GranuleBelowAUnit : Archetype {
  static constexpr std::size_t kGranule = hakmem::base::kPage;
};
static_assert(!PageSource<GranuleBelowAUnit>);
struct ReserveSaysNothing : Archetype {
  void reserve() noexcept;
};
static_assert(!PageSource<ReserveSaysNothing>);
struct BeginBlocksThrows : Archetype {
  void begin_blocks();
};
static_assert(!PageSource<BeginBlocksThrows>);
struct MapThrows : Archetype {
  void* map(std::size_t, std::size_t = kGranule, std::size_t = 0);
};
static_assert(!PageSource<MapThrows>);
struct MapMustBeToldTheAlignment : Archetype {
  void* map(std::size_t, std::size_t, std::size_t = 0) noexcept;
};
static_assert(!PageSource<MapMustBeToldTheAlignment>);
struct MapKnowsNoOffset : Archetype {
  void* map(std::size_t, std::size_t = kGranule) noexcept;
};
static_assert(!PageSource<MapKnowsNoOffset>);
struct FenceThrows : Archetype {
  void fence(void*, std::size_t);
};
static_assert(!PageSource<FenceThrows>);
struct UnfenceMayFail : Archetype {
  bool unfence(void*, std::size_t) noexcept;
};
static_assert(!PageSource<UnfenceMayFail>);
struct NoExtend : Archetype {
  bool extend(void*, std::size_t, std::size_t) noexcept = delete;
};
static_assert(!PageSource<NoExtend>);
struct UnmapNeedsNoSize : Archetype {
  void unmap(void*) noexcept;
};
static_assert(!PageSource<UnmapNeedsNoSize>);
struct NoPurge : Archetype {
  void purge(void*, std::size_t) noexcept = delete;
};
static_assert(!PageSource<NoPurge>);
struct BaseIsAPointer : Archetype {
  void* base() const noexcept;
};
static_assert(!PageSource<BaseIsAPointer>);
struct RangeIsNotKnown : Archetype {
  std::size_t range_bytes() const noexcept = delete;
};
static_assert(!PageSource<RangeIsNotKnown>);
struct DoesNotCountMaps : Archetype {
  std::size_t os_maps() const noexcept = delete;
};
static_assert(!PageSource<DoesNotCountMaps>);
struct DoesNotCountPurges : Archetype {
  std::size_t os_purges() const noexcept = delete;
};
static_assert(!PageSource<DoesNotCountPurges>);
struct HidesItsLock : Archetype {
  Lockable& mutex() noexcept = delete;
};
static_assert(!PageSource<HidesItsLock>);
struct OnlyLocks {
  void lock() noexcept;
};
struct CannotBeUnlocked : Archetype {
  OnlyLocks& mutex() noexcept;
};
static_assert(!PageSource<CannotBeUnlocked>);
struct OnlyUnlocks {
  void unlock() noexcept;
};
struct CannotBeLocked : Archetype {
  OnlyUnlocks& mutex() noexcept;
};
static_assert(!PageSource<CannotBeLocked>);
struct StartsAtRunTime : Archetype {
  StartsAtRunTime() noexcept;
};
static_assert(!PageSource<StartsAtRunTime>);

struct Tag {};
using Arena = hakmem::pages::FixedArena<std::size_t{8} << 20, Tag>;
static_assert(PageSource<Arena::Type>);
static_assert(PageSource<hakmem::pages::Failing<Arena>::Type>);
static_assert(PageSource<hakmem::pages::Mmap<>::Type>);
static_assert(PageSource<hakmem::pages::MmapThp<>::Type>);

}  // namespace
