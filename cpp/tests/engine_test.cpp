// Engines over a fixed arena that refuses on command: exhaustion, and whether every block is accounted for.
#include <hakmem/classes/fitted.hpp>
#include <hakmem/classes/linear16.hpp>
#include <hakmem/concepts/interposable.hpp>
#include <hakmem/engine/engine.hpp>
#include <hakmem/engine/statistics.hpp>
#include <hakmem/front/bypass.hpp>
#include <hakmem/front/hot_mag.hpp>
#include <hakmem/front/magazine.hpp>
#include <hakmem/front/sharded.hpp>
#include <hakmem/front/sll.hpp>
#include <hakmem/front/stack.hpp>
#include <hakmem/guard/checks.hpp>
#include <hakmem/owner/header.hpp>
#include <hakmem/owner/page_tag.hpp>
#include <hakmem/owner/registry.hpp>
#include <hakmem/probe/counters.hpp>
#include <hakmem/remote/none.hpp>
#include <hakmem/remote/return_home.hpp>
#include <hakmem/slab/bitmap.hpp>

#include <cerrno>
#include <cstring>
#include <vector>

#include "check.hpp"
#include "random.hpp"
#include "toy_variant.hpp"

namespace {

using namespace hakmem;
using test::check;
using test::check_equal;
using test::ToyVariant;

// A block of n bytes, filled so that anyone else's writes show.
struct Kept {
  unsigned char* p;
  std::size_t n;
  unsigned char mark;

  void fill() { std::memset(p, mark, n); }
  bool intact() const {
    for (std::size_t i = 0; i < n; ++i) {
      if (p[i] != mark) return false;
    }
    return true;
  }
};

template <class V>
class Checker {
  using Engine = engine::Engine<V>;
  static_assert(concepts::Allocator<Engine>);
  static_assert(concepts::Interposable<Engine>);

 public:
  void run() {
    for (long n = 0; n < 4; ++n) exhaustion(n);  // the first heap and what it needs are refused, too
    requests();
    accounting();
    for (long n = 0; n < 24 && test::failures == 0; ++n) exhaustion(n);
    full();
  }

 private:
  std::size_t some_size() {
    switch (random_.below(16)) {
      case 0: return random_.below(std::size_t{300} << 10);
      case 1:
      case 2: return random_.below(20000);
      default: return random_.below(600);
    }
  }

  Kept make() {
    const std::size_t n = some_size();
    void* p;
    errno = 0;
    switch (random_.below(6)) {
      case 0: p = Engine::calloc(1, n); break;
      case 1: {
        const std::size_t align = std::size_t{1} << random_.below(14);
        p = Engine::aligned_alloc(align, n);
        check(base::address(p) % align == 0, "aligned");
        break;
      }
      default: p = Engine::malloc(n);
    }
    if (p == nullptr) {
      check_equal(errno, ENOMEM);
      return {nullptr, 0, 0};
    }
    check(Engine::usable_size(p) >= n, "room for what was asked");
    check(Engine::owns(p), "ours");
    Kept kept{static_cast<unsigned char*>(p), n, static_cast<unsigned char>(random_.next())};
    kept.fill();
    return kept;
  }
  void drop(std::size_t i) {
    std::swap(live_[i], live_.back());
    check(live_.back().intact(), "contents are kept");
    errno = 77;
    Engine::free(live_.back().p);
    check_equal(errno, 77);
    live_.pop_back();
  }
  void resize(std::size_t i) {
    Kept& kept = live_[i];
    const std::size_t n = 1 + some_size();
    auto* p = static_cast<unsigned char*>(Engine::realloc(kept.p, n));
    if (p == nullptr) {
      check(kept.intact(), "a refused realloc leaves the block as it was");
      return;
    }
    Kept moved{p, std::min(n, kept.n), kept.mark};
    check(moved.intact(), "contents up to the smaller size are kept");
    kept = {p, n, kept.mark};
    kept.fill();
  }
  void drop_all() {
    while (!live_.empty()) drop(random_.below(live_.size()));
  }

  // Blocks out of slabs = live ones + those in this thread's front and in depots; runs in use = live ones + those that it
  // keeps.
  void count() {
    auto& parts = Engine::parts();
    std::size_t small = 0, runs = 0, larges = 0;
    for (const Kept& kept : live_) {
      switch (parts.owner.region_of(kept.p)->kind) {
        case slab::RegionKind::kSlabs: ++small; break;
        case slab::RegionKind::kRuns: ++runs; break;
        default: ++larges;
      }
    }
    std::size_t cached = 0;
    for (base::ClassIndex c = 1; c <= V::Classes::kCount; ++c) {
      cached += Engine::heap()->front.size(c);
      if constexpr (engine::Parts<V>::kDepot != 0) cached += parts.shared[c].depot.size();
    }
    check_equal(parts.pool.totals().blocks_out, small + cached);
    check_equal(parts.runs.used_runs(), runs + Engine::heap()->runs.runs());
    check_equal(parts.large.count(), larges);
  }
  void nothing_is_out() {
    Engine::collect();
    auto& parts = Engine::parts();
    check_equal(parts.pool.totals().blocks_out, 0u);
    check_equal(parts.pool.totals().super_slabs, 0u);
    check_equal(parts.runs.used_runs(), 0u);
    check_equal(parts.runs.chunks(), 0u);
    check_equal(parts.large.count(), 0u);
    check_equal(parts.regions.bytes(), 0u);
  }

  void accounting() {
    for (int step = 0; step < 30000 && test::failures == 0; ++step) {
      const bool growing = step / 3000 % 2 == 0;
      if (live_.empty() || random_.below(10) < (growing ? 6u : 4u)) {
        if (const Kept kept = make(); kept.p != nullptr) live_.push_back(kept);
      } else if (random_.below(8) == 0) {
        resize(random_.below(live_.size()));
      } else {
        drop(random_.below(live_.size()));
      }
      if (step % 1000 == 0) count();
    }
    drop_all();
    count();
    nothing_is_out();
  }

  void exhaustion(long n) {
    V::Pages::fail_from(n);
    for (int step = 0, refused = 0; step < 20000 && refused < 8; ++step) {
      const Kept kept = make();
      if (kept.p != nullptr) {
        live_.push_back(kept);
      } else {
        ++refused;
        if (!live_.empty()) resize(random_.below(live_.size()));
      }
    }
    void* none = Engine::aligned_alloc(base::kPage, 0);
    if (none != nullptr) Engine::free(none);
    if (!live_.empty()) count();
    if (n % 2 == 0) drop_all();  // frees must not need memory
    V::Pages::recover();
    const Kept again = make();
    check(again.p != nullptr, "service goes on");
    if (again.p != nullptr) live_.push_back(again);
    drop_all();
    nothing_is_out();
  }

  void full() {
    for (int round = 0; round < 3; ++round) {
      for (int refused = 0; refused < 20;) {
        const Kept kept = make();
        if (kept.p != nullptr) {
          live_.push_back(kept);
        } else {
          ++refused;
        }
      }
      count();
      drop_all();
      nothing_is_out();
    }
  }

  void requests() {
    std::vector<void*> empty;
    for (int i = 0; i < 50; ++i) empty.push_back(Engine::malloc(0));
    for (int i = 0; i < 50; ++i) {
      check(empty[i] != nullptr, "no bytes are a block too");
      for (int j = 0; j < i; ++j) check(empty[i] != empty[j], "of its own");
    }
    for (void* p : empty) Engine::free(p);
    Engine::free(nullptr);
    for (const std::size_t n : {~std::size_t{0}, ~std::size_t{0} - 15, base::kLargestRequest + 1, base::kLargestRequest}) {
      errno = 0;
      check(Engine::malloc(opaque(n)) == nullptr && errno == ENOMEM, "sizes beyond all memory");
      check(Engine::aligned_alloc(64, opaque(n)) == nullptr, "aligned or not");
      void* p = Engine::malloc(10);
      check(Engine::realloc(p, opaque(n)) == nullptr, "nor can a block grow so far");
      Engine::free(p);
    }
    errno = 0;
    check(Engine::calloc(opaque(std::size_t{1} << 33), opaque(std::size_t{1} << 33)) == nullptr && errno == ENOMEM);
    errno = 0;
    check(Engine::aligned_alloc(24, 8) == nullptr && errno == EINVAL, "no power of two");
    check(Engine::aligned_alloc(0, 8) == nullptr, "nor zero");
    check(Engine::aligned_alloc(opaque(std::size_t{1} << 62), 8) == nullptr, "no such address");
    for (std::size_t align = 1; align <= (std::size_t{1} << 20); align *= 2) {
      for (const std::size_t n : {std::size_t{0}, std::size_t{1}, align, 3 * align + 1}) {
        void* p = Engine::aligned_alloc(align, n);
        check(p != nullptr && base::address(p) % align == 0, "aligned");
        check(Engine::usable_size(p) >= n);
        Engine::free(p);
      }
    }
    check(Engine::realloc(Engine::malloc(100), 0) == nullptr, "realloc to nothing frees");
    char text[16];
    const std::size_t length = engine::statistics<Engine>(text, sizeof text);
    std::vector<char> whole(length);
    check(length > sizeof text && engine::statistics<Engine>(whole.data(), length) == length, "statistics say their length");
    check(whole.front() == '{' && whole.back() == '}', "and are one JSON object");
    nothing_is_out();
  }

  [[gnu::noipa]] static std::size_t opaque(std::size_t n) { return n; }

  test::Random random_{42};
  std::vector<Kept> live_;
};

template <class V>
void holds() {
  Checker<V>().run();
}

template <int kNumber>
struct Tag {};

struct ReturnHome : ToyVariant<Tag<1>> {
  using Back = back::SuperSlab<back::SuperSlabOptions{.refill_hint = back::RefillHint::kNonTemporal}>;
  using Remote = remote::ReturnHome<>;
  using Store = slab::Bitmap;
  using Owner = owner::PageTag;
};
struct OneHeap : ToyVariant<Tag<2>> {
  using Back = back::SuperSlab<back::SuperSlabOptions{.refill_hint = back::RefillHint::kNone}>;
  using Remote = remote::None;
  using Owner = owner::Header;
  using Front = front::Magazine<>;
};
struct Sharded : ToyVariant<Tag<3>> {
  using Remote = remote::ReturnHome<>;
  using Front = front::Sharded;
};
struct Stacked : ToyVariant<Tag<4>> {
  using Front = front::Stack<front::StackOptions{.prewarm = 16}, front::Magazine<>, front::Unified<>>;
  using Owner = owner::Registry;
  using Guard = guard::Checks;
  using Probe = probe::Counters;
};
struct FewClasses : ToyVariant<Tag<5>> {
  using Classes = classes::Linear16<>;
  using Front = front::Bypass;
};

struct EncodedAdopt : ToyVariant<Tag<6>> {
  using Guard = test::EncodedGuard;
};
struct EncodedHome : ToyVariant<Tag<7>> {
  using Remote = remote::ReturnHome<>;
  using Front = front::Stack<front::StackOptions{.prewarm = 16}, front::Sll<>, front::Unified<>>;
  using Owner = owner::Header;
  using Guard = test::EncodedGuard;
};
struct EncodedSharded : ToyVariant<Tag<8>> {
  using Remote = remote::ReturnHome<>;
  using Front = front::Sharded;
  using Guard = test::EncodedGuard;
};

const test::Test adopt{"unified with adopt and mask accounts for every block, whatever is refused", holds<ToyVariant<Tag<0>>>};
const test::Test home{"unified with return_home, bitmap and page_tag accounts for every block", holds<ReturnHome>};
const test::Test none{"magazine with one heap and header accounts for every block", holds<OneHeap>};
const test::Test sharded{"sharded with return_home accounts for every block", holds<Sharded>};
const test::Test stacked{"a prewarmed stack with registry, checks and counters accounts for every block", holds<Stacked>};
const test::Test encoded{"engines with encoded links account for every block", [] {
  holds<EncodedAdopt>();
  holds<EncodedHome>();
  holds<EncodedSharded>();
}};
struct FarApart : ToyVariant<Tag<9>> {
  using Classes = classes::Fitted<classes::FittedOptions{.sizes = {64, 32768}}>;
};
const test::Test far_apart{"realloc leaves a block where it is when no other class is nearer", [] {
  using Engine = engine::Engine<FarApart>;
  void* p = Engine::malloc(4096);
  for (const std::size_t n : {5000, 65, 32768, 100}) check(Engine::realloc(p, n) == p, "of the same class");
  void* q = Engine::realloc(p, 64);
  check(q != p && Engine::usable_size(q) == 64, "of the smaller one");
  Engine::free(q);
}};
struct OrderedMagazine : ToyVariant<Tag<10>> {
  using Front = front::Magazine<>;
};
struct OrderedHotMag : ToyVariant<Tag<11>> {
  using Front = front::Stack<front::StackOptions{}, front::HotMag<>, front::Sll<>>;
};
struct OrderedBitmap : ToyVariant<Tag<12>> {
  using Front = front::Sll<>;
  using Store = slab::Bitmap;
};
template <class V>
void hands_out_in_order() {
  using Engine = engine::Engine<V>;
  std::vector<std::byte*> blocks;
  for (int i = 0; i < 300; ++i) blocks.push_back(static_cast<std::byte*>(Engine::malloc(64)));
  std::size_t backwards = 0;
  for (std::size_t i = 1; i < blocks.size(); ++i) backwards += blocks[i] < blocks[i - 1];
  check_equal(backwards, 0u);
  for (std::byte* block : blocks) Engine::free(block);
}
const test::Test in_order{"fresh blocks come by ascending addresses, from arrays and lists", [] {
  hands_out_in_order<ToyVariant<Tag<13>>>();
  hands_out_in_order<OrderedMagazine>();
  hands_out_in_order<OrderedHotMag>();
  hands_out_in_order<OrderedBitmap>();
}};
const test::Test bypass{"bypass with linear16 accounts for every block", holds<FewClasses>};

}  // namespace
