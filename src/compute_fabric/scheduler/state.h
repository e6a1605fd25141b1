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
#include "compute_fabric/scheduler/candidate_index.h"
#include "compute_fabric/scheduler/cluster/cluster_state.h"
#include "compute_fabric/scheduler/cluster/job_table.h"
#include "compute_fabric/scheduler/preempt_backoff.h"
#include "compute_fabric/scheduler/queues/queue_tree.h"
#include "compute_fabric/scheduler/throughput.h"

namespace oneai::fabric {

// A place that is being cleared for a job: jobs were told to stop for it and still hold it. Kept
// from pass to pass until the job has started, no longer waits, or nobody is stopping for it any
// more; nobody else gets the place meanwhile.
struct Promise {
  std::string job_id;
  std::vector<TaskPlacement> tasks;  // where it will go
  std::vector<std::string> evicted;  // who makes room
};

struct SchedulerState {
  ClusterState cluster;
  JobTable jobs;
  QueueTree queues;
  std::vector<Promise> promises;  // in the order they were made
  // When to look again, after a look that cost much.
  PreemptBackoff preempt_backoff;
  absl::Time next_resize = absl::InfinitePast();
  // Derived from `cluster` and `jobs`, and brought up to date by those who use it. A copy of the
  // state starts with an empty one.
  CandidateIndex candidates;
  // What the kinds of device are worth to the jobs that there are; of the last pass.
  KindPrices kind_prices;
};

// Phase 1, reconcile: the records as they are now. Each is idempotent and costs what changed. Not
// while a mark of the cluster is in use, but for SetJob and RemoveJob.
void SetNode(SchedulerState& state, const NodeSpec& node);
void RemoveNode(SchedulerState& state, absl::string_view name);
// Adds or replaces the job; what it held is released and what it holds is taken.
void SetJob(SchedulerState& state, JobView job);
void RemoveJob(SchedulerState& state, absl::string_view id);
// See QueueTree::SetSpecs.
absl::Status SetQueues(SchedulerState& state, const std::vector<QueueSpec>& specs);

// What the tasks count for in quotas: AmountsOf, summed.
Amounts AmountsOfTasks(const TaskShape& shape, const std::vector<TaskPlacement>& tasks);

// Every sum the state keeps, computed again from the jobs: empty when all is well, else what
// differs, in words. For tests and simulation; O(cluster).
std::vector<std::string> CheckInvariants(const SchedulerState& state);
// Nodes and devices of which more is held than there is, in words. Never by a plan; a node that
// comes back smaller is one cause.
std::vector<std::string> FindOverAllocation(const ClusterState& cluster);

}  // namespace oneai::fabric
