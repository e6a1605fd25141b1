// File: compute_fabric/first_scheduler/hold_nodes.h
//
// Keeps small newcomers from starving a large gang: once a job has waited long, nodes it could use
// take no later job until it has started. Jobs that need other nodes go on.
#pragma once

#include <string>
#include <vector>

#include "compute_fabric/first_scheduler/cluster_snapshot.h"

namespace oneai::fabric::inline first {

// How long a gang waits before nodes are held for it: shorter wastes capacity, longer starves it.
inline constexpr absl::Duration kHoldAfter = absl::Minutes(5);

// Marks as unschedulable the nodes that could take a task of `job` when empty, if the job is a gang
// that has waited for kHoldAfter and would fit on the schedulable nodes if they were empty. No
// effect otherwise.
void HoldNodesFor(const PendingJob& job, absl::Time now, std::vector<NodeSnapshot>& nodes);

}  // namespace oneai::fabric::inline first
