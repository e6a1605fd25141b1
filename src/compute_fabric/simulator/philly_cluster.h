// File: compute_fabric/simulator/philly_cluster.h
//
// The Philly trace as a scheduler meets it: nodes with boundaries, racks, tenants as queues, time
// limits that users guess.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "compute_fabric/simulator/philly_trace.h"
#include "compute_fabric/simulator/replay_engine.h"

namespace oneai::fabric {

inline constexpr char kPhillyGpu[] = "gpu";
inline constexpr int kPhillyGpusPerNode = 8;
inline constexpr int kPhillyNodesPerRack = 8;

// num_gpus / 8 nodes of 8, eight nodes a rack; one queue a tenant with its quota as nominal, all of
// which may be lent and borrowed.
ReplayCluster MakePhillyCluster(int num_gpus, const std::map<std::string, int>& quotas);

// One job a line. Up to 8 GPUs: one task on one node. More: a gang of tasks of 8 (12: of 4), rack
// preferred. The time limit is what the user guesses: the run time times a factor drawn evenly from
// 1..limit_factor, by `seed`; limit_factor 1: exact. All jobs are preemptible.
std::vector<ReplayJob> MakePhillyJobs(const std::vector<PhillyJob>& jobs, double limit_factor,
                                      uint64_t seed);

}  // namespace oneai::fabric
