// The least that concepts::ThreadSlot accepts, and one type for each clause that breaks it alone.
#include <hakmem/concepts/thread_slot.hpp>

#include <hakmem/thread/per_cpu.hpp>
#include <hakmem/thread/process_slot.hpp>
#include <hakmem/thread/pthread_key.hpp>
#include <hakmem/thread/tls_pointer.hpp>

namespace {

struct Heap {
  static Heap sentinel;
};
template <class S>
concept ThreadSlot = hakmem::concepts::ThreadSlot<S, Heap>;

struct Archetype {
  static Heap* current() noexcept;
  static void set(Heap*) noexcept;
};
static_assert(ThreadSlot<Archetype>);

struct CurrentThrows : Archetype {
  static Heap* current();
};
static_assert(!ThreadSlot<CurrentThrows>);
struct CurrentNeedsAnObject : Archetype {
  Heap* current() noexcept;
};
static_assert(!ThreadSlot<CurrentNeedsAnObject>);
struct CurrentIsUntyped : Archetype {
  static void* current() noexcept;
};
static_assert(!ThreadSlot<CurrentIsUntyped>);
struct NoSet : Archetype {
  static void set(Heap*) noexcept = delete;
};
static_assert(!ThreadSlot<NoSet>);

static_assert(ThreadSlot<hakmem::thread::TlsPointer::Type<Heap>>);
static_assert(ThreadSlot<hakmem::thread::PthreadKey::Type<Heap>>);
static_assert(ThreadSlot<hakmem::thread::PerCpu::Type<Heap>>);
static_assert(ThreadSlot<hakmem::thread::ProcessSlot::Type<Heap>>);

}  // namespace
