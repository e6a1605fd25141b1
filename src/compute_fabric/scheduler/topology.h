// File: compute_fabric/scheduler/topology.h
//
// Choosing nodes for a job that wants to be near itself: domain by domain.
#pragma once

#include <cstdint>
#include <vector>

#include "compute_fabric/scheduler/candidate_index.h"
#include "compute_fabric/scheduler/choose_nodes.h"
#include "compute_fabric/scheduler/job.h"

namespace oneai::fabric {

struct TopologyRequest {
  ChoiceRequest choice;  // num_tasks: as many as are wanted
  int32_t num_tasks_min = 1;
  const TaskShape* shape = nullptr;
  const DeviceAlternative* device = nullptr;
  TopologyWish wish;
  // Domains that the job is in already; a required wish stays in them, a preferred one tries them
  // first.
  std::vector<int32_t> held;
};

// Required: all in one domain, the one that has all wanted and least room besides (what is left of
// it is the fragment; hosts: the best scored that has room), else the one with most, if that is
// num_tasks_min. Preferred: the same if it has all, else the fewest domains: the roomiest first,
// the tightest for the rest. O(domains) where the index knows them, else O(candidates).
std::vector<NodeChoice> ChooseInDomains(const TopologyRequest& request,
                                        const ShapeCandidates& candidates);

// The domains of `level` that the tasks are in, ascending.
std::vector<int32_t> DomainsOf(const ClusterState& cluster, TopologyLevel level,
                               const std::vector<TaskPlacement>& tasks);

}  // namespace oneai::fabric
