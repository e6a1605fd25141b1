// File: compute_fabric/simulator/replay_figures.h
//
// What a replay is judged by: completion times, waits, finish-time fairness. All in seconds.
#pragma once

#include <cstdint>
#include <vector>

namespace oneai::fabric {

// One job of a replay that has ended.
struct JobOutcome {
  int64_t submitted_s = 0;
  int64_t duration_s = 0;  // alone on what it asks for, never interrupted
  int64_t completed_s = 0;
  int64_t num_devices = 0;

  int64_t jct_s() const { return completed_s - submitted_s; }
  int64_t wait_s() const { return jct_s() - duration_s; }
};

struct QueueingFigures {
  int64_t num_jobs = 0;
  double mean_jct_s = 0;
  double mean_wait_s = 0;
  int64_t p50_wait_s = 0;
  int64_t p95_wait_s = 0;
  int64_t p99_wait_s = 0;
  int64_t max_wait_s = 0;
  int64_t makespan_s = 0;  // last completion - first submission
  double utilisation = 0;  // device-seconds of the jobs' durations / (devices x makespan)
};

// Percentile p = sorted[floor(n p)]. No jobs: all zero.
QueueingFigures SummarizeOutcomes(const std::vector<JobOutcome>& outcomes, int64_t num_devices);

// Finish-time fairness (Themis, Mahajan et al., NSDI'20): rho = T_shared / T_isolated.
struct FairnessFigures {
  double worst_rho = 0;
  double p99_rho = 0;
  double share_above_1 = 0;  // of the jobs
};

// `isolated_s`: the completion time of each job on its own part of the cluster, parallel to
// `outcomes`.
FairnessFigures SummarizeFairness(const std::vector<JobOutcome>& outcomes,
                                  const std::vector<double>& isolated_s);

// T_isolated of each job when it has 1/N of the devices to itself, N = the jobs that wait or run
// when it comes, itself included: duration x max(1, its devices x N / devices). A job alone is
// limited by what it asks for. `outcomes` say who is present when.
std::vector<double> IsolatedByShare(const std::vector<JobOutcome>& outcomes, int64_t num_devices);

}  // namespace oneai::fabric
