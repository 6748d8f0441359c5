// Hands out regions, aligned to their own size, of one contiguous range of addresses; a bitmap with one bit per region
// says which are in use, so neighbours coalesce by themselves. Any thread; one lock; OS calls only when the range grows.
// The whole range is readable from the start and for ever, which is what lets an owner lookup read the header of any
// address in it without a fault. `Os` provides reserve, commit, begin_blocks, discard and
// forbid_writes.
#pragma once

#include <bit>

#include <hakmem/base/fatal.hpp>
#include <hakmem/base/types.hpp>
#include <hakmem/thread/mutex.hpp>

namespace hakmem::pages {

template <class Os, std::size_t kRegion, std::size_t kReserve>
class Range {
  static_assert(base::is_power_of_two(kRegion) && kRegion >= base::kUnit, "Range: a region is a power of two of units");
  static constexpr std::size_t kSlots = kReserve / kRegion;
  static constexpr std::size_t kWords = (kSlots + 63) / 64;
  static constexpr std::size_t kFenced = 8192;
  static constexpr std::size_t kCommitStep = std::size_t{32} << 20;  // bytes made writable beyond what is asked for
  static constexpr std::size_t kCommitEnd = std::size_t{2} << 20;    // of addresses: no huge OS page is cut in two

 public:
  static constexpr std::size_t kGranule = kRegion;  // map() and unmap() take multiples of this

  constexpr Range() noexcept = default;

  // Reserves the range. False: the system refused; a later call may succeed. map() does it by itself.
  bool reserve() noexcept {
    thread::Lock lock(mutex_);
    return base_ != 0 || start();
  }

  // The metadata that must be there first is mapped; what is mapped beyond it is for blocks.
  void begin_blocks() noexcept {
    thread::Lock lock(mutex_);
    Os::begin_blocks(reinterpret_cast<void*>(base_ + top_ * kRegion), (slots_ - top_) * kRegion);
  }

  // `bytes` of zeroed memory such that address + offset is a multiple of align (a power of two). nullptr: refused, and
  // errno is as it was.
  void* map(std::size_t bytes, std::size_t align = kRegion, std::size_t offset = 0) noexcept {
    thread::Lock lock(mutex_);
    if (base_ == 0 && !start()) return nullptr;
    const std::size_t count = bytes / kRegion;
    std::size_t slot = free_below_top_ >= count ? find_below_top(count, align, offset) : kNone;
    if (slot == kNone) {
      slot = aligned(top_, align, offset);
      if (slot > slots_ || slots_ - slot < count || !commit_to(slot + count)) return nullptr;
      free_below_top_ += slot - top_;
      top_ = slot + count;
    } else {
      free_below_top_ -= count;
    }
    mark(slot, count, true);
    base::relaxed_store(mapped_, mapped_ + bytes);
    return reinterpret_cast<void*>(base_ + slot * kRegion);
  }

  // Lengthens a mapping in place when the regions behind it are free. False: nothing changed.
  bool extend(void* p, std::size_t bytes, std::size_t wanted) noexcept {
    thread::Lock lock(mutex_);
    const std::size_t first = slot_of(p) + bytes / kRegion;
    const std::size_t count = (wanted - bytes) / kRegion;
    if (first > slots_ || slots_ - first < count) return false;
    for (std::size_t i = first; i < first + count && i < top_; ++i) {
      if (used(i)) return false;
    }
    if (first + count > top_) {
      if (!commit_to(first + count)) return false;
      free_below_top_ -= top_ - first;
      top_ = first + count;
    } else {
      free_below_top_ -= count;
    }
    mark(first, count, true);
    base::relaxed_store(mapped_, mapped_ + (wanted - bytes));
    return true;
  }

  // Gives a mapping back: its OS pages go at once, its addresses may be handed out again.
  void unmap(void* p, std::size_t bytes) noexcept {
    purge(p, bytes);
    thread::Lock lock(mutex_);
    const std::size_t count = bytes / kRegion;
    mark(slot_of(p), count, false);
    base::relaxed_store(mapped_, mapped_ - bytes);
    free_below_top_ += count;
    if (slot_of(p) < hint_) hint_ = slot_of(p);
    // a hole at the top belongs to the room above it: a later mapping may need both
    for (; top_ != 0 && !used(top_ - 1); --top_) --free_below_top_;
  }

  // The OS pages wholly inside [p, p + bytes) go back to the system; they read as zero afterwards.
  void purge(void* p, std::size_t bytes) noexcept {
    Os::discard(p, bytes);
    __atomic_fetch_add(&purges_, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&purged_, bytes, __ATOMIC_RELAXED);
  }

  // Whole OS pages in which a write faults from now on; still readable, as all of the range is. Only in the first kFenced
  // regions: a fence costs the kernel two mappings, of which a process has 65,530 unless the system is told otherwise, and
  // without one left no memory could be had.
  void fence(void* p, std::size_t bytes) noexcept {
    if (slot_of(p) < kFenced) Os::forbid_writes(p, bytes);
  }
  void unfence(void* p, std::size_t bytes) noexcept {
    // a page that could not be written would fault later, far from here
    if (slot_of(p) < kFenced && !Os::commit(p, bytes)) base::fatal("the system does not let go of the fence at ", p, "");
  }

  std::uintptr_t base() const noexcept { return base_; }
  std::size_t range_bytes() const noexcept { return slots_ * kRegion; }
  std::size_t os_maps() const noexcept { return base::relaxed_load(commits_); }
  std::size_t os_purges() const noexcept { return base::relaxed_load(purges_); }
  // Bytes of the mappings there are, and those that were ever given back, by purge() or unmap().
  std::size_t mapped_bytes() const noexcept { return base::relaxed_load(mapped_); }
  std::size_t purged_bytes() const noexcept { return base::relaxed_load(purged_); }
  // For a reader outside the process.
  constexpr const std::size_t* mapped_word() const noexcept { return &mapped_; }
  constexpr const std::size_t* purged_word() const noexcept { return &purged_; }
  thread::Mutex& mutex() noexcept { return mutex_; }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  std::size_t slot_of(const void* p) const noexcept { return (base::address(p) - base_) / kRegion; }
  bool used(std::size_t i) const noexcept { return (bits_[i / 64] >> (i % 64)) & 1; }

  void mark(std::size_t first, std::size_t count, bool taken) noexcept {
    for (std::size_t i = first; i < first + count; ++i) {
      const std::uint64_t bit = std::uint64_t{1} << (i % 64);
      bits_[i / 64] = taken ? bits_[i / 64] | bit : bits_[i / 64] & ~bit;
    }
  }

  std::size_t aligned(std::size_t slot, std::size_t align, std::size_t offset) const noexcept {
    if (align <= kRegion) return slot;
    const std::uintptr_t at = base::align_up(base_ + slot * kRegion + offset, align) - offset;
    return (at - base_) / kRegion;
  }

  std::size_t find_below_top(std::size_t count, std::size_t align, std::size_t offset) noexcept {
    while (hint_ < top_ && used(hint_)) {
      hint_ = bits_[hint_ / 64] == ~std::uint64_t{0} ? (hint_ / 64 + 1) * 64 : hint_ + 1;
    }
    std::size_t slot = aligned(hint_, align, offset);
    while (slot + count <= top_) {
      std::size_t busy = slot;
      while (busy < slot + count && !used(busy)) ++busy;
      if (busy == slot + count) return slot;
      do {
        ++busy;
      } while (busy < top_ && used(busy));
      slot = aligned(busy, align, offset);
    }
    return kNone;
  }

  bool commit_to(std::size_t slots) noexcept {
    const std::size_t wanted = slots * kRegion;
    if (wanted <= committed_) return true;
    // a whole step wherever the range lies: when a process asks the system does not hang on where it was loaded
    std::size_t to = base::align_up(base_ + wanted + kCommitStep, kCommitEnd) - base_;
    if (to > slots_ * kRegion) to = slots_ * kRegion;
    if (!Os::commit(reinterpret_cast<void*>(base_ + committed_), to - committed_)) {
      to = wanted;  // a limit may leave room for what is needed though not for a whole step
      if (!Os::commit(reinterpret_cast<void*>(base_ + committed_), to - committed_)) return false;
    }
    committed_ = to;
    __atomic_fetch_add(&commits_, 1, __ATOMIC_RELAXED);
    return true;
  }

  // The bitmap lies before the first region, in memory of its own that is never handed out.
  HAKMEM_COLD bool start() noexcept {
    const std::size_t bitmap = base::align_up(kWords * 8, kRegion);
    const auto reserved = Os::reserve(kReserve, kRegion);
    if (reserved.bytes < bitmap + kRegion || !Os::commit(reserved.start, bitmap)) return false;
    bits_ = static_cast<std::uint64_t*>(reserved.start);
    slots_ = (reserved.bytes - bitmap) / kRegion;
    __atomic_fetch_add(&commits_, 1, __ATOMIC_RELAXED);
    base_ = base::address(reserved.start) + bitmap;
    return true;
  }

  thread::Mutex mutex_;
  std::uintptr_t base_ = 0;
  std::uint64_t* bits_ = nullptr;
  std::size_t slots_ = 0;      // regions in the range
  std::size_t top_ = 0;        // no region from here on is in use
  std::size_t hint_ = 0;       // no free region below this
  std::size_t free_below_top_ = 0;
  std::size_t committed_ = 0;  // bytes from base_ that are writable
  std::size_t commits_ = 0, purges_ = 0;
  std::size_t mapped_ = 0;     // written under the lock, read by the statistics without it
  std::size_t purged_ = 0;
};

}  // namespace hakmem::pages
