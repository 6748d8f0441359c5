// A variant behind its table of functions: one indirect call above the engine's own.
#pragma once

#include <hakmem/concepts/allocator.hpp>
#include <hakmem/engine/engine_table.hpp>

namespace hakmem::bench {

class TableAllocator {
 public:
  explicit TableAllocator(const EngineTable& table) noexcept : table_(&table) {}

  void* malloc(std::size_t n) const noexcept { return table_->malloc(n); }
  void* calloc(std::size_t count, std::size_t n) const noexcept { return table_->calloc(count, n); }
  void* realloc(void* p, std::size_t n) const noexcept { return table_->realloc(p, n); }
  void* aligned_alloc(std::size_t align, std::size_t n) const noexcept { return table_->aligned_alloc(align, n); }
  void free(void* p) const noexcept { table_->free(p); }
  std::size_t usable_size(const void* p) const noexcept { return table_->usable_size(p); }
  bool owns(const void* p) const noexcept { return table_->owns(p); }

 private:
  const EngineTable* table_;
};

static_assert(concepts::Allocator<TableAllocator>);

}  // namespace hakmem::bench
