// Empty regions kept for reuse, bounded in bytes and in number, given back to the page source by the purge policy.
// Any thread; one lock; the system is called only when the cache misses, overflows or decays.
#pragma once

#include <hakmem/base/types.hpp>
#include <hakmem/pages/options.hpp>
#include <hakmem/thread/mutex.hpp>

namespace hakmem::back {

template <class Pages, pages::MmapOptions O>
class RegionCache {
  static constexpr std::size_t kEntries = 64;
  static constexpr std::size_t kMostBytes = std::size_t{O.large_cache_mib} << 20;

 public:
  constexpr RegionCache() noexcept = default;

  struct Taken {
    void* start;
    std::size_t bytes;
    std::size_t touched;  // bytes from the start that may be resident and not 0
  };

  // A region of at least `bytes` (a multiple of the granule), at most a quarter more. start == nullptr: refused.
  Taken take(Pages& pages, std::size_t bytes) noexcept {
    {
      thread::Lock lock(mutex_);
      const std::size_t i = smallest(bytes, bytes + bytes / 4);
      if (i != kEntries) {
        const Entry entry = remove(i);
        return {entry.start, entry.bytes, entry.touched};
      }
    }
    return {pages.map(bytes), bytes, 0};
  }

  // A region of exactly `bytes`, cut off a longer one if need be: what a large block has touched serves the small ones
  // before fresh pages do.
  Taken take_exactly(Pages& pages, std::size_t bytes) noexcept {
    {
      thread::Lock lock(mutex_);
      const std::size_t i = smallest(bytes, kMostBytes);
      if (i != kEntries) {
        Entry& entry = entries_[i];
        const Taken taken{entry.start, bytes, entry.touched < bytes ? entry.touched : bytes};
        if (entry.bytes == bytes) {
          remove(i);
        } else {
          entry.start = static_cast<std::byte*>(entry.start) + bytes;
          entry.bytes -= bytes;
          entry.touched -= taken.touched;
          base::relaxed_store(bytes_, bytes_ - bytes);
        }
        return taken;
      }
    }
    return {pages.map(bytes), bytes, 0};
  }

  void give(Pages& pages, void* start, std::size_t bytes, std::size_t touched) noexcept {
    if constexpr (O.purge == pages::Purge::kEager) {
      pages.unmap(start, bytes);
    } else {
      if (bytes > kMostBytes) return pages.unmap(start, bytes);
      thread::Lock lock(mutex_);
      while (count_ == kEntries || bytes_ + bytes > kMostBytes) evict_oldest(pages);
      entries_[count_++] = {start, bytes, touched};
      base::relaxed_store(bytes_, bytes_ + bytes);
    }
  }

  // Gives back what nobody has wanted since the last decay.
  void decay(Pages& pages) noexcept {
    thread::Lock lock(mutex_);
    while (idle_ != 0) evict_oldest(pages);
    idle_ = count_;
  }

  void flush(Pages& pages) noexcept {
    thread::Lock lock(mutex_);
    while (count_ != 0) evict_oldest(pages);
  }

  std::size_t bytes() const noexcept { return base::relaxed_load(bytes_); }
  // For a reader outside the process.
  constexpr const std::size_t* bytes_word() const noexcept { return &bytes_; }
  thread::Mutex& mutex() noexcept { return mutex_; }

 private:
  struct Entry {
    void* start;
    std::size_t bytes;
    std::size_t touched;
  };

  // Which entry has the fewest bytes in that range; kEntries: none.
  std::size_t smallest(std::size_t least, std::size_t most) const noexcept {
    std::size_t best = kEntries;
    for (std::size_t i = count_; i-- > 0;) {
      if (entries_[i].bytes < least || entries_[i].bytes > most) continue;
      if (best == kEntries || entries_[i].bytes < entries_[best].bytes) best = i;
    }
    return best;
  }
  // Entries stay in the order they came, the oldest first.
  Entry remove(std::size_t i) noexcept {
    const Entry entry = entries_[i];
    for (std::size_t j = i + 1; j < count_; ++j) entries_[j - 1] = entries_[j];
    --count_;
    if (i < idle_) --idle_;
    base::relaxed_store(bytes_, bytes_ - entry.bytes);
    return entry;
  }
  void evict_oldest(Pages& pages) noexcept {
    const Entry entry = remove(0);
    pages.unmap(entry.start, entry.bytes);
  }

  thread::Mutex mutex_;
  std::size_t count_ = 0;
  std::size_t idle_ = 0;   // how many, the oldest, were here at the last decay already
  std::size_t bytes_ = 0;  // written under the lock, read by the statistics without it
  Entry entries_[kEntries]{};
};

}  // namespace hakmem::back
