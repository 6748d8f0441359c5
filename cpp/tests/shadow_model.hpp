// A shadow of an engine: what each of its blocks must hold, so that every answer can be checked as it is given. Contents
// are kept, no block reaches into another, alignment and usable size are as promised, calloc's blocks are zero, errno is
// untouched by free, and NULL comes with ENOMEM and only when memory was refused. What does not hold ends the process.
// One thread at a time; the operations themselves may come from any.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>

#include <hakmem/base/types.hpp>

namespace hakmem::test {

template <class Engine>
class ShadowModel {
  using Classes = typename Engine::Classes;
  using Source = typename Engine::Variant::Pages;

 public:
  static constexpr std::size_t kSlots = 512;

  // Every operation leaves `slot` with the block it got, or empty; a block that was there is checked and freed first.
  void malloc(std::size_t slot, std::size_t n) {
    free(slot);
    enter(slot, n, natural_alignment(n), asked([n] { return Engine::malloc(n); }, n));
  }
  void calloc(std::size_t slot, std::size_t count, std::size_t size) {
    free(slot);
    const std::size_t n = count * size;
    unsigned char* p = asked([count, size] { return Engine::calloc(count, size); }, n);
    if (p != nullptr && !all(p, n, 0)) fail("calloc gave bytes that are not zero", p, n);
    enter(slot, n, natural_alignment(n), p);
  }
  void aligned_alloc(std::size_t slot, std::size_t align, std::size_t n) {
    free(slot);
    enter(slot, n, align, asked([align, n] { return Engine::aligned_alloc(align, n); }, n));
  }
  void realloc(std::size_t slot, std::size_t n) {
    Kept before = kept_[slot];
    if (before.p == nullptr) return malloc(slot, n);
    if (n == 0) {
      leave(slot);
      if (Engine::realloc(before.p, 0) != nullptr) fail("realloc to nothing gave a block", before.p, before.usable);
      return;
    }
    look_at(before);
    unsigned char* p = asked([&before, n] { return Engine::realloc(before.p, n); }, n);
    if (p == nullptr) return look_at(before);
    const std::size_t same = n < before.usable ? n : before.usable;
    if (!holds(p, same, before)) fail("realloc lost contents", p, same);
    forget(slot);
    enter(slot, n, natural_alignment(n), p);
  }
  void free(std::size_t slot) {
    if (kept_[slot].p == nullptr) return;
    unsigned char* p = kept_[slot].p;
    const std::size_t usable = kept_[slot].usable;
    leave(slot);
    errno = 77;
    Engine::free(p);
    if (errno != 77) fail("free has changed errno", p, usable);
    ++operations_;
  }

  // Contents and the engine's own answers about a block.
  void look_at(std::size_t slot) {
    if (kept_[slot].p != nullptr) look_at(kept_[slot]);
  }

  std::size_t live_bytes() const { return live_bytes_; }
  std::uint64_t operations() const { return operations_; }
  std::uint64_t refused() const { return refused_; }

  // Nothing is live, and every heap's caches have been collected.
  void nothing_is_out() {
    auto& parts = Engine::parts();
    const std::size_t blocks = parts.pool.totals().blocks_out;
    if (blocks != 0) fail("blocks of slabs are lost", nullptr, blocks);
    if (parts.runs.used_runs() != 0) fail("page runs are lost", nullptr, parts.runs.used_runs());
    if (parts.large.count() != 0) fail("large blocks are lost", nullptr, parts.large.count());
  }

 private:
  struct Kept {
    unsigned char* p = nullptr;
    std::size_t usable = 0;
    unsigned char mark = 0;
  };
  static constexpr std::size_t kWhole = 64 << 10;  // longer blocks are written at both ends and once a page
  static constexpr std::size_t kEnd = 4096;

  static std::size_t natural_alignment(std::size_t n) { return n <= 8 && Classes::kAlign < 16 ? 8 : 16; }

  [[noreturn]] void fail(const char* what, const void* p, std::size_t n) {
    std::fprintf(stderr, "%s: %s: %zu at %p, after %llu operations\n", Engine::Variant::kName, what, n, p,
                 static_cast<unsigned long long>(operations_));
    std::abort();
  }

  template <class Call>
  unsigned char* asked(Call&& call, std::size_t n) {
    ++operations_;
    const long before = Source::refusals();
    errno = 0;
    auto* p = static_cast<unsigned char*>(call());
    if (p != nullptr) {
      if (n > base::kLargestRequest) fail("a request above PTRDIFF_MAX was granted", p, n);
      return p;
    }
    if (errno != ENOMEM) fail("NULL without ENOMEM", nullptr, n);
    if (n <= base::kLargestRequest && Source::refusals() == before) fail("NULL though no page was refused", nullptr, n);
    ++refused_;
    return nullptr;
  }

  void enter(std::size_t slot, std::size_t n, std::size_t align, unsigned char* p) {
    if (p == nullptr) return;
    if (base::address(p) % align != 0) fail("misaligned", p, align);
    const std::size_t usable = Engine::usable_size(p);
    if (usable < n) fail("shorter than asked", p, n);
    const std::size_t length = usable == 0 ? 1 : usable;  // no bytes are a block of its own, too
    const auto after = spans_.lower_bound(base::address(p));
    if (after != spans_.end() && after->first < base::address(p) + length) fail("reaches into another block", p, usable);
    if (after != spans_.begin() && std::prev(after)->second > base::address(p)) fail("begins in another block", p, usable);
    spans_.emplace(base::address(p), base::address(p) + length);
    live_bytes_ += usable;
    mark_ = static_cast<unsigned char>(mark_ % 255 + 1);
    kept_[slot] = {p, usable, mark_};
    if (usable <= kWhole) {
      std::memset(p, mark_, usable);
    } else {
      std::memset(p, mark_, kEnd);
      for (std::size_t i = kEnd; i < usable; i += base::kPage) p[i] = mark_;
      std::memset(p + usable - kEnd, mark_, kEnd);
    }
  }
  void leave(std::size_t slot) {
    look_at(kept_[slot]);
    forget(slot);
  }
  void forget(std::size_t slot) {
    spans_.erase(base::address(kept_[slot].p));
    live_bytes_ -= kept_[slot].usable;
    kept_[slot] = {};
  }
  void look_at(const Kept& kept) {
    if (!Engine::owns(kept.p)) fail("a live block is not owned", kept.p, kept.usable);
    if (Engine::usable_size(kept.p) != kept.usable) fail("the usable size has changed", kept.p, kept.usable);
    if (!holds(kept.p, kept.usable, kept)) fail("contents have changed", kept.p, kept.usable);
  }

  static bool all(const unsigned char* p, std::size_t n, unsigned char value) {
    return n == 0 || (p[0] == value && std::memcmp(p, p + 1, n - 1) == 0);
  }
  // The first n bytes at p are those of the block that `kept` describes, which may lie elsewhere now.
  static bool holds(const unsigned char* p, std::size_t n, const Kept& kept) {
    if (kept.usable <= kWhole) return all(p, n, kept.mark);
    if (!all(p, n < kEnd ? n : kEnd, kept.mark)) return false;
    for (std::size_t i = kEnd; i < n; i += base::kPage) {
      if (p[i] != kept.mark) return false;
    }
    return n < kept.usable || all(p + n - kEnd, kEnd, kept.mark);
  }

  Kept kept_[kSlots]{};
  std::map<std::uintptr_t, std::uintptr_t> spans_;
  std::size_t live_bytes_ = 0;
  std::uint64_t operations_ = 0;
  std::uint64_t refused_ = 0;
  unsigned char mark_ = 0;
};

}  // namespace hakmem::test
