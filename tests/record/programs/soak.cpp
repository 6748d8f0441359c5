// A program that allocates, fills, checks and frees for long, over the malloc that its process has. Threads swap blocks
// through shared boxes, so that many a block is freed by another thread than allocated it. Every block is filled with a
// pattern of its own and looked at before it goes: one byte that differs ends the program with a line and exit code 1.
// Arguments: cycles, slots, seed, threads (cycles and slots are each thread's). Prints cycles, bytes and hakmem_id.
#include <malloc.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

#include "../../../cpp/tests/random.hpp"

extern "C" [[gnu::weak]] const char* hakmem_id();

namespace {

using hakmem::test::Random;

struct Block {
  unsigned char* start = nullptr;
  std::size_t bytes = 0;
  std::uint64_t mark = 0;
};

constexpr std::size_t kWhole = 2048;  // longer blocks are filled at both ends
constexpr std::size_t kEnd = 256;
std::atomic<std::uint64_t> bytes_in_all{0};

[[noreturn]] void fail(const char* what, const Block& block, std::size_t at) {
  std::fprintf(stderr, "soak: %s at byte %zu of a block of %zu at %p\n", what, at, block.bytes,
               static_cast<void*>(block.start));
  std::_Exit(1);
}

template <class Visit>
void each_byte(const Block& block, Visit&& visit) {
  const auto value = [&](std::size_t i) { return static_cast<unsigned char>(block.mark >> (i % 8 * 8)); };
  const std::size_t head = block.bytes <= kWhole ? block.bytes : kEnd;
  for (std::size_t i = 0; i < head; ++i) visit(i, value(i));
  if (head < block.bytes) {
    for (std::size_t i = block.bytes - kEnd; i < block.bytes; ++i) visit(i, value(i));
  }
}
void fill(Block& block, std::uint64_t mark) {
  block.mark = mark;
  each_byte(block, [&](std::size_t i, unsigned char value) { block.start[i] = value; });
}
void check(const Block& block) {
  each_byte(block, [&](std::size_t i, unsigned char value) {
    if (block.start[i] != value) fail("contents changed", block, i);
  });
}

std::size_t draw_size(Random& random) {
  const std::uint64_t kind = random.below(1000);
  if (kind < 930) return random.below(1100);
  if (kind < 990) return random.below(33'000);
  return kind < 999 ? random.below(300'000) : random.below(3'000'000);
}

void take(Block& block, Random& random) {
  block.bytes = draw_size(random);
  const std::uint64_t way = random.below(16);
  if (way == 0) {
    block.start = static_cast<unsigned char*>(std::calloc(1, block.bytes));
    for (std::size_t i = 0; block.start && i < block.bytes; i += 61) {
      if (block.start[i] != 0) fail("calloc gave bytes that are not zero", block, i);
    }
  } else if (way == 1) {
    const std::size_t align = std::size_t{16} << random.below(9);
    block.start = static_cast<unsigned char*>(std::aligned_alloc(align, block.bytes));
    if (reinterpret_cast<std::uintptr_t>(block.start) % align != 0) fail("misaligned", block, 0);
  } else {
    block.start = static_cast<unsigned char*>(std::malloc(block.bytes));
  }
  if (!block.start) fail("no memory", block, 0);
  if (::malloc_usable_size(block.start) < block.bytes) fail("too short", block, 0);
  fill(block, random.next());
  bytes_in_all.fetch_add(block.bytes, std::memory_order_relaxed);
}

void drop(Block& block) {
  check(block);
  std::free(block.start);
  block = {};
}

void change(Block& block, Random& random) {
  check(block);
  const std::size_t before = block.bytes, after = draw_size(random) + 1;
  auto* moved = static_cast<unsigned char*>(std::realloc(block.start, after));
  if (!moved) fail("no memory to grow", block, 0);
  const std::size_t same = before < after ? before : after;
  for (std::size_t i = 0; i < same && (i < kEnd || before <= kWhole); ++i) {
    if (moved[i] != static_cast<unsigned char>(block.mark >> (i % 8 * 8))) fail("realloc lost contents", block, i);
  }
  block.start = moved;
  block.bytes = after;
  fill(block, random.next());
}

constexpr std::size_t kBoxes = 64;
std::atomic<Block*> boxes[kBoxes];

void work(std::uint64_t cycles, std::size_t slots, std::uint64_t seed) {
  Random random{seed};
  std::vector<Block> blocks(slots);
  for (std::uint64_t i = 0; i < cycles; ++i) {
    Block& block = blocks[random.below(slots)];
    const std::uint64_t way = random.below(32);
    if (!block.start) {
      take(block, random);
    } else if (way < 4) {
      change(block, random);
    } else if (way == 4) {  // into a box, and what was there out of it
      Block* sent = new Block(block);
      block = {};
      Block* got = boxes[random.below(kBoxes)].exchange(sent, std::memory_order_acq_rel);
      if (got) {
        block = *got;
        delete got;
      }
    } else {
      drop(block);
    }
  }
  for (Block& block : blocks) {
    if (block.start) drop(block);
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) {
    std::fprintf(stderr, "usage: soak CYCLES SLOTS SEED THREADS\n");
    return 2;
  }
  const std::uint64_t cycles = std::strtoull(argv[1], nullptr, 10), slots = std::strtoull(argv[2], nullptr, 10);
  const std::uint64_t seed = std::strtoull(argv[3], nullptr, 10), threads = std::strtoull(argv[4], nullptr, 10);
  {
    std::vector<std::thread> team;
    for (std::uint64_t t = 0; t < threads; ++t) team.emplace_back(work, cycles, slots, seed * 1000 + t);
    for (std::thread& each : team) each.join();
  }
  for (auto& box : boxes) {
    if (Block* left = box.load()) {
      drop(*left);
      delete left;
    }
  }
  std::printf("%llu cycles, %llu bytes, %s\n", static_cast<unsigned long long>(cycles * threads),
              static_cast<unsigned long long>(bytes_in_all.load()), hakmem_id ? hakmem_id() : "libc");
  return 0;
}
