// File: compute_fabric/first_scheduler/plan.h
//
// The scheduler: a pure function from what is to what should be.
//
//   order jobs -> quota -> filter nodes -> rank nodes -> commit gang -> (hold nodes) -> explain
//
// Cheap phases come first: ordering and quota look at no node; filtering looks at each node once;
// ranking only at those left.
#pragma once

#include "absl/time/time.h"
#include "compute_fabric/first_scheduler/cluster_snapshot.h"

namespace oneai::fabric::inline first {

// Decides placements for the pending jobs. Every job of `snapshot.pending` that is not placed whole
// has its reasons in the result. Never over-allocates a node or a quota; a gang is placed whole or
// not at all; equal arguments give equal plans. O(jobs x nodes).
PlacementPlan Plan(const ClusterSnapshot& snapshot, absl::Time now);

}  // namespace oneai::fabric::inline first
