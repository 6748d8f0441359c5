// Page sources: a range against a model of intervals, its refusals, and many threads at once.
#include <hakmem/pages/failing.hpp>
#include <hakmem/pages/fixed_arena.hpp>
#include <hakmem/pages/mmap.hpp>
#include <hakmem/pages/mmap_thp.hpp>
#include <hakmem/pages/os_memory.hpp>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "check.hpp"
#include "random.hpp"

namespace {

using namespace hakmem;
using test::check;

constexpr std::size_t kRegion = base::kUnit;
constexpr std::size_t kArena = std::size_t{32} << 20;
constexpr pages::MmapOptions kSmall{.superslab_kib = 64, .reserve_gib = 1};
template <class Tag>
using Arena = pages::FixedArena<kArena, Tag, kSmall>;

std::size_t& first_word(std::uintptr_t start) { return *reinterpret_cast<std::size_t*>(start); }
std::size_t& last_word(std::uintptr_t start, std::size_t bytes) {
  return *reinterpret_cast<std::size_t*>(start + bytes - sizeof(std::size_t));
}

template <class Pages>
class Model {
 public:
  Model(Pages& pages, std::uint64_t seed) : pages_(pages), random_(seed) {}

  void run(int steps) {
    for (int step = 0; step < steps && test::failures == 0; ++step) {
      switch (random_.below(8)) {
        case 0: extend(); break;
        case 1: purge(); break;
        case 2:
        case 3:
        case 4: unmap(); break;
        default: map();
      }
    }
    while (!mapped_.empty()) unmap();
  }

 private:
  void map() {
    const std::size_t bytes = kRegion * (1 + random_.below(random_.below(8) == 0 ? 100 : 6));
    const bool plain = random_.below(4) != 0;
    const std::size_t align = plain ? kRegion : kRegion << random_.below(7);
    const std::size_t offset = plain ? 0 : kRegion;
    void* p = plain ? pages_.map(bytes) : pages_.map(bytes, align, offset);
    if (p == nullptr) {
      check(!plain || largest_gap() < bytes, "refused only when no hole is large enough");
      return;
    }
    const std::uintptr_t start = base::address(p);
    check((start + offset) % align == 0 && start % kRegion == 0, "aligned as asked");
    check(start >= pages_.base() && start + bytes <= pages_.base() + pages_.range_bytes(), "inside the range");
    const auto after = mapped_.lower_bound(start);
    check(after == mapped_.end() || start + bytes <= after->first, "no overlap with the next");
    check(after == mapped_.begin() || std::prev(after)->first + std::prev(after)->second <= start, "nor with the one before");
    for (std::uintptr_t at = start; at < start + bytes; at += base::kPage) check(first_word(at) == 0, "zeroed");
    fill(start, bytes);
    mapped_[start] = bytes;
  }

  void extend() {
    if (mapped_.empty()) return;
    const auto it = some();
    const std::size_t more = kRegion * (1 + random_.below(8));
    const auto [start, bytes] = *it;
    const auto after = std::next(it);
    const std::uintptr_t end = after == mapped_.end() ? pages_.base() + pages_.range_bytes() : after->first;
    const bool fits = start + bytes + more <= end;
    check(pages_.extend(reinterpret_cast<void*>(start), bytes, bytes + more) == fits, "grows exactly when there is room");
    if (!fits) return;
    verify(start, bytes);
    check(first_word(start + bytes) == 0 && last_word(start, bytes + more) == 0, "what is new is zeroed");
    fill(start, bytes + more);
    it->second = bytes + more;
  }

  void purge() {
    if (mapped_.empty()) return;
    const auto [start, bytes] = *some();
    verify(start, bytes);
    pages_.purge(reinterpret_cast<void*>(start), bytes);
    check(first_word(start) == 0 && last_word(start, bytes) == 0, "purged pages read as zero");
    fill(start, bytes);
  }

  void unmap() {
    if (mapped_.empty()) return;
    const auto it = some();
    verify(it->first, it->second);
    pages_.unmap(reinterpret_cast<void*>(it->first), it->second);
    mapped_.erase(it);
  }

  typename std::map<std::uintptr_t, std::size_t>::iterator some() {
    auto it = mapped_.lower_bound(pages_.base() + random_.below(pages_.range_bytes()));
    return it == mapped_.end() ? mapped_.begin() : it;
  }
  static void fill(std::uintptr_t start, std::size_t bytes) {
    first_word(start) = start;
    last_word(start, bytes) = start;
  }
  static void verify(std::uintptr_t start, std::size_t bytes) {
    check(first_word(start) == start && last_word(start, bytes) == start, "contents are kept");
  }
  std::size_t largest_gap() const {
    std::size_t largest = 0;
    std::uintptr_t end = pages_.base();
    for (const auto& [start, bytes] : mapped_) {
      largest = std::max<std::size_t>(largest, start - end);
      end = start + bytes;
    }
    return std::max<std::size_t>(largest, pages_.base() + pages_.range_bytes() - end);
  }

  Pages& pages_;
  test::Random random_;
  std::map<std::uintptr_t, std::size_t> mapped_;  // start to bytes
};

const test::Test model{"a range keeps its mappings apart, aligned, zeroed, and finds every hole", [] {
  struct Tag {};
  static constinit Arena<Tag>::Type pages{};
  check(pages.reserve());
  for (std::uint64_t seed = 1; seed <= 5; ++seed) Model(pages, seed).run(4000);
}};

const test::Test full{"a full arena refuses, and serves again what was given back", [] {
  struct Tag {};
  static constinit Arena<Tag>::Type pages{};
  check(pages.map(2 * kArena) == nullptr, "more than there is");
  check(pages.map(std::size_t{1} << 62) == nullptr, "far more");
  check(pages.map(kRegion, std::size_t{1} << 62, kRegion) == nullptr, "an alignment beyond all addresses");
  std::vector<void*> all;
  for (int round = 0; round < 3; ++round) {
    while (void* p = pages.map(kRegion)) all.push_back(p);
    test::check_equal(all.size() * kRegion, pages.range_bytes());
    std::sort(all.begin(), all.end());
    check(std::adjacent_find(all.begin(), all.end()) == all.end(), "each region once");
    for (void* p : all) pages.unmap(p, kRegion);
    all.clear();
  }
  void* whole = pages.map(pages.range_bytes());
  check(whole != nullptr, "neighbours have coalesced");
  pages.unmap(whole, pages.range_bytes());
}};

const test::Test failing{"the failing source refuses from the n-th call on, until it recovers", [] {
  struct Tag {};
  using Source = pages::Failing<Arena<Tag>>;
  static constinit Source::Type pages{};
  for (long n = 0; n < 5; ++n) {
    std::vector<void*> got;
    Source::fail_from(n);
    for (long i = 0; i < n; ++i) {
      got.push_back(pages.map(kRegion));
      check(got.back() != nullptr, "not yet");
    }
    for (int i = 0; i < 3; ++i) check(pages.map(kRegion) == nullptr, "now");
    if (!got.empty()) check(!pages.extend(got.back(), kRegion, 2 * kRegion), "nor may a mapping grow");
    Source::recover();
    got.push_back(pages.map(kRegion));
    check(got.back() != nullptr && pages.extend(got.back(), kRegion, 2 * kRegion), "and again");
    pages.unmap(got.back(), 2 * kRegion);
    got.pop_back();
    for (void* p : got) pages.unmap(p, kRegion);
  }
}};

const test::Test failing_once{"the failing source refuses one call alone, or a number of them in turn", [] {
  struct Tag {};
  using Source = pages::Failing<Arena<Tag>>;
  static constinit Source::Type pages{};
  const long before = Source::refusals();
  Source::fail_once(0);
  check(!pages.reserve() && pages.reserve(), "the reservation is a call too");
  for (long n = 0; n < 5; ++n) {
    for (long times = 1; times < 4; ++times) {
      Source::fail_from(n, times);
      for (long i = 0; i < n + times + 3; ++i) {
        void* p = pages.map(kRegion);
        test::check_equal(p == nullptr, i >= n && i < n + times);
        if (p != nullptr) pages.unmap(p, kRegion);
      }
    }
  }
  void* p = pages.map(kRegion);
  Source::fail_once(0);
  check(!pages.extend(p, kRegion, 2 * kRegion) && pages.extend(p, kRegion, 2 * kRegion), "as is growing a mapping");
  pages.unmap(p, 2 * kRegion);
  test::check_equal(Source::refusals() - before, 1 + 5 * (1 + 2 + 3) + 1);
  Source::fail_once(2);
  Source::recover();
  for (int i = 0; i < 4; ++i) {
    p = pages.map(kRegion);
    check(p != nullptr, "what was ordered is forgotten");
    pages.unmap(p, kRegion);
  }
}};

const test::Test threads{"threads never share a region", [] {
  struct Tag {};
  static constinit Arena<Tag>::Type pages{};
  std::vector<std::thread> team;
  for (std::uint64_t t = 0; t < 4; ++t) {
    team.emplace_back([t] {
      test::Random random(t);
      std::vector<std::pair<std::uintptr_t, std::size_t>> mine;
      for (int step = 0; step < 1500; ++step) {
        if (mine.empty() || random.below(2) == 0) {
          const std::size_t bytes = kRegion * (1 + random.below(4));
          const std::uintptr_t start = base::address(pages.map(bytes));
          if (start == 0) continue;
          check(first_word(start) == 0, "zeroed");
          first_word(start) = start + t;
          last_word(start, bytes) = start + t;
          mine.emplace_back(start, bytes);
        } else {
          std::swap(mine[random.below(mine.size())], mine.back());
          const auto [start, bytes] = mine.back();
          check(first_word(start) == start + t && last_word(start, bytes) == start + t, "still this thread's");
          pages.unmap(reinterpret_cast<void*>(start), bytes);
          mine.pop_back();
        }
      }
      for (const auto& [start, bytes] : mine) pages.unmap(reinterpret_cast<void*>(start), bytes);
    });
  }
  for (auto& thread : team) thread.join();
  void* whole = pages.map(pages.range_bytes());
  check(whole != nullptr, "nothing is lost");
}};

const test::Test os{"a reservation is readable from end to end and costs no memory until it is touched", [] {
  static constinit pages::Mmap<kSmall>::Type pages{};
  check(pages.reserve());
  check(pages.range_bytes() > (std::size_t{1} << 29), "most of what was asked for");
  std::size_t sum = 0;
  for (std::size_t at = 0; at < pages.range_bytes(); at += std::size_t{16} << 20) {
    sum += *reinterpret_cast<const volatile std::size_t*>(pages.base() + at);
  }
  check(sum == 0, "and reads as zero");
  Model(pages, 9).run(1500);
}};

struct Mapping {
  std::uintptr_t end = 0;
  bool writable = false;
  bool asks_for_huge = false;  // VmFlags hg in proc(5)
};

Mapping mapping_of(const void* p) {
  std::ifstream smaps("/proc/self/smaps");
  Mapping found;
  bool here = false;
  for (std::string line; std::getline(smaps, line);) {
    std::istringstream words(line);
    std::uintptr_t first = 0, last = 0;
    char dash = 0;
    std::string access;
    if (words >> std::hex >> first >> dash >> last >> access && dash == '-') {
      here = first <= base::address(p) && base::address(p) < last;
      if (here) found = {last, access.find('w') != std::string::npos};
    } else if (here && line.rfind("VmFlags:", 0) == 0) {
      found.asks_for_huge = (line + ' ').find(" hg ") != std::string::npos;
    }
  }
  return found;
}

const test::Test huge{"huge OS pages are asked for behind metadata and the heap's first MiB, and no commit ends inside one", [] {
  constexpr std::size_t kMiB = std::size_t{1} << 20;
  static constinit pages::MmapThp<pages::MmapThpOptions{.reserve_gib = 1, .after_mib = 4}>::Type pages{};
  void* metadata = pages.map(kMiB);
  pages.begin_blocks();
  auto* first = static_cast<std::byte*>(pages.map(4 * kMiB));
  auto* beyond = static_cast<std::byte*>(pages.map(kMiB));
  check(beyond == first + 4 * kMiB, "one behind the other");
  // a kernel without them knows no such advice
  const bool known = std::ifstream("/sys/kernel/mm/transparent_hugepage/enabled").good();
  check(!mapping_of(metadata).asks_for_huge && !mapping_of(first + 4 * kMiB - 1).asks_for_huge, "not yet");
  for (int i = 0; i < 100; ++i) {
    const Mapping mapping = mapping_of(beyond);
    check(mapping.writable && mapping.asks_for_huge == known, "from here on");
    test::check_equal(mapping.end % (2 * kMiB), 0u);
    beyond = static_cast<std::byte*>(pages.map(kMiB));
  }
  static constinit pages::Mmap<kSmall>::Type plain{};
  check(plain.reserve());
  plain.begin_blocks();
  check(!mapping_of(plain.map(kRegion)).asks_for_huge, "of ordinary pages never");
}};

const test::Test step{"32 MiB are made writable at once, wherever the range lies", [] {
  static constinit pages::Mmap<kSmall>::Type pages{};
  auto* p = static_cast<std::byte*>(pages.map(kRegion));
  check(mapping_of(p).end >= base::address(p) + (std::size_t{32} << 20));
  const std::size_t calls = pages.os_maps();
  for (std::size_t more = 0; more < std::size_t{32} << 20; more += kRegion) check(pages.map(kRegion) != nullptr);
  test::check_equal(pages.os_maps(), calls);
}};

const test::Test chance{"random words differ, those of the program's start do not; errno is kept", [] {
  errno = 77;
  const std::uint64_t one = pages::random_word(), other = pages::random_word();
  check(one != other && one != 0 && other != 0);
  check(pages::exec_random() != 0 && pages::exec_random() == pages::exec_random());
  test::check_equal(errno, 77);
}};

}  // namespace
