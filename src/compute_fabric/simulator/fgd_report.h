// File: compute_fabric/simulator/fgd_report.h
//
// Many runs of the FGD experiment as one table, beside the published figures.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/simulator/fgd_experiment.h"

namespace oneai::fabric {

struct MeanAndSd {
  double mean = 0;
  double sd = 0;  // of the sample; 0 for one value
};
MeanAndSd Summarize(const std::vector<double>& values);

// All seeds of one policy on one workload.
struct FgdOutcome {
  std::string workload;
  ScorePolicy policy = ScorePolicy::kOneai;
  std::vector<uint64_t> seeds;
  std::vector<FgdRun> runs;  // by seed
};
// GPU allocated, %, when GPUs worth `arrived_pct` of the cluster have been asked for.
MeanAndSd AllocationAt(const FgdOutcome& outcome, int arrived_pct);

// Allocation at 100 % arrived by workload and policy.
using FgdPublished = std::map<std::pair<std::string, ScorePolicy>, MeanAndSd>;
// Columns workload, policy (Random, DotProd, ...), arrived_pct, alloc_pct_mean, alloc_pct_sd.
absl::StatusOr<FgdPublished> ReadFgdPublished(const std::string& path);

// "42..51", "1,2,7" or a mixture.
absl::StatusOr<std::vector<uint64_t>> ParseSeeds(absl::string_view text);

std::string FgdTable(const std::vector<FgdOutcome>& outcomes, const FgdPublished& published);
// All bins of all runs' means, as JSON.
std::string FgdJson(const std::vector<FgdOutcome>& outcomes, const FgdPublished& published);

}  // namespace oneai::fabric
