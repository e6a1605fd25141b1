// File: compute_fabric/simulator/philly_trace.h
//
// The Philly trace (Jeon et al., "Analysis of Large-Scale Multi-Tenant GPU Clusters for DNN
// Training Workloads", ATC'19): gang jobs with arrival and run times.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "compute_fabric/simulator/csv_table.h"

namespace oneai::fabric {

struct PhillyJob {
  int64_t submit_s = 0;    // Unix time
  int64_t duration_s = 1;  // at least 1
  int num_gpus = 1;
  std::string tenant;
};

// Columns submit_time (YYYY-MM-DD HH:MM:SS), duration_s, num_gpus, virtual_cluster. In order of
// submission, then of the file. InvalidArgument: a column is missing, or a field is none of its
// kind; names file, line and column.
absl::StatusOr<std::vector<PhillyJob>> ReadPhillyTrace(const CsvTable& table);

}  // namespace oneai::fabric
