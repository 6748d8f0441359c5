// The least that concepts::FrontPolicy accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/front_policy.hpp>

#include <hakmem/classes/geometric4.hpp>
#include <hakmem/front/bypass.hpp>
#include <hakmem/front/hot_mag.hpp>
#include <hakmem/front/magazine.hpp>
#include <hakmem/front/sfc.hpp>
#include <hakmem/front/sll.hpp>
#include <hakmem/front/split.hpp>
#include <hakmem/front/stack.hpp>
#include <hakmem/front/ultra_sll.hpp>
#include <hakmem/front/unified.hpp>

namespace {

using hakmem::base::Block;
using hakmem::base::ClassIndex;
using hakmem::concepts::FrontPolicy;

struct Archetype {
  static constexpr bool covers(ClassIndex) noexcept { return true; }
  void open() noexcept;
  Block* pop(ClassIndex) noexcept;
  bool push(ClassIndex, Block*) noexcept;
  unsigned refill_want(ClassIndex) noexcept;
  unsigned flush_want(ClassIndex) noexcept;
  unsigned size(ClassIndex) const noexcept;
  template <class Sink>
  unsigned drain(ClassIndex, unsigned, Sink&&) noexcept;
};
static_assert(FrontPolicy<Archetype>);

struct NoCovers : Archetype {
  static constexpr bool covers(ClassIndex) noexcept = delete;
};
static_assert(!FrontPolicy<NoCovers>);
struct CoversIsFoundOutAtRunTime : Archetype {
  static bool covers(ClassIndex) noexcept;
};
static_assert(!FrontPolicy<CoversIsFoundOutAtRunTime>);
struct IsBornOpen : Archetype {
  void open() noexcept = delete;
};
static_assert(!FrontPolicy<IsBornOpen>);
struct PopGivesBytes : Archetype {
  void* pop(ClassIndex) noexcept;
};
static_assert(!FrontPolicy<PopGivesBytes>);
struct PopThrows : Archetype {
  Block* pop(ClassIndex);
};
static_assert(!FrontPolicy<PopThrows>);
struct PushNeverRefuses : Archetype {
  void push(ClassIndex, Block*) noexcept;
};
static_assert(!FrontPolicy<PushNeverRefuses>);
struct PushDoesNotAskForTheClass : Archetype {
  bool push(Block*) noexcept;
};
static_assert(!FrontPolicy<PushDoesNotAskForTheClass>);
struct NoRefillWant : Archetype {
  unsigned refill_want(ClassIndex) noexcept = delete;
};
static_assert(!FrontPolicy<NoRefillWant>);
struct NoFlushWant : Archetype {
  unsigned flush_want(ClassIndex) noexcept = delete;
};
static_assert(!FrontPolicy<NoFlushWant>);
struct SizeChangesTheFront : Archetype {
  unsigned size(ClassIndex) noexcept;
};
static_assert(!FrontPolicy<SizeChangesTheFront>);
struct DrainsEverythingAtOnce : Archetype {
  template <class Sink>
  unsigned drain(ClassIndex, Sink&&) noexcept;
};
static_assert(!FrontPolicy<DrainsEverythingAtOnce>);
struct DrainDoesNotCount : Archetype {
  template <class Sink>
  void drain(ClassIndex, unsigned, Sink&&) noexcept;
};
static_assert(!FrontPolicy<DrainDoesNotCount>);
struct StartsAtRunTime : Archetype {
  StartsAtRunTime() noexcept;
};
static_assert(!FrontPolicy<StartsAtRunTime>);

using Classes = hakmem::classes::Geometric4<>;
using namespace hakmem::front;
static_assert(FrontPolicy<Bypass::Type<Classes>>);
static_assert(FrontPolicy<Sll<>::Type<Classes>>);
static_assert(FrontPolicy<UltraSll<>::Type<Classes>>);
static_assert(FrontPolicy<Sfc<>::Type<Classes>>);
static_assert(FrontPolicy<HotMag<>::Type<Classes>>);
static_assert(FrontPolicy<Magazine<>::Type<Classes>>);
static_assert(FrontPolicy<Unified<>::Type<Classes>>);
static_assert(FrontPolicy<Split<SplitOptions{}, HotMag<>, Unified<>>::Type<Classes>>);
static_assert(FrontPolicy<Stack<StackOptions{}, Sll<>, Magazine<>>::Type<Classes>>);

}  // namespace
