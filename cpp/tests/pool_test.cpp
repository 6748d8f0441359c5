// Blocks whose size is known: what the inlined pop and push keep of the engine's promises, for pool<T> and the containers,
// over policy sets that need the lookup and guards that need every call.
#include <hakmem/containers/allocator.hpp>
#include <hakmem/containers/memory_resource.hpp>
#include <hakmem/containers/pool.hpp>
#include <hakmem/front/magazine.hpp>
#include <hakmem/front/sharded.hpp>
#include <hakmem/front/ultra_sll.hpp>
#include <hakmem/guard/checks.hpp>
#include <hakmem/guard/hardened.hpp>
#include <hakmem/owner/header.hpp>
#include <hakmem/owner/page_tag.hpp>
#include <hakmem/probe/counters.hpp>
#include <hakmem/remote/none.hpp>
#include <hakmem/remote/return_home.hpp>

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <list>
#include <map>
#include <set>
#include <string>
#include <thread>
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

struct Plain : test::ToyVariant<struct PlainTag> {
  using Probe = probe::Counters;
};
struct Tagged : test::ToyVariant<struct TaggedTag> {
  using Front = front::Magazine<>;
  using Owner = owner::PageTag;
};
struct Home : test::ToyVariant<struct HomeTag> {
  using Remote = remote::ReturnHome<>;
  using Probe = probe::Counters;
};
struct Headed : test::ToyVariant<struct HeadedTag> {
  using Front = front::UltraSll<>;
  using Owner = owner::Header;
  using Remote = remote::ReturnHome<>;
};
struct Shards : test::ToyVariant<struct ShardsTag> {
  using Front = front::Sharded;
  using Remote = remote::ReturnHome<>;
};
struct Locked : test::ToyVariant<struct LockedTag> {
  using Remote = remote::None;
};
struct Checked : test::ToyVariant<struct CheckedTag> {
  using Guard = guard::Checks;
};
struct Hard : test::ToyVariant<struct HardTag> {
  using Guard = guard::Hardened<>;
};

template <class V>
using Engine = engine::Engine<V>;
template <class T, class V>
using Allocator = containers::Allocator<T, V>;

static_assert(containers::Blocks<Plain>::kBelieved && containers::Blocks<Tagged>::kBelieved);
static_assert(containers::Blocks<Home>::kBelieved && containers::Blocks<Headed>::kBelieved);
static_assert(!containers::Blocks<Shards>::kBelieved && !containers::Blocks<Locked>::kBelieved);
static_assert(!containers::Blocks<Checked>::kBelieved && !containers::Blocks<Hard>::kBelieved);

struct Node {
  std::uint64_t words[5];
};
struct alignas(128) Wide {
  std::uint64_t words[16];
};

template <class T, class V>
void pools_hold_what_is_written() {
  std::vector<T*> kept;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    kept.push_back(pool<T, V>::new_object());
    for (auto& word : kept.back()->words) word = i;
    if (i % 3 == 0) {
      pool<T, V>::delete_object(kept[i / 2]);
      kept[i / 2] = pool<T, V>::new_object();
      for (auto& word : kept[i / 2]->words) word = i / 2;
    }
  }
  for (std::uint64_t i = 0; i < kept.size(); ++i) {
    check(Engine<V>::owns(kept[i]) && base::address(kept[i]) % alignof(T) == 0);
    for (const auto& word : kept[i]->words) check_equal(word, i);
    pool<T, V>::delete_object(kept[i]);
  }
}

// Every container, filled, looked through and emptied in a drawn order, in this thread or handed to another.
template <class V>
struct Containers {
  std::map<int, long, std::less<>, Allocator<std::pair<const int, long>, V>> tree;
  std::multiset<int, std::less<>, Allocator<int, V>> bag;
  std::unordered_map<int, long, std::hash<int>, std::equal_to<>, Allocator<std::pair<const int, long>, V>> table;
  std::list<int, Allocator<int, V>> list;
  std::deque<int, Allocator<int, V>> queue;
  std::vector<std::basic_string<char, std::char_traits<char>, Allocator<char, V>>> texts;
  containers::MemoryResource<V> resource;
  std::pmr::map<int, std::pmr::string> words{&resource};

  void fill(int n) {
    for (int i = 0; i < n; ++i) {
      tree[i] = table[i] = 3L * i;
      bag.insert(i % 7);
      list.push_back(i);
      queue.push_back(i);
      texts.emplace_back(static_cast<std::size_t>(i % 200), 'x');
      words.emplace(i, std::pmr::string(static_cast<std::size_t>(i % 90), 'y', &resource));
    }
  }
  void look(int n) {
    check_equal(tree.size(), static_cast<std::size_t>(n));
    int at = 0;
    for (const int each : list) check_equal(each, at++);
    for (int i = 0; i < n; ++i) {
      check(tree[i] == 3L * i && table[i] == 3L * i && queue[i] == i);
      check(texts[i] == std::string(static_cast<std::size_t>(i % 200), 'x').c_str());
      check_equal(words.at(i).size(), static_cast<std::size_t>(i % 90));
    }
    check(Engine<V>::owns(&*tree.begin()) && Engine<V>::owns(&list.back()) && Engine<V>::owns(&*words.begin()));
  }
};

template <class V>
void containers_keep_their_contents() {
  Containers<V> all;
  for (int turn = 0; turn < 3; ++turn) {
    all.fill(1000);
    all.look(1000);
    all = Containers<V>();
  }
}

// Two threads fill containers that the other empties, so that each frees what is not its own heap's.
template <class V>
void containers_are_handed_to_another_thread() {
  for (int turn = 0; turn < 5; ++turn) {
    std::vector<Containers<V>> made(4);
    std::vector<std::thread> makers;
    for (auto& each : made) makers.emplace_back([&each] { each.fill(500); });
    for (auto& thread : makers) thread.join();
    std::vector<std::thread> enders;
    for (auto& each : made) {
      enders.emplace_back([&each] {
        each.look(500);
        each = Containers<V>();
        each.fill(100);
      });
    }
    for (auto& thread : enders) thread.join();
    for (auto& each : made) each.look(100);
  }
}

// What the heap that owns the slab is told of, when another thread gives its blocks back.
void a_block_of_another_heap_goes_home() {
  std::vector<Node*> kept;
  for (int i = 0; i < 100; ++i) kept.push_back(pool<Node, Home>::allocate());
  const auto remote = [] {
    std::uint64_t n = 0;
    for (auto* heap = Engine<Home>::heaps(); heap != nullptr; heap = heap->next) {
      n += heap->probe.count(static_cast<std::size_t>(probe::Event::kFreeRemote));
    }
    return n;
  };
  const std::uint64_t before = remote();
  std::thread([&] {
    for (Node* node : kept) pool<Node, Home>::deallocate(node);
    for (int i = 0; i < 100; ++i) pool<Node, Home>::deallocate(pool<Node, Home>::allocate());
  }).join();
  check_equal(remote() - before, 100u);
  for (int i = 0; i < 100; ++i) kept[static_cast<std::size_t>(i)] = pool<Node, Home>::allocate();
  for (Node* node : kept) pool<Node, Home>::deallocate(node);
  check_equal(remote() - before, 100u);
}

// The first that these threads do is to give back: they have no heap yet.
template <class V>
void threads_that_only_give() {
  constexpr std::size_t kEach = 50;
  std::vector<Node*> kept;
  for (std::size_t i = 0; i < 4 * kEach; ++i) kept.push_back(pool<Node, V>::allocate());
  std::atomic<int> ready{0};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      ready.fetch_add(1);
      while (ready.load() < 4) std::this_thread::yield();
      for (std::size_t i = 0; i < kEach; ++i) pool<Node, V>::deallocate(kept[t * kEach + i]);
    });
  }
  for (auto& thread : threads) thread.join();
  check(Engine<V>::Heap::sentinel.front.size(base::ClassIndex{1}) == 0, "nobody's heap stays empty");
  for (auto& node : kept) node = pool<Node, V>::new_object();
  std::sort(kept.begin(), kept.end());
  check(std::adjacent_find(kept.begin(), kept.end()) == kept.end(), "no block is given out twice");
  for (Node* node : kept) pool<Node, V>::delete_object(node);
}

// The block's class is that of its size whoever takes it and whoever gives it back.
void known_and_looked_up_sizes_share_blocks() {
  Node* node = pool<Node, Plain>::allocate();
  Engine<Plain>::free(node);
  void* again = Engine<Plain>::malloc(sizeof(Node));
  check(again == node, "a block from the pool serves malloc");
  pool<Node, Plain>::deallocate(static_cast<Node*>(again));
  check(pool<Node, Plain>::allocate() == node, "and back");
  pool<Node, Plain>::deallocate(node);
  // what fits no class, or is no class for certain, is looked up
  Allocator<char, Plain> bytes;
  for (const std::size_t n : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{4097}, std::size_t{1} << 20}) {
    char* p = bytes.allocate(n);
    check(Engine<Plain>::owns(p));
    bytes.deallocate(p, n);
  }
}

template <class V>
void memory_that_is_out_is_an_exception() {
  std::vector<Node*> kept;
  kept.reserve(1 << 20);
  pool<Node, V>::deallocate(pool<Node, V>::allocate());  // this thread's heap is there
  V::Pages::fail_from(0);
  check(throws<std::bad_alloc>([&] {
    while (kept.size() < kept.capacity()) kept.push_back(pool<Node, V>::new_object());
  }));
  std::list<int, Allocator<int, V>> list;
  check(throws<std::bad_alloc>([&] {
    for (int i = 0; i < (1 << 20); ++i) list.push_back(i);
  }));
  V::Pages::recover();
  for (Node* node : kept) pool<Node, V>::delete_object(node);
  int expected = 0;
  for (const int each : list) check_equal(each, expected++);
  pool<Node, V>::delete_object(pool<Node, V>::new_object());
}

struct Refuses {
  explicit Refuses(int* made) {
    if (++*made > 1) throw 7;
  }
  char room[40];
};

void a_constructor_that_throws_leaves_no_block_behind() {
  int made = 0;
  Refuses* first = pool<Refuses, Plain>::new_object(&made);
  pool<Refuses, Plain>::delete_object(first);
  check(throws<int>([&] { (void)pool<Refuses, Plain>::new_object(&made); }));
  check(pool<Refuses, Plain>::allocate() == first, "the block is back in the cache");
  pool<Refuses, Plain>::deallocate(first);
}

// Whether a child that does this ends by a signal.
template <class F>
bool kills(F&& f) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(STDERR_FILENO);
    f();
    ::_exit(0);
  }
  int status = 0;
  return child > 0 && ::waitpid(child, &status, 0) == child && WIFSIGNALED(status);
}

template <class V>
void guards_see_every_block() {
  check(kills([] {
    Node* node = pool<Node, V>::allocate();
    pool<Node, V>::deallocate(node);
    pool<Node, V>::deallocate(node);
  }), "a double free");
  check(kills([] {
    Allocator<Node, V> nodes;
    Node* node = nodes.allocate(1);
    nodes.deallocate(reinterpret_cast<Node*>(&node->words[2]), 1);
  }), "a free inside a block");
  if constexpr (V::Guard::Canary::kBytes != 0) {
    check(kills([] {
      Node* node = pool<Node, V>::allocate();
      static_cast<volatile std::uint64_t*>(node->words)[5] = 0;
      pool<Node, V>::deallocate(node);
    }), "an overflow");
  }
}

template <class V>
struct Tests {
  test::Test nodes{"pools hold what is written", pools_hold_what_is_written<Node, V>};
  test::Test wide{"pools of over-aligned objects hold what is written", pools_hold_what_is_written<Wide, V>};
  test::Test contents{"containers keep their contents", containers_keep_their_contents<V>};
  test::Test handed{"containers are handed to another thread", containers_are_handed_to_another_thread<V>};
  test::Test only_give{"threads that only give", threads_that_only_give<V>};
  test::Test out{"memory that is out is an exception", memory_that_is_out_is_an_exception<V>};
};
const Tests<Plain> plain;
const Tests<Tagged> tagged;
const Tests<Home> home;
const Tests<Headed> headed;
const Tests<Shards> shards;
const Tests<Locked> locked;
const Tests<Checked> checked;
const Tests<Hard> hard;
const test::Test t1{"a block of another heap goes home", a_block_of_another_heap_goes_home};
const test::Test t2{"known and looked-up sizes share blocks", known_and_looked_up_sizes_share_blocks};
const test::Test t3{"a constructor that throws leaves no block behind", a_constructor_that_throws_leaves_no_block_behind};
const test::Test t4{"checks see every block", guards_see_every_block<Checked>};
const test::Test t5{"hardened sees every block", guards_see_every_block<Hard>};

}  // namespace
