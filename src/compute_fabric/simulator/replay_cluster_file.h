// File: compute_fabric/simulator/replay_cluster_file.h
//
// The cluster and the policy of a replay, as YAML: examples/sim/cluster.yaml shows every key.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "compute_fabric/simulator/replay_engine.h"

namespace oneai::fabric {

struct ReplayFile {
  ReplayCluster cluster;
  ReplaySettings settings;
  double limit_factor = 1;  // TraceDefaults
  uint64_t seed = 42;
};

// `begin`: when the trace begins; windows are relative to it. InvalidArgument: unknown keys (with
// line and the nearest key), wrong values, nothing that computes.
absl::StatusOr<ReplayFile> ParseReplayFile(absl::string_view text, std::string source,
                                           absl::Time begin);

}  // namespace oneai::fabric
