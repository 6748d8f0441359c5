// Large blocks: one region each, the header at its start and the block close behind it, in the same OS page: a program that
// maps over the pages around its block (glibc's tst-free-errno does) leaves the header alone. Freed regions wait in the region
// cache. A block that has grown once gets twice the addresses it asks for, so that it grows on in place: addresses cost
// nothing until they are touched. Any thread.
#pragma once

#include <new>

#include <hakmem/base/types.hpp>
#include <hakmem/slab/region.hpp>

namespace hakmem::back {

template <class Parts>
class LargeBlocks {
 public:
  struct Large : slab::Region<Parts::kRegion> {
    std::byte* block = nullptr;
    std::size_t usable = 0;  // bytes from `block` to the end of a page
    std::size_t touched = 0; // bytes from the region's start that may be resident
    std::size_t offset() const noexcept { return base::address(block) - base::address(this); }
    std::size_t room() const noexcept { return this->bytes - Parts::kFence - offset(); }
  };
  static_assert(sizeof(Large) + 16 <= base::kPage, "LargeBlocks: the header and a block prefix share one page");

  constexpr LargeBlocks() noexcept = default;

  // A block of n bytes at a multiple of align (a power of two), with addresses for `room` bytes. `zeroed` tells whether
  // its bytes are all 0. nullptr: out of memory.
  void* take(Parts& parts, std::size_t n, std::size_t align, std::size_t room, bool& zeroed) noexcept {
    // A block aligned to a region or more starts one region behind its header.
    const std::size_t offset = align >= Parts::kRegion ? Parts::kRegion : base::align_up(kHeader, align);
    if (n == 0) n = 1;
    if (room < n) room = n;
    if (room > base::kLargestRequest - offset - Parts::kRegion - Parts::kFence) return nullptr;
    const std::size_t bytes = base::align_up(offset + room + Parts::kFence, Parts::kRegion);
    void* start;
    std::size_t got = bytes;
    std::size_t touched = 0;
    if (align <= Parts::kRegion) {
      const auto taken = parts.regions.take(parts.pages, bytes);
      start = taken.start;
      got = taken.bytes;
      touched = taken.touched;
    } else {
      start = parts.pages.map(bytes, align, Parts::kRegion);
    }
    if (start == nullptr) return nullptr;
    zeroed = touched == 0;
    const std::size_t end = offset + usable(n, offset);
    // What a longer block left would stay resident behind this one. Among large blocks that is at most as much again, and
    // cheaper than a call; where every block is one, it would be most of the memory.
    if (touched > (Parts::kDirect ? end + end / 4 : 2 * end)) {
      parts.pages.purge(static_cast<std::byte*>(start) + end, touched - end);
      touched = end;
    }
    auto* large = new (start) Large{};
    large->kind = slab::RegionKind::kLarge;
    large->bytes = got;
    large->block = static_cast<std::byte*>(start) + offset;
    large->usable = usable(n, offset);
    large->touched = touched > end ? touched : end;
    parts.owner.stamp(large->block, 0);
    if (!parts.owner.enroll(parts.pages, large)) {
      parts.pages.unmap(large, got);
      return nullptr;
    }
    parts.fence_end(large, got);
    __atomic_fetch_add(&count_, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&bytes_, got, __ATOMIC_RELAXED);
    __atomic_fetch_add(&usable_, large->usable, __ATOMIC_RELAXED);
    return large->block;
  }

  void give(Parts& parts, Large* large) noexcept {
    const std::size_t bytes = large->bytes;
    __atomic_fetch_sub(&count_, 1, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&bytes_, bytes, __ATOMIC_RELAXED);
    __atomic_fetch_sub(&usable_, large->usable, __ATOMIC_RELAXED);
    parts.owner.withdraw(large);
    parts.unfence_end(large, bytes);
    parts.regions.give(parts.pages, large, bytes, large->touched);
  }

  // Makes the block n bytes long where it lies. False: nothing changed.
  bool resize(Parts& parts, Large* large, std::size_t n) noexcept {
    const std::size_t offset = large->offset();
    const std::size_t wanted = usable(n, offset);
    if (wanted > large->room()) {
      const std::size_t bytes = base::align_up(offset + wanted + Parts::kFence, Parts::kRegion);
      if (!parts.pages.extend(large, large->bytes, bytes)) return false;
      parts.unfence_end(large, large->bytes);
      parts.fence_end(large, bytes);
      __atomic_fetch_add(&bytes_, bytes - large->bytes, __ATOMIC_RELAXED);
      large->bytes = bytes;
    } else if (wanted < large->usable) {
      parts.pages.purge(large->block + wanted, large->usable - wanted);
    }
    __atomic_fetch_add(&usable_, wanted - large->usable, __ATOMIC_RELAXED);
    large->usable = wanted;
    if (large->touched < offset + wanted) large->touched = offset + wanted;
    return true;
  }

  std::size_t count() const noexcept { return base::relaxed_load(count_); }
  std::size_t bytes() const noexcept { return base::relaxed_load(bytes_); }
  std::size_t usable_bytes() const noexcept { return base::relaxed_load(usable_); }
  // For a reader outside the process.
  constexpr const std::size_t* usable_word() const noexcept { return &usable_; }

 private:
  static constexpr std::size_t kHeader = base::align_up(sizeof(Large) + 16, 64);

  // To the end of the last page that n bytes reach.
  static constexpr std::size_t usable(std::size_t n, std::size_t offset) noexcept {
    return base::align_up(offset + n, base::kPage) - offset;
  }

  std::size_t count_ = 0;
  std::size_t bytes_ = 0;   // of their regions
  std::size_t usable_ = 0;  // that the program may use of them
};

}  // namespace hakmem::back
