// The least that concepts::Probe accepts, disabled and enabled, and one type for each clause that breaks it alone.
#include <hakmem/concepts/probe.hpp>

#include <hakmem/probe/counters.hpp>
#include <hakmem/probe/none.hpp>
#include <hakmem/probe/route.hpp>

namespace {

enum class Event { kSome };
enum class Flow { kSome };
template <class P>
concept Probe = hakmem::concepts::Probe<P, Event, Flow>;

struct Disabled {
  static constexpr bool kEnabled = false;
  static constexpr bool kRoute = false;
  void on(Event, std::uint32_t) noexcept;
  void moved(Flow, std::uint32_t, std::size_t) noexcept;
};
static_assert(Probe<Disabled>);
struct Enabled : Disabled {
  static constexpr bool kEnabled = true;
  static constexpr bool kRoute = true;
  std::uint64_t count(std::size_t) const noexcept;
  template <class Visit>
  void each(Visit&&) const;
  int state = 0;
};
static_assert(Probe<Enabled>);

struct DoesNotSayWhether {
  static constexpr bool kRoute = false;
  void on(Event, std::uint32_t) noexcept;
  void moved(Flow, std::uint32_t, std::size_t) noexcept;
};
static_assert(!Probe<DoesNotSayWhether>);
struct DoesNotSayWhetherItKnowsTheRoute {
  static constexpr bool kEnabled = false;
  void on(Event, std::uint32_t) noexcept;
  void moved(Flow, std::uint32_t, std::size_t) noexcept;
};
static_assert(!Probe<DoesNotSayWhetherItKnowsTheRoute>);
struct DoesNotHearTheClass : Disabled {
  void on(Event) noexcept;
};
static_assert(!Probe<DoesNotHearTheClass>);
struct DoesNotHearHowMany : Disabled {
  void moved(Flow, std::uint32_t) noexcept;
};
static_assert(!Probe<DoesNotHearHowMany>);
struct OnThrows : Disabled {
  void on(Event, std::uint32_t);
};
static_assert(!Probe<OnThrows>);
struct DisabledYetTakesRoom : Disabled {
  int state = 0;
};
static_assert(!Probe<DisabledYetTakesRoom>);
struct EnabledYetCannotBeRead : Enabled {
  std::uint64_t count(std::size_t) const noexcept = delete;
};
static_assert(!Probe<EnabledYetCannotBeRead>);
struct RouteCannotBeWalked : Enabled {
  template <class Visit>
  void each(Visit&&) const = delete;
};
static_assert(!Probe<RouteCannotBeWalked>);
struct StartsAtRunTime : Enabled {
  StartsAtRunTime() noexcept;
};
static_assert(!Probe<StartsAtRunTime>);

static_assert(hakmem::concepts::Probe<hakmem::probe::None, hakmem::probe::Event, hakmem::probe::Flow>);
static_assert(hakmem::concepts::Probe<hakmem::probe::Counters, hakmem::probe::Event, hakmem::probe::Flow>);
static_assert(hakmem::concepts::Probe<hakmem::probe::Route, hakmem::probe::Event, hakmem::probe::Flow>);

}  // namespace
