// Owner lookups: right for what is enrolled, total over all addresses; the registry also under growth and with readers.
#include <hakmem/owner/header.hpp>
#include <hakmem/owner/mask.hpp>
#include <hakmem/owner/page_tag.hpp>
#include <hakmem/owner/registry.hpp>
#include <hakmem/pages/fixed_arena.hpp>

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <thread>
#include <vector>

#include "check.hpp"
#include "random.hpp"

namespace {

using namespace hakmem;
using base::Tag;
using test::check;

constexpr std::size_t kRegion = std::size_t{256} << 10;
constexpr std::size_t kUnits = kRegion / base::kUnit;
using Region = slab::Region<kRegion>;

template <class Tag>
using Pages = typename pages::FixedArena<std::size_t{16} << 20, Tag, pages::MmapOptions{.superslab_kib = 256}>::Type;

// A pointer that the compiler knows nothing of.
bool is_no_tag(Tag tag) { return tag == 0 || tag == base::kOutside; }
[[gnu::noipa]] void* pointer(std::uintptr_t at) { return reinterpret_cast<void*>(at); }

template <class Policy, bool kOwned>
void finds_what_is_enrolled() {
  struct ArenaTag {};
  static constinit Pages<ArenaTag> pages{};
  using Owner = typename Policy::template Type<kRegion, kOwned>;
  static constinit Owner owner{};
  check(pages.reserve() && owner.start(pages) && owner.start(pages), "starting twice is allowed");
  const auto view = owner.view();
  const auto tag_of_unit = [](std::size_t region, std::size_t unit) {
    return static_cast<Tag>((kOwned ? (region + 1) << base::kTagShift : 0) + unit + 1);
  };
  std::vector<Region*> regions;
  for (std::size_t r = 0; r < 8; ++r) {
    auto* region = new (pages.map(kRegion)) Region{};
    check(owner.region_of(region + 1) == nullptr, "not ours before it is enrolled");
    region->kind = slab::RegionKind::kSlabs;
    region->bytes = kRegion;
    check(owner.enroll(pages, region));
    for (std::size_t u = 0; u < kUnits; ++u) owner.tag(region, u, 1, tag_of_unit(r, u));
    regions.push_back(region);
  }
  for (std::size_t r = 0; r < regions.size(); ++r) {
    const auto start = base::address(regions[r]);
    for (std::size_t at = base::kPage; at < kRegion; at += 1008) {
      auto* p = reinterpret_cast<void*>(start + at);
      const Tag expected = tag_of_unit(r, at / base::kUnit);
      Owner::stamp(p, expected);
      check(Owner::tag_of(view, p) == expected, "class and owner of the slab");
      check(owner.region_of(p) == regions[r], "and its region");
    }
    check(owner.region_of(reinterpret_cast<void*>(start + kRegion)) == regions[r], "a block may begin where its region ends");
  }
  // What is not ours: anything, anywhere.
  test::Random random(11);
  for (int i = 0; i < 300000; ++i) {
    std::uintptr_t at = random.next() >> random.below(64);
    if (i % 4 == 0) at = pages.base() + random.below(2 * pages.range_bytes()) - pages.range_bytes() / 2;
    at &= ~std::uintptr_t{7};
    void* p = pointer(at);
    Region* region = owner.region_of(p);
    const bool inside = std::any_of(regions.begin(), regions.end(), [&](const Region* enrolled) {
      return at > base::address(enrolled) && at <= base::address(enrolled) + kRegion;
    });
    check((region != nullptr) == inside, "exactly the addresses of enrolled regions are ours");
    if (!inside) check(is_no_tag(Owner::tag_of(view, p)), "no tag for what is not ours");
    check(Owner::tag_of(typename Owner::View{}, p) == base::kOutside, "an empty view takes nothing for its own");
  }
  for (const std::uintptr_t at : {std::uintptr_t{0}, std::uintptr_t{1}, ~std::uintptr_t{0}, std::uintptr_t{1} << 63}) {
    check(owner.region_of(pointer(at)) == nullptr);
    check(Owner::tag_of(view, pointer(at)) == base::kOutside);
  }
  int here = 0;
  void* on_stack = pointer(base::address(&here));
  check(owner.region_of(on_stack) == nullptr && Owner::tag_of(view, on_stack) == base::kOutside, "nor the stack");
  for (Region* region : regions) {
    owner.tag(region, 0, kUnits, 0);
    owner.withdraw(region);
    check(owner.region_of(region + 1) == nullptr, "withdrawn");
    pages.unmap(region, kRegion);
  }
}

const test::Test lookups{"every lookup finds what is enrolled, and nothing at any other address", [] {
  finds_what_is_enrolled<owner::Mask, true>();
  finds_what_is_enrolled<owner::Mask, false>();
  finds_what_is_enrolled<owner::Header, true>();
  finds_what_is_enrolled<owner::Header, false>();
  finds_what_is_enrolled<owner::PageTag, true>();
  finds_what_is_enrolled<owner::PageTag, false>();
  finds_what_is_enrolled<owner::Registry, true>();
  finds_what_is_enrolled<owner::Registry, false>();
}};

// Memory for the registry's tables, counted; refuses on command.
struct CountingPages {
  static constexpr std::size_t kGranule = base::kPage;
  void* map(std::size_t bytes) noexcept {
    if (refuse) return nullptr;
    mapped += bytes;
    void* p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return p == MAP_FAILED ? nullptr : p;
  }
  std::size_t mapped = 0;
  bool refuse = false;
};

// Addresses of regions, each with room for a header and nothing else resident.
struct Regions {
  static constexpr std::size_t kStride = base::kUnit;
  using Small = slab::Region<kStride>;
  explicit Regions(std::size_t count) : bytes((count + 1) * kStride) {
    memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    check(memory != MAP_FAILED);
  }
  ~Regions() { ::munmap(memory, bytes); }
  Small* operator[](std::size_t i) const {
    return reinterpret_cast<Small*>(base::align_up(base::address(memory), kStride) + i * kStride);
  }
  void* memory;
  std::size_t bytes;
};
using Registry = owner::Registry::Type<Regions::kStride, true>;
void* inside(const Regions& regions, std::size_t i) { return reinterpret_cast<std::byte*>(regions[i]) + 4096; }

const test::Test growth{"the registry keeps what it has while it grows, and readers see all of it", [] {
  constexpr std::size_t kStable = 600, kCount = 4500;
  const Regions regions(kCount);
  static constinit Registry registry{};
  static CountingPages pages;
  check(registry.start(pages));
  for (std::size_t i = 0; i < kStable; ++i) check(registry.enroll(pages, regions[i]));
  std::atomic<bool> stop{false};
  std::vector<std::thread> readers;
  for (std::uint64_t t = 0; t < 2; ++t) {
    readers.emplace_back([&, t] {
      test::Random random(t);
      while (!stop.load(std::memory_order_relaxed)) {
        const std::size_t i = random.below(kStable);
        check(registry.region_of(inside(regions, i)) == regions[i], "what is enrolled for good is always found");
        const std::size_t j = kStable + random.below(kCount - kStable);
        const auto* region = registry.region_of(inside(regions, j));
        check(region == nullptr || region == regions[j], "what comes and goes is itself or nothing");
        check(registry.region_of(reinterpret_cast<void*>(random.next())) == nullptr, "what never came is not found");
      }
    });
  }
  std::vector<bool> in(kCount);
  test::Random random(5);
  for (std::size_t i = kStable; i < kCount; ++i) in[i] = check(registry.enroll(pages, regions[i]));
  for (int step = 0; step < 20000; ++step) {
    const std::size_t i = kStable + random.below(kCount - kStable);
    if (in[i]) {
      registry.withdraw(regions[i]);
    } else {
      check(registry.enroll(pages, regions[i]));
    }
    in[i] = !in[i];
  }
  stop = true;
  for (auto& reader : readers) reader.join();
  for (std::size_t i = kStable; i < kCount; ++i) {
    check((registry.region_of(inside(regions, i)) != nullptr) == in[i], "enrolled or not, as it was left");
  }
}};

const test::Test tombstones{"regions that come and go at ever new addresses do not make the registry grow for ever", [] {
  constexpr std::size_t kLive = 300, kAddresses = 3000;
  const Regions regions(kAddresses);
  static constinit Registry registry{};
  static CountingPages pages;
  check(registry.start(pages));
  test::Random random(3);
  std::vector<std::size_t> live, idle;
  for (std::size_t i = 0; i < kAddresses; ++i) idle.push_back(i);
  for (int step = 0; step < 100000; ++step) {
    if (live.size() < kLive) {
      std::swap(idle[random.below(idle.size())], idle.back());
      check(registry.enroll(pages, regions[idle.back()]));
      live.push_back(idle.back());
      idle.pop_back();
    } else {
      std::swap(live[random.below(live.size())], live.back());
      registry.withdraw(regions[live.back()]);
      idle.push_back(live.back());
      live.pop_back();
    }
  }
  for (std::size_t i : live) check(registry.region_of(inside(regions, i)) == regions[i]);
  for (std::size_t i : idle) check(registry.region_of(inside(regions, i)) == nullptr);
  // a table for twice every address there is, and the smaller ones before it
  check(pages.mapped <= 4 * 2 * kAddresses * sizeof(void*), "old tables together are smaller than the newest");
}};

const test::Test refused{"an enrolment that finds no memory changes nothing", [] {
  const Regions regions(3000);
  static constinit Registry registry{};
  static CountingPages pages;
  pages.refuse = true;
  check(!registry.start(pages), "no first table");
  check(registry.region_of(inside(regions, 0)) == nullptr);
  pages.refuse = false;
  check(registry.start(pages));
  std::size_t n = 0;
  for (; n < 1000; ++n) check(registry.enroll(pages, regions[n]));
  pages.refuse = true;
  while (n < 3000 && registry.enroll(pages, regions[n])) ++n;
  check(n < 3000, "at some point the table had to grow");
  for (std::size_t i = 0; i < n; ++i) check(registry.region_of(inside(regions, i)) == regions[i], "nothing is lost");
  check(registry.region_of(inside(regions, n)) == nullptr);
  pages.refuse = false;
  check(registry.enroll(pages, regions[n]), "service goes on");
  check(registry.region_of(inside(regions, n)) == regions[n]);
}};

}  // namespace
