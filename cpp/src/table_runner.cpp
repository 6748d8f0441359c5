// The workload loops over an EngineTable, for the Python module.
#include <hakmem/bench/report.hpp>
#include <hakmem/bench/table_allocator.hpp>
#include <hakmem/bench/table_runner.hpp>
#include <hakmem/bench/workloads.hpp>

namespace hakmem {

std::string run_workload_json(const EngineTable& table, const std::string& name,
                              const std::vector<std::pair<std::string, std::string>>& parameters) {
  using namespace bench;
  const TableAllocator allocator(table);
  const Workload<TableAllocator>& workload = find_workload<TableAllocator>(name);

  // The limits travel among the parameters: min_ms and passes, as the runner's options of these names.
  static constexpr ParameterInfo kLimits[] = {{"min_ms", 200, 0, 600'000, ""}, {"passes", 0, 0, 1'000'000'000, ""}};
  static constexpr WorkloadInfo kLimitInfo{"limits", "", "", kLimits};
  NamedTexts own, limit_texts;
  for (const auto& each : parameters) {
    (each.first == "min_ms" || each.first == "passes" ? limit_texts : own).push_back(each);
  }
  const Parameters limits(kLimitInfo, limit_texts);
  const Parameters resolved(*workload.info, own);

  Run run({.min_ns = limits["min_ms"] * 1'000'000, .passes = limits["passes"]});
  workload.run(allocator, resolved, run);

  const std::uint64_t peak_kib = status_kib("VmHWM:"), end_kib = status_kib("VmRSS:");
  Json json;
  json.text("workload", name)
      .raw("params", parameters_json(resolved))
      .text("allocator", "table")
      .raw("served", Json()
                         .text("id", std::string(table.name) + " " + table.digest)
                         .number("sampled", run.sampled)
                         .number("owned", run.owned)
                         .str());
  add_measurement(json, run, peak_kib, end_kib);
  return json.str();
}

}  // namespace hakmem
