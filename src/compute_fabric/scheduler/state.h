// File: compute_fabric/scheduler/state.h
//
// What the scheduler knows between passes. Reconcile brings it up to date with the records; a pass
// changes it as it decides, as if every decision had been carried out; the next reconcile corrects
// it where one was not. The whole is a value: copy it for a what-if.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "compute_fabric/scheduler/calendar/calendar.h"
#include "compute_fabric/scheduler/cluster/cluster_state.h"
#include "compute_fabric/scheduler/cluster/job_table.h"
#include "compute_fabric/scheduler/queues/queue_tree.h"

namespace oneai::fabric {

struct SchedulerState {
  ClusterState cluster;
  JobTable jobs;
  QueueTree queues;
};

// Phase 1, reconcile: the records as they are now. Each is idempotent and costs what changed.
void SetNode(SchedulerState& state, const NodeSpec& node);
void RemoveNode(SchedulerState& state, absl::string_view name);
// Adds or replaces the job; what it held is released and what it holds is taken.
void SetJob(SchedulerState& state, JobView job);
void RemoveJob(SchedulerState& state, absl::string_view id);
// See QueueTree::SetSpecs.
absl::Status SetQueues(SchedulerState& state, const std::vector<QueueSpec>& specs);

// Every sum the state keeps, computed again from the jobs: empty when all is well, else what
// differs, in words. For tests and simulation; O(cluster).
std::vector<std::string> CheckInvariants(const SchedulerState& state);

}  // namespace oneai::fabric
