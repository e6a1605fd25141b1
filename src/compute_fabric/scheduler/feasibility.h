// File: compute_fabric/scheduler/feasibility.h
//
// Asked once, at submit: could the job ever run here?
#pragma once

#include "absl/status/status.h"
#include "compute_fabric/scheduler/state.h"

namespace oneai::fabric {

// OK when the tasks that have to start at once (tasks_min of a gang; all of another job) fit
// together on the nodes if these were empty, healthy and in service, within one domain where the
// topology wish requires it. A fabric without nodes is given the benefit of the doubt.
// InvalidArgument: names what is missing and the largest that fits ("the largest node, node-a, has
// 2 CPUs").
absl::Status CanEverFit(const SchedulerState& state, const JobView& job);

// OK when the queue's limits, all of them free, admit as much with one of the device alternatives.
// ResourceExhausted: names the limit and the largest number of tasks that it admits.
absl::Status QuotaCanEverAdmit(const QueueTree& queues, const JobView& job);

}  // namespace oneai::fabric
