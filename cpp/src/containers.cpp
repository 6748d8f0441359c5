// hakmem_containers: container loops on std::allocator (the malloc that the process has), on one variant's allocator object
// and memory resource, and on the pools of the standard library.
#include <hakmem_variant.hpp>

#include <memory_resource>

#include <hakmem/bench/container_race.hpp>
#include <hakmem/bench/process_allocator.hpp>
#include <hakmem/containers/allocator.hpp>
#include <hakmem/containers/memory_resource.hpp>

namespace {

using Engine = hakmem::engine::Engine<hakmem::Variant>;

struct Standard {
  static constexpr std::string_view kName = "std";
  template <class T>
  using Allocator = std::allocator<T>;
  template <class T>
  Allocator<T> of() const {
    return {};
  }
  bool owns(const void* p) const { return hakmem::bench::ProcessAllocator().owns(p) && !Engine::owns(p); }
};

struct Inlined {
  static constexpr std::string_view kName = "inline";
  template <class T>
  using Allocator = hakmem::containers::Allocator<T, hakmem::Variant>;
  template <class T>
  Allocator<T> of() const {
    return {};
  }
  bool owns(const void* p) const { return Engine::owns(p); }
};

// Through std::pmr::memory_resource, which the compiler does not see through.
template <class Resource>
struct Polymorphic {
  template <class T>
  using Allocator = std::pmr::polymorphic_allocator<T>;
  template <class T>
  Allocator<T> of() {
    return Allocator<T>(&resource);
  }
  Resource resource;
};
struct Pmr : Polymorphic<hakmem::containers::MemoryResource<hakmem::Variant>> {
  static constexpr std::string_view kName = "pmr";
  bool owns(const void* p) const { return Engine::owns(p); }
};
struct StdPool : Polymorphic<std::pmr::unsynchronized_pool_resource> {
  static constexpr std::string_view kName = "std-pool";
  bool owns(const void* p) const { return !Engine::owns(p); }
};
struct StdPoolSync : Polymorphic<std::pmr::synchronized_pool_resource> {
  static constexpr std::string_view kName = "std-pool-sync";
  bool owns(const void* p) const { return !Engine::owns(p); }
};

}  // namespace

int main(int argc, char** argv) {
  const std::string engine = std::string(hakmem::Variant::kName) + " " + hakmem::Variant::kDigest;
  return hakmem::bench::race_containers<Standard, Inlined, Pmr, StdPool, StdPoolSync>(argc, argv, engine);
}
