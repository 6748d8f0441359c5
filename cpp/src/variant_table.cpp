// The one variant that the generated header names, as a table of functions.
#include <hakmem_variant.hpp>

#include <hakmem/engine/engine.hpp>
#include <hakmem/engine/engine_table.hpp>
#include <hakmem/engine/statistics.hpp>
#include <hakmem/thread/fork_handlers.hpp>

namespace hakmem {
namespace {

using VariantEngine = engine::Engine<Variant>;

// A module is loaded into a process that may fork.
[[maybe_unused]] const int& fork_handlers =
    thread::ForkHandlers<&VariantEngine::before_fork, &VariantEngine::after_fork>::registered;

}  // namespace

const EngineTable engine_table{
    .name = Variant::kName,
    .digest = Variant::kDigest,
    .policy_set = Variant::kPolicySet,
    .malloc = VariantEngine::malloc,
    .calloc = VariantEngine::calloc,
    .realloc = VariantEngine::realloc,
    .aligned_alloc = VariantEngine::aligned_alloc,
    .free = VariantEngine::free,
    .usable_size = VariantEngine::usable_size,
    .owns = VariantEngine::owns,
    .statistics = engine::statistics<VariantEngine>,
    .collect = VariantEngine::collect,
    .class_count = Variant::Classes::kCount,
    .class_bytes = [](std::size_t i) noexcept -> std::size_t {
      return VariantEngine::class_bytes(static_cast<base::ClassIndex>(i));
    },
};

}  // namespace hakmem
