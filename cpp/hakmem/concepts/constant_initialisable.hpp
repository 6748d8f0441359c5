// ConstantInitialisable: a static or thread-local object of the type needs no code at start-up, and none at exit.
#pragma once

#include <type_traits>

namespace hakmem::concepts {

template <class T>
  requires std::is_default_constructible_v<T>
constexpr bool can_be_made() noexcept {
  [[maybe_unused]] T made{};
  return true;
}

template <class T>
concept ConstantInitialisable = requires {
  typename std::bool_constant<can_be_made<T>()>;  // its default constructor runs at compile time
  requires std::is_trivially_destructible_v<T>;   // nothing is left to be done
};

}  // namespace hakmem::concepts
