// A policy set of one's own becomes an allocator beside the program's malloc. Every axis is one type.
#include <hakmem/back/superslab.hpp>
#include <hakmem/classes/geometric4.hpp>
#include <hakmem/concepts/interposable.hpp>
#include <hakmem/engine/engine.hpp>
#include <hakmem/front/magazine.hpp>
#include <hakmem/front/sll.hpp>
#include <hakmem/front/split.hpp>
#include <hakmem/guard/checks.hpp>
#include <hakmem/owner/page_tag.hpp>
#include <hakmem/pages/mmap.hpp>
#include <hakmem/probe/none.hpp>
#include <hakmem/remote/return_home.hpp>
#include <hakmem/slab/bitmap.hpp>
#include <hakmem/thread/fork_handlers.hpp>
#include <hakmem/thread/tls_pointer.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

// Lists for the three smallest classes, arrays of pointers for the rest, free blocks in bitmaps, double frees found,
// and at most 1 GiB of addresses.
struct Mine {
  using Front =
      hakmem::front::Split<hakmem::front::SplitOptions{.at = 3}, hakmem::front::Sll<>, hakmem::front::Magazine<>>;
  using Classes = hakmem::classes::Geometric4<>;
  using Store = hakmem::slab::Bitmap;
  using Owner = hakmem::owner::PageTag;
  using Remote = hakmem::remote::ReturnHome<>;
  using Pages = hakmem::pages::Mmap<hakmem::pages::MmapOptions{.reserve_gib = 1}>;
  using Thread = hakmem::thread::TlsPointer;
  using Guard = hakmem::guard::Checks;
  using Probe = hakmem::probe::None;
  using Back = hakmem::back::SuperSlab<>;
};

using Engine = hakmem::engine::Engine<Mine>;
static_assert(hakmem::concepts::Interposable<Engine>);

// So that a child of fork() finds no lock held by a thread that it does not have.
using AroundFork = hakmem::thread::ForkHandlers<&Engine::before_fork, &Engine::after_fork>;

namespace {

int failed(const char* what) {
  std::fprintf(stderr, "%s\n", what);
  return 1;
}

}  // namespace

int main() {
  if (AroundFork::registered != 0) return failed("no memory for the fork handlers");

  std::vector<char*> blocks;
  for (std::size_t n = 1; n < 1'000'000; n = n * 5 / 4 + 1) {
    auto* block = static_cast<char*>(Engine::malloc(n));
    if (block == nullptr || !Engine::owns(block)) return failed("not served by the engine");
    std::memset(block, static_cast<int>(n), n);
    blocks.push_back(block);
  }
  void* libc_block = std::malloc(100);
  const bool mistaken = Engine::owns(libc_block);
  std::free(libc_block);
  if (mistaken) return failed("a block of the program's malloc is taken for the engine's");

  // Freed by another thread: they return to the heap that they came from.
  const std::size_t count = blocks.size();
  std::thread([&blocks] {
    for (char* block : blocks) Engine::free(block);
  }).join();

  std::printf("served %zu blocks\n", count);
  return 0;
}
