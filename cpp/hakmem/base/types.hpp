// Words that every floor shares: a block, a class number, a tag, and the sizes that the layout is made of.
#pragma once

#include <cstddef>
#include <cstdint>

#include <hakmem/base/attributes.hpp>

namespace hakmem::base {

// A free block seen as a list node. The link is the first word of the block's payload, on every list there is. It lies in
// memory that held the program's objects, so it may alias anything. What the word holds is known to a link policy
// (concepts::BlockLinks) alone; lists are templates over it, and all lists of one engine have the same.
class [[gnu::may_alias]] Block {
  friend struct PlainLinks;
  Block* next_;
};

// Links as they are: one word, believed.
struct PlainLinks {
  static constexpr std::size_t kBytes = sizeof(Block);
  static constexpr bool kKeyed = false;
  HAKMEM_HOT static Block* next(const Block* block) noexcept { return block->next_; }
  HAKMEM_HOT static void link(Block* block, Block* next) noexcept { block->next_ = next; }
};

// A run of blocks that are linked already: moving it costs the same whatever its length. Empty: count 0.
struct Chain {
  Block* first = nullptr;
  Block* last = nullptr;
  unsigned count = 0;
};

// Takes up to n blocks off the list at `head`.
template <class Links>
inline Chain cut(Block*& head, unsigned n) noexcept {
  Chain chain;
  if (head == nullptr || n == 0) return chain;
  chain.first = chain.last = head;
  for (chain.count = 1; chain.count < n && Links::next(chain.last) != nullptr; ++chain.count) {
    chain.last = Links::next(chain.last);
  }
  head = Links::next(chain.last);
  Links::link(chain.last, nullptr);
  return chain;
}
// Hands every block of a chain to sink, which may relink it.
template <class Links, class Sink>
unsigned each(Chain chain, Sink&& sink) noexcept {
  for (unsigned i = 0; i < chain.count; ++i) {
    Block* next = Links::next(chain.first);
    sink(chain.first);
    chain.first = next;
  }
  return chain.count;
}
// Puts a chain that is not empty in front of the list at `head`.
template <class Links>
inline void splice(Block*& head, Chain chain) noexcept {
  Links::link(chain.last, head);
  head = chain.first;
}

// 1..count names a size class, 0 means "no class": not a small block of ours, or not for this thread's cache.
// Zeroed memory therefore reads as "not ours" everywhere.
using ClassIndex = std::size_t;

// A class with the id of the heap that owns its slab: class + (id << kTagShift). Ids start at 1 where blocks have
// owners and are 0 where they have none. Class numbers stay below 1 << kTagShift.
using Tag = std::uint32_t;
inline constexpr unsigned kTagShift = 8;
inline constexpr Tag kOutside = ~Tag{0};  // no tag of anything: the pointer lies in no memory of ours
inline constexpr ClassIndex kMaxClasses = (1u << kTagShift) - 1;

// Every block of an interposable allocator is aligned to this.
inline constexpr std::size_t kBlockAlign = 16;

// A slab is one or more units; a SuperSlab is a power of two of them.
inline constexpr unsigned kUnitShift = 16;
inline constexpr std::size_t kUnit = std::size_t{1} << kUnitShift;

// Fronts whose capacity is one number for all classes hold at most this many bytes of one class, though two blocks.
inline constexpr std::size_t kCachedClassBytes = std::size_t{64} << 10;
constexpr unsigned bounded_capacity(unsigned capacity, std::size_t block_size) noexcept {
  const std::size_t fit = kCachedClassBytes / block_size;
  return fit < 2 ? 2 : fit < capacity ? static_cast<unsigned>(fit) : capacity;
}

// The granule of page runs and of region headers. OS pages may be larger; the page source rounds purges to them.
inline constexpr unsigned kPageShift = 12;
inline constexpr std::size_t kPage = std::size_t{1} << kPageShift;

// Requests above this are refused, as the C library refuses them.
inline constexpr std::size_t kLargestRequest = static_cast<std::size_t>(PTRDIFF_MAX);

constexpr bool is_power_of_two(std::size_t n) noexcept { return n != 0 && (n & (n - 1)) == 0; }
constexpr std::size_t align_up(std::size_t n, std::size_t align) noexcept { return (n + align - 1) & ~(align - 1); }

inline std::uintptr_t address(const void* p) noexcept { return reinterpret_cast<std::uintptr_t>(p); }

// Plain words that one thread writes while others may look: no order is implied, only that the word is whole.
template <class T>
HAKMEM_HOT T relaxed_load(const T& word) noexcept {
  T value;
  __atomic_load(&word, &value, __ATOMIC_RELAXED);  // the form that takes enumerations, too
  return value;
}
template <class T>
HAKMEM_HOT void relaxed_store(T& word, T value) noexcept {
  __atomic_store(&word, &value, __ATOMIC_RELAXED);
}
// Writes such a word on a hot path, where `x = x + 1` must stay the one instruction that adds to memory: of a relaxed load
// and store g++ 12 makes three. An aligned word is written whole either way (x86-64); only ThreadSanitizer needs telling.
template <class T>
HAKMEM_HOT void write_in_sight(T& word, T value) noexcept {
#if defined(__SANITIZE_THREAD__)
  relaxed_store(word, value);
#else
  word = value;
#endif
}

// Takes 1 from such a word and tells whether it is negative now: one instruction and its flag, of which g++ 12 makes two, the
// address apart.
HAKMEM_HOT bool takes_below_zero(std::int32_t& word) noexcept {
#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__)
  bool negative;
  asm("subl $1, %0" : "+m"(word), "=@ccs"(negative));
  return negative;
#else
  const std::int32_t value = word - 1;
  write_in_sight(word, value);
  return value < 0;
#endif
}
// A hint to the register allocation, no instruction: the block is what the function will return.
HAKMEM_HOT void to_be_returned([[maybe_unused]] Block*& block) noexcept {
#if defined(__x86_64__)
  asm("" : "+a"(block));
#endif
}

}  // namespace hakmem::base
