// File: compute_fabric/scheduler/throughput.h
//
// Which kind of accelerator a job should get when it can use several: by what it gains there
// against what others would gain (Gavel, Narayanan et al., OSDI'20).
#pragma once

#include <map>
#include <string>
#include <vector>

#include "compute_fabric/scheduler/cluster/cluster_state.h"
#include "compute_fabric/scheduler/cluster/job_table.h"
#include "compute_fabric/scheduler/policy.h"

namespace oneai::fabric {

// A job in Gavel's terms.
struct ThroughputJob {
  double weight = 1;
  double num_workers = 1;          // devices it needs at once
  std::vector<double> throughput;  // by kind; 0: cannot run there

  bool operator==(const ThroughputJob&) const = default;
};

// Gavel's max-min fairness with one constraint set (LAS): x[m][j], the share of time that job m
// should get on kind j, maximises the least weighted normalised throughput
//   (1/w_m) z_m sum_j T_mj x_mj / sum_j T_mj x_eq_j,      x_eq_j = workers_j / sum of workers,
// subject to sum_j x_mj <= 1 and sum_m z_m x_mj <= workers_j; then the next least, and so on
// (lexicographic), so that nothing is left idle that somebody could use. A job that can run nowhere
// gets zeros. Equal jobs get equal shares and cost no more than one: a linear program of about 2
// rows a distinct job, solved once for every level of the outcome.
std::vector<std::vector<double>> AllocateMaxMin(const std::vector<ThroughputJob>& jobs,
                                                const std::vector<double>& workers);

// The normalised throughput of the formula above, without the weight.
double NormalizedThroughput(const ThroughputJob& job, const std::vector<double>& shares,
                            const std::vector<double>& workers);

// Price of a device by kind: what the jobs of the table could gain from one more of it, in devices
// at full speed (1: somebody waits who has no other choice; 0: there are enough; between: somebody
// would run faster on it). The dual of placing all demand, running and waiting, on all healthy
// capacity for the highest sum of relative throughput times devices. Kinds without a price are not
// in it; with no job that has a choice it is empty, at the cost of one look at each shape.
using KindPrices = std::map<std::string, double>;
KindPrices PricesOfKinds(const ClusterState& cluster, const JobTable& jobs);

// The alternatives of a job in the order to try them now: by relative throughput (of the fastest)
// less the price of the devices, per device; equal ones by relative throughput, then as listed.
// Without policy.throughput_aware, prices count as 0. Pointers into `job`.
std::vector<const DeviceAlternative*> RankAlternatives(const KindPrices& prices,
                                                       const Policy& policy, const JobView& job);

}  // namespace oneai::fabric
