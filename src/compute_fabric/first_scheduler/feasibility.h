// File: compute_fabric/first_scheduler/feasibility.h
//
// Asked once, at submit: could the job ever run here?
#pragma once

#include "absl/status/status.h"
#include "compute_fabric/first_scheduler/cluster_snapshot.h"

namespace oneai::fabric::inline first {

// OK when all of `job.ranks` fit together on the nodes if these were empty, healthy and in service.
// A fabric without nodes is given the benefit of the doubt. InvalidArgument: names what is missing
// and the largest that fits ("the largest node, node-a, has 2 CPUs").
absl::Status CanEverFit(const PendingJob& job, const std::vector<NodeSnapshot>& nodes);

// OK when the project's limits, all of them free, admit the job. ResourceExhausted: names the
// limit.
absl::Status QuotaCanEverAdmit(const PendingJob& job, const QueueSnapshot& queue);

}  // namespace oneai::fabric::inline first
