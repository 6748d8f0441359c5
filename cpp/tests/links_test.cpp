// Encoded links: what is linked is read back, and whatever is written over either word of a freed block ends the process
// with one line at the block's next pop, in every front, store and queue that links blocks.
#include <hakmem/engine/engine.hpp>
#include <hakmem/front/sfc.hpp>
#include <hakmem/front/sharded.hpp>
#include <hakmem/front/sll.hpp>
#include <hakmem/front/split.hpp>
#include <hakmem/front/stack.hpp>
#include <hakmem/front/ultra_sll.hpp>
#include <hakmem/remote/return_home.hpp>

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "check.hpp"
#include "random.hpp"
#include "toy_variant.hpp"

namespace {

using namespace hakmem;
using base::Block;
using guard::EncodedLinks;
using test::check;

constexpr std::uint64_t kRandom = 0x24c73a506b8e9d1f;
constexpr std::uint64_t kTopBit = std::uint64_t{1} << 63;

struct alignas(base::kBlockAlign) Slot {
  Block block;
};
using Words = std::array<std::uint64_t, 2>;

Words words_of(const void* block) {
  Words words;
  std::memcpy(words.data(), block, sizeof words);
  return words;
}
void set_words(void* block, const Words& words) { std::memcpy(block, words.data(), sizeof words); }

// What a child that runs `body` writes to standard error; empty unless it ends by abort().
template <class Body>
std::string last_words(Body&& body) {
  int ends[2];
  if (!check(::pipe(ends) == 0, "a pipe")) return {};
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit no_core{0, 0};
    ::setrlimit(RLIMIT_CORE, &no_core);
    ::dup2(ends[1], STDERR_FILENO);
    body();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said;
  char some[256];
  for (ssize_t n; (n = ::read(ends[0], some, sizeof some)) > 0;) said.append(some, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  check(child > 0 && ::waitpid(child, &status, 0) == child, "a child");
  return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT ? said : std::string{};
}

std::string complaint_of(const void* block) {
  char line[64];
  std::snprintf(line, sizeof line, "hakmem: corrupted free list at %p\n", block);
  return line;
}

// Whether reading the list that `block` heads is refused, whichever word of the block is overwritten, and with what.
template <class Read>
void every_overwrite_is_found(void* block, Read&& read) {
  const Words good = words_of(block);
  check(last_words(read).empty(), "what is intact is read");
  for (std::size_t word : {0u, 1u}) {
    for (const std::uint64_t value : {std::uint64_t{0}, ~std::uint64_t{0}, good[word] ^ 1, good[word] ^ kTopBit,
                                      std::uint64_t{base::address(block)}, good[1 - word]}) {
      Words bad = good;
      bad[word] = value;
      set_words(block, bad);
      const bool found = last_words(read) == complaint_of(block);
      if (!check(found, "an overwritten word is found, and the line names the block")) return;
    }
  }
  set_words(block, good);
}

const test::Test round_trip{"what is linked is read back, and is not to be seen in the block", [] {
  EncodedLinks::seed(kRandom);
  std::vector<Slot> slots(2);
  test::Random random(5);
  Block* const block = &slots[0].block;
  for (int i = 0; i < 10000; ++i) {
    Block* next = i == 0 ? nullptr : reinterpret_cast<Block*>(random.next() >> random.below(60) & ~std::uint64_t{15});
    EncodedLinks::link(block, next);
    check(EncodedLinks::next(block) == next);
    const Words words = words_of(block);
    check(words[0] != base::address(next) && words[1] != base::address(next), "hidden");
  }
}};

const test::Test first_seed{"the first seed counts", [] {
  EncodedLinks::seed(kRandom);
  Slot slot, other;
  EncodedLinks::link(&slot.block, &other.block);
  const Words before = words_of(&slot);
  EncodedLinks::seed(~kRandom);
  EncodedLinks::link(&slot.block, &other.block);
  check(words_of(&slot) == before);
}};

const test::Test bits{"a change of any one bit is found", [] {
  EncodedLinks::seed(kRandom);
  Slot slot, other;
  EncodedLinks::link(&slot.block, &other.block);
  const Words good = words_of(&slot);
  for (unsigned bit = 0; bit < 128 && test::failures == 0; ++bit) {
    Words bad = good;
    bad[bit / 64] ^= std::uint64_t{1} << bit % 64;
    set_words(&slot, bad);
    check(last_words([&] { EncodedLinks::next(&slot.block); }) == complaint_of(&slot));
  }
}};

const test::Test both{"both words at once: zeroed, filled, copied from another block", [] {
  EncodedLinks::seed(kRandom);
  std::vector<Slot> slots(3);
  const auto is_found = [&](const Words& words) {
    set_words(&slots[0], words);
    check(last_words([&] { EncodedLinks::next(&slots[0].block); }) == complaint_of(&slots[0]));
  };
  is_found({0, 0});
  is_found({~std::uint64_t{0}, ~std::uint64_t{0}});
  is_found({0x4141414141414141, 0x4141414141414141});
  is_found({-base::address(&slots[0]), 0});
  for (Block* next : {static_cast<Block*>(nullptr), &slots[0].block, &slots[2].block}) {
    EncodedLinks::link(&slots[1].block, next);
    is_found(words_of(&slots[1]));
  }
}};

using Classes = classes::Geometric4<>;

template <class Policy>
void front_finds_it() {
  EncodedLinks::seed(kRandom);
  typename Policy::template Type<Classes, EncodedLinks> front{};
  front.open();
  std::vector<Slot> slots(4);
  for (const base::ClassIndex c : {base::ClassIndex{1}, Classes::kCount}) {
    for (auto& slot : slots) {
      if (front.size(c) < 2) check(front.push(c, &slot.block));
    }
    Block* const top = &slots[1].block;
    every_overwrite_is_found(top, [&] { front.pop(c); });
    every_overwrite_is_found(top, [&] { front.drain(c, 1, [](Block*) {}); });
    check(front.pop(c) == top && front.pop(c) == &slots[0].block && front.pop(c) == nullptr);
  }
}

const test::Test fronts{"a front that links blocks finds an overwritten one when it pops or drains it", [] {
  front_finds_it<front::Sll<>>();
  front_finds_it<front::UltraSll<>>();
  front_finds_it<front::Sfc<>>();
  front_finds_it<front::Unified<>>();
  front_finds_it<front::Split<front::SplitOptions{}, front::Sll<>, front::Unified<>>>();
  front_finds_it<front::Stack<front::StackOptions{}, front::UltraSll<>, front::Sfc<>>>();
}};

const test::Test freelist{"a slab's free list finds an overwritten block when it is taken", [] {
  EncodedLinks::seed(kRandom);
  slab::Freelist::Type<EncodedLinks> store;
  std::vector<Slot> slots(3);
  for (auto& slot : slots) store.give(&slot.block, {});
  every_overwrite_is_found(&slots[2], [&] { store.take({}); });
  every_overwrite_is_found(&slots[2], [&] { store.take_chain(1); });
  every_overwrite_is_found(&slots[1], [&] { store.take_chain(3); });
}};

const test::Test queue{"a block overwritten on its way home is found when it arrives", [] {
  EncodedLinks::seed(kRandom);
  struct Heap {
    remote::ReturnHome<>::Queue<EncodedLinks> queue;
  } owner;
  remote::ReturnHome<>::Outgoing<Heap, EncodedLinks> outgoing;
  std::vector<Slot> slots(3);
  for (auto& slot : slots) outgoing.add(&owner, &slot.block);
  outgoing.send();
  for (auto& slot : slots) {
    every_overwrite_is_found(&slot, [&] { owner.queue.drain(3, [](Block*) {}); });
  }
}};

template <int kNumber>
struct Tag {};
struct Unified : test::ToyVariant<Tag<0>> {
  using Guard = test::EncodedGuard;
};
struct Sharded : test::ToyVariant<Tag<1>> {
  using Front = front::Sharded;
  using Remote = remote::ReturnHome<>;
  using Guard = test::EncodedGuard;
};

template <class V>
void engine_finds_it() {
  using Engine = engine::Engine<V>;
  for (const std::size_t n : {16, 48, 1024, 4096}) {
    void* const one = Engine::malloc(n);
    void* const other = Engine::malloc(n);
    Engine::free(one);
    Engine::free(other);
    every_overwrite_is_found(other, [&] { Engine::malloc(n); });
    check(Engine::malloc(n) == other, "and an intact one is given out again");
    Engine::free(other);
  }
}

const test::Test engines{"a freed block that was written to is found by the malloc that would give it out", [] {
  engine_finds_it<Unified>();
  engine_finds_it<Sharded>();
}};

}  // namespace
