// The objects for C++ containers: who serves them, alignment, equality, and what they throw when memory is out.
#include <hakmem/containers/allocator.hpp>
#include <hakmem/containers/memory_resource.hpp>
#include <hakmem/classes/pow2.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <list>
#include <map>
#include <memory>
#include <thread>
#include <type_traits>
#include <unordered_map>
#include <vector>

#include "check.hpp"
#include "throws.hpp"
#include "toy_variant.hpp"

namespace {

using namespace hakmem;
using test::check;
using test::check_equal;
using test::throws;

struct Plain : test::ToyVariant<struct PlainTag> {};
struct Other : test::ToyVariant<struct OtherTag> {};
// Its blocks are aligned to 8 bytes only.
struct Eights : test::ToyVariant<struct EightsTag> {
  using Classes = classes::Pow2<classes::Pow2Options{.smallest = 8}>;
};

template <class T, class V = Plain>
using Allocator = containers::Allocator<T, V>;
template <class V>
bool owned(const void* p) {
  return engine::Engine<V>::owns(p);
}

static_assert(std::is_same_v<std::allocator_traits<Allocator<int>>::rebind_alloc<long>, Allocator<long>>);
static_assert(std::allocator_traits<Allocator<int>>::is_always_equal::value);
static_assert(!std::is_convertible_v<Allocator<int, Other>, Allocator<int, Plain>>);
static_assert(std::is_empty_v<Allocator<int>>);

void containers_live_in_the_engine() {
  std::vector<int, Allocator<int>> numbers;
  std::map<int, long, std::less<>, Allocator<std::pair<const int, long>>> tree;
  std::unordered_map<int, long, std::hash<int>, std::equal_to<>, Allocator<std::pair<const int, long>>> table;
  std::list<int, Allocator<int>> list;
  for (int i = 0; i < 10000; ++i) {
    numbers.push_back(i);
    tree[i] = table[i] = 3L * i;
    list.push_back(i);
  }
  check(owned<Plain>(numbers.data()) && !owned<Other>(numbers.data()));
  check(owned<Plain>(&tree.begin()->second) && owned<Plain>(&table.begin()->second) && owned<Plain>(&list.back()));
  for (int i = 0; i < 10000; ++i) check(numbers[i] == i && tree[i] == 3L * i && table[i] == 3L * i);
  auto shared = std::allocate_shared<int>(Allocator<int>(), 7);
  check(owned<Plain>(shared.get()) && *shared == 7);
  auto moved = std::move(numbers);
  check(moved.size() == 10000 && Allocator<int>() == Allocator<long>());
}
const test::Test t1{"containers live in the engine", containers_live_in_the_engine};

template <class V>
void every_alignment() {
  struct alignas(16) Wide { char c[16]; };
  struct alignas(64) Line { char c[64]; };
  struct alignas(4096) Page { char c[4096]; };
  auto one = []<class T>(std::type_identity<T>) {
    std::vector<std::unique_ptr<std::vector<T, Allocator<T, V>>>> kept;
    for (std::size_t n = 1; n < 20; ++n) {
      kept.push_back(std::make_unique<std::vector<T, Allocator<T, V>>>(n));
      check(base::address(kept.back()->data()) % alignof(T) == 0, "alignment");
      check(owned<V>(kept.back()->data()));
    }
  };
  one(std::type_identity<Wide>());
  one(std::type_identity<Line>());
  one(std::type_identity<Page>());
  containers::MemoryResource<V> resource;
  for (std::size_t align = 1; align <= 65536; align *= 2) {
    void* p = resource.allocate(24, align);
    check(base::address(p) % align == 0 && owned<V>(p), "alignment");
    resource.deallocate(p, 24, align);
  }
}
const test::Test t2{"every alignment", every_alignment<Plain>};
const test::Test t3{"every alignment where blocks are aligned to 8", every_alignment<Eights>};

void resources_of_one_variant_are_equal() {
  containers::MemoryResource<Plain> a, b;
  containers::MemoryResource<Other> other;
  check(a == b && !(a == other) && !(a == *std::pmr::new_delete_resource()));
  std::pmr::vector<int> numbers(1000, 7, &a);
  check(owned<Plain>(numbers.data()));
  std::pmr::vector<int> moved(std::move(numbers), &b);  // equal resources: the block itself moves
  check(moved.size() == 1000 && moved.front() == 7 && numbers.empty());
}
const test::Test t4{"resources of one variant are equal", resources_of_one_variant_are_equal};

void memory_that_is_out_is_an_exception() {
  Allocator<int> allocator;
  containers::MemoryResource<Plain> resource;
  check(throws<std::bad_array_new_length>([&] { (void)allocator.allocate(SIZE_MAX / 2); }));
  check(throws<std::bad_alloc>([&] { (void)allocator.allocate(PTRDIFF_MAX / 2); }));
  std::vector<int, Allocator<int>> kept(1000, 7);
  Plain::Pages::fail_from(0);
  check(throws<std::bad_alloc>([&] { (void)resource.allocate(8 << 20); }));
  check(throws<std::bad_alloc>([&] { kept.resize(4 << 20); }));
  Plain::Pages::recover();
  check(kept.size() == 1000 && kept.back() == 7, "what was there stays");
  kept.resize(1 << 20);
  check(owned<Plain>(kept.data()) && kept[999] == 7, "service goes on when memory comes back");
}
const test::Test t5{"memory that is out is an exception", memory_that_is_out_is_an_exception};

// Without the handlers, a child that is born while another thread holds a lock waits for it for ever.
void a_child_allocates_while_the_parents_threads_do() {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([&stop] {
      while (!stop.load(std::memory_order_relaxed)) std::vector<char, Allocator<char>> large(100000);
    });
  }
  for (int i = 0; i < 200; ++i) {
    const pid_t child = ::fork();
    if (child == 0) {
      {
        std::vector<char, Allocator<char>> large(100000);
        std::vector<char, Allocator<char>> small(100);
        if (!owned<Plain>(large.data()) || !owned<Plain>(small.data())) ::_exit(1);
      }
      ::_exit(0);
    }
    int status = 1;
    check(child > 0 && ::waitpid(child, &status, 0) == child && status == 0);
  }
  stop.store(true, std::memory_order_relaxed);
  for (auto& thread : threads) thread.join();
}
const test::Test t6{"a child allocates while the parent's threads do", a_child_allocates_while_the_parents_threads_do};

}  // namespace
