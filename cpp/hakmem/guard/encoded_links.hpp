// Links that cannot be forged or overwritten unseen: the pointer is masked with a random key of the process and with the
// block's address (safe-linking: Itkin, 2020), and the block's second word is a keyed check of both. Any change of one of
// the two words is found when the link is next read, whatever it is; a change of both, but for a chance of about 2^-60,
// unless whoever writes knows the key, which two words read from a free block tell. The same block's own older words put
// back are not found. The end of the process is one line with the block's address. Any thread; one multiplication a link.
#pragma once

#include <hakmem/base/fatal.hpp>
#include <hakmem/base/types.hpp>

namespace hakmem::guard {

class EncodedLinks {
 public:
  static constexpr std::size_t kBytes = 16;
  static constexpr bool kKeyed = true;

  // Before the first link is made; of several calls the first one counts, as engines of one process share the key.
  static void seed(std::uint64_t random) noexcept {
    std::uint64_t none = 0;
    __atomic_compare_exchange_n(&key_, &none, random | 1, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  }

  HAKMEM_HOT static base::Block* next(const base::Block* block) noexcept {
    const auto* words = reinterpret_cast<const Words*>(block);
    const std::uint64_t key = base::relaxed_load(key_);
    const std::uint64_t masked = words->link ^ key;
    if (words->check != check_of(masked, block, key)) [[unlikely]] corrupted(block);
    return reinterpret_cast<base::Block*>(masked ^ base::address(block) >> 4);
  }
  HAKMEM_HOT static void link(base::Block* block, base::Block* next) noexcept {
    auto* words = reinterpret_cast<Words*>(block);
    const std::uint64_t key = base::relaxed_load(key_);
    const std::uint64_t masked = base::address(next) ^ base::address(block) >> 4;
    words->link = masked ^ key;
    words->check = check_of(masked, block, key);
  }

 private:
  struct [[gnu::may_alias]] Words {
    std::uint64_t link;
    std::uint64_t check;
  };

  // The key is odd: two links of one block differ in the check, too, and words copied from another block do not fit.
  HAKMEM_HOT static std::uint64_t check_of(std::uint64_t masked, const void* block, std::uint64_t key) noexcept {
    return (masked + base::address(block)) * key;
  }
  [[noreturn]] HAKMEM_COLD static void corrupted(const void* block) noexcept {
    base::fatal("corrupted free list at ", block, "");
  }

  static inline constinit std::uint64_t key_ = 0;
};

}  // namespace hakmem::guard
