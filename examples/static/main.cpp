// An ordinary program. Linked with a malloc library of hakmem it is served by it, and can prove it.
#include <hakmem/engine/malloc_library.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>

int main() {
  auto owned = [](const void* p) { return hakmem::hakmem_owns(p) == 1; };

  std::unique_ptr<void, void (*)(void*)> block(std::malloc(100), std::free);
  std::unique_ptr<char, void (*)(void*)> copy(::strdup("allocated inside the C library"), std::free);
  auto number = std::make_unique<int>(7);
  std::string text(1000, 'x');
  bool all = owned(block.get()) && owned(copy.get()) && owned(number.get()) && owned(text.data());
  std::thread([&] { all = all && owned(std::make_unique<int>(8).get()); }).join();

  const int local = 0;
  if (!all || owned(&local) || owned(nullptr)) {
    std::fprintf(stderr, "not served by hakmem\n");
    return 1;
  }
  std::printf("served by %s\n", hakmem::hakmem_id());
  return 0;
}
