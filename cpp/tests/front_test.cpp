// Every front against a model that knows which blocks it was given: random operations of one thread, with either form of
// links.
#include <hakmem/classes/geometric4.hpp>
#include <hakmem/classes/linear16.hpp>
#include <hakmem/classes/pow2.hpp>
#include <hakmem/concepts/front_policy.hpp>
#include <hakmem/front/bypass.hpp>
#include <hakmem/front/hot_mag.hpp>
#include <hakmem/front/magazine.hpp>
#include <hakmem/front/sfc.hpp>
#include <hakmem/front/sll.hpp>
#include <hakmem/front/split.hpp>
#include <hakmem/front/stack.hpp>
#include <hakmem/front/ultra_sll.hpp>
#include <hakmem/front/unified.hpp>
#include <hakmem/guard/encoded_links.hpp>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <set>
#include <vector>

#include "check.hpp"
#include "random.hpp"

namespace {

using namespace hakmem;
using base::Block;
using base::ClassIndex;
using test::check;
using test::check_equal;

// The smallest block that every form of links fits.
struct alignas(base::kBlockAlign) Slot {
  Block block;
};

template <class Front>
constexpr bool kUnbounded = requires { requires Front::kUnbounded; };

template <class Front>
constinit Front untouched{};

// What a thread without a heap finds: every pop misses, every push is refused, nothing is ever written.
template <class Front, class Classes>
void is_born_shut() {
  std::vector<unsigned char> before(sizeof(Front));
  std::memcpy(before.data(), static_cast<const void*>(&untouched<Front>), sizeof(Front));
  Slot slot{};
  for (ClassIndex c = 0; c <= Classes::kCount; ++c) {
    check(untouched<Front>.pop(c) == nullptr, "a shut front has nothing");
    if (c == 0 || !kUnbounded<Front>) check(!untouched<Front>.push(c, &slot.block), "a shut front takes nothing");
  }
  check(std::memcmp(before.data(), static_cast<const void*>(&untouched<Front>), sizeof(Front)) == 0,
        "and is never written");
}

// A front whatever its type, so that the model is compiled once.
struct AnyFront {
  ClassIndex classes;
  virtual ~AnyFront() = default;
  virtual bool covers(ClassIndex) = 0;
  virtual Block* pop(ClassIndex) = 0;
  virtual bool push(ClassIndex, Block*) = 0;
  virtual unsigned refill_want(ClassIndex) = 0;
  virtual unsigned flush_want(ClassIndex) = 0;
  virtual unsigned size(ClassIndex) = 0;
  virtual unsigned drain(ClassIndex, unsigned, const std::function<void(Block*)>&) = 0;
  virtual bool take_chain(ClassIndex, unsigned, base::Chain&) = 0;  // false: this front knows no chains
  virtual void put_chain(ClassIndex, base::Chain) = 0;
  virtual Block* next(const Block*) = 0;  // as its links have it

 protected:
  explicit AnyFront(ClassIndex count) : classes(count) {}
};

// A front in memory that began as zeroes.
template <class Front>
class Zeroed {
 public:
  Zeroed() : front_(new (std::calloc(1, sizeof(Front))) Front) {}
  Zeroed(const Zeroed&) = delete;
  ~Zeroed() { std::free(front_); }
  Front& operator*() const { return *front_; }
  Front* operator->() const { return front_; }

 private:
  Front* front_;
};

template <class Front, class Classes, class Links>
struct Adapter final : AnyFront {
  Adapter() : AnyFront(Classes::kCount) { front.open(); }
  bool covers(ClassIndex c) override { return Front::covers(c); }
  Block* pop(ClassIndex c) override { return front.pop(c); }
  bool push(ClassIndex c, Block* block) override { return front.push(c, block); }
  unsigned refill_want(ClassIndex c) override { return front.refill_want(c); }
  unsigned flush_want(ClassIndex c) override { return front.flush_want(c); }
  unsigned size(ClassIndex c) override { return front.size(c); }
  unsigned drain(ClassIndex c, unsigned n, const std::function<void(Block*)>& sink) override {
    return front.drain(c, n, sink);
  }
  bool take_chain(ClassIndex c, unsigned n, base::Chain& chain) override {
    if constexpr (requires { front.take_chain(c, n); }) {
      chain = front.take_chain(c, n);
      return true;
    }
    return false;
  }
  void put_chain(ClassIndex c, base::Chain chain) override {
    if constexpr (requires { front.put_chain(c, chain); }) front.put_chain(c, chain);
  }
  Block* next(const Block* block) override { return Links::next(block); }
  Zeroed<Front> memory;
  Front& front = *memory;
};

class Model {
 public:
  Model(std::unique_ptr<AnyFront> front, std::uint64_t seed)
      : random_(seed), slots_(12000), held_(front->classes + 1), front_(std::move(front)) {
    for (auto& slot : slots_) free_.push_back(&slot.block);
  }

  void run(int steps) {
    for (int step = 0; step < steps && test::failures == 0; ++step) {
      // few classes, so that they fill; the rest now and then
      const ClassIndex c = random_.below(8) != 0 ? 1 + random_.below(std::min<ClassIndex>(5, front_->classes))
                                                 : random_.below(front_->classes + 1);
      const bool filling = step / 3000 % 2 == 0;
      switch (random_.below(16)) {
        case 0: drain(c, static_cast<unsigned>(random_.below(300))); break;
        case 1: refill(c); break;
        case 2: move_chain(c); break;
        default: random_.below(10) < (filling ? 7u : 3u) ? push(c) : pop(c);
      }
      if (c != 0) check_equal(front_->size(c), held_[c].size());
    }
    for (ClassIndex c = 1; c <= front_->classes; ++c) {
      drain(c, ~0u);
      check(held_[c].empty() && front_->pop(c) == nullptr, "a drained class is empty");
    }
  }

 private:
  static void scribble(Block* block) { std::memset(static_cast<void*>(block), kScribble, sizeof(Slot)); }
  static bool is_scribbled(const Block* block) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(block);
    return std::all_of(bytes, bytes + sizeof(Slot), [](unsigned char byte) { return byte == kScribble; });
  }

  Block* take_free() {
    if (free_.empty()) return nullptr;
    std::swap(free_[random_.below(free_.size())], free_.back());
    Block* block = free_.back();
    free_.pop_back();
    return block;
  }

  void pop(ClassIndex c) {
    Block* block = front_->pop(c);
    if (c == 0 || held_[c].empty()) {
      check(block == nullptr, "a miss");
    } else if (check(block != nullptr, "a hit, since it holds some")) {
      check(held_[c].erase(block) == 1, "a block of this class, given out once");
      free_.push_back(block);
    }
  }

  void push(ClassIndex c) {
    Block* block = take_free();
    if (block == nullptr) return;
    scribble(block);
    if (front_->push(c, block)) {
      check(c != 0, "class 0 is none: it is always refused");
      check(front_->covers(c), "a class that is not the front's business is refused");
      if (c != 0) held_[c].insert(block);
      return;
    }
    check(is_scribbled(block), "a refused block is untouched");
    const unsigned spill = c != 0 ? front_->flush_want(c) : 0;
    if (spill != 0) {
      drain(c, spill);
      if (check(front_->push(c, block), "after the spill that it asked for there is room")) held_[c].insert(block);
    } else {
      check(c == 0 || !front_->covers(c) || held_[c].empty(), "a front that holds blocks can spill them");
      free_.push_back(block);
    }
  }

  // As the engine does after a miss.
  void refill(ClassIndex c) {
    if (c == 0) return;
    while (!held_[c].empty()) pop(c);
    const unsigned want = front_->refill_want(c);
    check(want <= concepts::kMostRefilled, "a refill is bounded");
    for (unsigned i = 0; i < want; ++i) {
      Block* block = take_free();
      if (block == nullptr) return;
      if (!check(front_->push(c, block), "after a miss, refill_want pushes succeed")) return;
      held_[c].insert(block);
    }
  }

  void drain(ClassIndex c, unsigned n) {
    if (c == 0) return;
    const auto expected = std::min<std::size_t>(n, held_[c].size());
    unsigned came = 0;
    const unsigned said = front_->drain(c, n, [&](Block* block) {
      ++came;
      check(held_[c].erase(block) == 1, "drained blocks are of this class, each once");
      scribble(block);  // a sink may relink what it gets
      free_.push_back(block);
    });
    check_equal(said, expected);
    check_equal(came, expected);
  }

  void move_chain(ClassIndex c) {
    if (c == 0) return;
    const auto n = static_cast<unsigned>(random_.below(80));
    base::Chain chain;
    if (!front_->take_chain(c, n, chain)) return;
    check_equal(chain.count, std::min<std::size_t>(n, held_[c].size()));
    Block* block = chain.first;
    for (unsigned i = 0; i < chain.count; ++i, block = front_->next(block)) {
      check(held_[c].contains(block), "a chain of this class's blocks");
      if (i + 1 == chain.count) check(block == chain.last, "that ends where it says");
    }
    check(block == nullptr, "and leads nowhere");
    check_equal(front_->size(c), held_[c].size() - chain.count);
    if (chain.count != 0) front_->put_chain(c, chain);
  }

  static void check_equal(std::size_t got, std::size_t expected) { test::check_equal(got, expected); }

  static constexpr unsigned char kScribble = 0x5c;
  test::Random random_;
  std::vector<Slot> slots_;
  std::vector<Block*> free_;
  std::vector<std::set<Block*>> held_;
  std::unique_ptr<AnyFront> front_;
};

template <class Policy, class Classes, class Links>
void obeys() {
  using Front = typename Policy::template Type<Classes, Links>;
  if constexpr (Links::kKeyed) Links::seed(0x6b8e9d1f24c73a50);
  is_born_shut<Front, Classes>();
  for (std::uint64_t seed : {1u, 2u, 3u}) Model(std::make_unique<Adapter<Front, Classes, Links>>(), seed).run(12000);
}

template <class... Policies>
void obey() {
  (obeys<Policies, classes::Geometric4<>, base::PlainLinks>(), ...);
  (obeys<Policies, classes::Geometric4<>, guard::EncodedLinks>(), ...);
}
template <class Policy>
void obeys_for_all_maps() {
  obey<Policy>();
  obeys<Policy, classes::Linear16<>, base::PlainLinks>();
  obeys<Policy, classes::Pow2<classes::Pow2Options{.largest = 1024, .smallest = 8}>, base::PlainLinks>();
}

using namespace front;
using LowestMag = HotMag<HotMagOptions{.slots = 8, .classes = 1, .refill = 8}>;

const test::Test bypass{"bypass holds nothing", obey<Bypass>};
const test::Test sll{"sll obeys the contract of fronts", [] {
  obey<Sll<>>();
  obey<Sll<SllOptions{.cap = 16, .refill = 16}>>();
}};
const test::Test ultra_sll{"ultra_sll obeys the contract of fronts", obey<UltraSll<>>};
const test::Test sfc{"sfc obeys the contract of fronts", [] {
  obey<Sfc<>>();
  obey<Sfc<SfcOptions{.cap = 16, .refill = 256, .spill_percent = 50}>>();
  obey<Sfc<SfcOptions{.cap = 17, .refill = 1, .spill_percent = 100}>>();
}};
const test::Test hot_mag{"hot_mag obeys the contract of fronts and leaves larger classes alone", [] {
  obeys_for_all_maps<HotMag<>>();
  obey<HotMag<HotMagOptions{.slots = 8, .classes = 8, .refill = 8}>>();
  obey<LowestMag>();
}};
const test::Test magazine{"magazine obeys the contract of fronts", [] {
  obey<Magazine<>>();
  obey<Magazine<MagazineOptions{.slots = 8, .refill = 8}>>();
}};
const test::Test unified{"unified obeys the contract of fronts", [] {
  obeys_for_all_maps<Unified<>>();
  obey<Unified<UnifiedOptions{.capacity = {2, 2, 2, 2, 2, 2, 2, 2}, .refill = 64}>>();
  obey<Unified<UnifiedOptions{.refill = 1}>>();
}};
// A class that spills again and again grows to its bound; the others find what is left of the budget, which those above 1 KiB do
// not share; a front that was emptied and opened anew is as it was.
template <class Front, class Classes>
void grows(std::size_t budget) {
  const Zeroed<Front> front;
  std::vector<Slot> slots(60000);
  const auto most_held = [&](ClassIndex c) {
    for (auto& slot : slots) {
      if (!front->push(c, &slot.block)) {
        const unsigned spill = front->flush_want(c);
        if (front->push(c, &slot.block)) continue;  // it has grown
        front->drain(c, spill, [](Block*) {});
        front->push(c, &slot.block);
      }
    }
    return std::size_t{front->size(c)};
  };
  const auto empty = [&](ClassIndex c) { front->drain(c, ~0u, [](Block*) {}); };
  for (int again = 0; again < 2; ++again) {
    front->open();
    const auto share = [&](ClassIndex first, std::size_t its_budget) {
      using Bounds = Growth<Classes, 0>;
      std::size_t before = 0, bytes = 0;
      for (ClassIndex c = first; c < first + 6; ++c) {
        const std::size_t size = Classes::block_size(c), held = most_held(c) * size;
        const std::size_t bound = std::max(Bounds::kClassBytes, Bounds::kClassBlocks * size);
        check(held <= bound, "a class holds no more than its bound");
        check(c > first || its_budget < 2 * held || held > bound / 2, "and grows while the budget lasts");
        bytes += held;
        before += std::max(std::min(256 * size, std::size_t{64} << 10), 2 * size);  // at least what a class begins with
        empty(c);
      }
      check(bytes <= its_budget + before, "all classes together grow by the budget at the most");
    };
    share(1, budget);
    share(Classes::kCount - 5, Growth<Classes, 0>::kLargerTimes * budget);
  }
}
const test::Test growth{"fronts grow out of their budgets and begin anew when opened anew", [] {
  using Classes = classes::Geometric4<>;
  obey<Unified<UnifiedOptions{.growth_kib = 0}>, Unified<UnifiedOptions{.growth_kib = 65536}>>();
  obey<Magazine<MagazineOptions{.growth_kib = 0}>, Magazine<MagazineOptions{.growth_kib = 1}>>();
  grows<Unified<UnifiedOptions{.growth_kib = 300}>::Type<Classes>, Classes>(std::size_t{300} << 10);
  grows<Unified<UnifiedOptions{.growth_kib = 65536}>::Type<Classes>, Classes>(std::size_t{64} << 20);
  grows<Magazine<MagazineOptions{.growth_kib = 300}>::Type<Classes>, Classes>(std::size_t{300} << 10);
  grows<Magazine<MagazineOptions{.growth_kib = 65536}>::Type<Classes>, Classes>(std::size_t{64} << 20);
}};
template <class Front>
void moves_more_when_grown(unsigned refill) {
  const Zeroed<Front> front;
  front->open();
  check_equal(front->refill_want(1), refill);
  using Bounds = Growth<classes::Geometric4<>, 0>;
  constexpr ClassIndex kLast = classes::Geometric4<>::kCount;
  for (const ClassIndex c : {ClassIndex{1}, kLast}) {
    for (int miss = 0; miss < 60; ++miss) front->refill_want(c);
  }
  check_equal(front->refill_want(1), Bounds::kMostMoved);
  check_equal(front->refill_want(2), refill);
  // few blocks, and half of them at the most
  check_equal(front->refill_want(kLast), std::min(refill, Bounds::kClassBlocks / 2));
}
const test::Test batches{"a class that has grown is refilled in larger batches", [] {
  using Classes = classes::Geometric4<>;
  moves_more_when_grown<Unified<>::Type<Classes>>(32);
  moves_more_when_grown<Unified<UnifiedOptions{.capacity = {512, 512, 512, 512, 512, 512, 512, 512}, .refill = 8}>::Type<Classes>>(8);
  moves_more_when_grown<Magazine<>::Type<Classes>>(32);
  moves_more_when_grown<Magazine<MagazineOptions{.slots = 512, .refill = 8}>::Type<Classes>>(8);
}};
const test::Test split{"split obeys the contract of fronts", [] {
  obey<Split<SplitOptions{}, HotMag<>, Unified<>>>();
  obey<Split<SplitOptions{.at = 1}, LowestMag, Sll<>>>();
  obey<Split<SplitOptions{.at = 5}, UltraSll<>, Magazine<>>>();
}};
const test::Test stack{"stack obeys the contract of fronts", [] {
  obey<Stack<StackOptions{}, Sll<>, Magazine<>>>();
  obey<Stack<StackOptions{.cascade = 64}, LowestMag, Sfc<>>>();
  obey<Stack<StackOptions{.cascade = 1}, Sll<SllOptions{.cap = 16, .refill = 16}>, UltraSll<>>>();
  obey<Stack<StackOptions{.cascade = 64}, UltraSll<>, Unified<>>>();
}};

}  // namespace
