// File: compute_fabric/scheduler/plan.h
//
// The scheduler: a pure function from what is to what should be.
//
//   reconcile -> order queues -> filter -> score -> commit gang -> preempt -> reserve (backfill) ->
//   resize (elastic)                                              and, when asked: explain
//
// Cheap phases come first: ordering and quota look at no node; filtering and scoring keep an index
// per task shape that follows the nodes' changes, so a pass costs what changed. Each phase is a
// file of this folder.
#pragma once

#include "absl/time/time.h"
#include "compute_fabric/scheduler/decisions.h"
#include "compute_fabric/scheduler/policy.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// Decides, and leaves `state` as it will be when all decisions are carried out (evicted jobs hold
// their resources until reconcile says they have stopped; what they will give back is promised to
// `for_job`). Never over-allocates a node, a device or a quota; a gang is placed with at least
// tasks_min ranks or not at all; equal arguments give equal plans.
PlanResult Plan(SchedulerState& state, const Policy& policy, absl::Time now);

// Why a waiting job waits, every blocker, and the smallest change that would start it. `state` is
// used as scratch and comes back as it was. NotFound: empty explanation with that reason.
Explanation Explain(SchedulerState& state, const Policy& policy, absl::string_view job_id,
                    absl::Time now);

// The same for a job that is not there: where it would run now, when it would start, whom it would
// evict. `state` comes back as it was.
struct WhatIf {
  JobPlacement placement;  // no tasks: not now
  Explanation explanation;
};
WhatIf PlanWhatIf(SchedulerState& state, const Policy& policy, const JobView& job, absl::Time now);

}  // namespace oneai::fabric
