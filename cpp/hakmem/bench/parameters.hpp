// A workload's description and its parameters by name. Bad input is std::invalid_argument with one line that names the
// workload, the parameter, what was expected and what was got.
#pragma once

#include <charconv>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hakmem::bench {

struct ParameterInfo {
  std::string_view name;
  std::uint64_t fallback;
  std::uint64_t min;
  std::uint64_t max;
  std::string_view meaning;
};

struct WorkloadInfo {
  std::string_view name;
  std::string_view op;  // what one operation is
  std::string_view meaning;
  std::span<const ParameterInfo> parameters;
};

using NamedTexts = std::vector<std::pair<std::string, std::string>>;

class Parameters {
 public:
  Parameters(const WorkloadInfo& workload, const NamedTexts& given) : workload_(&workload) {
    for (const ParameterInfo& info : workload.parameters) values_.push_back(info.fallback);
    for (const auto& [name, text] : given) values_[index(name)] = parse(workload.parameters[index(name)], text);
    check_range();
  }

  std::uint64_t operator[](std::string_view name) const { return values_[index(name)]; }
  const WorkloadInfo& workload() const noexcept { return *workload_; }
  std::uint64_t value(std::size_t i) const noexcept { return values_[i]; }

 private:
  bool has(std::string_view name) const noexcept {
    for (const ParameterInfo& info : workload_->parameters) {
      if (info.name == name) return true;
    }
    return false;
  }

  std::size_t index(std::string_view name) const {
    std::string known;
    for (std::size_t i = 0; i < workload_->parameters.size(); ++i) {
      if (workload_->parameters[i].name == name) return i;
      known += (i ? ", " : "") + std::string(workload_->parameters[i].name);
    }
    throw std::invalid_argument("workload " + std::string(workload_->name) + ": expected a parameter of " +
                                (known.empty() ? "none" : known) + ", got '" + std::string(name) + "'");
  }

  std::uint64_t parse(const ParameterInfo& info, const std::string& text) const {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc{} || end != text.data() + text.size() || value < info.min || value > info.max) {
      fail(info.name, "an integer of " + std::to_string(info.min) + " to " + std::to_string(info.max), text);
    }
    return value;
  }

  void check_range() const {
    if (has("min") && has("max") && (*this)["max"] < (*this)["min"]) {
      fail("max", "at least min = " + std::to_string((*this)["min"]), std::to_string((*this)["max"]));
    }
  }

  [[noreturn]] void fail(std::string_view name, const std::string& expected, const std::string& got) const {
    throw std::invalid_argument("workload " + std::string(workload_->name) + ": " + std::string(name) + ": expected " +
                                expected + ", got '" + got + "'");
  }

  const WorkloadInfo* workload_;
  std::vector<std::uint64_t> values_;
};

}  // namespace hakmem::bench
