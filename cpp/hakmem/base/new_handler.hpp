// What operator new does when memory is out, for libraries that import nothing of the C++ runtime: its parts are found where a
// program has loaded it.
#pragma once

#include <cstdlib>
#include <new>

#include <hakmem/base/attributes.hpp>

namespace std {
[[gnu::weak]] new_handler get_new_handler() noexcept;
[[noreturn, gnu::weak]] void __throw_bad_alloc();
}  // namespace std

namespace hakmem::base {

// Asks the program's handler for memory until take() has some or the handler gives up: then std::bad_alloc is thrown, or
// nullptr returned where nothing may be thrown.
template <class Take>
HAKMEM_COLD void* ask_new_handler(Take&& take, bool may_throw) {
  for (;;) {
    const std::new_handler handler = std::get_new_handler != nullptr ? std::get_new_handler() : nullptr;
    if (handler == nullptr) break;
    handler();
    if (void* p = take()) return p;
  }
  if (!may_throw) return nullptr;
  if (std::__throw_bad_alloc != nullptr) std::__throw_bad_alloc();
  std::abort();
}

}  // namespace hakmem::base
