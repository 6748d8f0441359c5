// The least that concepts::OwnerLookup accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/owner_lookup.hpp>

#include <hakmem/owner/header.hpp>
#include <hakmem/owner/mask.hpp>
#include <hakmem/owner/page_tag.hpp>
#include <hakmem/owner/registry.hpp>
#include <hakmem/pages/fixed_arena.hpp>

namespace {

using hakmem::base::Tag;

struct Region {};
struct Pages {};
struct Policy {
  static constexpr bool kRejectsForeign = true;
  static constexpr std::size_t kBlockPrefix = 16;
};
template <class O, class P = Policy>
concept OwnerLookup = hakmem::concepts::OwnerLookup<O, P, Region, Pages>;

struct Archetype {
  struct View {};
  View view() const noexcept;
  static Tag tag_of(const View&, const void*) noexcept;
  Region* region_of(const void*) const noexcept;
  bool start(Pages&) noexcept;
  bool enroll(Pages&, Region*) noexcept;
  void withdraw(Region*) noexcept;
  void tag(Region*, std::size_t, std::size_t, Tag) noexcept;
  static void stamp(void*, Tag) noexcept;
};
static_assert(OwnerLookup<Archetype>);

struct SaysNothingOfForeignPointers {
  static constexpr std::size_t kBlockPrefix = 0;
};
static_assert(!OwnerLookup<Archetype, SaysNothingOfForeignPointers>);
struct PrefixBreaksAlignment : Policy {
  static constexpr std::size_t kBlockPrefix = 8;
};
static_assert(!OwnerLookup<Archetype, PrefixBreaksAlignment>);
struct ViewHasNoEmptyState : Archetype {
  struct View {
    explicit View(int);
  };
  View view() const noexcept;
  static Tag tag_of(const View&, const void*) noexcept;
};
static_assert(!OwnerLookup<ViewHasNoEmptyState>);
struct NoView : Archetype {
  View view() const noexcept = delete;
};
static_assert(!OwnerLookup<NoView>);
struct TagNeedsTheLookup : Archetype {
  Tag tag_of(const View&, const void*) const noexcept;
};
static_assert(!OwnerLookup<TagNeedsTheLookup>);
struct TagThrows : Archetype {
  static Tag tag_of(const View&, const void*);
};
static_assert(!OwnerLookup<TagThrows>);
struct RegionIsABool : Archetype {
  bool region_of(const void*) const noexcept;
};
static_assert(!OwnerLookup<RegionIsABool>);
struct StartCannotFail : Archetype {
  void start(Pages&) noexcept;
};
static_assert(!OwnerLookup<StartCannotFail>);
struct EnrollCannotFail : Archetype {
  void enroll(Pages&, Region*) noexcept;
};
static_assert(!OwnerLookup<EnrollCannotFail>);
struct NoWithdraw : Archetype {
  void withdraw(Region*) noexcept = delete;
};
static_assert(!OwnerLookup<NoWithdraw>);
struct TagsOneUnitOnly : Archetype {
  void tag(Region*, std::size_t, Tag) noexcept;
};
static_assert(!OwnerLookup<TagsOneUnitOnly>);
struct NoStamp : Archetype {
  static void stamp(void*, Tag) noexcept = delete;
};
static_assert(!OwnerLookup<NoStamp>);
struct StartsAtRunTime : Archetype {
  StartsAtRunTime() noexcept;
};
static_assert(!OwnerLookup<StartsAtRunTime>);

struct ArenaTag {};
using Arena = hakmem::pages::FixedArena<std::size_t{8} << 20, ArenaTag>::Type;
constexpr std::size_t kRegion = Arena::kGranule;
template <class P, bool kOwned>
concept Works =
    hakmem::concepts::OwnerLookup<typename P::template Type<kRegion, kOwned>, P, hakmem::slab::Region<kRegion>, Arena>;
static_assert(Works<hakmem::owner::Mask, true> && Works<hakmem::owner::Mask, false>);
static_assert(Works<hakmem::owner::Header, true> && Works<hakmem::owner::Header, false>);
static_assert(Works<hakmem::owner::PageTag, true> && Works<hakmem::owner::PageTag, false>);
static_assert(Works<hakmem::owner::Registry, true> && Works<hakmem::owner::Registry, false>);

}  // namespace
