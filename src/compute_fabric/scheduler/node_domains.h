// File: compute_fabric/scheduler/node_domains.h
//
// The nodes a job might use, by the topology domain that would have to be freed for it.
#pragma once

#include <cstdint>
#include <vector>

#include "compute_fabric/scheduler/place_job.h"

namespace oneai::fabric {

struct NodeDomain {
  int32_t nvlink_domain = kAnyDomain;  // only devices of it count
  std::vector<NodeIndex> nodes;
  int64_t room_when_empty = 0;  // tasks
};

// Nodes that are in service, that `may_use` lets the job on, and that could take a task if they
// were empty. With a topology wish: one domain each of its level, and for a preferred one all nodes
// last. Without: all nodes. Domains that could not hold `num_tasks` when empty are left out.
// O(nodes).
std::vector<NodeDomain> DomainsFor(const ClusterState& cluster, const JobView& job,
                                   const DeviceAlternative* device, const NodeGate& may_use,
                                   int num_tasks);

}  // namespace oneai::fabric
