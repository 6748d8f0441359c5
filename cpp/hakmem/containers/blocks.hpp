// Blocks<Variant>: what the objects for C++ containers take and give back: blocks of one engine, failure as an exception.
// Both know the size, so that neither looks a class up where the size is a constant: pop and push are inlined into the
// caller, a miss and a refusal are calls. Any thread. The process that uses them may fork at any time.
#pragma once

#include <cstddef>
#include <new>

#include <hakmem/engine/engine.hpp>
#include <hakmem/probe/events.hpp>
#include <hakmem/thread/fork_handlers.hpp>

namespace hakmem::containers {

template <class Variant>
struct Blocks {
  using Engine = engine::Engine<Variant>;

  // At least `bytes` bytes at a multiple of `align`, a power of two. Throws std::bad_alloc when memory is out; the
  // program's new handler is not asked.
  HAKMEM_HOT static void* take(std::size_t bytes, std::size_t align) {
    static_cast<void>(&ForkHandlers::registered);
    void* p = align <= Classes::kAlign ? Engine::malloc(bytes) : Engine::aligned_alloc(align, bytes);
    if (p == nullptr) [[unlikely]] no_memory();
    return p;
  }

  // What take(bytes, align) gave, with the same two numbers: they are believed where kBelieved.
  HAKMEM_HOT static void give(void* p, std::size_t bytes, std::size_t align) noexcept {
    if constexpr (kBelieved) {
      if (bytes > kLargest || align > Classes::kAlign) [[unlikely]] return give_elsewhere(p);
      Heap* heap = Engine::heap();
      const base::ClassIndex c = Classes::class_of(bytes + P::kPrefix);
      if constexpr (P::kHeapsOwnSlabs) {
        // a block of another heap's slab goes home: the lookup says whose it is, the class is known
        if (P::Owner::tag_of(heap->view, p) != heap->tag + c) [[unlikely]] return give_elsewhere(p);
      } else if constexpr (!kRefusesUnwritten) {
        // where a lookup would have found nothing: a front may count what it refuses, and this one is every thread's
        if (heap == &Heap::sentinel) [[unlikely]] return give_elsewhere(p);
      }
      if (!heap->front.push(c, static_cast<base::Block*>(p))) [[unlikely]] return give_elsewhere(p);
      heap->probe.on(probe::Event::kFreeFrontHit, c);
    } else {
      Engine::free(p);
    }
  }

  // Whether the size that give() is told takes the place of the lookup, or of half of it. Not where a guard looks at
  // every block, where one lock is held or a heap borrowed around each call, and where a block goes to its own slab's list.
  static constexpr bool kBelieved = [] {
    using Guard = typename Variant::Guard;
    constexpr bool guarded = Guard::kEnabled || Guard::Canary::kBytes != 0 || Guard::kZero || Guard::kQuarantine != 0;
    return !guarded && !Engine::kLends && !Variant::Remote::kOneHeap && !Variant::Back::kDirect && !Engine::Heap::kSharded;
  }();

 private:
  using P = typename Engine::P;
  using Classes = typename Engine::Classes;
  using Heap = typename Engine::Heap;
  using ForkHandlers = thread::ForkHandlers<&Engine::before_fork, &Engine::after_fork>;

  static constexpr bool kRefusesUnwritten = requires { requires Heap::Front::kRefusesUnwritten; };
  static constexpr std::size_t kLargest = Classes::kLargest - P::kPrefix;

  [[noreturn]] HAKMEM_COLD static void no_memory() { throw std::bad_alloc(); }
  HAKMEM_COLD static void give_elsewhere(void* p) noexcept { Engine::free(p); }
};

}  // namespace hakmem::containers
