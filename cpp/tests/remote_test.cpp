// The queue of blocks on their way home, with either form of links: against a model, then with many senders.
#include <hakmem/guard/encoded_links.hpp>
#include <hakmem/remote/return_home.hpp>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "check.hpp"
#include "random.hpp"

namespace {

using namespace hakmem;
using base::Block;
using test::check;

using Policy = remote::ReturnHome<>;
using Plain = base::PlainLinks;
using Encoded = guard::EncodedLinks;

struct alignas(base::kBlockAlign) Slot {
  Block block;
};


template <class Links>
void against_a_model() {
  std::vector<Slot> slots(2000);
  std::vector<Block*> free;
  for (auto& slot : slots) free.push_back(&slot.block);
  std::set<Block*> queued;
  Policy::Queue<Links> queue;
  test::Random random(7);
  for (int step = 0; step < 5000; ++step) {
    check(queue.looks_empty() == queued.empty(), "looks_empty, when nobody sends");
    if (random.below(2) == 0 && !free.empty()) {
      const std::size_t n = 1 + random.below(std::min<std::size_t>(40, free.size()));
      Block* first = free.back();
      Block* last = first;
      for (std::size_t i = 0; i < n; ++i) {
        if (i != 0) {
          Links::link(last, free.back());
          last = free.back();
        }
        queued.insert(free.back());
        free.pop_back();
      }
      queue.push(first, last);
    } else {
      const std::size_t most = random.below(60);
      const std::size_t expected = std::min(most, queued.size());
      const std::size_t n = queue.drain(most, [&](Block* block) {
        check(queued.erase(block) == 1, "a block that was sent, once");
        Links::link(block, nullptr);  // the sink may relink it
        free.push_back(block);
      });
      test::check_equal(n, expected);
    }
  }
}

const test::Test model{"a drain is bounded, and every block comes out once", [] {
  Encoded::seed(0x9d1f24c73a506b8e);
  against_a_model<Plain>();
  against_a_model<Encoded>();
}};

template <class Links>
struct Heap {
  Policy::Queue<Links> queue;
};

const test::Test outgoing{"outgoing blocks reach their owner when the batch is full, the owner changes, or all is sent", [] {
  constexpr unsigned kBatch = remote::ReturnHomeOptions{}.batch;
  Heap<Plain> one, two;
  Policy::Outgoing<Heap<Plain>, Plain> out;
  std::vector<Block> blocks(3 * kBatch);
  const auto drained = [](Heap<Plain>& heap) { return heap.queue.drain(1000, [](Block*) {}); };
  for (unsigned i = 0; i + 1 < kBatch; ++i) out.add(&one, &blocks[i]);
  check(one.queue.looks_empty(), "not before the batch is full");
  out.add(&one, &blocks[kBatch - 1]);
  test::check_equal(drained(one), kBatch);
  out.add(&one, &blocks[kBatch]);
  out.add(&two, &blocks[kBatch + 1]);
  test::check_equal(drained(one), 1u);
  check(two.queue.looks_empty());
  out.send();
  test::check_equal(drained(two), 1u);
  out.send();
  check(one.queue.looks_empty() && two.queue.looks_empty(), "nothing is sent twice");
}};

struct Numbered {
  Slot slot;
  std::size_t number;
};

template <class Links>
void sent_by_many_threads() {
  constexpr std::size_t kSenders = 3, kEach = 20000;
  static Heap<Links> owner;
  std::vector<Numbered> blocks(kSenders * kEach);
  std::vector<std::thread> senders;
  for (std::size_t s = 0; s < kSenders; ++s) {
    senders.emplace_back([&, s] {
      Policy::Outgoing<Heap<Links>, Links> out;
      for (std::size_t i = s * kEach; i < (s + 1) * kEach; ++i) {
        blocks[i].number = i + 1;
        out.add(&owner, &blocks[i].slot.block);
      }
      out.send();
    });
  }
  std::vector<bool> seen(blocks.size());
  std::size_t came = 0;
  while (came < blocks.size()) {
    const std::size_t n = owner.queue.drain(100, [&](Block* block) {
      const auto i = static_cast<std::size_t>(reinterpret_cast<Numbered*>(block) - blocks.data());
      check(blocks[i].number == i + 1, "what the sender wrote is seen");
      check(!seen[i], "once");
      seen[i] = true;
    });
    check(n <= 100, "bounded");
    came += n;
    if (n == 0) std::this_thread::yield();
  }
  for (auto& sender : senders) sender.join();
  check(owner.queue.looks_empty());
}

const test::Test threads{"blocks sent by many threads arrive once each, with what was written into them", [] {
  Encoded::seed(0x9d1f24c73a506b8e);
  sent_by_many_threads<Plain>();
  sent_by_many_threads<Encoded>();
}};

}  // namespace
