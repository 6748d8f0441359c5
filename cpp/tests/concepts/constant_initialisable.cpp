// A type that concepts::ConstantInitialisable accepts, and one for each clause that breaks it alone.
#include <hakmem/concepts/constant_initialisable.hpp>

namespace {

using hakmem::concepts::ConstantInitialisable;

struct Archetype {
  int value = 1;
};
static_assert(ConstantInitialisable<Archetype>);

struct ConstructorRunsAtStartUp {
  ConstructorRunsAtStartUp() noexcept;
};
static_assert(!ConstantInitialisable<ConstructorRunsAtStartUp>);
struct NeedsAnArgument {
  constexpr explicit NeedsAnArgument(int) noexcept {}
};
static_assert(!ConstantInitialisable<NeedsAnArgument>);
struct DestructorRunsAtExit {
  constexpr DestructorRunsAtExit() noexcept = default;
  constexpr ~DestructorRunsAtExit() {}
};
static_assert(!ConstantInitialisable<DestructorRunsAtExit>);

}  // namespace
