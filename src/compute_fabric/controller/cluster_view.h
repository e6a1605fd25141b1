// File: compute_fabric/controller/cluster_view.h
//
// The records as the scheduler's snapshot, and what is in use where: pure functions.
#pragma once

#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/controller/versioned_table.h"
#include "compute_fabric/first_scheduler/cluster_snapshot.h"
#include "oneai/fabric/v1/endpoint.pb.h"
#include "oneai/fabric/v1/queue.pb.h"
#include "oneai/fabric/v1/job.pb.h"
#include "oneai/fabric/v1/node.pb.h"

namespace oneai::fabric {

// Every job with ranks to place is pending; every active task takes from its node and its project.
ClusterSnapshot MakeSnapshot(const std::vector<Record<v1::Job>>& jobs,
                             const std::vector<Record<v1::Node>>& nodes,
                             const std::vector<Record<v1::Queue>>& queues, absl::Time now);

// The job's request for `ranks`. A gang gets at least one port a task, for its rendezvous.
PendingJob MakePendingJob(const v1::Job& job, std::vector<int> ranks);

// `node` with its *_used fields and task names filled in from the jobs.
v1::Node WithUse(const v1::Node& node, const std::vector<Record<v1::Job>>& jobs);

// All queues (also of projects that have jobs but no limits) with their use and job counts.
std::vector<v1::Queue> QueuesWithUse(const std::vector<Record<v1::Queue>>& queues,
                                     const std::vector<Record<v1::Job>>& jobs);

}  // namespace oneai::fabric
