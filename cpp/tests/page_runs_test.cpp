// Page runs on a fixed arena against a model of intervals, then with many threads.
#include <algorithm>
#include <atomic>
#include <bitset>
#include <map>
#include <thread>
#include <type_traits>
#include <vector>

#include "check.hpp"
#include "random.hpp"
#include "toy_variant.hpp"

namespace {

using namespace hakmem;
using test::check;
using test::check_equal;
using test::Parts;
using test::started;
using test::ToyVariant;
using test::with;

template <std::size_t kPages>
void a_set_against_a_model(std::uint64_t seed) {
  test::Random random(seed);
  back::PageSet<kPages> sets[2];
  std::bitset<kPages> models[2];
  for (int step = 0; step < 2000 && test::failures == 0; ++step) {
    const std::size_t which = random.below(2), first = random.below(kPages);
    const std::size_t count = random.below(4) == 0 ? kPages - first : random.below(kPages - first + 1);
    if (random.below(8) == 0) {
      sets[which].remove(sets[1 - which]);
      models[which] &= ~models[1 - which];
    } else {
      sets[which].add(first, count);
      for (std::size_t i = first; i < first + count; ++i) models[which][i] = true;
    }
    check_equal(sets[which].empty(), models[which].none());
    const std::size_t begin = random.below(2) == 0 ? 0 : random.below(kPages);
    const std::size_t range = random.below(2) == 0 ? kPages - begin : random.below(kPages - begin + 1);
    std::bitset<kPages> seen, expected;
    for (std::size_t i = begin; i < begin + range; ++i) expected[i] = models[which][i];
    std::size_t end = 0;
    sets[which].each_run(begin, range, [&](std::size_t from, std::size_t length) {
      check(length != 0 && (end == 0 || from > end), "ascending, and as long as they go");
      end = from + length;
      for (std::size_t i = from; i < end; ++i) seen[i] = true;
    });
    check(seen == expected, "the pages that were added and not removed");
  }
}

const test::Test sets{"a set of pages holds what was added and not removed, in its longest runs", [] {
  a_set_against_a_model<16>(1);
  a_set_against_a_model<64>(2);
  a_set_against_a_model<256>(3);
  a_set_against_a_model<1000>(4);
}};

template <class V>
class Runs {
 public:
  Runs(Parts<V>& parts, std::uint64_t seed) : parts_(parts), random_(seed) {}

  void run(int steps) {
    for (int step = 0; step < steps && test::failures == 0; ++step) {
      switch (random_.below(8)) {
        case 0:
        case 1:
        case 2: take(); break;
        case 3: resize(); break;
        case 4: random_.below(3) == 0 ? settle(random_.below(2)) : grow(); break;
        default: give();
      }
      check_equal(parts_.runs.used_runs(), runs_.size());
      if (random_.below(100) == 0) parts_.runs.decay(parts_);
      if (random_.below(1000) == 0) parts_.runs.collect(parts_);
    }
    while (!runs_.empty()) give();
    parts_.runs.collect(parts_);
    check_equal(parts_.runs.used_runs(), 0u);
    check_equal(parts_.runs.chunks(), 0u);
  }

 private:
  static constexpr std::size_t kLargest = back::PageRuns<Parts<V>>::kLargest;

  void take() {
    const std::size_t bytes = 1 + random_.below(random_.below(4) == 0 ? kLargest : 4 * base::kPage);
    const std::size_t most = random_.below(4) == 0 ? bytes + random_.below(kLargest - bytes + 1) : 0;
    const auto start = base::address(parts_.runs.take(parts_, bytes, most));
    if (start == 0) return;
    check(start % base::kPage == 0, "page-aligned");
    const std::size_t pages = pages_at(start), least = (bytes + base::kPage - 1) / base::kPage;
    check(pages == least || (pages > least && pages <= (most + base::kPage - 1) / base::kPage), "as long as is asked for");
    apart(start, pages);
    runs_[start] = pages;
    fill(start, 0, pages);
    found(start);
  }

  // A run that nobody grows becomes one that grows, or one that does has a longer block.
  void grow() {
    if (runs_.empty()) return;
    const auto it = some();
    const auto [start, pages] = *it;
    auto* at = reinterpret_cast<void*>(start);
    if (const auto room = rooms_.find(start); room != rooms_.end()) {
      it->second += random_.below(room->second.pages - pages + 1);
      const std::size_t most = room->second.pages + random_.below(3);
      check(!parts_.runs.grow(at, (room->second.pages + 1) * base::kPage, (room->second.pages + 1) * base::kPage), "no further than its run");
      check(parts_.runs.grow(at, it->second * base::kPage, most * base::kPage), "up to it");
      it->second = std::min(most, room->second.pages);
      fill(start, pages, it->second);
    } else {
      const std::size_t h = random_.below(2);
      settle(h);
      it->second = 1 + random_.below(pages);
      rooms_[start] = {pages, h};
      parts_.runs.begin_growth(at, it->second * base::kPage - random_.below(base::kPage), &holders_[h]);
      check(holders_[h] == at, "held by its thread");
    }
    check_equal(parts_.runs.grown(at), it->second * base::kPage);
    found(start);
    verify(start, it->second);
  }
  void settle(std::size_t h) {
    const auto start = base::address(holders_[h]);
    parts_.runs.settle(parts_, holders_[h]);
    ended(start);
    check(holders_[h] == nullptr, "held no more");
    if (start == 0) return;
    found(start);
    verify(start, runs_.at(start));
  }
  // Whoever frees, resizes or settles a run that grows, its thread has it no more.
  void ended(std::uintptr_t start) {
    if (const auto room = rooms_.find(start); room != rooms_.end()) {
      check(holders_[room->second.holder] == nullptr, "its thread has it no more");
      rooms_.erase(room);
    }
    for (const auto& [other, room] : rooms_) check(base::address(holders_[room.holder]) == other, "the others stay held");
  }

  void give() {
    if (runs_.empty()) return;
    const auto it = some();
    found(it->first);
    verify(it->first, it->second);
    if (rooms_.count(it->first) != 0 && random_.below(2) == 0) {
      it->second = rooms_[it->first].pages;
      parts_.runs.end_growth(reinterpret_cast<void*>(it->first));
      ended(it->first);
      found(it->first);
    }
    parts_.runs.give(parts_, reinterpret_cast<void*>(it->first));
    ended(it->first);
    runs_.erase(it);
  }

  void resize() {
    if (runs_.empty()) return;
    const auto it = some();
    const auto [start, pages] = *it;
    const std::size_t wanted = 1 + random_.below(2 * pages), most = wanted + random_.below(wanted + 1);
    if (most * base::kPage > kLargest) return;
    verify(start, pages);
    const bool done = parts_.runs.resize(parts_, reinterpret_cast<void*>(start), wanted * base::kPage, most * base::kPage);
    if (!done && rooms_.count(start) != 0) it->second = rooms_[start].pages;
    ended(start);
    check(done || wanted > pages, "a run can always be shortened");
    if (done) {
      it->second = pages_at(start);
      check(it->second >= wanted && it->second <= most, "as long as is asked for");
      apart(start, it->second);
      fill(start, std::min(pages, it->second), it->second);
    }
    found(start);
    verify(start, std::min(pages, it->second));
  }

  std::size_t pages_at(std::uintptr_t start) {
    std::byte* first = nullptr;
    std::size_t bytes = 0;
    parts_.runs.find_used(reinterpret_cast<std::byte*>(start) + std::remove_reference_t<decltype(parts_)>::kPrefix, first, bytes);
    return bytes / base::kPage;
  }
  void found(std::uintptr_t start) {
    const std::size_t bytes = runs_[start] * base::kPage;
    constexpr std::size_t kBegin = std::remove_reference_t<decltype(parts_)>::kPrefix;
    for (const std::size_t at : {kBegin, kBegin + 1, kBegin + 16, bytes / 2, bytes - 1}) {
      std::byte* first = nullptr;
      std::size_t length = 0;
      const bool found = parts_.runs.find_used(reinterpret_cast<void*>(start + at), first, length);
      check(found == (at == kBegin), "found from where its block begins and from nowhere else");
      if (found) check(base::address(first) == start && length == bytes, "whole");
      const unsigned cached = parts_.runs.length_at(reinterpret_cast<void*>(start + at));
      const unsigned exactly = back::RunLengths::exactly(static_cast<unsigned>(runs_[start]));
      const bool cacheable = at == kBegin && exactly < back::RunLengths::kCount && rooms_.count(start) == 0;
      check(cacheable ? cached == exactly : cached >= back::RunLengths::kCount,
            "a thread's cache is told its length where it takes such runs");
    }
  }
  void apart(std::uintptr_t start, std::size_t pages) {
    const auto after = runs_.upper_bound(start);
    check(after == runs_.end() || start + pages * base::kPage <= after->first, "apart from the next");
    const auto at = runs_.lower_bound(start);
    if (at == runs_.begin()) return;
    const auto before = *std::prev(at);
    const auto room = rooms_.find(before.first);
    const std::size_t its = room == rooms_.end() ? before.second : room->second.pages;
    check(before.first + its * base::kPage <= start, "and from the one before, with its room");
  }
  static std::uintptr_t& word(std::uintptr_t start, std::size_t page) {
    return *reinterpret_cast<std::uintptr_t*>(start + page * base::kPage);
  }
  static void fill(std::uintptr_t start, std::size_t from, std::size_t to) {
    for (std::size_t page = from; page < to; ++page) word(start, page) = start ^ page;
  }
  static void verify(std::uintptr_t start, std::size_t pages) {
    for (std::size_t page = 0; page < pages; ++page) check(word(start, page) == (start ^ page), "contents are kept");
  }
  std::map<std::uintptr_t, std::size_t>::iterator some() {
    return std::next(runs_.begin(), static_cast<std::ptrdiff_t>(random_.below(runs_.size())));
  }

  Parts<V>& parts_;
  test::Random random_;
  struct Room {
    std::size_t pages, holder;
  };
  void* holders_[2]{};
  std::map<std::uintptr_t, std::size_t> runs_;  // start to pages, or of one that grows its block's
  std::map<std::uintptr_t, Room> rooms_;        // of those that grow
};

template <class V>
void runs_against_a_model() {
  static constinit Parts<V> parts{};
  started<V>(parts);
  for (std::uint64_t seed = 1; seed <= 3; ++seed) Runs<V>(parts, seed).run(4000);
  parts.regions.flush(parts.pages);
  check_equal(parts.regions.bytes(), 0u);
}

const test::Test runs{"page runs stay apart, keep their contents, and coalesce to nothing, under every purge policy", [] {
  struct A {};
  struct B {};
  struct C {};
  runs_against_a_model<ToyVariant<A, with(pages::Purge::kNever)>>();
  runs_against_a_model<ToyVariant<B, with(pages::Purge::kDecay)>>();
  runs_against_a_model<ToyVariant<C, with(pages::Purge::kEager)>>();
}};

const test::Test one_empty{"one empty region of page runs stays, beside those in use", [] {
  struct Tag {};
  using V = ToyVariant<Tag>;
  static constinit Parts<V> parts{};
  started<V>(parts);
  constexpr std::size_t kLargest = back::PageRuns<Parts<V>>::kLargest;
  std::vector<void*> taken;
  for (std::size_t regions = 1; regions <= 4; ++regions) {
    while (parts.runs.chunks() < regions) taken.push_back(parts.runs.take(parts, kLargest));
  }
  void* last = taken.back();
  taken.pop_back();
  for (int i = 0; i < 10; ++i) {
    parts.runs.give(parts, last);
    check_equal(parts.runs.chunks(), 4u);
    last = parts.runs.take(parts, kLargest);
    check_equal(parts.runs.chunks(), 4u);
  }
  parts.runs.give(parts, last);
  while (!taken.empty()) {
    parts.runs.give(parts, taken.back());
    taken.pop_back();
  }
  check_equal(parts.runs.chunks(), 1u);
  parts.runs.collect(parts);
  check_equal(parts.runs.chunks(), 0u);
}};

const test::Test settles{"a thread settles a run whose block another has by now and sees as long as it is", [] {
  struct Tag {};
  using V = ToyVariant<Tag>;
  static constinit Parts<V> parts{};
  started<V>(parts);
  constexpr std::size_t kBegin = std::remove_reference_t<decltype(parts)>::kPrefix;
  constexpr std::size_t kMost = back::RunLengths::kMost;
  std::atomic<std::byte*> block{nullptr};
  std::size_t pages = 0;
  std::thread other([&] {
    for (;;) {
      std::byte* p = block.load(std::memory_order_acquire);
      if (p == nullptr) {
        std::this_thread::yield();
        continue;
      }
      if (pages == 0) return;
      std::byte* start = nullptr;
      std::size_t bytes = 0;
      for (int i = 0; i < 20; ++i) {
        check(parts.runs.find_used(p, start, bytes) && bytes == pages * base::kPage, "neither more nor less");
        const std::size_t length = parts.runs.length_at(p);
        check(length >= back::RunLengths::kCount || back::RunLengths::kPages[length] == pages, "nor for a cache");
      }
      parts.runs.give(parts, start);
      block.store(nullptr, std::memory_order_release);
    }
  });
  test::Random random(7);
  void* holder = nullptr;
  for (int turn = 0; turn < 5000 && test::failures == 0; ++turn) {
    auto* start = static_cast<std::byte*>(parts.runs.take(parts, base::kPage, kMost * base::kPage));
    pages = 1 + random.below(kMost);
    parts.runs.begin_growth(start, pages * base::kPage, &holder);
    block.store(start + kBegin, std::memory_order_release);
    parts.runs.settle(parts, holder);
    while (block.load(std::memory_order_acquire) != nullptr) std::this_thread::yield();
    check(holder == nullptr, "held no more");
  }
  pages = 0;
  std::byte end{};
  block.store(&end, std::memory_order_release);
  other.join();
  parts.runs.collect(parts);
  check_equal(parts.runs.chunks(), 0u);
}};

const test::Test run_threads{"threads never share a page run", [] {
  struct Tag {};
  using V = ToyVariant<Tag>;
  static constinit Parts<V> parts{};
  started<V>(parts);
  std::vector<std::thread> team;
  for (std::uint64_t t = 0; t < 3; ++t) {
    team.emplace_back([t] {
      test::Random random(t);
      std::vector<std::uintptr_t*> mine;
      for (int step = 0; step < 3000; ++step) {
        if (mine.size() < 20 && random.below(2) == 0) {
          auto* p = static_cast<std::uintptr_t*>(parts.runs.take(parts, 1 + random.below(40000)));
          if (p == nullptr) continue;
          *p = t;
          mine.push_back(p);
        } else if (!mine.empty()) {
          std::swap(mine[random.below(mine.size())], mine.back());
          std::byte* start = nullptr;
          std::size_t bytes = 0;
          constexpr std::size_t kBegin = std::remove_reference_t<decltype(parts)>::kPrefix;
          check(parts.runs.find_used(reinterpret_cast<std::byte*>(mine.back()) + kBegin, start, bytes), "found");
          check(reinterpret_cast<std::uintptr_t*>(start) == mine.back() && *mine.back() == t, "still this thread's");
          parts.runs.give(parts, mine.back());
          mine.pop_back();
        }
      }
      for (auto* p : mine) parts.runs.give(parts, p);
    });
  }
  for (auto& thread : team) thread.join();
  parts.runs.collect(parts);
  check_equal(parts.runs.chunks(), 0u);
}};

}  // namespace
