// One block that grows by realloc until it is dropped and a small one starts again. One operation is one realloc (the
// malloc and free of each block are in the time, not in the count); one thread.
#pragma once

#include <hakmem/bench/patterns.hpp>

namespace hakmem::bench {

inline constexpr ParameterInfo kGrowParameters[] = {
    {"min", 16, kSmallest, 1 << 30, "bytes that a block starts with"},
    {"max", 128 << 10, kSmallest, 1 << 30, "bytes that it does not exceed"},
    {"percent", 150, 101, 1000, "new size in percent of the old"},
    {"blocks", 200, 1, 1'000'000, "blocks grown in one pass"}};
inline constexpr ParameterInfo kStepParameters[] = {
    {"min", 16, kSmallest, 1 << 30, "bytes that a block starts with"},
    {"max", 2048, kSmallest, 1 << 30, "bytes that it does not exceed"},
    {"step", 16, 1, 1 << 20, "bytes more each time"},
    {"blocks", 200, 1, 1'000'000, "blocks grown in one pass"}};

inline constexpr WorkloadInfo kReallocGrow{"realloc_grow", "realloc", "a block grows by a factor", kGrowParameters};
inline constexpr WorkloadInfo kReallocStep{"realloc_step", "realloc", "a block grows by a constant", kStepParameters};

template <concepts::Allocator A, class Next>
void grow_blocks(const A& a, const Parameters& p, Run& run, Next&& next) {
  const std::uint64_t min = p["min"], max = p["max"], blocks = p["blocks"];
  std::uint64_t count = 0;
  for (std::uint64_t size = next(min); size <= max; size = next(size)) ++count;
  MappedArray<std::uint64_t> sizes(count);
  std::uint64_t size = min;
  for (std::uint64_t& each : sizes) run.histogram.add(each = size = next(size), blocks);
  run.histogram.add(min, blocks);

  const auto grow = [&] {
    void* block = touch(a.malloc(min));
    for (std::uint64_t each : sizes) block = touch(a.realloc(block, each));
    return block;
  };
  run.measure(count * blocks, [&] {
    for (std::uint64_t i = 0; i < blocks; ++i) a.free(grow());
  });
  void* block = grow();
  run.sample(a, block);
  a.free(block);
}

template <concepts::Allocator A>
void realloc_grow(const A& a, const Parameters& p, Run& run) {
  grow_blocks(a, p, run, [percent = p["percent"]](std::uint64_t size) { return size * percent / 100 + 1; });
}

template <concepts::Allocator A>
void realloc_step(const A& a, const Parameters& p, Run& run) {
  grow_blocks(a, p, run, [step = p["step"]](std::uint64_t size) { return size + step; });
}

}  // namespace hakmem::bench
