// Medium blocks: runs of 4 KiB pages in regions of their own, described in the region's header. Free runs coalesce with
// their neighbours and wait, still resident, in bins by length; the purge policy decides for how long. Any thread; one
// lock. Idea: boundary tags (Knuth, 1968) over page runs, as in Kingsley's and Evans' allocators.
#pragma once

#include <algorithm>
#include <bit>
#include <new>

#include <hakmem/back/page_set.hpp>
#include <hakmem/back/run_cache.hpp>
#include <hakmem/base/types.hpp>
#include <hakmem/pages/options.hpp>
#include <hakmem/pages/os_memory.hpp>
#include <hakmem/slab/region.hpp>
#include <hakmem/thread/mutex.hpp>

namespace hakmem::back {

template <class Parts>
class PageRuns {
  static constexpr std::size_t kPages = Parts::kRegion / base::kPage;
  static constexpr auto kPurge = Parts::kOptions.purge;

  // Below kUsed: in use, of this length in a thread's cache, its block where blocks begin. kUsed: in use, none for such a cache.
  // kGrowing: in use for a block that its thread lengthens within it. kKept: in a cache. Threads write states without a lock:
  // side by side, those of two threads' runs would share a cache line.
  enum State : std::uint8_t { kUsed = RunLengths::kCount, kGrowing, kKept, kFree, kInside };
  struct Run {  // described at its first page; a free one's length at its last page too
    union {
      Run* next;
      void** holder;  // of a growing one: its thread's word that names it
    };
    Run* prev;
    std::uint16_t pages;
    std::uint16_t block;  // where in a used one the program's block begins, in units of 16 bytes
    std::uint16_t grown;  // of a growing one: the pages that its block has
    std::uint8_t state = kInside;
  };
  struct Chunk : slab::Region<Parts::kRegion> {
    Chunk* next_chunk = nullptr;
    Chunk* prev_chunk = nullptr;
    std::uint32_t used_runs = 0;
    PageSet<kPages> dirty{};  // of the free pages, those that may be resident; of others, whatever
    PageSet<kPages> fresh{};  // of the dirty ones, those freed since the last decay; of others, whatever
    Run runs[kPages + 1]{};  // a pointer just behind the region is looked for in it too
  };
  static constexpr std::size_t kHeader = base::align_up(sizeof(Chunk), base::kPage);
  static constexpr std::size_t kFirst = (kHeader + Parts::kFence) / base::kPage, kEnd = kPages - Parts::kFence / base::kPage;
  static_assert(kEnd - kFirst >= kPages / 4, "PageRuns: the header leaves too little of a region");

 public:
  // The largest request served, in bytes with its prefix.
  static constexpr std::size_t kLargest = Parts::kRegion / 4;

  constexpr PageRuns() noexcept = default;

  // A run of `bytes` (1 .. kLargest) in whole pages; for a block that grows where most are free, and of up to `most` then.
  // nullptr: out of memory.
  void* take(Parts& parts, std::size_t bytes, std::size_t most = 0) noexcept {
    std::uint16_t pages = pages_of(bytes);
    thread::Lock lock(mutex_);
    Run* run = most != 0 ? longest(pages) : nullptr;
    if (run == nullptr) run = find(pages);
    if (run == nullptr) {
      run = map(parts);
      if (run == nullptr) return nullptr;
    } else {
      remove(run);
    }
    Chunk* chunk = chunk_of(run);
    if (most > bytes) pages = std::min(pages_of(most), run->pages);
    if (run->pages > pages) make_free(run + pages, static_cast<std::uint16_t>(run->pages - pages));
    run->pages = pages;
    run->block = Parts::kPrefix / 16;
    run->state = used_state(run);
    if (pages > 1) run[pages - 1].state = kInside;
    if (chunk->used_runs++ == 0) --empty_;
    base::relaxed_store(used_, used_ + 1);
    base::relaxed_store(used_pages_, used_pages_ + pages);
    return address(chunk, run);
  }

  // The program's block in p's run now begins at p, behind its start: an aligned block.
  void set_block(void* p) noexcept {
    std::byte* start;
    std::size_t bytes;
    if (!find_run(p, start, bytes)) return;
    Chunk* chunk = chunk_around(p);
    Run* run = run_at(chunk, start);
    run->block = static_cast<std::uint16_t>((base::address(p) - base::address(start)) / 16);
    base::relaxed_store(run->state, used_state(run));
  }

  // The run whose block begins at p. False: none does.
  bool find_used(const void* p, std::byte*& start, std::size_t& bytes) noexcept {
    if (!find_run(p, start, bytes)) return false;
    Chunk* chunk = chunk_around(p);
    return base::address(p) == base::address(start) + std::size_t{run_at(chunk, start)->block} * 16;
  }

  // The length, in a thread's cache, of the run whose block begins at p. RunLengths::kCount or more: it is none for a cache.
  HAKMEM_HOT static std::size_t length_at(const void* p) noexcept {
    if (base::address(p) % base::kPage != Parts::kPrefix) [[unlikely]] return RunLengths::kCount;
    return state_of(run_at(chunk_around(p), p));
  }

  // A run that a thread's cache takes becomes one in it, and back. No lock: nobody else changes the state of such a run.
  HAKMEM_HOT static void keep(void* start) noexcept {
    base::relaxed_store(run_at(chunk_around(start), start)->state, std::uint8_t{kKept});
  }
  HAKMEM_HOT static void use(void* start, std::size_t length) noexcept {
    base::relaxed_store(run_at(chunk_around(start), start)->state, static_cast<std::uint8_t>(length));
  }

  // A run in use whose block is about to grow has one of `bytes` from now on, and is *holder, a word of the calling thread,
  // until anybody frees or resizes it, ends its growth or settles it. No lock, nor in the next three, which are that thread's.
  static void begin_growth(void* start, std::size_t bytes, void** holder) noexcept {
    Run* run = run_at(chunk_around(start), start);
    run->grown = pages_of(bytes);
    run->holder = holder;
    base::relaxed_store(*holder, start);
    base::relaxed_store(run->state, std::uint8_t{kGrowing});
  }
  // The bytes of a growing run's block.
  static std::size_t grown(const void* start) noexcept {
    return std::size_t{run_at(chunk_around(start), start)->grown} * base::kPage;
  }
  // They become `most` or, where the run is shorter, at least `bytes`. False: it is too short.
  static bool grow(void* start, std::size_t bytes, std::size_t most) noexcept {
    Run* run = run_at(chunk_around(start), start);
    if (pages_of(bytes) > run->pages) return false;
    run->grown = std::min(pages_of(most), run->pages);
    return true;
  }
  // All of the run is its block's.
  static void end_growth(void* start) noexcept { end_growth(run_at(chunk_around(start), start)); }
  // What *holder, if there is one, has more than its block is free. The thread whose word it is.
  void settle(Parts& parts, void*& holder) noexcept {
    if (base::relaxed_load(holder) == nullptr) return;
    thread::Lock lock(mutex_);
    void* start = base::relaxed_load(holder);
    if (start == nullptr) return;  // another thread has freed it meanwhile
    Run* run = run_at(chunk_around(start), start);
    base::relaxed_store(holder, static_cast<void*>(nullptr));
    set_length(parts, run, run->grown, run->grown);
  }

  // `start` is a run in use or kept, as find_used() gave it.
  void give(Parts& parts, void* start) noexcept {
    thread::Lock lock(mutex_);
    Chunk* chunk = chunk_around(start);
    Run* run = run_at(chunk, start);
    end_growth(run);
    base::relaxed_store(used_, used_ - 1);
    --chunk->used_runs;
    std::uint16_t pages = run->pages;
    base::relaxed_store(used_pages_, used_pages_ - pages);
    free_pages(parts, chunk, run, pages);
    run->state = kInside;
    Run* after = run + pages;
    if (after < chunk->runs + kEnd && state_of(after) == kFree) {
      remove(after);
      pages = static_cast<std::uint16_t>(pages + after->pages);
      forget(after);
    }
    if (run > chunk->runs + kFirst && state_of(&run[-1]) == kFree) {
      Run* before = run - run[-1].pages;
      remove(before);
      pages = static_cast<std::uint16_t>(pages + before->pages);
      forget(before);
      run = before;
    }
    make_free(run, pages);
    // one empty region stays: a run that comes and goes would have it mapped and dropped each time
    if (chunk->used_runs == 0 && ++empty_ > 1) drop(parts, chunk);
  }

  // Lengthens or shortens a run in use where it lies, to `most` bytes or, where less is free behind it, at least `bytes`.
  // False: it is as long as it was, and grows no more.
  bool resize(Parts& parts, void* start, std::size_t bytes, std::size_t most) noexcept {
    thread::Lock lock(mutex_);
    Run* run = run_at(chunk_around(start), start);
    end_growth(run);
    return set_length(parts, run, pages_of(bytes), pages_of(most));
  }

  // Every free run and every empty region goes back to the system.
  void collect(Parts& parts) noexcept {
    thread::Lock lock(mutex_);
    for (Chunk* chunk = all_; chunk != nullptr;) {
      Chunk* next = chunk->next_chunk;
      if (chunk->used_runs == 0) {
        drop(parts, chunk);
      } else {
        purge(parts, chunk, chunk->dirty);
      }
      chunk = next;
    }
  }

  // Gives back the free pages that nobody has wanted since the last decay.
  void decay(Parts& parts) noexcept {
    thread::Lock lock(mutex_);
    for (Chunk* chunk = all_; chunk != nullptr; chunk = chunk->next_chunk) {
      PageSet<kPages> idle = chunk->dirty;
      idle.remove(chunk->fresh);
      if (!idle.empty()) purge(parts, chunk, idle);
      chunk->fresh = {};
    }
  }

  std::size_t used_runs() const noexcept { return base::relaxed_load(used_); }
  std::size_t used_bytes() const noexcept { return base::relaxed_load(used_pages_) * base::kPage; }
  // For a reader outside the process.
  constexpr const std::size_t* used_runs_word() const noexcept { return &used_; }
  constexpr const std::size_t* used_pages_word() const noexcept { return &used_pages_; }
  std::size_t chunks() const noexcept { return base::relaxed_load(chunks_); }
  thread::Mutex& mutex() noexcept { return mutex_; }

 private:
  static Chunk* chunk_around(const void* p) noexcept { return static_cast<Chunk*>(slab::Region<Parts::kRegion>::around(p)); }
  // A neighbour's state is read under the lock while its thread may keep or use it without.
  static std::uint8_t state_of(const Run* run) noexcept { return base::relaxed_load(run->state); }
  // Of a run in use, by its pages and block.
  static std::uint8_t used_state(const Run* run) noexcept {
    return static_cast<std::uint8_t>(run->block == Parts::kPrefix / 16 ? RunLengths::exactly(run->pages) : unsigned{kUsed});
  }

  static std::uint16_t pages_of(std::size_t bytes) noexcept {
    return static_cast<std::uint16_t>((bytes + base::kPage - 1) / base::kPage);
  }
  static void end_growth(Run* run) noexcept {
    if (state_of(run) != kGrowing) return;
    base::relaxed_store(*run->holder, static_cast<void*>(nullptr));
    base::relaxed_store(run->state, used_state(run));
  }
  // See resize(). Of a growing run, whose block another thread may have by now, the state changes once, as the last of it.
  bool set_length(Parts& parts, Run* run, std::uint16_t pages, std::uint16_t best) noexcept {
    Chunk* chunk = chunk_of(run);
    Run* after = run + run->pages;
    const bool has_after = after < chunk->runs + kEnd && state_of(after) == kFree;
    std::uint16_t total = run->pages;
    if (has_after) total = static_cast<std::uint16_t>(total + after->pages);
    if (total < pages) return false;
    pages = total < best ? total : best;
    if (has_after) {
      remove(after);
      forget(after);
    }
    if (run->pages > 1) run[run->pages - 1].state = kInside;
    if (pages < run->pages) free_pages(parts, chunk, run + pages, std::size_t{run->pages} - pages);
    base::relaxed_store(used_pages_, used_pages_ + pages - run->pages);
    run->pages = pages;
    __atomic_store_n(&run->state, used_state(run), __ATOMIC_RELEASE);  // pairs with find_run()
    if (total > pages) make_free(run + pages, static_cast<std::uint16_t>(total - pages));
    return true;
  }

  // The run in use that holds p.
  static bool find_run(const void* p, std::byte*& start, std::size_t& bytes) noexcept {
    Chunk* chunk = chunk_around(p);
    std::size_t i = (base::address(p) - base::address(chunk)) / base::kPage;
    if (i < kFirst || i >= kEnd) return false;
    std::uint8_t state;  // acquire: pairs with the release in set_length(), so that what it says comes with the pages
    while ((state = __atomic_load_n(&chunk->runs[i].state, __ATOMIC_ACQUIRE)) == kInside && i > kFirst) --i;
    if (state > kGrowing) return false;
    const Run& run = chunk->runs[i];
    start = address(chunk, &chunk->runs[i]);
    bytes = std::size_t{state == kGrowing ? run.grown : run.pages} * base::kPage;
    return true;
  }

  // Bins: exact up to 32 pages, then four per doubling.
  static constexpr unsigned kBins = 32 + 4 * 6;
  static unsigned bin_of(unsigned pages) noexcept {
    if (pages <= 32) return pages - 1;
    const auto shift = static_cast<unsigned>(std::bit_width(pages)) - 3;
    return 32 + (shift - 3) * 4 + ((pages >> shift) & 3);
  }

  static Chunk* chunk_of(Run* run) noexcept {
    return reinterpret_cast<Chunk*>(base::address(run) & ~(Parts::kRegion - 1));
  }
  static std::byte* address(Chunk* chunk, Run* run) noexcept {
    return reinterpret_cast<std::byte*>(chunk) + static_cast<std::size_t>(run - chunk->runs) * base::kPage;
  }
  static std::size_t number(const Chunk* chunk, const Run* run) noexcept { return static_cast<std::size_t>(run - chunk->runs); }
  // Nobody wants these pages any more.
  static void free_pages(Parts& parts, Chunk* chunk, Run* run, std::size_t pages) noexcept {
    if constexpr (kPurge == pages::Purge::kEager) {
      parts.pages.purge(address(chunk, run), pages * base::kPage);
    } else {
      chunk->dirty.add(number(chunk, run), pages);
      chunk->fresh.add(number(chunk, run), pages);
    }
  }
  static Run* run_at(Chunk* chunk, const void* p) noexcept {
    return &chunk->runs[(base::address(p) - base::address(chunk)) / base::kPage];
  }

  // The shortest bin whose every run fits, else a fitting one of the request's own bin.
  Run* find(unsigned pages) noexcept {
    const unsigned own = bin_of(pages);
    if (pages <= 32 && bins_[own] != nullptr) return bins_[own];
    const std::uint64_t above = own + 1 < 64 ? filled_ >> (own + 1) << (own + 1) : 0;
    if (above != 0) return bins_[std::countr_zero(above)];
    for (Run* run = bins_[own]; run != nullptr; run = run->next) {
      if (run->pages >= pages) return run;
    }
    return nullptr;
  }
  // One of the longest free runs, if it fits.
  Run* longest(unsigned pages) noexcept {
    if (filled_ == 0) return nullptr;
    Run* run = bins_[std::bit_width(filled_) - 1];
    return run->pages >= pages ? run : nullptr;
  }
  void insert(Run* run) noexcept {
    const unsigned b = bin_of(run->pages);
    run->prev = nullptr;
    run->next = bins_[b];
    if (run->next != nullptr) run->next->prev = run;
    bins_[b] = run;
    filled_ |= std::uint64_t{1} << b;
  }
  void remove(Run* run) noexcept {
    const unsigned b = bin_of(run->pages);
    (run->prev != nullptr ? run->prev->next : bins_[b]) = run->next;
    if (run->next != nullptr) run->next->prev = run->prev;
    if (bins_[b] == nullptr) filled_ &= ~(std::uint64_t{1} << b);
  }
  void make_free(Run* run, std::uint16_t pages) noexcept {
    Run* end = run + pages - 1;
    end->pages = pages;
    end->state = kFree;
    run->pages = pages;
    run->state = kFree;
    insert(run);
  }
  static void forget(Run* run) noexcept {
    run[run->pages - 1].state = kInside;
    run->state = kInside;
  }

  Run* map(Parts& parts) noexcept {
    const auto taken = parts.regions.take_exactly(parts.pages, Parts::kRegion);
    if (taken.start == nullptr) return nullptr;
    auto* chunk = new (taken.start) Chunk{};
    chunk->kind = slab::RegionKind::kRuns;
    chunk->bytes = Parts::kRegion;
    if (!parts.owner.enroll(parts.pages, chunk)) {
      parts.pages.unmap(chunk, Parts::kRegion);
      return nullptr;
    }
    parts.fence(chunk, kHeader);
    base::relaxed_store(chunks_, chunks_ + 1);
    ++empty_;
    chunk->next_chunk = all_;
    if (all_ != nullptr) all_->prev_chunk = chunk;
    all_ = chunk;
    Run* run = &chunk->runs[kFirst];
    run->pages = static_cast<std::uint16_t>(kEnd - kFirst);
    if (taken.touched != 0) chunk->dirty.add(kFirst, kEnd - kFirst);
    return run;
  }
  void drop(Parts& parts, Chunk* chunk) noexcept {
    remove(&chunk->runs[kFirst]);
    (chunk->prev_chunk != nullptr ? chunk->prev_chunk->next_chunk : all_) = chunk->next_chunk;
    if (chunk->next_chunk != nullptr) chunk->next_chunk->prev_chunk = chunk->prev_chunk;
    base::relaxed_store(chunks_, chunks_ - 1);
    --empty_;
    parts.owner.withdraw(chunk);
    parts.unfence(chunk, kHeader);
    parts.regions.give(parts.pages, chunk, Parts::kRegion, Parts::kRegion);
  }

  // Gives back what is free of `pages`, all of them dirty.
  static void purge(Parts& parts, Chunk* chunk, const PageSet<kPages>& pages) noexcept {
    for (std::size_t i = kFirst; i < kEnd; i += chunk->runs[i].pages) {
      if (state_of(&chunk->runs[i]) != kFree) continue;
      pages.each_run(i, chunk->runs[i].pages, [&](std::size_t first, std::size_t count) {
        parts.pages.purge(address(chunk, &chunk->runs[first]), count * base::kPage);
      });
    }
    chunk->dirty.remove(pages);
  }

  thread::Mutex mutex_;
  Chunk* all_ = nullptr;
  std::size_t empty_ = 0;   // chunks without a run in use
  std::size_t chunks_ = 0;  // written under the lock, read by the statistics without it; so are the next two
  std::size_t used_ = 0;
  std::size_t used_pages_ = 0;
  std::uint64_t filled_ = 0;  // which bins hold a run
  Run* bins_[kBins]{};
};

}  // namespace hakmem::back
