// File: compute_fabric/simulator/gavel_simulation.h
//
// Gavel's round-based simulation (Narayanan et al., OSDI'20): at the start of every round the
// policy says who runs on which kind of GPU until its end.
#pragma once

#include <cstdint>
#include <vector>

#include "compute_fabric/simulator/gavel_policies.h"
#include "compute_fabric/simulator/gavel_trace.h"

namespace oneai::fabric {

struct GavelOptions {
  std::vector<double> workers;  // GPUs by kind
  double round_s = 360;
  double restart_s = 0;  // lost when a job starts, comes back, or changes its kind
};

struct GavelOutcome {
  int64_t num_jobs = 0;
  double mean_jct_s = 0;  // completion - arrival
  double median_jct_s = 0;
  double p99_jct_s = 0;
  double makespan_s = 0;   // last completion - first arrival
  double utilization = 0;  // GPU-seconds at work / (GPUs x makespan)
  // Finish-time fairness (Themis, Mahajan et al., NSDI'20): JCT over the JCT at the speed that an
  // equal share of the cluster gave the job, of all kinds, among the jobs active at the time.
  double worst_fairness = 0;
  double unfair_share = 0;           // of jobs, with more than 1
  double interruptions_per_job = 0;  // moved, or sent back to wait
};

// A job that ends within a round frees its GPUs at the round's end. Jobs that want more GPUs than
// any kind on which they run has are left out (num_jobs says so). Precondition: as many workers as
// kinds, round_s above restart_s.
GavelOutcome SimulateGavel(const std::vector<GavelJob>& jobs, GavelPolicy policy,
                           const GavelOptions& options);

}  // namespace oneai::fabric
