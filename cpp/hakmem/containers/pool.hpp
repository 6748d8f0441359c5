// pool<T>: objects of one type on the engine of the program's variant (or of another, its second argument). The size class
// is a constant of the code: a pop and a push, inlined. It holds nothing: all pools of one type and variant are one pool;
// what one made another may delete, in any thread.
#pragma once

#include <new>
#include <type_traits>
#include <utility>

#include <hakmem/containers/blocks.hpp>

namespace hakmem {

struct Variant;  // of the generated header

template <class T, class V = Variant>
class pool {
  using Blocks = containers::Blocks<V>;

 public:
  // Room for one T, not constructed. Throws std::bad_alloc when memory is out.
  [[nodiscard]] HAKMEM_HOT static T* allocate() { return static_cast<T*>(Blocks::take(sizeof(T), alignof(T))); }

  // What allocate() gave, and no nullptr; the object in it has been destroyed.
  HAKMEM_HOT static void deallocate(T* p) noexcept { Blocks::give(p, sizeof(T), alignof(T)); }

  // A new T. Throws what allocate() and the constructor throw; a constructor that throws leaves no block behind.
  template <class... Arguments>
  [[nodiscard]] HAKMEM_HOT static T* new_object(Arguments&&... arguments) {
    T* room = allocate();
    if constexpr (std::is_nothrow_constructible_v<T, Arguments...>) {
      return ::new (static_cast<void*>(room)) T(std::forward<Arguments>(arguments)...);
    } else {
      try {
        return ::new (static_cast<void*>(room)) T(std::forward<Arguments>(arguments)...);
      } catch (...) {
        deallocate(room);
        throw;
      }
    }
  }

  // What new_object() gave, and no nullptr.
  HAKMEM_HOT static void delete_object(T* object) noexcept {
    object->~T();
    deallocate(object);
  }
};

}  // namespace hakmem
