// What was measured, as fields of one JSON row; and the catalogue of workloads. One thread, after the measurement.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include <hakmem/bench/json.hpp>
#include <hakmem/bench/mapped_array.hpp>
#include <hakmem/bench/parameters.hpp>
#include <hakmem/bench/run.hpp>

namespace hakmem::bench {

inline std::string parameters_json(const Parameters& p) {
  Json json;
  for (std::size_t i = 0; i < p.workload().parameters.size(); ++i) {
    json.number(p.workload().parameters[i].name, p.value(i));
  }
  return json.str();
}

inline std::string histogram_json(const Histogram& histogram) {
  Json json;
  for (unsigned i = 0; i < Histogram::kBuckets; ++i) {
    if (histogram.count(i)) json.number(std::to_string(Histogram::limit(i)), histogram.count(i));
  }
  return json.str();
}

// A figure of /proc/self/status in KiB ("VmHWM:", "VmRSS:"); 0 when it cannot be read. Allocates nothing.
inline std::uint64_t status_kib(const char* key) noexcept {
  char text[4096];
  const int file = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t length = ::read(file, text, sizeof text - 1);
  ::close(file);
  if (length <= 0) return 0;
  text[length] = '\0';
  const char* found = std::strstr(text, key);
  return found ? std::strtoull(found + std::strlen(key), nullptr, 10) : 0;
}

// The fields that every way of running a workload has. Memory is read before the row itself needs any.
inline void add_measurement(Json& json, const Run& run, std::uint64_t peak_kib, std::uint64_t end_kib) {
  json.number("ops", run.ops)
      .number("ns", run.ns)
      .number("ns_per_op", run.ops ? static_cast<double>(run.ns) / static_cast<double>(run.ops) : 0.0)
      .number("passes", run.passes)
      .number("threads", run.threads)
      .raw("page_faults", Json()
                              .number("minor", static_cast<std::uint64_t>(run.minor_faults))
                              .number("major", static_cast<std::uint64_t>(run.major_faults))
                              .str())
      .number("peak_rss_kib", peak_kib)
      .number("rss_end_kib", end_kib)
      .number("harness_kib", std::uint64_t{mapped_bytes >> 10})
      .raw("histogram", histogram_json(run.histogram));
  if (run.mean_rss_kib) json.number("mean_rss_kib", run.mean_rss_kib);
  for (const auto& [name, value] : run.extra) json.number(name, value);
}

inline std::string workload_json(const WorkloadInfo& workload) {
  std::string parameters;
  for (const ParameterInfo& info : workload.parameters) {
    parameters += parameters.empty() ? "" : ", ";
    parameters += Json()
                      .text("name", info.name)
                      .number("default", info.fallback)
                      .number("min", info.min)
                      .number("max", info.max)
                      .text("meaning", info.meaning)
                      .str();
  }
  return Json()
      .text("name", workload.name)
      .text("op", workload.op)
      .text("meaning", workload.meaning)
      .raw("params", "[" + parameters + "]")
      .str();
}

}  // namespace hakmem::bench
