// What happens to the heaps of threads that have ended.
#include <hakmem/engine/engine.hpp>
#include <hakmem/remote/return_home.hpp>

#include <barrier>
#include <thread>
#include <vector>

#include "check.hpp"
#include "toy_variant.hpp"

namespace {

using namespace hakmem;

struct Tag {};
struct ReturnHome : test::ToyVariant<Tag> {
  using Remote = remote::ReturnHome<>;
};
using Engine = engine::Engine<ReturnHome>;

const test::Test sent{"what was sent to the heaps of dead threads comes back, though one thread follows another", [] {
  constexpr int kThreads = 4, kBlocks = 100;
  ReturnHome::Pages::recover();
  Engine::free(Engine::malloc(100));  // this thread has a heap of its own
  void* blocks[kThreads][kBlocks];
  std::vector<std::thread> team;
  std::barrier all_adopted(kThreads);
  for (auto& mine : blocks) {
    team.emplace_back([&mine, &all_adopted] {
      for (void*& p : mine) p = Engine::malloc(100);
      all_adopted.arrive_and_wait();
    });
  }
  for (auto& thread : team) thread.join();
  for (auto& theirs : blocks) {
    for (void* p : theirs) Engine::free(p);
  }
  Engine::collect();
  test::check_equal(Engine::parts().pool.totals().blocks_out, std::size_t{kThreads} * kBlocks);
  for (int i = 0; i < kThreads; ++i) {
    std::thread([] { Engine::free(Engine::malloc(100)); }).join();
  }
  test::check_equal(Engine::parts().pool.totals().blocks_out, 0u);
}};

}  // namespace
