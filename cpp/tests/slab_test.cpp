// Geometry for every stride and offset; stores of free blocks against a model.
#include <hakmem/guard/encoded_links.hpp>
#include <hakmem/slab/bitmap.hpp>
#include <hakmem/slab/freelist.hpp>
#include <hakmem/slab/geometry.hpp>

#include <algorithm>
#include <set>
#include <vector>

#include "check.hpp"
#include "random.hpp"

namespace {

using namespace hakmem;
using test::check;

constexpr std::size_t kLargestSlab = std::size_t{4} << 20;

// The quotient only grows with the offset, so it is right everywhere when it is right at both ends of every block.
const test::Test division{"the block of an offset is exact for every stride and every offset", [] {
  auto* first = reinterpret_cast<std::byte*>(std::uintptr_t{1} << 40);
  for (std::uint32_t stride = 8; stride <= 262144; stride += 8) {
    const slab::Geometry geometry{first, slab::Geometry::inverse_of(stride), stride};
    for (std::size_t at = 0, i = 0; at + stride <= kLargestSlab; at += stride, ++i) {
      if (geometry.index_of(first + at) != i || geometry.index_of(first + at + stride - 1) != i) {
        check(false, ("stride " + std::to_string(stride) + ", offset " + std::to_string(at)).c_str());
        return;
      }
      if (i < 4) check(geometry.block(static_cast<std::uint32_t>(i)) == reinterpret_cast<base::Block*>(first + at));
    }
  }
}};

template <class Store, class Ordered>
void against_a_model(std::uint32_t stride, Ordered&& expected_next) {
  std::vector<std::byte> memory(base::kUnit + 16);
  auto* start = reinterpret_cast<std::byte*>(base::align_up(base::address(memory.data()), 16));
  const slab::Geometry geometry{start, slab::Geometry::inverse_of(stride), stride};
  const std::uint32_t capacity = static_cast<std::uint32_t>(base::kUnit / stride);
  Store store;
  std::vector<base::Block*> free;  // in the order given
  std::set<base::Block*> out;
  for (std::uint32_t i = 0; i < capacity; ++i) out.insert(geometry.block(i));
  test::Random random(stride);
  check(store.take(geometry) == nullptr, "born empty");
  for (int step = 0; step < 20000; ++step) {
    const bool draining = step / 2000 % 2 == 1;
    if (random.below(10) < (draining ? 7u : 3u)) {
      base::Block* got = store.take(geometry);
      if (free.empty()) {
        check(got == nullptr, "an empty store has nothing");
        continue;
      }
      if (!check(got == expected_next(free), "the block that the store's order names")) return;
      std::erase(free, got);
      out.insert(got);
    } else if (!out.empty()) {
      auto some = out.lower_bound(geometry.block(static_cast<std::uint32_t>(random.below(capacity))));
      if (some == out.end()) some = out.begin();
      store.give(*some, geometry);
      free.push_back(*some);
      out.erase(some);
    }
  }
  while (base::Block* got = store.take(geometry)) {
    if (!check(std::erase(free, got) == 1, "every block once")) return;
  }
  check(free.empty(), "no block is lost");
}

base::Block* last(const std::vector<base::Block*>& free) { return free.back(); }
base::Block* lowest(const std::vector<base::Block*>& free) { return *std::min_element(free.begin(), free.end()); }

using Linked = slab::Freelist::Type<>;
using Encoded = slab::Freelist::Type<guard::EncodedLinks>;

const test::Test freelist{"freelist gives the youngest block first and loses none", [] {
  guard::EncodedLinks::seed(0x1f24c73a506b8e9d);
  for (std::uint32_t stride : {16u, 48u, 112u, 1024u, 8192u}) {
    against_a_model<Linked>(stride, last);
    against_a_model<Encoded>(stride, last);
  }
}};

const test::Test bitmap{"bitmap gives the lowest block first and loses none", [] {
  using Links = base::PlainLinks;
  for (std::uint32_t stride : {8u, 16u, 48u, 112u, 1024u, 8192u}) against_a_model<slab::Bitmap::Type<Links>>(stride, lowest);
  for (std::uint32_t stride : {16u, 24u, 32768u}) against_a_model<slab::Bitmap::Type<Links, 16>>(stride, lowest);
  against_a_model<slab::Bitmap::Type<Links, 24>>(24, lowest);
  against_a_model<slab::Bitmap::Type<Links, 16384>>(16384, lowest);
}};

struct alignas(base::kBlockAlign) Slot {
  base::Block block;
};

template <class Store>
void moves_chains() {
  std::vector<Slot> slots(100);
  Store store;
  check(store.take_chain(5).count == 0, "nothing in it");
  for (auto& slot : slots) store.give(&slot.block, {});
  check(store.take_chain(0).count == 0, "nothing asked");
  const base::Chain some = store.take_chain(30);
  test::check_equal(some.count, 30u);
  check(some.first == &slots[99].block && some.last == &slots[70].block, "from the youngest on");
  const base::Chain rest = store.take_chain(1000);
  test::check_equal(rest.count, 70u);
  check(store.take({}) == nullptr, "then it is empty");
  store.give_chain(some);
  store.give_chain(rest);
  std::set<base::Block*> seen;
  while (base::Block* block = store.take({})) seen.insert(block);
  test::check_equal(seen.size(), 100u);
}

const test::Test chains{"freelist takes and gives whole chains", [] {
  guard::EncodedLinks::seed(0x1f24c73a506b8e9d);
  moves_chains<Linked>();
  moves_chains<Encoded>();
}};

}  // namespace
