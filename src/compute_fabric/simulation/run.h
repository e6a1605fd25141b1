// File: compute_fabric/simulation/run.h
//
// One seed from start to end: a world, faults for a while, then calm until everything that people
// asked for is done.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/simulation/scenario.h"

namespace oneai::fabric::simulation {

struct RunOptions {
  uint64_t seed = 1;
  Scenario scenario;
  absl::Duration fault_time = absl::Minutes(5);
  // After the faults: everything must be done by then.
  absl::Duration settle_time = absl::Minutes(40);
  bool live_trace = false;  // every line to stdout as it happens
};

struct RunResult {
  uint64_t seed = 0;
  std::string scenario;
  std::string violation;  // empty: every promise was kept
  std::string story;      // of a violation: the lines of the trace that concern it
  absl::Duration simulated = absl::ZeroDuration();
  int num_nodes = 0;
  int64_t num_events = 0;
  int64_t num_jobs = 0;
  int64_t num_refused = 0;
  int64_t num_starts = 0;  // of processes
  uint64_t trace_hash = 0;

  double cluster_hours() const { return absl::ToDoubleHours(simulated) * num_nodes; }
};

// Deterministic: equal options give equal results, trace included.
RunResult RunSeed(const RunOptions& options);

// The command that runs this seed again.
std::string ReplayCommand(const RunResult& result);

}  // namespace oneai::fabric::simulation
