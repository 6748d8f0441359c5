// Containers on an engine of their own: by type with std::allocator's interface, at run time with a memory resource; and
// objects of one type from a pool.
#include <hakmem_variant.hpp>

#include <hakmem/containers/allocator.hpp>
#include <hakmem/containers/memory_resource.hpp>
#include <hakmem/containers/pool.hpp>

#include <cstdint>
#include <cstdio>
#include <functional>
#include <map>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <vector>

namespace {

template <class T>
using Allocator = hakmem::containers::Allocator<T, hakmem::Variant>;
using String = std::basic_string<char, std::char_traits<char>, Allocator<char>>;

struct alignas(64) Line {
  char bytes[64];
};

bool owned(const void* p) { return hakmem::engine::Engine<hakmem::Variant>::owns(p); }

int failed(const char* what) {
  std::fprintf(stderr, "%s is not served by hakmem\n", what);
  return 1;
}

}  // namespace

int main() {
  std::vector<Line, Allocator<Line>> lines(1000);
  if (!owned(lines.data()) || reinterpret_cast<std::uintptr_t>(lines.data()) % 64 != 0) return failed("a vector");

  std::map<int, String, std::less<>, Allocator<std::pair<const int, String>>> names;
  for (int i = 0; i < 1000; ++i) names[i] = String(100, 'x');
  for (const auto& [key, name] : names) {
    if (!owned(&key) || !owned(name.data())) return failed("a map");
  }

  hakmem::containers::MemoryResource<hakmem::Variant> resource;
  std::pmr::unordered_map<int, std::pmr::string> words(&resource);
  for (int i = 0; i < 1000; ++i) words.emplace(i, std::pmr::string(100, 'y', &resource));
  for (const auto& [key, word] : words) {
    if (!owned(&key) || !owned(word.data())) return failed("an unordered map");
  }

  using Lines = hakmem::pool<Line>;
  Line* line = Lines::new_object();
  if (!owned(line) || reinterpret_cast<std::uintptr_t>(line) % 64 != 0) return failed("a pool");
  Lines::delete_object(line);

  // Everything else in the program stays with the program's malloc.
  const std::vector<int> elsewhere(1000);
  if (owned(elsewhere.data())) {
    std::fprintf(stderr, "a block of the program's malloc is taken for hakmem's\n");
    return 1;
  }
  std::printf("served by %s %s\n", hakmem::Variant::kName, hakmem::Variant::kDigest);
  return 0;
}
