// File: compute_fabric/simulator/replay_table.h
//
// Text tables of the simulator's reports: columns right-aligned but the first.
#pragma once

#include <string>
#include <vector>

namespace oneai::fabric {

// The first row is the header. Every row has as many cells.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);

// "1,234,567".
std::string FormatCount(double value);

}  // namespace oneai::fabric
