// File: compute_fabric/scheduler/throughput.h
//
// Which kind of accelerator a job should get when it can use several: by what it gains there
// against what others would gain (Gavel, Narayanan et al., OSDI'20).
#pragma once

#include <string>
#include <vector>

#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// A job in Gavel's terms.
struct ThroughputJob {
  double weight = 1;
  double num_workers = 1;          // devices it needs at once
  std::vector<double> throughput;  // by kind; 0: cannot run there
};

// Gavel's max-min fairness with one constraint set (LAS): x[m][j], the share of time that job m
// should get on kind j, maximises the least weighted normalised throughput
//   (1/w_m) z_m sum_j T_mj x_mj / sum_j T_mj x_eq_mj
// subject to sum_j x_mj <= 1 and sum_m z_m x_mj <= workers_j; then the next least, and so on
// (lexicographic), so that nothing is left idle. x_eq: an equal split of each kind.
std::vector<std::vector<double>> AllocateMaxMin(const std::vector<ThroughputJob>& jobs,
                                                const std::vector<double>& workers);

// The alternatives of a job in the order to try them now: by relative throughput over the present
// price of the kind, where the price of a kind is what the waiting and running jobs that can use
// it would gain by one more device. One alternative, or throughput_aware off: as the job lists
// them, higher relative throughput first.
std::vector<const DeviceAlternative*> RankAlternatives(const SchedulerState& state,
                                                       const Policy& policy, const JobView& job);

}  // namespace oneai::fabric
