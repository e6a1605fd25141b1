// File: compute_fabric/scheduler/calendar/calendar.h
//
// Nodes over time: maintenance windows and reservations hold nodes from a start to an end
// (NodeHold), and backfill holds them for a job that waits. One question for all: may this job use
// this node from now on?
#pragma once

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "compute_fabric/scheduler/cluster/node.h"
#include "compute_fabric/scheduler/job.h"

namespace oneai::fabric {

// Whether `job`, started now, would be off the node before any hold that is not its own begins; a
// job without time limit may use a node only if it is preemptible or no hold lies ahead (a
// preempted job loses little; a refused one would wait for ever). A job of a reservation may use
// only nodes held for it at present. `why_not` (may be null) gets the hold in words.
bool MayUse(const NodeSpec& node, const JobView& job, absl::Time now, std::string* why_not);

// The next instant after `now` at which a hold of any node begins or ends: when to plan again even
// if nothing happens. InfiniteFuture: none.
absl::Time NextHoldChange(const std::vector<NodeHold>& holds, absl::Time now);

// "2026-11-23 15:04 UTC", as all reasons write it; "further notice" for the infinite future.
std::string FormatInstant(absl::Time time);

}  // namespace oneai::fabric
