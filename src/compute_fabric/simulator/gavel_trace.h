// File: compute_fabric/simulator/gavel_trace.h
//
// Job traces with throughputs measured on several kinds of accelerator, as published with Gavel
// (Narayanan et al., OSDI'20).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace oneai::fabric {

// Steps per second with all GPUs of one kind on as few nodes as possible; 0: does not run there.
struct GavelThroughputs {
  std::vector<std::string> kinds;                                                   // sorted
  std::map<std::pair<std::string, int64_t>, std::vector<double>> by_type_and_gpus;  // by kind
};

struct GavelJob {
  int64_t id = 0;
  double arrival_s = 0;
  int64_t num_gpus = 1;
  double total_steps = 0;
  std::vector<double> throughput;  // by kind
};

// What to do with a job whose number of GPUs has not been measured for its type.
enum class MissingThroughput {
  kDrop,
  kScale,  // in proportion, from the nearest number that was (the lower of two)
};

struct GavelTrace {
  std::vector<GavelJob> jobs;  // by arrival
  // Rows that were dropped or scaled, by "type x GPUs", and how many rows each.
  std::map<std::string, int64_t> missing;
  int64_t num_rows = 0;
};

// Columns accelerator, consolidated, job_type, num_gpus, steps_per_s; consolidated 0 is skipped.
absl::StatusOr<GavelThroughputs> ReadGavelThroughputs(const std::string& path);
// Columns job_id, job_type, num_gpus, total_steps, arrival_s. InvalidArgument: a bad field, or a
// job type without any measurement.
absl::StatusOr<GavelTrace> ReadGavelTrace(const std::string& path,
                                          const GavelThroughputs& throughputs,
                                          MissingThroughput missing);

}  // namespace oneai::fabric
