// File: compute_fabric/first_scheduler/gang_commit.h
//
// Phase 5: put a job's tasks on nodes, all or none for a gang, on the plan's own copy of the
// cluster.
#pragma once

#include <vector>

#include "compute_fabric/first_scheduler/cluster_snapshot.h"

namespace oneai::fabric::inline first {

// Places as many of `job.ranks` as possible, lowest ranks first, and takes their resources from
// `nodes` and `queue`. A gang is placed whole or not at all: then the result is empty and nothing
// is taken. A gang gets one kind of device for all tasks when any kind allows it (its slowest rank
// sets the pace), the best kind first, and a mixture only as the last resort.
std::vector<TaskPlacement> CommitJob(const PendingJob& job, std::vector<NodeSnapshot>& nodes,
                                     QueueSnapshot& queue);

}  // namespace oneai::fabric::inline first
