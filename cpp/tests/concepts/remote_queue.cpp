// The least that concepts::RemoteQueue accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/remote_queue.hpp>

#include <hakmem/remote/return_home.hpp>

namespace {

using hakmem::base::Block;
using hakmem::concepts::RemoteQueue;

struct Archetype {
  void push(Block*, Block*) noexcept;
  template <class Sink>
  std::size_t drain(std::size_t, Sink&&) noexcept;
  bool looks_empty() const noexcept;
};
static_assert(RemoteQueue<Archetype>);

struct PushesOneBlock : Archetype {
  void push(Block*) noexcept;
};
static_assert(!RemoteQueue<PushesOneBlock>);
struct PushMayRefuse : Archetype {
  bool push(Block*, Block*) noexcept;
};
static_assert(!RemoteQueue<PushMayRefuse>);
struct DrainIsUnbounded : Archetype {
  template <class Sink>
  std::size_t drain(Sink&&) noexcept;
};
static_assert(!RemoteQueue<DrainIsUnbounded>);
struct DrainDoesNotCount : Archetype {
  template <class Sink>
  void drain(std::size_t, Sink&&) noexcept;
};
static_assert(!RemoteQueue<DrainDoesNotCount>);
struct LookingChangesIt : Archetype {
  bool looks_empty() noexcept;
};
static_assert(!RemoteQueue<LookingChangesIt>);
struct StartsAtRunTime : Archetype {
  StartsAtRunTime() noexcept;
};
static_assert(!RemoteQueue<StartsAtRunTime>);

static_assert(RemoteQueue<hakmem::remote::ReturnHome<>::Queue<>>);

}  // namespace
