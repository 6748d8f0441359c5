// MemoryResource<Variant>: std::pmr::memory_resource over one engine. It holds nothing: all objects of one Variant are
// equal and may free each other's blocks, in any thread. Cost: one virtual call above the engine's own.
#pragma once

#include <cstddef>
#include <memory_resource>

#include <hakmem/containers/blocks.hpp>

namespace hakmem::containers {

template <class Variant>
class MemoryResource final : public std::pmr::memory_resource {
 private:
  // Throws std::bad_alloc when memory is out.
  void* do_allocate(std::size_t bytes, std::size_t align) override { return Blocks<Variant>::take(bytes, align); }
  void do_deallocate(void* p, std::size_t bytes, std::size_t align) override { Blocks<Variant>::give(p, bytes, align); }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override {
    return dynamic_cast<const MemoryResource*>(&other) != nullptr;
  }
};

}  // namespace hakmem::containers
