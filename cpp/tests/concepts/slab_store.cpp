// The least that concepts::SlabStore accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/slab_store.hpp>

#include <hakmem/slab/bitmap.hpp>
#include <hakmem/slab/freelist.hpp>

namespace {

using hakmem::base::Block;

struct Geometry {};
template <class S>
concept SlabStore = hakmem::concepts::SlabStore<S, Geometry>;

struct Archetype {
  static constexpr bool kIntrusive = false;
  Block* take(const Geometry&) noexcept;
  void give(Block*, const Geometry&) noexcept;
};
static_assert(SlabStore<Archetype>);

struct DoesNotSayWhereTheLinksAre {
  Block* take(const Geometry&) noexcept;
  void give(Block*, const Geometry&) noexcept;
};
static_assert(!SlabStore<DoesNotSayWhereTheLinksAre>);
struct TakeThrows : Archetype {
  Block* take(const Geometry&);
};
static_assert(!SlabStore<TakeThrows>);
struct TakeChangesTheGeometry : Archetype {
  Block* take(Geometry&) noexcept;
};
static_assert(!SlabStore<TakeChangesTheGeometry>);
struct GiveMayRefuse : Archetype {
  bool give(Block*, const Geometry&) noexcept;
};
static_assert(!SlabStore<GiveMayRefuse>);
struct IntrusiveWithoutAList : Archetype {
  static constexpr bool kIntrusive = true;
};
static_assert(!SlabStore<IntrusiveWithoutAList>);
struct IntrusiveWithAList : Archetype {
  static constexpr bool kIntrusive = true;
  Block* free = nullptr;
};
static_assert(SlabStore<IntrusiveWithAList>);
struct StartsAtRunTime : Archetype {
  StartsAtRunTime() noexcept;
};
static_assert(!SlabStore<StartsAtRunTime>);

static_assert(hakmem::concepts::SlabStore<hakmem::slab::Freelist::Type<>, hakmem::slab::Geometry>);
static_assert(hakmem::concepts::SlabStore<hakmem::slab::Bitmap::Type<hakmem::base::PlainLinks>, hakmem::slab::Geometry>);

}  // namespace
