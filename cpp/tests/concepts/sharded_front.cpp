// The least that concepts::ShardedFront accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/front_policy.hpp>
#include <hakmem/concepts/sharded_front.hpp>

#include <hakmem/classes/geometric4.hpp>
#include <hakmem/front/sharded.hpp>
#include <hakmem/guard/none.hpp>
#include <hakmem/slab/freelist.hpp>
#include <hakmem/slab/super_slab.hpp>

namespace {

using hakmem::base::Block;
using hakmem::base::ClassIndex;

struct Slab {};
template <class F>
concept ShardedFront = hakmem::concepts::ShardedFront<F, Slab>;

struct Archetype {
  void open() noexcept;
  Block* pop(ClassIndex) noexcept;
  bool push(Block*) noexcept;
  Slab* current(ClassIndex) const noexcept;
  void set_current(ClassIndex, Slab*) noexcept;
  unsigned size(ClassIndex) const noexcept;
};
static_assert(ShardedFront<Archetype>);

struct NoOpen : Archetype {
  void open() noexcept = delete;
};
static_assert(!ShardedFront<NoOpen>);
struct PopThrows : Archetype {
  Block* pop(ClassIndex);
};
static_assert(!ShardedFront<PopThrows>);
struct PushAsksForTheClass : Archetype {
  bool push(ClassIndex, Block*) noexcept;
};
static_assert(!ShardedFront<PushAsksForTheClass>);
struct PushSaysNothing : Archetype {
  void push(Block*) noexcept;
};
static_assert(!ShardedFront<PushSaysNothing>);
struct CurrentIsAnotherSlab : Archetype {
  Archetype* current(ClassIndex) const noexcept;
};
static_assert(!ShardedFront<CurrentIsAnotherSlab>);
struct NoSetCurrent : Archetype {
  void set_current(ClassIndex, Slab*) noexcept = delete;
};
static_assert(!ShardedFront<NoSetCurrent>);
struct NoSize : Archetype {
  unsigned size(ClassIndex) const noexcept = delete;
};
static_assert(!ShardedFront<NoSize>);
struct StartsAtRunTime : Archetype {
  StartsAtRunTime() noexcept;
};
static_assert(!ShardedFront<StartsAtRunTime>);

constexpr std::size_t kRegion = std::size_t{1} << 20;
using SuperSlab = hakmem::slab::SuperSlab<hakmem::slab::Freelist::Type<>, hakmem::guard::None::Order,
                                          hakmem::guard::None::Map<kRegion>, kRegion>;
using Sharded = hakmem::front::Sharded::Type<hakmem::classes::Geometric4<>, SuperSlab>;
static_assert(hakmem::concepts::ShardedFront<Sharded, SuperSlab::SlabType>);
static_assert(!hakmem::concepts::FrontPolicy<Sharded>, "its own clause: it is no cache");

}  // namespace
