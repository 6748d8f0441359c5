// Runs a named workload over an EngineTable: the one door between the Python module and the workload loops.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "hakmem/engine/engine_table.hpp"

namespace hakmem {

// Parameters by name, as text; those left out have their defaults. Returns the row as one line of JSON.
// Throws std::invalid_argument with one line when the workload or a parameter is unknown or out of range.
std::string run_workload_json(const EngineTable& table, const std::string& name,
                              const std::vector<std::pair<std::string, std::string>>& parameters);

}  // namespace hakmem
