// Blocks<Variant>: what the objects for C++ containers take and give back: blocks of one engine, failure as an exception.
// Any thread. The process that uses them may fork at any time.
#pragma once

#include <cstddef>
#include <new>

#include <hakmem/engine/engine.hpp>
#include <hakmem/thread/fork_handlers.hpp>

namespace hakmem::containers {

template <class Variant>
struct Blocks {
  using Engine = engine::Engine<Variant>;

  // At least `bytes` bytes at a multiple of `align`, a power of two. Throws std::bad_alloc when memory is out; the
  // program's new handler is not asked.
  HAKMEM_HOT static void* take(std::size_t bytes, std::size_t align) {
    static_cast<void>(&ForkHandlers::registered);
    void* p = align <= Variant::Classes::kAlign ? Engine::malloc(bytes) : Engine::aligned_alloc(align, bytes);
    if (p == nullptr) [[unlikely]] no_memory();
    return p;
  }

  HAKMEM_HOT static void give(void* p) noexcept { Engine::free(p); }

 private:
  using ForkHandlers = thread::ForkHandlers<&Engine::before_fork, &Engine::after_fork>;

  [[noreturn]] HAKMEM_COLD static void no_memory() { throw std::bad_alloc(); }
};

}  // namespace hakmem::containers
